"""Two runs over the same questions, question by question: what is better, by how much, and is it chance?

Takes the files that ``--rows`` of a benchmark writes. Differences are bootstrapped in pairs over cases; of metrics that
are 0 or 1, McNemar's exact test gives the p-value, of others the bootstrap; Holm's correction is over the whole table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from anamnos.bench.sets.files import about, read_jsonl_data, records
from anamnos.bench.statistics import holm, mcnemar_exact, paired_difference
from anamnos.errors import InvalidInput

_FIELDS = ("bench", "part", "case", "query", "cluster", "metrics")
SIGNIFICANT = 0.05


def run_versus(first: Path, second: Path, chosen: Sequence[str] = ()) -> dict[str, Any]:
    """Return the JSON of the comparison: one entry per level and metric that both runs have.

    chosen  names of metrics; none: recall and ndcg at 5 and 10, mrr and hit@1
    Raises: InvalidInput if the files are not of the same benchmark or share no question.
    """
    one, two = (_rows(path) for path in (first, second))
    shared = [key for key in one if key in two]
    if not shared:
        raise InvalidInput(f"{first.name} and {second.name} have no question in common.")
    table = []
    for level, metric in _columns(one, two, shared, chosen):
        keys = [key for key in shared if all(metric in rows[key]["metrics"].get(level, {}) for rows in (one, two))]
        values = [np.array([rows[key]["metrics"][level][metric] for key in keys]) for rows in (one, two)]
        table.append(_compared(level, metric, values, [str(one[key]["cluster"]) for key in keys]))
    if not table:
        raise InvalidInput(f"{first.name} and {second.name} have none of the metrics asked for.")
    for entry, p in zip(table, holm([entry["p"] for entry in table]), strict=True):
        entry |= {"p": round(entry["p"], 6), "p_corrected": round(p, 6), "significant": p < SIGNIFICANT}
    return {
        "benchmark": "versus",
        "first": about(first),
        "second": about(second),
        "shared": len(shared),
        "only_in_one": len(one) + len(two) - 2 * len(shared),
        "table": table,
    }


def _rows(path: Path) -> dict[tuple[str, ...], Mapping[str, Any]]:
    found = records(read_jsonl_data(path), _FIELDS, str(path))
    return {(row["bench"], row["part"], row["case"], row["query"]): row for row in found}


def _columns(
    one: Mapping[Any, Mapping[str, Any]],
    two: Mapping[Any, Mapping[str, Any]],
    shared: Sequence[Any],
    chosen: Sequence[str],
) -> list[tuple[str, str]]:
    """Return (level, metric) of what both have, in the order of the first."""
    have = [
        {(level, name): None for key in shared for level, scores in rows[key]["metrics"].items() for name in scores}
        for rows in (one, two)
    ]
    wanted = set(chosen) or {
        f"{m}@{k}" for m in ("recall_any", "recall_all", "recall_frac", "ndcg") for k in (5, 10)
    } | {
        "mrr",
        "hit@1",
    }
    return [column for column in have[0] if column in have[1] and column[1] in wanted]


def _compared(level: str, metric: str, values: Sequence[np.ndarray], clusters: Sequence[str]) -> dict[str, Any]:
    first, second = values
    gain = paired_difference(first, second, clusters)
    binary = bool(np.isin(np.concatenate(values), (0.0, 1.0)).all())
    p = mcnemar_exact(int(np.sum(first > second)), int(np.sum(second > first))) if binary else gain.p
    known = not np.isnan(gain.low)
    return {
        "level": level,
        "metric": metric,
        "n": len(first),
        "first": round(float(first.mean()), 4),
        "second": round(float(second.mean()), 4),
        "difference": round(gain.mean, 4),
        "interval": [round(gain.low, 4), round(gain.high, 4)] if known else None,
        "test": "McNemar" if binary else "bootstrap",
        "p": p,
    }
