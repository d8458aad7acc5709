"""--as-of of search, ask, list and get."""

from datetime import UTC, datetime, timedelta

import pytest

from .conftest import Cli


def test_search_as_of_a_time(anamnos: Cli) -> None:
    cube_id = anamnos.add("The spare key is under the blue pot.")
    before = datetime.now(UTC).isoformat()
    anamnos.run("update", cube_id, "--text", "It is under the mat.")
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    for time, content in ((before, "The spare key is under the blue pot."), (tomorrow, "It is under the mat.")):
        (hit,) = anamnos.json("search", "key", "--as-of", time)["hits"]
        assert hit["content"] == content
    assert anamnos.json("search", "key", "--as-of", "2020-01-01")["hits"] == []
    assert "not a time" in anamnos.run("search", "key", "--as-of", "soon", code=2).stderr


@pytest.fixture
def changed(anamnos: Cli) -> tuple[str, str]:
    """Return a memory and a moment before it was changed; another one was written since."""
    cube_id = anamnos.add("The spare key is under the blue pot.")
    before = datetime.now(UTC).isoformat()
    anamnos.run("update", cube_id, "--text", "The spare key is under the mat.")
    anamnos.add("The weather was fine.")
    return cube_id, before


def test_list_and_get_as_of_a_time(anamnos: Cli, changed: tuple[str, str]) -> None:
    cube_id, before = changed
    listed = anamnos.json("list", "--as-of", before, "--limit", "1")
    assert [cube["content"] for cube in listed["memories"]] == ["The spare key is under the blue pot."]
    assert listed["next_after"] is None  # what was written since is no more that could follow
    assert anamnos.json("list", "--limit", "1")["next_after"] == cube_id
    assert anamnos.json("get", cube_id, "--as-of", before)["version"] == 1
    assert anamnos.json("get", cube_id)["version"] == 2
    assert "no memory" in anamnos.run("get", cube_id, "--as-of", "2020-01-01", code=3).stderr
    assert "both say which version" in anamnos.run("get", cube_id, "--as-of", before, "--version", "1", code=2).stderr
    for words in (["list"], ["get", cube_id]):
        assert "not a time" in anamnos.run(*words, "--as-of", "soon", code=2).stderr


def test_ask_as_of_a_time(anamnos: Cli, changed: tuple[str, str]) -> None:
    _, before = changed
    asked = ("ask", "Where is the spare key?")
    assert "blue pot" in anamnos.json(*asked, "--as-of", before)["answer"]
    assert "mat" in anamnos.json(*asked)["answer"]
    assert anamnos.json(*asked, "--as-of", "2020-01-01")["not_in_memory"]
