"""Who is asked about: a turn of the one participant that the question names gets a bonus."""

from __future__ import annotations

from dataclasses import dataclass

from anamnos.index.keyword import Scores
from anamnos.recall.channels.base import Search


@dataclass(frozen=True)
class SpeakerChannel:
    """1 if exactly one participant is named and said it, else 0. A bonus, never a filter: filters lose evidence."""

    name: str = "speaker"
    standardise: bool = False

    def score(self, search: Search) -> Scores:
        return search.said_by_named

    def explain(self, search: Search, doc: int, score: float) -> str:
        return f"said by {search.cue.speakers[0]}" if score else ""
