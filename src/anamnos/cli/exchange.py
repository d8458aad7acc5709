"""Memories out of the vault and in again: ``export``, ``import`` and ``backup``."""

from __future__ import annotations

from pathlib import Path

import click
from rich.text import Text

from anamnos.cli.context import Target, command, print_json
from anamnos.cli.progress import progress_bar
from anamnos.cli.render import console, safe
from anamnos.errors import InvalidInput


@command("export")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--all", "everything", is_flag=True, help="The memories of everybody.")
def export(target: Target, file: Path, everything: bool) -> None:
    """Write memories with all their versions to a file.

    \b
    Example:
      anamnos export ann.jsonl --user ann
    """
    scope = target.scope_or_none()
    if not everything and scope is None:
        raise InvalidInput(
            "Nobody is named whose memory to export.", hint="Say --user NAME, or --all for the memories of everybody."
        )
    with target.open() as memory:
        versions = memory.export(file, None if everything else scope)
    if target.as_json:
        print_json({"file": str(file), "versions": versions})
    else:
        console().print(Text(f"wrote {versions:,} versions to {safe(str(file))}"))


@command("import", scope=False)
@click.argument("file", type=click.Path(path_type=Path))
def import_(target: Target, file: Path) -> None:
    """Read a file that export wrote.

    All or nothing; what is there already stays as it is. Chats and notes go through ingest.

    \b
    Example:
      anamnos import ann.jsonl
    """
    with target.open(create=True) as memory, progress_bar(file.name, "versions") as progress:
        receipt = memory.import_(file, progress=progress)
    if target.as_json:
        print_json(receipt.to_dict())
    else:
        added, known = receipt.count("added"), receipt.count("unchanged")
        console().print(Text(f"added {added:,} versions, {known:,} known already"))


@command("backup", scope=False)
@click.argument("folder", type=click.Path(path_type=Path))
def backup(target: Target, folder: Path) -> None:
    """Copy the vault to a new folder.

    Others may go on reading and writing. To restore, use the copy as the vault.

    \b
    Example:
      anamnos backup /mnt/disk/vault-monday
    """
    with target.open() as memory:
        memory.backup(folder)
        memories = memory.stats()["memories"]
    if target.as_json:
        print_json({"folder": str(folder), "memories": memories})
    else:
        console().print(Text(f"copied {memories:,} memories to {safe(str(folder))}"))
