"""``anamnos tags``."""

from __future__ import annotations

from .conftest import Cli


def test_tags_are_suggested_and_corrected(anamnos: Cli) -> None:
    anamnos.add("The bread is in the oven.")
    assert "No memory of this scope" in anamnos.run("tags", "suggest", "the ferry").stdout
    ferry = anamnos.add("The ferry to Naxos leaves at noon.", "--tag", "travel")
    anamnos.add("The roses need water.", "--tag", "garden")
    (best,) = anamnos.json("tags", "suggest", "Is the ferry late?", "-k", "1")["suggestions"]
    assert (best["tag"], best["because"]) == ("travel", [ferry])
    shown = anamnos.run("tags", "suggest", "Is the ferry late?").stdout
    assert f"travel  because of {ferry}" in shown
    anamnos.run("update", ferry, "--tag", "islands")
    assert anamnos.json("tags", "suggest", "Is the ferry late?", "-k", "1")["suggestions"][0]["tag"] == "islands"
    anamnos.run("tags", "suggest", "the ferry", "-k", "0", code=2)


def test_sure_tags_are_given_if_the_setting_says_so(anamnos: Cli) -> None:
    for text in ("The ferry to Naxos leaves at noon.", "Book the ferry to Naxos."):
        anamnos.add(text, "--tag", "travel")
    anamnos.add("The roses need water.", "--tag", "garden")
    new = anamnos.json("add", "The ferry to Naxos leaves at noon now.", ANAMNOS_TAGGING="auto")["ids"][0]
    assert anamnos.json("get", new)["annotations"]["tags"] == ["travel"]
