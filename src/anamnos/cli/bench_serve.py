"""``anamnos bench serve``: what the REST face costs, and whether its memory grows."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from anamnos.cli.bench_common import as_json_option, embedder_option, finish, progress_bars, report_option


@click.command()
@click.option(
    "--memories", default=10_000, show_default=True, type=click.IntRange(min=100), help="In the vault before."
)
@click.option("--clients", default=16, show_default=True, type=click.IntRange(min=1), help="At once.")
@click.option(
    "--seconds", default=20.0, show_default=True, type=click.FloatRange(min=1), help="For each verb and round."
)
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(min=0), help="Of server and process.")
@click.option("--mixed-minutes", default=0.0, help="Then search, add and delete so long, and watch the memory.")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Write the chart of it to this SVG file.")
@embedder_option
@as_json_option
@report_option
def serve(plot: Path | None, as_json: bool, report: Path | None, **options: Any) -> None:
    """Measure the REST face beside the same calls in process."""
    from anamnos.bench.plots import write_chart
    from anamnos.bench.report_serving import serving_chart
    from anamnos.bench.serving import run_serving

    with progress_bars() as progress:
        result = run_serving(progress=progress, **options)
    if plot is not None and "mixed" in result:
        write_chart(plot, serving_chart(result))
        if report is not None:
            result["chart"] = os.path.relpath(plot, report.parent).replace(os.sep, "/")
    finish(result, as_json, report)
