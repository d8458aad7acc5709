"""Charts: well-formed, described, and with points where they belong."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from itertools import pairwise
from pathlib import Path

import pytest

from anamnos.bench.plots import line_chart, write_chart
from anamnos.errors import InvalidInput

SVG = "{http://www.w3.org/2000/svg}"


def chart(series: dict[str, list[tuple[float, float]]], **options: object) -> ElementTree.Element:
    words = {"title": "Recall < 1 & more", "x_label": "k", "y_label": "recall", **options}
    return ElementTree.fromstring(line_chart(series, **words))  # type: ignore[arg-type]


def test_points_are_where_they_belong() -> None:
    root = chart({"a": [(1, 0.0), (10, 0.5), (100, 1.0)]}, log_x=True)
    points = [tuple(map(float, p.split(","))) for p in root.find(f"{SVG}polyline").get("points").split()]  # type: ignore[union-attr]
    (x1, y1), (x2, y2), (x3, y3) = points
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.2), "a decade is a decade"
    assert y1 - y2 == pytest.approx(y2 - y3, abs=0.2)
    assert y1 > y3, "up is more"


def test_it_tells_its_content_in_words() -> None:
    root = chart({"first": [(1, 0.25)], "second": [(1, 0.75)]})
    assert root.get("role") == "img"
    assert root.find(f"{SVG}title").text == "Recall < 1 & more"  # type: ignore[union-attr]
    assert root.find(f"{SVG}desc").text == "first: 0.25 at 1; second: 0.75 at 1"  # type: ignore[union-attr]
    assert set(root.get("aria-labelledby", "").split()) == {e.get("id") for e in root if e.get("id")}
    assert root.get("id") != chart({"other": [(1, 0.25)]}).get("id"), "several charts can stand on one page"


def test_labels_do_not_cover_each_other() -> None:
    root = chart({name: [(1, 0.5), (2, 0.5)] for name in ("one", "two", "three")})
    heights = sorted(float(t.get("y", 0)) for t in root.iter(f"{SVG}text") if t.text in ("one", "two", "three"))
    assert all(b - a >= 14 for a, b in pairwise(heights))
    low = chart({name: [(1, 0.0)] for name in ("one", "two", "three")})
    assert max(float(t.get("y", 0)) for t in low.iter(f"{SVG}text") if t.text == "three") < 360


def test_as_many_systems_as_are_compared_can_be_told_apart() -> None:
    names = [f"system {n}" for n in range(7)]
    root = chart({name: [(1, 0.5), (2, 0.5)] for name in names})
    lines = root.findall(f"{SVG}polyline")
    assert len({line.get("stroke") for line in lines}) == len({line.get("stroke-dasharray") for line in lines}) == 7
    heights = sorted(float(t.get("y", 0)) for t in root.iter(f"{SVG}text") if t.text in names)
    assert len(heights) == 7
    assert all(b - a >= 14 for a, b in pairwise(heights))


def test_it_follows_the_pages_colours(tmp_path: Path) -> None:
    svg = line_chart({"a": [(1, 1)]}, title="t", x_label="x", y_label="y")
    assert "prefers-color-scheme: dark" in svg
    assert 'fill="currentColor"' in svg
    assert not re.search(r'fill="(white|#fff)', svg)
    write_chart(tmp_path / "new" / "c.svg", svg)
    assert (tmp_path / "new" / "c.svg").read_text("utf-8") == svg


@pytest.mark.parametrize(
    "series",
    [{}, {"a": []}, {str(n): [(1.0, 1.0)] for n in range(9)}, {"a": [(1.0, float("nan"))]}, {"a": [(0.0, 1.0)]}],
)
def test_what_cannot_be_drawn_is_refused(series: dict[str, list[tuple[float, float]]]) -> None:
    with pytest.raises(InvalidInput):
        line_chart(series, title="t", x_label="x", y_label="y", log_x=True)
