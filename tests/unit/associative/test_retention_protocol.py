"""The protocol of recognition, recall and retention, and the run beside public code where there is none."""

import sys
from typing import Any

import numpy as np
import pytest

from anamnos.associative import SYSTEMS
from anamnos.bench.associative import peers, retention
from anamnos.bench.associative.experiment import Setting
from anamnos.bench.associative.retention import ADAPTERS, Adapter


@pytest.mark.parametrize("name", sorted(ADAPTERS))
def test_foils_are_what_they_are_called(name: str) -> None:
    adapter, rng = ADAPTERS[name], np.random.default_rng(0)
    keys = adapter.keys(rng, 5)
    near, mixed, half = adapter.near(rng, keys), adapter.recombined(keys), adapter.length // 2
    on = [(key > 0).sum() for key in keys]
    if adapter.kind == "sparse":
        assert {*on, *((key > 0).sum() for key in near), *((key > 0).sum() for key in mixed)} == {adapter.active}
        changed = max(1, round(0.1 * adapter.active))
        assert all((key & other).sum() == adapter.active - changed for key, other in zip(keys, near, strict=True))
    else:
        assert ((keys != near).sum(axis=1) == round(0.1 * adapter.length)).all()
    assert np.array_equal(mixed[0], np.concatenate([keys[0, :half], keys[1, half:]]))
    assert adapter.overlap(keys[0], keys[0]) == 1
    assert adapter.overlap(mixed[0], keys[0]) < 0.95
    assert adapter.system in SYSTEMS


def test_an_exact_store_keeps_everything() -> None:
    rows = retention.retention(ADAPTERS["exact slots (hopfield)"], 10, (0, 1, 20), seed=0)
    assert all(row[name] == 1 for row in rows for name in (*retention.FOILS, "recall", "newest"))


@pytest.mark.filterwarnings("ignore::anamnos.associative.base.CapacityWarning")
def test_an_overfull_store_loses_the_old_and_the_new() -> None:
    small = Adapter("dense-hebbian", {"length": 64, "order": 2, "on_full": "grow"}, "signs", 64)
    first, last = retention.retention(small, 3, (0, 40), seed=0)
    assert first["recall"] == 1
    assert last["recall"] < 0.5
    assert last["newest"] < 0.5


def test_more_exposures_are_counted() -> None:
    row = retention.exposure(ADAPTERS["sdr-filter"], 5, 3, seed=0)
    assert (row["times"], row["random"], row["recall"]) == (3, 1, 1)


def test_peers_that_are_not_installed_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "find_spec", lambda name: None)
    found = peers.run(Setting(quick=True))
    assert found.figures["rows"] == []
    assert set(found.figures["missing"]) == {"torchhd", "brian2"}
    assert any("torchhd was not measured: it is not installed" in line for line in found.said)


def test_peers_of_another_environment_are_asked_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    row = {
        "task": "t",
        "peer": "p",
        "ours_s": 1.0,
        "theirs_s": 2.0,
        "ratio": 2.0,
        "ours_right": 1.0,
        "theirs_right": 0.5,
    }
    asked = []

    def child(command: Any, request: Any, progress: Any, *, environment: Any) -> Any:
        asked.append(command)
        return {"rows": [row], "missing": {"brian2": "it is not installed"}}

    monkeypatch.setattr(peers, "find_spec", lambda name: None)
    monkeypatch.setattr(peers, "run_child", child)
    found = peers.run(Setting(quick=True, environments=(tmp_path,)))
    assert asked[0][0].startswith(str(tmp_path))
    assert asked[0][1:] == ["-m", "anamnos.bench.associative.peers"]
    assert set(found.figures["missing"]) == {"brian2"}
    assert found.limits[0].measured == 0.5
    assert sys.executable not in asked[0]
