"""``keys``: what applications show to a server of this vault."""

from __future__ import annotations

from datetime import timedelta

import click
from rich.text import Text

from anamnos.cli.context import Target, command, print_json
from anamnos.cli.render import console, safe, table, when
from anamnos.cube import utc_now
from anamnos.errors import InvalidInput


@click.group("keys")
def keys() -> None:
    """Keys of applications that use a server of this vault."""


@command("create", scope=False)
@click.argument("name")
@click.option(
    "--of-tenant", "tenants", multiple=True, metavar="NAME", help="A tenant that it reaches; default if none."
)
@click.option("--all-tenants", is_flag=True, help="It reaches every tenant.")
@click.option(
    "--right",
    "rights",
    multiple=True,
    help="read, write, share, all, admin, sensitive; the first four if none, without --owner.",
)
@click.option("--owner", default="", metavar="PRINCIPAL", help="Whom it stands for, as user:ann; left out: everybody.")
@click.option("--operator", is_flag=True, help="It may do everything: backups, jobs, keys, every tenant.")
@click.option(
    "--days", type=click.FloatRange(0, 36_500, min_open=True), help="How long it counts; until revoked if left out."
)
def create(
    target: Target,
    name: str,
    tenants: tuple[str, ...],
    all_tenants: bool,
    rights: tuple[str, ...],
    owner: str,
    operator: bool,
    days: float | None,
) -> None:
    """Make a key and show it, this once.

    \b
    Example:
      anamnos keys create backend --of-tenant acme --right read --right all
    """
    if tenants and (all_tenants or operator):
        raise InvalidInput("--of-tenant and all tenants cannot be both.", hint="Leave out one of them.")
    if rights and operator:
        raise InvalidInput("A key of an operator has every right.", hint="Leave --right out.")
    with target.open(create=True) as memory:
        key = memory.keys.create(
            name,
            tenants=None if all_tenants or operator else tenants or ("default",),
            rights=rights or None,
            owner=owner,
            operator=operator,
            expires_at=None if days is None else utc_now() + timedelta(days=days),
        )
    if target.as_json:
        print_json({**key.to_dict(), "key": key.text})
        return
    click.echo(key.text)
    click.echo("Keep it now: only its hash is in the vault, so it cannot be shown again.", err=True)


@command("list", scope=False)
def list_(target: Target) -> None:
    """List the keys, without what is secret about them.

    \b
    Example:
      anamnos keys list
    """
    with target.open() as memory:
        found = memory.keys.list()
    if target.as_json:
        print_json({"keys": [key.to_dict() for key in found]})
        return
    if not found:
        console().print(Text("No keys.", style="dim"))
        return
    rows = table("id", "name", "tenants", "rights", "stands for", "created", "counts until")
    for key in found:
        tenants = "all" if key.tenants is None else ", ".join(key.tenants)
        rights = "everything (operator)" if key.operator else ", ".join(key.rights)
        until = "revoked" if key.expires_at is None else when(key.expires_at)
        cells = (key.id, key.name, tenants, rights, key.owner or "everybody", when(key.created_at), until)
        rows.add_row(*(Text(safe(cell)) for cell in cells))
    console().print(rows)


@command("revoke", scope=False)
@click.argument("key_id", metavar="ID")
def revoke(target: Target, key_id: str) -> None:
    """Make a key count no more, at once and for every server.

    \b
    Example:
      anamnos keys revoke 3e5b970eb07e
    """
    with target.open() as memory:
        key = memory.keys.revoke(key_id)
    if target.as_json:
        print_json({"revoked": key.id})
    else:
        console().print(Text(f"revoked {key.id} ({safe(key.name)})"))


for _command in (create, list_, revoke):
    keys.add_command(_command)
