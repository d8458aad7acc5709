"""``anamnos bench``: measure recall, speed and size, alone or beside another system."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from anamnos.cli.bench_answers import answers
from anamnos.cli.bench_associative import associative
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
from anamnos.cli.bench_compare import COMMANDS as COMPARE_COMMANDS
from anamnos.cli.bench_consolidate import consolidate
from anamnos.cli.bench_first_fact import first_fact
from anamnos.cli.bench_index import index
from anamnos.cli.bench_scaling import scaling
from anamnos.cli.bench_serve import serve
from anamnos.cli.bench_sets import COMMANDS as SET_COMMANDS


@click.group()
def bench() -> None:
    """Measure recall, speed and size.

    Results go to standard output; with --json complete, with --report into a page as well.
    """


def _dialogues(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of a benchmark over conversations."""
    for option in (
        report_option,
        as_json_option,
        model_dir_option,
        embedder_option,
        click.option("--recipe", help="How to recall; as the settings say, if left out."),
        click.option(
            "--repeats", default=3, show_default=True, type=click.IntRange(min=1), help="Times ingest is measured."
        ),
        click.option(
            "--skip-conversations", default=0, type=click.IntRange(min=0), help="Ask nothing about the first so many."
        ),
        click.option("--pooled", is_flag=True, help="All conversations in one scope."),
        click.option(
            "--limit-conversations", type=click.IntRange(min=1), help="Take only the first so many conversations."
        ),
    ):
        command = option(command)
    return command


@bench.command()
@click.option("--data", required=True, type=FILE, help="A LoCoMo file; not part of this project.")
@_dialogues
def locomo(
    data: Path, embedder: str, model_dir: Path | None, as_json: bool, report: Path | None, **options: Any
) -> None:
    """Ask the questions of LoCoMo and see whether the evidence is found."""
    from anamnos.bench.locomo import run_locomo
    from anamnos.embed import resolve_embedder

    with progress_bars() as progress:
        found = resolve_embedder(embedder, model_dir=model_folder(model_dir))
        result = run_locomo(data, found, progress=progress, **options)
    finish(result, as_json, report)


@bench.command()
@click.option(
    "--data",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The folder of the REALTALK chats; not part of this project.",
)
@_dialogues
def realtalk(
    data: Path, embedder: str, model_dir: Path | None, as_json: bool, report: Path | None, **options: Any
) -> None:
    """Ask the questions of REALTALK and see whether the evidence is found."""
    from anamnos.bench.realtalk import run_realtalk
    from anamnos.embed import resolve_embedder

    with progress_bars() as progress:
        found = resolve_embedder(embedder, model_dir=model_folder(model_dir))
        result = run_realtalk(data, found, progress=progress, **options)
    finish(result, as_json, report)


@bench.command()
@click.option("--memories", default=100_000, show_default=True, type=click.IntRange(min=100), help="How many.")
@click.option("--searches", default=100, show_default=True, type=click.IntRange(min=1), help="Cues measured.")
@embedder_option
@as_json_option
@report_option
def speed(memories: int, searches: int, embedder: str, as_json: bool, report: Path | None) -> None:
    """Measure ingest, search, opening and disk of made-up memories."""
    from anamnos.bench.speed import run_speed

    with progress_bars() as progress:
        result = run_speed(memories, embedder=embedder, searches=searches, progress=progress)
    finish(result, as_json, report)


@bench.command()
@click.option("--data", required=True, type=FILE, help="A LoCoMo file; not part of this project.")
@click.option(
    "--limit-conversations", default=2, show_default=True, type=click.IntRange(min=1), help="Take the first so many."
)
@embedder_option
@model_dir_option
@as_json_option
@report_option
def poisoning(
    data: Path, limit_conversations: int, embedder: str, model_dir: Path | None, as_json: bool, report: Path | None
) -> None:
    """Plant false memories, and see how many reach the first places."""
    from anamnos.bench.poisoning import run_poisoning
    from anamnos.embed import resolve_embedder

    with progress_bars() as progress:
        found = resolve_embedder(embedder, model_dir=model_folder(model_dir))
        result = run_poisoning(data, found, limit_conversations=limit_conversations, progress=progress)
    finish(result, as_json, report)


@bench.command()
@as_json_option
@report_option
def install(as_json: bool, report: Path | None) -> None:
    """Measure what an installation takes. Uses the network, to install into fresh environments."""
    from anamnos.bench.install import run_install

    with progress_bars() as progress:
        result = run_install(progress)
    finish(result, as_json, report)


for command in (answers, associative, consolidate, first_fact, index, scaling, serve, *COMPARE_COMMANDS, *SET_COMMANDS):
    bench.add_command(command)
