"""Turns to derived memories: which turns are to be read, what comes of them, and what no longer holds.

Each derived memory stands on one turn, names it in ``derived_from``, and goes with it. Which turns were read is known
by the number of the last change seen; a turn that was edited since is read anew and what its old words gave is erased.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from anamnos.cube import (
    Annotations,
    CubeId,
    IdSource,
    Lifecycle,
    MemCube,
    Provenance,
    Role,
    Scope,
    State,
    Substrate,
    Times,
    to_iso,
)
from anamnos.ingest.extract.base import Extracted
from anamnos.ingest.plan import CORRECTED, Planned
from anamnos.store.base import Store, Transaction
from anamnos.types import SEARCHED_STATES, And, Comparison, Field, Where

DATA_KEY = "extract"
"""Where in ``annotations.data`` an extracted memory says how it came to be."""

_ROLES = (Role.TURN, Role.NOTE)
_MAX_LABEL_CHARS = 200
_ANY_STATE = Where(Field.STATE, Comparison.IN, tuple(State))


def mark_name(scope: Scope, operator: str) -> str:
    """Return the store's setting that holds the last change which this extractor has seen in a scope."""
    return f"enriched:{operator}:{_digest(scope, 'mark').hex()}"


def unread(store: Store, scope: Scope, operator: str) -> list[MemCube]:
    """Return the turns and notes of a scope that were written or edited since this extractor last read it."""
    mark = store.setting(mark_name(scope, operator))
    if mark is None:
        return [cube for cube in _pages(store, scope) if is_readable(cube)]
    rows: list[int] = []
    seen = int(mark)
    while changes := store.changes(seen):
        rows += [change.row for change in changes if change.kind == "written"]
        seen = changes[-1].seq
    return [
        cube
        for cube in store.at(sorted(set(rows)))
        if is_readable(cube) and scope.covers(cube.scope) and cube.time.superseded_at is None
    ]


def is_readable(cube: MemCube) -> bool:
    """Return whether a memory is somebody's own words: said or noted, and not derived."""
    return (
        cube.role in _ROLES
        and cube.substrate is Substrate.TEXT
        and cube.lifecycle.state in SEARCHED_STATES
        and not cube.provenance.derived_from
    )


def _pages(store: Store, scope: Scope) -> Iterator[MemCube]:
    after = None
    while page := store.list(scope, Where(Field.ROLE, Comparison.IN, _ROLES), after=after, limit=1_000):
        yield from page
        after = page[-1].id


def sessions(turns: Iterable[MemCube], size: int) -> Iterator[list[MemCube]]:
    """Yield the turns by session, at most ``size`` at a time, in order."""
    grouped: dict[Scope, list[MemCube]] = {}
    for cube in turns:
        grouped.setdefault(cube.scope, []).append(cube)
    for group in grouped.values():
        for start in range(0, len(group), size):
            yield group[start : start + size]


def derived_of(store: Store, scope: Scope, turns: Sequence[MemCube]) -> dict[CubeId, list[MemCube]]:
    """Return what was extracted from each of these turns before."""
    wanted = Where(Field.DERIVED_FROM, Comparison.IN, [cube.id for cube in turns])
    found: dict[CubeId, list[MemCube]] = {}
    for cube in store.list(scope, And((wanted, _ANY_STATE))):
        if DATA_KEY in cube.annotations.data:
            for source in cube.provenance.derived_from:
                found.setdefault(source, []).append(cube)
    return found


def is_read(turn: MemCube, derived: Collection[MemCube], operator: str) -> bool:
    """Return whether this extractor has read the turn's present words, as what it derived from them shows."""
    notes = [cube.annotations.data[DATA_KEY] for cube in derived]
    return any((note.get("asked"), note.get("source_version")) == (operator, turn.version) for note in notes)


def are_there(cubes: Iterable[MemCube], tx: Transaction) -> bool:
    """Return whether none of some memories was erased meanwhile."""
    return all(tx.current(cube.id) is not None for cube in cubes)


def plan_derived(
    extracted: Iterable[Extracted], turns: Sequence[MemCube], operator: str, new_id: IdSource, now: datetime
) -> list[Planned]:
    """Return the memories to write, each with the key that makes writing it again add nothing."""
    by_id = {cube.id: cube for cube in turns}
    planned: dict[bytes, Planned] = {}
    for item in extracted:
        turn = by_id[item.sources[0]]
        triple = (item.subject, item.predicate, item.object)
        key = _digest(turn.scope, DATA_KEY, turn.id, operator, item.kind, item.text, *triple)
        if key not in planned:
            planned[key] = Planned(key, cube=_cube(item, turn, operator, new_id(now)))
    return list(planned.values())


def stale(derived: Collection[MemCube], kept: Collection[CubeId]) -> list[CubeId]:
    """Return what the turn no longer says; what somebody has corrected by hand, or frozen, stays."""
    return [
        cube.id
        for cube in derived
        if cube.id not in kept and cube.provenance.operator != CORRECTED and cube.lifecycle.state is not State.FROZEN
    ]


def _cube(item: Extracted, turn: MemCube, operator: str, cube_id: CubeId) -> MemCube:
    """Return the memory of what was found: with its turn's scope and policy, and the three dates."""
    note: dict[str, Any] = {
        "asked": operator,
        "extractor": item.operator,
        "source_version": turn.version,
        "kind": item.kind,
        "quote": item.quote,
        "subject": item.subject,
        "predicate": item.predicate,
        "object": item.object,
        "confidence": item.confidence,
    }
    if item.reason:
        note["reason"] = item.reason
    if item.denied:
        note["denied"] = True
    if item.serial is not None:
        note["serial"] = item.serial
    valid_from = turn.time.created_at
    if item.when is not None:
        start, end = item.when.meant
        valid_from = start
        note["when"] = {"phrase": item.when.phrase, "start": to_iso(start), "end": to_iso(end)}
        note["when"]["tolerance_days"] = item.when.tolerance.days
    return MemCube(
        id=cube_id,
        content=item.text,
        scope=turn.scope,
        role=Role.FACT,
        provenance=replace(
            Provenance(source=turn.provenance.source, actor=turn.provenance.actor, trust=turn.provenance.trust),
            operator=item.operator,
            derived_from=item.sources,
        ),
        time=Times(created_at=turn.time.created_at, valid_from=valid_from),
        lifecycle=Lifecycle(importance=item.importance),
        policy=turn.policy,
        annotations=Annotations(
            keywords=_labels(item.keywords),
            tags=(item.kind,),
            entities=_labels(item.entities),
            language=turn.annotations.language,
            data={DATA_KEY: note},
        ),
    )


def _labels(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names that can be labels: short, and without control characters."""
    return tuple(n for n in names if n.strip() and len(n) <= _MAX_LABEL_CHARS and all(ord(c) >= 32 for c in n))


def _digest(scope: Scope, *parts: object) -> bytes:
    text = json.dumps([scope.tenant, scope.user, scope.agent, scope.session, *parts], ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
