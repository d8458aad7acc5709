"""``anamnos bench answers``: are the answers in words right?"""

from __future__ import annotations

from pathlib import Path

import click

from anamnos.cli.bench_common import (
    FILE,
    as_json_option,
    embedder_option,
    finish,
    model_dir_option,
    model_folder,
    progress_bars,
    report_option,
)


@click.command()
@click.option("--data", required=True, type=FILE, help="A LoCoMo file; not part of this project.")
@click.option(
    "--skip-conversations", default=0, type=click.IntRange(min=0), help="Leave out the first so many conversations."
)
@embedder_option
@model_dir_option
@as_json_option
@report_option
def answers(
    data: Path, skip_conversations: int, embedder: str, model_dir: Path | None, as_json: bool, report: Path | None
) -> None:
    """Answer the questions of LoCoMo without a language model."""
    from anamnos.bench.answering import run_answers
    from anamnos.embed import resolve_embedder

    with progress_bars() as progress:
        found = resolve_embedder(embedder, model_dir=model_folder(model_dir))
        result = run_answers(data, found, skip=skip_conversations, progress=progress)
    finish(result, as_json, report)
