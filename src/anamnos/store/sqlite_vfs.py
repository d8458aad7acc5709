"""A thin layer under SQLite that keeps erased text out of the unused middle of pages.

``PRAGMA secure_delete`` overwrites what is deleted, but when SQLite moves rows between pages to balance a tree, it
leaves copies in the gap between a page's cell pointers and its cells, and those copies outlive the deletion of the
row. So every page of the database file is written with that gap zeroed. Only the main file passes through here; the
write-ahead log, whose frames carry checksums, is emptied by ``SqliteStore.scrub``.
Source: SQLite file format, "B-tree Pages".
"""

from __future__ import annotations

import apsw

NAME = "anamnos"
_INTERIOR, _LEAF = (2, 5), (10, 13)  # the first byte of a b-tree page
_FILE_HEADER = 100
_MAX_PAGES = 0x02000000  # beyond, an overflow page could start like a b-tree page: 256 GB with pages of 8 kB


def without_gap(page: bytes, offset: int) -> bytes:
    """Return a page as it should be written at ``offset``: a b-tree page has zeros where it holds nothing."""
    head = _FILE_HEADER if offset == 0 else 0
    if len(page) < 512 or page[head] not in _INTERIOR + _LEAF or offset // len(page) >= _MAX_PAGES:
        return page
    cells = int.from_bytes(page[head + 3 : head + 5], "big")
    start = head + (12 if page[head] in _INTERIOR else 8) + 2 * cells
    end = int.from_bytes(page[head + 5 : head + 7], "big") or 65_536
    if start >= end or end > len(page) or not page[start:end].strip(b"\0"):
        return page
    return page[:start] + bytes(end - start) + page[end:]


class _MainFile(apsw.VFSFile):
    def __init__(self, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        super().xWrite(without_gap(data, offset), offset)


class _GapZeroingVfs(apsw.VFS):
    def __init__(self) -> None:
        super().__init__(NAME, "")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        if flags[0] & apsw.SQLITE_OPEN_MAIN_DB:
            return _MainFile(name, flags)
        return super().xOpen(name, flags)


_REGISTERED = _GapZeroingVfs()  # lives as long as the process, as SQLite wants it to
