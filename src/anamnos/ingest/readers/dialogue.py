"""What the readers of LoCoMo and REALTALK share: numbered sessions, and questions with evidence in them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from anamnos.errors import InvalidInput
from anamnos.ingest.readers.turns import as_list, as_record, text_field

_SESSION = re.compile(r"session_([0-9]+)\Z")
_EVIDENCE = re.compile(r"D[0-9]+:[0-9]+")


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a conversation.

    id        "<conversation>/q<number>", from 1 in the order of the file
    answer    empty if the file gives none (LoCoMo's adversarial questions)
    category  as numbered by the data set
    evidence  dia_ids of the messages that hold the answer, those that the conversation has; may be empty
    """

    id: str
    text: str
    answer: str
    category: int
    evidence: tuple[str, ...]


def numbered_sessions(record: Mapping[str, Any]) -> list[int]:
    """Return the numbers of the ``session_<n>`` fields in rising order."""
    return sorted(int(m[1]) for key in record if (m := _SESSION.match(key)))


def session_messages(record: Mapping[str, Any], number: int, where: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (place for error messages, message) for each message of a session."""
    messages = as_list(record[f"session_{number}"], f"session_{number} of {where}")
    for index, message in enumerate(messages, start=1):
        place = f"message {index} of session_{number} of {where}"
        yield place, as_record(message, place)


def questions_of(record: Mapping[str, Any], dialogue: Mapping[str, Any], name: str) -> list[Question]:
    """Return the questions under ``qa`` of ``record`` with the evidence that ``dialogue`` has.

    Evidence is written in many ways ("D8:6; D9:17", "D", "D:11:26"): whatever looks like D1:2 is taken.
    """
    known = {
        message.get("dia_id")
        for number in numbered_sessions(dialogue)
        for _, message in session_messages(dialogue, number, name)
    }
    questions = []
    for number, item in enumerate(as_list(record.get("qa", []), f"'qa' of {name}"), start=1):
        where = f"question {number} of {name}"
        category = as_record(item, where).get("category")
        if isinstance(category, bool) or not isinstance(category, int):
            raise InvalidInput(f"'category' of {where} must be a whole number, got {category!r}.")
        written = item.get("evidence") or []
        found = _EVIDENCE.findall(" ".join(map(str, written)) if isinstance(written, list) else str(written))
        answer = item.get("answer")
        questions.append(
            Question(
                id=f"{name}/q{number}",
                text=text_field(item, "question", where),
                answer="" if answer is None else str(answer),
                category=category,
                evidence=tuple(dia_id for dia_id in dict.fromkeys(found) if dia_id in known),
            )
        )
    return questions
