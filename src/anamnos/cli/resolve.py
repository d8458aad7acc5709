"""Put facts in order and correct them: ``resolve``, ``correct``, ``merge`` and ``unmerge``."""

from __future__ import annotations

import click
from rich.text import Text

from anamnos.cli.context import Target, command, joined, moment, print_json, print_receipt
from anamnos.cli.progress import progress_bar
from anamnos.cli.render import console


@command("resolve")
@click.option(
    "--resolver",
    type=click.Choice(["rules", "llm"]),
    default="rules",
    show_default=True,
    help="By rules, or by the language model of the settings.",
)
def resolve(target: Target, resolver: str) -> None:
    """Put new facts in order with known ones.

    A value that has changed ends when the next one begins, what is said again is merged, contradictions are linked.
    Nothing is dropped. Facts come from: anamnos enrich

    \b
    Example:
      anamnos resolve --user ann
    """
    scope = target.scope()
    with target.open() as memory, progress_bar("resolving", "facts") as progress:
        receipt = memory.resolve(scope, resolver=resolver, progress=progress)
    if target.as_json:
        print_json({"changed": len(set(receipt.ids)), **receipt.to_dict()})
    else:
        console().print(Text(f"changed {len(set(receipt.ids)):,}", style="green"))


@command("correct")
@click.argument("text", nargs=-1, metavar="TEXT...|-")
@click.option("--id", "ids", multiple=True, metavar="ID", help="A memory that it is about; else a search finds them.")
@click.option("--at", metavar="TIME", help="When it was said; the present by default; without a zone: UTC.")
def correct(target: Target, text: tuple[str, ...], ids: tuple[str, ...], at: str | None) -> None:
    """Correct what is remembered, in words.

    "It's X, not Y", "replace A with B", "no, …" and "actually …" change memories; what only adds is remembered as new;
    thanks and questions change nothing. The old versions stay in the history.

    \b
    Example:
      anamnos correct "no, it's Oslo, not Rome" --user ann
    """
    scope, words = target.scope(), joined(text, "text")
    with target.open() as memory:
        print_receipt(target.as_json, memory.correct(words, scope, ids=ids, at=moment("--at", at)))


@command("merge")
@click.argument("cube_ids", nargs=-1, required=True, metavar="ID...")
def merge(target: Target, cube_ids: tuple[str, ...]) -> None:
    """Make one memory of several.

    The newest stands for all; the others are no longer found, and come back with unmerge.

    \b
    Example:
      anamnos merge 01890a5d-ac96-774b-bcce-b302099a8057 01890a5d-ac96-774b-bcce-b302099a8058 --user ann
    """
    with target.open() as memory:
        print_receipt(target.as_json, memory.merge(cube_ids, target.scope()))


@command("unmerge")
@click.argument("cube_id", metavar="ID")
def unmerge(target: Target, cube_id: str) -> None:
    """Part a memory from those that it was merged with.

    \b
    Example:
      anamnos unmerge 01890a5d-ac96-774b-bcce-b302099a8057 --user ann
    """
    with target.open() as memory:
        print_receipt(target.as_json, memory.unmerge(cube_id, target.scope()))
