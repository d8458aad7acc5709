import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from anamnos.errors import InvalidInput
from anamnos.ingest.readers import read_file, turns_from_messages

HI = {"role": "user", "content": "hi"}


def read(tmp_path: Path, data: Any, name: str = "chat.json") -> Any:
    path = tmp_path / name
    lines = "\n".join(map(json.dumps, data)) if name.endswith("l") else json.dumps(data)
    path.write_text(lines, encoding="utf-8")
    return read_file(path)


def one(**message: Any) -> Any:
    return turns_from_messages([{**HI, **message}], where="the list")[0]


def refused(**message: Any) -> str:
    with pytest.raises(InvalidInput) as caught:
        one(**message)
    return caught.value.message


def test_a_list_of_messages(tmp_path: Path) -> None:
    first, second = read(tmp_path, [HI, {"role": "assistant", "content": "hello", "name": "Bot"}])
    assert (first.content, first.speaker, first.session, first.message_id) == ("hi", "user", None, None)
    assert first.data == {"role": "user"}
    assert (second.speaker, second.data) == ("Bot", {"role": "assistant"})


def test_one_conversation_with_all_fields(tmp_path: Path) -> None:
    data = {
        "id": "c7",
        "speakers": {"user": "Ann"},
        "messages": [
            {"id": "m1", "session": "monday", "speaker": "Ben", "at": "2024-05-01T18:20:00Z", "content": "x"},
            {"id": 2, **HI},
        ],
    }
    first, second = read(tmp_path, data)
    assert (first.message_id, first.session, first.speaker) == ("m1", "monday", "Ben")
    assert first.said_at == datetime(2024, 5, 1, 18, 20, tzinfo=UTC)
    assert (second.message_id, second.session, second.speaker) == ("2", "c7", "Ann")
    assert first.data == {}


def test_a_list_of_speakers_does_no_harm(tmp_path: Path) -> None:
    assert read(tmp_path, {"speakers": ["Ann", "Ben"], "messages": [HI]})[0].speaker == "user"


def test_several_conversations_keep_their_sessions_and_ids_apart(tmp_path: Path) -> None:
    message = {"id": "1", **HI}
    turns = read(tmp_path, [{"messages": [message]}, {"session": "b", "messages": [message]}])
    assert [(t.session, t.message_id) for t in turns] == [("chat/1", "chat/1/1"), ("b", "b/1")]


def test_json_lines_of_messages_and_of_conversations(tmp_path: Path) -> None:
    turns = read(tmp_path, [{"id": "1", **HI}, {"id": "2", **HI}], "chat.jsonl")
    assert [(t.session, t.message_id) for t in turns] == [(None, "1"), (None, "2")]
    turns = read(tmp_path, [{"messages": [HI, HI]}, {"messages": [HI]}], "tune.jsonl")
    assert [t.session for t in turns] == ["tune/1", "tune/1", "tune/2"]


def test_parts_are_joined_and_what_is_not_text_is_named() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    large = {"type": "input_audio", "input_audio": {"data": "x" * 3_000}}
    turn = one(content=[{"type": "text", "text": "Look:"}, image, large, {"type": "input_text", "text": "!"}])
    assert turn.content == "Look:\n[image]\n[audio]\n!"
    assert turn.data["role"] == "user"
    assert turn.data["parts"][0]["image_url"]["url"] == "https://example.org/a.png"
    assert len(turn.data["parts"]) == 1


def test_parts_made_in_memory_may_hold_what_json_cannot() -> None:
    turn = one(content=["see", {"type": "image", "bytes": b"\x89"}])
    assert turn.content == "see\n[image]"
    assert turn.data == {"role": "user"}


def test_messages_without_text_are_left_out() -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "t1"}]}
    blank = {"role": "user", "content": " \n"}
    assert turns_from_messages([call, blank, HI], where="x") == turns_from_messages([HI], where="x")
    assert turns_from_messages([], where="x") == []
    assert one(content=None, refusal="I cannot.").content == "I cannot."
    assert one(content=[{"type": "refusal", "refusal": "No."}]).content == "No."


def test_content_is_verbatim() -> None:
    assert one(content="  a\n\tb \x07 ").content == "  a\n\tb \x07 "


@pytest.mark.parametrize("key", ["at", "timestamp", "created_at", "time"])
@pytest.mark.parametrize(
    "written",
    [
        "2024-05-01T18:20:00Z",
        "2024-05-01 18:20",
        "2024-05-01T20:20:00+02:00",
        "2024-05-01 20:20:00 +0200",
        1_714_587_600,
        1_714_587_600_000,
        1_714_587_600.0,
        "1714587600",
        "1714587600.000",
        datetime(2024, 5, 1, 18, 20, tzinfo=UTC),
        datetime(2024, 5, 1, 13, 20, tzinfo=timezone(timedelta(hours=-5))),
    ],
)
def test_times(key: str, written: object) -> None:
    said_at = one(**{key: written}).said_at
    assert said_at == datetime(2024, 5, 1, 18, 20, tzinfo=UTC)
    assert said_at.tzinfo is UTC


def test_milliseconds_and_times_before_1970() -> None:
    assert one(at=1_714_587_600_123).said_at.microsecond == 123_000
    assert one(at=-86_400).said_at == datetime(1969, 12, 31, tzinfo=UTC)
    assert one(at=0).said_at == datetime(1970, 1, 1, tzinfo=UTC)
    assert one(at=None, timestamp=0).said_at.year == 1970


@pytest.mark.parametrize(
    "written", ["yesterday", "", True, [], float("nan"), float("inf"), 10**400, -(10**17), "2024-13-01"]
)
def test_times_that_are_none(written: object) -> None:
    assert "time of message 1 of the list" in refused(at=written)


def test_a_naive_datetime_is_refused() -> None:
    assert "naive" in refused(at=datetime(2024, 5, 1))  # noqa: DTZ001
    assert "years 1 to 9999" in refused(at="0001-01-01T00:00:00+10:00")


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({"content": 3}, "'content' of message 1 of the list must be text or a list of parts, got int"),
        ({"content": None}, "got nothing"),
        ({"content": [3]}, "part 1 of message 1 of the list must be a JSON object"),
        ({"content": [{"text": "x"}]}, "has no 'type'"),
        ({"content": [{"type": "text"}]}, "its text is NoneType"),
        ({"role": 3.5}, "'role' of message 1 of the list must be text"),
        ({"role": " "}, "neither role nor speaker"),
        ({"id": ["x"]}, "'id' of message 1"),
        ({"id": True}, "'id' of message 1"),
        ({"session": {}}, "'session' of message 1"),
        ({"content": "\ud800"}, "lone surrogate"),
        ({"speaker": "a\nb"}, "speaker of turn 1 of the list"),
        ({"session": "x" * 600}, "session of turn 1 of the list has 600 characters"),
    ],
)
def test_bad_messages(message: dict[str, Any], words: str) -> None:
    assert words in refused(**message)


def test_bad_lists(tmp_path: Path) -> None:
    for messages in ("hi", HI, 3, [HI, "hi"]):
        with pytest.raises(InvalidInput, match="of the list must be"):
            turns_from_messages(messages, where="the list")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match=r"message 2 of .*chat\.json must be a JSON object, got str"):
        read(tmp_path, [HI, "hi"])
    with pytest.raises(InvalidInput, match=r"message 1 of line 2 of .*chat\.jsonl"):
        read(tmp_path, [{"messages": [HI]}, {"messages": [{}]}], "chat.jsonl")


def test_an_id_that_comes_twice() -> None:
    messages = [{"id": "1", **HI}, {"id": "2", **HI}, {"id": "1", **HI}]
    with pytest.raises(InvalidInput, match=r"'1' comes twice in the list: in turns 1 and 3"):
        turns_from_messages(messages, where="the list")
