"""``anamnos resolve``, ``correct``, ``merge`` and ``unmerge``."""

from __future__ import annotations

import json

from .conftest import Cli


def added(anamnos: Cli, text: str) -> str:
    return str(anamnos.json("add", text, "--user", "ann")["ids"][0])


def test_resolve_says_how_much_changed(anamnos: Cli) -> None:
    for text in ("I live in Rome.", "I live in Oslo."):
        added(anamnos, text)
    anamnos.run("enrich", "--user", "ann")
    assert anamnos.json("resolve", "--user", "ann")["changed"] == 2
    assert anamnos.run("resolve", "--user", "ann").stdout.strip() == "changed 0"


def test_correct_changes_and_says_so(anamnos: Cli) -> None:
    key = added(anamnos, "The key is in the pot.")
    done = anamnos.json("correct", "it's the shed, not the pot", "--id", key, "--at", "2024-05-01", "--user", "ann")
    assert (done["ids"], done["outcomes"]) == ([key], ["updated"])
    assert anamnos.json("get", key, "--user", "ann")["content"] == "The key is in the shed."
    assert "Nothing had to change." in anamnos.run("correct", "thanks", "--user", "ann").stdout


def test_merge_and_unmerge(anamnos: Cli) -> None:
    ids = [added(anamnos, text) for text in ("the key is in the pot", "key: pot")]
    assert anamnos.json("merge", *ids, "--user", "ann")["outcomes"] == ["updated", "updated"]
    assert "updated" in anamnos.run("unmerge", ids[1], "--user", "ann").stdout
    refused = anamnos.run("merge", ids[0], "--user", "ann", "--json", code=2)
    assert "two memories" in json.loads(refused.stderr or refused.stdout)["message"]
