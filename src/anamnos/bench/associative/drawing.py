"""Charts of the associative experiments that ``anamnos.bench.plots`` has not: maps of a figure over a plane."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from anamnos.bench.plots import COLOURS, DASHES, MAX_SERIES, Point, document
from anamnos.errors import InvalidInput

_WIDTH, _HEIGHT = 720.0, 420.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 66.0, 200.0, 44.0, 60.0
_SHADE = "#0072b2"


def heat_map(
    cells: Mapping[Point, float],
    lines: Mapping[str, Sequence[Point]],
    *,
    title: str,
    x_label: str,
    y_label: str,
    value_label: str,
) -> str:
    """Return a map as one SVG document: cells shaded by their value, lines over them.

    cells  (x, y) of a regular grid -> value in [0, 1], the darker the nearer to 1
    lines  name -> points of at least two; what lies outside the grid is left out
    Raises: InvalidInput if there is nothing to draw, or a value is no share.
    """
    xs, ys = (sorted({place[axis] for place in cells}) for axis in (0, 1))
    if len(xs) < 2 or len(ys) < 2 or len(lines) >= MAX_SERIES:
        raise InvalidInput(f"A map needs at least 2 x 2 cells and at most {MAX_SERIES - 1} lines.")
    if not all(math.isfinite(v) and 0 <= v <= 1 for v in cells.values()):
        raise InvalidInput("The values of a map must be shares from 0 to 1.")
    step_x, step_y = xs[1] - xs[0], ys[1] - ys[0]
    low_x, high_x, low_y, high_y = xs[0] - step_x / 2, xs[-1] + step_x / 2, ys[0] - step_y / 2, ys[-1] + step_y / 2

    def across(x: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (x - low_x) / (high_x - low_x)

    def down(y: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - (y - low_y) / (high_y - low_y))

    width, height = across(xs[1]) - across(xs[0]), down(ys[0]) - down(ys[1])
    body = [f'<text x="{_LEFT}" y="24" font-size="15" font-weight="bold">{escape(title)}</text>']
    for (x, y), value in cells.items():
        body.append(
            f'<rect x="{across(x) - width / 2:.1f}" y="{down(y) - height / 2:.1f}" width="{width:.1f}"'
            f' height="{height:.1f}" fill="{_SHADE}" fill-opacity="{0.85 * value:.2f}">'
            f"<title>{escape(f'{x:.3g}, {y:.3g}: {value:.2f}')}</title></rect>"
        )
    for x in xs[:: max(1, math.ceil(len(xs) / 8))]:
        body.append(f'<text x="{across(x):.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{x:.3g}</text>')
    for y in ys[:: max(1, math.ceil(len(ys) / 8))]:
        body.append(f'<text x="{_LEFT - 8}" y="{down(y) + 4:.1f}" text-anchor="end">{y:.3g}</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    body += [
        f'<text x="{middle:.1f}" y="{_HEIGHT - 12}" text-anchor="middle">{escape(x_label)}</text>',
        f'<text transform="translate(16 {(_TOP + _HEIGHT - _BOTTOM) / 2:.1f}) rotate(-90)" text-anchor="middle">'
        f"{escape(y_label)}</text>",
    ]
    legend = _WIDTH - _RIGHT + 14
    for number, (name, points) in enumerate(lines.items()):
        inside = [(x, y) for x, y in points if low_x <= x <= high_x and low_y <= y <= high_y]
        colour, dash, y_name = COLOURS[number + 1], DASHES[number], _TOP + 12 + 22 * number
        path = " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in inside)
        stroke = f'fill="none" stroke="{colour}" stroke-width="2.5" stroke-dasharray="{dash}"'
        body.append(f'<polyline points="{path}" {stroke}/>')
        body.append(f'<line x1="{legend}" y1="{y_name - 4}" x2="{legend + 26}" y2="{y_name - 4}" {stroke}/>')
        body.append(f'<text x="{legend + 32}" y="{y_name}">{escape(name)}</text>')
    top = _HEIGHT - _BOTTOM - 60
    for number in range(6):
        body.append(
            f'<rect x="{legend + 20 * number}" y="{top}" width="20" height="14" fill="{_SHADE}"'
            f' fill-opacity="{0.85 * number / 5:.2f}" stroke="currentColor" stroke-opacity="0.15"/>'
        )
    body.append(f'<text x="{legend}" y="{top + 30}">{escape(f"0 to 1: {value_label}")}</text>')
    told = f"{value_label} at {x_label}, {y_label}: " + "; ".join(
        f"{x:.3g}, {y:.3g}: {v:.2f}" for (x, y), v in cells.items()
    )
    return document(title, told, body, _HEIGHT)
