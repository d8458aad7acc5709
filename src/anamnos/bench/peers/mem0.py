"""Mem0 (mem0ai 2.x), asked the same as Anamnos: ``python -m anamnos.bench.peers.mem0`` in Mem0's own environment.

No language model: ``infer=False`` stores each message as it is. Vectors come from our embedder, and go to its default
vector store, Qdrant in a local folder. Its optional extras (keyword search, entities) are not installed.
Source: https://github.com/mem0ai/mem0
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from anamnos.bench.child import serve
from anamnos.bench.peers.protocol import Request, Run, indexed_text, refuse_network, requested_embedder
from anamnos.bench.surroundings import installed
from anamnos.bench.timing import TimedEmbedder


class _GivenEmbedder:
    """Our embedder behind the two methods that Mem0 calls."""

    def __init__(self, embedder: TimedEmbedder) -> None:
        self.embedder = embedder

    def embed(self, text: str, memory_action: str | None = None) -> list[float]:
        vector: list[float] = self.embedder.embed([text])[0].tolist()
        return vector

    def embed_batch(self, texts: list[str], memory_action: str | None = None) -> list[list[float]]:
        vectors: list[list[float]] = self.embedder.embed(texts).tolist()
        return vectors


def answer(request: Request) -> dict[str, Any]:
    """Add turn by turn, then search."""
    folder = Path(request["folder"]) / "mem0"
    folder.mkdir(parents=True)
    os.environ.update(MEM0_TELEMETRY="False", MEM0_DIR=str(folder / "home"), OPENAI_API_KEY="unused")
    refuse_network()
    embedder = requested_embedder(request)
    memory = _memory(folder, embedder)
    run = Run("mem0", request, embedder)
    turn_of: dict[str, str] = {}
    for case, turn in run.turns():
        message = [{"role": "user", "content": indexed_text(turn)}]
        added = run.adds.time(lambda c=case, m=message: memory.add(m, user_id=c["id"], infer=False))  # type: ignore[misc]
        turn_of[added["results"][0]["id"]] = turn["id"]
    for case, query in run.queries():
        found = run.searches.time(
            lambda c=case, q=query: memory.search(  # type: ignore[misc]
                q["text"], filters={"user_id": c["id"]}, top_k=request["top_k"], threshold=0.0
            )
        )
        run.ranked[query["id"]] = [turn_of[hit["id"]] for hit in found["results"]]
    memory.vector_store.client.close()
    return run.result(
        versions=installed(("mem0ai", "qdrant-client", "anamnos", "numpy", "onnxruntime")),
        notes=["infer=False", "local Qdrant folder", "threshold 0", "optional extras not installed"],
        folder=folder,
    )


def _memory(folder: Path, embedder: TimedEmbedder) -> Any:
    from mem0 import Memory

    memory = Memory.from_config(
        {
            "vector_store": {
                "provider": "qdrant",
                "config": {"path": str(folder / "qdrant"), "on_disk": True, "embedding_model_dims": embedder.dim},
            },
            "llm": {"provider": "openai", "config": {"api_key": "unused"}},  # never called with infer=False
            "embedder": {"provider": "openai", "config": {"api_key": "unused", "embedding_dims": embedder.dim}},
            "history_db_path": str(folder / "history.db"),
        }
    )
    memory.embedding_model = _GivenEmbedder(embedder)
    return memory


if __name__ == "__main__":
    serve(answer)
