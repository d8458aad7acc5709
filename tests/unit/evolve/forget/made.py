"""A memory to forget, with as much of a life as a test needs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from anamnos.cube import Annotations, CubeId, Lifecycle, MemCube, Provenance, Scope, Times

START = datetime(2024, 1, 1, tzinfo=UTC)
ID = CubeId("01890a5d-ac96-774b-bcce-b302099a8057")


def cube(
    *,
    uses: int = 0,
    used: float | None = None,
    trust: float = 1.0,
    data: dict[str, Any] | None = None,
    **life: Any,
) -> MemCube:
    last = None if used is None else START + timedelta(days=used)
    return MemCube(
        id=ID,
        content="Ann likes tea.",
        scope=Scope(user="ann"),
        provenance=Provenance(trust=trust, derived_from=(ID,)),
        time=Times(recorded_at=START),
        lifecycle=Lifecycle(uses=uses, last_used_at=last, **life),
        annotations=Annotations(data=data or {}),
    )


def day(days: float) -> datetime:
    return START + timedelta(days=days)
