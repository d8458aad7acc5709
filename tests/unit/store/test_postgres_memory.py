"""The verbs and the command line on a vault whose memories are on a server."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

pytest.importorskip("psycopg")

from anamnos import Memory, Scope
from anamnos.cli.main import cli
from anamnos.errors import AccessDenied, ConfigError, NotFound

ANN = Scope(user="ann")


def opened(folder: Path, store: str, **settings: Any) -> Memory:
    return Memory(folder, store=store, embedder="hashing", **settings)


def test_the_verbs_work_on_a_server(tmp_path: Path, postgres_url: str) -> None:
    with opened(tmp_path / "vault", postgres_url) as memory:
        assert not (tmp_path / "vault" / "anamnos.db").exists()
        (one,) = memory.add("Ann lives in Oslo.", ANN).ids
        (two,) = memory.add("Ann plays the harp.", ANN).ids
        assert memory.search("Where does Ann live?", ANN)[0].id == one
        memory.update(one, ANN, content="Ann lives in Rome.")
        assert [each.text for each in memory.history(one, ANN)] == ["Ann lives in Oslo.", "Ann lives in Rome."]
        memory.consolidate(ANN)
        receipt = memory.delete(two, ANN)
        assert receipt.state == "erased"
        with pytest.raises(NotFound):
            memory.get(two, ANN)
        assert [hit.id for hit in memory.search("harp", ANN)] == [one]
        assert [seen.entry.verb for seen in memory.audit.list(verb="add")] == ["add", "add"]
        assert memory.audit.verify() == []
        assert memory.verify() == []
        assert memory.vault.sizes()["database"] > 0
        with pytest.raises(ConfigError, match="server"):
            memory.backup(tmp_path / "copy")
    with opened(tmp_path / "another machine", postgres_url) as memory:
        assert memory.search("Rome", ANN)[0].id == one


def test_two_processes_write_at_once_and_lose_nothing(tmp_path: Path, postgres_url: str) -> None:
    script = (
        "import sys; from anamnos import Memory, Scope\n"
        "memory = Memory(sys.argv[1], store=sys.argv[2], embedder='hashing')\n"
        "for n in range(20): memory.add(f'{sys.argv[3]} said {n}', Scope(user='ann'))\n"
        "memory.close()"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path / name), postgres_url, name]) for name in "ab"
    ]
    assert [child.wait(timeout=60) for child in children] == [0, 0]
    with opened(tmp_path / "a", postgres_url) as memory:
        said = sorted(f"{name} said {n}" for name in "ab" for n in range(20))
        assert sorted(cube.text for cube in memory.list(ANN)) == said
        assert memory.audit.verify() == []
        assert memory.verify() == []


def test_a_principal_sees_what_it_may_on_a_server(tmp_path: Path, postgres_url: str) -> None:
    with opened(tmp_path, postgres_url) as memory:
        (one,) = memory.add("Ann lives in Oslo.", ANN).ids
        memory.policy.register("user:bob")
    with opened(tmp_path, postgres_url, principal="user:bob") as memory:
        assert memory.search("Oslo", ANN) == []
        with pytest.raises((AccessDenied, NotFound)):
            memory.update(one, ANN, content="Ann lives in Rome.")


def test_the_command_line_finds_the_server_in_the_settings(tmp_path: Path, postgres_url: str) -> None:
    def run(*words: str, code: int = 0) -> Any:
        result = CliRunner(env=env).invoke(cli, [*words, "--json"], prog_name="anamnos")
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)

    env = {"ANAMNOS_VAULT": str(tmp_path), "ANAMNOS_EMBEDDER": "hashing", "ANAMNOS_USER": "ann"}
    (tmp_path / "anamnos.toml").write_text(f'store = "{postgres_url}"\n')
    (one,) = run("add", "Ann lives in Oslo.")["ids"]
    assert [hit["id"] for hit in run("search", "Oslo")["hits"]] == [one]
    assert run("stats")["memories"] == 1
    checks = {check["name"]: check for check in run("doctor")["checks"]}
    assert checks["agreement"]["status"] == "ok"
    assert run("delete", one, "--yes")["state"] == "erased"


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://ann:sec/ret@host/db",
        "postgresql://ann:se@cret@host/db",
        "postgresql://host/db?password=secret&sslmode=require",
        "mysql://ann:secret@host/db",
    ],
)
def test_no_password_is_shown(tmp_path: Path, address: str) -> None:
    env = {"ANAMNOS_VAULT": str(tmp_path), "ANAMNOS_STORE": address, "ANAMNOS_USER": "ann", "COLUMNS": "200"}
    for words in (["config", "show"], ["config", "show", "--json"], ["stats"], ["doctor"], ["add", "x"]):
        result = CliRunner(env=env).invoke(cli, words, prog_name="anamnos")
        assert not [part for part in ("cret", "sec/ret") if part in result.output], words


def test_an_address_of_no_engine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="mysql") as caught:
        opened(tmp_path, "mysql://ann:secret@host/db")
    assert "secret" not in str(caught.value)
