"""The benchmark of the server, small: both sides are called, and memory is watched."""

from typing import Any

import pytest

from anamnos.bench.report import section, section_name
from anamnos.bench.report_serving import serving_chart
from anamnos.bench.serving import growth, run_serving


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    return run_serving(100, clients=3, seconds=1, rounds=1, mixed_minutes=0.1, embedder="hashing")


def test_both_sides_are_called_and_compared(result: dict[str, Any]) -> None:
    for where in ("server", "process"):
        for verb in ("search", "add"):
            figures = result[where][verb]
            assert figures["calls"] > 0
            assert 0 < figures["p50_ms"] <= figures["p95_ms"]
    ratio = result["ratios"]["add"]["calls_per_s"]
    assert ratio == pytest.approx(
        result["server"]["add"]["calls_per_s"] / result["process"]["add"]["calls_per_s"], 0.01
    )


def test_the_page_and_the_chart_say_what_was_measured(result: dict[str, Any]) -> None:
    page = section(result)
    assert "3 clients at once, 100 memories" in page
    assert f"{result['mixed']['calls']:,} calls" in page
    assert serving_chart(result).count("<circle") == len(result["mixed"]["resident_mb"])
    assert (section_name(result), section_name({**result, "rounds": 0})) == ("serve", "serve-load")
    assert "in process" not in section({**result, "ratios": {}, "rounds": 0})


def test_growth_is_from_the_second_fifth_to_the_last() -> None:
    assert growth([1, 100, 100, 100, 125]) == 0.25
    assert growth([7]) == 0
