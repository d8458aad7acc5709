"""``anamnos bench consolidate``: what sleep costs, and what it keeps."""

from __future__ import annotations

from pathlib import Path

import click

from anamnos.cli.bench_common import as_json_option, embedder_option, finish, progress_bars, report_option


@click.command()
@click.option("--turns", default=100_000, show_default=True, type=click.IntRange(min=400), help="How many in the year.")
@embedder_option
@as_json_option
@report_option
def consolidate(turns: int, embedder: str, as_json: bool, report: Path | None) -> None:
    """Consolidate a made-up year of daily chats while somebody searches."""
    from anamnos.bench.consolidate import run_consolidate

    with progress_bars() as progress:
        result = run_consolidate(turns, embedder=embedder, progress=progress)
    finish(result, as_json, report)
