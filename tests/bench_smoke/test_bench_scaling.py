"""The model of sizes agrees with what was measured at its small end, and with what it must be at any."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner

from anamnos.bench.report_scaling import scaling_chart, scaling_section
from anamnos.bench.scaling import (
    RECALLS,
    SIZES,
    Assumptions,
    Machine,
    Point,
    build_hours,
    compared,
    disk_bytes,
    fitted,
    plan,
    ram_bytes,
    read_points,
    run_scaling,
    search,
    simulate,
)
from anamnos.cli.main import cli
from anamnos.errors import InvalidInput

A = Assumptions()


def test_a_fit_finds_what_points_were_made_with() -> None:
    """And says of the size that was left out what it is."""
    true = replace(A, lists={0.90: (30.0, 0.1), 0.95: (70.0, 0.2), 0.98: (150.0, 0.25)}, entry_ns=31.0, query_us=150.0)
    points = []
    for count in (50_000, 100_000, 500_000, 1_000_000):
        for recall in RECALLS:
            said = search(count, recall, true)
            points.append(Point("made", count, recall, said.cpu_us, said.scanned_bytes, 1.0))
    found = fitted(points, A)
    assert found.lists == true.lists
    assert (found.entry_ns, found.query_us) == pytest.approx((31.0, 150.0), rel=0.01)
    rows = compared(points, found)
    assert {row["vectors"] for row in rows if not row["fitted"]} == {1_000_000}
    assert all(row["cpu_us"][2] == pytest.approx(1, abs=0.02) for row in rows)
    with pytest.raises(InvalidInput, match="three sizes"):
        fitted(points[:6], A)


def test_a_disk_read_takes_what_one_took() -> None:
    """A cold query of the prototype that read 48 lists, 3.6 MB, at once: 3.0 ms."""
    lists = {0.95: (48.0, 0.0)}
    prototype = replace(A, width=384, per_head=122.0, copies=1.65, lists=lists)
    found = simulate(10**6, 0.95, replace(prototype, reranked=0, query_us=0, entry_ns=0, head_ns=0), cold=True)
    assert 2.4 < found["p50_ms"] < 3.6


def test_by_hand() -> None:
    a = replace(
        A, dim=100, width=100, per_head=100, copies=2, entry_overhead=0, row_ram=8, exact_row=400, store_row=1_000
    )
    a = replace(a, lists={0.9: (10.0, 0.5)}, cells=4, reranked=0, head_ns=10, entry_ns=10, list_us=1, query_us=5)
    found = search(1_000_000, 0.9, a)
    assert (found.heads, found.lists, found.entries, found.scanned_bytes) == (500, 10, 2_000, 200_000)
    assert found.cpu_us == pytest.approx(5 + 20 + 10 + 5)
    assert found.list_bytes == 10 * (200 * 100 + 4_096)
    assert search(4_000_000, 0.9, a).lists == 20
    assert disk_bytes(10, a) == {"lists": 2_000, "exact rows": 4_000, "everything else": 10_000}
    assert ram_bytes(1_000, a) == 10 * 532 + 8_000
    assert search(100, 0.9, a).lists == 1  # never more than there are
    one = Machine("one", 1, 1, 1, 10)
    assert plan(10_000, replace(a, machines=(one,), fill=1.0)).count == 1
    assert plan(1_000_000, replace(a, machines=(one,), fill=1.0)).count == 2  # 1.6 GB
    assert plan(1_000_000, replace(a, machines=(one,), fill=1.0)).bound_by == "disk"


def test_more_is_never_less() -> None:
    for recall in RECALLS:
        costs = [search(count, recall, A) for count in SIZES]
        assert all(less.entries <= more.entries + 1e-6 for less, more in pairwise(costs))
        slow = [simulate(count, recall, A, queries=200, cold=True) for count in SIZES[:4]]
        assert all(one["p50_ms"] <= one["p99_ms"] for one in slow)
    assert [plan(count, A).count * plan(count, A).machine.usd for count in SIZES] == sorted(
        plan(count, A).count * plan(count, A).machine.usd for count in SIZES
    )
    one, two = (simulate(10_000_000, 0.95, A, machines=number) for number in (1, 8))
    assert two["mb_read"] > one["mb_read"]  # each machine reads lists of its own
    assert simulate(10**6, 0.9, A) == simulate(10**6, 0.9, A)
    assert build_hours(2 * 10**6, 1, A) > 2 * build_hours(10**6, 1, A)


def measured() -> dict[str, object]:
    runs, sets = {}, {}
    for count in (50_000, 100_000, 200_000):
        points = ((8, 0.8, 100), (64, 0.96, 500))
        curve = [{"effort": n, "recall": r, "cpu_us": us, "wall_us": us, "bytes": 10_000 * us} for n, r, us in points]
        name = f"million-{count}"
        runs[name] = {"anamnos spann": {"search": {"curve": curve}, "build": {"disk_bytes": 7}}, "hnswlib": {}}
        sets[name] = {"count": count, "dim": 384}
    return {"benchmark": "index", "sets": sets, "runs": runs}


def test_measured_points_stand_beside_the_model(tmp_path: Path) -> None:
    points = read_points(measured())
    assert [point.recall for point in points] == 3 * [0.90, 0.95]  # the curves end below 0.98
    assert points[0].cpu_us == pytest.approx(350)
    assert points[0].scanned_bytes == pytest.approx(10_000 * 350)
    (row,) = compared(points[:1], A)
    assert row["cpu_us"][2] == pytest.approx(search(50_000, 0.9, A).cpu_us / 350)
    for wrong in ({"benchmark": "speed"}, {**measured(), "runs": {}}):
        with pytest.raises(InvalidInput):
            read_points(wrong)
    with pytest.raises(InvalidInput, match="recall"):
        search(10, 0.5, A)


def test_the_page_says_what_is_model_only(tmp_path: Path) -> None:
    result = run_scaling(read_points(measured()), sizes=(10_000, 10_000_000))
    text = scaling_section(result)
    assert "model only" in text and "fitted to" in text and "left out" in text
    assert text.count("| 10,000,000 |") == 1 + len(RECALLS)
    assert scaling_chart(result).startswith("<svg")
    (tmp_path / "points.json").write_text(json.dumps(measured()))
    page, plot = tmp_path / "page.md", tmp_path / "plots" / "x.svg"
    words = ["bench", "scaling", "--points", str(tmp_path / "points.json"), "--report", str(page), "--plot", str(plot)]
    done = CliRunner().invoke(cli, [*words, "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["benchmark"] == "scaling"
    assert page.read_text().count("<!-- bench:scaling -->") == 1 and plot.exists()
