"""``anamnos lifecycle``."""

from .conftest import Cli


def test_a_memory_is_held_archived_and_brought_back(anamnos: Cli) -> None:
    one = anamnos.add("the spare key")
    for verb, state in (("freeze", "frozen"), ("unfreeze", "generated"), ("archive", "archived")):
        assert anamnos.json("lifecycle", verb, one)["outcomes"] == ["updated"]
        assert anamnos.json("get", one).get("lifecycle", {"state": "generated"})["state"] == state
    assert anamnos.json("search", "key")["hits"] == []
    assert "updated" in anamnos.run("lifecycle", "reactivate", one).stdout
    assert len(anamnos.json("search", "key")["hits"]) == 1


def test_what_is_frozen_is_not_deleted(anamnos: Cli) -> None:
    one = anamnos.add("the spare key")
    anamnos.run("lifecycle", "freeze", one)
    refused = anamnos.run("delete", one, "--yes", code=4)
    assert "frozen" in refused.stderr


def test_a_memory_and_a_scope_are_rolled_back(anamnos: Cli) -> None:
    one = anamnos.add("the spare key")
    anamnos.run("update", one, "--text", "the old key")
    anamnos.run("lifecycle", "rollback", one, "--version", "1")
    assert anamnos.json("get", one)["content"] == "the spare key"
    anamnos.run("lifecycle", "rollback", "--to", "2001-01-01", "--yes")
    assert anamnos.json("list")["memories"] == []
    assert "--yes" in anamnos.run("lifecycle", "rollback", "--to", "2001-01-01", code=2).stderr
    assert "--version or --to" in anamnos.run("lifecycle", "rollback", one, code=2).stderr


def test_a_memory_gets_another_role_and_its_own_again(anamnos: Cli) -> None:
    one = anamnos.add("I water the fern on Mondays")
    anamnos.run("lifecycle", "migrate", one, "--role", "procedure", "--text", "Water the fern")
    moved = anamnos.json("get", one)
    assert (moved["role"], moved["content"]) == ("procedure", "Water the fern")
    anamnos.run("lifecycle", "migrate", one, "--back")
    assert anamnos.json("get", one)["role"] == "note"
    assert anamnos.json("lifecycle", "advise") == []
    assert "where they serve best" in anamnos.run("lifecycle", "advise").stdout
