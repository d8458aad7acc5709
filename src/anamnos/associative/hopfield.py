"""Modern Hopfield network: slots that are read by attention.

One step moves a state xi to X^T softmax(beta X xi), X the stored vectors; it never raises the energy
E(xi) = -log(sum exp(beta X xi)) / beta + |xi|^2 / 2. The capacity grows exponentially with the dimension; forgetting is
exact, since every item has a slot of its own. Source: arXiv:2008.02217, eqs. 2 and 3, theorems 3 to 5.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anamnos.associative.arrays import Array, check_bounds
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
from anamnos.associative.checks import LARGEST, check_mask, check_positive, check_reading, check_vector, check_whole
from anamnos.associative.items import Items, checked_item
from anamnos.errors import Corrupt

_STEPS = 20
_SETTLED = 1e-5  # of the norm of a step


@dataclass(frozen=True, slots=True, kw_only=True)
class HopfieldSpec(Spec):
    """A modern Hopfield network.

    dim    of the vectors
    slots  how many it may hold
    beta   sharpness: large gives the nearest slot, 0 the mean of all
    """

    system: ClassVar[str] = "hopfield"
    dim: int
    slots: int = 10_000
    beta: float = 20.0

    def __post_init__(self) -> None:
        Spec.__post_init__(self)
        check_whole("dim", self.dim)
        check_whole("slots", self.slots)
        check_positive("beta", self.beta, zero=True)


class HopfieldSlots:
    """Stores vectors as they are, and completes a cue by attention over them. Familiarity is the best cosine."""

    def __init__(self, spec: HopfieldSpec) -> None:
        self.spec = spec
        self._items = Items()
        self._slots = np.zeros((0, spec.dim), dtype=np.float32)
        self._room = self._slots  # grows by doubling; ``_slots`` is its part that is in use
        self._norms = np.zeros(0, dtype=np.float32)  # of the slots, with as much room

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
        familiarity = self.familiarity(vector)
        if todo == "evict":
            self._remove([0])
        self._items.add(vector, value, known_id, when)
        self._append(vector)
        return WriteReport(True, familiarity, vector, reason="stored" if todo == "store" else f"full: {todo}")

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
        state = np.where(known, check_vector("cue", cue, self.spec.dim), np.float32(0))
        if not len(self._slots):
            return []
        scores = self._slots @ state
        familiarity = float(self._cosines(state, scores, known).max())
        taken, converged = 0, False
        weights = np.zeros(len(self._slots), dtype=np.float32)
        while taken < (steps or _STEPS) and not converged:
            weights = self._attention(scores if taken == 0 else self._slots @ state)
            moved = weights @ self._slots
            if temperature > 0 and rng is not None:
                moved += rng.normal(scale=temperature, size=moved.shape).astype(np.float32)
            converged = float(np.linalg.norm(moved - state)) <= _SETTLED * max(float(np.linalg.norm(moved)), 1e-12)
            state, taken = moved, taken + 1
        best = _largest(weights, k)
        return [
            Recall(
                state if place == 0 else self._slots[number],
                self._items.values[number],
                () if (cube := self._items.cube_ids[number]) is None else (cube,),
                float(weights[number]),
                float(np.clip(familiarity, 0, 1)),
                taken,
                converged,
            )
            for place, number in enumerate(best.tolist())
        ]

    def familiarity(self, cue: ArrayLike) -> float:
        state = check_vector("cue", cue, self.spec.dim)
        if not len(self._slots):
            return 0.0
        return float(np.clip(self._cosines(state, self._slots @ state).max(), 0, 1))

    def energy(self, state: ArrayLike) -> float:
        """Return E of a state, without its constant: lower where it is better known. Raises: InvalidInput."""
        xi = check_vector("state", state, self.spec.dim).astype(np.float64)
        beta = max(self.spec.beta, 1e-12)
        scores = beta * (self._slots.astype(np.float64) @ xi)
        top = float(scores.max(initial=-np.inf))
        return -(top + math.log(float(np.exp(scores - top).sum()))) / beta + float(xi @ xi) / 2

    def forget(self, *, key: ArrayLike | None = None, cube_id: str | None = None) -> Forgotten:
        vector = None if key is None else check_vector("key", key, self.spec.dim)
        numbers = self._items.find(code=vector, cube_id=cube_id)
        self._remove(numbers)
        return Forgotten(len(numbers), True, "each item had a slot of its own")

    def consolidate(self) -> Consolidated:
        return Consolidated(len(self._items), 0, "slots need no consolidation")

    def load(self) -> Load:
        """Return the load. No error is told: it hangs on how near to each other the slots are."""
        count = len(self._items)
        capacity = math.inf if self.spec.on_full == "grow" else self.spec.slots
        return Load(count, capacity, min(count / self.spec.slots, 1.0))

    def state_dict(self) -> dict[str, Array]:
        return {"spec": spec_array(self.spec), **self._items.state_dict()}

    @classmethod
    def from_state(cls, spec: HopfieldSpec, state: Mapping[str, Array]) -> Self:
        check_state(spec, state)
        memory = cls(spec)
        memory._items = Items.from_state(state)
        codes = memory._items.codes
        if any(code.shape != (spec.dim,) or code.dtype != np.float32 for code in codes):
            raise Corrupt(f"The slots of this state are not of {spec.dim} numbers.")
        for code in codes:
            check_bounds("items_codes", code, -LARGEST, LARGEST)
        memory._remove([])
        return memory

    def _attention(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return softmax(beta scores)."""
        with np.errstate(over="ignore"):  # a beta too large for float32 leaves the best slot alone
            weights = np.exp(self.spec.beta * (scores - scores.max()))
        return np.asarray(weights / weights.sum(), dtype=np.float32)

    def _cosines(
        self, state: NDArray[np.float32], scores: NDArray[np.float32], known: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float32]:
        """Return the cosines of a state, 0 where it is not known, with the slots there, from its products with them."""
        norms = self._norms[: len(self._slots)]
        if known is not None and not known.all():
            norms = np.linalg.norm(self._slots[:, known], axis=1)
        return np.asarray(scores / np.maximum(norms * np.linalg.norm(state), 1e-12), dtype=np.float32)

    def _append(self, vector: NDArray[np.float32]) -> None:
        count = len(self._slots)
        if count == len(self._room):
            more = max(count, 16)
            self._room = np.concatenate([self._slots, np.zeros((more, self.spec.dim), dtype=np.float32)])
            self._norms = np.concatenate([self._norms[:count], np.zeros(more, dtype=np.float32)])
        self._room[count] = vector
        self._norms[count] = np.linalg.norm(vector)
        self._slots = self._room[: count + 1]

    def _remove(self, numbers: list[int]) -> None:
        self._items.remove(numbers)
        stacked = [code[None] for code in self._items.codes]
        self._slots = self._room = np.concatenate([np.zeros((0, self.spec.dim), dtype=np.float32), *stacked])
        self._norms = np.array([np.linalg.norm(code) for code in self._items.codes], dtype=np.float32)


def _largest(weights: NDArray[np.float32], k: int) -> NDArray[np.intp]:
    """Return the places of the ``k`` largest, largest first, the first of equals."""
    if k == 1:
        return np.array([weights.argmax()])
    least = np.partition(weights, -k)[-k] if k < len(weights) else weights.min()
    above = np.flatnonzero(weights >= least)
    return above[np.argsort(-weights[above], kind="stable")][:k]
