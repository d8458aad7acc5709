"""Words in common, by BM25: in the turn itself, in it and those around it, or anywhere in the session."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anamnos.index.keyword import Grain, Scores
from anamnos.recall.channels.base import Search

_WORDS_SHOWN = 6


@dataclass(frozen=True)
class KeywordChannel:
    """BM25 at one grain. Source: ``anamnos.index.keyword``."""

    grain: Grain
    standardise: bool = True

    @property
    def name(self) -> str:
        return f"keyword.{self.grain}"

    def score(self, search: Search) -> Scores:
        return search.keyword_scores(self.grain)

    def explain(self, search: Search, doc: int, score: float) -> str:
        if self.grain == "session":
            return "its session is about the same words" if score > 0 else ""
        here = self._words(search, [doc])
        if self.grain == "turn" or (here and self.grain == "spread"):
            return f"says {here}" if here else ""
        around, _ = search.space.around(np.array([doc]), np.ones(1, dtype=np.float32), self.grain)
        beside = self._words(search, [other for other in around.tolist() if other != doc])
        return f"near a turn that says {beside}" if beside else ""

    def _words(self, search: Search, docs: list[int]) -> str:
        """Return those words of the cue that are said in one of ``docs``, names of speakers left out."""
        names = {word for name in search.cue.speakers for word in name.casefold().split()}
        found = [
            word
            for term, word in search.cue.words.items()
            if word not in names and any(_holds(search.postings[term][0], doc) for doc in docs)
        ]
        return ", ".join(f"“{word}”" for word in found[:_WORDS_SHOWN])


def _holds(docs: NDArray[np.int32], doc: int) -> bool:
    """Return whether ``doc`` is among ascending ``docs``."""
    place = int(docs.searchsorted(doc))
    return place < len(docs) and int(docs[place]) == doc
