"""Fixed-time belief: which stored item do the winners of a cue agree on, whatever the number stored.

A vector gives one winner in each of Q modules (CMs) of K units, whose few input weights are fixed and random: the code.
How familiar a single unit is says little, as each unit stands for many items; what tells a near duplicate is that the
winners agree on *one* item. Belief is the best share of equal winners with a stored code. Comparing all codes takes
time that grows with their number, so tuples of winners point back to the items that have them: one table per tuple of
CMs, in it one list per combination of winners, in a list the newest few items. A read looks into one list of each
table, ``tables * room`` places at most, and compares the codes of the ``compared`` items that it meets most often.

An item whose lists have all been filled by newer ones is no longer found; ``load`` says how often a list forgets.
Source: codes and winners: arXiv:1710.07829; the share of equal winners as belief, and the tables: ours (the latter are
buckets of angular hashing by cross-polytopes, arXiv:1509.02897).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anamnos.associative.arrays import Array
from anamnos.associative.base import (
    Consolidated,
    Forgotten,
    Load,
    Recall,
    Spec,
    Value,
    WriteReport,
    admit,
    check_state,
    spec_array,
)
from anamnos.associative.checks import check_mask, check_reading, check_room, check_vector, check_whole
from anamnos.associative.items import Items, checked_item
from anamnos.associative.sparsey.csa import best
from anamnos.cube import CubeId
from anamnos.errors import Corrupt, InvalidInput

_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # multiplicative hashing, where there are more combinations than lists

Codes = NDArray[np.uint8]
Numbers = NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class BeliefSpec(Spec):
    """A belief over winners.

    dim             of the vectors
    modules, units  Q winner-take-all modules of K units, at most 256
    inputs          weights of a unit that are not 0: each +1 or -1, to an input drawn at random
    tables          tuples of modules that point back to items
    together        modules of a tuple: more of them separate better, and find less alike ones less often
    lists           per table, at most; a power of 2
    room            items that a list holds, the newest
    compared        codes that a read compares: those of the items that most tables name
    """

    system: ClassVar[str] = "sparsey-belief"
    dim: int
    modules: int = 128
    units: int = 32
    inputs: int = 32
    tables: int = 128
    together: int = 3
    lists: int = 32_768
    room: int = 8
    compared: int = 32

    def __post_init__(self) -> None:
        Spec.__post_init__(self)
        check_whole("dim", self.dim)
        check_whole("modules", self.modules)
        check_whole("units", self.units, least=2, most=256)
        check_whole("inputs", self.inputs)
        check_whole("tables", self.tables, most=1 << 16)
        check_whole("together", self.together, most=min(self.modules, 7))
        check_whole("lists", self.lists, most=1 << 24)
        check_whole("room", self.room)
        check_whole("compared", self.compared)
        if self.lists & (self.lists - 1):
            raise InvalidInput(f"lists must be a power of 2, got {self.lists}.")
        check_room(self.inputs, self.modules * self.units)
        check_room(self.tables, min(self.lists, self.units**self.together), self.room)

    @property
    def capacity(self) -> int:
        """Half of the items that would fill all lists: lists * room / 2, with no more lists than combinations."""
        return max(min(self.lists, int(self.units**self.together)) * self.room // 2, 1)


class BeliefMemory:
    """Keeps the code of every item (Q bytes) and says on which of them the winners of a cue agree best.

    Familiarity and score are shares of equal winners: 1 for the same code, near 1 / K for one that has nothing to do
    with it. Forgetting is exact: what a forgotten item had pushed out of a list comes back.
    """

    def __init__(self, spec: BeliefSpec) -> None:
        self.spec = spec
        random = np.random.Generator(np.random.PCG64(spec.seed))
        wired = (spec.inputs, spec.modules * spec.units)
        self._wires = random.integers(0, 2 * spec.dim, wired)  # of each unit; from dim on, the negative of an input
        self._tuples = np.stack(
            [random.choice(spec.modules, spec.together, replace=False) for _ in range(spec.tables)]
        ).astype(np.int64)
        self._powers = np.uint64(spec.units) ** np.arange(spec.together, dtype=np.uint64)
        self._every = np.arange(spec.tables)
        self._start(Items())

    def _start(self, items: Items) -> None:
        """Hold these items, none of them forgotten."""
        shape = (len(items), self.spec.modules)
        self._items = items
        self._codes = np.array(items.codes, dtype=np.uint8).reshape(shape)
        self._alive = np.ones(len(items), dtype=np.bool_)
        self._oldest, self._count = 0, len(items)  # the first that is not forgotten; how many are not
        self._numbers: dict[CubeId, list[int]] = {}
        for number, cube_id in enumerate(items.cube_ids):
            if cube_id is not None:
                self._numbers.setdefault(cube_id, []).append(number)
        self._lists = self._filled()

    # --- codes

    def encode(self, vectors: ArrayLike) -> Codes:
        """Return the winners of one vector (dim,) or of several (n, dim): (..., Q) uint8. Raises: InvalidInput."""
        given = np.asarray(vectors, dtype=np.float32)
        if given.ndim not in (1, 2) or given.shape[-1] != self.spec.dim or not np.isfinite(given).all():
            raise InvalidInput(f"vectors must be finite, of shape (n, {self.spec.dim}), got {given.shape}.")
        codes = [best(self._support(row)) for row in given.reshape(-1, self.spec.dim)]
        return np.array(codes, dtype=np.uint8).reshape(*given.shape[:-1], self.spec.modules)

    @property
    def codes(self) -> Codes:
        """The codes of what is stored, in the order of writing: (items, Q) uint8."""
        return self._codes[: len(self._items)][self._alive[: len(self._items)]]

    def _support(self, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return V of every unit, the sum of its signed inputs: (dim,) -> (Q, K)."""
        both = np.concatenate([vector, -vector])
        return np.asarray(both[self._wires].sum(axis=0).reshape(self.spec.modules, self.spec.units))

    def _places(self, codes: Codes, tables: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return which list of each of some tables the codes belong to: (n, Q) -> (n, tables)."""
        combined = (codes[:, self._tuples[tables]].astype(np.uint64) * self._powers).sum(axis=2, dtype=np.uint64)
        if self.spec.units**self.spec.together > self.spec.lists:
            combined = (combined * _SPREAD) >> np.uint64(65 - self.spec.lists.bit_length())
        return np.asarray(combined, dtype=np.int64)

    def _filled(self) -> Numbers:
        """Return the lists of all items: (tables, lists, room) of number + 1, the newest first; 0: nobody.

        Memory that is never written to costs nothing: the system gives it out page by page.
        """
        spec = self.spec
        lists = np.zeros((spec.tables, min(spec.lists, spec.units**spec.together), spec.room), dtype=np.int32)
        for table in self._every if self._count else ():
            places = self._places(self._codes, self._every[table : table + 1])[:, 0]
            order = np.argsort(places, kind="stable")
            ends = np.searchsorted(places[order], places[order], side="right")
            age = ends - 1 - np.arange(len(order))
            young = age < spec.room
            lists[table, places[order[young]], age[young]] = order[young] + 1
        return lists

    # --- writing and reading

    def write(
        self,
        key: ArrayLike,
        value: Value = None,
        *,
        cube_id: str | None = None,
        strength: float = 1.0,
        when: datetime | None = None,
    ) -> WriteReport:
        vector = check_vector("key", key, self.spec.dim)
        value, known_id, _, when = checked_item(value, cube_id, strength, when)
        todo = admit(self.load(), self.spec)
        code = self.encode(vector)
        familiarity = self._believed(code)[1].max(initial=0.0).item()
        if todo == "evict":
            self._drop(self._oldest)
        self._append(code, value, known_id, when)
        return WriteReport(True, familiarity, code, familiarity, "stored" if todo == "store" else f"full: {todo}")

    def read(
        self,
        cue: ArrayLike,
        *,
        mask: ArrayLike | None = None,
        k: int = 1,
        steps: int | None = None,
        temperature: float = 0.0,
        rng: np.random.Generator | None = None,
    ) -> list[Recall]:
        check_reading(k, steps, temperature, rng)
        known = check_mask(mask, self.spec.dim)
        support = self._support(np.where(known, check_vector("cue", cue, self.spec.dim), np.float32(0)))
        if temperature > 0 and rng is not None:
            support = support + rng.normal(scale=temperature, size=support.shape).astype(np.float32)
        numbers, shares = self._believed(best(support).astype(np.uint8))
        order = np.lexsort((numbers, -shares))[:k]
        return [self._recall(numbers[place].item(), shares[place].item(), shares.max().item()) for place in order]

    def _recall(self, number: int, share: float, familiarity: float) -> Recall:
        cube = self._items.cube_ids[number]
        cubes = () if cube is None else (cube,)
        return Recall(self._codes[number], self._items.values[number], cubes, share, familiarity)

    def familiarity(self, cue: ArrayLike) -> float:
        code = self.encode(check_vector("cue", cue, self.spec.dim))
        return float(self._believed(code)[1].max(initial=0.0))

    def _believed(self, code: Codes) -> tuple[Numbers, NDArray[np.float64]]:
        """Return the items that share most tuples of winners with a code, ascending, and their shares of winners."""
        met = self._lists[self._every, self._places(code[None], self._every)[0]]
        met = np.sort(met[met > 0]) - 1
        fresh = np.ones(len(met), dtype=np.bool_)
        fresh[1:] = met[1:] != met[:-1]
        first = np.flatnonzero(fresh)
        if len(first) > self.spec.compared:
            tables = np.append(first[1:], len(met)) - first
            order = np.sort(tables << 32 | np.arange(len(first)))  # of those that as many tables name, the newest last
            first = first[np.sort(order[-self.spec.compared :] & 0xFFFFFFFF)]
        numbers: Numbers = met[first]
        equal = (self._codes[numbers] == code).view(np.uint8).sum(axis=1, dtype=np.uint32)
        return numbers, equal / self.spec.modules

    def _append(self, code: Codes, value: Value, cube_id: CubeId | None, when: datetime | None) -> None:
        number = self._items.add(code, value, cube_id, when)
        if number == len(self._codes):
            more = max(number, 16)
            self._codes = np.concatenate([self._codes, np.zeros((more, self.spec.modules), dtype=np.uint8)])
            self._alive = np.concatenate([self._alive, np.zeros(more, dtype=np.bool_)])
        self._codes[number], self._alive[number] = code, True
        self._count += 1
        if cube_id is not None:
            self._numbers.setdefault(cube_id, []).append(number)
        own = self._every, self._places(code[None], self._every)[0]
        held = self._lists[own]
        self._lists[own] = np.column_stack([np.full(len(held), number + 1, dtype=np.int32), held[:, :-1]])

    # --- forgetting

    def forget(self, *, key: ArrayLike | None = None, cube_id: str | None = None) -> Forgotten:
        """Forget the items of this key's code or of this cube: what they had pushed out of a list comes back."""
        if (key is None) == (cube_id is None):
            raise InvalidInput("forget needs a key or a cube_id, and not both.")
        if key is None:
            numbers = list(self._numbers.get(CubeId(str(cube_id)), ()))
        else:
            code, used = self.encode(check_vector("key", key, self.spec.dim)), len(self._items)
            numbers = np.flatnonzero(self._alive[:used] & (self._codes[:used] == code).all(axis=1)).tolist()
        for number in numbers:
            self._drop(number)
        return Forgotten(len(numbers), True, "its code is gone, and every list is as if it had never been in it")

    def _drop(self, number: int) -> None:
        items, cube_id = self._items, self._items.cube_ids[number]
        places = self._places(self._codes[number][None], self._every)[0]
        self._alive[number] = False
        for table in np.flatnonzero((self._lists[self._every, places] == number + 1).any(axis=1)).tolist():
            own = self._lists[table, places[table]]
            kept = own[own != number + 1]
            last = int(self._before(table, places[table], int(own[-1]) - 1)) if own[-1] else 0
            self._lists[table, places[table]] = np.append(kept, np.int32(last))
        self._codes[number] = 0
        items.codes[number], items.values[number], items.cube_ids[number] = self._codes[number].copy(), None, None
        if cube_id is not None:
            self._numbers[cube_id].remove(number)
            if not self._numbers[cube_id]:
                del self._numbers[cube_id]
        self._count -= 1
        while self._oldest < len(items) and not self._alive[self._oldest]:
            self._oldest += 1

    def _before(self, table: int, place: int, number: int) -> int:
        """Return 1 + the last item before ``number`` that belongs to a list; 0 if there is none."""
        older = np.arange(self._oldest, number)[self._alive[self._oldest : number]]
        same = older[self._places(self._codes[older], self._every[table : table + 1])[:, 0] == place]
        return int(same[-1]) + 1 if len(same) else 0

    def consolidate(self) -> Consolidated:
        gone = len(self._items) - self._count
        self._start(self._living())
        return Consolidated(self._count, gone, "the rows of forgotten items are given back")

    def with_lists(self, lists: int) -> BeliefMemory:
        """Return another memory with the same items and codes and so many lists per table. Raises: InvalidInput."""
        other = BeliefMemory(replace(self.spec, lists=lists))
        other._start(self._living())
        return other

    def _living(self) -> Items:
        """Return the items that are not forgotten."""
        items = self._items
        kept = np.flatnonzero(self._alive[: len(items)]).tolist()
        return Items(
            [items.codes[number] for number in kept],
            [items.values[number] for number in kept],
            [items.cube_ids[number] for number in kept],
            [items.times[number] for number in kept],
        )

    def load(self) -> Load:
        """Return the load. The error is the chance that a list has forgotten an old item of it.

        With M items a list is met by M / lists of them, so that it forgets an old one with the chance that a Poisson
        number of that mean is ``room`` or more; half of what fills all lists is the capacity (.05 at ``room`` 8). So it
        is for winners that are spread evenly; those of real texts are not, and some lists forget sooner.
        """
        spec = self.spec
        mean = self._count / min(spec.lists, spec.units**spec.together)
        fewer = sum(math.exp(n * math.log(mean) - mean - math.lgamma(n + 1)) for n in range(spec.room)) if mean else 1.0
        capacity = math.inf if spec.on_full == "grow" else spec.capacity
        return Load(self._count, capacity, min(self._count / spec.capacity, 1.0), max(1.0 - fewer, 0.0))

    def state_dict(self) -> dict[str, Array]:
        return {"spec": spec_array(self.spec), **self._living().state_dict()}

    @classmethod
    def from_state(cls, spec: BeliefSpec, state: Mapping[str, Array]) -> Self:
        check_state(spec, state)
        memory, items = cls(spec), Items.from_state(state)
        if any(code.shape != (spec.modules,) or code.dtype != np.uint8 for code in items.codes):
            raise Corrupt(f"The codes of this state are not of {spec.modules} winners.")
        if items.codes and max(code.max() for code in items.codes) >= spec.units:
            raise Corrupt(f"The codes of this state name units beyond {spec.units}.")
        memory._start(items)
        return memory
