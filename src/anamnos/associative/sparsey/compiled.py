"""The steps of many macs compiled: the twin of ``steps``, which gives the same codes bit for bit. Needs numba.

Sums of bits are counted in bits too: 64 units per machine word, one plane per binary digit of the sums, rows added four
at a time by full adders. So a read touches one bit per weight, and the best unit of a CM is found plane by plane.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

PLANES = 16


@njit(cache=True, nogil=True)
def _count(weights: Any, active: Any, count: Any, silent: Any, planes: Any, carry: Any) -> Any:
    """Add the rows of the active inputs into the planes; return how many planes hold the sums."""
    used, words = 1, weights.shape[1]
    while (1 << used) <= count:
        used += 1
    used = max(used, 2)
    for plane in range(used):
        planes[plane, :] = 0
    ones, twos = planes[0], planes[1]
    for start in range(0, count, 4):
        first = weights[active[start]]
        second = weights[active[start + 1]] if start + 1 < count else silent
        third = weights[active[start + 2]] if start + 2 < count else silent
        fourth = weights[active[start + 3]] if start + 3 < count else silent
        for word in range(words):
            one, a, b, c, d = ones[word], first[word], second[word], third[word], fourth[word]
            half = one ^ a
            two_a = (one & a) | (half & b)
            half ^= b
            two_b = (half & c) | ((half ^ c) & d)
            ones[word] = half ^ c ^ d
            two = twos[word]
            half = two ^ two_a
            carry[word] = (two & two_a) | (half & two_b)
            twos[word] = half ^ two_b
        for plane in range(2, used):
            digit = planes[plane]
            for word in range(words):
                held = digit[word] & carry[word]
                digit[word] ^= carry[word]
                carry[word] = held
    return used


@njit(cache=True, nogil=True)
def _bits_on(word: Any) -> Any:
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


@njit(cache=True, nogil=True)
def _best(planes: Any, used: Any, first: Any, words: Any, units: Any, luck: Any, left: Any) -> Any:
    """Return the unit of the largest sum in a CM, by luck among equals, and that sum."""
    for word in range(words):
        spare = 64 * (word + 1) - units
        left[word] = np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(max(spare, 0))
    most = 0
    for plane in range(used - 1, -1, -1):
        some = False
        for word in range(words):
            some |= (left[word] & planes[plane, first + word]) != 0
        if some:
            most |= 1 << plane
            for word in range(words):
                left[word] &= planes[plane, first + word]
    equal = 0
    if luck > 0:
        for word in range(words):
            equal += _bits_on(left[word])
    skip = int(luck * equal)
    for word in range(words):
        here = left[word]
        if here == 0:
            continue
        if skip > 0:
            many = _bits_on(here)
            if many <= skip:
                skip -= many
                continue
            while skip > 0:
                here &= here - np.uint64(1)
                skip -= 1
        low = here & (~here + np.uint64(1))
        return 64 * word + _bits_on(low - np.uint64(1)), most
    return 0, most


@njit(cache=True, nogil=True)
def _recruit(planes: Any, used: Any, first: Any, share: Any, extra: Any, plastic: Any, luck: Any, running: Any) -> Any:
    """Return the plastic unit of a CM that luck draws by its win weight; -1 if none is left."""
    total = 0.0
    for unit in range(len(plastic)):
        if plastic[unit]:
            word, bit = first + (unit >> 6), np.uint64(unit & 63)
            found = np.int64(0)
            for plane in range(used):
                found |= np.int64((planes[plane, word] >> bit) & np.uint64(1)) << plane
            total += 1.0 + extra * share[found]
        running[unit] = total
    if total == 0:
        return -1
    target = luck * total
    for unit in range(len(plastic)):
        if running[unit] > target:
            return unit
    return 0


@njit(cache=True, nogil=True)
def present(
    weights: Any,  # (M, L, Q * words) uint64
    filled: Any,  # (M, Q, K) int32, set afferents per unit
    active: Any,  # (N, M, C) int32, inputs that are on, first ``counts`` of each
    counts: Any,  # (N, M) int32
    luck: Any,  # (N, M, Q) float64
    shares: Any,  # (C + 1, C + 1) float64, by count and sum
    extra: Any,  # (C + 1, Q * C + 1) float64, by count and sum of the best sums: eta - 1
    gate: float,
    limit: float,
    most_filled: float,
    bounds: tuple[int, int],
    open_macs: Any,  # (M,) bool
    best: Any,  # (N, M, Q) int16
    winners: Any,  # (N, M, Q) int16
    known: Any,  # (N, M) int32
) -> None:
    """Present items one after the other to all macs; see ``steps.present``."""
    items, macs, modules = luck.shape
    units, words = filled.shape[2], weights.shape[2] // modules
    planes = np.zeros((PLANES, weights.shape[2]), dtype=np.uint64)
    carry, silent = np.zeros(weights.shape[2], dtype=np.uint64), np.zeros(weights.shape[2], dtype=np.uint64)
    left, running = np.zeros(words, dtype=np.uint64), np.zeros(units)
    plastic = np.zeros(units, dtype=np.bool_)
    held = np.zeros(macs, dtype=np.int64)
    for mac in range(macs):
        held[mac] = filled[mac].sum()
    for item in range(items):
        for mac in range(macs):
            count = counts[item, mac]
            if count < bounds[0] or count > bounds[1]:
                best[item, mac, :] = -1
                winners[item, mac, :] = -1
                known[item, mac] = 0
                continue
            used = _count(weights[mac], active[item, mac], count, silent, planes, carry)
            total = 0
            for module in range(modules):
                unit, most = _best(planes, used, module * words, words, units, luck[item, mac, module], left)
                best[item, mac, module] = unit
                winners[item, mac, module] = unit
                total += most
            known[item, mac] = total
            if not open_macs[mac] or held[mac] > most_filled or total >= gate * (modules * count):
                continue
            for module in range(modules):
                for unit in range(units):
                    plastic[unit] = filled[mac, module, unit] < limit
                unit = _recruit(
                    planes, used, module * words, shares[count], extra[count, total], plastic,
                    luck[item, mac, module], running,
                )  # fmt: skip
                if unit < 0:
                    continue
                winners[item, mac, module] = unit
                word, bit = module * words + (unit >> 6), np.uint64(1) << np.uint64(unit & 63)
                for place in range(count):
                    row = active[item, mac, place]
                    if weights[mac, row, word] & bit == 0:
                        weights[mac, row, word] |= bit
                        filled[mac, module, unit] += 1
                        held[mac] += 1


@njit(cache=True, nogil=True)
def active_inputs(bits: Any, fields: Any, active: Any, counts: Any) -> None:
    """List for every item and mac which of its inputs are on: bits (N, inputs), fields (M, L)."""
    for item in range(len(bits)):
        for mac in range(len(fields)):
            count = 0
            for place in range(fields.shape[1]):
                if bits[item, fields[mac, place]]:
                    active[item, mac, count] = place
                    count += 1
            counts[item, mac] = count
