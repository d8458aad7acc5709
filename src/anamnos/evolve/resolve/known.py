"""The facts of a scope by what they claim something of: an index in memory, derived from the store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from threading import Lock

from anamnos.cube import CubeId, LinkKind, MemCube, Role, Scope, State
from anamnos.evolve.resolve.claims import claims_of, folded, folded_relation
from anamnos.evolve.resolve.slots import Claim
from anamnos.store.base import Store
from anamnos.types import And, Change, Comparison, Field, Where

_FACT = Where(Field.ROLE, Comparison.EQ, Role.FACT)
_ANY_STATE = Where(Field.STATE, Comparison.IN, tuple(State))


class Known:
    """The facts of one scope by subject and relation; keeps up with the store. Thread-safe.

    Holds ids only: what is answered is read anew each time.
    """

    def __init__(self, store: Store, scope: Scope) -> None:
        self._store, self._scope = store, scope
        self._lock = Lock()
        self._seen: int | None = None
        self._of: dict[tuple[str, str], set[CubeId]] = {}
        self._keys: dict[CubeId, set[tuple[str, str]]] = {}

    def catch_up(self) -> None:
        """Take in what was written and erased since the last time."""
        with self._lock:
            self._catch_up()

    def _catch_up(self) -> None:
        if self._seen is None:
            self._seen = self._store.sequence()
            after = None
            while page := self._store.list(self._scope, And((_FACT, _ANY_STATE)), after=after, limit=1_000):
                self._take(page)
                after = page[-1].id
        while changes := self._store.changes(self._seen):
            self._seen = changes[-1].seq
            self._forget(changes)
            rows = sorted({change.row for change in changes if change.kind == "written"})
            self._take([cube for cube in self._store.at(rows) if cube.role is Role.FACT])

    def claims(
        self, subject: str, relation: str, *, known_at: datetime | None = None
    ) -> Iterator[tuple[Claim, MemCube]]:
        """Yield what is claimed of a subject in a relation, with the fact that claims it.

        known_at  as the facts were then
        """
        for cube_id in sorted(self._of.get((folded(subject), folded_relation(relation)), ())):
            cube = self._store.get(cube_id) if known_at is None else self._version_at(cube_id, known_at)
            if cube is not None and self._scope.covers(cube.scope):
                yield from about(cube, subject, relation)

    def around(self, new: Iterable[MemCube]) -> dict[CubeId, MemCube]:
        """Return facts with those that claim anything of the same subject in the same relation, or are linked with
        them, other than by likeness, and with those of these, and so on."""
        found = {cube.id: cube for cube in new}
        todo = list(found.values())
        while todo:
            cube = todo.pop()
            near = {link.target for link in cube.links if link.kind is not LinkKind.SIMILAR}
            near.update(*(self._of[key] for key in self._keys.get(cube.id, ())))
            for other in sorted(near - found.keys()):
                there = self._store.get(other)
                if there is not None and there.role is Role.FACT and self._scope.covers(there.scope):
                    found[other] = there
                    todo.append(there)
        return found

    def _take(self, cubes: Sequence[MemCube]) -> None:
        for cube in cubes:
            keys = {(claim.slot.subject, claim.slot.relation) for claim in claims_of(cube)}
            for key in keys:
                self._of.setdefault(key, set()).add(cube.id)
            if keys:
                self._keys.setdefault(cube.id, set()).update(keys)

    def _forget(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if change.kind == "erased":
                for key in self._keys.pop(change.cube_id, ()):
                    self._of[key].discard(change.cube_id)

    def _version_at(self, cube_id: CubeId, moment: datetime) -> MemCube | None:
        for cube in self._store.history(cube_id):
            born, gone = cube.time.recorded_at, cube.time.superseded_at
            if born is not None and born <= moment and (gone is None or moment < gone):
                return cube
        return None


def about(cube: MemCube, subject: str, relation: str) -> Iterator[tuple[Claim, MemCube]]:
    """Yield what a fact claims of a subject in a relation."""
    key = folded(subject), folded_relation(relation)
    return ((claim, cube) for claim in claims_of(cube) if (claim.slot.subject, claim.slot.relation) == key)
