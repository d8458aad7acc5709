"""REALTALK: three weeks of messenger chat between two real people, with questions. Source: arXiv:2502.13270.

A file holds one chat: {name, session_<n>: [{clean_text, speaker, date_time, img_file, img_url, dia_id}], qa}.
The number in a dia_id is not the number of its session: "D3:30" may be in session_4.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from anamnos.errors import InvalidInput
from anamnos.ingest.readers.base import Turn
from anamnos.ingest.readers.dialogue import Question, numbered_sessions, questions_of, session_messages
from anamnos.ingest.readers.times import utc_time
from anamnos.ingest.readers.turns import as_record, label, text_field

_TIME = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4}), (\d{1,2}):(\d\d):(\d\d)")
_PHOTO = "[shares a photo]"

ALIASES: Mapping[frozenset[str], Mapping[str, str]] = {frozenset(("Emi", "elise")): {"Kate": "Emi"}}
"""Names that the questions of a chat (known by its speakers) use for a speaker who has another name there.

The questions on Emi and elise call Emi "Kate", as elise does in that chat; but no message has Kate as its
speaker, so that nothing could match. Messages stay as they are; ``questions`` puts the speaker's name in.
"""


@dataclass(frozen=True, slots=True)
class RealtalkReader:
    """Reads REALTALK. session = "<file>/session_<n>", message_id = "<file>/<dia_id>", times read as UTC.

    A message with a photo ends in "[shares a photo]"; the photo's caption, made by a model, is in data only.
    """

    name: str = "realtalk"
    suffixes: tuple[str, ...] = (".json",)

    def accepts(self, path: Path, data: Any) -> bool:
        if not isinstance(data, Mapping):
            return False
        first = next((data[f"session_{n}"] for n in numbered_sessions(data)), None)
        message = first[0] if isinstance(first, list) and first else None
        return isinstance(message, Mapping) and "clean_text" in message

    def read(self, path: Path, data: Any) -> Iterator[Turn]:
        yield from _turns(as_record(data, str(path)), label(path.stem), str(path))


def read_conversation(record: Mapping[str, Any], *, name: str) -> list[Turn]:
    """Return the turns of one chat. ``name`` is that of its file, without suffix."""
    return list(_turns(as_record(record, name), name, name))


def questions(record: Mapping[str, Any], *, name: str) -> list[Question]:
    """Return the questions of one chat, with evidence as dia_ids ("D1:3"), and with ``ALIASES`` resolved."""
    speakers = frozenset(map(str, as_record(record.get("name", {}), f"'name' of {name}").values()))
    found = questions_of(record, record, name)
    for alias, speaker in ALIASES.get(speakers, {}).items():
        word = re.compile(rf"\b{re.escape(alias)}\b")
        found = [replace(q, text=word.sub(speaker, q.text), answer=word.sub(speaker, q.answer)) for q in found]
    return found


def _turns(record: Mapping[str, Any], name: str, where: str) -> Iterator[Turn]:
    numbers = numbered_sessions(record)
    if not numbers:
        raise InvalidInput(f"{where} has no session_1.", hint="Is this a REALTALK chat?")
    for number in numbers:
        for place, message in session_messages(record, number, where):
            dia_id = text_field(message, "dia_id", place)
            image = _image(message)
            words = [text_field(message, "clean_text", place).rstrip(), _PHOTO if image else ""]
            yield Turn(
                content=" ".join(word for word in words if word),
                speaker=text_field(message, "speaker", place),
                said_at=_time(message.get("date_time"), place),
                session=f"{name}/session_{number}",
                message_id=f"{name}/{dia_id}",
                data={"dia_id": dia_id, "image": image} if image else {"dia_id": dia_id},
            )


def _image(message: Mapping[str, Any]) -> dict[str, Any]:
    if not message.get("img_file") and not message.get("img_url"):
        return {}
    names = {"img_file": "files", "img_url": "urls", "blip_caption": "caption"}
    return {name: message[key] for key, name in names.items() if message.get(key)}


def _time(written: Any, where: str) -> datetime | None:
    """Return the time written as "29.12.2023, 22:42:04", day first; None stays None."""
    if written is None:
        return None
    match = _TIME.fullmatch(str(written).strip())
    if match is None:
        raise InvalidInput(f"The time of {where} is not like '29.12.2023, 22:42:04': {written!r}.")
    day, month, year, hour, minute, second = map(int, match.groups())
    return utc_time(where, year, month, day, hour, minute, second)
