"""The experiments of the associative memories, on small samples."""

import json
import os
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from click.testing import CliRunner

from anamnos.bench.associative import EXPERIMENTS
from anamnos.bench.associative.experiment import Setting, chart_file
from anamnos.bench.associative.run import run_associative
from anamnos.bench.report import section, section_name
from anamnos.cli.bench import bench
from anamnos.errors import InvalidInput

DATA = Path(os.environ["ANAMNOS_DATA"]) if "ANAMNOS_DATA" in os.environ else None


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_runs_and_can_be_shown(name: str, tmp_path: Path) -> None:
    [result] = run_associative([name], Setting(DATA, (0,), quick=True), plots=tmp_path)
    experiment = result["experiment"]
    assert json.loads(json.dumps(result))["experiment"]["name"] == name
    assert experiment["title"]
    assert experiment["said"]
    for table in experiment["tables"]:
        assert table["rows"]
        assert {len(row) for row in table["rows"]} == {len(table["head"])}
    for chart in experiment["charts"]:
        ET.fromstring((tmp_path / chart_file(chart)).read_text("utf-8"))
    shown = section(result)
    assert "no results" in shown
    assert all(row[0].replace("|", "/") in shown for table in experiment["tables"] for row in table["rows"])
    assert section_name(result) == f"associative-{name.replace('_', '-')}"


def test_an_unknown_experiment_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no experiment"):
        run_associative(["telepathy"], Setting())


def test_the_command_lists_what_there_is() -> None:
    told = CliRunner().invoke(bench, ["associative", "--list", "--json"])
    assert json.loads(told.output) == list(EXPERIMENTS)


def test_the_command_writes_a_section_and_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    words = ["associative", "sdr", "ca3", "--quick", "--seeds", "1", "--report", str(page)]
    monkeypatch.setattr("sys.argv", ["anamnos", "bench", *words])
    done = CliRunner().invoke(bench, words, catch_exceptions=False)
    assert done.exit_code == 0
    written = page.read_text("utf-8")
    assert "<!-- bench:associative-sdr -->" in written
    assert "`anamnos bench associative ca3 --quick --seeds 1`" in written
