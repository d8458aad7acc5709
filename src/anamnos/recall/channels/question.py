"""A turn that asks something is rarely the one that answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anamnos.index.keyword import Scores
from anamnos.index.terms import Mark
from anamnos.recall.channels.base import Search


@dataclass(frozen=True)
class QuestionChannel:
    """The share of a text's sentences that ask, in quarters; its weight is negative."""

    name: str = "question"
    standardise: bool = False

    def score(self, search: Search) -> Scores:
        return search.space.mark(Mark.ASKING) * np.float32(0.25)

    def explain(self, search: Search, doc: int, score: float) -> str:
        return ""
