"""Logs of chats, one message a line: ``[2024-05-01 18:20] Ann: text`` or ``01/05/2024, 18:20 - Ann: text``.

The second form is what WhatsApp exports (on phones also as ``[01/05/2024, 18:20:33] Ann: text``). Lines
without a time continue the message above them. Whether 01/05 is in May or in January is decided once for
the whole file: an export does not mix the two.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from anamnos.errors import InvalidInput
from anamnos.ingest.readers.base import Turn
from anamnos.ingest.readers.files import read_text, text_head
from anamnos.ingest.readers.times import utc_time

_TIME = r"""
    (?P<a>\d{1,4}) (?P<separator>[-/.]) (?P<b>\d{1,2}) (?P=separator) (?P<c>\d{2,4})
    (?: ,?[ ] | T ) (?P<hour>\d{1,2}) : (?P<minute>\d\d) (?: : (?P<second>\d\d) (?:\.\d+)? )?
    (?: [ \u00a0\u202f]? (?P<half>[AaPp]) \.? [Mm] \.? )? Z?
"""
_IN_BRACKETS = re.compile(rf"[\u200e\u200f]* \[ {_TIME} \] [ ]? (?P<rest>.*)", re.VERBOSE | re.DOTALL)
_BEFORE_DASH = re.compile(rf"[\u200e\u200f]* {_TIME} [ ][-\u2013][ ] (?P<rest>.*)", re.VERBOSE | re.DOTALL)
_SPEAKER = re.compile(r"[\u200e\u200f]*(?P<name>[^:\n]{1,80}?):(?:\s+(?P<text>.*))?\Z", re.DOTALL)
_LEVELS = frozenset(("TRACE", "DEBUG", "INFO", "NOTICE", "WARN", "WARNING", "ERROR", "CRITICAL", "FATAL"))


@dataclass(frozen=True, slots=True)
class ChatlogReader:
    """Reads chat logs. session = the calendar day; times are UTC, since the format names no zone.

    A line with a time but without a speaker (somebody joined, a key changed) has speaker None.
    """

    name: str = "chatlog"
    suffixes: tuple[str, ...] = (".txt", ".log", "")

    def accepts(self, path: Path, data: Any) -> bool:
        if data is not None:
            return False
        lines = [line for line in text_head(path).split("\n") if line.strip()]
        if not lines or not _stamp(lines[0]):
            return False
        speakers = {_said(stamp["rest"])[0] for line in lines if (stamp := _stamp(line))} - {None}
        return bool(speakers) and not speakers <= _LEVELS  # else it is the log of a program

    def read(self, path: Path, data: Any) -> Iterator[Turn]:
        lines = read_text(path).split("\n")
        stamps = [_stamp(line) for line in lines]
        found = [stamp for stamp in stamps if stamp]
        if not found:
            raise InvalidInput(
                f"{path} has no line that starts with a time.",
                hint="A chat log has lines like '[2024-05-01 18:20] Ann: hi'; for others use reader='text'.",
            )
        day_first = _day_first(found)
        turn, words = Turn(""), list[str]()
        for number, (line, stamp) in enumerate(zip(lines, stamps, strict=True), start=1):
            if stamp is None:
                words.append(line)
                continue
            yield from _finished(turn, words)
            said_at = _said_at(stamp, day_first, f"line {number} of {path}")
            speaker, text = _said(stamp["rest"])
            turn, words = Turn("", speaker, said_at, session=said_at.date().isoformat()), [text]
        yield from _finished(turn, words)


def _stamp(line: str) -> re.Match[str] | None:
    return _IN_BRACKETS.match(line) or _BEFORE_DASH.match(line)


def _said(rest: str) -> tuple[str | None, str]:
    """Return (speaker, text) of what follows the time; a notice of the program has no speaker."""
    match = _SPEAKER.match(rest)
    if match is None or not match["name"].strip():
        return None, rest
    return match["name"].strip(), match["text"] or ""


def _finished(turn: Turn, words: list[str]) -> Iterator[Turn]:
    if content := "\n".join(words).strip():
        yield replace(turn, content=content)


def _day_first(stamps: list[re.Match[str]]) -> bool:
    """Return whether 01/05 is the first of May: so it is unless some line has a second number above 12."""
    dates = [(int(s["a"]), int(s["b"])) for s in stamps if len(s["a"]) <= 2]
    return any(a > 12 for a, _ in dates) or not any(b > 12 for _, b in dates)


def _said_at(stamp: re.Match[str], day_first: bool, where: str) -> datetime:
    a, b, c = int(stamp["a"]), int(stamp["b"]), int(stamp["c"])
    if len(stamp["a"]) > 2:
        year, month, day = a, b, c
    else:
        year = c if c > 99 else 2000 + c
        day, month = (a, b) if day_first else (b, a)
    hour = int(stamp["hour"])
    if stamp["half"]:
        hour = hour % 12 + (12 if stamp["half"] in "Pp" else 0)
    return utc_time(where, year, month, day, hour, int(stamp["minute"]), int(stamp["second"] or 0))
