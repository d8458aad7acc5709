"""BM25 over one user's memories at several grain sizes: the turn, the turn with those around it, the session.

All come from the same postings of turns, so that nothing but turns is stored. The statistics (number of
documents, their frequency, their mean length) are those of the scope that is searched, so that what others
remember never moves a score.
Source: Okapi BM25 with idf = ln(1 + (N - df + 0.5) / (df + 0.5)), Robertson and Zaragoza (2009), eq. 3.15.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from anamnos.index.space import Postings, Sizes, SpaceIndex

Scores = NDArray[np.float32]
Grain = Literal["turn", "window", "spread", "session"]


@dataclass(frozen=True)
class Bm25:
    """Scores documents by the words they share with a cue.

    k1  > 0: how soon a repeated word stops counting
    b   in [0, 1]: how much longer documents are held back
    """

    k1: float = 0.9
    b: float = 0.4

    def scores(
        self,
        space: SpaceIndex,
        terms: Mapping[int, int],
        postings: Mapping[int, Postings],
        mask: NDArray[np.bool_],
        grain: Grain,
    ) -> Scores:
        """Return the BM25 score of each document of ``space`` at a grain: (n,) float32, 0 outside ``mask``.

        terms     term -> how often the cue has it
        postings  term -> the documents of ``space`` that hold it, and how often
        mask      (n,) bool: the documents of the searched scope; whole sessions
        """
        scores = np.zeros(space.groups if grain == "session" else len(space), dtype=np.float32)
        if not mask.any():
            return np.zeros(len(space), dtype=np.float32)
        sizes = space.sizes(grain, mask)
        for term, times in terms.items():
            held, counted = postings[term]
            keep = mask[held]
            docs: NDArray[np.integer] = held[keep]
            found = counted[keep]
            if not len(docs):
                continue
            holding = len(docs)
            if grain == "session":
                docs, found = _sum(space.group[docs], found, len(scores))
                holding = len(docs)
            elif grain != "turn":
                docs, found = _sum(*space.around(docs, found, grain), len(scores))
                holding = len(docs) if grain == "window" else holding  # a word far away makes it no less rare
            self._add(scores, docs, found, holding, sizes, times)
        return np.where(mask, scores[space.group], np.float32(0)) if grain == "session" else scores

    def _add(
        self,
        scores: Scores,
        docs: NDArray[np.integer],
        found: NDArray[np.float32],
        holding: int,
        sizes: Sizes,
        times: int,
    ) -> None:
        """Add one term's part to ``scores``: ``holding`` documents have it, and the cue ``times``."""
        idf = np.log(1 + (sizes.count - holding + 0.5) / (holding + 0.5))
        norm = self.k1 * (1 - self.b + self.b * sizes.length[docs] / sizes.mean)
        scores[docs] += (times * idf * (self.k1 + 1)) * found / (found + norm)


def _sum(docs: NDArray[np.integer], weights: NDArray[np.float32], n: int) -> tuple[NDArray[np.intp], Scores]:
    """Return the distinct ``docs`` and the sum of the weights of each."""
    if 16 * len(docs) < n:  # a rare word: sorting a few beats counting all
        distinct, places = np.unique(docs, return_inverse=True)
        return distinct, np.bincount(places, weights=weights).astype(np.float32)
    total = np.bincount(docs, weights=weights, minlength=n)
    distinct = np.flatnonzero(total > 0)  # NumPy finds True faster than it finds numbers
    return distinct, total[distinct].astype(np.float32)
