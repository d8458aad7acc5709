"""Mem0: what ``Memory.get_all`` and ``MemoryClient.get_all`` return, saved as JSON.

A list of memories, or an object with the list under ``results`` or ``memories``; JSON Lines has one memory a line. A
memory is ``{id, memory}`` with, if known, ``user_id``, ``agent_id``, ``run_id``, ``actor_id``, ``created_at``,
``updated_at``, ``metadata``, ``categories``. Source: https://docs.mem0.ai/api-reference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anamnos.cube import Role
from anamnos.ingest.readers.base import Turn
from anamnos.ingest.readers.files import JSONL_SUFFIXES
from anamnos.ingest.readers.times import parse_time
from anamnos.ingest.readers.turns import label, looks_like, present, records, text_field, text_or_none

_LISTS = ("results", "memories")
_KEPT = ("user_id", "agent_id", "app_id", "role", "updated_at", "metadata", "categories", "hash")
_SHAPE = 'A memory of Mem0 looks like {"id": "…", "memory": "Likes tea.", "created_at": "…"}.'


@dataclass(frozen=True, slots=True)
class Mem0Reader:
    """Reads Mem0's memories as facts. session = ``run_id``, message_id = ``id``, speaker = ``actor_id``."""

    name: str = "mem0"
    suffixes: tuple[str, ...] = (".json", *JSONL_SUFFIXES)

    def accepts(self, path: Path, data: Any) -> bool:
        return looks_like(data, _LISTS, lambda record: isinstance(record.get("memory"), str) and "id" in record)

    def read(self, path: Path, data: Any) -> Iterator[Turn]:
        for where, record in records(path, data, _LISTS, _SHAPE):
            yield _turn(record, where)


def _turn(memory: Mapping[str, Any], where: str) -> Turn:
    session = text_or_none(memory, "run_id")
    created_at = memory.get("created_at")
    return Turn(
        text_field(memory, "memory", where),
        speaker=text_or_none(memory, "actor_id"),
        said_at=None if created_at is None else parse_time(created_at, where),
        session=None if session is None else label(session),
        message_id=text_or_none(memory, "id"),
        role=Role.FACT,
        data=present(memory, *_KEPT),
    )
