"""REALTALK: real messenger chats of 21 days. Source: arXiv:2502.13270."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from anamnos.bench.dialogues import Conversation, run_dialogues, sessions_of
from anamnos.embed.base import Embedder
from anamnos.errors import InvalidInput
from anamnos.ingest.readers.files import read_json
from anamnos.ingest.readers.realtalk import questions, read_conversation


def run_realtalk(
    data: Path, embedder: Embedder, *, limit_conversations: int | None = None, **options: Any
) -> dict[str, Any]:
    """Return the JSON of the benchmark; ``options`` are those of ``run_dialogues``.

    data  the folder with the chats, ``Chat_*.json``
    Raises: InvalidInput if there is none.
    """
    talks = chats(data, limit_conversations)
    with tempfile.TemporaryDirectory(prefix="anamnos-bench-") as folder:
        return run_dialogues("realtalk", talks, embedder, Path(folder), data=about(data, talks), **options)


def chats(data: Path, limit: int | None = None) -> list[Conversation]:
    """Return the first ``limit`` chats of the folder. Raises: InvalidInput if there is none."""
    files = sorted(data.glob("Chat_*.json"))[:limit]
    if not files:
        raise InvalidInput(f"There is no Chat_*.json in {data}.", hint="Name the folder of the REALTALK chats.")
    talks = []
    for path in files:
        record = read_json(path)
        sessions = sessions_of(read_conversation(record, name=path.stem))
        talks.append(Conversation(path.stem, path, questions(record, name=path.stem), sessions))
    return talks


def about(data: Path, talks: Sequence[Conversation]) -> dict[str, str]:
    """Return the name of the folder and the checksum of its ``talks``, all files in a row."""
    digest = hashlib.sha256()
    for talk in talks:
        digest.update(talk.path.read_bytes())
    return {"name": f"{data.name} ({len(talks)} chats)", "sha256": digest.hexdigest()}
