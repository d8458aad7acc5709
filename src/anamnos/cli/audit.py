"""``anamnos audit``: who did what with which memory, and whether the record is whole."""

from __future__ import annotations

from typing import Any

import click
from rich.text import Text

from anamnos.cli.context import Target, command, print_json
from anamnos.cli.render import console, safe, table, when
from anamnos.errors import StoreError


@click.group("audit")
def audit() -> None:
    """Show and check the record of who did what."""


@command("list", scope=False)
@click.option("--memory", "cube_id", metavar="ID", help="About this memory.")
@click.option("--principal", metavar="NAME", help="By them: user:ann, or a pseudonym whose name was forgotten.")
@click.option("--verb", metavar="VERB", help="add, update, transition, share, delete, get, search …")
@click.option("--denied", is_flag=True, help="Only what was refused.")
@click.option("--after", default=0, show_default=True, help="Behind the entry of this number.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(min=1), help="So many at most.")
def list_(target: Target, denied: bool, **wanted: Any) -> None:
    """List entries, oldest first.

    \b
    Example:
      anamnos audit list --denied
    """
    with target.open() as memory:
        found = memory.audit.list(decision="denied" if denied else None, **wanted)
        head = memory.audit.head()
    if target.as_json:
        print_json({"entries": [seen.to_dict() for seen in found], "head": head})
        return
    rows = table("no", "at", "who", "verb", "memory", "version", "purpose", "decision", right=("no",))
    for seen in found:
        entry = seen.entry
        versions = " → ".join("·" if v is None else str(v) for v in (entry.before, entry.after))
        rows.add_row(
            str(entry.seq),
            when(entry.at),
            safe(seen.principal or "the application"),
            entry.verb,
            entry.cube_id or "",
            versions if entry.before or entry.after else "",
            safe(entry.purpose or ""),
            Text(entry.decision, style="red" if entry.decision == "denied" else "green"),
        )
    console().print(rows)


@command("verify", scope=False)
@click.option("--head", metavar="HASH", help="A hash that audit list gave before: that entry must still be there.")
def verify(target: Target, head: str | None) -> None:
    """Check that no entry was changed or taken out.

    Keep the head that this prints somewhere else: without it, an end that was cut off cannot be seen.

    \b
    Example:
      anamnos audit verify
    """
    with target.open() as memory:
        problems, now = memory.audit.verify(head), memory.audit.head()
    if target.as_json:
        print_json({"ok": not problems, "problems": problems, "head": now})
    else:
        for problem in problems:
            console().print(Text(safe(problem), style="red"))
        console().print(Text("whole" if not problems else "", style="green"), Text(f"head {now}"))
    if problems:
        raise StoreError(f"The audit has {len(problems)} problems.", hint="Compare it with a backup.")


audit.add_command(list_)
audit.add_command(verify)
