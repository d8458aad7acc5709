"""Synthetic twins: made-up data in the shape of the public sets, for tests and for machines without the data.

The same seed gives the same twin. They keep every code path of a benchmark tested; figures on them say nothing about
how well people's own words are found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from anamnos.bench.cases import DataSet
from anamnos.bench.retrieval import spread, summary
from anamnos.bench.sets.twin_facts import LEVEL, answered, facts_twin
from anamnos.bench.sets.twin_locomo import locomo_twin
from anamnos.bench.sets.twin_longmemeval import longmemeval_twin
from anamnos.bench.sets.twin_needle import needle_twin
from anamnos.bench.timing import Progress
from anamnos.embed.base import Embedder

TWINS: dict[str, Callable[[int], DataSet]] = {
    "locomo": locomo_twin,
    "longmemeval": longmemeval_twin,
    "facts": facts_twin,
    "needle": needle_twin,
}


def more_of(twin: str) -> Callable[..., dict[str, Any]] | None:
    """Return what gives a twin levels of its own beside those of search; None if it has none."""
    return _current_values if twin == "facts" else None


def _current_values(data_set: DataSet, embedder: Embedder, progress: Progress, limit: int | None) -> dict[str, Any]:
    asked = data_set if limit is None else replace(data_set, cases=spread(data_set.cases, limit))
    return {LEVEL: summary(answered(asked, embedder, progress), LEVEL)}
