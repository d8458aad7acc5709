"""``anamnos lifecycle``: freeze, archive, bring back, roll back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import click
from rich.text import Text

from anamnos.cli.consolidate import show
from anamnos.cli.context import Target, command, moment, must_be_interactive, print_json, print_receipt
from anamnos.cli.render import console
from anamnos.cube import Scope
from anamnos.errors import InvalidInput
from anamnos.memory import Memory
from anamnos.types import Receipt


@click.group("lifecycle")
def lifecycle() -> None:
    """Freeze, archive, bring back, roll back."""


Verb = Callable[[Memory, tuple[str, ...], Scope], Receipt]


def _verb(name: str, help: str, verb: Verb) -> None:
    """Add a command that moves the memories whose ids it is given."""

    @command(name)
    @click.argument("cube_ids", nargs=-1, required=True, metavar="ID...")
    def run(target: Target, cube_ids: tuple[str, ...]) -> None:
        with target.open() as memory:
            print_receipt(target.as_json, verb(memory, cube_ids, target.scope()))

    run.help = f"{help}\n\n\b\nExample:\n  anamnos lifecycle {name} 01890a5d-ac96-774b-bcce-b302099a8057 --user ann"
    lifecycle.add_command(run)


_verb("freeze", "Put memories under a legal hold: nothing changes or deletes them.", Memory.freeze)
_verb("unfreeze", "Lift the hold of memories.", Memory.unfreeze)
_verb("archive", "Take memories out of searches without losing them.", Memory.archive)
_verb("reactivate", "Bring archived, merged or expired memories back.", Memory.reactivate)


@command("migrate")
@click.argument("cube_ids", nargs=-1, required=True, metavar="ID...")
@click.option("--to", default="text", show_default=True, help="The substrate; so far text only.")
@click.option("--role", help="The new role, such as procedure.")
@click.option("--text", metavar="TEXT", help="The new words, of one memory.")
@click.option("--back", is_flag=True, help="Undo the last migration instead.")
def migrate(target: Target, cube_ids: tuple[str, ...], to: str, role: str | None, text: str | None, back: bool) -> None:
    """Move memories to another role, wording or substrate.

    A record stays on each, and --back undoes it.

    \b
    Example:
      anamnos lifecycle migrate 01890a5d-ac96-774b-bcce-b302099a8057 --role procedure --user ann
    """
    if text is not None and len(cube_ids) > 1:
        raise InvalidInput("--text is for one memory.", hint="Move them one by one.")
    scope = target.scope()
    with target.open() as memory:
        if back:
            parts = [memory.migrate_back(cube_id, scope) for cube_id in cube_ids]
            ids = tuple(i for part in parts for i in part.ids)
            print_receipt(
                target.as_json, replace(parts[-1], ids=ids, outcomes=tuple(o for p in parts for o in p.outcomes))
            )
            return
        words = {} if text is None else {cube_ids[0]: text}
        print_receipt(target.as_json, memory.migrate(cube_ids, scope, to=to, role=role, words=words))


lifecycle.add_command(migrate)


@command("advise")
def advise(target: Target) -> None:
    """Show which memories would serve better in another substrate.

    \b
    Example:
      anamnos lifecycle advise --user ann
    """
    with target.open() as memory:
        advice = memory.advise(target.scope())
    if target.as_json:
        print_json([each.to_dict() for each in advice])
        return
    for each in advice:
        console().print(Text(f"to {each.to}", style="bold"), Text(f"{', '.join(each.ids[:3])}: {each.reason}"))
    if not advice:
        console().print(Text("All of them are where they serve best.", style="dim"))


lifecycle.add_command(advise)
lifecycle.add_command(show)


@command("rollback")
@click.argument("cube_id", required=False, metavar="[ID]")
@click.option("--version", type=int, help="The version of that memory to go back to.")
@click.option("--to", metavar="TIME", help="Instead: the moment to go back to; without a zone: UTC.")
@click.option("--yes", is_flag=True, help="Do not ask before a whole scope is rolled back.")
def rollback(target: Target, cube_id: str | None, version: int | None, to: str | None, yes: bool) -> None:
    """Make a memory, or a whole scope, what it was.

    It is done in new versions: the history stays. What was deleted since then stays deleted.

    \b
    Example:
      anamnos lifecycle rollback --to 2024-03-01 --user ann
    """
    if (version is None) == (to is None):
        raise InvalidInput("Say which version, or which moment, to go back to.", hint="Give --version or --to.")
    scope = target.scope()
    if cube_id is None and not yes:
        must_be_interactive(yes)
        click.confirm(f"Roll back every memory in the scope {scope}?", abort=True, err=True)
    with target.open() as memory:
        print_receipt(target.as_json, memory.rollback(scope, id=cube_id, version=version, to=moment("--to", to)))


lifecycle.add_command(rollback)
