"""What all readers share about turns: labels, fields of records, and the check of the finished list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from anamnos.cube import MAX_NAME_CHARS, check_name, check_text, check_time, freeze_json
from anamnos.errors import InvalidInput
from anamnos.ingest.readers.base import Turn


def checked(turns: Iterable[Turn], where: str) -> list[Turn]:
    """Return the turns that have words, each one ready to become a cube.

    where  names the source in error messages, for instance the file
    Raises: InvalidInput naming the turn if a part of it could not be stored, or if a message id comes twice.
    """
    kept: list[Turn] = []
    seen: dict[str, int] = {}
    for number, turn in enumerate(turns, start=1):
        place = f"turn {number} of {where}"
        check_text(f"The content of {place}", turn.content)
        for part in ("speaker", "session", "message_id"):
            if (value := getattr(turn, part)) is not None:
                check_name(f"The {part} of {place}", value)
        if turn.message_id is not None and (first := seen.setdefault(turn.message_id, number)) != number:
            raise InvalidInput(
                f"The message id {turn.message_id!r} comes twice in {where}: in turns {first} and {number}.",
                hint="Ids tell messages apart: correct the source, or leave the ids out.",
            )
        if turn.content.strip():
            said_at = None if turn.said_at is None else check_time(f"The time of {place}", turn.said_at)
            kept.append(replace(turn, said_at=said_at, data=freeze_json(f"The data of {place}", turn.data)))
    return kept


def label(text: str) -> str:
    """Return ``text`` as a session's name: on one line, without control characters, at most 512 characters.

    >>> label("  a\\n  b ")
    'a b'
    """
    clean = "".join(c if c.isprintable() else " " for c in text.encode("utf-8", "replace").decode("utf-8"))
    words = " ".join(clean.split()) or "untitled"
    return words if len(words) <= MAX_NAME_CHARS else words[: MAX_NAME_CHARS - 1] + "…"


def as_record(value: object, where: str) -> Mapping[str, Any]:
    """Return ``value`` if it is a JSON object; raise InvalidInput otherwise."""
    if not isinstance(value, Mapping):
        raise InvalidInput(f"{where} must be a JSON object, got {type(value).__name__}.")
    return value


def as_list(value: object, where: str) -> list[Any]:
    """Return ``value`` as a list if it is a JSON array; raise InvalidInput otherwise."""
    if not isinstance(value, list | tuple):
        raise InvalidInput(f"{where} must be a JSON array, got {type(value).__name__}.")
    return list(value)


def text_field(record: Mapping[str, Any], key: str, where: str) -> str:
    """Return the text under ``key``; raise InvalidInput if there is none."""
    value = record.get(key)
    if not isinstance(value, str):
        got = type(value).__name__ if key in record else "nothing"
        raise InvalidInput(f"{key!r} of {where} must be text, got {got}.")
    return value
