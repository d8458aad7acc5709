"""LangGraph's store with an index of vectors: ``python -m anamnos.bench.peers.langgraph`` in its own environment.

``InMemoryStore``, the one that needs no server: exact cosine over what is held in memory; nothing is written.
Source: https://github.com/langchain-ai/langgraph, libs/checkpoint
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from anamnos.bench.child import serve
from anamnos.bench.peers.protocol import Request, Run, indexed_text, refuse_network, requested_embedder
from anamnos.bench.surroundings import installed


def answer(request: Request) -> dict[str, Any]:
    """Put turn by turn, then search."""
    os.environ["LANGSMITH_TRACING"] = "false"
    refuse_network()
    from langgraph.store.memory import InMemoryStore

    embedder = requested_embedder(request)
    index = {"dims": embedder.dim, "embed": lambda texts: embedder.embed(texts).tolist(), "fields": ["text"]}
    store = InMemoryStore(index=index)
    run = Run("langgraph", request, embedder)
    for case, turn in run.turns():
        run.adds.time(lambda c=case, t=turn: store.put((c["id"],), t["id"], {"text": indexed_text(t)}))  # type: ignore[misc]
    for case, query in run.queries():
        found = run.searches.time(
            lambda c=case, q=query: store.search((c["id"],), query=q["text"], limit=request["top_k"])  # type: ignore[misc]
        )
        run.ranked[query["id"]] = [item.key for item in found]
    return run.result(
        versions=installed(("langgraph-checkpoint", "langchain-core", "anamnos", "numpy", "onnxruntime")),
        notes=["InMemoryStore, which keeps nothing on the disk", "one namespace per user"],
        folder=Path(request["folder"]) / "nothing",
    )


if __name__ == "__main__":
    serve(answer)
