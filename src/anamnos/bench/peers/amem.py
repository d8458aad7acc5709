"""A-MEM (the package a-mem), without a language model: ``python -m anamnos.bench.peers.amem`` in its own environment.

A-MEM has a language model write keywords, tags and a context for each note and decide on links between notes. Without
one it keeps the note as it is, which is what its code does when the model fails, so this measures its retriever:
Chroma over our embedder's vectors. One memory per user, as it knows no users.
Source: arXiv:2502.12110; https://github.com/DiaaAj/a-mem-mcp, a packaged fork of the authors' code
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from anamnos.bench.child import serve
from anamnos.bench.peers.protocol import Request, Run, indexed_text, refuse_network, requested_embedder
from anamnos.bench.surroundings import installed
from anamnos.bench.timing import TimedEmbedder


class _NoModel:
    """Answers as A-MEM's own controllers do when their model fails: nothing to say, nothing to change."""

    def get_completion(self, prompt: str, response_format: object = None, temperature: float = 1.0) -> str:
        return json.dumps({"keywords": [], "context": "General", "tags": [], "should_evolve": False})


def answer(request: Request) -> dict[str, Any]:
    """Add note by note, then search."""
    folder = Path(request["folder"]) / "amem"
    folder.mkdir(parents=True)
    os.environ.update(
        HOME=str(folder), ANONYMIZED_TELEMETRY="False", LITELLM_LOCAL_MODEL_COST_MAP="True", HF_HUB_OFFLINE="1"
    )
    refuse_network()
    embedder = requested_embedder(request)
    users = {
        case["id"]: _memory(folder / str(number), embedder) for number, case in enumerate(request["cases"], start=1)
    }
    run = Run("amem", request, embedder)
    turn_of: dict[str, str] = {}
    for case, turn in run.turns():
        note = run.adds.time(lambda c=case, t=turn: users[c["id"]].add_note(indexed_text(t), time=_minute(t)))  # type: ignore[misc]
        turn_of[note] = turn["id"]
    for case, query in run.queries():
        found = run.searches.time(
            lambda c=case, q=query: users[c["id"]].search_agentic(q["text"], k=request["top_k"])  # type: ignore[misc]
        )
        run.ranked[query["id"]] = [turn_of[note["id"]] for note in found]
    return run.result(
        versions=installed(("a-mem", "chromadb", "anamnos", "numpy", "onnxruntime")),
        notes=[
            "no language model: notes without keywords, tags, context and links, so its retriever alone",
            "Chroma, one folder per user",
        ],
        folder=folder,
    )


def _memory(folder: Path, embedder: TimedEmbedder) -> Any:
    from agentic_memory import memory_system, retrievers
    from chromadb import EmbeddingFunction

    class Given(EmbeddingFunction):  # type: ignore[misc]
        """Our embedder as Chroma wants it."""

        def __init__(self, model_name: str = "") -> None:
            self.model_name = model_name

        def __call__(self, input: Sequence[str]) -> Any:
            return list(embedder.embed(list(input)))

    retrievers.SentenceTransformerEmbeddingFunction = Given
    memory = memory_system.AgenticMemorySystem(storage_path=str(folder), llm_backend="openai", api_key="unused")
    memory.llm_controller.llm = _NoModel()
    return memory


def _minute(turn: dict[str, Any]) -> str | None:
    """Return when it was said as A-MEM writes it: YYYYMMDDHHMM."""
    return "".join(c for c in turn["said_at"] if c.isdigit())[:12] if turn["said_at"] else None


if __name__ == "__main__":
    serve(answer)
