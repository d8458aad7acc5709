"""The vault: the folder in which everything lives, and what belongs to it as a whole. See docs/formats/vault.md.

``anamnos.db``, ``index/<embedder>/``, ``blobs/``, and, if the user wants, ``anamnos.toml``. An encrypted vault has
``key.json`` and no index: that is made in memory, for vectors tell of texts.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import uuid
from datetime import datetime
from pathlib import Path
from typing import Self

from anamnos.errors import ConfigError, Corrupt, Moved, NotFound, StoreError
from anamnos.index.base import VectorIndex
from anamnos.index.engine import EngineIndex
from anamnos.index.exact import ExactIndex
from anamnos.index.exact_resident import ResidentIndex
from anamnos.index.lsh import LshIndex
from anamnos.index.spann.index import LEAST, WORTH_IT, SpannIndex
from anamnos.index.sparsey import SparseyIndex
from anamnos.store import keys
from anamnos.store.base import MIGRATING, MOVED_TO, EmbedderInfo, Store, refuse_moved
from anamnos.store.blobs import BlobStore
from anamnos.store.files import wipe
from anamnos.store.keys import UserKey
from anamnos.store.sqlite import SqliteStore
from anamnos.store.sqlite_file import drop_leftovers, is_key_of, is_plain
from anamnos.system.backup import BackupReport, increment, whole

_BUCKETS: dict[str, type[LshIndex] | type[SparseyIndex]] = {"lsh": LshIndex, "sparsey": SparseyIndex}


def store_at(address: str, *, busy_timeout_s: float = 60.0) -> Store | None:
    """Return the store, not opened, that the setting ``store`` names; None if it is the vault's own file.

    Raises: ConfigError if no engine knows the address, or its packages are not installed.
    """
    if not address:
        return None
    if not address.startswith(("postgresql://", "postgres://")):
        scheme = address.partition("://")[0] if "://" in address else "no address"  # the rest may hold a password
        raise ConfigError(
            f"The setting store cannot be {scheme!r}.", hint="Leave it empty, or write postgresql://user@host/database."
        )
    from anamnos.store.postgres import PostgresStore

    return PostgresStore(address, busy_timeout_s=busy_timeout_s)


class Vault:
    """A folder with a store, blobs and indexes.

    folder  made if it is not there
    store   another engine than the vault's own SQLite file, if the caller brings one
    key     what an encrypted vault is opened with; a new vault is made encrypted with it
    read_only  it is there, and is not to be changed
    """

    def __init__(
        self,
        folder: Path,
        *,
        store: Store | None = None,
        busy_timeout_s: float = 60.0,
        key: UserKey | None = None,
        read_only: bool = False,
    ) -> None:
        self.folder = folder
        self.store = store or SqliteStore(folder / "anamnos.db", busy_timeout_s=busy_timeout_s, read_only=read_only)
        self.blobs = BlobStore(folder / "blobs")
        self.data_key: bytes | None = None  # of an encrypted vault, once it is open
        self._own_store = store is None
        self._busy_timeout_s = busy_timeout_s
        self._key = key
        self._read_only = read_only

    def open(self, *, moving: bool = False) -> Self:
        """Open the store. Raises: StoreError and its kinds, naming what to do; ConfigError if a key is missing or too
        many, AccessDenied if it is the wrong one.

        moving  also if its memories have moved elsewhere, or are still on their way here
        """
        if self._own_store and self._read_only and not (self.folder / "anamnos.db").exists():
            raise NotFound(f"There is no vault in {self.folder}.", hint="Check the path.")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise StoreError(
                f"The vault's folder {self.folder} cannot be made: {exc.strerror}.",
                hint="Name another one with --vault or ANAMNOS_VAULT.",
            ) from exc
        database = self.folder / "anamnos.db"
        if (self.folder / "index").exists() and database.exists() and database.stat().st_size == 0:
            raise Corrupt(
                f"{database} is empty, though this vault has been used. It was left as it is.", hint="Restore a backup."
            )
        if self._key is not None and not self._own_store:
            raise ConfigError("A key is given, but the store is not the vault's own: it would not be encrypted.")
        said = self._unlock() if self._own_store else None
        self.store.open()
        if not moving:
            self._check_here()
        if said is not None and said.unfinished and not self._read_only:
            with self.store.write():  # only one of those who open it does this
                self._finish()
        return self

    def _check_here(self) -> None:
        """Raise Moved if the memories have moved elsewhere, unless to be read only, or are not all here yet."""
        try:
            if self.store.setting(MIGRATING) is not None:
                raise Moved(
                    f"Memories are still being moved into the store of the vault {self.folder}.",
                    hint="Run anamnos migrate-store again, on the vault that they come from.",
                )
            if not self._read_only:
                refuse_moved(self.store.setting(MOVED_TO))
        except BaseException:
            self.store.close()
            raise

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    def _unlock(self) -> keys.KeyFile | None:
        """Find out whether the vault is encrypted, and with what, and return what ``key.json`` says."""
        database = self.folder / "anamnos.db"
        plain, said = is_plain(database), keys.read(self.folder)
        if plain is None and said is None and self._key is not None:  # a new vault
            keys.write_first(self.folder, self._key)
            said = keys.read(self.folder)
        if plain or said is None:
            if self._key is None:
                return said
            if plain:
                raise ConfigError(
                    f"The vault {self.folder} is not encrypted, though a key is given.",
                    hint="Encrypt it with anamnos encrypt, or give no key.",
                )
            raise Corrupt(
                f"{self.folder / keys.FILE_NAME} is missing; the vault cannot be read without it.",
                hint="Restore it from a backup of the vault.",
            )
        found = keys.unwrap(self.folder, said, self._key)
        fitting = (each for each in found.values() if plain is None or is_key_of(database, each))
        self.data_key = next(fitting, None)
        if self.data_key is None:
            raise Corrupt(
                f"{database} is damaged, or {keys.FILE_NAME} belongs to another vault. Both were left as they are.",
                hint="Restore a backup.",
            )
        self.store = SqliteStore(
            database, busy_timeout_s=self._busy_timeout_s, key=self.data_key, read_only=self._read_only
        )
        self.blobs = BlobStore(self.folder / "blobs", self.data_key)
        return said

    def _finish(self) -> None:
        """Remove what is left of the form that the vault had before. While it is open, nobody can be changing that."""
        said = keys.read(self.folder)
        if said is None or not said.unfinished:
            return
        keys.drop_partials(self.folder)
        drop_leftovers(self.folder / "anamnos.db")
        self.blobs.drop_partials()
        self.blobs.keep_only(self.store.blob_names())
        if self.data_key is None:
            (self.folder / keys.FILE_NAME).unlink(missing_ok=True)
            return
        for path in (self.folder / "index").rglob("*"):
            if path.is_file():
                wipe(path)
        shutil.rmtree(self.folder / "index", ignore_errors=True)
        found = keys.unwrap(self.folder, said, self._key)
        in_use = next(wrapped for wrapped, data_key in found.items() if data_key == self.data_key)
        keys.mark(self.folder, said, unfinished=False, only=in_use)

    def index(self, info: EmbedderInfo, kind: str = "auto", *, url: str = "", memory_mb: int = 1_024) -> VectorIndex:
        """Return the vector index of an embedder.

        kind, url, memory_mb  the settings ``index``, ``index_url`` and ``index_memory_mb``
        Raises: ConfigError if the vault is encrypted and the vectors, which tell of texts, would leave it; or if an
        engine's packages are not installed.
        """
        if self.data_key is not None:
            if kind not in ("auto", "exact", "lsh", "sparsey"):
                raise ConfigError(
                    f"The index {kind} would keep vectors outside of what is encrypted.",
                    hint="Leave the setting index at auto for an encrypted vault.",
                )
            resident = ResidentIndex(self.store, info)
            return _BUCKETS[kind](resident) if kind in _BUCKETS else resident
        if kind == "pgvector":
            from anamnos.index.pgvector import PgVectorIndex

            return PgVectorIndex(url, self.store, info)
        if kind == "milvus":
            from anamnos.index.milvus import MilvusIndex

            return MilvusIndex(url, self.store, info)
        folder = self._index_folder(info)
        if kind == "exact":
            return ExactIndex(folder, self.store, info)
        if kind in _BUCKETS:
            return _BUCKETS[kind](ExactIndex(folder, self.store, info))
        worth_it = WORTH_IT if kind == "auto" else LEAST
        return SpannIndex(folder, self.store, info, memory_mb=memory_mb, worth_it=worth_it)

    def _index_folder(self, info: EmbedderInfo) -> Path:
        readable = re.sub(r"[^a-z0-9]+", "-", info.id.lower()).strip("-")[:40]
        return self.folder / "index" / f"{readable}-{hashlib.sha256(info.id.encode()).hexdigest()[:8]}"

    def drop_other_indexes(self, keep: EmbedderInfo, index: VectorIndex) -> None:
        """Remove the indexes of embedders that are no longer in use, here and in the engine of ``index``."""
        if isinstance(index, EngineIndex):
            index.drop_others()
        for folder in (self.folder / "index").glob("*"):
            if folder.is_dir() and folder != self._index_folder(keep):
                shutil.rmtree(folder, ignore_errors=True)

    def drop_unused_blobs(self) -> None:
        """Remove the blobs that no cube refers to any more."""
        with self.store.write():  # else another could begin to refer to one between the question and its end
            self.blobs.keep_only(self.store.blob_names())

    def verify_blobs(self) -> list[str]:
        """Return which blobs are missing or damaged, one sentence each."""
        problems = []
        for name in sorted(self.store.blob_names()):
            try:
                self.blobs.read(name)
            except NotFound:
                problems.append(f"the blob {name} is missing")
            except Corrupt:
                problems.append(f"the blob {name} is damaged")
        return problems

    def backup(self, target: Path, *, now: datetime, incremental: bool = False) -> BackupReport:
        """Copy the vault to a new folder while others go on; indexes are left out, they make themselves again.

        incremental  the folder may be a backup of this vault: then only what differs is written. What was erased since
                     is gone from it too
        Raises: InvalidInput if the folder is there and not empty, or not a backup of this vault.
        """
        if not self._own_store:
            raise ConfigError(
                "The memories of this vault are on a server; a copy of its folder would be none of them.",
                hint="Copy the database with the server's own tool (pg_dump), or use: anamnos export",
            )
        vault = self.store.setting("vault")
        if vault is None:
            self.store.set_setting("vault", uuid.uuid4().hex)
            vault = str(self.store.setting("vault"))
        target = target.absolute()
        if not incremental or not target.is_dir() or not any(target.iterdir()):
            return whole(self.folder, target, self.store.backup, self.store.sequence, vault, now)
        held_still = getattr(self.store, "held_still", None)
        if held_still is None:
            raise ConfigError("Incremental backups need the vault's own store.", hint="Back up to a new folder.")
        return increment(self.folder, target, held_still, self.store.sequence, vault, now)

    def sizes(self) -> dict[str, int]:
        """Return the bytes on the disk of each part of the vault."""
        parts = {"database": [self.folder / "anamnos.db"], "log": [self.folder / "anamnos.db-wal"]}
        parts["index"] = list((self.folder / "index").rglob("*"))
        parts["blobs"] = list((self.folder / "blobs").rglob("*"))
        sizes = {name: sum(_disk_bytes(path) for path in paths if path.is_file()) for name, paths in parts.items()}
        on_server = None if self._own_store else getattr(self.store, "size_bytes", None)
        return sizes if on_server is None else {**sizes, "database": on_server()}


def _disk_bytes(path: Path) -> int:
    """Return what a file takes on the disk: less than its length where it is sparse."""
    status = path.stat()
    blocks: int | None = getattr(status, "st_blocks", None)  # not on Windows
    return status.st_size if blocks is None else min(status.st_size, blocks * 512)
