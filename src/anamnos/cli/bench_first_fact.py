"""``anamnos bench first-fact``: from ``pip install`` to the first remembered fact, with Anamnos and other systems."""

from __future__ import annotations

import os
from pathlib import Path

import click

from anamnos.cli.bench_common import as_json_option, finish, progress_bars, report_option


@click.command("first-fact")
@click.option(
    "--peer", "named", multiple=True, metavar="NAME", help="Which system; may be given several times. Default: all."
)
@click.option(
    "--limit",
    default=600.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="Seconds after which a step is ended.",
)
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Write the chart to this SVG file.")
@as_json_option
@report_option
def first_fact(named: tuple[str, ...], limit: float, plot: Path | None, as_json: bool, report: Path | None) -> None:
    """Install systems into fresh environments and follow their quick-starts. Uses the network.

    NAME is one of anamnos, anamnos[embed], mem0, letta, memos, superlocalmemory. A system that needs a language model
    gets a stand-in on this machine that answers at once.
    """
    from anamnos.bench.first_fact.run import run_first_fact
    from anamnos.bench.plots import write_chart
    from anamnos.bench.report_first_fact import first_fact_chart

    with progress_bars() as progress:
        result = run_first_fact(named, limit_s=limit, progress=progress)
    if plot is not None:
        write_chart(plot, first_fact_chart(result))
        if report is not None:
            result["chart"] = os.path.relpath(plot, report.parent).replace(os.sep, "/")
    finish(result, as_json, report)
