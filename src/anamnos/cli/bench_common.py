"""What the commands of ``anamnos bench`` share: options, bars, and what is done with a result."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from anamnos.bench.timing import Progress

_OUTPUTS = ("--report", "--out", "--rows", "--plot")  # options that say where, and change no figure
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
as_json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
report_option = click.option(
    "--report", "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write a section of this Markdown page."
)
embedder_option = click.option("--embedder", default="auto", show_default=True, help="As in the settings.")
model_dir_option = click.option("--model-dir", type=FOLDER, help="Folder of the embedder's model.")


def model_folder(folder: Path | None) -> Path | None:
    """Return the model's folder, else what the settings say."""
    from anamnos.config import load_settings

    named = load_settings(Path()).model_dir
    return folder or (Path(named) if named else None)


@contextmanager
def progress_bars() -> Iterator[Progress]:
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


def finish(result: dict[str, Any], as_json: bool, report: Path | None) -> None:
    from anamnos.bench.report import section, write_report

    result["command"] = command_line()
    if report is not None:
        write_report(report, result)
    if as_json:
        click.echo(json.dumps(result, indent=2, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.markdown import Markdown

    Console().print(Markdown(section(result)))


def command_line() -> str:
    """Return the command that was given, folders shortened to names and output options left out."""
    words: list[str] = []
    arguments = iter(sys.argv[1:])
    for word in arguments:
        if word in _OUTPUTS:
            next(arguments, None)
        elif word != "--json" and not word.startswith(tuple(f"{name}=" for name in _OUTPUTS)):
            before, equals, path = word.rpartition("=")  # --data=FILE, --peer NAME=FOLDER
            elsewhere = Path(path).is_absolute() or ".." in Path(path).parts
            words.append(f"{before}{equals}{Path(path).name}" if elsewhere else word)
    if words[:1] != ["bench"]:
        words.insert(0, "bench")
    return shlex.join(["anamnos", *words])
