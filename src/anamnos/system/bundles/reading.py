"""A bundle opened and checked as a whole, before anything of it is believed.

Nothing in a bundle is ever executed, or unpacked outside of memory.
"""

from __future__ import annotations

import hashlib
import json
import re
import stat
import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from anamnos.errors import BadSignature, InvalidInput, LimitExceeded
from anamnos.store.base import EmbedderInfo
from anamnos.system.bundles.format import CHUNK, CUBES, MANIFEST, Manifest, canonical, manifest_of
from anamnos.system.bundles.signing import check_signature, public_key
from anamnos.system.exchange import Exported, parse_export

MAX_MANIFEST_BYTES = 16 * 2**20
MAX_BUNDLE_BYTES = 16 * 2**30
# what zipfile raises for files that are none, or are made to look like one
_NOT_AN_ARCHIVE = (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError, IndexError)
_PART = re.compile(r"(cubes\.jsonl|audit\.jsonl|blobs/([0-9a-f]{2})/\2[0-9a-f]{62})\Z")


class _Files(Protocol):
    """The files of a bundle, wherever they are."""

    def sizes(self) -> dict[str, int]:
        """Return the size of each. Raises: InvalidInput for anything that is not a plain file."""

    def open(self, name: str) -> AbstractContextManager[IO[bytes]]:
        """Open one that ``sizes`` named."""


@dataclass(frozen=True)
class _Folder:
    root: Path

    def sizes(self) -> dict[str, int]:
        if not (self.root / MANIFEST).is_file():  # perhaps a large folder of something else
            return {}
        found = {}
        for path in sorted(self.root.rglob("*")):
            name = path.relative_to(self.root).as_posix()
            if path.is_symlink() or not (path.is_dir() or path.is_file()):
                raise InvalidInput(f"{self.root} holds {name!r}, which is a link or not a plain file.")
            if path.is_file():
                found[name] = path.stat().st_size
        return found

    def open(self, name: str) -> AbstractContextManager[IO[bytes]]:
        return (self.root / name).open("rb")


@dataclass(frozen=True)
class _Archive:
    path: Path
    file: zipfile.ZipFile

    def sizes(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for member in self.file.infolist():
            name = member.filename
            if name in found:
                raise InvalidInput(f"{self.path} holds {name!r} twice.")
            kind = stat.S_IFMT(member.external_attr >> 16)
            if member.is_dir() or kind not in (0, stat.S_IFREG) or member.flag_bits & 1:
                raise InvalidInput(f"{self.path} holds {name!r}, which is a link, a folder or encrypted.")
            if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
                raise InvalidInput(
                    f"{self.path} holds {name!r} compressed, and how large it would get is anybody's guess.",
                    hint="Make the file with: anamnos bundle create",
                )
            found[name] = member.file_size
        if sum(found.values()) > self.path.stat().st_size:
            raise InvalidInput(f"{self.path} says that it holds more than it is long.")
        return found

    def open(self, name: str) -> AbstractContextManager[IO[bytes]]:
        return self.file.open(name)


@dataclass(frozen=True)
class Bundle:
    """A bundle that was opened: its manifest is sound, its signature right, and its parts are all there."""

    path: Path
    manifest: Manifest
    files: _Files

    def read(self, name: str) -> bytes:
        """Return the bytes of a part. Raises: InvalidInput if they are not those that the manifest names."""
        chunks = list(self._chunks(name))
        return b"".join(chunks)

    def cubes(self, info: EmbedderInfo) -> list[Exported]:
        """Return the memories, with vectors of this embedder if the bundle has such. Raises: InvalidInput."""
        items = parse_export(self.read(CUBES), f"{CUBES} of {self.path}", info)
        if (len({item.cube.id for item in items}), len(items)) != (self.manifest.memories, self.manifest.versions):
            raise InvalidInput(f"{self.path} holds other memories than its manifest says.", hint="Get it again.")
        held = {c.sha256 for item in items if not isinstance(c := item.cube.content, str)}
        if missing := sorted(held - {Path(name).name for name in self.manifest.parts}):
            raise InvalidInput(f"{self.path} has no blob {missing[0]}, which a memory refers to.")
        return items

    def check(self) -> None:
        """Read every part once. Raises: InvalidInput naming the one that is damaged."""
        for name in self.manifest.parts:
            for _ in self._chunks(name):
                pass

    def _chunks(self, name: str) -> Iterator[bytes]:
        part, digest, left = self.manifest.parts[name], hashlib.sha256(), self.manifest.parts[name].size_bytes
        with self.files.open(name) as file:
            while left >= 0 and (chunk := file.read(min(CHUNK, left + 1))):
                left -= len(chunk)
                digest.update(chunk)
                yield chunk
        if left != 0 or digest.hexdigest() != part.sha256:
            raise InvalidInput(f"{name} of {self.path} is damaged: its checksum is wrong.", hint="Get it again.")


@contextmanager
def open_bundle(path: Path, *, signer: str | None = None, max_bytes: int = MAX_BUNDLE_BYTES) -> Iterator[Bundle]:
    """Open a bundle, check it as a whole, and lend it.

    signer     the public key (or its file) that it must be signed by; None: by anybody or nobody
    max_bytes  how large it may be
    Raises: InvalidInput, naming the part, if it is not a bundle, damaged, or holds what no bundle has; BadSignature;
    MigrationNeeded if it is of a newer version of Anamnos; LimitExceeded if it is too large.
    """
    expected = None if signer is None else public_key(signer)
    with ExitStack() as held:
        try:
            files = _Folder(path) if path.is_dir() else _Archive(path, held.enter_context(zipfile.ZipFile(path)))
            bundle = _checked(path, files, expected, max_bytes)
            bundle.check()
        except FileNotFoundError as exc:
            raise InvalidInput(f"There is no bundle {path}.") from exc
        except OSError as exc:
            raise InvalidInput(f"{path} cannot be read: {exc.strerror or exc}.") from exc
        except _NOT_AN_ARCHIVE as exc:
            raise InvalidInput(f"{path} is not a bundle, or damaged: {exc}.") from exc
        yield bundle


def _checked(path: Path, files: _Files, expected: str | None, max_bytes: int) -> Bundle:
    sizes = files.sizes()
    if MANIFEST not in sizes:
        raise InvalidInput(f"{path} is not a bundle: it has no {MANIFEST}.", hint="Exports go through: anamnos import")
    if sizes.pop(MANIFEST) > MAX_MANIFEST_BYTES:
        raise LimitExceeded(f"The manifest of {path} is longer than {MAX_MANIFEST_BYTES:,} bytes.")
    with files.open(MANIFEST) as file:
        raw = file.read(MAX_MANIFEST_BYTES + 1)
    try:
        body = json.loads(raw.decode("utf-8"))
        if not isinstance(body, dict):
            raise ValueError("it is no JSON object")
    except (ValueError, RecursionError) as exc:
        raise InvalidInput(f"The manifest of {path} is not JSON: {exc}.") from exc
    signature = body.pop("signature", None)
    manifest = manifest_of(body, str(path))
    for name in sorted({*sizes, *manifest.parts}):
        if not _PART.match(name):
            raise InvalidInput(f"{path} names {name!r}, which is no part of a bundle.")
        if name not in manifest.parts:
            raise InvalidInput(f"{path} holds {name!r}, which its manifest does not name.")
        if name.startswith("blobs/") and not name.endswith(manifest.parts[name].sha256):
            raise InvalidInput(f"{path} holds {name!r}, which is not named after what it holds.")
        if sizes.get(name) != manifest.parts[name].size_bytes:
            raise InvalidInput(f"{name} of {path} is missing or not as long as the manifest says.")
    if CUBES not in manifest.parts:
        raise InvalidInput(f"{path} has no {CUBES}.")
    if (total := sum(sizes.values())) > max_bytes:
        raise LimitExceeded(f"{path} has {total:,} bytes; at most {max_bytes:,} are allowed.")
    if expected is not None and manifest.signer != expected:
        by = "not signed" if manifest.signer is None else f"signed by {manifest.signer}"
        raise BadSignature(f"{path} is {by}; it should be signed by {expected}.")
    if (manifest.signer is None) != (signature is None):
        raise BadSignature(f"{path} has a signer without a signature, or a signature without a signer.")
    if manifest.signer is not None:
        check_signature(str(path), canonical(body), manifest.signer, str(signature))
    return Bundle(path, manifest, files)
