"""LangGraph: the items of a store, as ``store.search`` gives them, saved as JSON.

A list of items, or an object with the list under ``items``; JSON Lines has one item a line. An item is ``{namespace,
key, value}`` with ``created_at`` and ``updated_at`` (or ``createdAt``, ``updatedAt``).
Source: ``Item`` of langgraph.store.base, https://reference.langchain.com/python/langgraph.store/base/Item.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anamnos.cube import MAX_NAME_CHARS, Role
from anamnos.errors import InvalidInput
from anamnos.ingest.readers.base import Turn
from anamnos.ingest.readers.files import JSONL_SUFFIXES
from anamnos.ingest.readers.times import parse_time
from anamnos.ingest.readers.turns import as_list, label, looks_like, present, records, text_or_none

_LISTS = ("items",)
_FIELDS = {"namespace", "key", "value"}
_WORDS = ("content", "text", "memory", "data")
_SHAPE = 'An item of a store looks like {"namespace": ["memories", "ann"], "key": "a1", "value": {"text": "…"}}.'


@dataclass(frozen=True, slots=True)
class LangGraphReader:
    """Reads the items of a store as notes. session = the namespace, joined by "/"; message_id = "<namespace>/<key>".

    The words are those under ``content``, ``text``, ``memory`` or ``data`` of the value, wherever the first of these is
    text; a value without such a field is kept as JSON. What else the value has is in the data.
    """

    name: str = "langgraph"
    suffixes: tuple[str, ...] = (".json", *JSONL_SUFFIXES)

    def accepts(self, path: Path, data: Any) -> bool:
        return looks_like(data, _LISTS, lambda record: set(record) >= _FIELDS)

    def read(self, path: Path, data: Any) -> Iterator[Turn]:
        for where, record in records(path, data, _LISTS, _SHAPE):
            yield _turn(record, where)


def _turn(item: Mapping[str, Any], where: str) -> Turn:
    if missing := _FIELDS - set(item):
        raise InvalidInput(f"{where} has no {', '.join(map(repr, sorted(missing)))}.", hint=_SHAPE)
    namespace = item["namespace"]
    parts = namespace.split(".") if isinstance(namespace, str) else as_list(namespace, f"'namespace' of {where}")
    session = label("/".join(map(str, parts)))
    key = text_or_none(item, "key")
    message_id = f"{session}/{key}"
    if key is None or len(message_id) > MAX_NAME_CHARS:
        raise InvalidInput(f"'key' of {where} must be a short text, got {item['key']!r}.", hint=_SHAPE)
    words, rest = _words(item["value"])
    created_at = item.get("created_at", item.get("createdAt"))
    return Turn(
        words,
        said_at=None if created_at is None else parse_time(created_at, where),
        session=session,
        message_id=message_id,
        role=Role.NOTE,
        data={**({"value": rest} if rest else {}), **present(item, "updated_at", "updatedAt")},
    )


def _words(value: Any) -> tuple[str, Any]:
    """Return the words of a value, and the fields beside them."""
    if isinstance(value, str):
        return value, None
    if isinstance(value, Mapping):
        for name in _WORDS:
            rest = {key: other for key, other in value.items() if key != name}
            if isinstance(value.get(name), str):
                return value[name], rest
            if isinstance(value.get(name), Mapping):
                words, inner = _words(value[name])
                return words, {**rest, **({name: inner} if inner else {})}
    return json.dumps(value, ensure_ascii=False), None
