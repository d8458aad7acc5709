"""Memories out of the vault and in again: ``export``, ``import``, ``backup`` and ``restore``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click
from rich.text import Text

from anamnos.cli.context import Target, command, print_json
from anamnos.cli.progress import progress_bar
from anamnos.cli.render import console, safe, size
from anamnos.errors import InvalidInput


@command("export")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--redact", is_flag=True, help="Write addresses, numbers and keys as labels.")
@click.option("--all", "everything", is_flag=True, help="The memories of everybody.")
def export(target: Target, file: Path, redact: bool, everything: bool) -> None:
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
        versions = memory.export(file, None if everything else scope, redact=redact)
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
@click.option("--incremental", is_flag=True, help="Bring an older backup in that folder up to date.")
def backup(target: Target, folder: Path, incremental: bool) -> None:
    """Copy the vault to a folder.

    Others may go on reading and writing. The folder must be new or empty, or, with --incremental, hold a backup of this
    vault: then only what differs is written, and what was erased since is erased there too.

    \b
    Example:
      anamnos backup /mnt/disk/vault-backup --incremental
    """
    with target.open() as memory:
        report = memory.backup(folder, incremental=incremental)
        memories = memory.stats()["memories"]
    if target.as_json:
        print_json({"folder": str(folder), "memories": memories, **asdict(report)})
    else:
        written = "" if report.written_bytes == report.size_bytes else f", {size(report.written_bytes)} of it new"
        text = f"copied {memories:,} memories to {safe(str(folder))} ({size(report.size_bytes)}{written})"
        console().print(Text(text))


@command("restore", scope=False, embedder=False)
@click.argument("backup", type=click.Path(path_type=Path))
def restore(target: Target, backup: Path) -> None:
    """Make a vault of a backup, after checking every byte.

    The vault is the folder of --vault; it must be new or empty.

    \b
    Example:
      anamnos restore /mnt/disk/vault-backup --vault my-vault
    """
    from anamnos.system.backup import restore as restored

    manifest = restored(backup, target.folder)
    total = sum(entry["size_bytes"] for entry in manifest["files"].values())
    if target.as_json:
        parts = {"vault": str(target.folder), "made_at": manifest["made_at"], "sequence": manifest["sequence"]}
        print_json({**parts, "bytes": total})
    else:
        console().print(Text(f"restored {size(total)}, as of {manifest['made_at']}, to {safe(str(target.folder))}"))
