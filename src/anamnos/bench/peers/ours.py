"""Anamnos itself, asked the same as its peers: ``python -m anamnos.bench.peers.ours``."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from anamnos.bench.child import serve
from anamnos.bench.peers.protocol import Request, Run, refuse_network, requested_embedder
from anamnos.bench.surroundings import installed
from anamnos.bench.timing import significant, timed
from anamnos.cube import Scope
from anamnos.memory import Memory
from anamnos.recipes import RECIPES


def answer(request: Request) -> dict[str, Any]:
    """Add turn by turn, search, then add all once more at once to a second vault."""
    refuse_network()
    embedder = requested_embedder(request)
    run = Run("anamnos", request, embedder)
    vault = Path(request["folder"]) / "vault"
    turn_of: dict[str, str] = {}
    with Memory(vault, embedder=embedder) as memory:
        for case, turn in run.turns():
            receipt = run.adds.time(lambda c=case, t=turn: memory.add(_message(t), Scope(user=c["id"])))  # type: ignore[misc]
            turn_of[receipt.ids[0]] = turn["id"]
        for case, query in run.queries():
            hits = run.searches.time(
                lambda c=case, q=query: memory.search(q["text"], Scope(user=c["id"]), top_k=request["top_k"])  # type: ignore[misc]
            )
            run.ranked[query["id"]] = [turn_of[hit.id] for hit in hits]
    recipe = RECIPES[memory.settings.recipe]
    return run.result(
        versions=installed(("anamnos", "apsw", "numpy", "onnxruntime")),
        notes=[f"recipe {recipe.name} ({recipe.source})"],
        folder=vault,
        bulk={"per_s": _bulk_rate(request, embedder)},
    )


def _bulk_rate(request: Request, embedder: Any) -> float:
    """Return memories a second where each case's turns are added by one call."""
    seconds = 0.0
    with Memory(Path(request["folder"]) / "bulk", embedder=embedder) as memory:
        for case in request["cases"]:
            messages = [_message(turn) for turn in case["turns"]]
            seconds += timed(lambda c=case, m=messages: memory.add(m, Scope(user=c["id"])))[1]  # type: ignore[misc]
    return significant(sum(len(case["turns"]) for case in request["cases"]) / seconds)


def _message(turn: dict[str, Any]) -> dict[str, Any]:
    said_at = turn["said_at"]
    return {
        "role": "user",
        "name": turn["speaker"],
        "content": turn["text"],
        "id": turn["id"],
        "session": turn["session"],
        **({"created_at": datetime.fromisoformat(said_at)} if said_at else {}),
    }


if __name__ == "__main__":
    serve(answer)
