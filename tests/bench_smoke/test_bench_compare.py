"""Several systems side by side: what is asked of them, the figures, the section and the charts."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from anamnos.bench import compare
from anamnos.bench.report import section, section_name
from anamnos.bench.report_compare import compare_charts
from anamnos.bench.timing import quiet
from anamnos.cli.bench import bench
from anamnos.errors import ConfigError, InvalidInput


def _answer(system: str, request: Mapping[str, Any], *, backwards: bool) -> dict[str, Any]:
    """Return what an adapter would: all turns of the case in order, or the other way round."""
    speed = {"n": 3, "per_s": 10.0, "p50_ms": 1.0, "p95_ms": 2.0, "embedding_share": 0.5}
    ranked = {}
    for case in request["cases"]:
        turns = [turn["id"] for turn in case["turns"]][:: -1 if backwards else 1]
        ranked |= {query["id"]: turns for query in case["queries"]}
    return {
        "system": system,
        "versions": {system: "1"},
        "notes": ["as | it is"],
        "embedder": "hashing",
        "ranked": ranked,
        "add": None if backwards else speed,
        "search": speed,
        "disk_bytes": 0 if backwards else 600,
        **({"bulk": {"per_s": 7.0}} if backwards else {}),
    }


@pytest.fixture
def compared(locomo_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Anamnos beside one system that ranks the other way round, on the tiny file, with canned answers."""

    def run_child(command: list[str], request: Mapping[str, Any], progress: object, **_: object) -> dict[str, Any]:
        ours = command[-1].endswith(".ours")
        return _answer("anamnos" if ours else "dense", request, backwards=not ours)

    monkeypatch.setattr(compare, "run_child", run_child)
    monkeypatch.setattr(compare, "DEPTHS", (1, 3))
    return compare.run_compare(locomo_data, {"dense": None}, rounds=2)


def test_figures_are_those_worked_out_by_hand(compared: dict[str, Any]) -> None:
    """The evidence stands at D1:1; D1:2 and D2:2; D2:1 of four turns in the first talk, at D1:1 of two in the second.

    In order, recall_frac@1 is 1, 0, 0, 1 and @3 is 1, 1/2, 1, 1; backwards 0, 1/2, 0, 0 and 0, 1, 1, 1.
    """
    ours, other = (compared["systems"][name] for name in ("anamnos", "dense"))
    assert compared["data"]["questions"] == 4  # the one without evidence is left out
    assert ours["recall"]["all"] == {"n": 4, "recall_frac@1": 0.5, "recall_frac@3": 0.875}
    assert other["recall"]["all"] == {"n": 4, "recall_frac@1": 0.125, "recall_frac@3": 0.75}
    assert ours["recall"]["cat4"] == {"n": 2, "recall_frac@1": 1.0, "recall_frac@3": 1.0}
    assert (ours["curve"][0], ours["curve"][2], ours["curve"][24]) == (0.5, 0.875, 1.0)
    assert "anamnos_ahead" not in ours
    ahead = other["anamnos_ahead"]["recall_frac@1"]
    assert ahead["mean"] == 0.375
    assert ahead["interval"] == [0.1667, 1.0]  # (1 - 1/2 + 0) / 3 in the first talk, 1 in the second
    assert ours["disk_bytes_per_memory"] == 100.0


def test_the_section_tells_what_a_system_does_not_have(compared: dict[str, Any]) -> None:
    compared["command"] = "anamnos bench compare"
    for system in compared["systems"].values():  # the page shows 5, 10 and 25
        for group in system["recall"].values():
            group["recall_frac@10"] = group["recall_frac@3"]
        for figures in filter(None, [system.get("anamnos_ahead")]):
            figures["recall_frac@10"] = figures["recall_frac@3"]
    page = section(compared)
    assert section_name(compared) == "compare"
    assert "| dense | +0.375 [0.167, 1.000] |" in page
    assert "| dense | 1.0 ms median, 2.0 ms p95 | 50% | – | – | 7/s | – |" in page
    assert "as / it is" in page
    for name, svg in compare_charts(compared).items():
        words = " ".join(ElementTree.fromstring(svg).itertext())
        assert ("dense" in words) == (name != "compare-size")  # it keeps nothing on the disk
        assert "anamnos" in words


def test_two_systems_really_run(locomo_data: Path, tmp_path: Path) -> None:
    words = ["compare", "--data", str(locomo_data), "--peer", "dense", "--embedder", "hashing", "--rounds", "1"]
    done = CliRunner().invoke(bench, [*words, "--plot", str(tmp_path / "plots"), "--json"])
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    for system in result["systems"].values():
        assert system["recall"]["all"]["recall_frac@25"] == 1.0  # there are six turns
        assert 0 < system["search"]["embedding_share"] < 1
        assert system["disk_bytes_per_memory"] > 0
    assert len(list((tmp_path / "plots").glob("compare-*.svg"))) == 4


def test_the_command_names_what_is_missing(locomo_data: Path, tmp_path: Path) -> None:
    for named, missing in (
        (["mem0"], "anamnos bench peers setup mem0 --env DIR"),
        ([f"mem0={tmp_path / 'nowhere'}"], f"anamnos bench peers setup mem0 --env {tmp_path / 'nowhere'}"),
        (["x"], "There is no peer 'x'"),
        (["dense", "dense"], "'dense' is named twice"),
    ):
        words = [word for name in named for word in ("--peer", name)]
        done = CliRunner().invoke(bench, ["compare", "--data", str(locomo_data), *words])
        assert isinstance(done.exception, ConfigError | InvalidInput)
        assert missing in str(done.exception)
    with pytest.raises(InvalidInput, match="no peer to compare"):
        compare.run_compare(locomo_data, {}, progress=quiet)


def test_the_peers_are_listed_and_dense_needs_no_environment(tmp_path: Path) -> None:
    done = CliRunner().invoke(bench, ["peers", "list", "--json"])
    assert json.loads(done.stdout)["dense"] == []
    assert "mem0ai==2.2.*" in json.loads(done.stdout)["mem0"]
    done = CliRunner().invoke(bench, ["peers", "setup", "dense", "--env", str(tmp_path)])
    assert "needs no environment" in str(done.exception)
