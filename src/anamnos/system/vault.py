"""The vault: the folder in which everything lives, and what belongs to it as a whole. See docs/formats/vault.md.

``anamnos.db``, ``index/<embedder>/``, ``blobs/``, and, if the user wants, ``anamnos.toml``.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import uuid
from pathlib import Path
from typing import Self

from anamnos.errors import Corrupt, InvalidInput, StoreError
from anamnos.index.exact import ExactIndex
from anamnos.store.base import EmbedderInfo, Store
from anamnos.store.blobs import BlobStore
from anamnos.store.sqlite import SqliteStore


class Vault:
    """A folder with a store, blobs and indexes.

    folder  made if it is not there
    store   another engine than the vault's own SQLite file, if the caller brings one
    """

    def __init__(self, folder: Path, *, store: Store | None = None, busy_timeout_s: float = 60.0) -> None:
        self.folder = folder
        self.store = store or SqliteStore(folder / "anamnos.db", busy_timeout_s=busy_timeout_s)
        self.blobs = BlobStore(folder / "blobs")

    def open(self) -> Self:
        """Open the store. Raises: StoreError and its kinds, naming what to do."""
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
        self.store.open()
        return self

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    def index(self, info: EmbedderInfo) -> ExactIndex:
        """Return the vector index of an embedder; its folder is named after it."""
        readable = re.sub(r"[^a-z0-9]+", "-", info.id.lower()).strip("-")[:40]
        name = f"{readable}-{hashlib.sha256(info.id.encode()).hexdigest()[:8]}"
        return ExactIndex(self.folder / "index" / name, self.store, info)

    def drop_other_indexes(self, keep: ExactIndex) -> None:
        """Remove the indexes of embedders that are no longer in use."""
        for folder in (self.folder / "index").glob("*"):
            if folder.is_dir() and folder != keep.folder:
                shutil.rmtree(folder, ignore_errors=True)

    def drop_unused_blobs(self) -> None:
        """Remove the blobs that no cube refers to any more."""
        used = self.store.blob_names()
        for name in self.blobs.names():
            if name not in used:
                self.blobs.delete(name)

    def verify_blobs(self) -> list[str]:
        """Return which blobs are missing or damaged, one sentence each."""
        problems = []
        for name in sorted(self.store.blob_names()):
            path = self.blobs.path(name)
            if not path.exists():
                problems.append(f"the blob {name} is missing")
            elif hashlib.sha256(path.read_bytes()).hexdigest() != name:
                problems.append(f"the blob {name} is damaged")
        return problems

    def backup(self, target: Path) -> None:
        """Copy the vault to a new folder while others go on; indexes are left out, they make themselves again.

        Raises: InvalidInput if the folder is there and not empty.
        """
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise InvalidInput(f"{target} is there already and is not an empty folder.", hint="Name a new folder.")
        partial = target.with_name(f"{target.name}.partial-{uuid.uuid4().hex[:8]}")  # a stop leaves no half backup
        try:
            partial.mkdir(parents=True)
            self.store.backup(str(partial / "anamnos.db"))
            if self.blobs.folder.exists():
                shutil.copytree(self.blobs.folder, partial / "blobs")
            if (self.folder / "anamnos.toml").exists():
                shutil.copy2(self.folder / "anamnos.toml", partial)
            if target.exists():
                target.rmdir()
            partial.rename(target)
        except BaseException as exc:
            shutil.rmtree(partial, ignore_errors=True)
            if not isinstance(exc, OSError):
                raise
            raise StoreError(f"The backup to {target} failed: {exc.strerror}.", hint="Free some space there.") from exc

    def sizes(self) -> dict[str, int]:
        """Return the bytes on the disk of each part of the vault."""
        parts = {"database": [self.folder / "anamnos.db"], "log": [self.folder / "anamnos.db-wal"]}
        parts["index"] = list((self.folder / "index").rglob("*"))
        parts["blobs"] = list((self.folder / "blobs").rglob("*"))
        return {name: sum(_disk_bytes(path) for path in paths if path.is_file()) for name, paths in parts.items()}


def _disk_bytes(path: Path) -> int:
    """Return what a file takes on the disk: less than its length where it is sparse."""
    status = path.stat()
    blocks: int | None = getattr(status, "st_blocks", None)  # not on Windows
    return status.st_size if blocks is None else min(status.st_size, blocks * 512)
