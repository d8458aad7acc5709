"""BM25 over one user's memories at three grain sizes: the turn, the turn with its neighbours, the session.

All three come from the same postings of turns, so that nothing but turns is stored. The statistics (number of
documents, their frequency, their mean length) are those of the scope that is searched, so that what others
remember never moves a score.
Source: Okapi BM25 with idf = ln(1 + (N - df + 0.5) / (df + 0.5)), Robertson and Zaragoza (2009), eq. 3.15.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anamnos.index.space import Postings, Sizes, SpaceIndex

Scores = NDArray[np.float32]
GRAINS = ("turn", "window", "session")


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
    ) -> dict[str, Scores]:
        """Return, per grain, the BM25 score of each document of ``space``: (n,) float32, 0 outside ``mask``.

        terms     term -> how often the cue has it
        postings  term -> the documents of ``space`` that hold it, and how often
        mask      (n,) bool: the documents of the searched scope; whole sessions
        """
        n = len(space)
        out = {grain: np.zeros(n, dtype=np.float32) for grain in GRAINS}
        if not mask.any():
            return out
        sizes = space.sizes(mask)
        session_scores = np.zeros(space.groups, dtype=np.float32)
        for term, times in terms.items():
            docs, found = postings[term]
            keep = mask[docs]
            docs, found = docs[keep], found[keep]
            if not len(docs):
                continue
            self._add(out["turn"], docs, found, sizes["turn"], times)
            near = np.concatenate([docs, space.before[docs], space.after[docs]])
            weight = np.concatenate([found, found, found])
            there = near >= 0
            self._add(out["window"], *_sum(near[there], weight[there], n), sizes["window"], times)
            whole = _sum(space.group[docs], found, space.groups)
            self._add(session_scores, *whole, sizes["session"], times)
        out["session"] = np.where(mask, session_scores[space.group], np.float32(0))
        return out

    def _add(
        self, scores: Scores, docs: NDArray[np.integer], found: NDArray[np.float32], sizes: Sizes, times: int
    ) -> None:
        """Add one term's part to ``scores``: it occurs ``found`` times in ``docs``, and ``times`` in the cue."""
        idf = np.log(1 + (sizes.count - len(docs) + 0.5) / (len(docs) + 0.5))
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
