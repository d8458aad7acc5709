"""LongMemEval: questions, each with a haystack of chat sessions. Source: arXiv:2410.10813.

A file holds a list of items {question_id, haystack_session_ids, haystack_dates, haystack_sessions}; the last
three run in parallel. In some files ``haystack_texts`` has one text a session, of the user's words, instead.
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
from anamnos.ingest.readers.times import parse_time, utc_time
from anamnos.ingest.readers.turns import as_list, as_record, text_field

_TIME = re.compile(r"(\d{4})/(\d{1,2})/(\d{1,2})(?: \([A-Za-z]+\))?(?: (\d{1,2}):(\d\d))?")


@dataclass(frozen=True, slots=True)
class LongMemEvalReader:
    """Reads LongMemEval. session = the session's id, message_id = "<session>/<number>", speaker = the role.

    A session that stands in several items is read once, with the date of the first.
    """

    name: str = "longmemeval"
    suffixes: tuple[str, ...] = (".json",)

    def accepts(self, path: Path, data: Any) -> bool:
        first = data[0] if isinstance(data, list) and data else data
        if not isinstance(first, Mapping) or "haystack_session_ids" not in first:
            return False
        return "haystack_sessions" in first or "haystack_texts" in first

    def read(self, path: Path, data: Any) -> Iterator[Turn]:
        items = data if isinstance(data, list) else [data]
        seen: dict[str, tuple[Any, str]] = {}
        for number, item in enumerate(items, start=1):
            yield from _turns(item, f"item {number} of {path}", seen)


def read_item(item: Mapping[str, Any], *, where: str = "the item") -> list[Turn]:
    """Return the turns of one item's haystack: the memory that its question is asked of."""
    return list(_turns(item, where, {}))


def question_time(item: Mapping[str, Any], *, where: str = "the item") -> datetime | None:
    """Return when the item's question is asked; None if the file does not say."""
    date = item.get("question_date")
    return None if date is None else _time(date, f"'question_date' of {where}")


def _turns(item: Any, where: str, seen: dict[str, tuple[Any, str]]) -> Iterator[Turn]:
    """Yield the turns of the sessions that are not in ``seen``: session id -> (words, where it was read)."""
    for session_id, date, session in _sessions(as_record(item, where), where):
        place = f"session {session_id!r} of {where}"
        messages = _messages(session, place)
        words = [(m["role"], m["content"]) for m in messages]
        known, known_where = seen.setdefault(session_id, (words, where))
        if known != words:
            raise InvalidInput(
                f"The words of {place} are not those of the session of the same id in {known_where}.",
                hint="Put the items into files of their own.",
            )
        if known is not words:
            continue
        said_at = None if date is None else _time(date, place)
        for number, message in enumerate(messages, start=1):
            yield Turn(
                content=message["content"],
                speaker=message["role"],
                said_at=said_at,
                session=session_id,
                message_id=f"{session_id}/{number}",
                data={key: message[key] for key in ("role", "has_answer") if key in message},
            )


def _sessions(item: Mapping[str, Any], where: str) -> list[tuple[str, Any, Any]]:
    """Return (id, date, session) for each session of the haystack."""
    ids = as_list(item.get("haystack_session_ids"), f"'haystack_session_ids' of {where}")
    key = "haystack_sessions" if "haystack_sessions" in item else "haystack_texts"
    sessions = as_list(item.get(key), f"{key!r} of {where}")
    dates = item.get("haystack_dates")
    dates = [None] * len(ids) if dates is None else as_list(dates, f"'haystack_dates' of {where}")
    if not len(ids) == len(dates) == len(sessions):
        counts = f"{len(ids)} session ids, {len(dates)} dates and {len(sessions)} sessions"
        raise InvalidInput(f"{where} has {counts}: their numbers must be equal.")
    return list(zip(map(str, ids), dates, sessions, strict=True))


def _messages(session: Any, where: str) -> list[Mapping[str, Any]]:
    if isinstance(session, str):
        return [{"role": "user", "content": session}]
    messages = as_list(session, where)
    for number, message in enumerate(messages, start=1):
        place = f"message {number} of {where}"
        for key in ("role", "content"):
            text_field(as_record(message, place), key, place)
    return messages


def _time(written: Any, where: str) -> datetime:
    """Return the time written as "2023/05/20 (Sat) 02:21" or in ISO 8601."""
    match = _TIME.fullmatch(written.strip()) if isinstance(written, str) else None
    if match is None:
        return parse_time(written, where)
    year, month, day, hour, minute = (int(part or 0) for part in match.groups())
    return utc_time(where, year, month, day, hour, minute)
