"""``anamnos mount`` and ``anamnos quota``: other vaults that join searches, and how much a scope may hold."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from anamnos.cli.context import Target, command, print_json
from anamnos.cli.render import console
from anamnos.cube import Scope
from anamnos.errors import InvalidInput


@click.group("mount")
def mount() -> None:
    """Let the memories of other vaults join searches."""


@command("add", embedder=False)
@click.argument("name")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--of-user", metavar="NAME", help="Whose memories there.")
@click.option("--of-agent", metavar="NAME", help="Which agent's memories there.")
@click.option("--weight", type=float, default=0.8, show_default=True, help="Of their hits beside your own; at most 1.")
def add(target: Target, name: str, folder: Path, of_user: str | None, of_agent: str | None, weight: float) -> None:
    """Let memories of the vault in FOLDER join searches from now on.

    They join the searches of the named user, or of everybody if nobody is named.

    \b
    Example:
      anamnos mount add team ../team-vault --of-agent team --user ann
    """
    if of_user is None and of_agent is None:
        raise InvalidInput("Nobody is named whose memories of that vault join.", hint="Give --of-user or --of-agent.")
    with target.open() as memory:
        scope = Scope(tenant=target.tenant, user=of_user, agent=of_agent)
        made = memory.mounts.add(name, folder, scope, into=target.scope_or_none(), weight=weight)
    if target.as_json:
        print_json({**asdict(made), "scope": made.scope.to_dict()})
    else:
        console().print(f"mounted {made.name}: {made.folder}", markup=False, soft_wrap=True)


@command("list", scope=False, embedder=False)
def list_(target: Target) -> None:
    """Show what is mounted.

    \b
    Example:
      anamnos mount list
    """
    with target.open() as memory:
        found = memory.mounts.list()
    if target.as_json:
        print_json({"mounts": [{**asdict(each), "scope": each.scope.to_dict()} for each in found]})
        return
    for each in found:
        into = "for all" if each.into is None else "for one scope"
        console().print(
            f"{each.name}  {each.scope} of {each.folder}, {into}, weight {each.weight:g}", markup=False, soft_wrap=True
        )
    if not found:
        console().print("nothing is mounted")


@command("remove", scope=False, embedder=False)
@click.argument("name")
def remove(target: Target, name: str) -> None:
    """Take a mounted vault out of searches; it stays as it is.

    \b
    Example:
      anamnos mount remove team
    """
    with target.open() as memory:
        memory.mounts.remove(name)
    if target.as_json:
        print_json({"removed": name})
    else:
        console().print(f"removed {name}", markup=False)


for _each in (add, list_, remove):
    mount.add_command(_each)


@command("quota", embedder=False)
@click.option("--memories", type=click.IntRange(min=0), help="How many memories it may hold.")
@click.option("--bytes", "size", type=click.IntRange(min=0), help="How many bytes of content, of all versions.")
@click.option("--none", "unlimited", is_flag=True, help="Let it hold any amount.")
def quota(target: Target, memories: int | None, size: int | None, unlimited: bool) -> None:
    """Show or set how much a user may hold.

    What is there already stays, even if it is more.

    \b
    Example:
      anamnos quota --user ann --memories 100000
    """
    limits = memories is not None or size is not None
    if unlimited and limits:
        raise InvalidInput("--none and a limit contradict each other.", hint="Give one of them.")
    scope = target.scope()
    with target.open() as memory:
        if limits or unlimited:
            memory.quotas.set(scope, memories=memories, bytes=size)
        allowed = memory.quotas.get(scope)
        held = dict(zip(("memories", "bytes"), memory.vault.store.usage(scope), strict=True))
    limit = {name: None if allowed is None else getattr(allowed, name) for name in held}
    if target.as_json:
        print_json({"held": held, "quota": limit})
        return
    for name, number in held.items():
        most = "any amount" if limit[name] is None else f"{limit[name]:,}"
        console().print(f"{name}: {number:,} of {most}")
