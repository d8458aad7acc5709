"""update and delete, and the questions that delete asks."""

from collections.abc import Callable

import pytest

from .conftest import Cli


def test_update_everything(anamnos: Cli) -> None:
    cube_id = anamnos.add("The key is here.", "--tag", "old")
    anamnos.run("update", cube_id, "--text", "-", stdin="It is there.\n")
    receipt = anamnos.json(
        "update", cube_id, "--tag", "new", "--importance", "0.7", "--valid-from", "2025-01-01",
        "--valid-to", "2025-02-01T00:00:00+01:00", "--expected-version", "2",
    )  # fmt: skip
    assert receipt["outcomes"] == ["updated"]
    cube = anamnos.json("get", cube_id)
    assert (cube["version"], cube["content"]) == (3, "It is there.")
    assert cube["annotations"]["tags"] == ["new"]
    assert cube["time"]["valid_to"] == "2025-01-31T23:00:00Z"
    assert "updated" in anamnos.run("update", cube_id, "--no-tags").stdout
    assert "annotations" not in anamnos.json("get", cube_id)


def test_update_refuses(anamnos: Cli) -> None:
    cube_id = anamnos.add("The key is here.")
    assert "Nothing is given" in anamnos.run("update", cube_id, code=2).stderr
    assert "exclude" in anamnos.run("update", cube_id, "--no-tags", "--tag", "x", code=2).stderr
    assert "version" in anamnos.run("update", cube_id, "--text", "x", "--expected-version", "4", code=5).stderr
    assert "no memory" in anamnos.run("update", cube_id, "--text", "x", "--user", "bob", code=3).stderr
    assert anamnos.json("get", cube_id)["version"] == 1


def test_delete_by_id(anamnos: Cli) -> None:
    keep, gone = anamnos.add("stays"), anamnos.add("goes")
    receipt = anamnos.json("delete", gone, "--yes")
    assert receipt["outcomes"] == ["deleted"]
    assert receipt["state"] == "erased"
    assert [cube["id"] for cube in anamnos.json("list")["memories"]] == [keep]
    assert "deleted 1 memory" in anamnos.run("delete", keep, "--yes").stdout


def test_delete_with_nobody_to_ask(anamnos: Cli) -> None:
    cube_id = anamnos.add("stays")
    for words in ([cube_id], ["--all-in-scope"]):
        assert "--yes" in anamnos.run("delete", *words, stdin="y\nann\n", code=2).stderr
    assert len(anamnos.json("list")["memories"]) == 1


@pytest.mark.parametrize(("answer", "code", "left"), [("y\n", 0, 1), ("n\n", 130, 2), ("", 130, 2)])
def test_delete_asks(anamnos: Cli, somebody_is_there: Callable[[], None], answer: str, code: int, left: int) -> None:
    gone = anamnos.add("goes away")
    anamnos.add("stays")
    somebody_is_there()
    result = anamnos.run("delete", gone, stdin=answer, code=code)
    assert f"{gone}  goes away" in result.stderr
    assert "Erase 1 memory" in result.stderr
    assert len(anamnos.json("list")["memories"]) == left


@pytest.mark.parametrize(("answer", "code", "left"), [("ann\n", 0, 0), ("y\n", 130, 12)])
def test_delete_all_asks_for_the_name(
    anamnos: Cli, somebody_is_there: Callable[[], None], answer: str, code: int, left: int
) -> None:
    for number in range(12):
        anamnos.add(f"number {number}")
    anamnos.add("of bob", "--user", "bob")
    somebody_is_there()
    result = anamnos.run("delete", "--all-in-scope", stdin=answer, code=code)
    assert "12 memories" in result.stderr
    assert "and 2 more" in result.stderr
    assert "of bob" not in result.stderr
    assert len(anamnos.json("list")["memories"]) == left
    assert len(anamnos.json("list", "--user", "bob")["memories"]) == 1


def test_delete_refuses(anamnos: Cli) -> None:
    cube_id = anamnos.add("stays")
    assert "--all-in-scope" in anamnos.run("delete", "--yes", code=2).stderr
    assert anamnos.run("delete", cube_id, "--all-in-scope", "--yes", code=2).stderr
    assert anamnos.run("delete", cube_id, "--user", "bob", "--yes", code=3).stderr
    assert len(anamnos.json("list")["memories"]) == 1
