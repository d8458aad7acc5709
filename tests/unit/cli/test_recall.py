"""search, ask, list, get and history."""

import json
import re
from pathlib import Path

import pytest

from .conftest import Cli

KEY = "The spare key is under the blue pot."
WEDDING = "Ingrid gets married in Ludlow."


@pytest.fixture
def filled(anamnos: Cli) -> Cli:
    anamnos.add(KEY, "--tag", "home", "--at", "2025-01-01T10:00:00+01:00")
    anamnos.add(WEDDING, "--role", "fact", "--at", "2025-06-01", "--importance", "0.9")
    return anamnos


def test_search_shows_the_best_first_with_reasons(filled: Cli) -> None:
    text = filled.run("search", "where", "is", "the", "spare", "key?").stdout
    assert text.index(KEY) < text.index(WEDDING)
    assert "2025-01-01 09:00" in text  # UTC
    assert "says “spare”, “key”" in " ".join(text.split())
    assert "\x1b" not in text
    assert "share" not in text


def test_search_why_shows_every_channel(filled: Cli) -> None:
    text = filled.run("search", "spare key", "--why", "-k", "1").stdout
    for channel in ("keyword.spread", "dense.turn", "raw", "share"):
        assert channel in text


def test_search_as_json(filled: Cli) -> None:
    found = filled.json("search", "spare key", "-k", "1")
    assert found["query"] == "spare key"
    (hit,) = found["hits"]
    assert hit["content"] == KEY
    assert 0 <= hit["similarity"] <= 1
    assert set(hit["channels"]["dense.turn"]) == {"raw", "share"}


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--role", "fact"], [WEDDING]),
        (["--role", "fact", "--role", "note"], [KEY, WEDDING]),
        (["--tag", "home"], [KEY]),
        (["--since", "2025-02-01"], [WEDDING]),
        (["--until", "2025-02-01"], [KEY]),
        (["--contains", "LUDLOW"], [WEDDING]),
        (["--speaker", "Oskar"], []),
        (["--source", "diary"], []),
        (["--state", "archived"], []),
        (["--filter", '{"field": "importance", "op": "ge", "value": 0.8}'], [WEDDING]),
        (["--tag", "home", "--filter", '{"field": "importance", "op": "ge", "value": 0.8}'], []),
    ],
)
def test_filters(filled: Cli, words: list[str], found: list[str]) -> None:
    assert [cube["content"] for cube in filled.json("list", *words)["memories"]] == found
    hits = filled.json("search", "anything", *words)["hits"]
    assert sorted(hit["content"] for hit in hits) == sorted(found)


@pytest.mark.parametrize(
    "words",
    [
        ["search", "x", "--filter", "{"],
        ["search", "x", "--filter", '{"field": "colour", "op": "eq", "value": 1}'],
        ["search", "x", "--state", "asleep"],
        ["search", "x", "-k", "0"],
        ["search", " "],
        ["search"],
        ["ask", "x", "--budget", "0"],
        ["list", "--limit", "0"],
        ["list", "--since", "soon"],
    ],
)
def test_bad_questions(filled: Cli, words: list[str]) -> None:
    assert "error:" in filled.run(*words, code=2).stderr


def test_ask_shows_the_evidence_first(filled: Cli) -> None:
    text = filled.run("ask", "Where is the spare key?").stdout
    assert text.splitlines()[0].strip() == KEY
    assert "[1] " + KEY in text
    assert "tokens" in text


def test_ask_as_json_and_in_a_budget(filled: Cli) -> None:
    found = filled.json("ask", "Where is the spare key?", "--budget", "25")
    assert found["question"] == "Where is the spare key?"
    assert found["evidence"] == KEY
    assert found["tokens"] <= 25
    assert len(found["citations"]) == 1


def test_ask_counts_with_the_models_tokenizer(filled: Cli, tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    file = tmp_path / "tokenizer.json"
    model = {"type": "WordLevel", "vocab": {"[UNK]": 0}, "unk_token": "[UNK]"}
    file.write_text(json.dumps({"version": "1.0", "pre_tokenizer": {"type": "Whitespace"}, "model": model}))
    found = filled.json("ask", "Where is the spare key?", "--tokenizer", str(file))
    assert found["tokens"] == len(re.findall(r"\w+|[^\w\s]+", found["text"]))  # words and runs of signs
    file.write_text("{}")
    assert "is no tokenizer" in filled.run("ask", "key", "--tokenizer", str(file), code=6).stderr


def test_nothing_found_is_said(filled: Cli) -> None:
    assert "Nothing is remembered" in filled.run("search", "key", "--user", "bob").stdout
    assert "Nothing is remembered" in filled.run("ask", "key", "--user", "bob").stdout
    assert "Nothing is remembered" in filled.run("list", "--user", "bob").stdout
    assert "so small a budget" in filled.run("ask", "key", "--budget", "1").stdout


def test_list_in_pages(filled: Cli) -> None:
    first = filled.json("list", "--limit", "1")
    assert [cube["content"] for cube in first["memories"]] == [KEY]
    second = filled.json("list", "--limit", "1", "--after", first["next_after"])
    assert [cube["content"] for cube in second["memories"]] == [WEDDING]
    assert second["next_after"] is None
    text = filled.run("list", "--limit", "1").stdout
    assert f"--after {first['next_after']}" in text


def test_get_and_history(anamnos: Cli) -> None:
    cube_id = anamnos.add(KEY)
    anamnos.run("update", cube_id, "--text", "It is under the mat.")
    assert anamnos.json("get", cube_id)["content"] == "It is under the mat."
    assert anamnos.json("get", cube_id, "--version", "1")["content"] == KEY
    assert [cube["version"] for cube in anamnos.json("history", cube_id)["versions"]] == [1, 2]
    shown = anamnos.run("get", cube_id).stdout
    assert cube_id in shown
    assert "user=ann" in shown
    listed = anamnos.run("history", cube_id).stdout
    assert KEY in listed
    assert "now" in listed


def test_get_of_what_is_not_there(anamnos: Cli) -> None:
    cube_id = anamnos.add(KEY)
    for words in (
        ["get", cube_id, "--user", "bob"],
        ["history", cube_id, "--user", "bob"],
        ["get", cube_id, "--version", "9"],
    ):
        assert "There is no memory" in anamnos.run(*words, code=3).stderr
    assert "not a memory id" in anamnos.run("get", "7", code=2).stderr


def test_reading_makes_no_vault(anamnos: Cli) -> None:
    for words in (["search", "x"], ["ask", "x"], ["list"], ["stats"], ["verify"], ["rebuild-index"]):
        assert "There is no vault" in anamnos.run(*words, code=3).stderr
    assert not anamnos.vault.exists()


def test_a_memory_cannot_steer_the_terminal(anamnos: Cli) -> None:
    anamnos.run("add", "-", stdin="red \x1b[31malert\x07")
    text = anamnos.run("list").stdout
    assert "\x1b" not in text
    assert "red ␛[31malert␇" in text
