"""How things look to people: rich tables that stay readable in a pipe."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from anamnos.cube import MemCube
    from anamnos.types import Hit, PackedContext

PIPE_WIDTH = 120
_BAR = 12


class _Console(Console):
    """A console that leaves it to the border of the process what happens when its reader goes away."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def console() -> Console:
    """Return a console on standard output: colours only in a terminal, a fixed width in a pipe."""
    piped = not sys.stdout.isatty() and not os.environ.get("COLUMNS")
    return _Console(width=PIPE_WIDTH if piped else None, highlight=False, markup=False, emoji=False)


def safe(text: str) -> str:
    """Return ``text`` with control characters made visible: a memory must not steer the terminal."""
    return "".join(c if c in "\n\t" or c.isprintable() or ord(c) > 0x9F else _visible(c) for c in text)


def _visible(char: str) -> str:
    return chr(0x2400 + ord(char)) if ord(char) < 0x20 else "\ufffd"


def shown(cube: MemCube) -> str:
    """Return the content of a memory as it can be shown."""
    if isinstance(cube.content, str):
        return safe(cube.content)
    return f"({cube.content.media_type}, {size(cube.content.size_bytes)})"


def when(time: datetime | None) -> str:
    """Return a time in UTC, to the minute."""
    return time.strftime("%Y-%m-%d %H:%M") if time else "undated"


def size(count: int) -> str:
    """Return a number of bytes as people say it.

    >>> size(512), size(5 * 2**20)
    ('512 B', '5.0 MB')
    """
    if count < 1024:
        return f"{count} B"
    value = count / 1024
    for unit in ("kB", "MB", "GB"):
        if value < 1024:
            return f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TB"


def table(*headings: str, right: Sequence[str] = (), wide: str = "") -> Table:
    """Return an empty table.

    right  headings of columns with numbers
    wide   heading of the column that takes the room that is left
    """
    out = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for heading in headings:
        side = "right" if heading in right else "left"
        ratio = 1 if heading == wide else None
        out.add_column(heading, justify=side, ratio=ratio, no_wrap=heading != wide, overflow="fold")  # type: ignore[arg-type]
    out.expand = bool(wide)
    return out


def pairs(rows: Sequence[tuple[str, str]]) -> Table:
    """Return a table of names and values without a head."""
    out = Table.grid(padding=(0, 2))
    out.add_column(style="dim", no_wrap=True)
    out.add_column(overflow="fold")
    for name, value in rows:
        out.add_row(Text(name), Text(safe(value)))
    return out


def hit_table(hits: Sequence[Hit], *, why: bool = False) -> Table:
    """Return found memories, best first, each with its reasons; ``why`` adds what each channel saw."""
    out = table("#", "similar", "said", "memory", right=("#", "similar"), wide="memory")
    for number, hit in enumerate(hits, start=1):
        cube = hit.cube
        parts: list[RenderableType] = [Text(shown(cube)), Text(f"{safe(hit.reason)} · {cube.id}", style="dim")]
        if why:
            parts.append(_channels(hit))
        said = Group(Text(when(cube.time.created_at)), Text(safe(cube.provenance.actor or ""), style="cyan"))
        out.add_row(str(number), f"{hit.similarity:.2f}", said, Group(*parts))
    return out


def _channels(hit: Hit) -> Table:
    out = Table.grid(padding=(0, 2))
    for side in ("left", "right", "right", "left"):
        out.add_column(justify=side, no_wrap=True)
    out.add_row(*(Text(heading, style="bold") for heading in ("channel", "raw", "share")))
    most = max((abs(score.share) for score in hit.channels.values()), default=0.0) or 1.0
    silent = [name for name, score in hit.channels.items() if score.raw == 0 and score.share == 0]
    for name, score in sorted(hit.channels.items(), key=lambda item: -item[1].share):
        if name in silent:
            continue
        bar = Text("█" * round(abs(score.share) / most * _BAR), style="green" if score.share > 0 else "red")
        out.add_row(name, f"{score.raw:.3f}", f"{score.share:+.3f}", bar)
    if silent:
        out.add_row(Text(f"nothing from {len(silent)} others", style="dim"))
    return out


def cube_table(cubes: Sequence[MemCube]) -> Table:
    """Return memories as a list."""
    out = table("said", "role", "memory", wide="memory")
    for cube in cubes:
        said = Group(Text(when(cube.time.created_at)), Text(safe(cube.provenance.actor or ""), style="cyan"))
        out.add_row(said, str(cube.role), Group(Text(shown(cube)), Text(cube.id, style="dim")))
    return out


def evidence(found: PackedContext) -> Group:
    """Return what answers a question: the best sentence, the context, and what its numbers stand for."""
    cited = table("nr", "said", "who", "id", right=("nr",))
    for number, cube in found.citations.items():
        cited.add_row(
            str(number),
            when(cube.time.created_at),
            Text(safe(cube.provenance.actor or "-"), style="cyan"),
            Text(cube.id, style="dim"),
        )
    return Group(
        Text(safe(found.evidence), style="bold green"),
        Text(),
        Text(safe(found.text)),
        Text(),
        Text(f"{found.tokens:,} tokens, {len(found.citations)} memories", style="dim"),
        cited,
    )
