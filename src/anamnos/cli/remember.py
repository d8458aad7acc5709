"""Remember: ``add`` and ``ingest``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from anamnos.cli.bulk import with_engine
from anamnos.cli.context import Target, command, joined, moment, print_json
from anamnos.cli.progress import progress_bar
from anamnos.cli.render import console, safe, table
from anamnos.cube import Role
from anamnos.errors import AnamnosError, InvalidInput
from anamnos.ingest.readers import READERS
from anamnos.system.bulk import Engine
from anamnos.types import Outcome, Receipt

_OUTCOMES: tuple[Outcome, ...] = ("added", "updated", "unchanged")


@command("add")
@click.argument("text", nargs=-1, metavar="TEXT...|-")
@click.option("--tag", "tags", multiple=True, help="Label it; may be given several times.")
@click.option(
    "--role",
    type=click.Choice([str(role) for role in Role]),
    metavar="ROLE",
    help=f"What it is for: {', '.join(Role)}.",
)
@click.option("--at", metavar="TIME", help="When it was said; now by default. Without a zone: UTC.")
@click.option("--source", help="Where it came from.")
@click.option("--importance", type=float, default=0.5, show_default=True, help="How much it matters, from 0 to 1.")
def add(
    target: Target,
    text: tuple[str, ...],
    tags: tuple[str, ...],
    role: str | None,
    at: str | None,
    source: str | None,
    importance: float,
) -> None:
    """Remember a text.

    Several words make one memory; - reads it from standard input. What is known already is not added twice.

    \b
    Example:
      anamnos add "The spare key is under the blue pot." --user ann --tag home
    """
    scope, said = target.scope(), moment("--at", at)
    content = joined(text, "text")
    with target.open(create=True) as memory:
        receipt = memory.add(
            content, scope, role=role, created_at=said, tags=tags, importance=importance, source=source
        )
    if target.as_json:
        print_json(receipt.to_dict())
        return
    for cube_id, outcome in zip(receipt.ids, receipt.outcomes, strict=True):
        word = "known already" if outcome == "unchanged" else outcome
        console().print(Text(word, style="green"), Text(cube_id))


@command("ingest")
@click.argument("paths", nargs=-1, metavar="FILE...", type=click.Path(path_type=Path))
@click.option("--reader", metavar="NAME", help=f"Format: {', '.join(r.name for r in READERS)}. Found out by default.")
@click.option("--tag", "tags", multiple=True, help="Label what is read; may be given several times.")
@with_engine
def ingest(target: Target, paths: tuple[Path, ...], reader: str | None, tags: tuple[str, ...], engine: Engine) -> None:
    """Remember files: chats, notes, documents, whole folders.

    A folder stands for all files in it that a reader knows, hidden ones left out. Reading a file again adds nothing;
    edits become new versions. A stop in the middle loses nothing that was read: run it again to go on.

    \b
    Example:
      anamnos ingest chat.json notes/ --user ann
    """
    scope, files = target.scope(), list(_files(paths, reader))
    with engine, target.open(create=True) as memory, progress_bar("ingest") as progress:
        found = memory.ingest_all(files, scope, reader=reader, tags=tags, engine=engine, progress=progress)
    done = [(path, made) for path, made in found if isinstance(made, Receipt)]
    refused = [(path, made) for path, made in found if isinstance(made, AnamnosError)]
    if target.as_json:
        print_json(_summary(done, refused))
    else:
        _print_summary(done, refused)
    if refused:
        raise click.exceptions.Exit(InvalidInput.exit_code)


def _files(paths: tuple[Path, ...], reader: str | None) -> Iterator[Path]:
    """Yield the files that the paths stand for. Raises: InvalidInput if there are none."""
    if not paths:
        raise InvalidInput("No file is named.", hint="Name one: anamnos ingest chat.json --user ann")
    suffixes = {suffix for r in READERS if reader in (None, r.name) for suffix in r.suffixes}
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        inside = sorted(
            file
            for file in path.rglob("*")
            if file.suffix.lower() in suffixes and file.is_file() and not _hidden(file.relative_to(path))
        )
        if not inside:
            raise InvalidInput(
                f"{path} holds no file that a reader knows.", hint=f"Known: {', '.join(sorted(suffixes))}."
            )
        yield from inside


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _summary(done: list[tuple[Path, Receipt]], refused: list[tuple[Path, AnamnosError]]) -> dict[str, Any]:
    files = [{"path": str(path), **_counts([receipt])} for path, receipt in done]
    errors = [{"path": str(path), **exc.to_dict()} for path, exc in refused]
    return {"files": files, "refused": errors, **_counts([receipt for _, receipt in done])}


def _counts(receipts: list[Receipt]) -> dict[str, int]:
    return {str(o): sum(receipt.count(o) for receipt in receipts) for o in _OUTCOMES}


def _print_summary(done: list[tuple[Path, Receipt]], refused: list[tuple[Path, AnamnosError]]) -> None:
    out = console()
    if done:
        listing = table("file", *_OUTCOMES, right=_OUTCOMES, wide="file")
        for path, receipt in done:
            listing.add_row(Text(safe(str(path))), *(f"{receipt.count(o):,}" for o in _OUTCOMES))
        out.print(listing)
    for path, exc in refused:
        click.echo(f"{click.style('refused:', fg='red')} {path}: {exc.message}", err=True)
        if exc.hint:
            click.echo(f"{click.style('hint:', fg='cyan')} {exc.hint}", err=True)
