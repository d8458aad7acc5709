"""Governance: ``policy`` (principals, shares, rules), ``forget-person`` and ``expire``."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.text import Text

from anamnos.cli.context import Target, command, moment, must_be_interactive, print_json, print_receipt
from anamnos.cli.render import console, safe, table
from anamnos.errors import InvalidInput
from anamnos.types import filter_from_dict, filter_to_dict


@click.group("policy")
def policy() -> None:
    """Principals, shares and rules of retention."""


@command("show")
@click.argument("cube_ids", nargs=-1, metavar="[ID]...")
def show(target: Target, cube_ids: tuple[str, ...]) -> None:
    """Show who may see memories; without ids: who is registered.

    \b
    Example:
      anamnos policy show 01890a5d-ac96-774b-bcce-b302099a8057 --user ann
    """
    with target.open() as memory:
        if not cube_ids:
            found = memory.policy.principals()
            _rows(target, "principals", [{"name": who.name, **who.to_record()} for who in found])
            return
        scope = target.scope()
        cubes = [memory.get(cube_id, scope) for cube_id in cube_ids]
        grants = memory.policy.grants(scope)
    shown = []
    for cube in cubes:
        ends = [{"to": g.principal, **g.to_record()} for g in grants if g.cube_id == cube.id]
        parts = {name: list(getattr(cube.policy, name)) for name in ("readers", "writers", "sensitivity")}
        shown.append({"id": cube.id, "visibility": str(cube.policy.visibility), **parts, "grants": ends})
    _rows(target, "memories", shown)


@command("register", scope=False)
@click.argument("name")
@click.option("--right", "rights", multiple=True, help="read, write, share, sensitive, admin; the first three if none.")
@click.option("--has-role", "roles", multiple=True, metavar="ROLE", help="A registered role, as role:auditor.")
@click.option("--purpose", "purposes", multiple=True, help="What it may work for; anything if none is given.")
@click.option("--of-tenant", default="default", show_default=True, help="The tenant that it belongs to.")
def register(target: Target, name: str, rights: tuple[str, ...], of_tenant: str, **more: Any) -> None:
    """Make a principal known, or change what it may do.

    \b
    Example:
      anamnos policy register user:bob
    """
    with target.open(create=True) as memory:
        who = memory.policy.register(name, tenant=of_tenant, **({"rights": rights} if rights else {}), **more)
    _rows(target, "principals", [{"name": who.name, **who.to_record()}])


@command("remove", scope=False)
@click.argument("name")
def remove(target: Target, name: str) -> None:
    """Take everything from a principal.

    \b
    Example:
      anamnos policy remove user:bob
    """
    with target.open() as memory:
        memory.policy.remove(name)
    if target.as_json:
        print_json({"removed": name})
    else:
        console().print(Text(f"removed {safe(name)}"))


@command("share")
@click.argument("cube_ids", nargs=-1, required=True, metavar="ID...")
@click.option("--to", required=True, metavar="NAME", help="A principal, or session, project, public, private.")
@click.option("--right", "rights", multiple=True, default=("read",), show_default=True, help="read or write.")
@click.option("--until", metavar="TIME", help="When it ends by itself; without a zone: UTC.")
def share(target: Target, cube_ids: tuple[str, ...], to: str, rights: tuple[str, ...], until: str | None) -> None:
    """Let others read or write memories.

    \b
    Example:
      anamnos policy share 01890a5d-ac96-774b-bcce-b302099a8057 --to user:bob --user ann
    """
    with target.open() as memory:
        receipt = memory.share(cube_ids, target.scope(), to=to, rights=rights, until=moment("--until", until))
    print_receipt(target.as_json, receipt)


@command("unshare")
@click.argument("cube_ids", nargs=-1, required=True, metavar="ID...")
@click.option("--to", metavar="NAME", help="The principal to take it back from; everybody if left out.")
def unshare(target: Target, cube_ids: tuple[str, ...], to: str | None) -> None:
    """Take back what share gave.

    \b
    Example:
      anamnos policy unshare 01890a5d-ac96-774b-bcce-b302099a8057 --user ann
    """
    with target.open() as memory:
        print_receipt(target.as_json, memory.unshare(cube_ids, target.scope(), to=to))


@command("rules", scope=False)
@click.option("--add", metavar="NAME", help="Keep a rule of this name.")
@click.option("--filter", "tree", metavar="JSON", help="Which memories, as in search --filter.")
@click.option("--days", type=float, help="The age at which it catches up with them.")
@click.option("--action", default="expire", show_default=True, help="archive, expire or erase.")
@click.option("--remove", "gone", metavar="NAME", help="Drop the rule of this name.")
def rules(target: Target, add: str | None, tree: str | None, days: float | None, action: Any, gone: str | None) -> None:
    """Show the rules of retention, or change them. The command expire applies them.

    \b
    Example:
      anamnos policy rules --add calls --filter '{"field": "tag", "op": "eq", "value": "call"}' --days 90
    """
    with target.open() as memory:
        if add is not None:
            if tree is None or days is None:
                raise InvalidInput("A rule needs memories and an age.", hint="Give --filter and --days.")
            memory.policy.add_rule(add, filter_from_dict(_json(tree)), days, action)
        if gone is not None:
            memory.policy.remove_rule(gone)
        found = memory.policy.rules()
    _rows(
        target,
        "rules",
        [{"name": r.name, "filter": filter_to_dict(r.filter), "days": r.days, "action": r.action} for r in found],
    )


for _command in (show, register, remove, share, unshare, rules):
    policy.add_command(_command)


@command("expire")
@click.option("--all", "everything", is_flag=True, help="In all scopes.")
def expire(target: Target, everything: bool) -> None:
    """Do what times to live and rules ask for.

    \b
    Example:
      anamnos expire --all
    """
    scope = target.scope_or_none()
    if not everything and scope is None:
        raise InvalidInput("Nobody is named whose memory this is about.", hint="Say --user NAME, or --all.")
    with target.open() as memory:
        print_receipt(target.as_json, memory.expire(None if everything else scope))


@command("forget-person", scope=False)
@click.argument("name")
@click.option("--of-tenant", default="default", show_default=True, help="The tenant of that user.")
@click.option("--mentions", is_flag=True, help="Also what others' memories say of them, or hold of their words.")
@click.option("--called", "names", multiple=True, metavar="NAME", help="What else they are called; with --mentions.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def forget_person(target: Target, name: str, of_tenant: str, mentions: bool, names: tuple[str, ...], yes: bool) -> None:
    """Erase a user from all files, and report it.

    What was made of their memories goes too, and their names behind entries of the audit. This cannot be undone.
    Memories under a legal hold stand in the way: then nothing is done.

    \b
    Example:
      anamnos forget-person ann --mentions --called "Ann Smith"
    """
    with target.open() as memory:
        if not yes:
            must_be_interactive(yes)
            typed = click.prompt(f"This erases the user {safe(name)}. Type {safe(name)} to go on", err=True)
            if typed != name:
                raise click.Abort
        report = memory.forget_person(name, tenant=of_tenant, mentions=mentions, names=names)
    if target.as_json:
        print_json(report.to_dict())
        return
    rows = table("what", "")
    for part, value in report.to_dict().items():
        if value not in ([], {}):
            rows.add_row(part, safe(_plain(value)))
    console().print(rows)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as exc:
        raise InvalidInput(f"--filter is not JSON: {exc}.") from exc


def _rows(target: Target, what: str, found: list[dict[str, Any]]) -> None:
    if target.as_json:
        print_json({what: found})
        return
    if not found:
        console().print(Text(f"No {what}.", style="dim"))
        return
    rows = table(*found[0])
    for one in found:
        rows.add_row(*(safe(_plain(value)) for value in one.values()))
    console().print(rows)


def _plain(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ", ".join(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
