"""A turn that tells something answers later questions; one that only reacts to the other does not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anamnos.index.keyword import Scores
from anamnos.index.terms import Mark
from anamnos.recall.channels.base import Search


@dataclass(frozen=True)
class SubstanceChannel:
    """How much a turn tells, less how much it says "you", whatever the cue; 0 for what nobody speaks.

    Source: ``anamnos.index.terms.told``.
    """

    name: str = "substance"
    standardise: bool = False

    def score(self, search: Search) -> Scores:
        space = search.space
        told = (space.mark(Mark.TOLD) - space.mark(Mark.ADDRESSING)) * np.float32(0.125)
        return np.where(search.unspoken, np.float32(0), told)

    def explain(self, search: Search, doc: int, score: float) -> str:
        return ""
