"""Turns to operations: what to add, what to change, what is known already.

Identity, in this order: the message id that the source gives; else, for a file that was read before, its place
among what did not change; else the words themselves with their speaker and time. So the same input twice adds
nothing, and an edited source makes new versions instead of doubles.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

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
    Times,
    to_iso,
)
from anamnos.ingest.readers.base import Turn
from anamnos.store.base import Store
from anamnos.types import Comparison, Field, Where


@dataclass(frozen=True, slots=True)
class Planned:
    """One turn and what it comes to.

    known  the id if the store has it already, unchanged
    cube   else the cube to write: a new one (version 1) or the next version of one
    key    its idempotency key
    """

    key: bytes
    known: CubeId | None = None
    cube: MemCube | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """What all turns of one call have in common."""

    scope: Scope
    source: str | None = None
    operator: str | None = None
    tags: tuple[str, ...] = ()
    importance: float = 0.5
    trust: float = 1.0


def plan(
    turns: Sequence[Turn],
    origin: Origin,
    store: Store,
    new_id: IdSource,
    now: datetime,
    *,
    whole_source: bool,
) -> list[Planned]:
    """Return what to do with each turn, in their order, then what to do with passages that the source lost.

    now           the time of ids; the turns' own times are kept as they are
    whole_source  the turns are all of a file: compare them with what was read from it before
    """
    if whole_source and origin.source is not None and not any(turn.message_id for turn in turns):
        before = store.list(origin.scope, Where(Field.SOURCE, Comparison.EQ, origin.source))
        if before:
            return _align(turns, before, origin, new_id, now)
    return _by_key(turns, origin, store, new_id, now)


def content_key(cube: MemCube, occurrence: int = 0) -> bytes:
    """Return the idempotency key of a cube without a message id: who said what when, in which scope, from where.

    occurrence  0 for the first time that one call has just this, 1 for the second …
    """
    origin = cube.provenance
    return _digest(
        cube.scope,
        "text",
        origin.source,
        origin.actor,
        to_iso(cube.time.created_at),
        cube.content,
        occurrence,
    )


def _by_key(
    turns: Sequence[Turn], origin: Origin, store: Store, new_id: IdSource, now: datetime
) -> list[Planned]:
    cubes = [_cube(turn, origin, new_id(now)) for turn in turns]
    seen: dict[bytes, int] = {}
    keys = []
    for turn, cube in zip(turns, cubes, strict=True):
        if turn.message_id is not None:
            keys.append(_digest(cube.scope, "id", origin.source, turn.message_id))
            continue
        first = content_key(cube)
        keys.append(content_key(cube, seen.get(first, 0)))
        seen[first] = seen.get(first, 0) + 1
    known = store.find(keys)
    return [_compare(cube, key, known.get(key), store) for cube, key in zip(cubes, keys, strict=True)]


def _compare(cube: MemCube, key: bytes, known: CubeId | None, store: Store) -> Planned:
    old = store.get(known) if known is not None else None
    if known is None or old is None:
        return Planned(key, cube=cube)
    same = old.content == cube.content and old.provenance.actor == cube.provenance.actor
    if same and old.time.created_at == cube.time.created_at:
        return Planned(key, known=known)
    return Planned(key, cube=_edited(old, cube))


def _align(
    turns: Sequence[Turn], before: list[MemCube], origin: Origin, new_id: IdSource, now: datetime
) -> list[Planned]:
    """Compare a file with what was read from it before, passage by passage."""
    cubes = [_cube(turn, origin, new_id(now)) for turn in turns]
    old_texts = [cube.text for cube in before]
    matcher = difflib.SequenceMatcher(None, old_texts, [cube.text for cube in cubes], autojunk=False)
    planned: list[Planned] = []
    lost: list[MemCube] = []
    for kind, old_from, old_to, new_from, new_to in matcher.get_opcodes():
        old, new = before[old_from:old_to], cubes[new_from:new_to]
        if kind == "equal":
            planned += [Planned(b"", known=cube.id) for cube in old]
            continue
        pairs = min(len(old), len(new))
        for was, cube in zip(old[:pairs], new[:pairs], strict=True):
            planned.append(Planned(content_key(cube), cube=_edited(was, cube)))
        planned += [Planned(content_key(cube), cube=cube) for cube in new[pairs:]]
        lost += [
            cube for cube in old[pairs:] if cube.role is Role.RESOURCE
        ]  # a shorter chat export loses nothing
    for cube in lost:
        life: Lifecycle = replace(cube.lifecycle, state=State.ARCHIVED)
        planned.append(Planned(content_key(cube), cube=cube.next_version(lifecycle=life)))
    return planned


def _edited(old: MemCube, new: MemCube) -> MemCube:
    """Return the next version of ``old`` with what the source now says; tags and the like stay."""
    time = replace(old.time, created_at=new.time.created_at)
    provenance = replace(old.provenance, actor=new.provenance.actor)
    return old.next_version(content=new.content, time=time, provenance=provenance)


def _cube(turn: Turn, origin: Origin, cube_id: CubeId) -> MemCube:
    scope = origin.scope
    if scope.session is None and turn.session is not None:
        scope = replace(scope, session=turn.session)
    return MemCube(
        id=cube_id,
        content=turn.content,
        scope=scope,
        role=turn.role,
        provenance=Provenance(
            source=origin.source,
            message_ids=() if turn.message_id is None else (turn.message_id,),
            actor=turn.speaker,
            operator=origin.operator,
            trust=origin.trust,
        ),
        time=Times(created_at=turn.said_at),
        lifecycle=Lifecycle(importance=origin.importance),
        annotations=Annotations(tags=origin.tags, data={"source": turn.data} if turn.data else {}),
    )


def _digest(scope: Scope, *parts: object) -> bytes:
    text = json.dumps([scope.tenant, scope.user, scope.agent, scope.session, *parts], ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
