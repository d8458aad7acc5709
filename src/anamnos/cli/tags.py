"""``anamnos tags``: which tags fit a text, learnt from the tags that memories have."""

from __future__ import annotations

import click

from anamnos.cli.context import Target, command, print_json
from anamnos.cli.render import console


@click.group("tags")
def tags() -> None:
    """Suggest tags, learnt from those that memories have."""


@command("suggest")
@click.argument("text")
@click.option("-k", "k", type=int, default=5, show_default=True, help="How many at most.")
def suggest(target: Target, text: str, k: int) -> None:
    """Show which tags fit TEXT best, how sure that is, and because of which memories.

    Correct a memory with `anamnos update ID --tag TAG`: that counts at once.

    \b
    Example:
      anamnos tags suggest "Book the ferry for July." --user ann
    """
    with target.open() as memory:
        found = memory.suggest_tags(text, target.scope(), k=k)
    if target.as_json:
        print_json({"suggestions": [each.to_dict() for each in found]})
        return
    if not found:
        console().print("No memory of this scope has a tag to learn from.")
    for each in found:
        because = f"  because of {', '.join(each.because)}" if each.because else ""
        console().print(f"{each.score:.2f}  {each.tag}{because}", markup=False, soft_wrap=True)


tags.add_command(suggest)
