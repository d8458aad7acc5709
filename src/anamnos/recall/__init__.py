"""From a cue to hits: analyse, score in channels, fuse, pack."""
