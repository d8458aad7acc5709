"""Keep: ``migrate-store``."""

from __future__ import annotations

import click
from rich.text import Text

from anamnos.cli.context import Target, command, print_json
from anamnos.cli.progress import progress_bar
from anamnos.cli.render import console, pairs, safe
from anamnos.config import load_settings
from anamnos.errors import StoreError
from anamnos.store.keys import user_key
from anamnos.system.migrate_store import MoveReport, migrate_vault
from anamnos.system.vault import store_at


@command("migrate-store", scope=False, embedder=False)
@click.option("--to", required=True, metavar="PLACE", help="postgresql://… or the folder of a new vault.")
@click.option("--drop-source", is_flag=True, help="Overwrite and remove the old file once all is in the new place.")
@click.option("--verify-only", is_flag=True, help="Compare the two places, and change nothing.")
def migrate_store(target: Target, to: str, drop_source: bool, verify_only: bool) -> None:
    """Move the memories to another engine.

    Everything goes along: all versions with their times, vectors, jobs, settings, the audit. Others may read and write
    meanwhile; only for the last comparison they cannot write. Whatever stops it, run it again: it goes on. Programs
    that have the vault open must open it anew afterwards; the old place takes no writes any more.

    \b
    Example:
      anamnos migrate-store --to postgresql://ann@db.example.com/memories
    """
    settings = load_settings(target.folder)
    with progress_bar("copying", "changes") as progress:
        report = migrate_vault(
            target.folder,
            to,
            store_at,
            server=settings.store,
            key=user_key(settings.key_file, settings.passphrase),
            drop_source=drop_source,
            verify_only=verify_only,
            progress=progress,
        )
    if target.as_json:
        print_json(report.to_dict())
    else:
        _print(report, verify_only)
    if report.differences:
        raise click.exceptions.Exit(StoreError.exit_code)


def _print(report: MoveReport, verify_only: bool) -> None:
    rows = [("memories", f"{report.memories:,}"), ("audit entries", f"{report.entries:,}")]
    rows += [("writers waited", f"{report.frozen_s:.1f} s")] if report.frozen_s else []
    console().print(pairs([*rows, ("place", safe(report.to))]))
    for difference in report.differences:
        console().print(Text("differs", style="red"), Text(safe(difference)))
    if report.switched:
        console().print(Text("The memories live there now.", style="green"))
    elif verify_only and not report.differences:
        console().print(Text("Both places hold the same.", style="green"))
