"""Charts as SVG, with nothing but text: readable in light and dark, labelled at the ends of lines and bars.

Its text is dark on light pages and light on dark ones, as the reader's system says; lines differ by colour, dash and
label, parts of bars by colour and order, never by colour alone.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from anamnos.errors import InvalidInput

Point = tuple[float, float]
_WIDTH, _HEIGHT = 720.0, 400.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 60.0, 190.0, 44.0, 52.0
_LABEL_STEP = 15.0
_TICK_STEP = 34.0
_NAMES, _TOTALS, _BAR = 170, 70, 18.0  # of bars: room for names and totals, thickness
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8800ff", "#773311")
"""Told apart by colour-blind eyes, and from light and dark pages."""
DASHES = ("", "7 4", "2 3", "10 3 2 3", "4 2", "1 4", "14 4", "8 2 2 2 2 2")
MAX_SERIES = len(COLOURS)


def line_chart(
    series: Mapping[str, Sequence[Point]],
    *,
    title: str,
    x_label: str,
    y_label: str,
    log_x: bool = False,
    y_range: tuple[float, float] | None = (0.0, 1.0),
) -> str:
    """Return a chart as one SVG document.

    series   name -> (x, y) points, at least one each; at most eight series
    log_x    space x by its logarithm; x must be above 0
    y_range  lowest and highest y shown; None: those of the points
    Raises: InvalidInput if there is nothing to draw, or more than can be told apart.
    """
    points = [point for line in series.values() for point in line]
    if not series or not all(series.values()) or len(series) > MAX_SERIES:
        raise InvalidInput(f"A chart needs 1 to {MAX_SERIES} series with points, got {len(series)}.")
    if not all(math.isfinite(value) for point in points for value in point) or (log_x and min(points)[0] <= 0):
        raise InvalidInput("A chart needs finite points, above 0 on a logarithmic axis.")
    xs = sorted({x for x, _ in points})
    low, high = y_range or (min(y for _, y in points), max(y for _, y in points))
    high = high if high > low else low + 1

    def across(x: float) -> float:
        scaled, first, last = ((math.log(v) if log_x else v) for v in (x, xs[0], xs[-1]))
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * ((scaled - first) / (last - first) if last > first else 0.5)

    def down(y: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - (y - low) / (high - low))

    told = "; ".join(f"{name}: " + ", ".join(f"{y:.3g} at {x:g}" for x, y in line) for name, line in series.items())
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    body = [
        *_grid([low + (high - low) * n / 5 for n in range(6)], xs, across, down),
        f'<text x="{_LEFT}" y="24" font-size="15" font-weight="bold">{escape(title)}</text>',
        f'<text x="{middle:.1f}" y="{_HEIGHT - 10}" text-anchor="middle">{escape(x_label)}</text>',
        f'<text transform="translate(16 {(_TOP + _HEIGHT - _BOTTOM) / 2:.1f}) rotate(-90)" text-anchor="middle">'
        f"{escape(y_label)}</text>",
    ]
    ends = _apart([down(line[-1][1]) for line in series.values()], _HEIGHT - _BOTTOM)
    for (label, line), colour, dash, label_y in zip(series.items(), COLOURS, DASHES, ends, strict=False):
        path = " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in line)
        body.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/>'
        )
        body += [f'<circle cx="{across(x):.1f}" cy="{down(y):.1f}" r="3" fill="{colour}"/>' for x, y in line]
        body.append(f'<text x="{_WIDTH - _RIGHT + 10}" y="{label_y + 4:.1f}">{escape(label)}</text>')
        body.append(
            f'<line x1="{across(line[-1][0]) + 4:.1f}" y1="{down(line[-1][1]):.1f}" x2="{_WIDTH - _RIGHT + 7}"'
            f' y2="{label_y:.1f}" stroke="{colour}" stroke-width="1"/>'
        )
    return document(title, told, body, _HEIGHT)


@dataclass(frozen=True, slots=True)
class Panel:
    """Bars that share an axis: ``rows`` maps name -> part -> value >= 0; ``parts`` gives the order of the parts."""

    title: str
    rows: Mapping[str, Mapping[str, float]]
    parts: Sequence[str]


def bar_chart(panels: Sequence[Panel], *, title: str) -> str:
    """Return panels of lying bars below each other as one SVG document; parts of a bar follow one another.

    Raises: InvalidInput if there is nothing to draw, or more parts than can be told apart.
    """
    if not panels or not all(0 < len(panel.parts) <= MAX_SERIES and panel.rows for panel in panels):
        raise InvalidInput(f"A chart of bars needs panels with rows of 1 to {MAX_SERIES} parts.")
    body = [f'<text x="{_NAMES}" y="24" font-size="15" font-weight="bold">{escape(title)}</text>']
    told = []
    top = _TOP + 8
    for panel in panels:
        totals = {name: sum(parts.values()) for name, parts in panel.rows.items()}
        told.append(f"{panel.title}: " + ", ".join(f"{name} {total:.3g}" for name, total in totals.items()))
        scale = (_WIDTH - _NAMES - _TOTALS) / (max(totals.values()) or 1)
        body.append(f'<text x="{_NAMES}" y="{top:g}" font-weight="bold">{escape(panel.title)}</text>')
        legend = float(_NAMES)
        for part, colour in zip(panel.parts, COLOURS, strict=False):
            body.append(f'<rect x="{legend:.0f}" y="{top + 9:g}" width="10" height="10" fill="{colour}"/>')
            body.append(f'<text x="{legend + 14:.0f}" y="{top + 18:g}">{escape(part)}</text>')
            legend += 30 + 6.2 * len(part)
        top += 28
        for name, parts in panel.rows.items():
            x = float(_NAMES)
            middle = top + _BAR / 2 + 4
            body.append(f'<text x="{_NAMES - 8}" y="{middle:g}" text-anchor="end">{escape(name)}</text>')
            for part, colour in zip(panel.parts, COLOURS, strict=False):
                width = parts.get(part, 0.0) * scale
                body.append(
                    f'<rect x="{x:.1f}" y="{top:g}" width="{width:.1f}" height="{_BAR:g}" fill="{colour}">'
                    f"<title>{escape(f'{name}, {part}: {parts.get(part, 0.0):.3g}')}</title></rect>"
                )
                x += width
            body.append(f'<text x="{x + 6:.1f}" y="{middle:g}">{totals[name]:,.1f}</text>')
            top += _BAR + 6
        top += 30
    return document(title, "; ".join(told), body, top - 20)


def document(title: str, told: str, body: Sequence[str], height: float) -> str:
    """Return an SVG document of elements; ``told`` says in words what is seen."""
    name = f"chart-{zlib.crc32(told.encode()):08x}"
    colours = f"#{name} {{ color: #222 }} @media (prefers-color-scheme: dark) {{ #{name} {{ color: #ddd }} }}"
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" id="{name}" viewBox="0 0 {_WIDTH:g} {height:g}" role="img"'
        f' aria-labelledby="{name}-title {name}-description" font-family="system-ui, sans-serif" font-size="12"'
        ' fill="currentColor">',
        f'<title id="{name}-title">{escape(title)}</title>',
        f'<desc id="{name}-description">{escape(told)}</desc>',
        f"<style>{colours}</style>",
    )
    return "\n".join([*head, *body, "</svg>\n"])


def recall_chart(result: Mapping[str, Any]) -> str:
    """Return recall against depth of a retrieval benchmark's result: any, all and share of the right ones."""
    names = {"recall_any": "any", "recall_frac": "share", "recall_all": "all"}
    series = {}
    for level, groups in result["levels"].items():
        figures = groups.get("all", {})
        for metric, short in names.items():
            depths = sorted(int(name.partition("@")[2]) for name in figures if name.startswith(f"{metric}@"))
            if depths:
                series[f"{level}, {short}"] = [(float(k), float(figures[f"{metric}@{k}"])) for k in depths]
    title = f"{result['title']}: recall by depth"
    return line_chart(series, title=title, x_label="hits looked at (k)", y_label="recall", log_x=True)


def write_chart(path: Path, svg: str) -> None:
    """Write a chart to ``path``, whose folders are made if they are not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(svg, "utf-8")


def _grid(levels: Sequence[float], xs: Sequence[float], across: Any, down: Any) -> list[str]:
    right = _WIDTH - _RIGHT
    lines = []
    for y in levels:
        lines.append(
            f'<line x1="{_LEFT}" y1="{down(y):.1f}" x2="{right}" y2="{down(y):.1f}" stroke="currentColor"'
            ' stroke-opacity="0.15"/>'
        )
        lines.append(f'<text x="{_LEFT - 8}" y="{down(y) + 4:.1f}" text-anchor="end">{y:.3g}</text>')
    last = -math.inf
    for x in xs[:: max(1, math.ceil(len(xs) / 10))]:
        if across(x) - last >= _TICK_STEP:
            last = across(x)
            lines.append(f'<text x="{last:.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{x:g}</text>')
    return lines


def _apart(wanted: Sequence[float], lowest: float) -> list[float]:
    """Return the heights of labels, moved so that none covers another and none is below ``lowest``.

    >>> _apart([100.0, 100.0, 50.0], 300.0), _apart([100.0, 100.0], 100.0)
    ([100.0, 115.0, 50.0], [85.0, 100.0])
    """
    placed = list(wanted)
    order = sorted(range(len(wanted)), key=lambda n: wanted[n])
    last = -math.inf
    for place in order:
        placed[place] = last = max(wanted[place], last + _LABEL_STEP)
    last = lowest + _LABEL_STEP
    for place in reversed(order):
        placed[place] = last = min(placed[place], last - _LABEL_STEP)
    return placed
