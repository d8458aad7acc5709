"""Kanerva's sparse distributed memory: words of bits in the counters of many fixed places.

M hard locations have random addresses. A word is added, bit 1 as +1 and bit 0 as -1, to the counters of all locations
within a radius of its address, and is read as the signs of their sums within the radius of a cue; read again with what
came out as the cue, it comes ever nearer. Reading weighs each item by how much its circle shares with the cue's, about
exp(-beta distance), so it is attention over the items. Source: Kanerva, Sparse Distributed Memory (MIT Press, 1988);
for attention arXiv:2111.05498.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from statistics import NormalDist
from typing import Any, ClassVar, Literal, Self

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
from anamnos.associative.checks import (
    MOST_STRENGTH,
    check_bits,
    check_choice,
    check_mask,
    check_positive,
    check_reading,
    check_room,
    check_whole,
)
from anamnos.associative.codes import Bits
from anamnos.associative.items import Items, checked_item
from anamnos.errors import Corrupt, InvalidInput

Words = NDArray[np.uint64]
_STEPS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class KanervaSpec(Spec):
    """A sparse distributed memory.

    length     bits of a word
    locations  hard locations
    fraction   of them that a write or read reaches; the radius follows
    noise      share of wrong bits in a cue that is still to be corrected; the capacity follows
    counters   8 or 16 bits; they stop at their ends
    """

    system: ClassVar[str] = "sdm"
    length: int = 256
    locations: int = 20_000
    fraction: float = 0.01
    noise: float = 0.2
    counters: Literal[8, 16] = 16

    def __post_init__(self) -> None:
        Spec.__post_init__(self)
        check_whole("length", self.length, least=8, most=4_096)
        check_whole("locations", self.locations)
        check_room(self.locations, self.length)
        check_choice("counters", str(self.counters), ("8", "16"))
        for name in ("fraction", "noise"):
            check_positive(name, getattr(self, name))
            if getattr(self, name) >= 0.5:
                raise InvalidInput(f"{name} must be below 0.5, got {getattr(self, name)!r}.")


class KanervaMemory:
    """Completes words of bits; familiarity is how well what comes out, bit by bit, agrees with the cue.

    ``strength`` is rounded to a whole number of writes, at least one.
    """

    def __init__(self, spec: KanervaSpec) -> None:
        self.spec = spec
        random = np.random.Generator(np.random.PCG64(spec.seed))
        self._addresses = pack(random.integers(0, 2, (spec.locations, spec.length), dtype=np.uint8))
        self._items = Items()
        self._strengths: list[int] = []
        self._clear()

    def write(
        self,
        key: ArrayLike,
        value: Value = None,
        *,
        cube_id: str | None = None,
        strength: float = 1.0,
        when: datetime | None = None,
    ) -> WriteReport:
        bits = check_bits("key", key, self.spec.length)
        value, known_id, strength, when = checked_item(value, cube_id, strength, when)
        todo = admit(self.load(), self.spec)
        reached = self._reached(bits)
        familiarity = _agreement(bits, self._sums(reached))
        reused = float((self._writes[reached] > 0).mean()) if len(reached) else 0.0
        if todo == "evict":
            self._remove([0])
        self._items.add(pack(bits), value, known_id, when)
        self._strengths.append(max(1, round(strength)))
        self._count(bits, self._strengths[-1], reached)
        reason = "stored" if todo == "store" else f"full: {todo}"
        return WriteReport(True, familiarity, reached, reused, reason)

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
        """Return the word that the cue leads to with the item nearest to it, then the next nearest items.

        The score is 1 for an item that is just what came out, and 0 for one that agrees with it in half of its bits.
        """
        check_reading(k, steps, temperature, rng)
        known = check_mask(mask, self.spec.length)
        state = np.where(known, check_bits("cue", cue, self.spec.length), np.uint8(0)).astype(np.uint8)
        if not len(self._items):
            return []
        taken, converged, familiarity = 0, False, 0.0
        while taken < (steps or _STEPS) and not converged:
            sums: NDArray[Any] = self._sums(self._reached(state, known))
            if taken == 0:
                familiarity = _agreement(state[known], sums[known])
            if temperature > 0 and rng is not None:
                sums = sums + rng.normal(scale=temperature * max(np.abs(sums).mean(), 1.0), size=sums.shape)
            moved = np.where(sums == 0, state, sums > 0).astype(np.uint8)
            converged = bool(known.all()) and np.array_equal(moved, state)
            state, known, taken = moved, np.ones_like(known), taken + 1
        distances = np.bitwise_count(np.stack(self._items.codes) ^ pack(state)).sum(axis=1, dtype=np.int64)
        return [
            Recall(
                state if place == 0 else unpack(self._items.codes[number], self.spec.length),
                self._items.values[number],
                () if (cube := self._items.cube_ids[number]) is None else (cube,),
                max(0.0, 1 - 2 * float(distances[number]) / self.spec.length),
                familiarity,
                taken,
                converged,
            )
            for place, number in enumerate(np.argsort(distances, kind="stable")[:k].tolist())
        ]

    def familiarity(self, cue: ArrayLike) -> float:
        bits = check_bits("cue", cue, self.spec.length)
        return _agreement(bits, self._sums(self._reached(bits)))

    def forget(self, *, key: ArrayLike | None = None, cube_id: str | None = None) -> Forgotten:
        """Forget items, by taking the same counts away; all are counted again where a counter may have stopped."""
        code = None if key is None else pack(check_bits("key", key, self.spec.length))
        numbers = self._items.find(code=code, cube_id=cube_id)
        again = self._remove(numbers)
        how = "all others were counted again" if again else "its counts were taken away"
        return Forgotten(len(numbers), True, how)

    def consolidate(self) -> Consolidated:
        return Consolidated(len(self._items), 0, "counters need no consolidation")

    def load(self) -> Load:
        """Return the load; the error is the share of wrong bits that a cue with ``noise`` ends with, by the theory."""
        count, spec = len(self._items), self.spec
        capacity = sdm_capacity(spec.length, spec.locations, spec.fraction, spec.noise)
        error = settled_error(spec.length, spec.locations, spec.fraction, count, spec.noise)
        limit = math.inf if spec.on_full == "grow" else capacity
        return Load(count, limit, float((self._writes > 0).mean()), error)

    def state_dict(self) -> dict[str, Array]:
        """Return the items and their strengths; the counters follow from them."""
        strengths = np.array(self._strengths, dtype=np.int64)
        return {"spec": spec_array(self.spec), "strengths": strengths, **self._items.state_dict()}

    @classmethod
    def from_state(cls, spec: KanervaSpec, state: Mapping[str, Array]) -> Self:
        check_state(spec, state)
        memory = cls(spec)
        memory._items = Items.from_state(state)
        words = -(-spec.length // 64)
        if any(code.shape != (words,) or code.dtype != np.uint64 for code in memory._items.codes):
            raise Corrupt(f"The codes of this state are not words of {spec.length} bits.")
        strengths = need(state, "strengths", (len(memory._items),), np.int64, least=1, most=int(MOST_STRENGTH))
        memory._strengths = strengths.tolist()
        memory._count_all()
        return memory

    def _reached(self, bits: Bits, known: NDArray[np.bool_] | None = None) -> NDArray[np.intp]:
        """Return the locations within the radius of an address, by its known bits: (about fraction x M,)."""
        different = self._addresses ^ pack(bits)
        count = self.spec.length
        if known is not None and not known.all():
            different &= pack(known.astype(np.uint8))
            count = int(known.sum())
        distance = np.bitwise_count(different).sum(axis=1, dtype=np.int16)
        return np.flatnonzero(distance <= radius(count, self.spec.fraction))

    def _sums(self, reached: NDArray[np.intp]) -> NDArray[np.int64]:
        return np.asarray(self._counters[reached].sum(axis=0, dtype=np.int64))

    def _clear(self) -> None:
        kind = np.int8 if self.spec.counters == 8 else np.int16
        self._counters = np.zeros((self.spec.locations, self.spec.length), dtype=kind)
        self._writes = np.zeros(self.spec.locations, dtype=np.int64)  # that reached a location, by strength

    def _count(self, bits: Bits, strength: int, reached: NDArray[np.intp]) -> None:
        most = np.iinfo(self._counters.dtype).max
        moved = self._counters[reached] + strength * (2 * bits.astype(np.int64) - 1)
        self._counters[reached] = np.clip(moved, -most, most)
        self._writes[reached] += strength

    def _count_all(self) -> None:
        self._clear()
        for code, strength in zip(self._items.codes, self._strengths, strict=True):
            bits = unpack(code, self.spec.length)
            self._count(bits, strength, self._reached(bits))

    def _remove(self, numbers: list[int]) -> bool:
        """Drop items; return whether all others had to be counted again."""
        words = [unpack(self._items.codes[number], self.spec.length) for number in numbers]
        most = np.iinfo(self._counters.dtype).max
        stopped = any((self._writes[self._reached(bits)] > most).any() for bits in words)
        strengths = [self._strengths[number] for number in numbers]
        self._items.remove(numbers)
        self._strengths = [n for at, n in enumerate(self._strengths) if at not in set(numbers)]
        if stopped:
            self._count_all()
        else:
            for bits, strength in zip(words, strengths, strict=True):
                self._count(bits, -strength, self._reached(bits))
        return stopped


def _agreement(bits: Bits, sums: NDArray[np.int64]) -> float:
    """Return how well sums agree with bits, from 0 to 1; sums near 0 count less."""
    total = int(np.abs(sums).sum())
    return max(0.0, float(sums @ (2 * bits.astype(np.int64) - 1)) / total) if total else 0.0


# --- the theory


@lru_cache(maxsize=1_024)
def radius(length: int, fraction: float) -> int:
    """Return the Hamming distance within which about ``fraction`` of all addresses are: by the binomial tail."""
    return int(np.argmin(np.abs(np.cumsum(_binomial(length)) - fraction)))


@lru_cache(maxsize=64)
def shared_circle(length: int, fraction: float) -> NDArray[np.float64]:
    """Return the share of all addresses that are within the radius of two that are 0, 1 … length apart."""
    limit = radius(length, fraction)
    shared = np.zeros(length + 1)
    for distance in range(length + 1):
        within, rest = _binomial(distance), np.cumsum(_binomial(length - distance))
        flips = np.arange(distance + 1)
        room = limit - np.maximum(flips, distance - flips)  # flips of the other bits that both can bear
        held = np.where(room >= 0, rest[np.clip(room, 0, length - distance)], 0.0)
        shared[distance] = within @ held
    return shared


def read_error(length: int, locations: int, fraction: float, items: int, wrong: float) -> float:
    """Return the share of wrong bits after one read, if it was ``wrong`` before.

    The signal is how many locations the circles of cue and item share, and the variance of the noise the sum of the
    squares of that over all other items. Those that agree with the cue in a bit are nearer to it by one: that pulls
    every bit, right or wrong, to what it is in the cue. Source: ours; Kanerva's own estimate takes the circles of
    others for unrelated, which is right where locations x fraction^2 is below 1, and leaves the pull out.
    """
    if not items:
        return 0.0
    signal, (noise, pull) = _signal(length, locations, fraction, wrong), _others(length, locations, fraction)
    spread = math.sqrt(items * noise)
    stays, turns = ((-signal - side * items * pull) / spread for side in (1, -1))
    return (1 - wrong) * NormalDist().cdf(stays) + wrong * NormalDist().cdf(turns)


def settled_error(length: int, locations: int, fraction: float, items: int, wrong: float) -> float:
    """Return the share of wrong bits after as many reads as change anything."""
    for _ in range(_STEPS):
        wrong = read_error(length, locations, fraction, items, wrong)
    return wrong


@lru_cache(maxsize=256)
def sdm_capacity(length: int, locations: int, fraction: float, noise: float) -> int:
    """Return with how many random items a read halves the wrong bits of a cue that has a share ``noise`` of them.

    At twice as many most such cues lead nowhere, and at four times as many all.
    """
    low, high = 0, 1
    while read_error(length, locations, fraction, high, noise) <= noise / 2:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        good = read_error(length, locations, fraction, middle, noise) <= noise / 2
        low, high = (middle, high) if good else (low, middle)
    return max(1, low)


def _signal(length: int, locations: int, fraction: float, wrong: float) -> float:
    return locations * float(np.interp(wrong * length, np.arange(length + 1), shared_circle(length, fraction)))


@lru_cache(maxsize=256)
def _others(length: int, locations: int, fraction: float) -> tuple[float, float]:
    """Return what a random item adds to the variance of a sum, and to its mean in the direction of the cue's bit.

    The locations that it shares with the cue are Poisson, with a mean that falls with their distance.
    """
    mean = locations * shared_circle(length, fraction)
    pull = _binomial(length - 1) @ (mean[:-1] - mean[1:]) / 2
    return float(_binomial(length) @ (mean + mean**2)), float(pull)


def _binomial(count: int) -> NDArray[np.float64]:
    """Return C(count, k) / 2^count for k from 0 to count."""
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, count + 1)))])
    return np.asarray(np.exp(logs[-1] - logs - logs[::-1] - count * math.log(2)), dtype=np.float64)


# --- bits in words


def pack(bits: Bits) -> Words:
    """Return bits (…, n) as words of 64: (…, n / 64 rounded up), the rest of the last word 0."""
    missing = -bits.shape[-1] % 64
    padded = np.pad(bits, [(0, 0)] * (bits.ndim - 1) + [(0, missing)])
    return np.ascontiguousarray(np.packbits(padded, axis=-1)).view(np.uint64)


def unpack(words: Words, length: int) -> Bits:
    """Return the bits that ``pack`` was given."""
    return np.unpackbits(np.ascontiguousarray(words).view(np.uint8), axis=-1)[..., :length]
