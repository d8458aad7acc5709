"""How sure a figure is: intervals of means, tests of differences, and their correction when there are many.

Questions about one conversation are not independent of each other, so resampling draws whole clusters (cases), each
with all its questions. Source: the cluster bootstrap, Davison and Hinkley, Bootstrap Methods (1997), chapter 3.8.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import comb, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anamnos.errors import InvalidInput

RESAMPLES = 10_000
_BLOCK = 4_000_000  # numbers drawn at a time, which bounds the memory at 32 MB


class Difference(NamedTuple):
    """Mean of the second less mean of the first, its 95 % interval, and the two-sided p-value of no difference."""

    mean: float
    low: float
    high: float
    p: float


def bootstrap_interval(
    values: ArrayLike, clusters: Sequence[str], *, resamples: int = RESAMPLES, seed: int = 0
) -> NDArray[np.float64]:
    """Return the 95 % percentile interval of each column's mean: (columns, 2); NaN if there is but one cluster.

    values    (queries, columns)
    clusters  the cluster of each query
    """
    means = _resampled(values, clusters, resamples, seed)
    return np.percentile(means, [2.5, 97.5], axis=0).T


def paired_difference(
    first: ArrayLike, second: ArrayLike, clusters: Sequence[str], *, resamples: int = RESAMPLES, seed: int = 0
) -> Difference:
    """Return by how much ``second`` is better than ``first`` on the same queries.

    first, second  (queries,) values in the same order
    p              twice the smaller share of resamples on either side of zero, at most 1, at least 1 / ``resamples``;
                   1 if there is but one cluster, whose interval is NaN
    """
    gains = np.asarray(second, dtype=np.float64) - np.asarray(first, dtype=np.float64)
    means = _resampled(gains[:, None], clusters, resamples, seed)[:, 0]
    low, high = (float(bound) for bound in np.percentile(means, [2.5, 97.5]))
    if np.isnan(low):
        return Difference(float(gains.mean()), low, high, 1.0)
    p = 2 * min(float(np.mean(means <= 0)), float(np.mean(means >= 0)))
    return Difference(float(gains.mean()), low, high, min(max(p, 1 / resamples), 1.0))


def mcnemar_exact(first_only: int, second_only: int) -> float:
    """Return the two-sided p-value that two systems are right equally often.

    first_only   queries that only the first gets right; ``second_only`` alike
    Source: McNemar's test with the exact binomial distribution.

    >>> round(mcnemar_exact(1, 9), 4)
    0.0215
    """
    n = first_only + second_only
    tail = sum(comb(n, i) for i in range(min(first_only, second_only) + 1))
    return min(1.0, 2 * tail / (1 << n))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values corrected for being several, in the order given. Source: Holm (1979).

    >>> [round(p, 2) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    corrected, highest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = highest
    return corrected


def wilson(successes: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share of independent trials. Source: Wilson (1927).

    >>> [round(bound, 3) for bound in wilson(8, 10)]
    [0.49, 0.943]
    """
    if n < 1:
        raise InvalidInput("A share of no trials has no interval.")
    z, share = 1.959964, successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return centre - half, centre + half


def _resampled(values: ArrayLike, clusters: Sequence[str], resamples: int, seed: int) -> NDArray[np.float64]:
    """Return the means of the resamples: (resamples, columns)."""
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or len(table) != len(clusters) or not len(table):
        raise InvalidInput(f"values must be (queries, columns), one row a cluster name; got {table.shape}.")
    if not np.isfinite(table).all():
        raise InvalidInput("values hold NaN or infinite numbers.")
    _, of = np.unique(np.asarray(clusters, dtype=object), return_inverse=True)
    count = int(of.max()) + 1
    if count < 2:
        return np.full((resamples, table.shape[1]), np.nan)
    sizes = np.bincount(of).astype(np.float64)
    sums = np.zeros((count, table.shape[1]))
    np.add.at(sums, of, table)
    rng = np.random.default_rng(seed)
    block = max(1, _BLOCK // count)
    parts = []
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        times = rng.multinomial(count, np.full(count, 1 / count), size=rows).astype(np.float64)
        parts.append((times @ sums) / (times @ sizes)[:, None])
    return np.concatenate(parts)
