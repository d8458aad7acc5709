"""``anamnos top``: a live view of what the vault is doing."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
from rich.console import Group, RenderableType
from rich.text import Text

from anamnos.cli.context import Target, command, print_json
from anamnos.cli.jobs import COLOURS, STATES, job_table
from anamnos.cli.render import console, safe, shown, size, table

if TYPE_CHECKING:
    from anamnos.cube import MemCube, Scope
    from anamnos.memory import Memory

_ROWS = 8
_CHARS = 90


@command("top")
@click.option("--once", is_flag=True, help="Print it once and end.")
@click.option("--interval", type=click.FloatRange(0.1), default=1.0, show_default=True, metavar="SECONDS",
              help="How often to look again.")  # fmt: skip
def top(target: Target, once: bool, interval: float) -> None:
    """Watch jobs, working memory, hot memories and sizes.

    Of the named user, or of the whole vault if nobody is named. End it with Ctrl-C. --json prints one look.

    \b
    Example:
      anamnos top --user ann
    """
    scope = target.scope_or_none()
    with target.open(background="worker") as memory:
        if target.as_json:
            print_json(as_dict(memory, scope))
            return
        if once or not console().is_terminal:
            console().print(view(memory, scope))
            return
        from rich.live import Live

        with Live(view(memory, scope), console=console(), screen=True, auto_refresh=False) as live:
            while True:  # until Ctrl-C, which the border of the process reports
                time.sleep(interval)
                live.update(view(memory, scope), refresh=True)


def as_dict(memory: Memory, scope: Scope | None) -> dict[str, Any]:
    """Return one look as JSON data."""
    counts = memory.jobs.counts()
    return {
        "at": datetime.now(UTC).isoformat(),
        "jobs": {state: sum(n for (_, s), n in counts.items() if s == state) for state in STATES},
        "running": [job.to_dict() for job in memory.jobs.list(states=["running"], limit=_ROWS)],
        "dead": [job.to_dict() for job in memory.jobs.list(states=["dead"], limit=_ROWS)],
        "paused": sorted(kind or "*" for kind in memory.jobs.paused()),
        "working": [
            {"scope": whose.to_dict(), "memories": [cube.id for cube in memory.working(whose)]}
            for whose in _working_scopes(memory, scope)
        ],
        "hot": [
            {"id": cube.id, "uses": cube.lifecycle.uses} for cube in memory.vault.store.hottest(scope, limit=_ROWS)
        ],
        "stats": memory.stats(scope),
    }


def view(memory: Memory, scope: Scope | None) -> RenderableType:
    """Return one look for people."""
    stats, counts = memory.stats(scope), memory.jobs.counts()
    parts: list[RenderableType] = [
        Text(f"{stats['vault']} · {scope or 'everybody'} · {stats['memories']:,} memories", style="bold"),
        Text(" · ".join(f"{name} {size(count)}" for name, count in stats["bytes"].items()), style="dim"),
        _jobs_line(counts, memory.jobs.paused()),
    ]
    busy = memory.jobs.list(states=["running"], limit=_ROWS) or memory.jobs.list(limit=_ROWS)
    if busy:
        parts.append(job_table(busy))
    for whose in _working_scopes(memory, scope):
        cubes = memory.working(whose)
        if cubes:
            parts.append(_memories(f"working memory of {whose}", cubes[:_ROWS]))
    if hot := memory.vault.store.hottest(scope, limit=_ROWS):
        parts.append(_memories("used most", hot))
    return Group(*parts)


def _working_scopes(memory: Memory, scope: Scope | None) -> list[Scope]:
    scopes = memory.vault.store.working.scopes()
    return [whose for whose in scopes if scope is None or scope.covers(whose)][:_ROWS]


def _jobs_line(counts: dict[tuple[str, str], int], paused: frozenset[str | None]) -> Text:
    line = Text("jobs ")
    for state in STATES:
        number = sum(n for (_, s), n in counts.items() if s == state)
        line.append(f" {state} {number:,} ", style=COLOURS[state] if number else "dim")
    if paused:
        line.append(f" paused: {', '.join(sorted(kind or 'all' for kind in paused))}", style="yellow")
    return line


def _memories(title: str, cubes: list[MemCube]) -> RenderableType:
    out = table("uses", title, right=("uses",), wide=title)
    for cube in cubes:
        text = " ".join(shown(cube).split())
        out.add_row(str(cube.lifecycle.uses), Text(safe(text if len(text) <= _CHARS else text[: _CHARS - 1] + "…")))
    return out
