import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from anamnos.errors import InvalidInput
from anamnos.ingest.readers import read_file
from anamnos.ingest.readers.longmemeval import read_item

TALK: list[dict[str, Any]] = [
    {"role": "user", "content": "My cat is grey.", "has_answer": True},
    {"role": "assistant", "content": " "},
    {"role": "user", "content": "Bye"},
]


def item(**changes: Any) -> dict[str, Any]:
    return {
        "question_id": "q1",
        "haystack_session_ids": ["a", "b"],
        "haystack_dates": ["2023/05/20 (Sat) 02:21", "2023/05/21"],
        "haystack_sessions": [TALK, [{"role": "user", "content": "Hello"}]],
        **changes,
    }


def read(tmp_path: Path, data: Any) -> Any:
    path = tmp_path / "s.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    return read_file(path)


def test_turns(tmp_path: Path) -> None:
    turns = read(tmp_path, [item()])
    assert [t.message_id for t in turns] == ["a/1", "a/3", "b/1"]
    assert [t.session for t in turns] == ["a", "a", "b"]
    assert turns[0].said_at == datetime(2023, 5, 20, 2, 21, tzinfo=UTC)
    assert turns[2].said_at == datetime(2023, 5, 21, tzinfo=UTC)
    assert (turns[0].speaker, turns[0].data) == ("user", {"role": "user", "has_answer": True})
    assert read(tmp_path, item()) == turns


def test_texts_instead_of_sessions() -> None:
    data = item(haystack_texts=["one text", "another"], haystack_dates=None)
    del data["haystack_sessions"]
    turns = read_item(data)
    assert [(t.message_id, t.session, t.speaker, t.content) for t in turns] == [
        ("a/1", "a", "user", "one text"),
        ("b/1", "b", "user", "another"),
    ]
    assert turns[0].said_at is None


def test_a_session_of_several_items_is_read_once(tmp_path: Path) -> None:
    unmarked = [{"role": m["role"], "content": m["content"]} for m in TALK]
    other = item(haystack_sessions=[unmarked, [{"role": "user", "content": "Hello"}]], haystack_dates=None)
    assert read(tmp_path, [item(), other]) == read(tmp_path, [item()])
    twice = item(haystack_session_ids=["a", "a"], haystack_sessions=[TALK, TALK])
    assert [t.message_id for t in read(tmp_path, [twice])] == ["a/1", "a/3"]


def test_one_id_for_two_sessions_is_refused(tmp_path: Path) -> None:
    other = item(haystack_sessions=[TALK[:1], []])
    with pytest.raises(InvalidInput, match=r"session 'a' of item 2 of .* in item 1 of"):
        read(tmp_path, [item(), other])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"haystack_dates": []}, "2 session ids, 0 dates and 2 sessions"),
        ({"haystack_sessions": [[]]}, "2 session ids, 2 dates and 1 sessions"),
        ({"haystack_sessions": None}, "'haystack_sessions' of the item must be a JSON array"),
        ({"haystack_sessions": [3, 4]}, "session 'a' of the item must be a JSON array"),
        ({"haystack_sessions": [[3], []]}, "message 1 of session 'a' of the item must be a JSON object"),
        (
            {"haystack_sessions": [[{"role": "user"}], []]},
            "'content' of message 1 of session 'a' of the item",
        ),
        ({"haystack_dates": ["2023/13/01", "x"]}, "time of session 'a' of the item does not exist"),
        ({"haystack_dates": ["2023/05/01", "x"]}, "time of session 'b' of the item is not ISO 8601"),
    ],
)
def test_bad_items(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_item(item(**changes))
    assert words in caught.value.message
