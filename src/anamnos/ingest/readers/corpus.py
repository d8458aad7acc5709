"""Passages with titles, as retrieval benchmarks hand out their corpora: BEIR's corpus.jsonl and its relatives.

A file is a JSON list, or JSON Lines, of {title, text} with, if known, an id under ``_id`` or ``id``.
Source: the corpus format of BEIR, arXiv:2104.08663.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anamnos.cube import Role
from anamnos.errors import InvalidInput
from anamnos.ingest.readers.base import Turn
from anamnos.ingest.readers.files import JSONL_SUFFIXES, json_lines
from anamnos.ingest.readers.turns import as_list, as_record, label, text_field


@dataclass(frozen=True, slots=True)
class CorpusReader:
    """Reads passages. content = the title on a line of its own, then the text, so that a search finds both; a
    passage stays whole, however long.

    session     the title: passages of the same title are of the same article
    message_id  the passage's id, if the file gives one
    data        ``{"title": …}``, if there is a title
    """

    name: str = "corpus"
    suffixes: tuple[str, ...] = (".json", *JSONL_SUFFIXES)

    def accepts(self, path: Path, data: Any) -> bool:
        first = data[0] if isinstance(data, list) and data else data
        if isinstance(data, Mapping) and path.suffix.lower() not in JSONL_SUFFIXES:
            return False
        return isinstance(first, Mapping) and all(isinstance(first.get(key), str) for key in ("title", "text"))

    def read(self, path: Path, data: Any) -> Iterator[Turn]:
        if path.suffix.lower() in JSONL_SUFFIXES:
            items = [(f"line {number} of {path}", value) for number, value in json_lines(path)]
        else:
            items = [(f"passage {n} of {path}", value) for n, value in enumerate(as_list(data, str(path)), start=1)]
        for where, value in items:
            yield _passage(as_record(value, where), where)


def _passage(record: Mapping[str, Any], where: str) -> Turn:
    text = text_field(record, "text", where)
    title = text_field(record, "title", where) if record.get("title") is not None else ""
    passage_id = next((record[key] for key in ("_id", "id") if record.get(key) is not None), None)
    if passage_id is not None and (isinstance(passage_id, bool) or not isinstance(passage_id, str | int)):
        raise InvalidInput(f"The id of {where} must be text or a whole number, got {type(passage_id).__name__}.")
    return Turn(
        content=f"{title}\n{text}" if title.strip() else text,
        session=label(title) if title.strip() else None,
        message_id=None if passage_id is None else str(passage_id),
        role=Role.RESOURCE,
        data={"title": title} if title.strip() else {},
    )
