"""Meaning in common: the cosine of embeddings, of the turn itself or of the turn blended with its neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from anamnos.index.keyword import Scores
from anamnos.recall.channels.base import Search

_WORTH_SAYING = 0.25


@dataclass(frozen=True)
class DenseChannel:
    """cos(q, e(t)), or cos(q, e(t) + e(t-1)/2 + e(t+1)/2) over the neighbours in the session.

    The window needs no vectors of its own: its dot product is a sum of three that are there, divided by a norm
    that the space keeps.
    """

    grain: Literal["turn", "window"]
    standardise: bool = True

    @property
    def name(self) -> str:
        return f"dense.{self.grain}"

    def score(self, search: Search) -> Scores:
        if self.grain == "turn":
            return search.cosines
        space = search.space
        padded = np.append(search.cosines, np.float32(0))  # neighbour -1 adds nothing
        total = search.cosines + 0.5 * padded[space.before] + 0.5 * padded[space.after]
        norms = space.window_norm(search.vectors, search.compared)
        scores: Scores = np.where(search.mask, total / norms, np.float32(0))
        return scores

    def explain(self, search: Search, doc: int, score: float) -> str:
        if score < _WORTH_SAYING:
            return ""
        where = "" if self.grain == "turn" else "in a passage "
        return f"{where}close in meaning ({score:.2f})"
