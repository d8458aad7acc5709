"""SPANN: inverted lists on the disk around many heads in memory. Source: arXiv:2111.08566, and 2410.14452 for updates.

``coder`` shortens vectors to bytes, ``heads`` finds centres, ``postings`` holds and scans lists of coded vectors,
``lists`` is heads with their lists and how they change, ``index`` follows the store and keeps the files.
"""
