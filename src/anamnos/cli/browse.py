"""Look at memories as they are kept: ``list``, ``get`` and ``history``."""

from __future__ import annotations

import json

import click
from rich.text import Text

from anamnos.cli.context import Target, as_of_option, command, moment, print_json
from anamnos.cli.filters import filter_options
from anamnos.cli.render import console, cube_table, pairs, shown, table, when
from anamnos.cube import MemCube, thaw_json
from anamnos.types import Filter


@command("list")
@click.option("--limit", type=int, default=50, show_default=True, help="How many to show.")
@click.option("--after", metavar="ID", help="Go on behind this memory.")
@as_of_option("List")
@filter_options
def list_(target: Target, limit: int, after: str | None, as_of: str | None, filter: Filter | None) -> None:
    """List memories in the order in which they were written.

    \b
    Example:
      anamnos list --user ann --tag home --since 2025-01-01
    """
    scope, then = target.scope(), moment("--as-of", as_of)
    with target.open() as memory:
        cubes = memory.list(scope, filter=filter, limit=limit, after=after, as_of=then)
        rest = len(cubes) == limit and memory.list(scope, filter=filter, limit=1, after=cubes[-1].id, as_of=then)
        more = bool(rest)
    if target.as_json:
        next_after = cubes[-1].id if more else None
        print_json({"memories": [cube.to_dict() for cube in cubes], "next_after": next_after})
        return
    console().print(cube_table(cubes) if cubes else Text("Nothing is remembered here that could be shown."))
    if more:
        console().print(Text(f"More: --after {cubes[-1].id}", style="dim"))


@command("get")
@click.argument("cube_id", metavar="ID")
@click.option("--version", type=int, help="An older version; the current one by default.")
@as_of_option("Show")
def get(target: Target, cube_id: str, version: int | None, as_of: str | None) -> None:
    """Show one memory with all that is known about it.

    \b
    Example:
      anamnos get 01890a5d-ac96-774b-bcce-b302099a8057 --user ann
    """
    scope, then = target.scope(), moment("--as-of", as_of)
    with target.open() as memory:
        cube = memory.get(cube_id, scope, version=version, as_of=then)
    if target.as_json:
        print_json(cube.to_dict())
        return
    out = console()
    out.print(Text(shown(cube)))
    out.print()
    out.print(pairs(_known(cube)))


@command("history")
@click.argument("cube_id", metavar="ID")
def history(target: Target, cube_id: str) -> None:
    """Show all versions of a memory.

    \b
    Example:
      anamnos history 01890a5d-ac96-774b-bcce-b302099a8057 --user ann
    """
    scope = target.scope()
    with target.open() as memory:
        versions = memory.history(cube_id, scope)
    if target.as_json:
        print_json({"versions": [cube.to_dict() for cube in versions]})
        return
    listing = table("version", "written", "until", "state", "memory", right=("version",), wide="memory")
    for cube in versions:
        until = when(cube.time.superseded_at) if cube.time.superseded_at else "now"
        written = when(cube.time.recorded_at)
        listing.add_row(str(cube.version), written, until, str(cube.lifecycle.state), Text(shown(cube)))
    console().print(listing)


def _known(cube: MemCube) -> list[tuple[str, str]]:
    origin, time, notes = cube.provenance, cube.time, cube.annotations
    valid = f"{when(time.valid_from) if time.valid_from else '…'} to {when(time.valid_to) if time.valid_to else '…'}"
    rows = [
        ("id", cube.id),
        ("version", str(cube.version)),
        ("role", str(cube.role)),
        ("state", str(cube.lifecycle.state)),
        ("scope", str(cube.scope)),
        ("said", when(time.created_at)),
        ("written", when(time.recorded_at)),
        ("valid", valid if time.valid_from or time.valid_to else ""),
        ("who", origin.actor or ""),
        ("source", origin.source or ""),
        ("message", ", ".join(origin.message_ids)),
        ("made by", origin.operator or ""),
        ("made from", ", ".join(origin.derived_from)),
        ("tags", ", ".join(notes.tags)),
        ("importance", f"{cube.lifecycle.importance:g}"),
        ("links", ", ".join(f"{link.kind} {link.target}" for link in cube.links)),
        ("data", json.dumps(thaw_json(notes.data), ensure_ascii=False) if notes.data else ""),
    ]
    return [(name, value) for name, value in rows if value]
