"""Draw the pictures of docs/tutorial/superposition.md: python tools/draw_superposition.py

The page's own code makes the memory, so that words and pictures cannot differ.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from anamnos.bench.plots import line_chart

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "tutorial" / "superposition.md"
FOLDER = ROOT / "docs" / "images"
_CELL = 9.0
_BLUE, _ORANGE = "#0072b2", "#d55e00"


def names_of_page() -> dict[str, Any]:
    """Return what the Python blocks of the page define."""
    names: dict[str, Any] = {}
    code = "\n".join(re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE))
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(code, str(PAGE), "exec"), names)  # noqa: S102
    return names


def cells(bits: Any, x: float, y: float, size: float = _CELL) -> str:
    """Return the path of the cells that are on in a (rows, columns) array."""
    return "".join(
        f"M{x + column * size:g} {y + row * size:g}h{size - 1:g}v{size - 1:g}h{1 - size:g}z"
        for row, column in np.argwhere(bits).tolist()
    )


def frame(rows: int, columns: int, x: float, y: float, size: float = _CELL) -> str:
    width, height = columns * size + 1, rows * size + 1
    return (
        f'<rect x="{x - 1:g}" y="{y - 1:g}" width="{width:g}" height="{height:g}" fill="none"'
        ' stroke="currentColor" stroke-opacity="0.3"/>'
    )


def grid(bits: Any, x: float, y: float, colour: str, size: float = _CELL) -> list[str]:
    return [frame(*np.shape(bits), x, y, size), f'<path d="{cells(bits, x, y, size)}" fill="{colour}"/>']


def text(words: str, x: float, y: float, anchor: str = "start") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}">{words}</text>'


def document(name: str, title: str, body: Iterable[str], width: float, height: float) -> str:
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" id="{name}" viewBox="0 0 {width:g} {height:g}" role="img"'
            f' aria-label="{title}" font-family="system-ui, sans-serif" font-size="13" fill="currentColor">',
            f"<style>#{name} {{ color: #222 }}"
            f" @media (prefers-color-scheme: dark) {{ #{name} {{ color: #ddd }} }}</style>",
            *body,
            "</svg>\n",
        ]
    )


def as_grid(winners: Sequence[int], units: int) -> Any:
    """Return a code as (units, modules) bits: one on per column."""
    bits = np.zeros((units, len(winners)), dtype=bool)
    bits[winners, np.arange(len(winners))] = True
    return bits


def codes(names: dict[str, Any]) -> str:
    """Letters and the codes that they got; what a code has in common with that of E is orange."""
    shown, first = "EPX", as_grid(names["code"]["E"], 8)
    body = []
    for place, letter in enumerate(shown):
        y = 30 + place * 150
        code = as_grid(names["code"][letter], 8)
        body += [text(letter, 8, y + 60), *grid(names["letters"][letter].reshape(12, 12), 40, y, "currentColor")]
        same = f"{int((code & first).sum())} of 24 winners as for E" if place else "one winner in each of 24 modules"
        body += [text(same, 200, y + 8)]
        body += grid(code & ~first, 200, y + 18, _BLUE, 14)
        body += [f'<path d="{cells(code & first, 200, y + 18, 14)}" fill="{_ORANGE}"/>']
    return document("superposition-codes", "Three letters and their codes", body, 560, 480)


def units(names: dict[str, Any]) -> str:
    """The weights of four units once all letters are stored: each is the union of those that share it."""
    body = []
    for place, (owners, weights) in enumerate(names["shared_units"]):
        x = 10 + place * 135
        body += [*grid(np.reshape(weights, (12, 12)), x, 30, _BLUE), text(" + ".join(owners), x + 54, 158, "middle")]
    return document("superposition-units", "The weights of four units, each the union of letters", body, 560, 175)


def completion(names: dict[str, Any]) -> str:
    """A damaged letter, and what comes back."""
    body = []
    for place, (words, bits) in enumerate((("cue", names["half"]), ("comes back", names["whole"]))):
        x = 10 + place * 170
        colour = "currentColor" if place == 0 else _BLUE
        body += [text(words, x, 20), *grid(np.reshape(bits, (12, 12)), x, 30, colour)]
    body += [text("→", 140, 90)]
    return document("superposition-completion", "Half an E brings back the whole", body, 560, 150)


def overfull(names: dict[str, Any]) -> str:
    points = names["points"]
    series = {
        "recalled": [(n, right) for n, right, _, _ in points],
        "G of what is known": [(n, known) for n, _, known, _ in points],
        "G of what is new": [(n, new) for n, _, _, new in points],
    }
    return line_chart(series, title="One field, more and more items", x_label="items stored", y_label="share")


PICTURES: dict[str, Callable[[dict[str, Any]], str]] = {
    "superposition-codes.svg": codes,
    "superposition-units.svg": units,
    "superposition-completion.svg": completion,
    "superposition-overfull.svg": overfull,
}


def drawn() -> dict[str, str]:
    """Return every picture by the name of its file."""
    names = names_of_page()
    return {name: draw(names) for name, draw in PICTURES.items()}


if __name__ == "__main__":
    for name, svg in drawn().items():
        (FOLDER / name).write_text(svg, "utf-8")
