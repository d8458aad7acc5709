"""LoCoMo: very long conversations of two people. Source: arXiv:2402.17753."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anamnos.bench.dialogues import Conversation, run_dialogues, sessions_of
from anamnos.bench.limits import Limit, limits_json
from anamnos.bench.surroundings import sha256
from anamnos.embed.base import Embedder
from anamnos.errors import InvalidInput
from anamnos.ingest.readers.files import read_json
from anamnos.ingest.readers.locomo import conversations, questions, read_conversation

_ADD_SLACK_MS = 10.0
_SEARCH_SLACK_MS = 10.0


def run_locomo(
    data: Path, embedder: Embedder, *, limit_conversations: int | None = None, **options: Any
) -> dict[str, Any]:
    """Return the JSON of the benchmark; ``options`` are those of ``run_dialogues``.

    data  a LoCoMo file, of either release
    Raises: InvalidInput if the file is not LoCoMo or has no questions with evidence.
    """
    with tempfile.TemporaryDirectory(prefix="anamnos-bench-") as folder:
        talks = split(data, Path(folder), limit_conversations)
        about = {"name": data.name, "sha256": sha256(data)}
        result = run_dialogues("locomo", talks, embedder, Path(folder), data=about, **options)
    result["limits"] = limits_json(_limits(result))
    return result


def split(data: Path, folder: Path, limit: int | None = None) -> list[Conversation]:
    """Return the conversations of a LoCoMo file, each written to a file of its own in ``folder``."""
    talks = []
    for number, record in enumerate(conversations(read_json(data), where=str(data))[:limit], start=1):
        sample_id = str(record.get("sample_id") or f"conversation-{number}")
        path = folder / f"{number}.json"
        path.write_text(json.dumps([{**record, "sample_id": sample_id}]), "utf-8")
        sessions = sessions_of(read_conversation(record, sample_id=sample_id))
        talks.append(Conversation(sample_id, path, questions(record, sample_id=sample_id), sessions))
    if not any(question.evidence for talk in talks for question in talk.questions):
        raise InvalidInput(f"{data} has no questions with evidence.", hint="Is this a LoCoMo file?")
    return talks


def _limits(result: Mapping[str, Any]) -> list[Limit]:
    add, search, ingest = result["add"], result["search"], result["ingest"]
    if not str(result["embedder"]["id"]).startswith("all-minilm"):
        return []  # they are set for the default embedder
    return [
        Limit("turn recall_frac@10, all questions", "at least", 0.76, result["turn"]["all"]["recall_frac@10"]),
        Limit(
            "ingest / bare embedder",
            "at least",
            0.85,
            ingest["ratio"],
            why="each batch embedded twice in the same run: by ingest and bare",
        ),
        Limit(
            "add of one message, p95",
            "at most",
            add["embedding_p95_ms"] + _ADD_SLACK_MS,
            add["p95_ms"],
            "ms",
            f"its embedding's p95 + {_ADD_SLACK_MS:g} ms",
        ),
        Limit(
            "search, p95",
            "at most",
            3 * search["embedding_p50_ms"] + _SEARCH_SLACK_MS,
            search["p95_ms"],
            "ms",
            f"3 x the cue's embedding, median, + {_SEARCH_SLACK_MS:g} ms",
        ),
    ]
