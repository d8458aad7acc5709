"""How text memories change: against what is known, with what belongs together, and by being forgotten."""
