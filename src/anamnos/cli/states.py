"""``anamnos states``: associative memories that are kept in the vault."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from anamnos.cli.context import Target, command, must_be_interactive, print_json, print_receipt
from anamnos.cli.render import console, pairs, safe, size, table, when
from anamnos.cube import BlobRef, MemCube, Scope, State, thaw_json, to_iso
from anamnos.errors import InvalidInput, NotFound, StoreError
from anamnos.types import And, Comparison, Field, Where

if TYPE_CHECKING:
    from anamnos.memory import Memory

_KEPT = And(
    (
        Where(Field.ROLE, Comparison.EQ, "state"),
        Where(Field.SUBSTRATE, Comparison.EQ, "neural"),
        Where(Field.STATE, Comparison.IN, tuple(State)),
    )
)
_FILE = click.Path(path_type=Path)


@click.group("states")
def states() -> None:
    """Associative memories that are kept in the vault.

    Programs write them with save_state and read them with load_state; see the page on associative memories.
    """


@command("list")
def list_(target: Target) -> None:
    """List the states that are kept, with how full they are.

    \b
    Example:
      anamnos states list --user ann
    """
    scope = target.scope()
    with target.open() as memory:
        found = _kept(memory, scope)
    if target.as_json:
        print_json({"states": [_told(cube) for cube in found]})
        return
    if not found:
        console().print(Text("No states are kept here."))
        return
    numbers = ("items", "capacity", "version", "size")
    rows = table("name", "system", "items", "capacity", "version", "size", "updated", "scope", right=numbers)
    for cube in found:
        told = _told(cube)
        cells = (told["name"], told["system"], _items(told), _capacity(told), str(cube.version), size(_bytes(cube)))
        rows.add_row(*(Text(safe(cell)) for cell in (*cells, when(cube.time.recorded_at), str(cube.scope))))
    console().print(rows)


@command("show")
@click.argument("name")
def show(target: Target, name: str) -> None:
    """Show what a state was made with, how full it is, and its versions.

    \b
    Example:
      anamnos states show faces --user ann
    """
    scope = target.scope()
    with target.open() as memory:
        cube = _named(memory, name, scope)
        versions = memory.history(cube.id, scope)
    told = _told(cube)
    if target.as_json:
        made_from = list(cube.provenance.derived_from)
        print_json({**told, "spec": _spec(cube), "made_from": made_from, "history": [_told(each) for each in versions]})
        return
    rows = [
        ("name", told["name"]),
        ("system", told["system"]),
        ("id", cube.id),
        ("scope", str(cube.scope)),
        ("items", _items(told)),
        ("capacity", _capacity(told)),
        ("in use", f"{told['load'].get('fill', 0.0):.1%} of the state"),
        ("errors expected", f"{told['load'].get('expected_error', 0.0):.2g}"),
        ("made from", f"{len(cube.provenance.derived_from):,} memories"),
        *((f"spec.{field}", str(value)) for field, value in _spec(cube).items()),
    ]
    console().print(pairs(rows))
    history = table("version", "written", "items", "size", right=("version", "items", "size"))
    for each in versions:
        history.add_row(str(each.version), when(each.time.recorded_at), _items(_told(each)), size(_bytes(each)))
    console().print(history)


@command("export")
@click.argument("name")
@click.argument("file", type=_FILE)
@click.option("--version", type=int, help="An older version; the current one by default.")
def export(target: Target, name: str, file: Path, version: int | None) -> None:
    """Write a state to a file, which must not be there yet.

    The file is a NumPy archive (.npz) with a checksum; it holds what the state was made of, so keep it as safe.

    \b
    Example:
      anamnos states export faces faces.npz --user ann
    """
    from anamnos.associative.payload import to_payload

    scope = target.scope()
    with target.open() as memory:
        payload = to_payload(memory.load_state(name, scope, version=version))
        _write_new(file, payload)
        memory._guard.copied("state", file)  # so that a report of what was forgotten names it
    if target.as_json:
        print_json({"file": str(file), "bytes": len(payload)})
    else:
        console().print(Text(f"wrote {size(len(payload))} to {safe(str(file))}"))


@command("import")
@click.argument("name")
@click.argument("file", type=_FILE)
def import_(target: Target, name: str, file: Path) -> None:
    """Keep the state of a file under a name; if that is taken, as its next version.

    The file is checked first; nothing in it is ever run.

    \b
    Example:
      anamnos states import faces faces.npz --user ann
    """
    from anamnos.associative.payload import from_payload

    scope = target.scope()
    try:
        state = from_payload(file.read_bytes())
    except OSError as exc:
        raise InvalidInput(f"{file} cannot be read: {exc.strerror}.", hint="Check the path.") from exc
    with target.open(create=True) as memory:
        try:
            receipt = memory.save_state(name, state, scope)
        except NotFound as exc:
            hint = "The state was made of memories that are not in this scope: import these first."
            raise NotFound(exc.message, hint=hint) from exc
    print_receipt(target.as_json, receipt)


@command("delete")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(target: Target, name: str, yes: bool) -> None:
    """Erase a state with all its versions. What it was made of stays.

    \b
    Example:
      anamnos states delete faces --user ann
    """
    scope = target.scope()
    with target.open() as memory:
        cube = _named(memory, name, scope)
        if not yes:
            must_be_interactive(yes)
            what = f"{safe(name)}, {cube.version:,} {'version' if cube.version == 1 else 'versions'}"
            click.confirm(f"Erase {what}, for good?", abort=True, err=True)
        receipt = memory.delete(cube.id, scope)
    print_receipt(target.as_json, receipt)


for _command in (list_, show, export, import_, delete):
    states.add_command(_command)


def _kept(memory: Memory, scope: Scope) -> list[MemCube]:
    """Return the cubes of the states that a scope covers."""
    return [cube for cube in memory.list(scope, filter=_KEPT, limit=None) if _note(cube)]


def _named(memory: Memory, name: str, scope: Scope) -> MemCube:
    """Return the cube of the state that has this name in just this scope. Raises: NotFound."""
    found = [cube for cube in _kept(memory, scope) if _note(cube).get("name") == name]
    for cube in found:
        if cube.scope == scope:
            return cube
    hint = f"It is in the scope {found[0].scope}." if found else "anamnos states list shows which there are."
    raise NotFound(f"There is no state {name!r} in the scope {scope}.", hint=hint)


def _note(cube: MemCube) -> Mapping[str, Any]:
    """Return what was noted of a state when it was saved."""
    noted = thaw_json(cube.annotations.data).get("state")
    return noted if isinstance(noted, dict) else {}


def _spec(cube: MemCube) -> dict[str, Any]:
    return {field: value for field, value in _note(cube).items() if field not in ("name", "load")}


def _told(cube: MemCube) -> dict[str, Any]:
    """Return what is known of a version of a state as JSON data."""
    noted = _note(cube)
    return {
        "name": str(noted.get("name", "")),
        "system": str(noted.get("system", "")),
        "id": cube.id,
        "scope": cube.to_dict()["scope"],
        "version": cube.version,
        "load": noted.get("load", {}),
        "size_bytes": _bytes(cube),
        "updated_at": to_iso(cube.time.recorded_at),
    }


def _bytes(cube: MemCube) -> int:
    return cube.content.size_bytes if isinstance(cube.content, BlobRef) else len(cube.content.encode())


def _items(told: dict[str, Any]) -> str:
    return f"{told['load'].get('items', 0):,}"


def _capacity(told: dict[str, Any]) -> str:
    capacity = told["load"].get("capacity")
    return "no limit" if capacity is None else f"{capacity:,.0f}"


def _write_new(file: Path, data: bytes) -> None:
    """Write a file that is not there yet. Raises: InvalidInput if it is, StoreError if it cannot be written."""
    try:
        with file.open("xb") as opened:
            opened.write(data)
    except FileExistsError as exc:
        raise InvalidInput(f"{file} is there already.", hint="Name a new file.") from exc
    except OSError as exc:
        with suppress(OSError):
            file.unlink()
        raise StoreError(f"{file} could not be written: {exc.strerror}.", hint="Choose another place.") from exc
