"""Memories to consolidate."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from anamnos.cube import Annotations, CubeId, Lifecycle, MemCube, Provenance, Role, Scope, Times
from anamnos.testing import seeded_ids

START = datetime(2024, 1, 1, 9, tzinfo=UTC)
_new_id = seeded_ids(7)


def said(text: str, day: float = 0, *, actor: str | None = "Ann", **changes: Any) -> MemCube:
    at = START + timedelta(days=day)
    life = Lifecycle(**changes.pop("life", {}))
    return MemCube(
        id=_new_id(at),
        content=text,
        scope=changes.pop("scope", Scope(user="ann")),
        role=changes.pop("role", Role.TURN),
        provenance=Provenance(actor=actor, **changes.pop("origin", {})),
        time=Times(created_at=at, recorded_at=at),
        lifecycle=life,
        **changes,
    )


def fact(subject: str, predicate: str, object: str, day: float = 0, **changes: Any) -> MemCube:
    note = {"kind": "fact", "subject": subject, "predicate": predicate, "object": object}
    text = f"{subject} {predicate} {object}."
    source: CubeId = _new_id(START)
    data = Annotations(data={"extract": note})
    return said(text, day, role=Role.FACT, origin={"derived_from": (source,)}, annotations=data, **changes)
