"""A thin layer under SQLite that keeps erased text out of the unused middle of pages.

``PRAGMA secure_delete`` overwrites what is deleted, but when SQLite moves rows between pages to balance a tree, it
leaves copies in the gap between a page's cell pointers and its cells, and those copies outlive the deletion of the
row. So every page of the database file is written with that gap zeroed. Only the main file passes through here; the
write-ahead log, whose frames carry checksums, is emptied by ``SqliteStore.scrub``.
Source: SQLite file format, "B-tree Pages".

In an encrypted database this layer lies below the engine's cipher, and opens each page to do its work. It cannot lie
above: that cipher encrypts the log and the journal only where it is itself what SQLite talks to.
"""

from __future__ import annotations

import os
from pathlib import Path

import apsw

from anamnos.errors import ConfigError
from anamnos.store.sqlite_cipher import NAME as CIPHER
from anamnos.store.sqlite_cipher import PageCipher

NAME = "anamnos"
_SEALED = "anamnos-sealed"
_CIPHERS = "multipleciphers-"  # before the name of the layer that is below the engine's cipher
_SYSTEM = apsw.vfs_names()[0].removeprefix(_CIPHERS)
_INTERIOR, _LEAF = (2, 5), (10, 13)  # the first byte of a b-tree page
_FILE_HEADER = 100
_MAX_PAGES = 0x02000000  # beyond, an overflow page could start like a b-tree page: 256 GB with pages of 8 kB
_KEYS: dict[str, bytes | None] = {}  # of the files that were opened through the cipher's layer; None: a plain one


def can_encrypt() -> bool:
    """Return whether the ``apsw`` that is installed is the one that can read encrypted databases."""
    return hasattr(apsw, "mc_version")


def check_can_encrypt(path: Path) -> None:
    """Raise ConfigError unless encrypted databases can be read, as the one at ``path`` is or shall be."""
    if not can_encrypt():
        raise ConfigError(
            f"{path} is or would be encrypted, and the installed apsw cannot do that: apsw-sqlite3mc must stand in"
            " its place.",
            hint="Run: pip install --force-reinstall --no-deps apsw-sqlite3mc",
        )


def connect(path: Path, key: bytes | None = None) -> apsw.Connection:
    """Return a connection to the database at ``path``, encrypted with ``key``. Raises: apsw.Error, ConfigError."""
    return apsw.Connection(str(path), vfs=NAME) if key is None else connect_through_cipher(path, key)


def connect_through_cipher(path: Path, key: bytes | None) -> apsw.Connection:
    """Return a connection through the cipher's layer, even to a plain database (None), to write one of the other kind
    with ``VACUUM INTO``. Raises: as ``connect``.
    """
    check_can_encrypt(path)
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
    remember_key(path, key)
    db = apsw.Connection(str(path.absolute()), flags=flags, vfs=_CIPHERS + _SEALED)
    if key is not None:
        db.pragma("cipher", CIPHER)
        db.pragma("key", f"raw:{key.hex()}")
    return db


def raw_file(path: Path) -> apsw.VFSFile:
    """Return a database file as it lies on the disk. Python's own ``open`` would, when it closes the file, let go of
    all locks that this process holds on it."""
    return apsw.VFSFile(_SYSTEM, str(path.absolute()), [apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_READONLY, 0])


def remember_key(path: Path, key: bytes | None) -> None:
    """Make known what the pages of a file are encrypted with, before it is opened through the cipher's layer."""
    _KEYS[os.path.realpath(path)] = key


def sealed_uri(path: Path, key: bytes | None) -> str:
    """Return the name under which ``VACUUM INTO`` writes a database encrypted with ``key``, or a plain one."""
    remember_key(path, key)
    return f"{path.absolute().as_uri()}?cipher={CIPHER}&key={f'raw:{key.hex()}' if key else ''}"


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
    def __init__(self, name: str | apsw.URIFilename | None, flags: list[int], cipher: PageCipher | None) -> None:
        super().__init__(_SYSTEM, name, flags)
        self.cipher = cipher

    def xWrite(self, data: bytes, offset: int) -> None:
        super().xWrite(_blanked(data, offset, self.cipher) if self.cipher else without_gap(data, offset), offset)


def _blanked(data: bytes, offset: int, cipher: PageCipher) -> bytes:
    number = offset // len(data) + 1
    plain = cipher.opened(data, number)
    if plain is None:
        raise apsw.IOError(f"page {number} was not encrypted with the key of this file")
    blank = without_gap(plain, offset)
    return data if blank is plain else cipher.sealed(blank, number)


class _GapZeroingVfs(apsw.VFS):
    """Writes plain pages."""

    def __init__(self) -> None:
        super().__init__(NAME, _SYSTEM)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        if flags[0] & apsw.SQLITE_OPEN_MAIN_DB:
            return _MainFile(name, flags, None)
        return super().xOpen(name, flags)


class _SealedVfs(apsw.VFS):
    """Writes the pages that come from the cipher above it, encrypted or not as ``_KEYS`` says of the file."""

    def __init__(self) -> None:
        super().__init__(_SEALED, _SYSTEM)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        if flags[0] & apsw.SQLITE_OPEN_MAIN_DB:
            path = os.path.realpath(name.filename() if isinstance(name, apsw.URIFilename) else str(name))
            if path not in _KEYS:  # to take encrypted pages for plain ones would damage them
                raise apsw.CantOpenError(f"it is not known what {path} is encrypted with")
            key = _KEYS[path]
            return _MainFile(name, flags, None if key is None else PageCipher(key))
        return super().xOpen(name, flags)


_REGISTERED = (_GapZeroingVfs(), _SealedVfs())  # live as long as the process, as SQLite wants it to
