"""``anamnos bench``: measure recall, speed and size, alone or beside another system."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from anamnos.bench.timing import Progress

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)
_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
_report = click.option(
    "--report", "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write a section of this Markdown page."
)
_embedder = click.option("--embedder", default="auto", show_default=True, help="As in the settings.")
_model_dir = click.option("--model-dir", type=_FOLDER, help="Folder of the embedder's model.")


@click.group()
def bench() -> None:
    """Measure recall, speed and size.

    Results go to standard output; with --json complete, with --report into a page as well.
    """


def _dialogues(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of a benchmark over conversations."""
    for option in (
        _report,
        _json,
        _model_dir,
        _embedder,
        click.option("--recipe", help="How to recall; as the settings say, if left out."),
        click.option(
            "--repeats", default=3, show_default=True, type=click.IntRange(min=1), help="Times ingest is measured."
        ),
        click.option(
            "--limit-conversations", type=click.IntRange(min=1), help="Take only the first so many conversations."
        ),
    ):
        command = option(command)
    return command


@bench.command()
@click.option("--data", required=True, type=_FILE, help="A LoCoMo file; not part of this project.")
@_dialogues
def locomo(
    data: Path, embedder: str, model_dir: Path | None, as_json: bool, report: Path | None, **options: Any
) -> None:
    """Ask the questions of LoCoMo and see whether the evidence is found."""
    from anamnos.bench.locomo import run_locomo
    from anamnos.embed import resolve_embedder

    with _progress() as progress:
        found = resolve_embedder(embedder, model_dir=_model(model_dir))
        result = run_locomo(data, found, progress=progress, **options)
    _finish(result, as_json, report)


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

    with _progress() as progress:
        found = resolve_embedder(embedder, model_dir=_model(model_dir))
        result = run_realtalk(data, found, progress=progress, **options)
    _finish(result, as_json, report)


@bench.command()
@click.option("--memories", default=100_000, show_default=True, type=click.IntRange(min=100), help="How many.")
@click.option("--searches", default=100, show_default=True, type=click.IntRange(min=1), help="Cues measured.")
@_embedder
@_json
@_report
def speed(memories: int, searches: int, embedder: str, as_json: bool, report: Path | None) -> None:
    """Measure ingest, search, opening and disk of made-up memories."""
    from anamnos.bench.speed import run_speed

    with _progress() as progress:
        result = run_speed(memories, embedder=embedder, searches=searches, progress=progress)
    _finish(result, as_json, report)


@bench.command()
@click.option("--data", required=True, type=_FILE, help="A LoCoMo file; not part of this project.")
@click.option("--peer", required=True, help="Which system; see: anamnos bench peers setup --help")
@click.option("--env", required=True, type=_FOLDER, help="The peer's environment.")
@click.option("--conversations", default=2, show_default=True, type=click.IntRange(min=1), help="The first so many.")
@click.option("--rounds", default=2, show_default=True, type=click.IntRange(min=1), help="Times both are run.")
@click.option("--embedder", default="minilm", show_default=True, help="Given to both.")
@_model_dir
@_json
@_report
def compare(
    data: Path,
    peer: str,
    env: Path,
    conversations: int,
    rounds: int,
    embedder: str,
    model_dir: Path | None,
    as_json: bool,
    report: Path | None,
) -> None:
    """Run Anamnos and another system on the same conversations."""
    from anamnos.bench.compare import run_compare

    with _progress() as progress:
        result = run_compare(
            data,
            peer,
            env,
            embedder=embedder,
            model_dir=_model(model_dir),
            limit_conversations=conversations,
            rounds=rounds,
            progress=progress,
        )
    _finish(result, as_json, report)


@bench.command()
@_json
@_report
def install(as_json: bool, report: Path | None) -> None:
    """Measure what an installation takes. Uses the network, to install into fresh environments."""
    from anamnos.bench.install import run_install

    with _progress() as progress:
        result = run_install(progress)
    _finish(result, as_json, report)


@bench.group()
def peers() -> None:
    """Install the systems to compare with."""


@peers.command("setup")
@click.argument("name")
@click.option("--env", required=True, type=_FOLDER, help="Where its environment is made.")
@_json
def peers_setup(name: str, env: Path, as_json: bool) -> None:
    """Install the peer NAME (mem0) into an environment of its own. Uses the network."""
    from anamnos.bench.peers.setup import set_up

    versions = set_up(name, env)
    click.echo(json.dumps(versions) if as_json else "\n".join(f"{p} {v}" for p, v in versions.items()))


# --- shared


def _model(folder: Path | None) -> Path | None:
    """Return the model's folder, else what the settings say."""
    from anamnos.config import load_settings

    named = load_settings(Path()).model_dir
    return folder or (Path(named) if named else None)


@contextmanager
def _progress() -> Iterator[Progress]:
    """Show bars on standard error, one per thing that is done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    bars: dict[str, Any] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as shown:

        def show(what: str, done: int, total: int) -> None:
            if what not in bars:
                bars[what] = shown.add_task(what, total=total)
            shown.update(bars[what], completed=done, total=total)

        yield show


def _finish(result: dict[str, Any], as_json: bool, report: Path | None) -> None:
    from anamnos.bench.report import section, write_report

    result["command"] = _command()
    if report is not None:
        write_report(report, result)
    if as_json:
        click.echo(json.dumps(result, indent=2, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.markdown import Markdown

    Console().print(Markdown(section(result)))


def _command() -> str:
    """Return the command that was given, folders shortened to names and output options left out."""
    words: list[str] = []
    arguments = iter(sys.argv[1:])
    for word in arguments:
        if word in ("--report", "--out"):
            next(arguments, None)
        elif word != "--json" and not word.startswith(("--report=", "--out=")):
            words.append(Path(word).name if Path(word).is_absolute() else word)
    if words[:1] != ["bench"]:
        words.insert(0, "bench")
    return shlex.join(["anamnos", *words])
