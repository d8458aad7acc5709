"""The table of OWASP ASVS names tests that are there, and says something of each chapter."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "security-asvs.md"


def test_each_named_test_is_there() -> None:
    named = re.findall(r"`([\w/]+\.py)::(test_\w+)`", PAGE.read_text("utf-8"))
    assert len(named) > 40
    for file, name in named:
        assert f"def {name}(" in (ROOT / "tests" / file).read_text("utf-8"), (file, name)


def test_each_chapter_is_spoken_of_and_each_point_has_a_test_a_reason_or_is_a_gap() -> None:
    text = PAGE.read_text("utf-8")
    assert [int(n) for n in re.findall(r"^## V(\d+) ", text, re.MULTILINE)] == list(range(1, 15))
    rows = re.findall(r"^\| (\d+\.\d+\.\d+[^|]*)\|([^|]*)\|([^|]*)\|$", text, re.MULTILINE)
    assert len(rows) > 60
    for point, done, test in rows:
        assert done.strip() and ("::" in test or "does not apply" in done or "gap" in test), point
    points = [point.strip().split()[0] for point, _, _ in rows]
    assert len(points) == len(set(points))
