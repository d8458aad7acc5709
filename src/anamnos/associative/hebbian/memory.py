"""What the Hebbian memories share: keys as patterns, grouped by what they are examples of, read by the dynamics."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anamnos.associative.arrays import Array, check_bounds, need
from anamnos.associative.base import (
    Consolidated,
    Forgotten,
    Load,
    Recall,
    Value,
    WriteReport,
    admit,
    check_state,
    spec_array,
)
from anamnos.associative.checks import MOST_STRENGTH, check_mask, check_reading, check_room
from anamnos.associative.hebbian.dynamics import SWEEPS, Network, Spins, network
from anamnos.associative.items import Items, checked_item
from anamnos.cube import thaw_json
from anamnos.errors import Corrupt

Real = NDArray[np.float64]


@dataclass(slots=True)
class Pattern:
    """An archetype: the weighted votes of its examples, (N,), which items these are, and their weights together."""

    votes: Real
    items: list[int]
    weight: float = 0.0


class HebbianMemory(ABC):
    """Patterns in Hebb's couplings, which are never built: the patterns are kept, so that forgetting is exact.

    ``strength`` is the weight of an example among those of the same archetype; an archetype is as strong as any other.
    """

    order = 2
    diagonal = False
    teacher = False

    def __init__(self, spec: Any) -> None:
        check_room(16, spec.length)
        self.spec = spec
        self._clear()

    # --- what differs

    @abstractmethod
    def _checked(self, name: str, key: ArrayLike) -> Spins:
        """Return a key as -1 and +1, or 0 for a blank. Raises: InvalidInput."""

    @abstractmethod
    def _capacity(self) -> float: ...

    @abstractmethod
    def _recalled(self, state: Spins, overlaps: Real, k: int) -> list[tuple[int, float, Spins]]:
        """Return number, score and code of what a state holds, best first."""

    @abstractmethod
    def _error(self) -> float:
        """Return the theory's share of wrong spins at this load."""

    # --- the memory

    def write(
        self,
        key: ArrayLike,
        value: Value = None,
        *,
        cube_id: str | None = None,
        strength: float = 1.0,
        when: datetime | None = None,
    ) -> WriteReport:
        pattern = self._checked("key", key)
        value, known_id, weight, when = checked_item(value, cube_id, strength, when)
        known = self._name(value, known_id, len(self._items)) in self._names
        todo = "store" if known else admit(Load(len(self._patterns), self._capacity(), 0.0), self.spec)
        familiarity = self.familiarity(pattern)
        if todo == "evict":
            self._remove(self._patterns[0].items)
        number = self._items.add(pattern, value, known_id, when)
        self._weights.append(weight)
        self._learn(number)
        reason = "one more example of an archetype" if known else "stored" if todo == "store" else f"full: {todo}"
        return WriteReport(True, familiarity, pattern, 1.0 if known else 0.0, reason)

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
        """Return what the state holds in which the dynamics end; unknown spins begin at the sign of their field."""
        check_reading(k, steps, temperature, rng)
        known = check_mask(mask, self.spec.length)
        start = np.where(known, self._checked("cue", cue), np.int8(0)).astype(np.int8)
        if not self._patterns:
            return []
        familiarity = float(np.clip(self._cosines(start).max(), 0, 1))
        random = rng or np.random.Generator(np.random.PCG64(self.spec.seed))
        couplings = self._network()
        relaxed = couplings.relax(
            couplings.completed(start, rng=random), sweeps=steps or SWEEPS, temperature=temperature, rng=random
        )
        state = relaxed.states[0]
        overlaps = (self._signs[: len(self._patterns)] @ state.astype(np.float32)).astype(np.float64) / len(state)
        return [
            Recall(
                code,
                self._items.values[self._patterns[number].items[0]],
                tuple(dict.fromkeys(c for i in self._patterns[number].items if (c := self._items.cube_ids[i]))),
                score,
                familiarity,
                relaxed.sweeps,
                relaxed.converged,
            )
            for number, score, code in self._recalled(state, overlaps, k)
        ]

    def familiarity(self, cue: ArrayLike) -> float:
        """Return the best cosine of the cue with a pattern, 0 at least."""
        spins = self._checked("cue", cue)
        return float(np.clip(self._cosines(spins).max(), 0, 1)) if self._patterns else 0.0

    def energy(self, state: ArrayLike) -> float:
        """Return the Hamiltonian of a state: lower where it is better known. Raises: InvalidInput."""
        spins = self._checked("state", state)
        return float(self._network().energy(spins)[0]) if self._patterns else 0.0

    def forget(self, *, key: ArrayLike | None = None, cube_id: str | None = None) -> Forgotten:
        pattern = None if key is None else self._checked("key", key)
        numbers = self._items.find(code=pattern, cube_id=cube_id)
        self._remove(numbers)
        return Forgotten(len(numbers), True, "the couplings are those of the patterns that are left")

    def consolidate(self) -> Consolidated:
        return Consolidated(len(self._items), 0, "examples are averaged as they come; nothing is left to do")

    def load(self) -> Load:
        """Return archetypes against their capacity; the error is the theory's share of wrong spins."""
        count, capacity = len(self._patterns), self._capacity()
        return Load(count, capacity, min(count / max(capacity, 1e-12), 1.0), self._error() if count else 0.0)

    def state_dict(self) -> dict[str, Array]:
        weights = np.array(self._weights, dtype=np.float64)
        return {"spec": spec_array(self.spec), "weights": weights, **self._items.state_dict()}

    @classmethod
    def from_state(cls, spec: Any, state: Mapping[str, Array]) -> Self:
        check_state(spec, state)
        memory = cls(spec)
        items = Items.from_state(state)
        weights = need(state, "weights", (len(items),), np.float64, least=0, most=MOST_STRENGTH)
        for code in items.codes:
            if code.shape != (spec.length,) or code.dtype != np.int8 or not code.any():
                raise Corrupt(f"The patterns of this state are not of {spec.length} spins.")
            check_bounds("items_codes", code, -1, 1)
        memory._items, memory._weights = items, weights.tolist()
        memory._remove([])
        return memory

    # --- patterns

    def _clear(self) -> None:
        self._items, self._weights = Items(), list[float]()
        self._patterns: list[Pattern] = []
        self._names: dict[object, int] = {}
        self._signs = np.zeros((16, self.spec.length), dtype=np.float32)  # of the votes; grows by doubling
        self._sizes = np.zeros(16)  # how many of them are not 0
        self._pairs = self._alike = 0.0  # weight of the pairs of examples of one archetype, and of that times overlap
        self._made: Network | None = None

    def _name(self, value: Value, cube_id: str | None, number: int) -> object:
        """Return what an item is an example of: with a teacher its value, else its cube, else itself."""
        if self.teacher and value is not None:
            return "value", json.dumps(thaw_json(value), sort_keys=True)
        return ("cube", cube_id) if self.teacher and cube_id is not None else ("item", number)

    def _learn(self, number: int) -> None:
        code, weight = self._items.codes[number], self._weights[number]
        name = self._name(self._items.values[number], self._items.cube_ids[number], number)
        at = self._names.setdefault(name, len(self._patterns))
        if at == len(self._patterns):
            self._patterns.append(Pattern(np.zeros(self.spec.length), []))
            if at == len(self._signs):
                self._signs = np.concatenate([self._signs, np.zeros_like(self._signs)])
                self._sizes = np.concatenate([self._sizes, np.zeros_like(self._sizes)])
        pattern = self._patterns[at]
        pattern.items.append(number)
        self._pairs += 2 * weight * pattern.weight
        self._alike += 2 * weight * float(pattern.votes @ code) / self.spec.length
        pattern.votes += weight * code
        pattern.weight += weight
        self._signs[at] = np.sign(pattern.votes)
        self._sizes[at] = np.count_nonzero(pattern.votes)
        self._made = None

    def _remove(self, numbers: list[int]) -> None:
        """Drop items, and learn the others anew, as if those had never been."""
        items, gone = self._items, set(numbers)
        weights = [weight for number, weight in enumerate(self._weights) if number not in gone]
        items.remove(numbers)
        self._clear()
        self._items, self._weights = items, weights
        for number in range(len(items)):
            self._learn(number)

    def _network(self) -> Network:
        if self._made is None:
            if all(len(pattern.items) == 1 for pattern in self._patterns):
                patterns: NDArray[Any] = self._signs[: len(self._patterns)].astype(np.int8)
            else:
                votes = np.stack([pattern.votes for pattern in self._patterns])
                patterns = votes / np.sqrt((votes**2).mean(axis=1, keepdims=True)).clip(1e-12)
            self._made = network(patterns, self.order, self.diagonal)
        return self._made

    def _cosines(self, spins: Spins) -> Real:
        count = len(self._patterns)
        signs, there = self._signs[:count], (spins != 0).astype(np.float32)
        shared = self._sizes[:count] if there.all() else np.abs(signs) @ there
        return np.asarray(
            signs @ spins.astype(np.float32) / np.sqrt(np.maximum(there.sum() * shared, 1e-12)), dtype=np.float64
        )
