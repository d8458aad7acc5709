"""Content that is not text: files of the vault named by the SHA-256 of what they hold.

Layout: ``blobs/<first two hex digits>/<sha256>``. See docs/formats/vault.md.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from anamnos.cube import BlobRef
from anamnos.errors import Corrupt, NotFound, StoreError


class BlobStore:
    """A folder of content-addressed files. Putting the same bytes twice keeps one file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, sha256: str) -> Path:
        """Return where the file of that name lives, whether it is there or not."""
        return self.folder / sha256[:2] / sha256

    def put(self, data: bytes, media_type: str) -> BlobRef:
        """Store bytes durably and return the reference to them. Raises: StoreError (disk full, read-only)."""
        ref = BlobRef(hashlib.sha256(data).hexdigest(), len(data), media_type)
        target = self.path(ref.sha256)
        if target.exists() and target.stat().st_size == len(data) and target.read_bytes() == data:
            return ref
        partial = target.with_name(f"{uuid.uuid4().hex}.partial")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(target)
            _sync_folder(target.parent)
        except OSError as exc:
            with suppress(OSError):
                partial.unlink()
            raise StoreError(
                f"The blob {ref.sha256[:12]}… of {len(data):,} bytes could not be written: {exc.strerror}.",
                hint="Free some space, or make the vault's folder writable.",
            ) from exc
        return ref

    def get(self, ref: BlobRef) -> bytes:
        """Return the bytes. Raises: NotFound if the file is gone, Corrupt if it holds something else."""
        try:
            data = self.path(ref.sha256).read_bytes()
        except FileNotFoundError as exc:
            raise NotFound(f"The blob {ref.sha256} is not in the vault.", hint="Restore it from a backup.") from exc
        if hashlib.sha256(data).hexdigest() != ref.sha256:
            raise Corrupt(f"The blob {ref.sha256} does not hold what its name says.", hint="Restore it from a backup.")
        return data

    def delete(self, sha256: str) -> None:
        """Remove a blob; nothing happens if it is not there. The caller knows that no cube refers to it."""
        self.path(sha256).unlink(missing_ok=True)

    def names(self) -> Iterator[str]:
        """Yield the SHA-256 of every blob in the folder."""
        for path in sorted(self.folder.glob("??/*")):
            if len(path.name) == 64:
                yield path.name


def _sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where the system can (Windows does it by itself)."""
    if os.name != "nt":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
