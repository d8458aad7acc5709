"""The steps of many macs in NumPy: what ``compiled`` does, bit for bit, where numba is not installed.

Sums of bits are counted in bits: 64 units per machine word, one plane per binary digit of the sums. So a weight takes
one bit, and the best unit of a CM is found plane by plane.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
_TOGETHER = 32  # items that are read at once


def present(
    weights: Words,
    filled: NDArray[np.int32],
    active: NDArray[np.int32],
    counts: NDArray[np.int32],
    luck: NDArray[np.float64],
    shares: NDArray[np.float64],
    extra: NDArray[np.float64],
    gate: float,
    limit: float,
    most_filled: float,
    bounds: tuple[int, int],
    open_macs: NDArray[np.bool_],
    best: NDArray[np.int16],
    winners: NDArray[np.int16],
    known: NDArray[np.int32],
) -> None:
    """Present items one after the other to all macs, and let those learn that may.

    weights      (M, L, Q * words) uint64, units in bits, changed in place
    filled       (M, Q, K), how many weights of every unit are set, changed in place
    active       (N, M, C), which inputs are on: the first ``counts`` (N, M) of each row
    luck         (N, M, Q) in [0, 1): decides between equals, and who is recruited; 0: the first
    shares       (C + 1, C + 1), the sigmoid of the support by count and sum
    extra        (C + 1, Q C + 1), eta - 1 by count and sum of the best sums
    gate         familiarity from which nothing is learnt
    limit        set weights from which a unit is frozen
    most_filled  set weights beyond which a whole mac is
    bounds       how many inputs must, and may, be on for a mac to run
    open_macs    (M,), which macs may learn
    best, winners, known  out: the best units, those that stand for the item (both (N, M, Q), -1 where the mac does not
                 run), and the sum of the best sums (N, M)
    """
    together = 1 if open_macs.any() else _TOGETHER
    for start in range(0, len(luck), together):
        items = slice(start, start + together)
        runs = (counts[items] >= bounds[0]) & (counts[items] <= bounds[1])
        planes = _count(weights, active[items], np.where(runs, counts[items], 0))
        units, sums = _best(planes, filled.shape, luck[items])
        best[items] = np.where(runs[:, :, None], units, -1)
        known[items] = np.where(runs, sums.sum(axis=2), 0)
        winners[items] = best[items]
        if together == 1:
            held = filled.sum(axis=(1, 2), dtype=np.int64)
            novel = known[start] < gate * (filled.shape[1] * counts[start])
            new = open_macs & runs[0] & (held <= most_filled) & novel
            if new.any():
                macs = np.flatnonzero(new)
                chosen = _recruit(
                    planes[:, 0, macs], filled[macs] < limit, shares[counts[start, macs]],
                    extra[counts[start, macs], known[start, macs]], luck[start, macs],
                )  # fmt: skip
                winners[start, macs] = np.where(chosen < 0, best[start, macs], chosen)
                _learn(weights, filled, macs, chosen, active[start, macs], counts[start, macs])


def active_inputs(
    bits: NDArray[np.uint8], fields: NDArray[np.int64], active: NDArray[np.int32], counts: NDArray[np.int32]
) -> None:
    """List for every item and mac which of its inputs are on: bits (N, inputs), fields (M, L)."""
    for item in range(len(bits)):
        on = bits[item, fields] > 0
        counts[item] = on.sum(axis=1)
        order = np.argsort(~on, axis=1, kind="stable")[:, : active.shape[2]]
        active[item] = np.where(np.arange(order.shape[1]) < counts[item][:, None], order, 0)


def _count(weights: Words, active: NDArray[np.int32], counts: NDArray[np.int32]) -> Words:
    """Return the sums of the rows that are on, as planes of binary digits: (planes, N, M, Q * words)."""
    most = int(counts.max(initial=0))
    planes = np.zeros((max(most.bit_length(), 2), *counts.shape, weights.shape[2]), dtype=np.uint64)
    macs = np.arange(len(weights))
    for place in range(most):
        carry = np.where((place < counts)[..., None], weights[macs, active[:, :, place]], np.uint64(0))
        for plane in planes[: (place + 1).bit_length()]:
            held = plane & carry
            plane ^= carry
            carry = held
    return planes


def _best(planes: Words, shape: tuple[int, ...], luck: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the unit of the largest sum in each CM, by luck among equals, and that sum: both (N, M, Q)."""
    _, modules, units = shape
    digits = planes.reshape(*planes.shape[:3], modules, -1)
    left = np.broadcast_to(_all_units(units), digits.shape[1:]).copy()
    most = np.zeros(digits.shape[1:4], dtype=np.int64)
    for place in range(len(digits) - 1, -1, -1):
        here = left & digits[place]
        some = here.any(axis=-1)
        most += some.astype(np.int64) << place
        left = np.where(some[..., None], here, left)
    equal = _units(left, units)
    if not luck.any():
        return equal.argmax(axis=-1), most
    order = np.cumsum(equal, axis=-1, dtype=np.int32)
    skip = (luck * order[..., -1]).astype(np.int32)
    return (order > skip[..., None]).argmax(axis=-1), most


def _recruit(
    planes: Words,
    plastic: NDArray[np.bool_],
    shares: NDArray[np.float64],
    extra: NDArray[np.float64],
    luck: NDArray[np.float64],
) -> NDArray[np.int64]:
    """Return for each CM the plastic unit that luck draws by its win weight, (m, Q); -1 if none is left."""
    macs, modules, units = plastic.shape
    digits = planes.reshape(len(planes), macs, modules, -1)
    sums = np.zeros(plastic.shape, dtype=np.int64)
    for place, digit in enumerate(digits):
        sums += _units(digit, units).astype(np.int64) << place
    share = np.take_along_axis(shares[:, None, :], sums, axis=2)
    running = np.cumsum(np.where(plastic, 1.0 + extra[:, None, None] * share, 0.0), axis=-1)
    passed = running > (luck * running[..., -1])[..., None]
    return np.where(running[..., -1] > 0, passed.argmax(axis=-1), -1)


def _learn(
    weights: Words,
    filled: NDArray[np.int32],
    macs: NDArray[np.int64],
    chosen: NDArray[np.int64],
    active: NDArray[np.int32],
    counts: NDArray[np.int32],
) -> None:
    """Set the weights from the active inputs of the macs to the units chosen."""
    words = weights.shape[2] // chosen.shape[1]
    mac, place = np.nonzero(np.arange(active.shape[1]) < counts[:, None])
    rows = active[mac, place]
    for module in range(chosen.shape[1]):
        unit = chosen[mac, module]
        may = unit >= 0
        at = macs[mac[may]], rows[may], module * words + (unit[may] >> 6)
        bit = np.uint64(1) << (unit[may] & 63).astype(np.uint64)
        fresh = (weights[at] & bit) == 0
        weights[at] |= bit
        np.add.at(filled, (at[0][fresh], module, unit[may][fresh]), 1)


def _units(words: Words, units: int) -> NDArray[np.uint8]:
    """Return the bits of words, one per unit: (..., words) -> (..., units)."""
    as_bytes = np.ascontiguousarray(words.astype("<u8")).view(np.uint8)
    return np.unpackbits(as_bytes, axis=-1, count=units, bitorder="little")


def _all_units(units: int) -> Words:
    """Return the words in which just the bits of units are on."""
    on = np.zeros(-(-units // 64) * 64, dtype=np.uint8)
    on[:units] = 1
    return np.packbits(on, bitorder="little").view("<u8").astype(np.uint64)
