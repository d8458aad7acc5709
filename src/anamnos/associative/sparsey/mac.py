"""One coding field (mac) of Sparsey as an episodic memory: single-trial storage, best-match retrieval.

Items share binary weights: a write sets the bits from the active inputs to the Q winners, and like inputs get codes
that overlap. What is read is the code of the best-supported winners, compared with the stored codes (in time that grows
with their number; the choice of winners does not). Source: arXiv:1710.07829; capacity formula: ours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Self

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
from anamnos.associative.codes import Bits, top_bits
from anamnos.associative.items import Items, checked_item
from anamnos.associative.sparsey.csa import CsaParameters, best, choose, familiarity, normalised
from anamnos.errors import Corrupt, InvalidInput

_ERRORS = 0.1  # chance that some unit of a CM ties with the right one, at the capacity
_LASTING = np.iinfo(np.int32).max


def capacity(length: int, active: int, units: int, errors: float = _ERRORS) -> float:
    """Return M*, the number of random items at which a wrong unit of a CM ties with the right one by this chance.

    An item sets a weight with chance p1 = S / (L K), M of them fill p = 1 - (1 - p1)^M; a wrong unit ties with chance
    p^S. Source: ours, by arXiv:1710.07829's weights; measured with uniform choice 0.84 to 0.90 of the winners come
    back at M*, and all of them at half of it.
    """
    full = (errors / (units - 1)) ** (1 / active)
    one = active / (length * units)
    return math.log1p(-full) / math.log1p(-one) if full < 1 and one < 1 else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SparseySpec(Spec):
    """One mac, and further ones of its kind if ``on_full`` is ``grow``.

    length          bits of a key, L
    active          of them that are on, S; a key with more fills the mac faster than its capacity says
    modules, units  Q winner-take-all modules (CMs) of K units
    g_minus, gamma, chi, sigma1 to sigma4  how familiarity chooses the winners, see ``CsaParameters``
    gate            familiarity from which a key counts as known: nothing is learnt of it
    freeze_unit     share of a unit's weights that may be set before it learns no more
    freeze_mac      share of all weights from which nothing is learnt
    permanence      writes after which a weight that was not used again is gone; 0: never
    convexity       of its decay: small falls early, large late
    lasting         a weight used again within so many writes stays for ever (metaplasticity); 0: none does
    share           of the capacity formula that may be used: up to 0.5 all comes back, beyond 1 little does
    """

    system: ClassVar[str] = "sparsey"
    length: int
    active: int
    modules: int = 24
    units: int = 16
    g_minus: float = 0.4
    gamma: float = 4.0
    chi: float = 10.0
    sigma1: float = 1.0
    sigma2: float = 28.0
    sigma3: float = 0.85
    sigma4: float = 1.0
    gate: float = 1.0
    freeze_unit: float = 1.0
    freeze_mac: float = 1.0
    permanence: int = 0
    convexity: float = 1.0
    lasting: int = 0
    share: float = 0.5

    def __post_init__(self) -> None:
        Spec.__post_init__(self)
        check_whole("length", self.length, least=2)
        check_whole("active", self.active, most=self.length)
        check_whole("modules", self.modules)
        check_whole("units", self.units, least=2)
        check_room(self.length, self.modules * self.units)
        check_whole("permanence", self.permanence, least=0)
        check_whole("lasting", self.lasting, least=0)
        check_positive("convexity", self.convexity)
        for name in ("gate", "freeze_unit", "freeze_mac", "share"):
            value = getattr(self, name)
            check_positive(name, value)
            if value > 1 and name != "share":
                raise InvalidInput(f"{name} must be at most 1, got {value!r}.")
        _ = self.parameters

    @property
    def parameters(self) -> CsaParameters:
        """What the code selection is set to. Raises: InvalidInput."""
        sigmas = self.sigma1, self.sigma2, self.sigma3, self.sigma4
        return CsaParameters(self.g_minus, self.gamma, self.chi, *sigmas)


class SparseyMac:
    """Stores sparse bits by single-trial codes of one winner per module. Familiarity is G, the mean best support."""

    def __init__(self, spec: SparseySpec) -> None:
        self.spec = spec
        self._items = Items()  # a code is what ``_record`` gives: mac, winners, key
        self._codes = np.zeros((0, 1 + spec.modules), dtype=np.int64)  # mac and winners of each item
        self._writes = 0
        self._weights = np.zeros((1, spec.length, spec.modules * spec.units), dtype=np.uint8)
        self._set_at = np.zeros((1, 1, 1) if not spec.permanence else self._weights.shape, dtype=np.int32)
        self._filled = np.zeros((1, spec.modules, spec.units), dtype=np.int64)

    def write(
        self,
        key: ArrayLike,
        value: Value = None,
        *,
        cube_id: str | None = None,
        strength: float = 1.0,
        when: datetime | None = None,
    ) -> WriteReport:
        bits = self._key("key", key)
        value, known_id, _, when = checked_item(value, cube_id, strength, when)
        todo = admit(self._room(), self.spec)
        if todo == "evict":
            self._drop([0])
        elif todo == "grow":
            self._grow()
        support = self._support(bits)
        known = familiarity(support)
        mac, g = int(known.argmax()), float(known.max())
        if g < self.spec.gate:
            mac = len(self._weights) - 1
            plastic = self._plastic(mac)
            luck = np.random.Generator(np.random.PCG64([self.spec.seed, self._writes]))
            winners = choose(support[mac], self.spec.parameters, luck, plastic)
            reused, learnt = self._learn(mac, bits, winners, plastic)
        else:
            winners, reused, learnt = best(support[mac]), 1.0, False
        self._writes += 1
        self._items.add(_record(mac, winners, bits), value, known_id, when)
        self._append(mac, winners)
        reason = "stored" if learnt else "familiar: nothing learnt" if g >= self.spec.gate else "frozen: nothing learnt"
        return WriteReport(True, g, winners, reused, reason if todo == "store" else f"{reason}; full: {todo}")

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
        bits = self._key("cue", cue, check_mask(mask, self.spec.length))
        if not len(self._items):
            return []
        g, taken, converged = 0.0, 0, False
        while not converged and taken < (steps or 1):
            support = self._support(bits)
            g = g if taken else float(familiarity(support).max())
            if temperature > 0 and rng is not None:
                support = support + rng.gumbel(scale=temperature, size=support.shape)
            winners = best(support, rng)
            shares = self._agreement(winners)
            first = int(shares.argmax())
            mac = int(self._codes[first, 0])
            seen = self.generate(winners[mac], mac)
            taken, converged = taken + 1, steps is None or bool(np.array_equal(seen, bits))
            bits = seen
        ranked = np.argsort(-shares, kind="stable")[:k].tolist()
        return [
            Recall(
                seen if number == first else _key_of(self._items.codes[number], self.spec),
                self._items.values[number],
                () if (cube := self._items.cube_ids[number]) is None else (cube,),
                float(shares[number]),
                g,
                taken,
                converged,
            )
            for number in ranked
        ]

    def familiarity(self, cue: ArrayLike) -> float:
        return float(familiarity(self._support(self._key("cue", cue))).max())

    def belief(self, cue: ArrayLike) -> NDArray[np.float64]:
        """Return how much of the code of every stored item the cue calls up, in [0, 1]: (items,), oldest first.

        Takes time in proportion to the number stored. Divided by its sum, a graded likelihood over all of them.
        """
        return self._agreement(best(self._support(self._key("cue", cue))))

    def generate(self, winners: NDArray[np.int64], mac: int = 0) -> Bits:
        """Return the input that a code stands for: the ``active`` bits with the most weights to its winners, (L,)."""
        units = np.arange(self.spec.modules) * self.spec.units + winners
        return top_bits(self._sums_back(mac, units), self.spec.active)

    def frequency(self, cue: ArrayLike) -> float:
        """Return how often what the cue is made of was stored, about: the exposures that share a unit of its code."""
        bits = self._key("cue", cue)
        support = self._support(bits)
        mac = int(familiarity(support).argmax())
        units = np.arange(self.spec.modules), best(support[mac])
        return float(self._filled[mac][units].mean()) / float(bits.sum())

    def forget(self, *, key: ArrayLike | None = None, cube_id: str | None = None) -> Forgotten:
        if key is not None and cube_id is None:
            packed = np.packbits(self._key("key", key))
            numbers = [n for n, code in enumerate(self._items.codes) if np.array_equal(code[-len(packed) :], packed)]
        else:
            numbers = self._items.find(cube_id=cube_id if key is None else None)
        spec, last = self.spec, list(range(len(self._items) - len(numbers), len(self._items)))
        plain = spec.gate == spec.freeze_unit == spec.freeze_mac == 1.0 and not spec.permanence
        plain = plain and len(self._weights) == 1 and self._writes == len(self._items)
        exact = not numbers or (numbers == last and plain)
        if numbers:
            self._drop(numbers)
            self._writes -= len(numbers) if exact else 0
        how = "the weights were set anew from the kept codes of the other items"
        return Forgotten(len(numbers), exact, how if exact else f"{how}; their codes were chosen while it was there")

    def consolidate(self) -> Consolidated:
        """Clear the weights that have expired; without permanence there is nothing to do."""
        if not self.spec.permanence:
            return Consolidated(len(self._items), 0, "binary weights need no rest")
        gone = (self._weights > 0) & (self._strength(self._set_at) <= 0)
        self._weights[gone], self._set_at[gone] = 0, 0
        self._refill()
        return Consolidated(len(self._items), int(gone.sum()), "expired weights were cleared")

    def load(self) -> Load:
        """Return the load; the error is the chance that a winner of a stored item comes back wrong, by the fill."""
        room, spec = self._room(), self.spec
        fill = float(self._filled.mean()) / spec.length
        return Load(room.items, room.capacity, fill, min(1.0, (spec.units - 1) * fill**spec.active / 2))

    def state_dict(self) -> dict[str, Array]:
        state = {"weights": np.packbits(self._weights, axis=-1), "writes": np.array(self._writes)}
        if self.spec.permanence:
            state["set_at"] = self._set_at
        return {"spec": spec_array(self.spec), **state, **self._items.state_dict()}

    @classmethod
    def from_state(cls, spec: SparseySpec, state: Mapping[str, Array]) -> Self:
        check_state(spec, state)
        memory = cls(spec)
        packed, units = need(state, "weights"), spec.modules * spec.units
        if packed.ndim != 3 or packed.shape[1:] != (spec.length, -(-units // 8)) or packed.dtype != np.uint8:
            raise Corrupt(f"The weights of this state are not of {spec.length} inputs and {units} units.")
        memory._weights = np.unpackbits(packed, axis=-1, count=units)
        memory._writes = int(need(state, "writes", (), np.int64, least=0, most=_LASTING - 1))
        if spec.permanence:
            memory._set_at = need(state, "set_at", memory._weights.shape, np.int32, least=0).copy()
        memory._items = Items.from_state(state)
        length = _record(0, np.zeros(spec.modules, np.int64), np.zeros(spec.length, np.uint8)).shape
        if any(code.shape != length or code.dtype != np.uint8 for code in memory._items.codes):
            raise Corrupt("The codes of this state are not those of its spec.")
        memory._relist()
        memory._refill()
        return memory

    # --- keys and support

    def _key(self, name: str, value: ArrayLike, known: NDArray[np.bool_] | None = None) -> Bits:
        bits = check_bits(name, value, self.spec.length)
        bits = bits if known is None else bits * known
        if not bits.any():
            raise InvalidInput(f"{name} has no bit on.", hint="A mac without input does not run.")
        return np.asarray(bits, dtype=np.uint8)

    def _support(self, bits: Bits) -> NDArray[Any]:
        """Return V of every unit of every mac: (macs, Q, K)."""
        on = np.flatnonzero(bits)
        rows = self._weights[:, on]
        sums = self._strength(self._set_at[:, on]) * rows if self.spec.permanence else rows
        shape = (len(rows), self.spec.modules, self.spec.units)
        return normalised(sums.sum(axis=1, dtype=np.float64).reshape(shape), np.full(len(rows), len(on)))

    def _strength(self, set_at: NDArray[np.int32]) -> NDArray[np.float64]:
        """Return what is left of weights by the write that set them: (1 + c/T) / (1 + c/(T - t)), 0 from T on."""
        total, c = self.spec.permanence, self.spec.convexity
        age = np.where(set_at == _LASTING, 0, self._writes - 1 - set_at.astype(np.int64))
        left = np.maximum(total - age, 0)
        return np.where(left > 0, (1 + c / total) / (1 + c / np.maximum(left, 1)), 0.0)

    def _sums_back(self, mac: int, units: NDArray[np.int64]) -> NDArray[np.float64]:
        rows = self._weights[mac][:, units]
        if self.spec.permanence:
            return np.asarray((rows * self._strength(self._set_at[mac][:, units])).sum(axis=1))
        return np.asarray(rows.sum(axis=1, dtype=np.float64))

    def _agreement(self, winners: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the share of equal winners for each item, those of its own mac among (macs, Q)."""
        codes = self._codes[: len(self._items)]
        return np.asarray((codes[:, 1:] == winners[codes[:, 0]]).mean(axis=1))

    # --- learning

    def _plastic(self, mac: int) -> NDArray[np.bool_]:
        """Return which units may learn: (Q, K); none if the mac is frozen."""
        frozen = self._filled[mac].mean() > self.spec.freeze_mac * self.spec.length
        return np.asarray((self._filled[mac] < self.spec.freeze_unit * self.spec.length) & ~frozen)

    def _learn(
        self, mac: int, bits: Bits, winners: NDArray[np.int64], plastic: NDArray[np.bool_]
    ) -> tuple[float, bool]:
        """Set the weights from the active inputs to the winners that may learn; return how many units stood already."""
        modules = np.arange(self.spec.modules)
        reused = float((self._filled[mac][modules, winners] > 0).mean())
        may = plastic[modules, winners]
        if not may.any():
            return reused, False
        units = (modules * self.spec.units + winners)[may]
        block = np.ix_(np.flatnonzero(bits), units)
        before = self._weights[mac][block]
        self._filled[mac][modules[may], winners[may]] += (before == 0).sum(axis=0)
        self._weights[mac][block] = 1
        if self.spec.permanence:
            set_at, now = self._set_at[mac][block], self._writes
            again = (before > 0) & ((now - set_at.astype(np.int64) <= self.spec.lasting) | (set_at == _LASTING))
            self._set_at[mac][block] = np.where(again, _LASTING, now)
        return reused, True

    def _room(self) -> Load:
        spec = self.spec
        each = max(1.0, spec.share * capacity(spec.length, spec.active, spec.units))
        return Load(len(self._items), each * len(self._weights), 0.0)

    def _grow(self) -> None:
        self._weights = np.concatenate([self._weights, np.zeros_like(self._weights[:1])])
        self._filled = np.concatenate([self._filled, np.zeros_like(self._filled[:1])])
        if self.spec.permanence:
            self._set_at = np.concatenate([self._set_at, np.zeros_like(self._set_at[:1])])

    def _append(self, mac: int, winners: NDArray[np.int64]) -> None:
        number = len(self._items) - 1
        if number == len(self._codes):
            self._codes = np.concatenate([self._codes, np.zeros((max(number, 16), 1 + len(winners)), dtype=np.int64)])
        self._codes[number] = mac, *winners

    def _drop(self, numbers: list[int]) -> None:
        """Forget items, and set the weights anew by the codes of all others."""
        self._items.remove(numbers)
        kept = np.zeros_like(self._weights)
        self._relist()
        for code in self._items.codes:
            mac, *winners = _code_of(code, self.spec).tolist()
            units = np.arange(self.spec.modules) * self.spec.units + np.array(winners)
            kept[mac][np.ix_(np.flatnonzero(_key_of(code, self.spec)), units)] = 1
        if self.spec.permanence:  # what had expired, or was set by no item that is left, stays unset
            kept &= self._weights
            self._set_at[kept == 0] = 0
        self._weights = kept
        self._refill()

    def _relist(self) -> None:
        codes = [_code_of(code, self.spec) for code in self._items.codes]
        self._codes = np.stack(codes) if codes else np.zeros((0, 1 + self.spec.modules), dtype=np.int64)
        macs, winners = self._codes[:, 0].max(initial=0), self._codes[:, 1:].max(initial=0)
        if macs >= len(self._weights) or winners >= self.spec.units:
            raise Corrupt("The codes of this state name macs or units that it does not hold.")

    def _refill(self) -> None:
        shape = (len(self._weights), self.spec.modules, self.spec.units)
        self._filled = self._weights.sum(axis=1, dtype=np.int64).reshape(shape)


def _record(mac: int, winners: NDArray[np.int64], bits: Bits) -> NDArray[np.uint8]:
    """Return what is kept of an item, as bytes: mac and winners (uint32), then the key in packed bits."""
    code = np.concatenate([[mac], winners]).astype("<u4")
    return np.concatenate([code.view(np.uint8), np.packbits(bits)])


def _code_of(record: NDArray[np.uint8], spec: SparseySpec) -> NDArray[np.int64]:
    """Return mac and winners: (1 + Q,)."""
    return np.frombuffer(record[: 4 * (spec.modules + 1)].tobytes(), dtype="<u4").astype(np.int64)


def _key_of(record: NDArray[np.uint8], spec: SparseySpec) -> Bits:
    return np.unpackbits(record[4 * (spec.modules + 1) :], count=spec.length)
