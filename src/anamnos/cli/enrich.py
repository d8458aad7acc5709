"""Enrich: find what turns say, and remember it beside them."""

from __future__ import annotations

import click
from rich.text import Text

from anamnos.cli.context import Target, command, print_json
from anamnos.cli.progress import progress_bar
from anamnos.cli.render import console


@command("enrich")
@click.option(
    "--extractor",
    type=click.Choice(["rules", "llm"]),
    default="rules",
    show_default=True,
    help="By rules, or by the language model of the settings.",
)
def enrich(target: Target, extractor: str) -> None:
    """Find the facts and preferences that memories hold.

    Turns and notes are read. What they say becomes memories of role fact, each tied to the turn that says it, so that
    deleting the turn deletes them. What was read is not read again.

    \b
    Example:
      anamnos enrich --user ann
    """
    scope = target.scope()
    with target.open() as memory, progress_bar("reading", "turns") as progress:
        receipt = memory.enrich(scope, extractor=extractor, progress=progress)
    if target.as_json:
        print_json({"added": receipt.count("added"), "deleted": receipt.count("deleted"), **receipt.to_dict()})
        return
    added, deleted = receipt.count("added"), receipt.count("deleted")
    console().print(Text(f"found {added:,}", style="green"), Text(f"and took back {deleted:,}" if deleted else ""))
