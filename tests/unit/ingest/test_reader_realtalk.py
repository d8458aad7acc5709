import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from anamnos.errors import InvalidInput
from anamnos.ingest.readers import read_file
from anamnos.ingest.readers.realtalk import questions, read_conversation


def message(text: str, dia_id: str, **changes: Any) -> dict[str, Any]:
    return {
        "clean_text": text,
        "speaker": "Ann",
        "date_time": "01.02.2024, 09:05:06",
        "img_file": [],
        "img_url": [],
        "dia_id": dia_id,
        **changes,
    }


def chat(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"name": {"speaker_1": "Ann", "speaker_2": "Ben"}, "session_1": list(messages), **fields}


def test_turns(tmp_path: Path) -> None:
    path = tmp_path / "Chat_9_Ann_Ben.json"
    data = chat(
        message("Hi", "D1:1"),
        message("Look", "D1:2", img_file=["a.jpg"], blip_caption="a cat"),
        message(" ", "D1:3", img_url=["u"]),
        message(" ", "D1:4"),
        session_10=[message("Late", "D9:2")],
        session_2=[message("Soon", "D1:5")],
    )
    path.write_text(json.dumps(data), encoding="utf-8")
    turns = read_file(path)
    assert [t.content for t in turns] == ["Hi", "Look [shares a photo]", "[shares a photo]", "Soon", "Late"]
    assert [t.message_id for t in turns][-2:] == ["Chat_9_Ann_Ben/D1:5", "Chat_9_Ann_Ben/D9:2"]
    assert turns[-1].session == "Chat_9_Ann_Ben/session_10"
    assert turns[0].said_at == datetime(2024, 2, 1, 9, 5, 6, tzinfo=UTC)
    assert turns[1].data == {"dia_id": "D1:2", "image": {"files": ("a.jpg",), "caption": "a cat"}}


def test_questions_name_the_speaker_that_messages_have() -> None:
    qa = [
        {
            "question": "Is Kate's cat big? Katerina?",
            "answer": "Kate says so",
            "category": 1,
            "evidence": ["D1:1"],
        }
    ]
    data = chat(message("Hello Kate", "D1:1"), qa=qa)
    assert questions(data, name="c")[0].text == qa[0]["question"]
    data["name"] = {"speaker_1": "Emi", "speaker_2": "elise"}
    (question,) = questions(data, name="c")
    assert (question.text, question.answer) == ("Is Emi's cat big? Katerina?", "Emi says so")
    assert (question.id, question.evidence) == ("c/q1", ("D1:1",))
    assert read_conversation(data, name="c")[0].content == "Hello Kate"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"date_time": "2024-02-01"}, "message 1 of session_1 of c is not like '29.12.2023, 22:42:04'"),
        ({"date_time": "12.31.2023, 22:42:04"}, "message 1 of session_1 of c does not exist"),
        ({"clean_text": None}, "'clean_text' of message 1 of session_1 of c must be text, got NoneType"),
        ({"speaker": 3}, "'speaker' of message 1"),
    ],
)
def test_bad_messages(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_conversation(chat(message("Hi", "D1:1", **changes)), name="c")
    assert words in caught.value.message


def test_a_message_without_a_time_has_none() -> None:
    assert read_conversation(chat(message("Hi", "D1:1", date_time=None)), name="c")[0].said_at is None
