"""Sparse distributed representations: the laws of their accuracy, and a filter of what was seen.

Two random SDRs share hardly a bit; so a few of the bits of one tell it from all others, and the union of many still
tells them from what is not in it. Source: arXiv:1601.00720, sections on matching and on unions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
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
from anamnos.associative.codes import Bits
from anamnos.associative.items import Items, checked_item
from anamnos.errors import Corrupt, InvalidInput

_EXACT_BELOW = 100_000  # cells; whole numbers of more digits than this gives take longer than they are worth

# --- the laws


def false_positive(n: int, a: int, s: int, theta: int) -> float:
    """Return how probably a random SDR matches a segment that knows another one.

    n, a   cells, and how many of them are on
    s      synapses of the segment, each on one of the cells
    theta  how many of them must see a cell that is on
    That is sum over b from theta of C(s, b) C(n - s, a - b) / C(n, a): in whole numbers below n = 100,000, by
    logarithms of the gamma function from there (10 digits).
    Raises: InvalidInput unless a and s are from 1 to n, and theta is not below 0.
    """
    check_whole("n", n)
    check_whole("a", a, most=n)
    check_whole("s", s, most=n)
    check_whole("theta", theta, least=0)
    if theta == 0:
        return 1.0
    shared = range(max(theta, a + s - n), min(s, a) + 1)
    if n < _EXACT_BELOW:
        return float(Fraction(sum(math.comb(s, b) * math.comb(n - s, a - b) for b in shared), math.comb(n, a)))
    return math.fsum(math.exp(_log_comb(s, b) + _log_comb(n - s, a - b) - _log_comb(n, a)) for b in shared)


def union_false_positive(n: int, a: int, s: int, theta: int, patterns: int) -> float:
    """Return ``false_positive`` for a segment that knows several patterns by ``s`` synapses each."""
    check_whole("patterns", patterns)
    return false_positive(n, a, patterns * s, theta)


def any_false_positive(once: float, segments: int) -> float:
    """Return how probably one of several independent segments matches by chance, if each does with ``once``."""
    check_whole("segments", segments)
    return 1.0 if once >= 1 else -math.expm1(segments * math.log1p(-once))


def missed(s: int, theta: int, loss: float) -> float:
    """Return how probably a segment misses its own pattern, if each bit is lost with probability ``loss``.

    That is P(Binomial(s, 1 - loss) < theta). Raises: InvalidInput.
    """
    check_whole("s", s)
    check_whole("theta", theta, least=0)
    if not 0 <= loss <= 1:
        raise InvalidInput(f"loss must be from 0 to 1, got {loss!r}.")
    kept = range(min(theta, s + 1))
    return min(1.0, math.fsum(math.comb(s, b) * (1 - loss) ** b * loss ** (s - b) for b in kept))


def missed_of(a: int, s: int, theta: int, lost: int) -> float:
    """Return ``missed`` if just ``lost`` of the a bits are off, and the s synapses are on any of the a."""
    check_whole("lost", lost, least=0, most=a)
    if lost == a:
        return float(theta > 0)
    return 1 - false_positive(a, a - lost, s, theta)


def best_theta(n: int, a: int, s: int, loss: float, *, patterns: int = 1) -> int:
    """Return the threshold from 1 to s of the fewest errors: false matches and missed ones together."""
    check_whole("patterns", patterns)
    errors = [false_positive(n, a, patterns * s, theta) + missed(s, theta, loss) for theta in range(1, s + 1)]
    return 1 + errors.index(min(errors))


def union_fill(n: int, a: int, items: int) -> float:
    """Return the share of bits that are on, on average, in the union of so many random SDRs."""
    check_whole("n", n)
    check_whole("a", a, most=n)
    check_whole("items", items, least=0)
    return 1 - (1 - a / n) ** items


def union_contains(n: int, a: int, items: int) -> float:
    """Return how probably the union of so many random SDRs contains another one by chance: p^a, p its fill."""
    return union_fill(n, a, items) ** a


def union_capacity(n: int, a: int, error: float) -> int:
    """Return how many random SDRs a union may hold, so that ``union_contains`` is at most ``error``; at least 1."""
    check_whole("n", n, least=2)
    check_whole("a", a, most=n - 1)
    return max(1, int(math.log1p(-(error ** (1 / a))) / math.log1p(-a / n)))


def _log_comb(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


# --- the filter


@dataclass(frozen=True, slots=True, kw_only=True)
class SdrFilterSpec(Spec):
    """A filter of SDRs.

    length  bits
    active  how many of them are on in every key
    error   how probably one union may contain a random key that was never written
    unions  how many of them it is made for; a read looks at each
    """

    system: ClassVar[str] = "sdr-filter"
    length: int = 2_048
    active: int = 40
    error: float = 1e-9
    unions: int = 100

    def __post_init__(self) -> None:
        Spec.__post_init__(self)
        check_whole("length", self.length, least=2)
        check_room(self.length)
        check_whole("active", self.active, most=self.length - 1)
        check_whole("unions", self.unions)
        check_positive("error", self.error)
        if self.error >= 1:
            raise InvalidInput(f"error must be below 1, got {self.error!r}.")


class SdrFilter:
    """Whether an SDR was seen, or how much of it: unions of those that were, each with a bounded error.

    A bit that is on in a key is on in the union; the next union begins before the fill p of this one has p^active above
    the bound. What was seen is always known (no misses); what was not is taken for seen with p^active per union if it
    is like nothing seen, and more often if it is a near-duplicate. The codes are kept too, to name what is like a cue
    and to forget.
    """

    def __init__(self, spec: SdrFilterSpec) -> None:
        self.spec = spec
        self._most = int(spec.error ** (1 / spec.active) * spec.length)  # bits on in one union
        self._items = Items()
        self._unions: list[Bits] = []
        self._starts: list[int] = []  # the first item of each union

    def write(
        self,
        key: ArrayLike,
        value: Value = None,
        *,
        cube_id: str | None = None,
        strength: float = 1.0,
        when: datetime | None = None,
    ) -> WriteReport:
        places = self._places("key", key)
        if len(places) != self.spec.active:
            raise InvalidInput(f"key must have {self.spec.active} bits on, got {len(places)}.")
        value, known_id, _, when = checked_item(value, cube_id, strength, when)
        todo = admit(self.load(), self.spec)
        shares = self._shares(places)
        if todo == "evict":
            self._remove([0])
        self._items.add(places, value, known_id, when)
        self._unite(len(self._items) - 1)
        reason = "stored" if todo == "store" else f"full: {todo}"
        return WriteReport(True, float(shares.max(initial=0)), places, float(shares[-1:].sum()), reason)

    def contains(self, cue: ArrayLike) -> bool:
        """Return whether one union has all bits of the cue: always so for what was seen, by chance for the rest."""
        return self.familiarity(cue) == 1.0

    def familiarity(self, cue: ArrayLike) -> float:
        """Return the largest share of the cue's bits that one union has; 1 for all that was seen."""
        return float(self._shares(self._places("cue", cue)).max(initial=0))

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
        """Return the items that share most bits with the cue; the score is the share of the cue's bits.

        A union that has fewer bits of the cue than an item already found is not looked into.
        """
        check_reading(k, steps, temperature, rng)
        known = check_mask(mask, self.spec.length)
        places = self._places("cue", np.where(known, check_bits("cue", cue, self.spec.length), 0))
        shares = self._shares(places)
        on = np.zeros(self.spec.length, dtype=np.uint8)
        on[places] = 1
        found: list[tuple[float, int]] = []  # minus the score, and the item: in order, the best first
        for union in np.argsort(-shares, kind="stable").tolist():
            if len(found) == k and -found[-1][0] > shares[union]:
                break
            first, after = self._range(union)
            scores = on[np.stack(self._items.codes[first:after])].sum(axis=1) / len(places)
            found = sorted([*found, *((-score, first + at) for at, score in enumerate(scores.tolist()))])[:k]
        return [self._recall(-score, number, float(shares.max())) for score, number in found]

    def forget(self, *, key: ArrayLike | None = None, cube_id: str | None = None) -> Forgotten:
        """Forget items: unions cannot give bits back, so those from theirs on are made again from the codes."""
        places = None if key is None else self._places("key", key)
        numbers = self._items.find(code=places, cube_id=cube_id)
        self._remove(numbers)
        return Forgotten(len(numbers), True, "the unions from theirs on were made again without them")

    def consolidate(self) -> Consolidated:
        return Consolidated(len(self._items), 0, "unions need no consolidation")

    def load(self) -> Load:
        """Return the load; the error is how probably any union contains a random key that was never written."""
        capacity = self.spec.unions * union_capacity(self.spec.length, self.spec.active, self.spec.error)
        fills = np.array([union.mean() for union in self._unions])
        error = -math.expm1(np.log1p(-np.minimum(fills**self.spec.active, 1 - 1e-12)).sum())
        fill = float(fills.mean()) if len(fills) else 0.0
        return Load(len(self._items), math.inf if self.spec.on_full == "grow" else capacity, fill, error)

    def state_dict(self) -> dict[str, Array]:
        """Return the items; the unions follow from them."""
        return {"spec": spec_array(self.spec), "starts": np.array(self._starts, np.int64), **self._items.state_dict()}

    @classmethod
    def from_state(cls, spec: SdrFilterSpec, state: Mapping[str, Array]) -> Self:
        check_state(spec, state)
        memory = cls(spec)
        memory._items = Items.from_state(state)
        good = all(
            code.shape == (spec.active,)
            and code.dtype == np.int32
            and code[0] >= 0
            and code[-1] < spec.length
            and (code[1:] > code[:-1]).all()
            for code in memory._items.codes
        )
        if not good:
            raise Corrupt(f"The codes of this state are not {spec.active} places each, below {spec.length}.")
        memory._remake(0)
        if memory._starts != need(state, "starts").tolist():
            raise Corrupt("The unions of this state do not follow from its items.")
        return memory

    def _places(self, name: str, bits: ArrayLike) -> NDArray[np.int32]:
        places = np.flatnonzero(check_bits(name, bits, self.spec.length)).astype(np.int32)
        if not len(places):
            raise InvalidInput(f"{name} has no bit on.", hint="What has no features can be like nothing.")
        return places

    def _shares(self, places: NDArray[np.int32]) -> NDArray[np.float64]:
        """Return the share of these bits that each union has: (unions,)."""
        return np.array([union[places].sum() / len(places) for union in self._unions], dtype=np.float64)

    def _range(self, union: int) -> tuple[int, int]:
        return self._starts[union], [*self._starts, len(self._items)][union + 1]

    def _unite(self, number: int) -> None:
        """Add an item to the last union, or to a new one."""
        places = self._items.codes[number]
        if self._unions:
            last = self._unions[-1]
            if int(last.sum()) + len(places) - int(last[places].sum()) <= self._most:
                last[places] = 1
                return
        self._starts.append(number)
        self._unions.append(np.zeros(self.spec.length, dtype=np.uint8))
        self._unions[-1][places] = 1

    def _remake(self, union: int) -> None:
        """Make the unions from this one on again."""
        first = self._starts[union] if union < len(self._starts) else 0
        del self._starts[union:], self._unions[union:]
        for number in range(first, len(self._items)):
            self._unite(number)

    def _remove(self, numbers: list[int]) -> None:
        if numbers:
            union = int(np.searchsorted(self._starts, min(numbers), side="right")) - 1
            self._items.remove(numbers)
            self._remake(union)

    def _recall(self, score: float, number: int, familiarity: float) -> Recall:
        bits = np.zeros(self.spec.length, dtype=np.uint8)
        bits[self._items.codes[number]] = 1
        cube = self._items.cube_ids[number]
        return Recall(bits, self._items.values[number], () if cube is None else (cube,), score, familiarity)
