"""Words in common, by BM25: in the turn itself, in the turn with its neighbours, or anywhere in the session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from anamnos.index.keyword import Scores
from anamnos.recall.channels.base import Search

_WORDS_SHOWN = 6


@dataclass(frozen=True)
class KeywordChannel:
    """BM25 at one grain. Source: ``anamnos.index.keyword``."""

    grain: Literal["turn", "window", "session"]
    standardise: bool = True

    @property
    def name(self) -> str:
        return f"keyword.{self.grain}"

    def score(self, search: Search) -> Scores:
        return search.keyword_scores[self.grain]

    def explain(self, search: Search, doc: int) -> str:
        if self.grain == "session":
            return "its session is about the same words" if self.score(search)[doc] > 0 else ""
        near = {doc} if self.grain == "turn" else {int(search.space.before[doc]), int(search.space.after[doc])} - {-1}
        found = [
            word
            for term, word in search.cue.words.items()
            if np.isin(list(near), search.space.postings(term)[0]).any()
        ]
        if not found:
            return ""
        words = ", ".join(f"“{word}”" for word in found[:_WORDS_SHOWN])
        return f"says {words}" if self.grain == "turn" else f"next to a turn that says {words}"
