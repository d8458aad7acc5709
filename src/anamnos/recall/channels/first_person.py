"""The person asked about, speaking of themself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anamnos.index.keyword import Scores
from anamnos.index.terms import Mark
from anamnos.recall.channels.base import Search


@dataclass(frozen=True)
class FirstPersonChannel:
    """How much a turn says I, me, my, we …, if it is said by the one participant that the cue names; else 0."""

    name: str = "first_person"
    standardise: bool = False

    def score(self, search: Search) -> Scores:
        return search.said_by_named * search.space.mark(Mark.FIRST_PERSON) * np.float32(0.25)

    def explain(self, search: Search, doc: int, score: float) -> str:
        return ""
