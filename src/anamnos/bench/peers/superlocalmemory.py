"""SuperLocalMemory 4.x in its zero-LLM mode A: ``python -m anamnos.bench.peers.superlocalmemory`` in its environment.

Each turn is stored and enriched at once (what its ``--sync`` does): facts, entities, graph edges, scenes. It answers
with facts, so a turn stands where its best fact stands. Vectors come from our embedder instead of its default
nomic-embed-text-v1.5, and its cross-encoder is off: both need models that have to be downloaded.
Source: arXiv:2603.14588; https://github.com/qualixar/superlocalmemory
"""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from anamnos.bench.child import serve
from anamnos.bench.peers.protocol import Request, Run, distinct, indexed_text, refuse_network, requested_embedder
from anamnos.bench.surroundings import installed
from anamnos.bench.timing import TimedEmbedder

_FACTS_PER_TURN = 4  # facts asked for, per turn wanted: several facts come from one turn


class _GivenEmbedder:
    """Our embedder behind what SuperLocalMemory calls."""

    is_available = _available = is_warm = True

    def __init__(self, embedder: TimedEmbedder) -> None:
        self.embedder = embedder
        self.dimension = embedder.dim

    def embed(self, text: str) -> list[float]:
        vector: list[float] = self.embedder.embed([text])[0].tolist()
        return vector

    def embed_batch(self, texts: Sequence[str]) -> list[list[float]]:
        vectors: list[list[float]] = self.embedder.embed(list(texts)).tolist()
        return vectors

    def compute_fisher_params(self, embedding: list[float]) -> Any:
        from superlocalmemory.core.embeddings import EmbeddingService

        return EmbeddingService.compute_fisher_params(self, embedding)


def answer(request: Request) -> dict[str, Any]:
    """Store and enrich turn by turn, then recall."""
    folder = Path(request["folder"]) / "slm"
    folder.mkdir(parents=True)
    os.environ.update(HOME=str(folder), SLM_DATA_DIR=str(folder / "data"), HF_HUB_OFFLINE="1", SLM_SKIP_DEP_CHECK="1")
    refuse_network()
    embedder = requested_embedder(request)
    engine = _engine(folder / "data", embedder)
    from superlocalmemory.core.engine_ingestion import canonical_store, local_trusted_actor_id

    for case in request["cases"]:  # as its own command makes one
        engine.db.execute("INSERT OR IGNORE INTO profiles (profile_id, name) VALUES (?, ?)", (case["id"], case["id"]))
    run = Run("superlocalmemory", request, embedder)
    actor = local_trusted_actor_id("python-api")
    turns_of: dict[str, list[str]] = {}
    for case, turn in run.turns():
        facts = run.adds.time(
            lambda c=case, t=turn: canonical_store(  # type: ignore[misc]
                engine,
                indexed_text(t),
                source_type="python-api",
                trusted_actor_id=actor,
                session_id=t["session"],
                session_date=t["said_at"],
                speaker=t["speaker"],
                profile_id=c["id"],
                require_complete=True,
            )
        )
        for fact in facts:
            turns_of.setdefault(fact, []).append(turn["id"])
    for case, query in run.queries():
        found = run.searches.time(
            lambda c=case, q=query: engine.recall(  # type: ignore[misc]
                q["text"], profile_id=c["id"], limit=_FACTS_PER_TURN * request["top_k"]
            )
        )
        told = (turn for hit in found.results for turn in turns_of.get(hit.fact.fact_id, ()))
        run.ranked[query["id"]] = distinct(told, request["top_k"])
    vectors = "sqlite-vec" if engine._vector_store is not None else "its index in memory, as sqlite-vec does not load"
    engine.close()
    return run.result(
        versions=installed(("superlocalmemory", "anamnos", "numpy", "onnxruntime")),
        notes=[
            "mode A (no language model), each turn enriched before the next",
            "our embedder for its own, no cross-encoder: their models would have to be downloaded",
            f"vectors: {vectors}",
            f"{_FACTS_PER_TURN} facts asked for per turn wanted",
        ],
        folder=folder,
    )


def _engine(folder: Path, embedder: TimedEmbedder) -> Any:
    from superlocalmemory.core import engine_wiring
    from superlocalmemory.core.config import SLMConfig
    from superlocalmemory.core.engine import MemoryEngine
    from superlocalmemory.storage.models import Mode

    logging.getLogger("superlocalmemory").setLevel(logging.ERROR)  # it warns of every vector that is not of its model
    config = SLMConfig.for_mode(Mode.A, base_dir=folder)
    config.embedding = dataclasses.replace(config.embedding, model_name=embedder.id, dimension=embedder.dim)
    config.retrieval.use_cross_encoder = False
    engine_wiring.init_embedder = lambda _: _GivenEmbedder(embedder)
    engine = MemoryEngine(config)
    engine.initialize()
    return engine


if __name__ == "__main__":
    serve(answer)
