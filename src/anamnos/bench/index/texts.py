"""All texts of a folder of public data sets as sentences, and their vectors."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from anamnos.bench.timing import Progress, quiet
from anamnos.embed.base import Embedder, Vectors
from anamnos.errors import InvalidInput

MOST = 250_000
_FOLDERS = ("multihop", "locomo", "realtalk", "longmemeval", "personamem", "nq_open", "wikitext2", "counterfact")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_LINE_BREAK = re.compile(r"(?<!\n)\n(?!\n)")  # within a paragraph of a book
_SHORTEST, _LONGEST = 20, 400  # characters
_EMBEDDED = 200  # characters of each
_BATCH = 4_096


def sentences(folder: Path, seed: int = 0) -> list[str]:
    """Return the distinct sentences of books, passages, chats and prompts in ``folder``, 250,000 at most, shuffled.

    Raises: InvalidInput if there are none.
    """
    found: dict[str, None] = {}
    for path in sorted((folder / "books").glob("*.txt")):
        found.update(dict.fromkeys(_split(_LINE_BREAK.sub(" ", path.read_text("utf-8", errors="replace")))))
    for path in (path for name in _FOLDERS for path in sorted((folder / name).glob("*"))):
        found.update(dict.fromkeys(part for text in _strings(_read(path)) for part in _split(text)))
    if not found:
        raise InvalidInput(f"There are no texts in {folder}.", hint="Name the folder that holds books, locomo, …")
    ordered = list(found)
    return [ordered[number] for number in np.random.default_rng(seed).permutation(len(ordered))[:MOST]]


def embed_texts(texts: list[str], embedder: Embedder, progress: Progress = quiet) -> Vectors:
    """Return the vectors of the first 200 characters of each of ``texts``."""
    vectors = np.empty((len(texts), embedder.dim), dtype=np.float32)
    for start in range(0, len(texts), _BATCH):
        part = [text[:_EMBEDDED] for text in texts[start : start + _BATCH]]
        vectors[start : start + len(part)] = embedder.embed(part)
        progress("embedding", start + len(part), len(texts))
    return vectors


def _split(text: str) -> Iterator[str]:
    for part in _SENTENCE.split(text):
        sentence = " ".join(part.split())
        if _SHORTEST <= len(sentence) <= _LONGEST:
            yield sentence


def _read(path: Path) -> Any:
    """Return a file as JSON, else line by line as JSON, else as lines of text."""
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8", errors="replace")
    try:
        return json.loads(text)
    except ValueError:
        return [_line(line) for line in text.split("\n")]


def _line(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return line


def _strings(value: Any) -> Iterator[str]:
    """Yield the strings in a JSON value; the keys of objects are not among them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _strings(part)
