"""Every error becomes a message on standard error and an exit status."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from anamnos.errors import (
    AccessDenied,
    AnamnosError,
    Busy,
    ConfigError,
    Conflict,
    Corrupt,
    InvalidInput,
    LimitExceeded,
    MigrationNeeded,
    NotFound,
    ProviderError,
)
from anamnos.memory import Memory

from .conftest import Cli

KINDS = [InvalidInput, NotFound, AccessDenied, Conflict, ConfigError, Corrupt, Busy, MigrationNeeded, ProviderError]


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def search(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(Memory, "search", search)


@pytest.mark.parametrize("kind", [*KINDS, LimitExceeded])
def test_each_error_has_its_status(anamnos: Cli, monkeypatch: pytest.MonkeyPatch, kind: type[AnamnosError]) -> None:
    anamnos.add("x")
    failing(monkeypatch, kind("It went wrong.", hint="Do this."))
    result = anamnos.run("search", "x", code=kind.exit_code)
    assert result.stderr == "error: It went wrong.\nhint: Do this.\n"
    assert result.stdout == ""
    told = anamnos.run("search", "x", "--json", code=kind.exit_code)
    assert json.loads(told.stderr) == kind("It went wrong.", hint="Do this.").to_dict()
    assert told.stdout == ""


def test_a_fault_of_ours(anamnos: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    anamnos.add("x")
    failing(monkeypatch, RuntimeError("boom"))
    result = anamnos.run("search", "x", code=1)
    assert "RuntimeError: boom" in result.stderr
    assert "ANAMNOS_DEBUG=1" in result.stderr
    assert "Traceback" not in result.stderr
    assert "Traceback" in anamnos.run("search", "x", code=1, ANAMNOS_DEBUG="1").stderr
    assert json.loads(anamnos.run("search", "x", "--json", code=1).stderr)["error"] == "internal"


def test_an_interruption(anamnos: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    anamnos.add("x")
    failing(monkeypatch, KeyboardInterrupt())
    assert "stopped" in anamnos.run("search", "x", code=130).stderr


def test_a_closed_pipe(anamnos: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    anamnos.add("x")
    failing(monkeypatch, BrokenPipeError(32, "Broken pipe"))
    assert anamnos.run("search", "x", code=141).stderr == ""


def test_a_wrong_option_as_json(anamnos: Cli) -> None:
    error = json.loads(anamnos.run("search", "x", "--colour", "--json", code=2).stderr)
    assert error["error"] == "usage"
    assert "--colour" in error["message"]
    assert error["hint"] == "See: anamnos search --help"


def test_a_vault_that_is_no_database(anamnos: Cli) -> None:
    anamnos.vault.mkdir()
    (anamnos.vault / "anamnos.db").write_bytes(b"x" * 9000)
    assert "damaged" in anamnos.run("list", code=7).stderr


def test_another_embedder_than_the_vaults(anamnos: Cli) -> None:
    anamnos.add("x")
    error = anamnos.run("list", "--embedder", "openai:m@http://localhost:1/v1", code=6).stderr
    assert "anamnos reembed" in error


def test_a_text_that_is_too_long(anamnos: Cli) -> None:
    assert anamnos.run("add", "abcdef", code=9, ANAMNOS_MAX_TEXT_CHARS="5").stderr


@pytest.mark.skipif(sys.platform == "win32", reason="a reader that goes away is another error there")
def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    anamnos = f"{sys.executable} -m anamnos.cli.main"
    environment = f"ANAMNOS_VAULT={tmp_path} ANAMNOS_EMBEDDER=hashing ANAMNOS_USER=ann"
    script = f"export {environment}; {anamnos} add hello >/dev/null; {anamnos} list | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() in ("0", "141")
    assert done.stderr == ""
