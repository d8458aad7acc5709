import json
from pathlib import Path
from typing import Any

import pytest

from anamnos.cube import Role
from anamnos.errors import InvalidInput
from anamnos.ingest.readers import find_reader, read_file

PASSAGES = [
    {"_id": "a7", "title": "Castle Brind", "text": "It has two towers.\n\nAnd a moat."},
    {"id": 8, "title": "Castle Brind", "text": "Its well is dry."},
    {"title": "", "text": "No title here."},
]


def write(tmp_path: Path, name: str, data: Any) -> Path:
    path = tmp_path / name
    lines = "\n".join(json.dumps(item) for item in data) if name.endswith(".jsonl") else json.dumps(data)
    path.write_text(lines, "utf-8")
    return path


@pytest.mark.parametrize("name", ["corpus.json", "corpus.jsonl"])
def test_the_title_is_searched_with_the_text_and_nothing_is_cut(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name, PASSAGES)
    assert find_reader(path)[0].name == "corpus"
    turns = read_file(path)
    assert [(t.content, t.session, t.message_id) for t in turns] == [
        ("Castle Brind\nIt has two towers.\n\nAnd a moat.", "Castle Brind", "a7"),
        ("Castle Brind\nIts well is dry.", "Castle Brind", "8"),
        ("No title here.", None, None),
    ]
    assert {t.role for t in turns} == {Role.RESOURCE}
    assert [dict(t.data) for t in turns] == [{"title": "Castle Brind"}, {"title": "Castle Brind"}, {}]


def test_a_long_passage_stays_whole(tmp_path: Path) -> None:
    long = "Many words. " * 400
    assert len(read_file(write(tmp_path, "c.json", [{"title": "T", "text": long}]))) == 1


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"title": "x"}, "'text' of line 2"),
        ({"title": 3, "text": "x"}, "'title' of line 2"),
        ({"_id": [1], "title": "x", "text": "y"}, "id of line 2"),
        ("words", "line 2"),
    ],
)
def test_a_damaged_record_names_its_line(tmp_path: Path, record: Any, said: str) -> None:
    path = write(tmp_path, "c.jsonl", [PASSAGES[0], record])
    with pytest.raises(InvalidInput, match=said):
        read_file(path)


def test_a_chat_message_with_a_title_is_not_taken_for_a_passage(tmp_path: Path) -> None:
    path = write(tmp_path, "m.json", [{"role": "user", "content": "Hello", "title": "t", "text": "x"}])
    assert find_reader(path)[0].name == "messages"
