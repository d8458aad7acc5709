"""Content that is not text: files of the vault named by the SHA-256 of what they hold.

Layout: ``blobs/<first two hex digits>/<sha256>``. In an encrypted vault each is sealed, and its name is made from the
SHA-256 with the key, so that nobody can see whether a known file is among them. See docs/formats/vault.md.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from anamnos.cube import BlobRef
from anamnos.errors import Corrupt, NotFound, StoreError
from anamnos.store.files import sync_folder, wipe
from anamnos.store.sealed import Unsealable, derive, seal, unseal


class BlobStore:
    """A folder of content-addressed files. Putting the same bytes twice keeps one file.

    key  of an encrypted vault: 32 bytes; None: the files are plain
    """

    def __init__(self, folder: Path, key: bytes | None = None) -> None:
        self.folder = folder
        self._key = None if key is None else derive(key, "blobs")
        self._name_key = None if key is None else derive(key, "names of blobs")

    def path(self, sha256: str) -> Path:
        """Return where the file of what has that SHA-256 lives, whether it is there or not."""
        name = sha256
        if self._name_key is not None:
            name = hmac.new(self._name_key, sha256.encode(), "sha256").hexdigest()
        return self.folder / name[:2] / name

    def put(self, data: bytes, media_type: str) -> BlobRef:
        """Store bytes durably and return the reference to them. Raises: StoreError (disk full, read-only)."""
        ref = BlobRef(hashlib.sha256(data).hexdigest(), len(data), media_type)
        target = self.path(ref.sha256)
        partial = target.with_name(f"{uuid.uuid4().hex}.partial")
        try:
            with suppress(NotFound, Corrupt):
                if self.read(ref.sha256) == data:
                    return ref
            target.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("xb") as file:
                for piece in [data] if self._key is None else seal(self._key, data, target.name):
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(target)
            sync_folder(target.parent)
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
        return self.read(ref.sha256)

    def read(self, sha256: str) -> bytes:
        """Return the bytes that have this SHA-256. Raises: as ``get``."""
        path = self.path(sha256)
        try:
            if self._key is None:
                data = path.read_bytes()
            else:
                with path.open("rb") as file:
                    data = b"".join(unseal(self._key, file, path.name))
        except FileNotFoundError as exc:
            raise NotFound(f"The blob {sha256} is not in the vault.", hint="Restore it from a backup.") from exc
        except Unsealable:
            data = None
        if data is None or hashlib.sha256(data).hexdigest() != sha256:
            raise Corrupt(f"The blob {sha256} does not hold what its name says.", hint="Restore it from a backup.")
        return data

    def delete(self, sha256: str) -> None:
        """Remove a blob; nothing happens if it is not there. The caller knows that no cube refers to it."""
        self.path(sha256).unlink(missing_ok=True)

    def names(self) -> Iterator[str]:
        """Yield the name of every blob's file: the SHA-256, or in an encrypted vault what stands for it."""
        for path in sorted(self.folder.glob("??/*")):
            if len(path.name) == 64:
                yield path.name

    def drop_partials(self) -> None:
        """Remove what was cut off in the middle of a ``put``. One that is going on then fails."""
        for path in self.folder.glob("??/*.partial"):
            wipe(path)

    def keep_only(self, used: Iterable[str]) -> None:
        """Remove every blob whose SHA-256 is not among ``used``, and blobs of another key."""
        kept = {self.path(sha256).name for sha256 in used}
        for name in self.names():
            if name not in kept:
                wipe(self.folder / name[:2] / name)
