"""A turn that asks something is rarely the one that answers."""

from __future__ import annotations

from dataclasses import dataclass

from anamnos.index.keyword import Scores
from anamnos.index.terms import Mark
from anamnos.recall.channels.base import Search


@dataclass(frozen=True)
class QuestionChannel:
    """1 for a text with a question mark, else 0; its weight is negative."""

    name: str = "question"
    standardise: bool = False

    def score(self, search: Search) -> Scores:
        return search.space.mark(Mark.QUESTION)

    def explain(self, search: Search, doc: int, score: float) -> str:
        return ""
