"""The file of the embedded store: who may open it, write to it, copy it, and what its errors mean.

See docs/formats/vault.md.
"""

from __future__ import annotations

import builtins
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import apsw

from anamnos.errors import AnamnosError, Busy, Corrupt, InvalidInput, MigrationNeeded, StoreError
from anamnos.store import sqlite_vfs
from anamnos.store.base import MOVED_TO, refuse_moved
from anamnos.store.files import sync_folder, wipe
from anamnos.store.migrations import MIGRATIONS, SCHEMA_VERSION
from anamnos.store.sqlite_cipher import PageCipher
from anamnos.store.sqlite_write import SqliteTransaction
from anamnos.types import fold

APPLICATION_ID = 0x414E414D  # "ANAM": tells a vault from any other SQLite file
PAGE_BYTES = 8192  # five vectors of 384 floats fit; with 4096 a quarter of each page would stay empty
_MAGIC = b"SQLite format 3\0"
NEW, OLD = ".new", ".old"  # behind the file's name while ``rewrite`` works
_SCRUB_S = 5.0


class SqliteFile:
    """One SQLite file and the connections to it.

    path            of the database file; its folder must be there
    busy_timeout_s  how long a write waits for other writers before it raises Busy
    key             32 bytes that the file and its journals are encrypted with; None: they are plain
    read_only       refuse every write, and a file of an older schema
    """

    def __init__(
        self, path: Path, *, busy_timeout_s: float = 60.0, key: bytes | None = None, read_only: bool = False
    ) -> None:
        self.path = path
        self._read_only = read_only
        self.busy_timeout_s = busy_timeout_s
        self._key = key
        self._writer: apsw.Connection | None = None
        self._write_lock = threading.RLock()
        self._readers: builtins.list[apsw.Connection] = []
        self._readers_lock = threading.Lock()
        self._to_scrub = False

    def open(self) -> Self:
        if self.path.is_file() and 0 < self.path.stat().st_size < 512:  # SQLite would take it for a new one
            raise Corrupt(f"{self.path} is too short for a database. It was left as it is.", hint="Restore a backup.")
        with self._errors():
            db = self._connect()
            try:
                self._migrate(db)
            except BaseException:
                db.close()
                raise
            self._writer = db
            log = self.path.with_name(self.path.name + "-wal")
            # perhaps a process was killed before it scrubbed
            self._to_scrub = not self._read_only and log.exists() and log.stat().st_size > 0
        return self

    def close(self) -> None:
        with self._write_lock, self._readers_lock:
            if self._writer is None:
                return
            try:
                if self._to_scrub:
                    self.scrub()
            finally:
                for db in self._readers:
                    db.close()
                self._readers.clear()
                self._writer.close()  # the last connection to close folds the log into the file
                self._writer = None

    def _connect(self) -> apsw.Connection:
        db = sqlite_vfs.connect(self.path, self._key)
        db.set_busy_timeout(round(self.busy_timeout_s * 1000))
        db.create_scalar_function("fold_in", _fold_in, 2, deterministic=True)
        for pragma in (
            "foreign_keys = ON",
            "secure_delete = ON",
            "synchronous = FULL",
            "temp_store = MEMORY",
        ):
            db.execute(f"PRAGMA {pragma}")
        if self._read_only:
            db.execute("PRAGMA query_only = ON")
        return db

    def _migrate(self, db: apsw.Connection) -> None:
        # the schema first: whoever sees it sees the numbers that were committed with it
        empty = db.execute("SELECT count(*) FROM sqlite_schema").get == 0
        application, version = db.pragma("application_id"), db.pragma("user_version")
        if not empty and application != APPLICATION_ID:
            raise StoreError(
                f"{self.path} is an SQLite file, but not one of Anamnos.",
                hint="Name another folder as the vault.",
            )
        if version > SCHEMA_VERSION:
            raise MigrationNeeded(
                f"The vault has schema {version}; this version of Anamnos knows schemas up to {SCHEMA_VERSION}.",
                hint="Upgrade with: pip install --upgrade anamnos",
            )
        if self._read_only and (empty or version < SCHEMA_VERSION):
            raise MigrationNeeded(
                f"{self.path} has schema {version}, not {SCHEMA_VERSION}, and is opened for reading only.",
                hint="Open it once for writing, for instance with: anamnos stats --vault",
            )
        if self._read_only:
            return
        if empty:
            db.pragma("page_size", PAGE_BYTES)
        if db.pragma("journal_mode") != "wal":
            _retry(lambda: db.pragma("journal_mode", "wal"), self.busy_timeout_s)
        if version == SCHEMA_VERSION:
            return
        db.execute("BEGIN IMMEDIATE")
        try:
            for number, step in enumerate(MIGRATIONS, start=1):
                if number > db.pragma("user_version"):  # another process may have been faster
                    step(db)
                    db.pragma("user_version", number)
            db.pragma("application_id", APPLICATION_ID)
        except BaseException:
            db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")

    @contextmanager
    def write(self) -> Iterator[SqliteTransaction]:
        with self._write_lock, self._errors():
            db = self._open_writer()
            if self._to_scrub:
                self._scrub(0)
            db.execute("BEGIN IMMEDIATE")
            try:
                tx = SqliteTransaction(db)
                refuse_moved(tx.setting(MOVED_TO))
                yield tx
                tx.finish()
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
            self._to_scrub = self._to_scrub or tx.erased

    def scrub(self) -> bool:
        return self._scrub(_SCRUB_S)

    def _scrub(self, wait_s: float) -> bool:
        with self._write_lock, self._errors():
            db = self._open_writer()
            db.set_busy_timeout(round(wait_s * 1000))  # a reader in another process may hold the log for long
            try:
                busy = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]  # type: ignore[index]
            finally:
                db.set_busy_timeout(round(self.busy_timeout_s * 1000))
            self._to_scrub = bool(busy)
        return not self._to_scrub

    def _open_writer(self) -> apsw.Connection:
        if self._writer is None:
            raise StoreError("The store is closed.", hint="Open the vault again.")
        return self._writer

    def backup(self, target: str) -> None:
        with self._reading() as db, self._errors():
            if Path(target).exists():
                raise StoreError(f"{target} is there already.", hint="Name a new file for the backup.")
            copy = sqlite_vfs.connect(Path(target), self._key)
            try:
                copy.pragma("page_size", PAGE_BYTES)  # between encrypted files, both must have the same before
                with copy.backup("main", db, "main") as work:
                    while not work.done:
                        work.step(2_000)
                copy.pragma("journal_mode", "delete")
            finally:
                copy.close()

    @contextmanager
    def held_still(self) -> Iterator[tuple[Callable[[int, int], bytes], int]]:
        """Lend the bytes of the database file, as (offset, amount) -> bytes, and its size, while nothing changes it.

        Others read and write meanwhile, into the log. It works like this: while no write can end, the log is folded
        into the file as a whole; who begins to read then, reads the file alone, and SQLite does not touch the file
        for as long as somebody does.
        Raises: Busy if some reader keeps the log from being folded in.
        """
        with self._errors(), closing(self._connect()) as db:
            _retry(lambda: self._read_folded(db), self.busy_timeout_s)
            file = sqlite_vfs.raw_file(self.path)
            try:
                yield file.xRead, int(db.pragma("page_count")) * int(db.pragma("page_size"))
            finally:
                file.xClose()
                db.execute("ROLLBACK")

    def _read_folded(self, db: apsw.Connection) -> None:
        """Begin to read the file alone. Raises: BusyError, and then nobody waits for us: whoever is folding the log may
        be waiting for writes to end."""
        with self._write_lock:
            writer = self._open_writer()
            writer.execute("BEGIN IMMEDIATE")
            try:
                _fold_log(db)
                db.execute("BEGIN")
                db.execute("SELECT count(*) FROM sqlite_schema").fetchall()
            finally:
                writer.execute("ROLLBACK")

    def rewrite(self, key: bytes | None, prepare: Callable[[], None]) -> None:
        """Put a copy of all rows that is encrypted with ``key`` (None: plain) in the place of the file, at once.

        The store must be closed, and is closed afterwards. ``prepare`` is called when nobody else has the file open any
        more; nobody gets in until this is over. A kill leaves the one file or the other, whole.
        Raises: Busy if others have it open, StoreError if the copy cannot be made; then it is as it was.
        """
        with self._errors(), closing(sqlite_vfs.connect_through_cipher(self.path, self._key)) as db:
            db.set_busy_timeout(round(self.busy_timeout_s * 1000))
            _stay_alone(db, self.path)
            prepare()
            new, old = (self.path.with_name(self.path.name + end) for end in (NEW, OLD))
            drop_leftovers(self.path)
            db.execute("VACUUM INTO ?", (sqlite_vfs.sealed_uri(new, key),))
            with closing(sqlite_vfs.connect_through_cipher(new, key)) as copy:
                sizes = [each.execute("SELECT count(*), max(row) FROM cubes").fetchone() for each in (db, copy)]
                if copy.pragma("quick_check") != "ok" or sizes[0] != sizes[1]:
                    raise StoreError(f"The copy of {self.path} is not like it.", hint="Run: anamnos verify")
            with suppress(OSError):  # not on every file system; without it the old bytes are freed, not overwritten
                os.link(self.path, old)
            if os.name == "nt":  # which replaces no open file
                db.close()
            try:
                new.replace(self.path)
                sync_folder(self.path.parent)
                wipe(old)  # before the lock goes: whoever waits for it with the old file open finds nothing there
            except OSError as exc:
                raise StoreError(
                    f"{self.path} could not be replaced: {exc.strerror}.", hint="Make the vault's folder writable."
                ) from exc

    def wipe(self) -> None:
        """Overwrite and remove the file; the store must be closed. Raises: Busy if others have it open, StoreError."""
        with self._errors(), closing(sqlite_vfs.connect(self.path, self._key)) as db:
            db.set_busy_timeout(round(self.busy_timeout_s * 1000))
            _stay_alone(db, self.path)
            if os.name == "nt":
                db.close()
            try:
                wipe(self.path)
            except OSError as exc:
                raise StoreError(
                    f"{self.path} could not be removed: {exc.strerror}.", hint="Make the vault's folder writable."
                ) from exc

    @contextmanager
    def _reading(self) -> Iterator[apsw.Connection]:
        """Lend a connection inside one snapshot."""
        with self._errors():
            with self._readers_lock:
                self._open_writer()
                db = self._readers.pop() if self._readers else None
            db = db or self._connect()
            try:
                db.execute("BEGIN")
                yield db
            except (ValueError, TypeError, KeyError, OverflowError, InvalidInput) as exc:  # no sound row gives these
                raise Corrupt(
                    f"{self.path} holds a damaged row: {exc}. It was left as it is.", hint="Restore a backup."
                ) from exc
            finally:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                with self._readers_lock:
                    if self._writer is None:
                        db.close()
                    else:
                        self._readers.append(db)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn apsw's errors into ours: the one place where that happens."""
        try:
            yield
        except AnamnosError:
            raise
        except (apsw.BusyError, apsw.LockedError) as exc:
            raise Busy(
                f"{self.path} was held by other writers for {self.busy_timeout_s:g} s.", hint="Try again."
            ) from exc
        except (apsw.CorruptError, apsw.NotADBError) as exc:
            raise Corrupt(
                f"{self.path} is damaged or not a database: {exc}. It was left as it is.",
                hint="Restore a backup, or copy the file away and run: anamnos doctor",
            ) from exc
        except apsw.FullError as exc:
            raise StoreError("The disk is full; nothing was written.", hint="Free some space and try again.") from exc
        except (apsw.ReadOnlyError, apsw.CantOpenError, apsw.PermissionsError, apsw.AuthError) as exc:
            raise StoreError(
                f"{self.path} cannot be opened for writing: {exc}.", hint="Make the vault's folder writable."
            ) from exc
        except apsw.Error as exc:
            raise StoreError(f"The store failed: {type(exc).__name__}: {exc}.", hint="Run: anamnos verify") from exc


def is_plain(path: Path) -> bool | None:
    """Return whether a database is not encrypted; None if it is not there, or empty."""
    start = _start_of(path, len(_MAGIC))
    return start == _MAGIC if start else None


def is_key_of(path: Path, key: bytes) -> bool:
    """Return whether an encrypted database is encrypted with ``key``."""
    return PageCipher(key).opened(_start_of(path, PAGE_BYTES), 1) is not None


def _start_of(path: Path, size: int) -> bytes:
    """Return the first bytes of a database; fewer, or none, if it has no more."""
    try:
        size = min(size, path.stat().st_size) if path.is_file() else 0
        if not size:
            return b""
        file = sqlite_vfs.raw_file(path)
        try:
            return file.xRead(size, 0)
        finally:
            file.xClose()
    except (OSError, apsw.Error) as exc:
        raise StoreError(f"{path} cannot be read: {exc}.", hint="Make the file readable.") from exc


def drop_leftovers(path: Path) -> None:
    """Remove what a killed ``rewrite`` of a database may have left. Nobody may be in one."""
    for end in (NEW, f"{NEW}-journal", OLD):
        wipe(path.with_name(path.name + end))


def _stay_alone(db: apsw.Connection, path: Path) -> None:
    """Keep everybody else out of a database until ``db`` is closed. Raises: Busy if somebody is in."""
    try:
        db.pragma("journal_mode", "delete")  # which it only becomes if no other connection has it open
        db.pragma("locking_mode", "exclusive")
        db.execute("BEGIN EXCLUSIVE")
        db.execute("COMMIT")
        alone = db.pragma("journal_mode") == "delete"
    except (apsw.BusyError, apsw.LockedError):
        alone = False
    if not alone:
        raise Busy(f"{path} is open elsewhere.", hint="Close every program that uses the vault, then try again.")


def _fold_in(*values: apsw.SQLiteValue) -> bool:
    wanted, content = values
    return str(wanted) in fold(str(content))


def _fold_log(db: apsw.Connection) -> None:
    """Write all of the log into the file. Raises: BusyError if a reader still needs the file as it was."""
    busy, frames, folded = db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()  # type: ignore[misc]
    if busy or frames != folded:  # busy: another process is at it
        raise apsw.BusyError("the log is in use")


def _retry(action: Any, seconds: float) -> None:
    """Repeat what SQLite refuses as busy without waiting (the change of journal mode) until it goes through."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            action()
            return
        except (apsw.BusyError, apsw.LockedError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
