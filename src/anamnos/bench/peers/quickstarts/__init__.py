"""The quick-starts of several systems, from the start of a process to a fact that came back.

Each is one file that runs in an environment in which nothing is installed but that system, so it imports nothing of
ours. It writes a line ``step NAME`` when it has come that far: ``imported``, ``remembered``, ``recalled``, and what
else the quick-start has in between. What it is told is in its arguments: the fact, the question, the words of the fact
that must come back.
"""
