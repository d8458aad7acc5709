"""LoCoMo: very long dialogues of two people with questions about them. Source: arXiv:2402.17753.

A file holds a list of records {sample_id, conversation, qa}, or, in the older release, one conversation with
its fields at the top. The conversation has ``session_<n>`` and ``session_<n>_date_time`` for each session.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from anamnos.errors import InvalidInput
from anamnos.ingest.readers.base import Turn
from anamnos.ingest.readers.dialogue import Question, numbered_sessions, questions_of, session_messages
from anamnos.ingest.readers.times import utc_time
from anamnos.ingest.readers.turns import as_record, label, text_field

_TIME = re.compile(r"(\d{1,2}):(\d\d) ([ap])m on (\d{1,2}) ([a-z]+),? (\d{4})", re.IGNORECASE)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


@dataclass(frozen=True, slots=True)
class LocomoReader:
    """Reads LoCoMo. session = "<sample_id>/session_<n>", message_id = "<sample_id>/<dia_id>".

    All messages of a session have the session's time, read as UTC. An image's caption follows the text as
    "[shares <caption>]". A record without a sample_id is named after the file.
    """

    name: str = "locomo"
    suffixes: tuple[str, ...] = (".json",)

    def accepts(self, path: Path, data: Any) -> bool:
        records = data if isinstance(data, list) else [data]
        dialogue = _dialogue(records[0]) if records and isinstance(records[0], Mapping) else {}
        return "speaker_a" in dialogue and bool(numbered_sessions(dialogue))

    def read(self, path: Path, data: Any) -> Iterator[Turn]:
        records = conversations(data, where=str(path))
        for number, record in enumerate(records, start=1):
            name = label(path.stem) if len(records) == 1 else f"{label(path.stem)}-{number}"
            sample_id = record.get("sample_id") or name
            yield from _turns(record, str(sample_id), f" of {path}")


def conversations(data: Any, *, where: str = "the LoCoMo data") -> list[Mapping[str, Any]]:
    """Return the records of a LoCoMo file's JSON, of either release."""
    records = data if isinstance(data, list) else [data]
    return [as_record(record, f"record {number} of {where}") for number, record in enumerate(records, start=1)]


def read_conversation(record: Mapping[str, Any], *, sample_id: str | None = None) -> list[Turn]:
    """Return the turns of one record. ``sample_id`` is needed if the record does not give its own."""
    return list(_turns(record, _sample_id(record, sample_id), ""))


def questions(record: Mapping[str, Any], *, sample_id: str | None = None) -> list[Question]:
    """Return the questions of one record, with evidence as dia_ids ("D1:3")."""
    return questions_of(record, _dialogue(record), _sample_id(record, sample_id))


def _sample_id(record: Mapping[str, Any], default: str | None) -> str:
    sample_id = as_record(record, "A LoCoMo record").get("sample_id") or default
    if not sample_id:
        raise InvalidInput("This LoCoMo record has no sample_id.", hint="Give one as an argument.")
    return str(sample_id)


def _dialogue(record: Mapping[str, Any]) -> Mapping[str, Any]:
    nested = record.get("conversation")
    return nested if isinstance(nested, Mapping) else record


def _turns(record: Mapping[str, Any], sample_id: str, of_file: str) -> Iterator[Turn]:
    dialogue = _dialogue(record)
    numbers = numbered_sessions(dialogue)
    if not numbers:
        raise InvalidInput(f"{sample_id}{of_file} has no session_1.", hint="Is this a LoCoMo file?")
    for number in numbers:
        where = f"{sample_id}{of_file}"
        said_at = _time(dialogue.get(f"session_{number}_date_time"), f"session_{number} of {where}")
        for place, message in session_messages(dialogue, number, where):
            dia_id = text_field(message, "dia_id", place)
            image = _image(message)
            words = [text_field(message, "text", place).rstrip()]
            if caption := image.get("caption"):
                words.append(f"[shares {caption}]")
            yield Turn(
                content=" ".join(word for word in words if word),
                speaker=text_field(message, "speaker", place),
                said_at=said_at,
                session=f"{sample_id}/session_{number}",
                message_id=f"{sample_id}/{dia_id}",
                data={"dia_id": dia_id, "image": image} if image else {"dia_id": dia_id},
            )


def _image(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the message tells of the image that it shares; many have a caption but no address."""
    names = {"img_url": "urls", "blip_caption": "caption", "query": "query"}
    return {name: message[key] for key, name in names.items() if message.get(key)}


def _time(written: Any, where: str) -> datetime | None:
    """Return the time written as "1:56 pm on 8 May, 2023"; None stays None."""
    if written is None:
        return None
    match = _TIME.fullmatch(str(written).strip())
    if match is None or match[5][:3].lower() not in _MONTHS:
        raise InvalidInput(f"The time of {where} is not like '1:56 pm on 8 May, 2023': {written!r}.")
    hour = int(match[1]) % 12 + (12 if match[3].lower() == "p" else 0)
    month = _MONTHS.index(match[5][:3].lower()) + 1
    return utc_time(where, int(match[6]), month, int(match[4]), hour, int(match[2]))
