"""The sections of the associative memories on the page of benchmarks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anamnos.bench.associative.experiment import chart_file
from anamnos.bench.report_parts import footer, table


def associative_section(result: Mapping[str, Any], limits: str) -> str:
    """Return the section of one experiment."""
    experiment = result["experiment"]
    tables = [part for each in experiment["tables"] for part in _table(each)]
    charts = [f"![{experiment['title']}: {name}](plots/{chart_file(name)})" for name in experiment["charts"]]
    seeds = ", ".join(map(str, result["seeds"]))
    return "\n\n".join(
        [
            f"## {experiment['title']}",
            *(["A small sample, to see that it runs: no results."] if result["quick"] else []),
            *experiment["said"],
            *([limits] if result["limits"] else []),
            *tables,
            *charts,
            f"Seeds {seeds}; peak memory {result['peak_rss_mb']:,.0f} MB. {footer(result)}",
        ]
    )


def _table(found: Mapping[str, Any]) -> list[str]:
    caption = [f"{found['caption'].rstrip(':.')}:"] if found["caption"] else []
    return [*caption, table(found["head"], found["rows"])]
