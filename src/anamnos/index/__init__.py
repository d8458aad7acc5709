"""Finding: indexes derived from the store."""
