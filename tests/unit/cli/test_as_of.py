"""search --as-of."""

from datetime import UTC, datetime, timedelta

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
