"""The inner loop of the Glauber dynamics, twice: in NumPy, and compiled by Numba where that is installed.

Both add whole numbers only, and compare the same two floats at the end: their results are equal bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Sweep = Callable[[Any, Any, Any, Any, Any, Any], int]


def numpy_sweep(
    columns: NDArray[np.int8],
    table: NDArray[np.int64],
    states: NDArray[np.int8],
    sums: NDArray[np.int32],
    order: NDArray[np.int64],
    thresholds: NDArray[np.float64],
) -> int:
    """Visit every spin of every state once; change ``states`` and ``sums`` in place; return how many spins flipped.

    columns     (N, K) what the patterns have at a site
    table       of what the other spins of a pattern sum to (offset by half its length) -> their weight in the field
    states      (R, N) spins
    sums        (R, K) of pattern times state
    order       (N,) sites
    thresholds  (R, N) a spin becomes the sign of its field less this; at equality it stays
    """
    middle, flips = len(table) // 2, 0
    for site in order:
        pattern = columns[site]
        old = states[:, site]
        others = sums - old[:, None] * pattern
        field = (table[others + middle] * pattern).sum(axis=1).astype(np.float64)
        level = thresholds[:, site]
        new = np.where(field > level, 1, np.where(field < level, -1, old)).astype(np.int8)
        changed = np.flatnonzero(new != old)
        if len(changed):
            sums[changed] += (new[changed] - old[changed]).astype(np.int32)[:, None] * pattern
            states[changed, site] = new[changed]
            flips += len(changed)
    return flips


def _loops(columns: Any, table: Any, states: Any, sums: Any, order: Any, thresholds: Any) -> int:
    middle, flips = len(table) // 2, 0
    for at in range(len(order)):
        site = order[at]
        for r in range(states.shape[0]):
            old = np.int32(states[r, site])
            field = np.int64(0)
            for mu in range(columns.shape[1]):
                x = np.int32(columns[site, mu])
                field += x * table[sums[r, mu] - old * x + middle]
            level = thresholds[r, site]
            new = np.int32(1) if np.float64(field) > level else (np.int32(-1) if np.float64(field) < level else old)
            if new != old:
                for mu in range(columns.shape[1]):
                    sums[r, mu] += (new - old) * np.int32(columns[site, mu])
                states[r, site] = new
                flips += 1
    return flips


@cache
def fast_sweep() -> Sweep:
    """Return the compiled sweep, or the one in NumPy if Numba is not installed."""
    try:
        import numba
    except ImportError:
        return numpy_sweep
    compiled: Sweep = numba.njit(cache=True, nogil=True)(_loops)
    return compiled
