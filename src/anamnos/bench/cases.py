"""What a retrieval benchmark is made of: documents, queries with their right answers, cases, and what is measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol


@dataclass(frozen=True, slots=True)
class Doc:
    """One document: a turn, a sentence, a passage.

    group    what it is part of: a session, a longer document; documents of one group are neighbours
    speaker  who said it: user, assistant, system or a name; None for a passage, which may have a ``title``
    """

    id: str
    text: str
    group: str | None = None
    speaker: str | None = None
    said_at: datetime | None = None
    title: str | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """One question.

    gold      per level (the data set's ``unit`` or ``group``) the ids of the right answers; a level without any is
              left out of that level's means, and counted
    asked_at  when, if that is known
    after     how many documents of the case are remembered before it is asked; None: all
    cluster   queries of one cluster depend on each other; None: its case, or itself where there is but one case
    answer    the right answer in words, for the data set's ``reader``
    """

    id: str
    text: str
    kind: str
    gold: Mapping[str, frozenset[str]]
    asked_at: datetime | None = None
    after: int | None = None
    cluster: str | None = None
    answer: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """Documents in the order in which they were said, and queries in the order in which they are asked."""

    id: str
    docs: Sequence[Doc]
    queries: Sequence[Query]


@dataclass(frozen=True, slots=True)
class DataSet:
    """A data set, ready to be asked.

    name        as the command is called
    title       as people call it
    data        what the data are: ``name`` and ``sha256``
    unit        what a document is: "turn"
    group       what its group is: "session"; None if groups are not scored
    part        which variant of the data set; tells sections of the page apart
    depths      of the recall metrics
    headline    the metrics that the page shows; the rest is in the JSON
    official    whether LongMemEval's own ndcg is given too
    notes       what a reader of the figures must know, in sentences
    excluded    why questions were left out by the loader -> how many
    reader      (query, the texts found) -> whether they answer it; None if nobody can tell
    """

    name: str
    title: str
    data: Mapping[str, str]
    cases: Sequence[Case]
    unit: str
    group: str | None = None
    part: str = ""
    depths: tuple[int, ...] = (1, 2, 5, 10, 20, 50)
    headline: tuple[str, ...] = ("recall_frac@5", "recall_all@5", "recall_any@5", "recall_frac@10", "mrr", "ndcg@10")
    official: bool = False
    notes: tuple[str, ...] = ()
    excluded: Mapping[str, int] = field(default_factory=dict)
    reader: Callable[[Query, Sequence[str]], bool] | None = None

    @property
    def levels(self) -> tuple[str, ...]:
        return (self.unit,) if self.group is None else (self.unit, self.group)


class Found(NamedTuple):
    """One hit: the ids of the documents that it is, or was made from, and its words."""

    sources: tuple[str, ...]
    text: str


class System(Protocol):
    """What is measured."""

    def remember(self, case: str, docs: Sequence[Doc]) -> None:
        """Take in documents of a case, after those that it has already."""

    def search(self, case: str, text: str, top_k: int) -> Sequence[Found]:
        """Return the best documents of a case, best first."""
