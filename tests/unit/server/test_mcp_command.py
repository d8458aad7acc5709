"""``anamnos mcp``: what it prints for the settings of an assistant, the import, and what it refuses."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from anamnos import Memory, Scope
from anamnos.cli.main import cli


def run(vault: Path, *words: str, code: int = 0) -> Result:
    env = {"ANAMNOS_VAULT": str(vault), "ANAMNOS_EMBEDDER": "hashing", "ANAMNOS_USER": None, "COLUMNS": "120"}
    result = CliRunner(env=env).invoke(cli, ["mcp", *words], prog_name="anamnos")
    assert result.exit_code == code, (result.exit_code, result.stdout, result.stderr, result.exception)
    return result


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    return tmp_path / "vault"


def printed(vault: Path, *words: str) -> Any:
    return json.loads(run(vault, *words).stdout)


def test_the_settings_of_a_desktop_assistant_start_this_command(vault: Path) -> None:
    said = printed(vault, "--user", "ann", "--print-config")
    server = said["mcpServers"]["memory"]
    assert server["args"][-5:] == ["mcp", "--vault", str(vault), "--user", "ann"]
    assert Path(server["command"]).is_absolute()
    more = ["--tenant", "two", "--agent", "tutor", "--session", "s", "--embedder", "hashing", "--reference"]
    told = printed(vault, "--user", "ann", *more, "--print-config=desktop")["mcpServers"]["memory"]["args"]
    wanted = ["--tenant", "two", "--user", "ann", "--agent", "tutor", "--session", "s", "--embedder", "hashing"]
    assert told[-11:] == [*wanted, "--reference"]
    assert not vault.exists()  # it only prints


def test_the_settings_of_an_ide_have_its_names(vault: Path) -> None:
    server = printed(vault, "--user", "ann", "--print-config=vscode")["servers"]["memory"]
    assert (server["type"], server["args"][-1]) == ("stdio", "ann")


def test_the_settings_for_http_name_the_address_and_no_key(vault: Path) -> None:
    server = printed(vault, "--http", "--port", "9000", "--print-config")["mcpServers"]["memory"]
    assert server == {
        "type": "http",
        "url": "http://127.0.0.1:9000/mcp",
        "headers": {"Authorization": "Bearer KEY"},
    }


def test_settings_that_could_not_work_are_not_printed(vault: Path) -> None:
    assert "Nobody is named" in run(vault, "--print-config", code=2).stderr


@pytest.mark.parametrize("words", [["--port", "1"], ["--host", "127.0.0.1"], ["--auth", "none"]])
def test_options_of_http_need_it(vault: Path, words: list[str]) -> None:
    assert "--http" in run(vault, "--user", "ann", *words, code=6).stderr


def test_a_file_of_the_reference_server_is_imported(vault: Path, tmp_path: Path) -> None:
    file = tmp_path / "memory.jsonl"
    item = {"type": "entity", "name": "Ada", "entityType": "person", "observations": ["Sails"]}
    file.write_text(json.dumps(item), "utf-8")
    assert run(vault, "--user", "ann", "--import", str(file)).stdout == "New: 1 entities and 0 relations.\n"
    assert printed(vault, "--user", "ann", "--import", str(file), "--json") == {"entities": 0, "relations": 0}
    with Memory(vault, embedder="hashing") as memory:
        assert {cube.text for cube in memory.list(Scope(user="ann"))} == {"Ada (person)", "Ada: Sails"}
    file.write_text("nonsense", "utf-8")
    assert "line 1" in run(vault, "--user", "ann", "--import", str(file), code=2).stderr
