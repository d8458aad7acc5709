"""Run experiments of the associative memories, one after the other."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from anamnos.bench.associative import EXPERIMENTS
from anamnos.bench.associative.experiment import Experiment, Setting, chart_file
from anamnos.bench.plots import write_chart
from anamnos.bench.surroundings import installed, peak_rss_mb, surroundings
from anamnos.errors import InvalidInput

_PACKAGES = ("numba", "scikit-learn", "torch", "torch-hd", "brian2", "zstandard")


def run_associative(names: Sequence[str], setting: Setting, *, plots: Path | None = None) -> list[dict[str, Any]]:
    """Return one result per experiment, in the order of ``EXPERIMENTS``; none named means all.

    plots  folder for the charts; None: none are written
    Raises: InvalidInput if there is no such experiment.
    """
    if unknown := sorted(set(names) - set(EXPERIMENTS)):
        raise InvalidInput(f"There is no experiment {unknown[0]!r}.", hint=f"Choose of: {', '.join(EXPERIMENTS)}.")
    wanted = [name for name in EXPERIMENTS if not names or name in names]
    found = []
    for number, name in enumerate(wanted):
        setting.progress("experiments", number, len(wanted))
        around, start = surroundings(), time.perf_counter()
        _forget_peak()
        experiment: Experiment = import_module(f"anamnos.bench.associative.{name}").run(setting)
        if plots is not None:
            for chart, svg in experiment.charts.items():
                write_chart(plots / chart_file(chart), svg)
        around["versions"] |= installed(_PACKAGES)
        found.append(
            {
                "benchmark": "associative",
                **around,
                "seconds": round(time.perf_counter() - start, 1),
                "peak_rss_mb": peak_rss_mb(),
                "seeds": list(setting.seeds),
                "quick": setting.quick,
                "limits": experiment.to_dict()["limits"],
                "experiment": experiment.to_dict(),
            }
        )
    setting.progress("experiments", len(wanted), len(wanted))
    return found


def _forget_peak() -> None:
    """Count the peak of memory from here on, where the system can do that."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", "utf-8")
