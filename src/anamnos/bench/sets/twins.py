"""Synthetic twins: made-up data in the shape of the public sets, for tests and for machines without the data.

The same seed gives the same twin. They keep every code path of a benchmark tested; figures on them say nothing about
how well people's own words are found.
"""

from __future__ import annotations

from collections.abc import Callable

from anamnos.bench.cases import DataSet
from anamnos.bench.sets.twin_facts import facts_twin
from anamnos.bench.sets.twin_locomo import locomo_twin
from anamnos.bench.sets.twin_longmemeval import longmemeval_twin
from anamnos.bench.sets.twin_needle import needle_twin

TWINS: dict[str, Callable[[int], DataSet]] = {
    "locomo": locomo_twin,
    "longmemeval": longmemeval_twin,
    "facts": facts_twin,
    "needle": needle_twin,
}
