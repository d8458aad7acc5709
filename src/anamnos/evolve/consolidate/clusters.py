"""Vectors into small groups of what belongs together: cut by k-means until groups are small, then each by its gaps.

Source: the periodic structuring of MemOS, arXiv:2507.03724 and its code: k = ceil(n / 20), seed 42, until none has more
than 20; then sub-groups, for which it asks a language model and which are found here by average linkage with a
distance of .45. MemOS drops groups of ten or fewer before that, to save calls; without calls they are looked at too.
Mini-batches: Sculley, Web-scale k-means clustering (WWW 2010); first centres: k-means++ (SODA 2007).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anamnos.errors import ConfigError

Vectors = NDArray[np.float32]
Places = NDArray[np.intp]
_BLOCK = 4_096
_SAME = 1e-6  # squared distances below it are none


@dataclass(frozen=True, slots=True)
class Clusters:
    """Groups of near vectors.

    max_size    of a group before it is looked at for gaps, >= 2
    min_size    smaller groups are none, >= 2
    distance    1 - cosine up to which two groups belong together, on the average, in (0, 2]
    seed, batch, rounds   of k-means: its chance, vectors a step, steps
    """

    max_size: int = 20
    min_size: int = 4
    distance: float = 0.45
    seed: int = 42
    batch: int = 1_024
    rounds: int = 20

    def __post_init__(self) -> None:
        if self.max_size < 2 or self.min_size < 2 or not 0 < self.distance <= 2 or min(self.batch, self.rounds) < 1:
            raise ConfigError(f"These settings of clusters make none: {self}.")

    def groups(self, vectors: Vectors, pause: Callable[[], object] = lambda: None) -> list[Places]:
        """Return the groups in (n, dim) unit vectors: places, ascending, in the order of their first ones.

        pause  called between steps
        """
        small = self._cut(np.arange(len(vectors)), vectors, pause)
        found = [group[part] for group in small for part in self._linked(vectors[group])]
        return sorted((group for group in found if len(group) >= self.min_size), key=lambda group: int(group[0]))

    def _cut(self, places: Places, vectors: Vectors, pause: Callable[[], object]) -> list[Places]:
        """Return ``places`` in groups of at most ``max_size``."""
        if len(places) <= self.max_size:
            return [places] if len(places) else []
        pause()
        labels = self.k_means(vectors[places], math.ceil(len(places) / self.max_size), pause)
        parts = [places[labels == label] for label in np.unique(labels)]
        if len(parts) == 1:  # all alike
            return [places[start : start + self.max_size] for start in range(0, len(places), self.max_size)]
        return [group for part in parts for group in self._cut(part, vectors, pause)]

    def k_means(self, vectors: Vectors, k: int, pause: Callable[[], object] = lambda: None) -> NDArray[np.intp]:
        """Return the group of each of (n, dim) vectors, of at most ``k``: (n,). Few vectors are one batch each time."""
        rng = np.random.default_rng(self.seed)
        centres = self._first_centres(vectors, min(k, len(vectors)), rng)
        counts = np.zeros((len(centres), 1), dtype=np.float32)
        whole = len(vectors) <= self.batch
        labels = np.full(len(vectors), -1, dtype=np.intp)
        for _ in range(self.rounds):
            batch = vectors if whole else vectors[rng.integers(len(vectors), size=self.batch)]
            found = _nearest(batch, centres)
            if whole and np.array_equal(found, labels):
                return labels
            labels = found
            given = (found == np.arange(len(centres))[:, None]).astype(np.float32)
            new = given.sum(axis=1, keepdims=True)
            counts = new if whole else counts + new
            means = (given @ batch) / np.maximum(new, 1)
            centres += (means - centres) * (new / np.maximum(counts, 1))  # each to the mean of all it was given so far
            pause()
        return _nearest(vectors, centres)

    def _first_centres(self, vectors: Vectors, k: int, rng: np.random.Generator) -> Vectors:
        """Return ``k`` vectors far from each other: each is drawn with the square of its distance to those before."""
        chosen = [int(rng.integers(len(vectors)))]
        sizes = (vectors**2).sum(axis=1)
        gaps = np.full(len(vectors), np.inf, dtype=np.float32)
        while len(chosen) < k:
            last = chosen[-1]
            gaps = np.minimum(gaps, sizes + sizes[last] - 2 * (vectors @ vectors[last]))
            odds = np.cumsum(np.where(gaps > _SAME, gaps, 0), dtype=np.float64)
            if odds[-1] <= 0:  # all others are the same as one of these
                break
            chosen.append(min(int(np.searchsorted(odds, rng.random() * odds[-1], side="right")), len(vectors) - 1))
        return vectors[chosen].copy()

    def _linked(self, vectors: Vectors) -> list[Places]:
        """Return groups of a few vectors, joined by average linkage while their mean distance is small enough."""
        size = np.ones(len(vectors))
        groups = [[place] for place in range(len(vectors))]
        apart = 1.0 - (vectors @ vectors.T).astype(np.float64)
        np.fill_diagonal(apart, np.inf)
        while len(groups) > 1:
            i, j = sorted(divmod(int(np.argmin(apart)), len(groups)))
            if apart[i, j] > self.distance:
                break
            apart[i] = apart[:, i] = (size[i] * apart[i] + size[j] * apart[j]) / (size[i] + size[j])
            apart[i, i] = np.inf
            apart = np.delete(np.delete(apart, j, axis=0), j, axis=1)
            size[i] += size[j]
            size = np.delete(size, j)
            groups[i] += groups.pop(j)
        return [np.array(sorted(group), dtype=np.intp) for group in groups]


def _nearest(vectors: Vectors, centres: Vectors) -> NDArray[np.intp]:
    """Return the nearest centre of each vector: (n,)."""
    half = 0.5 * (centres**2).sum(axis=1)
    parts = [
        np.argmax(vectors[start : start + _BLOCK] @ centres.T - half, axis=1)
        for start in range(0, len(vectors), _BLOCK)
    ]
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.intp)
