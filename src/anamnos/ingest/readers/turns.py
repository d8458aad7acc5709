"""What all readers share about turns: labels, fields of records, and the check of the finished list."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from anamnos.cube import MAX_NAME_CHARS, check_name, check_text, check_time, freeze_json
from anamnos.errors import InvalidInput
from anamnos.ingest.readers.base import Turn
from anamnos.ingest.readers.files import JSONL_SUFFIXES, json_lines


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


def text_or_none(record: Mapping[str, Any], *keys: str) -> str | None:
    """Return the first text under ``keys`` that has words, None if there is none; a number is taken as text."""
    for key in keys:
        value = record.get(key)
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if isinstance(value, str) and value.strip():
            return value
    return None


def present(record: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """Return those fields of a record that are there and not empty."""
    return {key: record[key] for key in keys if record.get(key) not in (None, "", [], {})}


def looks_like(data: Any, lists: Sequence[str], is_one: Callable[[Mapping[str, Any]], bool]) -> bool:
    """Return whether JSON is a list of such records, or an object with such lists under some of these names.

    is_one  says it of one record; the first of each list is asked
    """
    found = [data] if isinstance(data, list) else []
    if isinstance(data, Mapping):
        found = [data[name] for name in lists if isinstance(data.get(name), list)] or [[data]]
    firsts = [items[0] for items in found if items]
    return bool(firsts) and all(isinstance(first, Mapping) and is_one(first) for first in firsts)


def records(path: Path, data: Any, lists: Sequence[str], shape: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (place, record) for all that JSON as in ``looks_like``, or JSON Lines with a record a line, holds.

    shape  says in an error what a record looks like
    Raises: InvalidInput naming the place.
    """
    if path.suffix.lower() in JSONL_SUFFIXES:
        for number, value in json_lines(path):
            yield (where := f"line {number} of {path}"), as_record(value, where)
        return
    found = {str(path): data}
    if isinstance(data, Mapping):
        if not any(name in data for name in lists):
            raise InvalidInput(f"{path} has no {' or '.join(map(repr, lists))}.", hint=shape)
        found = {f"{name!r} of {path}": data.get(name) or [] for name in lists}
    for place, items in found.items():
        for number, value in enumerate(as_list(items, place), start=1):
            yield (where := f"item {number} of {place}"), as_record(value, where)


def current_branch(parents: Mapping[str, str | None], leaf: str, where: str) -> list[str]:
    """Return the nodes of a tree of messages from its root to ``leaf``.

    parents  node -> the one before it
    Raises: InvalidInput if a node is missing, or comes after itself.
    """
    path: list[str] = []
    node: str | None = leaf
    while node is not None:
        if node not in parents:
            raise InvalidInput(f"{where} names the message {node!r}, which it does not have.")
        if len(path) == len(parents):
            raise InvalidInput(f"{where} is a circle: the message {node!r} comes after itself.")
        path.append(node)
        node = parents[node]
    return path[::-1]
