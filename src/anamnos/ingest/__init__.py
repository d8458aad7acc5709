"""From sources to cubes."""
