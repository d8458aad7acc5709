"""What every step of sleep has: how it reads, remembers what it has seen, writes, and rests."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from anamnos.cube import (
    Annotations,
    Clock,
    CubeId,
    IdSource,
    MemCube,
    Policy,
    Provenance,
    Role,
    Scope,
    State,
    Substrate,
    Visibility,
)
from anamnos.errors import AccessDenied
from anamnos.evolve.consolidate.base import DATA_KEY, Worder
from anamnos.evolve.consolidate.clusters import Clusters
from anamnos.evolve.forget.base import Decay
from anamnos.index.terms import TermReader
from anamnos.store.base import EmbedderInfo, Outline, Rows, Store, Transaction
from anamnos.types import And, Comparison, Field, Filter, Not, Op, OpKind, Receipt, Where

BATCH = 100
"""Changes per transaction: few enough that nobody waits long for one, and enough that searches, which must look at what
each has changed, are not slowed down by many."""
PAGE = 500
WINDOW = 4_000
"""Memories that are put into topics at a time: what must fit into RAM, and what one stop can cost."""
_LONGEST_REST_S = 1.0
_SAID = (Role.TURN, Role.NOTE, Role.RESOURCE, Role.SECRET)

Holds = Callable[[Transaction], bool]


@dataclass(frozen=True, slots=True)
class Draft:
    """A new memory, or the next version of one, and the key that makes writing it again add nothing."""

    key: bytes
    cube: MemCube


Write = Callable[[Sequence[Draft], Sequence[Op], Holds], Receipt]
"""Embeds and writes in one transaction; nothing at all if, asked inside it, the last one says no."""


@dataclass(frozen=True, slots=True)
class News:
    """What changed since a step was last through. rows: None for everything; last: the number of the last change."""

    last: int
    rows: Rows | None
    erased: bool = False

    def touches(self, outline: Outline) -> bool:
        return self.erased or self.rows is None or bool(np.isin(self.rows, outline.rows).any())


@dataclass
class Sleeper:
    """One who sleeps over one scope.

    write     how changes get into the store
    rest      seconds of rest per second that it had the processor, which leave it to those who wait
    budget_s  after which no new piece of work is begun; None: no end
    turns     whether what people said fades as well as what was derived from it
    who       as whom it reads: what one may not see is still new to another. None: the application, which sees all
    """

    store: Store
    info: EmbedderInfo
    scope: Scope
    reader: TermReader
    write: Write
    clock: Clock
    new_id: IdSource
    decay: Decay
    worder: Worder
    turns: bool = False
    who: str | None = None
    budget_s: float | None = None
    rest: float = 2.0
    progress: Callable[[int, int], None] | None = None
    clusters: Clusters = field(default_factory=Clusters)
    window: int = WINDOW
    _changed: Counter[str] = field(default_factory=Counter, repr=False)
    _woke: float = field(default=0.0, repr=False)
    _got_on: bool = field(default=False, repr=False)

    # --- reading

    def _outline(self, derived: bool) -> Outline:
        """Return the outline of the searched memories that the scope covers."""
        whole = self.store.outline(self.scope, derived=derived)
        numbers = [number for number, name in whole.names.items() if self.scope.covers(name)]
        keep = np.flatnonzero(np.isin(whole.scopes, numbers))
        return Outline(
            whole.rows[keep],
            whole.order[keep],
            whole.created[keep],
            whole.scopes[keep],
            whole.names,
            [whole.actors[place] for place in keep.tolist()],
            [whole.terms[place] for place in keep.tolist()],
        )

    def _at(self, rows: Rows) -> list[MemCube]:
        """Return the cubes at these rows, read in pieces."""
        cubes: list[MemCube] = []
        for start in range(0, len(rows), BATCH):
            cubes += self.store.at(rows[start : start + BATCH].tolist())
            self._rest()
        return cubes

    def _pages(self, filter: Filter, *, after: CubeId | None = None) -> Iterator[list[MemCube]]:
        while page := self.store.list(self.scope, filter, after=after, limit=PAGE):
            yield page
            after = page[-1].id

    def _that_fade(self, *states: State) -> Filter:
        """Return the filter for what may fade: in these states, and derived unless ``turns``."""
        kind: Filter = Where(Field.ROLE, Comparison.IN, (Role.SECRET,) if self.turns else _SAID)
        return And((Not(kind), Where(Field.STATE, Comparison.IN, states)))

    def _alike(self, cubes: Iterable[MemCube]) -> list[list[MemCube]]:
        """Return the text cubes apart by agent, policy and trust: what is derived from each part has theirs."""
        parts: dict[tuple[Any, ...], list[MemCube]] = defaultdict(list)
        for cube in cubes:
            if cube.substrate is Substrate.TEXT and cube.role is not Role.SECRET:
                parts[self._kind(cube)].append(cube)
        return list(parts.values())

    def _kind(self, cube: MemCube) -> tuple[Any, ...]:
        return self._scope_of(cube).agent, self._scope_of(cube).session, cube.policy, cube.provenance.trust

    def _scope_of(self, cube: MemCube) -> Scope:
        """Return the scope of what is derived from a cube and its like."""
        stays = cube.policy.visibility is Visibility.SESSION
        return replace(cube.scope, session=cube.scope.session if stays else self.scope.session)

    def _organised(self) -> set[str]:
        """Return the ids, in hex, of what belongs to a topic, whatever its state."""
        topics = self._every(Role.CONCEPT)
        return {source.replace("-", "") for cube in topics for source in cube.provenance.derived_from}

    def _every(self, role: Role) -> Iterator[MemCube]:
        """Yield what sleep itself has made of this role, whatever its state."""
        every = And((Where(Field.ROLE, Comparison.EQ, role), Where(Field.STATE, Comparison.IN, tuple(State))))
        return (cube for page in self._pages(every) for cube in page if "kind" in note_of(cube))

    def _spans(self, text: str) -> Sequence[tuple[int, int, int]]:
        return self.reader.spans(text)

    # --- what was seen

    def _news(self, step: str) -> News:
        last = self.store.sequence()
        seen = self._state(step).get("seq")
        if not isinstance(seen, int):
            return News(last, None)
        rows: list[int] = []
        erased = False
        while changes := self.store.changes(seen):
            rows += [change.row for change in changes if change.kind == "written"]
            erased = erased or any(change.kind == "erased" for change in changes)
            seen = changes[-1].seq
        return News(last, np.array(sorted(set(rows)), dtype=np.int64), erased)

    def _state(self, step: str) -> dict[str, Any]:
        found = self.store.setting(self._mark_name(step))
        state = json.loads(found) if found else {}
        return state if isinstance(state, dict) else {}

    def _mark(self, step: str, news: News | None, *, after: str | None = None) -> None:
        """Note up to where a step is through: all of ``news``, and behind which id to go on."""
        before = self._state(step)
        state = {"seq": before.get("seq") if news is None else news.last, "after": after}
        if state != before:
            self.store.set_setting(self._mark_name(step), json.dumps(state))
            self._got_on = True

    def _mark_name(self, step: str) -> str:
        return f"slept:{step}:{self._key('mark', self.who).hex()}"

    def _key(self, *parts: str | None) -> bytes:
        scope = self.scope
        text = json.dumps([DATA_KEY, scope.tenant, scope.user, scope.agent, scope.session, *parts], ensure_ascii=False)
        return hashlib.blake2b(text.encode(), digest_size=16).digest()

    # --- writing

    def _derived(
        self,
        cube_id: CubeId,
        role: Role,
        text: str,
        policy: Policy,
        trust: float,
        sources: tuple[CubeId, ...],
        note: dict[str, Any],
    ) -> MemCube:
        return MemCube(
            id=cube_id,
            content=text,
            scope=self.scope,
            role=role,
            provenance=Provenance(operator=self.worder.operator, derived_from=sources, trust=trust),
            policy=policy,
            annotations=Annotations(tags=(str(note["kind"]),), data={DATA_KEY: note}),
        )

    def _move(self, pairs: Sequence[tuple[MemCube, MemCube]], what: str) -> None:
        """Write next versions that say the same, each if the memory is still as it was read."""
        for start in range(0, len(pairs), BATCH):
            batch = pairs[start : start + BATCH]
            if self._save((), batch, ()):
                self._changed[what] += len(batch)
            elif len(batch) > 1:  # somebody changed one of them in the meantime
                self._changed[what] += sum(self._save((), [pair], ()) for pair in batch)
            self._rest()

    def _save(
        self, drafts: Sequence[Draft], pairs: Sequence[tuple[MemCube, MemCube]], sources: Sequence[MemCube]
    ) -> bool:
        """Write, if all that it rests on is still as it was read; return whether it was.

        pairs  memories as they were read, and their next versions; those in ``drafts`` say something else
        """

        def holds(tx: Transaction) -> bool:
            return all(tx.current(cube.id) == cube for cube in (*sources, *(before for before, _ in pairs)))

        said = {draft.cube.id for draft in drafts}
        moved = [Op(OpKind.TRANSITION, target=new.id, cube=new) for _, new in pairs if new.id not in said]
        try:
            written = bool(self.write(drafts, moved, holds).ids)
        except AccessDenied:
            return False  # a bundle's, or not theirs who sleeps: it stays as it is
        self._got_on |= written
        return written

    def _rest(self) -> None:
        """Leave the processor to others for a while, in proportion to the work since the last rest."""
        worked = time.thread_time() - self._woke  # not the time for which others had it
        time.sleep(min(max(worked, 0.0) * self.rest, _LONGEST_REST_S))
        self._woke = time.thread_time()


def note_of(cube: MemCube) -> Mapping[str, Any]:
    """Return what sleep noted on a memory; empty if nothing."""
    note = cube.annotations.data.get(DATA_KEY)
    return note if isinstance(note, Mapping) else {}
