"""Sections of the page: written once, found again, nothing else touched."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from anamnos.bench.report import section_name, with_section, write_report
from anamnos.cli.bench import bench

COMPARED: dict[str, Any] = {
    "benchmark": "compare",
    "command": "anamnos bench compare",
    "date": "2024-05-01",
    "seconds": 3.0,
    "top_k": 10,
    "rounds": 1,
    "versions": {"python": "3.11"},
    "machine": {"cpus": 2, "cpu": "any", "system": "any", "load_average": []},
    "data": {"name": "tiny.json", "sha256": "0" * 64, "conversations": 1, "turns": 5},
    "embedder": {"id": "hashing"},
    "systems": {
        name: {
            "versions": {name: "1"},
            "notes": ["as | it is"],
            "n": 4,
            "recall_frac@10": 0.5,
            "add": {"per_s": 10.0, "embedding_share": 0.5},
            "search": {"p50_ms": 1.0, "p95_ms": 2.0, "embedding_share": 0.5},
            "disk_bytes_per_memory": 100.0,
        }
        for name in ("anamnos", "mem0")
    },
}


def test_a_section_is_replaced_and_the_rest_stays() -> None:
    page = with_section("# Page\n\nBefore.\n", "one", "Old.") + "\nAfter.\n"
    page = with_section(page, "two", "Second.")
    changed = with_section(page, "one", "New.")
    assert "Old." not in changed
    assert changed.replace("New.", "Old.") == page
    assert with_section(changed, "one", "New.") == changed


@pytest.mark.parametrize("kind", ["locomo", "speed", "compare"])
def test_writing_a_result_twice_changes_nothing(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    result = COMPARED if kind == "compare" else request.getfixturevalue(f"{kind}_result")
    path = tmp_path / "docs" / "benchmarks.md"
    write_report(path, result)
    first = path.read_text("utf-8")
    write_report(path, result)
    assert path.read_text("utf-8") == first
    assert f"<!-- bench:{section_name(result)} -->" in first
    assert str(tmp_path) not in first
    tables = [line for line in first.splitlines() if line.startswith("|")]
    assert tables
    assert all(line.endswith("|") for line in tables)


def test_the_command_prints_json_and_writes_the_page(locomo_data: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    command = [
        "locomo",
        "--data",
        str(locomo_data),
        "--embedder",
        "hashing",
        "--repeats",
        "1",
        "--json",
        "--out",
        str(page),
    ]
    done = CliRunner().invoke(bench, command)
    assert done.exit_code == 0, done.output
    assert '"benchmark": "locomo"' in done.stdout
    assert "recall_frac@25" in page.read_text("utf-8")


def test_the_command_names_what_is_missing(locomo_data: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(
        bench, ["compare", "--data", str(locomo_data), "--peer", "mem0", "--env", str(tmp_path / "nowhere")]
    )
    assert done.exception is not None
    assert "anamnos bench peers setup mem0" in str(done.exception)
    done = CliRunner().invoke(bench, ["compare", "--data", str(locomo_data), "--peer", "x", "--env", str(tmp_path)])
    assert "There is no peer 'x'" in str(done.exception)
