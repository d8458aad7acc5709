"""Plain text: each paragraph is a passage; one longer than 1,000 characters is cut at sentence ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anamnos.cube import Role
from anamnos.ingest.readers.base import Turn
from anamnos.ingest.readers.files import read_text
from anamnos.ingest.readers.passages import paragraphs, split_long
from anamnos.ingest.readers.turns import label


@dataclass(frozen=True, slots=True)
class TextReader:
    """Reads books and notes. session = the file's name without suffix; data holds the paragraph's line."""

    name: str = "text"
    suffixes: tuple[str, ...] = (".txt", ".log", "")

    def accepts(self, path: Path, data: Any) -> bool:
        return data is None

    def read(self, path: Path, data: Any) -> Iterator[Turn]:
        session = label(path.stem)
        for line, paragraph in paragraphs(read_text(path)):
            for passage in split_long(paragraph):
                yield Turn(passage, session=session, role=Role.RESOURCE, data={"line": line})
