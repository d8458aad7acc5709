"""Dense Hebbian memory: couplings of P spins, whose capacity grows as N^(P-1), and that learns from noisy examples.

Keys that a teacher calls by the same value (or writes for the same cube) are examples of one archetype, and what is
stored is their mean; reading cleans a cue into the archetype, and its overlap with that says how sure it is.
Source: arXiv:2212.00606 (with a teacher), arXiv:2211.14067 (without).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anamnos.associative.base import Spec
from anamnos.associative.checks import check_signs, check_whole
from anamnos.associative.hebbian.dynamics import Spins, check_order
from anamnos.associative.hebbian.memory import HebbianMemory
from anamnos.associative.hebbian.replica import capacity, patterns_per_load, retrieval
from anamnos.errors import InvalidInput

Real = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseHebbianSpec(Spec):
    """A dense Hebbian network.

    length    N, spins of a key
    order     P, how many spins a coupling joins: 2 (Hopfield's), 4 or 6
    diagonal  whether couplings of a spin with itself count; they cost capacity (a factor 2.5 for P = 4)
    teacher   whether keys of one value, or of one cube, are examples of one archetype; else each is a pattern
    patterns  how many it may hold at most, whatever the theory allows
    """

    system: ClassVar[str] = "dense-hebbian"
    length: int
    order: int = 4
    diagonal: bool = False
    teacher: bool = True
    patterns: int = 100_000

    def __post_init__(self) -> None:
        Spec.__post_init__(self)
        check_order(self.order)
        check_whole("length", self.length, least=2 * self.order)
        check_whole("patterns", self.patterns)
        for name in ("diagonal", "teacher"):
            if not isinstance(getattr(self, name), bool):
                raise InvalidInput(f"{name} must be true or false, got {getattr(self, name)!r}.")


@dataclass(frozen=True, slots=True)
class Dataset:
    """What the examples are like: quality r, how many there are of an archetype, and rho = (1 - r^2) / (M r^2)."""

    quality: float
    examples: float
    entropy: float


class DenseHebbian(HebbianMemory):
    """Stores keys of -1 and +1; the score of a recall is the overlap of the state with the archetype."""

    spec: DenseHebbianSpec

    def __init__(self, spec: DenseHebbianSpec) -> None:
        self.order, self.diagonal, self.teacher = spec.order, spec.diagonal, spec.teacher
        super().__init__(spec)

    def dataset(self) -> Dataset:
        """Return r, M and rho as the examples show them; r = 1 where no archetype has more than one.

        Two examples of one archetype overlap by r^2 in the mean.
        """
        count = len(self._items) / max(len(self._patterns), 1)
        if self._pairs <= 0:
            return Dataset(1.0, count, 0.0)
        square = min(max(self._alike / self._pairs, 1e-6), 1.0)
        return Dataset(square**0.5, count, (1 - square) / (count * square))

    def _capacity(self) -> float:
        """Return K at the critical load, which noise in the examples lowers by (1 + rho)^P."""
        noise = (1 + self.dataset().entropy) ** self.order
        ideal = capacity(self.order, self.diagonal).load * patterns_per_load(*self._size)
        return min(ideal / noise, float(self.spec.patterns))

    def _error(self) -> float:
        load = len(self._patterns) / patterns_per_load(*self._size) * (1 + self.dataset().entropy) ** self.order
        return (1 - retrieval(self.order, load, diagonal=self.diagonal).overlap) / 2

    @property
    def _size(self) -> tuple[int, int, bool]:
        return self.order, self.spec.length, self.diagonal

    def _checked(self, name: str, key: ArrayLike) -> Spins:
        return check_signs(name, key, self.spec.length)

    def _recalled(self, state: Spins, overlaps: Real, k: int) -> list[tuple[int, float, Spins]]:
        best = np.argsort(-overlaps, kind="stable")[:k].tolist()
        codes = [state, *(self._signs[number].astype(np.int8) for number in best[1:])]
        return [(n, float(np.clip(overlaps[n], 0, 1)), code) for n, code in zip(best, codes, strict=True)]
