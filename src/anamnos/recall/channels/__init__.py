"""Ways to look for a memory. One file per channel."""
