"""Change: ``update`` and ``delete``."""

from __future__ import annotations

from typing import Any

import click
from rich.text import Text

from anamnos.cli.context import Target, command, moment, must_be_interactive, print_json, stdin_text
from anamnos.cli.render import console, safe, shown
from anamnos.cube import MemCube, Scope, State
from anamnos.errors import InvalidInput
from anamnos.memory import Memory
from anamnos.types import Comparison, Field, Receipt, Where

_SHOWN = 10  # of the memories that are about to go
_EXCERPT = 100  # characters of each
_ANY_STATE = Where(Field.STATE, Comparison.IN, tuple(State))


@command("update")
@click.argument("cube_id", metavar="ID")
@click.option("--text", metavar="TEXT|-", help="The new words; - reads them from standard input.")
@click.option("--tag", "tags", multiple=True, help="A new tag; the ones given replace those that are there.")
@click.option("--no-tags", is_flag=True, help="Take all tags away.")
@click.option("--importance", type=float, help="How much it matters, from 0 to 1.")
@click.option("--valid-from", metavar="TIME", help="Since when it is true; without a zone: UTC.")
@click.option("--valid-to", metavar="TIME", help="Until when it is true.")
@click.option("--expected-version", type=int, help="Refuse if somebody else has changed it since this version.")
def update(
    target: Target,
    cube_id: str,
    text: str | None,
    tags: tuple[str, ...],
    no_tags: bool,
    importance: float | None,
    valid_from: str | None,
    valid_to: str | None,
    expected_version: int | None,
) -> None:
    """Write the next version of a memory.

    What is not given stays as it is; older versions remain in its history.

    \b
    Example:
      anamnos update 01890a5d-ac96-774b-bcce-b302099a8057 --text "The key is under the mat." --user ann
    """
    changes: dict[str, Any] = {
        "content": stdin_text() if text == "-" else text,
        "tags": _tags(tags, no_tags),
        "importance": importance,
        "valid_from": moment("--valid-from", valid_from),
        "valid_to": moment("--valid-to", valid_to),
    }
    if all(value is None for value in changes.values()):
        raise InvalidInput(
            "Nothing is given that should change.", hint="Give --text, --tag, --importance or --valid-to."
        )
    scope = target.scope()
    with target.open() as memory:
        receipt = memory.update(cube_id, scope, **changes, expected_version=expected_version)
        version = memory.get(cube_id, scope).version
    if target.as_json:
        print_json(receipt.to_dict())
    else:
        console().print(Text(receipt.outcomes[0], style="green"), Text(f"{cube_id}, version {version}"))


def _tags(given: tuple[str, ...], none: bool) -> tuple[str, ...] | None:
    """Return the new tags; None if they stay as they are."""
    if none and given:
        raise InvalidInput("--tag and --no-tags exclude each other.")
    return given if given or none else None


@command("delete")
@click.argument("cube_ids", nargs=-1, metavar="ID...")
@click.option("--all-in-scope", is_flag=True, help="Everything that the scope covers, in every state.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(target: Target, cube_ids: tuple[str, ...], all_in_scope: bool, yes: bool) -> None:
    """Erase memories from every file of the vault.

    All their versions go, and all that was derived from them. This cannot be undone.

    \b
    Example:
      anamnos delete 01890a5d-ac96-774b-bcce-b302099a8057 --user ann
    """
    if all_in_scope == bool(cube_ids):
        raise InvalidInput("Name the memories to delete, or say --all-in-scope.", hint="anamnos list shows their ids.")
    scope = target.scope()
    with target.open() as memory:
        going = _going(memory, cube_ids, scope)
        if not yes:
            must_be_interactive(yes)
            _confirm(going, scope, all_in_scope)
        receipt = memory.delete_all(scope) if all_in_scope else memory.delete(cube_ids, scope)
    if target.as_json:
        print_json(receipt.to_dict())
    else:
        _print_receipt(receipt)


def _going(memory: Memory, cube_ids: tuple[str, ...], scope: Scope) -> list[MemCube]:
    if cube_ids:
        return [memory.get(cube_id, scope) for cube_id in cube_ids]
    return memory.list(scope, filter=_ANY_STATE, limit=None)


def _confirm(going: list[MemCube], scope: Scope, all_in_scope: bool) -> None:
    """Show what goes and ask. Raises: click.Abort if the answer is no."""
    for cube in going[:_SHOWN]:
        words = " ".join(shown(cube).split())
        click.echo(f"  {cube.id}  {words[:_EXCERPT]}{'…' if len(words) > _EXCERPT else ''}", err=True)
    if len(going) > _SHOWN:
        click.echo(f"  … and {len(going) - _SHOWN:,} more", err=True)
    what = f"{len(going):,} {'memory' if len(going) == 1 else 'memories'} and all that was derived from them"
    if not all_in_scope:
        click.confirm(f"Erase {what}, for good?", abort=True, err=True)
        return
    name = scope.user or scope.agent or scope.session or ""
    typed = click.prompt(f"This erases {what} in the scope {safe(str(scope))}. Type {safe(name)} to go on", err=True)
    if typed != name:
        raise click.Abort


def _print_receipt(receipt: Receipt) -> None:
    count = receipt.count("deleted")
    console().print(Text(f"deleted {count:,} {'memory' if count == 1 else 'memories'}", style="green"))
    if receipt.state == "erasing":
        click.echo("Another process still holds old pages; anamnos verify cleans them when it is done.", err=True)
