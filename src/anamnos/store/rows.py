"""How a cube lies in a row of a store of tables, and comes back from it unchanged."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from anamnos.cube import (
    Annotations,
    BlobRef,
    CubeId,
    Lifecycle,
    Link,
    LinkKind,
    MemCube,
    Policy,
    Provenance,
    Role,
    Scope,
    Substrate,
    Times,
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

CUBE_COLUMNS = (
    "c.row, c.id, c.version, s.tenant, s.user, s.agent, s.session, o.source, o.operator, c.substrate, c.role,"
    " c.state, c.created_at, c.recorded_at, c.superseded_at, c.actor, c.importance, c.trust, c.linked,"
    " c.content, c.more"
)
CUBE_TABLES = "cubes c JOIN scopes s USING (scope) JOIN origins o USING (origin)"


_COLUMNS_OF = {
    "provenance": ("source", "operator", "actor", "trust"),
    "time": ("created_at", "recorded_at", "superseded_at"),
    "lifecycle": ("state", "importance"),
    "policy": (),
    "annotations": (),
}
_DEFAULTS = {
    "provenance": Provenance(),
    "time": Times(),
    "lifecycle": Lifecycle(),
    "policy": Policy(),
    "annotations": Annotations(),
}
_P = TypeVar("_P", Provenance, Times, Lifecycle, Policy, Annotations)


def id_bytes(cube_id: str) -> bytes:
    """Return the 16 bytes of a cube id; they sort like the id."""
    return bytes.fromhex(cube_id.replace("-", ""))


def id_text(data: bytes) -> CubeId:
    """Return the cube id of 16 bytes."""
    text = data.hex()
    return CubeId(f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}")


def vector_bytes(vector: NDArray[np.float32]) -> bytes:
    """Return a vector as the store keeps it: float16 where that loses nothing, else float32, little-endian."""
    with np.errstate(over="ignore"):  # what is too large for float16 becomes infinite, and is then not equal
        half = vector.astype("<f2")
    return half.tobytes() if np.array_equal(half.astype(np.float32), vector) else vector.astype("<f4").tobytes()


def vector_from_bytes(data: bytes, dim: int) -> NDArray[np.float32]:
    """Return the vector that ``vector_bytes`` wrote."""
    return np.frombuffer(data, dtype="<f2" if len(data) == 2 * dim else "<f4").astype(np.float32)


def micros(time: datetime | None) -> int | None:
    """Return a time as microseconds since 1970, exactly."""
    return None if time is None else (time - _EPOCH) // _MICROSECOND


def from_micros(value: int | None) -> datetime | None:
    """Return the UTC time of microseconds since 1970, exactly."""
    return None if value is None else _EPOCH + timedelta(microseconds=value)


def more_json(cube: MemCube) -> str | None:
    """Return the JSON of those fields that have no column; None if all of them are at their defaults."""
    more: dict[str, Any] = {}
    for name, columns in _COLUMNS_OF.items():
        part = getattr(cube, name)
        if part != _DEFAULTS[name] and (data := _without(part.to_dict(), *columns)):
            more[name] = data
    if cube.parent_id is not None:
        more["parent_id"] = cube.parent_id
    if isinstance(cube.content, BlobRef):
        more["blob"] = cube.content.to_dict()
    return json.dumps(more, ensure_ascii=False, separators=(",", ":")) if more else None


def cube_from_row(row: tuple[Any, ...], links: Mapping[int, tuple[Link, ...]]) -> MemCube:
    """Return the cube of a row of ``CUBE_COLUMNS``; ``links`` by row number."""
    number, cube_id, version, tenant, user, agent, session, source, operator, substrate, role, state = row[:12]
    created_at, recorded_at, superseded_at, actor, importance, trust, linked, content, more_text = row[12:]
    more: dict[str, Any] = json.loads(more_text) if more_text else {}
    time = {
        "created_at": from_micros(created_at),
        "recorded_at": from_micros(recorded_at),
        "superseded_at": from_micros(superseded_at),
    }
    origin = {"source": source, "operator": operator, "actor": actor, "trust": trust}
    return MemCube(
        id=id_text(cube_id),
        version=version,
        content=BlobRef.from_dict(more["blob"]) if "blob" in more else content,
        scope=Scope(tenant, user, agent, session),
        parent_id=more.get("parent_id"),
        substrate=Substrate(substrate),
        role=Role(role),
        provenance=_part(Provenance, more.get("provenance"), origin),
        time=_part(Times, more.get("time"), time),
        lifecycle=_part(Lifecycle, more.get("lifecycle"), {"state": state, "importance": importance}),
        policy=_part(Policy, more.get("policy"), {}),
        annotations=_part(Annotations, more.get("annotations"), {}),
        links=links[number] if linked else (),
    )


def _part(kind: type[_P], more: dict[str, Any] | None, columns: dict[str, Any]) -> _P:
    """Return a part of a cube from its columns and from what JSON adds to them."""
    if not more:
        return kind(**columns)
    return replace(kind.from_dict(more), **columns)


def link_from_row(kind: str, target: bytes, weight: float) -> Link:
    """Return the link of a row of the table ``links``."""
    return Link(LinkKind(kind), id_text(target), weight)


def _without(data: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name not in names}
