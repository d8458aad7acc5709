"""What a bundle is: its files, its manifest, and what it may be called. See docs/formats/bundle.md."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from anamnos.cube import Scope, from_iso, to_iso
from anamnos.errors import InvalidInput, MigrationNeeded
from anamnos.store.base import EmbedderInfo

SCHEMA = 1
MANIFEST, CUBES, AUDIT = "manifest.json", "cubes.jsonl", "audit.jsonl"
CHUNK = 2**20
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}\Z")
_VERSION = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9}){0,3}\Z")


@dataclass(frozen=True, slots=True)
class Part:
    """What the manifest says of one file of a bundle."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a bundle says of itself.

    name, version  what it is called; versions are numbers with dots, 1.2 comes before 1.10
    scope          whose memory it was made of; None: everybody's
    embedder       whose vectors it holds
    memories, versions, blobs  how many of each
    substrates     what its memories are made of
    principals     who is named as reader or writer of some memory
    parts          its files, but for the manifest
    signer         the public key that it is signed by; None: unsigned
    id             SHA-256 of all of this: two bundles with the same id are the same
    """

    name: str
    version: str
    created_at: datetime
    scope: Scope | None
    embedder: EmbedderInfo
    memories: int
    versions: int
    blobs: int
    substrates: tuple[str, ...]
    principals: tuple[str, ...]
    parts: Mapping[str, Part]
    signer: str | None
    id: str
    description: str = ""
    licence: str = ""

    def counts(self) -> dict[str, int]:
        """Return how much there is."""
        return {"memories": self.memories, "versions": self.versions, "blobs": self.blobs}

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "version": self.version,
            "id": self.id,
            "signer": self.signer,
            "created_at": to_iso(self.created_at),
            "scope": None if self.scope is None else {"tenant": self.scope.tenant, **self.scope.to_dict()},
            "embedder": {"id": self.embedder.id, "dim": self.embedder.dim},
            "counts": self.counts(),
            "substrates": list(self.substrates),
            "principals": list(self.principals),
            "description": self.description,
            "licence": self.licence,
            "bytes": sum(part.size_bytes for part in self.parts.values()),
        }


def version_key(version: str) -> tuple[int, ...]:
    """Return what versions are ordered by. Raises: InvalidInput if it is none.

    >>> version_key("1.10") > version_key("1.2")
    True
    """
    if not isinstance(version, str) or not _VERSION.match(version):
        raise InvalidInput(f"{version!r} is not a version of a bundle.", hint="Write numbers with dots: 1.2")
    return tuple(map(int, version.split(".")))


def check_bundle_name(name: object) -> str:
    """Return ``name`` if a bundle may be called so. Raises: InvalidInput."""
    if not isinstance(name, str) or not _NAME.match(name):
        raise InvalidInput(
            f"{name!r} is not a name of a bundle.", hint="Use up to 64 of a-z, 0-9, dot, underscore and hyphen."
        )
    return name


def manifest_of(body: Mapping[str, Any], where: str) -> Manifest:
    """Return the manifest that JSON without its signature describes. Raises: InvalidInput, MigrationNeeded."""
    schema = body.get("anamnos_bundle")
    if isinstance(schema, int) and schema > SCHEMA:
        raise MigrationNeeded(
            f"{where} is a bundle of schema {schema}; this version of Anamnos knows schemas up to {SCHEMA}.",
            hint="Upgrade with: pip install --upgrade anamnos",
        )
    if schema != SCHEMA or isinstance(schema, bool):
        raise InvalidInput(f"{where} is a bundle of no known schema: {schema!r}.")
    try:
        parts = {str(n): Part(str(p["sha256"]), _count(p["size_bytes"])) for n, p in body["parts"].items()}
        if bad := next((name for name, part in parts.items() if not _SHA256.match(part.sha256)), None):
            raise InvalidInput(f"The manifest of {where} has no SHA-256 of {bad!r}.")
        created_at = from_iso("created_at", body["created_at"])
        if created_at is None:
            raise InvalidInput(f"The manifest of {where} has no created_at.")
        version_key(body["version"])
        counts = body["counts"]
        return Manifest(
            name=check_bundle_name(body["name"]),
            version=body["version"],
            created_at=created_at,
            scope=None if body["scope"] is None else Scope.from_dict(body["scope"]),
            embedder=EmbedderInfo(str(body["embedder"]["id"]), _count(body["embedder"]["dim"])),
            memories=_count(counts["memories"]),
            versions=_count(counts["versions"]),
            blobs=_count(counts["blobs"]),
            substrates=tuple(map(str, body["substrates"])),
            principals=tuple(map(str, body["principals"])),
            parts=parts,
            signer=_signer(body["signer"]),
            id=hashlib.sha256(canonical(body)).hexdigest(),
            description=str(body.get("description", "")),
            licence=str(body.get("licence", "")),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as exc:
        raise InvalidInput(f"The manifest of {where} is incomplete or damaged: {exc!r}.") from exc


def _signer(value: Any) -> str | None:
    if value is not None and not (isinstance(value, str) and _SHA256.match(value)):  # never the path of a file
        raise ValueError(f"{value!r} is no public key")
    return value


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is no count")
    return value


def canonical(body: Mapping[str, Any]) -> bytes:
    """Return the bytes that are signed and named by a manifest: its JSON with sorted keys and no spaces."""
    return json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
