"""Maps as SVG."""

from xml.etree import ElementTree

import pytest

from anamnos.bench.associative.drawing import heat_map
from anamnos.errors import InvalidInput

CELLS = {(x / 10, y / 10): x * y / 4 for x in range(3) for y in range(3)}
LABELS = {"title": "A <map>", "x_label": "load", "y_label": "heat", "value_label": "overlap"}


def test_a_map_has_its_cells_and_lines() -> None:
    drawn = heat_map(CELLS, {"border": [(0.0, 0.2), (0.1, 0.1), (5.0, 0.1)]}, **LABELS)
    root = ElementTree.fromstring(drawn)
    titles = [node.text for node in root.iter() if node.tag.endswith("title")]
    assert titles[0] == "A <map>"
    assert "0.2, 0.2: 1.00" in titles
    lines = [node for node in root.iter() if node.tag.endswith("polyline")]
    assert len(lines) == 1
    assert len(lines[0].attrib["points"].split()) == 2  # the third lies outside


@pytest.mark.parametrize("cells", [{}, {(0.0, 0.0): 0.5, (1.0, 0.0): 0.5}, {**CELLS, (0.0, 0.0): 1.5}])
def test_what_is_no_map_is_refused(cells: dict[tuple[float, float], float]) -> None:
    with pytest.raises(InvalidInput):
        heat_map(cells, {}, **LABELS)
