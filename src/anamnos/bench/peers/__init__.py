"""Other memory systems, measured beside Anamnos on the same texts, with the same embedder, on the same machine.

Each adapter is a module that runs in a process of its own, in an environment of its own (see ``setup``), with the
network switched off. Its request and result are those of ``protocol``.
"""
