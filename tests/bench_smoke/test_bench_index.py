"""The benchmark of vector indexes runs at 2,000 vectors, keeps its results, and says what failed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from anamnos.bench.index import data, run
from anamnos.bench.index.curves import promises, reading
from anamnos.bench.index.made import clustered, enlarged, neighbours, unit
from anamnos.bench.index.memory import cached_mb, cpu_s, forget, processes, resident
from anamnos.bench.index.texts import sentences
from anamnos.bench.peers import ann
from anamnos.bench.report_index import index_charts
from anamnos.cli.bench import bench
from anamnos.errors import ConfigError, InvalidInput

COUNT, DIM = 2_000, 16
PLAN = run.Plan(queries=20, rounds=1, budget_s=1.0, churn_rows=400)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with a small set where the large hard one would be."""
    folder = tmp_path_factory.mktemp("cache")
    rows = clustered(COUNT + 30, DIM, seed=1)
    np.save(folder / "hard.npy", rows[30:])
    np.save(folder / "hard.queries.npy", rows[:30])
    return folder


@pytest.fixture(scope="module")
def results(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of NumPy, of a stub that guesses, and of one that fails, measured one after the other."""
    path = tmp_path_factory.mktemp("results") / "results.json"
    known = dict(ann.ANN_PEERS)
    for name, place in (("guess", "Guess"), ("broken", "Broken")):
        ann.ANN_PEERS[name] = ann.AnnPeer(name, f"tests.bench_smoke.stub_index:{place}")
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(run, "own_code", lambda: {"PYTHONPATH": str(Path(__file__).parents[2])})
            for name in ("numpy", "guess", "broken"):
                run.run_index(["hard"], {name: None}, PLAN, cache=cache, results=path)
            run.run_index(["hard"], {"numpy": None, "guess": None}, PLAN, cache=cache, sizes=[500], results=path)
    finally:
        ann.ANN_PEERS.clear()
        ann.ANN_PEERS.update(known)
    return path


def test_every_figure_is_there(results: Path) -> None:
    found = json.loads(results.read_text("utf-8"))
    assert set(found["runs"]) == {f"hard-{COUNT}", "hard-500"}
    numpy = found["runs"][f"hard-{COUNT}"]["numpy"]
    (point,) = numpy["search"]["curve"]
    assert point["recall"] == 1.0
    assert point["bytes"] == COUNT * DIM * 4
    assert numpy["search"]["cold"]["searches"] == 20
    assert {name: found["recall"] for name, found in numpy["search"]["filters"].items()} == {
        "random_1": 1.0,
        "topic_1": 1.0,
        "random_01": 1.0,
        "topic_01": 1.0,
    }
    churn = numpy["churn"]
    assert (churn["live"], churn["changed"]) == (200, 100)
    assert churn["after"]["recall"] == churn["fresh"]["recall"] == 1.0
    assert numpy["build"]["disk_bytes"] >= COUNT * DIM * 4
    assert found["bandwidth"]["gb_per_s"] > 0.1


def test_effort_is_swept_and_failures_are_told(results: Path) -> None:
    found = json.loads(results.read_text("utf-8"))["runs"][f"hard-{COUNT}"]
    guessed = found["guess"]["search"]["curve"]
    assert [point["effort"] for point in guessed] == [50, 500, 2_000]
    assert guessed[0]["recall"] < guessed[1]["recall"] < guessed[2]["recall"] == 1.0
    assert "filters" not in found["guess"]["search"]
    assert found["guess"]["churn"]["error"] == "rows cannot be inserted and deleted"
    assert found["broken"] == {"build": found["broken"]["build"]}
    assert "no such luck" in found["broken"]["build"]["error"]


def test_the_section_and_charts_are_made_of_the_file(results: Path, tmp_path: Path) -> None:
    page, plots = tmp_path / "page.md", tmp_path / "plots"
    asked = ["index", "--results", str(results), "--cache", str(tmp_path), "--report", str(page), "--plot", str(plots)]
    done = CliRunner().invoke(bench, [*asked, "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    text = page.read_text("utf-8")
    assert f"### hard, {COUNT:,}" in text
    assert "| numpy | 1.000 |" in text
    assert "broken, build: RuntimeError: no such luck" in text
    assert "| quickest of ours | **numpy** | **numpy** |" in text
    assert "plots/index-growth.svg" in text
    assert set(index_charts(json.loads(done.output))) == {f"index-hard-{COUNT}", "index-growth"}
    assert {path.name for path in plots.iterdir()} >= {"index-growth.svg"}


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--set", "moon", "--peer", "numpy"], InvalidInput),
        (["--set", "hard", "--peer", "abacus"], InvalidInput),
        (["--set", "hard", "--peer", "numpy", "--size", "many"], InvalidInput),
        (["--set", "hard", "--peer", "numpy", "--step", "dance"], InvalidInput),
        (["--set", "hard", "--peer", "hnswlib"], ConfigError),
        ([], InvalidInput),
    ],
)
def test_bad_options_are_refused(options: list[str], error: type[Exception], tmp_path: Path) -> None:
    done = CliRunner().invoke(bench, ["index", *options, "--cache", str(tmp_path)])
    assert isinstance(done.exception, error)


def test_other_files_are_not_results(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("{}", "utf-8")
    with pytest.raises(InvalidInput, match="no results"):
        run.load_results(tmp_path / "other.json")
    (tmp_path / "torn.json").write_text("{", "utf-8")
    with pytest.raises(InvalidInput, match="not JSON"):
        run.load_results(tmp_path / "torn.json")


def test_exact_neighbours_are_those_of_a_sort(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "_BLOCK", 64)
    rows = clustered(300, DIM, seed=2)
    places, cosines = data.nearest(rows[20:], rows[:20], 7)
    scores = rows[:20] @ rows[20:].T
    assert np.array_equal(places, np.argsort(-scores, axis=1, kind="stable")[:, :7])
    assert np.allclose(cosines, -np.sort(-scores, axis=1)[:, :7])


def test_made_vectors_are_unit_length_and_the_same_again() -> None:
    rows = unit(np.random.default_rng(0).standard_normal((200, DIM)).astype(np.float32))
    larger = enlarged(rows, 900, seed=3)
    assert larger.shape == (900, DIM)
    assert np.allclose(np.linalg.norm(larger, axis=1), 1, atol=1e-5)
    assert np.array_equal(larger, enlarged(rows, 900, seed=3))
    assert np.isin(rows[:, 0], larger[:, 0]).all(), "the real ones are among them"
    near = neighbours(rows)
    assert near.shape == (200, 12)
    assert not (near == np.arange(200)[:, None]).any()


def test_texts_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no texts"):
        sentences(tmp_path)
    (tmp_path / "books").mkdir()
    (tmp_path / "books" / "one.txt").write_text("The cat sat on\nthe mat today. Short.\n\nThe dog went home again!\n")
    (tmp_path / "locomo").mkdir()
    (tmp_path / "locomo" / "a.json").write_text(
        json.dumps({"a long key that is no text": ["The cat sat on the mat today."]})
    )
    (tmp_path / "locomo" / "b.txt").write_text('"A line of JSON in a file of lines."\nA line without JSON in it.\n')
    assert sorted(sentences(tmp_path)) == [
        "A line of JSON in a file of lines.",
        "A line without JSON in it.",
        "The cat sat on the mat today.",
        "The dog went home again!",
    ]


def test_readings_lie_between_points() -> None:
    curve = [{"recall": 0.8, "wall_us": 10.0}, {"recall": 0.7, "wall_us": 15.0}, {"recall": 1.0, "wall_us": 40.0}]
    found = reading(curve, 0.9)
    assert found is not None
    assert found.value == pytest.approx(20.0), "a point that is worse than one before is passed over"
    assert reading(curve, 0.9, "bytes") is None
    assert reading([], 0.9) is None


def test_promises_are_kept_or_not() -> None:
    def system(us: float, mb: float, cpu: float) -> dict[str, Any]:
        curve = [{"recall": 0.9, "wall_us": us}, {"recall": 1.0, "wall_us": us}]
        memory = {"anonymous_mb": mb, "shared_mb": 0.0, "idle_mb": 0.0}
        return {"build": {"cpu_s": cpu}, "search": {"curve": curve, "memory": memory}}

    runs = {"million-1000000": {"spann": system(140.0, 80.0, 50.0), "usearch": system(100.0, 700.0, 200.0)}}
    kept = {limit["name"]: limit["ok"] for limit in promises(runs)}
    assert kept == {
        "search at recall 0.95, a million": True,
        "search at recall 0.98, a million": False,
        "memory, a million": True,
        "build, a million": False,
    }


def test_memory_of_processes_and_files_is_seen(tmp_path: Path) -> None:
    import os

    own = processes(os.getpid())
    assert os.getpid() in own
    before = resident(own)["anonymous_mb"]
    held = np.ones(5_000_000)
    assert 30 < resident(own)["anonymous_mb"] - before < 50
    assert held.sum() == 5_000_000
    assert cpu_s(own) > 0
    path = tmp_path / "rows.npy"
    np.save(path, held)
    np.load(path).sum()
    assert cached_mb([path]) > 30
    forget([path])
    assert cached_mb([path]) <= 40, "what a file system in memory holds cannot be dropped"
