import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from anamnos.errors import InvalidInput
from anamnos.ingest.readers import find_reader, read_file
from anamnos.ingest.readers.locomo import conversations, questions, read_conversation


def dialogue(**changes: Any) -> dict[str, Any]:
    return {
        "speaker_a": "Ann",
        "speaker_b": "Ben",
        "session_10_date_time": "12:05 am on 1 June, 2023",
        "session_10": [{"speaker": "Ben", "dia_id": "D10:1", "text": "Tenth."}],
        "session_2_date_time": "12:30 pm on 25 May, 2023",
        "session_2": [
            {
                "speaker": "Ann",
                "dia_id": "D2:1",
                "text": "Look! ",
                "img_url": ["u"],
                "blip_caption": "a cat",
                "query": "cat",
            },
            {"speaker": "Ben", "dia_id": "D2:2", "text": "", "blip_caption": "a dog"},
            {"speaker": "Ben", "dia_id": "D2:3", "text": "Nice.", "img_url": ["u"]},
        ],
        "session_3_date_time": "1:00 pm on 26 May, 2023",
        **changes,
    }


def record(qa: Any = (), **changes: Any) -> dict[str, Any]:
    return {"sample_id": "s1", "conversation": dialogue(**changes), "qa": list(qa)}


def test_turns() -> None:
    turns = read_conversation(record())
    assert [t.session for t in turns] == ["s1/session_2"] * 3 + ["s1/session_10"]
    assert [t.message_id for t in turns] == ["s1/D2:1", "s1/D2:2", "s1/D2:3", "s1/D10:1"]
    assert [t.content for t in turns] == ["Look! [shares a cat]", "[shares a dog]", "Nice.", "Tenth."]
    assert turns[0].said_at == datetime(2023, 5, 25, 12, 30, tzinfo=UTC)
    assert turns[3].said_at == datetime(2023, 6, 1, 0, 5, tzinfo=UTC)
    assert turns[0].data == {"dia_id": "D2:1", "image": {"urls": ["u"], "caption": "a cat", "query": "cat"}}
    assert turns[2].data == {"dia_id": "D2:3", "image": {"urls": ["u"]}}
    assert turns[3].data == {"dia_id": "D10:1"}


@pytest.mark.parametrize("data", [[record()], record(), [{**record(), "sample_id": "s1"}]])
def test_a_list_or_one_record(tmp_path: Path, data: Any) -> None:
    path = tmp_path / "talk.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    assert find_reader(path)[0].name == "locomo"
    assert read_file(path)[0].session == "s1/session_2"


def test_the_older_release_is_named_after_its_file(tmp_path: Path) -> None:
    path = tmp_path / "26.json"
    path.write_text(json.dumps({**dialogue(), "qa": []}), encoding="utf-8")
    assert read_file(path)[0].message_id == "26/D2:1"
    assert read_conversation(dialogue(), sample_id="x")[0].session == "x/session_2"
    with pytest.raises(InvalidInput, match="no sample_id"):
        read_conversation(dialogue())


def test_questions() -> None:
    found = questions(
        record(
            [
                {
                    "question": "How many?",
                    "answer": 3,
                    "category": 1,
                    "evidence": ["D2:1; D10:1", "D2:1", "D"],
                },
                {
                    "question": "Who?",
                    "adversarial_answer": "Ben",
                    "category": 5,
                    "evidence": ["D:2:2", "D9:9"],
                },
                {"question": "Why?", "answer": "So", "category": 3, "evidence": "D2:2 D2:3"},
                {"question": "When?", "answer": "Now", "category": 2},
            ]
        )
    )
    assert [q.id for q in found] == ["s1/q1", "s1/q2", "s1/q3", "s1/q4"]
    assert [q.evidence for q in found] == [("D2:1", "D10:1"), (), ("D2:2", "D2:3"), ()]
    assert [q.answer for q in found] == ["3", "", "So", "Now"]
    assert [q.category for q in found] == [1, 5, 3, 2]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"session_2": {}}, "session_2 of s1 must be a JSON array"),
        ({"session_2": ["x"]}, "message 1 of session_2 of s1 must be a JSON object"),
        ({"session_2": [{"dia_id": "D2:1", "speaker": "Ann"}]}, "'text' of message 1 of session_2 of s1"),
        ({"session_2": [{"dia_id": 3, "speaker": "Ann", "text": "x"}]}, "'dia_id' of message 1"),
        ({"session_2_date_time": "yesterday"}, "session_2 of s1 is not like '1:56 pm on 8 May, 2023'"),
        ({"session_2_date_time": "1:00 pm on 31 June, 2023"}, "session_2 of s1 does not exist"),
    ],
)
def test_bad_records(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_conversation(record(**changes))
    assert words in caught.value.message


def test_bad_questions_and_files(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="'category' of question 1 of s1"):
        questions(record([{"question": "?", "category": "two"}]))
    with pytest.raises(InvalidInput, match="record 2 of the LoCoMo data must be a JSON object"):
        conversations([record(), 3])
    path = tmp_path / "talk.json"
    path.write_text(json.dumps([record(), record()]), encoding="utf-8")
    with pytest.raises(InvalidInput, match="'s1/D2:1' comes twice"):
        read_file(path)


def test_a_session_without_a_time_has_none() -> None:
    data = dialogue()
    del data["session_2_date_time"]
    assert read_conversation(data, sample_id="x")[0].said_at is None
