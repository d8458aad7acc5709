"""Vectors that are made: a larger set from a smaller real one, and a clustered one that is hard for graphs.

The same seed gives the same vectors. All are unit length and float32.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from anamnos.bench.timing import Progress, quiet
from anamnos.embed.base import Vectors

_NEIGHBOURS = 12
_CELL = 2_000  # rows in the mean among which neighbours are looked for
_BLOCK = 2_048
_ZIPF = 1.1
_ALONE = 0.05  # share of the clustered set that belongs to no cluster
_CLUSTER = 100  # rows of a cluster in the mean


def unit(rows: Vectors) -> Vectors:
    """Return each of ``rows`` (n, dim) divided by its length; none may be zero."""
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def enlarged(rows: Vectors, count: int, seed: int = 0, progress: Progress = quiet) -> Vectors:
    """Return ``count`` vectors: ``rows``, and others that lie between and beside them, in random order.

    A made one is x_i + u (x_j - x_i) + v (x_a - x_b), with j and a neighbours of i, b one of j, u in [.05, .5] and |v|
    in [.3, .7]: a step towards a neighbour, and one aside along a difference that is local too. Local intrinsic
    dimension stays, and neighbours come closer as they do in larger real sets. Source: ours.
    """
    rng = np.random.default_rng(seed)
    near = neighbours(rows, seed=seed, progress=progress)
    out = np.empty((max(count, len(rows)), rows.shape[1]), dtype=np.float32)
    out[: len(rows)] = rows
    for start in range(len(rows), count, _BLOCK):
        size = min(_BLOCK, count - start)
        i = rng.integers(len(rows), size=size)
        j, a = (near[i, rng.integers(_NEIGHBOURS, size=size)] for _ in range(2))
        b = near[j, rng.integers(_NEIGHBOURS, size=size)]
        u = rng.uniform(0.05, 0.5, size=(size, 1))
        v = rng.uniform(0.3, 0.7, size=(size, 1)) * rng.choice((-1, 1), size=(size, 1))
        out[start : start + size] = unit(rows[i] + u * (rows[j] - rows[i]) + v * (rows[a] - rows[b]))
    rng.shuffle(out)
    return out[:count]


def neighbours(rows: Vectors, seed: int = 0, progress: Progress = quiet) -> NDArray[np.int64]:
    """Return the numbers of the 12 nearest of each row among those of its own cell: (n, 12) int64.

    A cell holds what is nearest to one of ``n / 2000`` rows drawn at random, then moved to the mean of its own.
    """
    rng = np.random.default_rng(seed)
    centres = rows[rng.choice(len(rows), size=max(1, len(rows) // _CELL), replace=False)]
    for _ in range(2):
        cell = _nearest(rows, centres)
        sums = np.stack([rows[cell == number].sum(axis=0) for number in range(len(centres))])
        centres = unit(np.where(np.any(sums, axis=1, keepdims=True), sums, centres))
    cell = _nearest(rows, centres)
    found = np.empty((len(rows), _NEIGHBOURS), dtype=np.int64)
    for number in range(len(centres)):
        progress("finding neighbours", number + 1, len(centres))
        members = np.flatnonzero(cell == number)
        for start in range(0, len(members), _BLOCK):
            some = members[start : start + _BLOCK]
            scores = rows[some] @ rows[members].T
            scores[np.arange(len(some)), np.arange(start, start + len(some))] = -2.0  # none is its own neighbour
            kept = min(_NEIGHBOURS, len(members) - 1)
            best = np.argpartition(-scores, kept - 1, axis=1)[:, :kept] if kept else np.zeros((len(some), 1), np.int64)
            found[some] = members[np.resize(best.T, (_NEIGHBOURS, len(some))).T]
    return found


def _nearest(rows: Vectors, centres: Vectors) -> NDArray[np.int64]:
    blocks = [np.argmax(rows[start : start + _BLOCK] @ centres.T, axis=1) for start in range(0, len(rows), _BLOCK)]
    return np.concatenate(blocks).astype(np.int64)


def clustered(count: int, dim: int = 384, seed: int = 0) -> Vectors:
    """Return ``count`` vectors of a mixture of ``count / 100`` clusters, in random order.

    Sizes fall as rank^-1.1; each cluster's noise, a deviation per dimension of its centre's, is drawn from [.8, .9];
    one in twenty lies anywhere.
    """
    rng = np.random.default_rng(seed)
    clusters = max(1, count // _CLUSTER)
    centres = rng.standard_normal((clusters, dim), dtype=np.float32)
    noise = rng.uniform(0.8, 0.9, size=(clusters, 1)).astype(np.float32)
    weights = (1.0 + np.arange(clusters)) ** -_ZIPF
    cluster = rng.choice(clusters, size=count, p=weights / weights.sum())
    alone = rng.random(count) < _ALONE
    out = np.empty((count, dim), dtype=np.float32)
    for start in range(0, count, _BLOCK):
        which = cluster[start : start + _BLOCK]
        drawn = rng.standard_normal((len(which), dim), dtype=np.float32)
        inside = centres[which] + noise[which] * drawn
        out[start : start + _BLOCK] = unit(np.where(alone[start : start + _BLOCK, None], drawn, inside))
    return out
