"""Memories written to a bundle: a folder, or a zip archive whose members are stored as they are.

Equal bundles are equal files, to the byte. Nothing is left of one that could not be written to its end.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import stat
import uuid
import zipfile
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from anamnos.cube import MemCube, Scope, Substrate, check_text, to_iso
from anamnos.errors import InvalidInput, StoreError
from anamnos.store.base import EmbedderInfo, Store
from anamnos.store.blobs import BlobStore
from anamnos.system.bundles.format import (
    AUDIT,
    CHUNK,
    CUBES,
    MANIFEST,
    SCHEMA,
    Manifest,
    canonical,
    check_bundle_name,
    manifest_of,
    version_key,
)
from anamnos.system.bundles.signing import private_key, sign
from anamnos.system.exchange import write_export


def write_bundle(
    target: Path,
    store: Store,
    blobs: BlobStore,
    scope: Scope | None,
    info: EmbedderInfo,
    now: datetime,
    *,
    name: str,
    version: str = "1",
    description: str = "",
    licence: str = "",
    substrates: Iterable[Substrate | str] = tuple(Substrate),
    key: Path | None = None,
    audit: Iterable[Mapping[str, Any]] | None = None,
    also: Callable[[MemCube], bool] = lambda cube: True,
    shown: Callable[[MemCube], MemCube] | None = None,
) -> Manifest:
    """Write memories to a new bundle and return its manifest.

    target  a folder, new or empty; or a new file, if its name ends in .zip
    key     file of the private key to sign with; None: unsigned
    audit   rows to put beside the memories
    also    which memories, of those in the scope and of these substrates
    shown   makes of each version what is written, as for exports
    Raises: InvalidInput if the target is there, StoreError if it cannot be written; then nothing is left of it.
    """
    check_bundle_name(name)
    version_key(version)
    check_text("description", description)
    check_text("licence", licence)
    wanted = {Substrate(substrate) for substrate in substrates}
    target = target.absolute()
    if target.exists() and (not target.is_dir() or target.suffix == ".zip" or any(target.iterdir())):
        raise InvalidInput(f"{target} is there already and is not an empty folder.", hint="Name a new one.")
    signing, signer = private_key(key) if key is not None else (None, None)
    partial = target.with_name(f"{target.name}.partial-{uuid.uuid4().hex[:8]}")
    seen = _Seen()
    try:
        partial.mkdir(parents=True)

        def keep(cube: MemCube) -> bool:
            return cube.substrate in wanted and also(cube) and seen(cube)

        write_export(partial / CUBES, store, scope, info, now, keep, shown)
        for sha256, size in sorted(seen.blobs.items()):
            _put_blob(blobs.read(sha256), partial / "blobs" / sha256[:2] / sha256, size)
        if audit is not None:
            lines = (json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in audit)
            (partial / AUDIT).write_text("".join(lines), "utf-8", newline="\n")
        files = sorted(p for p in partial.rglob("*") if p.is_file())
        body = {
            "anamnos_bundle": SCHEMA,
            "name": name,
            "version": version,
            "description": description,
            "licence": licence,
            "created_at": to_iso(now),
            "scope": None if scope is None else {"tenant": scope.tenant, **scope.to_dict()},
            "embedder": {"id": info.id, "dim": info.dim},
            "counts": {"memories": len(seen.ids), "versions": seen.versions, "blobs": len(seen.blobs)},
            "substrates": sorted(seen.substrates),
            "principals": sorted(seen.principals),
            "parts": {f.relative_to(partial).as_posix(): _described(f) for f in files},
            "signer": signer,
        }
        signature = None if signing is None else sign(canonical(body), signing)
        text = json.dumps({**body, "signature": signature}, ensure_ascii=False, indent=1, sort_keys=True)
        (partial / MANIFEST).write_text(text + "\n", "utf-8", newline="\n")
        _put_in_place(partial, target)
    except OSError as exc:
        raise StoreError(f"The bundle {target} could not be written: {exc.strerror}.", hint="Free some space.") from exc
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return manifest_of(body, str(target))


class _Seen:
    """What the memories are that go into a bundle."""

    def __init__(self) -> None:
        self.versions = 0
        self.ids: set[str] = set()
        self.substrates: set[str] = set()
        self.principals: set[str] = set()
        self.blobs: dict[str, int] = {}

    def __call__(self, cube: MemCube) -> bool:
        self.versions += 1
        self.ids.add(cube.id)
        self.substrates.add(str(cube.substrate))
        self.principals |= {*cube.policy.readers, *cube.policy.writers}
        if not isinstance(cube.content, str):
            self.blobs[cube.content.sha256] = cube.content.size_bytes
        return True


def _put_blob(data: bytes, target: Path, size: int) -> None:
    if len(data) != size:
        raise StoreError(f"A memory says that the blob {target.name} has {size:,} bytes; it has {len(data):,}.")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)


def _described(path: Path) -> dict[str, Any]:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for chunk in iter(lambda: file.read(CHUNK), b""):
            digest.update(chunk)
    return {"sha256": digest.hexdigest(), "size_bytes": path.stat().st_size}


def _put_in_place(partial: Path, target: Path) -> None:
    if target.suffix == ".zip":
        archive = target.with_name(f"{partial.name}.zip")
        try:
            pack(partial, archive)
            archive.rename(target)
        finally:
            archive.unlink(missing_ok=True)
        return
    if target.exists():
        target.rmdir()
    partial.rename(target)


def pack(folder: Path, archive: Path) -> None:
    """Write the files of a folder to a zip archive, which depends on nothing but their names and bytes."""
    with zipfile.ZipFile(archive, "x", zipfile.ZIP_STORED) as file:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            member = zipfile.ZipInfo(path.relative_to(folder).as_posix(), (1980, 1, 1, 0, 0, 0))
            member.create_system, member.external_attr = 3, (stat.S_IFREG | 0o644) << 16
            member.file_size = path.stat().st_size
            with path.open("rb") as source, file.open(member, "w") as out:
                shutil.copyfileobj(source, out, CHUNK)
