"""``anamnos route``: which of several places a text belongs to."""

from __future__ import annotations

import json
from dataclasses import replace

import click

from anamnos.cli.context import Target, command, print_json
from anamnos.cli.render import console, safe
from anamnos.cube import Scope
from anamnos.errors import InvalidInput
from anamnos.types import Filter, filter_from_dict

_PARTS = {"user", "agent", "session"}
_HINT = """As in --among 'work={"session": "work"}' or --among 'home={"field": "tag", "op": "eq", "value": "home"}'."""


@command("route")
@click.argument("text")
@click.option(
    "--among",
    "places",
    multiple=True,
    required=True,
    metavar="LABEL=JSON",
    help='A place: a filter, or a scope such as {"session": "work"}; give one for each.',
)
@click.option("-k", "k", type=int, default=5, show_default=True, help="How many at most.")
def route(target: Target, text: str, places: tuple[str, ...], k: int) -> None:
    """Say which of several places a text belongs to.

    Each comes with how sure that is, and because of which memories.

    \b
    Example:
      anamnos route "Book the ferry." --among 'trip={"session": "trip"}' --among 'home={"session": "home"}' --user ann
    """
    scope = target.scope()
    among = dict(_place(each, scope) for each in places)
    with target.open() as memory:
        found = memory.route(text, scope, among, k=k)
    if target.as_json:
        print_json({"suggestions": [each.to_dict() for each in found]})
        return
    for each in found:
        because = f"  because of {', '.join(each.because)}" if each.because else ""
        console().print(f"{each.score:.2f}  {safe(each.tag)}{because}", markup=False, soft_wrap=True)


def _place(given: str, scope: Scope) -> tuple[str, Filter | Scope]:
    """Return the label of a place and what it stands for. Raises: InvalidInput."""
    label, _, told = given.partition("=")
    try:
        data = json.loads(told)
    except (ValueError, RecursionError) as exc:
        raise InvalidInput(f"--among is not LABEL=JSON: {given!r}.", hint=_HINT) from exc
    if not label.strip():
        raise InvalidInput(f"--among has no label: {given!r}.", hint=_HINT)
    if isinstance(data, dict) and data.keys() and data.keys() <= _PARTS:
        return label, replace(scope, **data)
    return label, filter_from_dict(data)
