"""Words in common, by BM25: in the turn itself, in the turn with its neighbours, or anywhere in the session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

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

    def explain(self, search: Search, doc: int, score: float) -> str:
        if self.grain == "session":
            return "its session is about the same words" if score > 0 else ""
        space = search.space
        near = [doc] if self.grain == "turn" else [int(space.before[doc]), int(space.after[doc])]
        found = [
            word
            for term, word in search.cue.words.items()
            if any(_holds(search.postings[term][0], other) for other in near)
        ]
        if not found:
            return ""
        words = ", ".join(f"“{word}”" for word in found[:_WORDS_SHOWN])
        return f"says {words}" if self.grain == "turn" else f"next to a turn that says {words}"


def _holds(docs: NDArray[np.int32], doc: int) -> bool:
    """Return whether ``doc`` is among ascending ``docs``."""
    place = int(docs.searchsorted(doc))
    return place < len(docs) and int(docs[place]) == doc
