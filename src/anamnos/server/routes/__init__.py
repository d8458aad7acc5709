"""The routes of the REST face, by subject."""
