"""Zep and Graphiti: episodes and facts of a temporal graph, saved as JSON.

An object with ``episodes`` and ``edges`` (or ``facts``), and perhaps ``nodes``; or a list of episodes or of edges. An
episode is ``{uuid, content}`` with ``source``, ``role``, ``valid_at``, ``created_at``; an edge ``{uuid, fact}`` with
``name``, ``source_node_uuid``, ``target_node_uuid``, ``episodes``, ``valid_at``, ``invalid_at``, ``created_at``.
Source: EpisodicNode and EntityEdge of Graphiti, arXiv:2501.13956; https://help.getzep.com/sdk-reference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from anamnos.cube import Role
from anamnos.ingest.readers.base import Turn
from anamnos.ingest.readers.files import JSONL_SUFFIXES
from anamnos.ingest.readers.times import parse_time
from anamnos.ingest.readers.turns import (
    as_list,
    as_record,
    label,
    looks_like,
    present,
    records,
    text_field,
    text_or_none,
)

_LISTS = ("episodes", "edges", "facts")
_EPISODE_SIGNS = ("source", "role_type", "valid_at", "entity_edges", "thread_id")
_SHAPE = 'It has "episodes" with {"uuid", "content"}, or "edges" with {"uuid", "fact", "valid_at", "invalid_at"}.'


@dataclass(frozen=True, slots=True)
class ZepReader:
    """Reads episodes as what was said (messages) or written (text, JSON), and edges as facts with their validity.

    A fact is true from ``valid_at`` to ``invalid_at``; it was said when the first of its episodes was, if the file has
    that one. session = ``thread_id``, ``session_id`` or ``group_id``; message_id = ``uuid``.
    """

    name: str = "zep"
    suffixes: tuple[str, ...] = (".json", *JSONL_SUFFIXES)

    def accepts(self, path: Path, data: Any) -> bool:
        return looks_like(data, _LISTS, _is_ours)

    def read(self, path: Path, data: Any) -> Iterator[Turn]:
        found = list(records(path, data, _LISTS, _SHAPE))
        said: dict[str, datetime] = {}
        for where, record in found:
            if "fact" not in record:
                turn = _episode(record, where)
                if turn.message_id is not None and turn.said_at is not None:
                    said[turn.message_id] = turn.said_at
                yield turn
        names = _node_names(data, str(path))
        for where, record in found:
            if "fact" in record:
                yield _fact(record, where, said, names)


def _is_ours(record: Mapping[str, Any]) -> bool:
    if "uuid" not in record:
        return False
    return isinstance(record.get("fact"), str) or ("content" in record and any(s in record for s in _EPISODE_SIGNS))


def _episode(record: Mapping[str, Any], where: str) -> Turn:
    speaker = text_or_none(record, "role", "role_type")
    is_message = speaker is not None or record.get("source") == "message"
    return Turn(
        text_field(record, "content", where),
        speaker=speaker,
        said_at=_time(record, where, "valid_at", "created_at"),
        session=_session(record),
        message_id=text_or_none(record, "uuid"),
        role=Role.TURN if is_message else Role.RESOURCE,
        data=present(record, "name", "source", "source_description", "role_type"),
    )


def _fact(record: Mapping[str, Any], where: str, said: Mapping[str, datetime], names: Mapping[str, str]) -> Turn:
    episodes = [str(uuid) for uuid in as_list(record.get("episodes") or [], f"'episodes' of {where}")]
    told = next((said[uuid] for uuid in episodes if uuid in said), None)
    valid_from, valid_to = _time(record, where, "valid_at"), _time(record, where, "invalid_at")
    data = present(record, "name", "episodes", "attributes", "expired_at")
    if valid_from is not None and valid_to is not None and valid_to < valid_from:  # bounds that bound nothing
        data |= present(record, "valid_at", "invalid_at")
        valid_from = valid_to = None
    for end in ("source", "target"):
        if name := names.get(str(record.get(f"{end}_node_uuid"))):
            data[end] = name
    return Turn(
        text_field(record, "fact", where),
        said_at=told or _time(record, where, "created_at"),
        session=_session(record),
        message_id=text_or_none(record, "uuid"),
        role=Role.FACT,
        data=data,
        valid_from=valid_from,
        valid_to=valid_to,
    )


def _node_names(data: Any, where: str) -> dict[str, str]:
    nodes = (data.get("nodes") or data.get("entities") or []) if isinstance(data, Mapping) else []
    names = {}
    for number, node in enumerate(as_list(nodes, f"'nodes' of {where}"), start=1):
        record = as_record(node, f"node {number} of {where}")
        names[str(record.get("uuid"))] = text_or_none(record, "name") or ""
    return names


def _session(record: Mapping[str, Any]) -> str | None:
    session = text_or_none(record, "thread_id", "session_id", "group_id", "graph_id")
    return None if session is None else label(session)


def _time(record: Mapping[str, Any], where: str, *keys: str) -> datetime | None:
    value = next((record[key] for key in keys if record.get(key) is not None), None)
    return None if value is None else parse_time(value, where)
