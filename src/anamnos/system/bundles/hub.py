"""Where bundles are published: a folder, or the same folder behind a web server. See docs/formats/bundle.md.

``index.json`` says which bundles there are, in which versions; ``bundles/<sha256>.zip`` are the files, named by what
they hold, so that a file that was changed is noticed. Publishing and revoking need the folder; reading needs no more
than static files over HTTP.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from anamnos.cube import check_text, to_iso
from anamnos.errors import (
    Conflict,
    InvalidInput,
    LimitExceeded,
    MigrationNeeded,
    MissingExtra,
    NotFound,
    ProviderError,
    StoreError,
)
from anamnos.system.bundles.format import CHUNK, Manifest, check_bundle_name, version_key
from anamnos.system.bundles.reading import MAX_BUNDLE_BYTES, open_bundle
from anamnos.system.bundles.writing import pack

SCHEMA = 1
INDEX = "index.json"
MAX_INDEX_BYTES = 16 * 2**20
TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Published:
    """One version of a bundle at a place.

    sha256   of its file
    signer   the public key that it is signed by; None: unsigned
    revoked  why it must not be used any more; None if it may be
    """

    name: str
    version: str
    sha256: str
    size_bytes: int
    signer: str | None
    description: str = ""
    licence: str = ""
    revoked: str | None = None


# --- writing


def publish(bundle: Path, folder: Path, now: datetime) -> Manifest:
    """Put a bundle into a hub's folder, which is made if need be, and return its manifest.

    Raises: as ``open_bundle``; Conflict if this version is there already, with other content or revoked.
    """
    with open_bundle(bundle) as opened:
        manifest = opened.manifest
    with _locked(folder):
        partial = folder / f"{uuid.uuid4().hex}.partial"
        try:
            if bundle.is_dir():
                pack(bundle, partial)
            else:
                shutil.copyfile(bundle, partial)
            with partial.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            index = _read_index((folder / INDEX).read_bytes(), str(folder)) if (folder / INDEX).exists() else {}
            known = index.setdefault(manifest.name, {}).get(manifest.version)
            if known is not None and (known["sha256"] != sha256 or known.get("revoked") is not None):
                raise Conflict(
                    f"{manifest.name} {manifest.version} is published already, "
                    + ("and was revoked." if known.get("revoked") is not None else "with other content."),
                    hint="Give the bundle a new version.",
                )
            size = partial.stat().st_size
            (folder / "bundles").mkdir(exist_ok=True)
            partial.replace(_file(folder, sha256))
            index[manifest.name][manifest.version] = known or {
                "sha256": sha256,
                "size_bytes": size,
                "signer": manifest.signer,
                "published_at": to_iso(now),
                "description": manifest.description,
                "licence": manifest.licence,
                "revoked": None,
            }
            _write_index(folder, index)
        except OSError as exc:
            raise StoreError(f"{bundle} could not be published in {folder}: {exc.strerror}.") from exc
        finally:
            partial.unlink(missing_ok=True)
    return manifest


def revoke(folder: Path, name: str, version: str | None, reason: str) -> list[str]:
    """Take a version of a bundle (None: all) back, and return which: who has it installed loses it at the next update.

    Its file is removed; that it was there, and why it is no more, stays in the index. Raises: NotFound.
    """
    check_text("reason", reason, max_chars=1_000)
    if not (folder / INDEX).exists():
        raise NotFound(f"Nothing is published in {folder}.")
    with _locked(folder):
        index = _read_index((folder / INDEX).read_bytes(), str(folder))
        versions = index.get(name, {})
        gone = sorted(versions, key=version_key) if version is None else [version]
        if not versions or any(number not in versions for number in gone):
            raise NotFound(f"There is no {name} {version or ''} in {folder}.".replace("  ", " "))
        for number in gone:
            versions[number]["revoked"] = reason
        _write_index(folder, index)
        kept = {entry["sha256"] for all_of in index.values() for entry in all_of.values() if entry["revoked"] is None}
        for number in gone:
            if versions[number]["sha256"] not in kept:
                _file(folder, versions[number]["sha256"]).unlink(missing_ok=True)
    return gone


def _locked(folder: Path) -> FileLock:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise StoreError(f"The folder {folder} cannot be made: {exc.strerror}.") from exc
    return FileLock(folder / "lock")


def _write_index(folder: Path, index: Mapping[str, Any]) -> None:
    partial = folder / f"{uuid.uuid4().hex}.partial"
    try:
        text = json.dumps({"anamnos_hub": SCHEMA, "bundles": index}, ensure_ascii=False, indent=1, sort_keys=True)
        partial.write_text(text + "\n", "utf-8", newline="\n")
        partial.replace(folder / INDEX)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def _file(folder: Path, sha256: str) -> Path:
    return folder / "bundles" / f"{sha256}.zip"


# --- reading


def published(location: str) -> list[Published]:
    """Return all that is published at a folder or an address, by name and version, revoked ones too.

    Raises: NotFound if there is nothing; ProviderError if a server fails; InvalidInput if it is no hub.
    """
    index = _read_index(b"".join(_fetch(location, INDEX, MAX_INDEX_BYTES)), location)
    fields = ("sha256", "size_bytes", "signer", "description", "licence", "revoked")
    return [
        Published(name, version, **{field: index[name][version][field] for field in fields})
        for name in sorted(index)
        for version in sorted(index[name], key=version_key)
    ]


def find(location: str, name: str, version: str | None = None) -> Published:
    """Return a version of a bundle, the newest that is not revoked by default. Raises: NotFound, as ``published``."""
    everything = published(location)
    versions = [each for each in everything if each.name == name]
    wanted = [each for each in versions if each.version == version or (version is None and each.revoked is None)]
    if not wanted:
        names = sorted({each.name for each in everything})
        hint = "Revoked ones do not count." if versions else f"There are: {', '.join(names) or 'none'}."
        raise NotFound(f"There is no bundle {name}{f' {version}' if version else ''} at {location}.", hint=hint)
    if wanted[-1].revoked is not None:
        raise NotFound(f"{name} {version} was revoked: {wanted[-1].revoked}.")
    return wanted[-1]


def download(location: str, wanted: Published, target: Path) -> None:
    """Write a published bundle to a new file. Raises: InvalidInput if it is not what the index says; ProviderError."""
    if wanted.size_bytes > MAX_BUNDLE_BYTES:
        raise LimitExceeded(f"{wanted.name} has {wanted.size_bytes:,} bytes; at most {MAX_BUNDLE_BYTES:,} are allowed.")
    digest = hashlib.sha256()
    with target.open("xb") as file:
        for chunk in _fetch(location, f"bundles/{wanted.sha256}.zip", wanted.size_bytes):
            digest.update(chunk)
            file.write(chunk)
    if digest.hexdigest() != wanted.sha256:
        raise InvalidInput(f"{wanted.name} {wanted.version} at {location} is not what its index says.")


def is_address(location: str) -> bool:
    """Return whether a hub is reached over the network."""
    return location.startswith(("http://", "https://"))


def _read_index(data: bytes, where: str) -> dict[str, dict[str, Any]]:
    try:
        index = json.loads(data.decode("utf-8"))
        schema, bundles = index["anamnos_hub"], index["bundles"]
        if isinstance(schema, int) and schema > SCHEMA:
            raise MigrationNeeded(
                f"{where} is a hub of schema {schema}; this version of Anamnos knows {SCHEMA}.",
                hint="Upgrade with: pip install --upgrade anamnos",
            )
        for name, versions in bundles.items():
            check_bundle_name(name)
            for version, entry in versions.items():
                version_key(version)
                _check_entry(entry)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise InvalidInput(f"{where} is no hub of bundles: its {INDEX} is damaged ({exc!r}).") from exc
    return dict(bundles)


def _check_entry(entry: Mapping[str, Any]) -> None:
    """Raise ValueError, KeyError or TypeError unless this is what an index says of one version."""
    if len(bytes.fromhex(entry["sha256"])) != 32 or len(entry["sha256"]) != 64:
        raise ValueError("a file without a name")
    if type(entry["size_bytes"]) is not int or entry["size_bytes"] < 0:
        raise ValueError("a file without a size")
    for field in ("signer", "revoked", "description", "licence"):
        if not isinstance(entry[field], str) and (entry[field] is not None or field in ("description", "licence")):
            raise ValueError(f"{field} is not text")


def _fetch(location: str, name: str, max_bytes: int) -> Iterator[bytes]:
    """Yield the bytes of a file of a hub. Raises: NotFound, ProviderError, LimitExceeded if there are too many."""
    left = max_bytes
    for chunk in _from_address(location, name) if is_address(location) else _from_folder(Path(location), name):
        left -= len(chunk)
        if left < 0:
            raise LimitExceeded(f"{name} at {location} is larger than {max_bytes:,} bytes.")
        yield chunk


def _from_folder(folder: Path, name: str) -> Iterator[bytes]:
    try:
        with (folder / name).open("rb") as file:
            yield from iter(lambda: file.read(CHUNK), b"")
    except FileNotFoundError as exc:
        raise NotFound(f"There is no {name} in {folder}.", hint="Is this the folder of a hub?") from exc
    except OSError as exc:
        raise StoreError(f"{name} in {folder} cannot be read: {exc.strerror}.") from exc


def _from_address(location: str, name: str) -> Iterator[bytes]:
    try:
        import httpx2
    except ImportError as exc:
        raise MissingExtra("A hub behind an address", "server") from exc
    url = f"{location.rstrip('/')}/{name}"
    try:
        plain = {"accept-encoding": "identity"}
        with httpx2.stream("GET", url, timeout=TIMEOUT_S, headers=plain, follow_redirects=True) as response:
            if response.status_code == 404:
                raise NotFound(f"There is no {name} at {location}.", hint="Is this the address of a hub?")
            if not response.is_success:
                raise ProviderError(
                    f"{url} answered {response.status_code}.", retryable=response.status_code >= 500, hint="Try later."
                )
            yield from response.iter_bytes()
    except httpx2.HTTPError as exc:
        raise ProviderError(f"{url} did not answer: {type(exc).__name__} {exc}.", retryable=True) from exc
    except httpx2.InvalidURL as exc:
        raise InvalidInput(f"{location!r} is not an address: {exc}.") from exc
