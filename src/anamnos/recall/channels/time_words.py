"""Words of time, such as "yesterday" or "in May": what a question about a date is answered with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anamnos.index.keyword import Scores
from anamnos.index.terms import Mark
from anamnos.recall.channels.base import Search


@dataclass(frozen=True)
class TimeWordsChannel:
    """1 for a text with a word of time, else 0.

    when_asked  only where the cue asks for a date or a duration; else for every cue
    """

    when_asked: bool
    standardise: bool = False

    @property
    def name(self) -> str:
        return "time_words.asked" if self.when_asked else "time_words"

    def score(self, search: Search) -> Scores:
        if self.when_asked and not search.cue.asks_when:
            return np.zeros(len(search.space), dtype=np.float32)
        return search.space.mark(Mark.TIME_WORD)

    def explain(self, search: Search, doc: int, score: float) -> str:
        return "names a time, which is asked for" if score and self.when_asked else ""
