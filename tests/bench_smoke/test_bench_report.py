"""Sections of the page: written once, found again, nothing else touched."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from anamnos.bench.report import section_name, with_section, write_report
from anamnos.cli.bench import bench


def test_a_section_is_replaced_and_the_rest_stays() -> None:
    page = with_section("# Page\n\nBefore.\n", "one", "Old.") + "\nAfter.\n"
    page = with_section(page, "two", "Second.")
    changed = with_section(page, "one", "New.")
    assert "Old." not in changed
    assert changed.replace("New.", "Old.") == page
    assert with_section(changed, "one", "New.") == changed


@pytest.mark.parametrize("kind", ["locomo", "speed"])
def test_writing_a_result_twice_changes_nothing(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    result = request.getfixturevalue(f"{kind}_result")
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
