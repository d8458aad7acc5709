"""The plain baseline of meaning: the embedder's vectors in one matrix, exact cosine, nothing else.

``python -m anamnos.bench.peers.dense``; it needs no environment of its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from anamnos.bench.child import serve
from anamnos.bench.peers.protocol import Request, Run, indexed_text, refuse_network, requested_embedder
from anamnos.bench.surroundings import installed
from anamnos.bench.timing import TimedEmbedder
from anamnos.embed.base import Vectors


class _Matrix:
    """The vectors of one user's turns, in a matrix that doubles when it is full."""

    def __init__(self, embedder: TimedEmbedder) -> None:
        self.embedder = embedder
        self.turns: list[str] = []
        self._rows: Vectors = np.empty((64, embedder.dim), dtype=np.float32)

    def add(self, turn: str, text: str) -> None:
        if len(self.turns) == len(self._rows):
            self._rows = np.concatenate([self._rows, np.empty_like(self._rows)])
        self._rows[len(self.turns)] = self.embedder.embed([text])[0]
        self.turns.append(turn)

    def search(self, text: str, top_k: int) -> list[str]:
        """Return the closest turns, best first; ties go by order."""
        cosines = self.vectors @ self.embedder.embed([text])[0]
        return [self.turns[row] for row in np.argsort(-cosines, kind="stable")[:top_k]]

    @property
    def vectors(self) -> Vectors:
        return self._rows[: len(self.turns)]


def answer(request: Request) -> dict[str, Any]:
    """Add turn by turn, search, then save the matrices."""
    refuse_network()
    embedder = requested_embedder(request)
    run = Run("dense", request, embedder)
    users = {case["id"]: _Matrix(embedder) for case in request["cases"]}
    for case, turn in run.turns():
        run.adds.time(lambda c=case, t=turn: users[c["id"]].add(t["id"], indexed_text(t)))  # type: ignore[misc]
    for case, query in run.queries():
        run.ranked[query["id"]] = run.searches.time(
            lambda c=case, q=query: users[c["id"]].search(q["text"], request["top_k"])  # type: ignore[misc]
        )
    folder = Path(request["folder"]) / "dense"
    folder.mkdir(parents=True)
    for number, user in enumerate(users.values()):
        np.savez(folder / f"{number}.npz", turns=user.turns, vectors=user.vectors)
    return run.result(
        versions=installed(("anamnos", "numpy", "onnxruntime")),
        notes=["exact cosine in NumPy", "in memory; on the disk: ids and vectors, without the texts"],
        folder=folder,
    )


if __name__ == "__main__":
    serve(answer)
