"""Turns to operations: what to add, what to change, what is known already.

Identity, in this order: the message id that the source gives; else, for a file that was read before, its place
among what did not change; else the words themselves with their speaker and time. So the same input twice adds
nothing, and an edited source makes new versions instead of doubles. What counts as edited is judged against what
the source said last time, so that reading it again never takes back what a user has changed since.
"""

from __future__ import annotations

import difflib
import hashlib
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from anamnos.cube import (
    Annotations,
    CubeId,
    IdSource,
    Json,
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
from anamnos.types import And, Comparison, Field, Where

_ANY_STATE = Where(Field.STATE, Comparison.IN, tuple(State))
_CHANGEABLE = (State.GENERATED, State.ACTIVATED)
_GONE = "gone"  # noted of a passage that its source no longer has

CORRECTED = "update/1"
"""The operator of a version that somebody wrote by hand over what a source had said."""


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
    data: Json = field(default_factory=dict)


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
        before = store.list(origin.scope, And((Where(Field.SOURCE, Comparison.EQ, origin.source), _ANY_STATE)))
        if before:
            return _align(turns, before, origin, store, new_id, now)
    planned = _by_key(turns, origin, store, new_id, now)
    return planned if whole_source else [_revived(item, store) for item in planned]


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


def key_of_next(cube: MemCube, store: Store) -> bytes:
    """Return the idempotency key of the next version of a cube that somebody changed by hand: the one that it has
    for as long as it is the same message of its source, or says the same; else that of what it says now, if free."""
    origin = cube.provenance
    by_source = [_digest(cube.scope, "id", origin.source, message_id) for message_id in origin.message_ids]
    said_now = replace(cube, time=replace(cube.time, created_at=None))  # as the key of a text has no time
    occurrence = 0
    while True:
        keys = [*by_source, content_key(said_now, occurrence), content_key(cube, occurrence)]
        found = store.find(keys)
        if own := [key for key in keys if found.get(key) == cube.id]:
            return own[0]
        if keys[-1] not in found:
            return keys[-1]
        occurrence += 1


def _by_key(turns: Sequence[Turn], origin: Origin, store: Store, new_id: IdSource, now: datetime) -> list[Planned]:
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


def _revived(item: Planned, store: Store) -> Planned:
    """Bring what is said again back from the archive: who adds a text must find it."""
    old = store.get(item.known) if item.known is not None else None
    if old is None or old.lifecycle.state not in (State.ARCHIVED, State.EXPIRED):
        return item
    back = replace(old, lifecycle=replace(old.lifecycle, expires_at=None))
    return Planned(item.key, cube=_moved(back, State.ACTIVATED))


def _compare(cube: MemCube, key: bytes, known: CubeId | None, store: Store) -> Planned:
    old = store.get(known) if known is not None else None
    if known is None or old is None:
        return Planned(key, cube=cube)
    ended = cube.time.valid_to is not None and old.time.valid_to is None  # the source says now until when it was true
    if not cube.provenance.message_ids or (_said(_from_source(old, store)) == _said(cube) and not ended):
        return Planned(key, known=known)
    return Planned(key, cube=_edited(old, cube))


def _said(cube: MemCube) -> tuple[str, str | None, datetime | None]:
    """Return what makes two readings of a turn the same."""
    return cube.text, cube.provenance.actor, cube.time.created_at


def _from_source(cube: MemCube, store: Store) -> MemCube:
    """Return the version that the source gave: a correction by hand is not an edit of the source."""
    if cube.provenance.operator != CORRECTED:
        return cube
    versions = [old for old in store.history(cube.id) if old.provenance.operator != CORRECTED]
    return versions[-1] if versions else cube


def _align(
    turns: Sequence[Turn], before: list[MemCube], origin: Origin, store: Store, new_id: IdSource, now: datetime
) -> list[Planned]:
    """Compare a file with what was read from it before, passage by passage.

    ``before`` is in the order of writing, which is not that of the file once something was put in between. What the
    source had lost comes back only where nothing that is still there says the same.
    """
    cubes = [_cube(turn, origin, new_id(now)) for turn in turns]
    lost = [cube for cube in before if _GONE in cube.annotations.data]
    before = [cube for cube in before if _GONE not in cube.annotations.data]
    said = [_said(_from_source(cube, store)) for cube in before]
    matcher = difflib.SequenceMatcher(None, said, [_said(cube) for cube in cubes], autojunk=False)
    same = {block.b + i: before[block.a + i] for block in matcher.get_matching_blocks() for i in range(block.size)}
    used = {cube.id for cube in same.values()}
    elsewhere: dict[object, list[MemCube]] = {}
    for cube, words in zip(before, said, strict=True):
        if cube.id not in used:
            elsewhere.setdefault(words, []).append(cube)
    for cube in lost:
        elsewhere.setdefault(_said(_from_source(cube, store)), []).append(cube)
    for place, cube in enumerate(cubes):
        if place not in same and (found := elsewhere.get(_said(cube))):
            same[place] = found.pop(0)
    used = {cube.id for cube in same.values()}
    edited: dict[int, MemCube] = {}
    for kind, old_from, old_to, new_from, new_to in matcher.get_opcodes():
        if kind == "replace":
            new = [place for place in range(new_from, new_to) if place not in same]
            old = [c for c in before[old_from:old_to] if c.id not in used and c.lifecycle.state in _CHANGEABLE]
            edited.update(zip(new, old, strict=False))
    used.update(cube.id for cube in edited.values())
    planned: list[Planned] = []
    taken: set[bytes] = set()
    for place, cube in enumerate(cubes):
        if place in same and _GONE in same[place].annotations.data:
            planned.append(Planned(_free_key(cube, taken, store), cube=_moved(same[place], State.ACTIVATED)))
        elif place in same:
            planned.append(Planned(b"", known=same[place].id))
        else:
            former = edited.get(place)
            planned.append(Planned(_free_key(cube, taken, store), cube=_edited(former, cube) if former else cube))
    for cube in before:
        left_out = cube.id not in used and cube.lifecycle.state in _CHANGEABLE
        if left_out and cube.role is Role.RESOURCE:  # a shorter chat export loses nothing
            planned.append(Planned(b"", cube=_moved(cube, State.ARCHIVED)))  # no key: another may say the same
    return planned


def _moved(cube: MemCube, state: State) -> MemCube:
    """Return the next version of a passage that its source lost, or has again."""
    notes = {name: value for name, value in cube.annotations.data.items() if name != _GONE}
    if state is State.ARCHIVED:
        notes[_GONE] = True
    return cube.next_version(
        lifecycle=replace(cube.lifecycle, state=state), annotations=replace(cube.annotations, data=notes)
    )


def _free_key(cube: MemCube, taken: set[bytes], store: Store) -> bytes:
    """Return the key of a passage's first occurrence that has no memory yet, and take it."""
    keys = (content_key(cube, occurrence) for occurrence in itertools.count())
    key = next(key for key in keys if key not in taken and not store.find([key]))
    taken.add(key)
    return key


def _edited(old: MemCube, new: MemCube) -> MemCube:
    """Return the next version of ``old`` with what the source now says; tags and the like stay."""
    bounds = {"valid_from": new.time.valid_from, "valid_to": new.time.valid_to}
    time = replace(old.time, created_at=new.time.created_at, **{name: t for name, t in bounds.items() if t})
    provenance = replace(old.provenance, actor=new.provenance.actor, operator=new.provenance.operator)
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
        time=Times(turn.said_at, turn.valid_from, turn.valid_to),
        lifecycle=Lifecycle(importance=origin.importance),
        annotations=Annotations(tags=origin.tags, data={**origin.data, **({"source": turn.data} if turn.data else {})}),
    )


def _digest(scope: Scope, *parts: object) -> bytes:
    text = json.dumps([scope.tenant, scope.user, scope.agent, scope.session, *parts], ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
