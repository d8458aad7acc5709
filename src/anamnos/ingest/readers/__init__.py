"""Sources to turns: one reader per file format, and the choice of the right one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from anamnos.errors import InvalidInput
from anamnos.ingest.readers.base import Reader, Turn
from anamnos.ingest.readers.chatgpt import ChatGptReader
from anamnos.ingest.readers.chatlog import ChatlogReader
from anamnos.ingest.readers.claude import ClaudeReader
from anamnos.ingest.readers.corpus import CorpusReader
from anamnos.ingest.readers.files import JSONL_SUFFIXES, MAX_BYTES, check_file, json_lines, read_json
from anamnos.ingest.readers.langgraph import LangGraphReader
from anamnos.ingest.readers.locomo import LocomoReader
from anamnos.ingest.readers.longmemeval import LongMemEvalReader
from anamnos.ingest.readers.markdown import MarkdownReader
from anamnos.ingest.readers.mem0 import Mem0Reader
from anamnos.ingest.readers.messages import MessagesReader, turns_from_messages
from anamnos.ingest.readers.realtalk import RealtalkReader
from anamnos.ingest.readers.text import TextReader
from anamnos.ingest.readers.turns import checked
from anamnos.ingest.readers.zep import ZepReader

__all__ = ["READERS", "Reader", "Turn", "find_reader", "read_file", "read_source", "turns_from_messages"]

READERS: tuple[Reader, ...] = (
    LocomoReader(),
    RealtalkReader(),
    LongMemEvalReader(),
    ChatGptReader(),
    ClaudeReader(),
    Mem0Reader(),
    ZepReader(),
    LangGraphReader(),
    MessagesReader(),
    CorpusReader(),
    ChatlogReader(),
    MarkdownReader(),
    TextReader(),
)
"""All readers; of those that accept a file the first one reads it."""


def read_file(path: Path | str, *, reader: str | None = None, max_bytes: int = MAX_BYTES) -> list[Turn]:
    """Return the turns of a file, in order and verbatim; what has no words is left out.

    reader  the format's name, or None to find it by the file's suffix and content
    Raises: InvalidInput naming the file and the place; LimitExceeded if it has more than ``max_bytes``.
    """
    return read_source(path, reader=reader, max_bytes=max_bytes)[1]


def read_source(path: Path | str, *, reader: str | None = None, max_bytes: int = MAX_BYTES) -> tuple[str, list[Turn]]:
    """Return the name of the reader that reads a file, and the turns, as ``read_file`` does."""
    path = Path(path)
    found, data = find_reader(path, reader, max_bytes=max_bytes)
    turns = checked(found.read(path, data), str(path))
    if not turns:
        raise InvalidInput(f"{path} holds no words to remember.")
    return found.name, turns


def find_reader(path: Path, name: str | None = None, *, max_bytes: int = MAX_BYTES) -> tuple[Reader, Any]:
    """Return the reader for a file and the file's JSON, which that reader's ``read`` takes.

    Raises: as ``read_file``.
    """
    check_file(path, max_bytes)
    suffix = path.suffix.lower()
    if name is not None:
        reader = _by_name(name)
        return reader, _json(path, suffix) if ".json" in reader.suffixes else None
    candidates = [reader for reader in READERS if suffix in reader.suffixes]
    if not candidates:
        unpack, name_it = "Unpack it, and ingest the folder.", "If it is text, name the format: reader='text'."
        hint = unpack if suffix in (".zip", ".gz", ".tgz", ".tar") else name_it
        raise InvalidInput(f"No reader for files like {path.name!r}.", hint=hint)
    data = _json(path, suffix) if ".json" in candidates[0].suffixes else None
    reader_found = next((reader for reader in candidates if reader.accepts(path, data)), None)
    if reader_found is None:
        raise InvalidInput(
            f"{path} is JSON in a shape that no reader knows.",
            hint=f"Readers of JSON are {_names(candidates)}; name one of them to be told what it misses.",
        )
    return reader_found, data


def _by_name(name: str) -> Reader:
    for reader in READERS:
        if reader.name == name:
            return reader
    raise InvalidInput(f"There is no reader {name!r}.", hint=f"Readers are {_names(READERS)}.")


def _json(path: Path, suffix: str) -> Any:
    """Return what a JSON file holds, or the first line of a JSON Lines file."""
    if suffix in JSONL_SUFFIXES:
        return next((value for _, value in json_lines(path)), None)
    return read_json(path)


def _names(readers: tuple[Reader, ...] | list[Reader]) -> str:
    return ", ".join(reader.name for reader in readers)
