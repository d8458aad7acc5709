"""``anamnos bench scaling``: what memories take at sizes that nobody has measured."""

from __future__ import annotations

import json
from pathlib import Path

import click

from anamnos.cli.bench_common import FILE, as_json_option, command_line, report_option


@click.command()
@click.option("--points", type=FILE, help="What bench index wrote, to be put beside the model.")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Write the chart to this SVG file.")
@as_json_option
@report_option
def scaling(points: Path | None, plot: Path | None, as_json: bool, report: Path | None) -> None:
    """Work out bytes, reads, machines and money up to a billion memories."""
    from anamnos.bench.plots import write_chart
    from anamnos.bench.report import with_section
    from anamnos.bench.report_scaling import scaling_chart, scaling_section
    from anamnos.bench.scaling import read_points, run_scaling

    measured = [] if points is None else read_points(json.loads(points.read_text("utf-8")))
    result = {**run_scaling(measured), "command": command_line()}
    if plot is not None:
        write_chart(plot, scaling_chart(result))
    if report is not None:
        page = report.read_text("utf-8") if report.exists() else "# Scaling\n"
        report.write_text(with_section(page, "scaling", scaling_section(result)), "utf-8")
    if as_json:
        click.echo(json.dumps(result, indent=2, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.markdown import Markdown

    Console().print(Markdown(scaling_section(result)))
