"""add and ingest."""

import json
from pathlib import Path

import pytest

from .conftest import Cli


def test_add_prints_the_receipt(anamnos: Cli) -> None:
    first = anamnos.run("add", "The spare key is under the blue pot.").stdout
    again = anamnos.run("add", "The spare key is under the blue pot.").stdout
    assert first.startswith("added ")
    assert again == first.replace("added", "known already")


def test_add_with_everything(anamnos: Cli) -> None:
    receipt = anamnos.json(
        "add", "I moved.", "--tag", "home", "--tag", "move", "--role", "fact", "--at", "2025-05-01",
        "--source", "diary", "--importance", "0.9", "--session", "monday",
    )  # fmt: skip
    assert receipt["outcomes"] == ["added"]
    cube = anamnos.json("get", receipt["ids"][0])
    assert cube["annotations"]["tags"] == ["home", "move"]
    assert cube["role"] == "fact"
    assert cube["time"]["created_at"] == "2025-05-01T00:00:00Z"
    assert cube["provenance"]["source"] == "diary"
    assert cube["lifecycle"]["importance"] == 0.9
    assert cube["scope"] == {"tenant": "default", "user": "ann", "session": "monday"}


def test_words_without_quotes_are_one_memory(anamnos: Cli) -> None:
    cube_id = anamnos.add("the", "key", "is", "here")
    assert anamnos.json("get", cube_id)["content"] == "the key is here"


def test_add_reads_standard_input(anamnos: Cli) -> None:
    receipt = anamnos.json("add", "-", stdin="\ufeffzwei\nZeilen: Größe, 日本, 🗝\n")
    assert anamnos.json("get", receipt["ids"][0])["content"] == "zwei\nZeilen: Größe, 日本, 🗝"


@pytest.mark.parametrize(
    ("words", "stdin", "says"),
    [
        (["add"], "", "text is missing"),
        (["add", "-"], "", "empty"),
        (["add", "-"], b"\xff\xfe\xfa", "byte 0 is 0xff"),
        (["add", "x", "--at", "yesterday"], "", "--at is not a time"),
        (["add", "x", "--importance", "2"], "", "[0, 1]"),
        (["add", "x", "--role", "song"], "", "song"),
        (["add", "caf\udce9"], "", "Argument 2 is not valid UTF-8: b'caf\\xe9'"),
    ],
)
def test_add_refuses(anamnos: Cli, words: list[str], stdin: str | bytes, says: str) -> None:
    assert says in anamnos.run(*words, stdin=stdin, code=2).stderr


def test_a_scope_must_be_named(anamnos: Cli) -> None:
    error = anamnos.run("add", "x", code=2, ANAMNOS_USER="").stderr
    assert "--user" in error
    assert "ANAMNOS_USER" in error
    assert not anamnos.vault.exists()


def test_an_option_goes_before_the_environment(anamnos: Cli) -> None:
    anamnos.run("add", "of bob", "--user", "bob")
    anamnos.run("add", "of the tutor", ANAMNOS_USER="", ANAMNOS_AGENT="tutor")
    assert anamnos.json("list")["memories"] == []
    assert [c["content"] for c in anamnos.json("list", "--user", "bob")["memories"]] == ["of bob"]
    assert anamnos.json("list", "--agent", "tutor", ANAMNOS_USER="")["memories"][0]["content"] == "of the tutor"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    notes = tmp_path / "notes"
    (notes / "deep").mkdir(parents=True)
    (notes / ".hidden").mkdir()
    (notes / "a.md").write_text("# Keys\n\nThe key is under the pot.\n", "utf-8")
    (notes / "deep" / "b.txt").write_text("The cat is called Gherkin.", "utf-8")
    (notes / ".hidden" / "c.txt").write_text("not this", "utf-8")
    (notes / "picture.png").write_bytes(b"\x89PNG")
    return notes


def test_ingest_a_folder_and_again(anamnos: Cli, folder: Path) -> None:
    found = anamnos.json("ingest", str(folder), "--tag", "notes")
    assert [Path(file["path"]).name for file in found["files"]] == ["a.md", "b.txt"]
    assert (found["added"], found["unchanged"], found["refused"]) == (2, 0, [])
    again = anamnos.json("ingest", str(folder))
    assert (again["added"], again["updated"], again["unchanged"]) == (0, 0, 2)
    assert len(anamnos.json("list", "--tag", "notes")["memories"]) == 2


def test_ingest_prints_a_table_and_no_bar_in_a_pipe(anamnos: Cli, folder: Path) -> None:
    result = anamnos.run("ingest", str(folder / "a.md"))
    assert "added" in result.stdout
    assert "a.md" in result.stdout
    assert result.stderr == ""


def test_ingest_tells_what_it_refused_and_keeps_the_rest(anamnos: Cli, folder: Path) -> None:
    (folder / "bad.json").write_text("{", "utf-8")
    result = anamnos.run("ingest", str(folder), code=2)
    assert "a.md" in result.stdout
    assert "refused:" in result.stderr
    assert "bad.json" in result.stderr
    found = json.loads(anamnos.run("ingest", str(folder), "--json", code=2).stdout)
    assert found["unchanged"] == 2
    assert found["refused"][0]["error"] == "invalid_input"
    assert found["refused"][0]["path"].endswith("bad.json")


def test_ingest_by_a_named_reader(anamnos: Cli, folder: Path) -> None:
    (folder / "log.runes").write_text("plain words", "utf-8")
    anamnos.run("ingest", str(folder / "log.runes"), code=2)
    assert anamnos.json("ingest", str(folder / "log.runes"), "--reader", "text")["added"] == 1
    assert anamnos.run("ingest", str(folder / "log.runes"), "--reader", "runes", code=2).stderr


def test_ingest_of_nothing(anamnos: Cli, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "No file is named" in anamnos.run("ingest", code=2).stderr
    assert "no file that a reader knows" in anamnos.run("ingest", str(tmp_path / "empty"), code=2).stderr
    assert "There is no file" in anamnos.run("ingest", str(tmp_path / "gone.md"), code=2).stderr
