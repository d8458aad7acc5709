"""CA3: a recurrent network of spiking cells that learns a pattern at once and completes it from any part.

Leaky integrate-and-fire cells in discrete time. A control line selects the operation: to learn, the pattern drives the
cells and spike-timing-dependent plasticity links those that fire together, in one shot; to recall, a fragment drives
them once and the links do the rest; to forget, what was recalled is unlinked. Feed-forward inhibition grows with the
number of cells that were just active, so that patterns that share cells do not run into one.
Source: the operations of arXiv:2310.05868; dynamics, forgetting without loss to others and the splitting of fragments
that fit several patterns are ours; the capacity is that of Willshaw's net (Nature 222:960, 1969).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anamnos.associative.arrays import Array, need
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
from anamnos.associative.checks import check_bits, check_mask, check_positive, check_reading, check_room, check_whole
from anamnos.associative.items import Items, checked_item
from anamnos.errors import Corrupt, InvalidInput

Cells = NDArray[np.bool_]
_LEARN_STEPS, _SHOWN, _RECALL_STEPS = 3, 2, 4  # a pattern to learn is shown in the first two steps, a cue in the first
_WINDOW = 2  # steps in which spikes belong together: of plasticity, and of synaptic traces
_INPUT = 2.0  # drive of a cell that is shown, in units of a full link: above what holds back a silent network
_THRESHOLD = 0.1  # above inhibition; small, so that a cell just below it does not get there by waiting
_WRONG_CELLS = 1 / 3  # that half of a pattern may bring at the capacity, on average


class Operation(StrEnum):
    """What the control line selects."""

    LEARN = "learn"
    RECALL = "recall"
    FORGET = "forget"


@dataclass(frozen=True, slots=True, kw_only=True)
class CA3Spec(Spec):
    """A CA3 network.

    cells       of the network
    active      of them in a pattern; patterns of other sizes may be written, the capacity is worked out for this one
    ratio       of the cells that were just active, how many must be linked to a cell so that it fires
    leak        share of its potential that a cell keeps from one step to the next
    depression  taken from the links into a written pattern's cells from cells outside of it, of 1 that a full link has;
                above 0, patterns that are overlapped often and not written again fade
    """

    system: ClassVar[str] = "ca3"
    cells: int = 200
    active: int = 8
    ratio: float = 0.8
    leak: float = 0.5
    depression: float = 0.0

    def __post_init__(self) -> None:
        Spec.__post_init__(self)
        check_whole("cells", self.cells, least=3)
        check_room(self.cells, self.cells)
        check_whole("active", self.active, least=2, most=self.cells - 1)
        check_positive("ratio", self.ratio)
        for name in ("leak", "depression"):
            check_positive(name, getattr(self, name), zero=True)
        if self.ratio > 1 or self.leak >= 1 or self.depression > 1:
            raise InvalidInput("ratio and depression must be at most 1, and leak below 1.")


class CA3Network:
    """The cells and their links; ``weights`` is (to, from) float32 from 0 to 1."""

    def __init__(self, spec: CA3Spec) -> None:
        self.spec = spec
        self.weights = np.zeros((spec.cells, spec.cells), dtype=np.float32)

    def run(
        self,
        operation: Operation,
        shown: Cells,
        *,
        steps: int | None = None,
        noise: float = 0.0,
        rng: np.random.Generator | None = None,
        protected: Cells | None = None,
    ) -> Cells:
        """Return the spikes of an operation: (steps, cells).

        shown      the pattern to learn, or the fragment
        noise      standard deviation of the potentials, in units of a full link
        protected  (cells, cells) links that forgetting leaves, since other patterns need them
        """
        spec, learning = self.spec, operation is Operation.LEARN
        steps = steps or (_LEARN_STEPS if learning else _RECALL_STEPS)
        spikes = np.zeros((steps, spec.cells), dtype=np.bool_)
        potential = np.zeros(spec.cells, dtype=np.float32)
        for step in range(steps):
            trace = spikes[max(0, step - _WINDOW) : step].any(axis=0)
            drive = np.where(shown, np.float32(_INPUT), np.float32(0)) if step < (_SHOWN if learning else 1) else 0.0
            if not learning:
                inhibition = spec.ratio * np.maximum(1, trace.sum() - trace) - _THRESHOLD  # no cell inhibits itself
                drive = drive + self.weights[:, trace].sum(axis=1, dtype=np.float32) - inhibition
            if noise > 0 and rng is not None:
                drive = drive + rng.normal(scale=noise, size=spec.cells)
            rested = ~spikes[step - 1] if step else np.ones(spec.cells, dtype=np.bool_)  # one step of refractoriness
            potential = np.where(rested, np.maximum(0, spec.leak * potential + drive), 0).astype(np.float32)
            spikes[step] = rested & (potential >= _THRESHOLD - 1e-4)
            potential[spikes[step]] = 0
            if learning:
                self._link(spikes[step], settled(spikes[: step + 1]))
        if operation is Operation.FORGET:
            self._unlink(shown | settled(spikes), protected)
        return spikes

    def assemblies(
        self, cue: Cells, *, steps: int | None = None, noise: float = 0.0, rng: np.random.Generator | None = None
    ) -> list[tuple[Cells, Cells]]:
        """Return what a fragment recalls: (cells, spikes) each; several if it fits several patterns.

        All patterns that the fragment fits fire at first; together they are too many for the links of any one, and
        inhibition silences them. Then each is called alone: by the fragment and one more of the cells that fired.
        """
        spikes = self.run(Operation.RECALL, cue, steps=steps, noise=noise, rng=rng)
        ready = settled(spikes)
        if len(spikes) < _RECALL_STEPS or (ready & ~cue).any() or not (left := spikes[1] & ~cue).any():
            return [(ready, spikes)] if ready.any() else []
        found: list[tuple[Cells, Cells]] = []
        while left.any():
            seed = np.zeros_like(cue)
            seed[int(np.argmax(left))] = True
            spikes = self.run(Operation.RECALL, cue | seed, steps=steps, noise=noise, rng=rng)
            alone = settled(spikes)
            if alone[seed].all() and not any(np.array_equal(alone, other) for other, _ in found):
                found.append((alone, spikes))
            left &= ~(alone | seed)
        return found or ([(ready, spikes)] if ready.any() else [])

    def _link(self, now: Cells, lately: Cells) -> None:
        if not now.any():
            return
        rows = self.weights[now]
        rows[:, ~lately] = np.maximum(rows[:, ~lately] - np.float32(self.spec.depression), 0)
        rows[:, lately] = 1
        self.weights[now] = rows
        np.fill_diagonal(self.weights, 0)

    def _unlink(self, recalled: Cells, protected: Cells | None) -> None:
        pairs = np.outer(recalled, recalled)
        self.weights[pairs if protected is None else pairs & ~protected] = 0


class CA3Memory:
    """Stores sets of cells and completes them from parts; familiarity is how many of the cue's cells are linked."""

    def __init__(self, spec: CA3Spec) -> None:
        self.spec = spec
        self.network = CA3Network(spec)
        self._items = Items()

    def write(
        self,
        key: ArrayLike,
        value: Value = None,
        *,
        cube_id: str | None = None,
        strength: float = 1.0,
        when: datetime | None = None,
    ) -> WriteReport:
        """Learn a pattern of at least two cells, in one shot; ``strength`` plays no part."""
        pattern = self._cells("key", key, least=2)
        value, known_id, _, when = checked_item(value, cube_id, strength, when)
        todo = admit(self.load(), self.spec)
        familiarity = self._linked(pattern)
        if todo == "evict":
            self._remove([0])
        self._items.add(pattern.astype(np.uint8), value, known_id, when)
        self.network.run(Operation.LEARN, pattern)
        reason = "stored" if todo == "store" else f"full: {todo}"
        return WriteReport(True, familiarity, np.flatnonzero(pattern), familiarity, reason)

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
        """Return what the network completes the cue to, with the item that this is or is nearest to.

        A cue that fits several patterns brings each of them, unmixed; those of the best score come all, even if they
        are more than ``k``. The score is the share of the cue in the pattern, times how much of the pattern and of the
        item they have in common. ``temperature`` is the noise of the potentials, 1 being that of one link.
        """
        check_reading(k, steps, temperature, rng)
        known = check_mask(mask, self.spec.cells)
        shown = self._cells("cue", np.where(known, check_bits("cue", cue, self.spec.cells), 0))
        if not len(self._items):
            return []
        codes, familiarity = np.stack(self._items.codes).astype(np.bool_), self._linked(shown)
        found = [
            self._recall(cells, spikes, codes, float((cells & shown).sum() / shown.sum()), familiarity)
            for cells, spikes in self.network.assemblies(shown, steps=steps, noise=temperature, rng=rng)
        ]
        found.sort(key=lambda recall: -recall.score)
        return [recall for place, recall in enumerate(found) if place < k or recall.score == found[0].score]

    def familiarity(self, cue: ArrayLike) -> float:
        return self._linked(self._cells("cue", cue))

    def forget(self, *, key: ArrayLike | None = None, cube_id: str | None = None) -> Forgotten:
        """Forget items: they are recalled, and their links cut that no other item needs."""
        code = None if key is None else self._cells("key", key).astype(np.uint8)
        numbers = self._items.find(code=code, cube_id=cube_id)
        self._remove(numbers)
        exact = self.spec.depression == 0
        return Forgotten(
            len(numbers), exact, "its own links were cut" + ("" if exact else "; what it had weakened stays")
        )

    def consolidate(self) -> Consolidated:
        """Make the links of every item full again: what has faded comes back."""
        needed = self._needed().astype(np.float32)
        changed = int((needed != self.network.weights).any())
        self.network.weights = needed
        return Consolidated(len(self._items), changed, "the links of all items are full")

    def load(self) -> Load:
        """Return the load; the error is how probably half of a pattern brings a wrong cell in the first volley."""
        count, spec = len(self._items), self.spec
        wrong = wrong_cells(spec.cells, spec.active, count, max(1, spec.active // 2), spec.ratio)
        capacity = math.inf if spec.on_full == "grow" else ca3_capacity(spec.cells, spec.active, spec.ratio)
        return Load(count, capacity, float((self.network.weights > 0).mean()), -math.expm1(-wrong))

    def state_dict(self) -> dict[str, Array]:
        return {"spec": spec_array(self.spec), "weights": self.network.weights.copy(), **self._items.state_dict()}

    @classmethod
    def from_state(cls, spec: CA3Spec, state: Mapping[str, Array]) -> Self:
        check_state(spec, state)
        memory = cls(spec)
        memory._items = Items.from_state(state)
        if any(code.shape != (spec.cells,) or code.dtype != np.uint8 or code.max() > 1 for code in memory._items.codes):
            raise Corrupt(f"The codes of this state are not {spec.cells} bits each.")
        memory.network.weights = need(state, "weights", (spec.cells,) * 2, np.float32, least=0, most=1).copy()
        return memory

    def _cells(self, name: str, bits: ArrayLike, *, least: int = 1) -> Cells:
        cells = check_bits(name, bits, self.spec.cells).astype(np.bool_)
        if cells.sum() < least:
            raise InvalidInput(f"{name} needs at least {least} active cells, got {cells.sum()}.")
        return cells

    def _linked(self, cells: Cells) -> float:
        """Return the mean link between these cells; of a single one, its strongest to any."""
        count = int(cells.sum())
        if count == 1:
            return float(self.network.weights[cells].max())
        return float(self.network.weights[np.ix_(cells, cells)].sum() / (count * (count - 1)))

    def _needed(self) -> Cells:
        """Return which links the items need: (cells, cells)."""
        needed = np.zeros((self.spec.cells, self.spec.cells), dtype=np.bool_)
        for code in self._items.codes:
            needed[np.ix_(code > 0, code > 0)] = True
        np.fill_diagonal(needed, False)
        return needed

    def _remove(self, numbers: list[int]) -> None:
        gone = self._items.remove(numbers)
        protected = self._needed() if gone else None
        for code in gone:
            self.network.run(Operation.FORGET, code.astype(np.bool_), protected=protected)

    def _recall(self, cells: Cells, spikes: Cells, codes: Cells, share: float, familiarity: float) -> Recall:
        alike = (codes & cells).sum(axis=1) / np.maximum(1, (codes | cells).sum(axis=1))
        number = int(len(alike) - 1 - np.argmax(alike[::-1]))  # the last written of equals
        same = np.flatnonzero((codes == codes[number]).all(axis=1))
        cubes = tuple(cube for at in same if (cube := self._items.cube_ids[at]) is not None)
        converged = len(spikes) > 2 and np.array_equal(settled(spikes), settled(spikes[:-1]))
        return Recall(
            cells.astype(np.uint8),
            self._items.values[number],
            cubes,
            share * float(alike[number]),
            familiarity,
            len(spikes),
            converged,
        )


def settled(spikes: Cells) -> Cells:
    """Return the cells that fired in the last two steps: cells alternate, since each rests after a spike."""
    return np.asarray(spikes[-_WINDOW:].any(axis=0))


@lru_cache(maxsize=1_024)
def wrong_cells(cells: int, active: int, items: int, cue: int, ratio: float = 0.8) -> float:
    """Return how many wrong cells a fragment of ``cue`` cells makes fire, on average, in a net of random patterns.

    A cell that is in r other patterns is linked to a given one with 1 - (1 - (k - 1)/(N - 1))^r, and fires if linked to
    ``ratio`` of the fragment; r is binomial. Source: Willshaw's law takes the links for independent, N p^c; they are
    not, being those of one cell: at N = 200, k = 8 and 50 items that is a third of what comes.
    """
    chance, needed = active / cells, math.ceil(ratio * cue - 1e-9)
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, items + 1)))])  # of factorials
    others = np.arange(items + 1)
    weights = np.exp(logs[-1] - logs - logs[::-1] + others * math.log(chance) + others[::-1] * math.log1p(-chance))
    linked = 1 - (1 - (active - 1) / (cells - 1)) ** others
    fires = sum(math.comb(cue, n) * linked**n * (1 - linked) ** (cue - n) for n in range(needed, cue + 1))
    return float((cells - active) * (weights @ fires))


@lru_cache(maxsize=64)
def ca3_capacity(cells: int, active: int, ratio: float = 0.8) -> int:
    """Return how many random patterns may be stored so that half of one brings at most a third of a wrong cell."""
    low, high, cue = 1, 2, max(1, active // 2)
    while wrong_cells(cells, active, high, cue, ratio) <= _WRONG_CELLS and high < 100_000:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if wrong_cells(cells, active, middle, cue, ratio) <= _WRONG_CELLS else (low, middle)
    return low
