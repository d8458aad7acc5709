"""The reply to a question that means what the cue means, even if the reply itself is only "Yes, in May"."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anamnos.index.keyword import Scores
from anamnos.index.terms import Mark
from anamnos.recall.channels.base import Search


@dataclass(frozen=True)
class ReplyChannel:
    """z(cos(q, e(t-1))) where t-1 is a question of the other speaker, else 0. Source: ours."""

    name: str = "reply"
    standardise: bool = False

    def score(self, search: Search) -> Scores:
        space = search.space
        before = space.before
        asked = (before >= 0) & (space.mark(Mark.QUESTION)[before] > 0) & (space.actor[before] != space.actor)
        return np.where(asked, search.standard_cosines[before], np.float32(0))

    def explain(self, search: Search, doc: int, score: float) -> str:
        return "replies to such a question" if score > 1 else ""
