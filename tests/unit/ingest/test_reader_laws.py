"""The laws of ``readers/base.py``, checked for every reader on one small file each."""

import json
from datetime import UTC
from pathlib import Path

import pytest

from anamnos.cube import Role
from anamnos.errors import InvalidInput
from anamnos.ingest.readers import READERS, Reader, Turn, find_reader, read_file

LOCOMO = {
    "sample_id": "s1",
    "conversation": {
        "speaker_a": "Ann",
        "speaker_b": "Ben",
        "session_1_date_time": "1:56 pm on 8 May, 2023",
        "session_1": [
            {"speaker": "Ann", "dia_id": "D1:1", "text": "We went sailing."},
            {"speaker": "Ben", "dia_id": "D1:2", "text": "Lucky you."},
        ],
    },
    "qa": [{"question": "Who sailed?", "answer": "Ann", "category": 4, "evidence": ["D1:1"]}],
}
REALTALK = {
    "name": {"speaker_1": "Ann", "speaker_2": "Ben"},
    "session_1": [
        {
            "clean_text": "We went sailing.",
            "speaker": "Ann",
            "date_time": "29.12.2023, 22:42:04",
            "img_file": [],
            "img_url": [],
            "dia_id": "D1:1",
        }
    ],
}
LONGMEMEVAL = [
    {
        "question_id": "q1",
        "haystack_session_ids": ["a"],
        "haystack_dates": ["2023/05/20 (Sat) 02:21"],
        "haystack_sessions": [[{"role": "user", "content": "We went sailing."}]],
    }
]
CHATGPT = {
    "id": "c1",
    "current_node": "a",
    "mapping": {
        "a": {
            "parent": None,
            "children": [],
            "message": {"author": {"role": "user"}, "content": {"content_type": "text", "parts": ["We went sailing."]}},
        }
    },
}
CLAUDE = {"uuid": "k1", "chat_messages": [{"uuid": "m1", "sender": "human", "text": "We went sailing."}]}
FILES = {
    "chatgpt": ("conversations.json", json.dumps([CHATGPT])),
    "claude": ("conversations.json", json.dumps([CLAUDE])),
    "mem0": ("mem0.json", json.dumps({"results": [{"id": "1", "memory": "We went sailing."}]})),
    "zep": ("graph.json", json.dumps({"edges": [{"uuid": "1", "fact": "We went sailing."}]})),
    "langgraph": ("store.json", json.dumps([{"namespace": ["n"], "key": "k", "value": "We went sailing."}])),
    "locomo": ("talk.json", json.dumps([LOCOMO])),
    "realtalk": ("Chat_9.json", json.dumps(REALTALK)),
    "longmemeval": ("s.json", json.dumps(LONGMEMEVAL)),
    "messages": ("chat.json", json.dumps([{"role": "user", "content": "We went sailing."}])),
    "corpus": ("corpus.json", json.dumps([{"title": "", "text": "We went sailing."}])),
    "chatlog": ("chat.txt", "[2024-05-01 18:20] Ann: We went sailing.\n"),
    "markdown": ("notes.md", "# Summer\n\nWe went sailing.\n"),
    "text": ("notes.txt", "We went sailing.\n"),
}


@pytest.fixture(params=READERS, ids=lambda reader: reader.name)
def example(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Reader, Path]:
    name, text = FILES[request.param.name]
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return request.param, path


def test_every_reader_has_an_example() -> None:
    assert set(FILES) == {reader.name for reader in READERS}


def test_the_file_finds_its_reader(example: tuple[Reader, Path]) -> None:
    reader, path = example
    assert find_reader(path)[0] is reader
    assert find_reader(path, reader.name)[0] is reader


def test_words_are_kept_times_are_utc_and_ids_are_unique(example: tuple[Reader, Path]) -> None:
    turns = read_file(example[1])
    assert turns[0].content == "We went sailing."
    assert all(turn.said_at is None or turn.said_at.tzinfo is UTC for turn in turns)
    ids = [turn.message_id for turn in turns if turn.message_id is not None]
    assert len(ids) == len(set(ids))


def test_documents_are_resources_and_chats_are_turns(example: tuple[Reader, Path]) -> None:
    reader, path = example
    for turn in read_file(path):
        if reader.name in ("text", "markdown", "corpus"):
            assert (turn.role, turn.speaker) == (Role.RESOURCE, None)
        elif reader.name in ("mem0", "zep", "langgraph"):  # what another memory had made of it
            assert turn.role in (Role.FACT, Role.NOTE)
        else:
            assert turn.role is Role.TURN
            assert turn.speaker


def test_the_same_file_gives_the_same_turns(example: tuple[Reader, Path]) -> None:
    assert read_file(example[1]) == read_file(str(example[1]))


def test_the_data_of_a_turn_cannot_be_changed(example: tuple[Reader, Path]) -> None:
    turn = read_file(example[1])[0]
    with pytest.raises(TypeError):
        turn.data["x"] = 1  # type: ignore[index]


@pytest.mark.parametrize("reader", [name for name, (file, _) in FILES.items() if file.endswith(".json")])
@pytest.mark.parametrize("data", [{}, [], [1], "text", None, {"session_1": 3}, {"messages": 3}, [{"x": 1}]])
def test_json_of_another_shape_is_refused_by_a_named_reader(tmp_path: Path, reader: str, data: object) -> None:
    path = tmp_path / "other.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"other\.json"):
        read_file(path, reader=reader)
    with pytest.raises(InvalidInput, match=r"other\.json"):
        read_file(path)


def test_turn_defaults() -> None:
    turn = Turn("hello")
    assert (turn.speaker, turn.said_at, turn.session, turn.message_id) == (None, None, None, None)
    assert turn.data == {}
