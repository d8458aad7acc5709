"""usearch: a graph over bytes, in memory; the best are compared again. Source: https://github.com/unum-cloud/usearch"""

from __future__ import annotations

from typing import Any

import numpy as np

from anamnos.bench.peers.ann.base import GRAPH, GRAPH_EFFORTS, RERANKED, AnnIndex, Rows
from anamnos.types import Vector


class Usearch(AnnIndex):
    """Its index of int8, loaded."""

    efforts = GRAPH_EFFORTS[3:]
    packages = ("usearch", "numkong", "numpy")
    notes = (
        f"connectivity {GRAPH['links']}, expansion_add {GRAPH['build_effort']}, int8",
        f"best {RERANKED} compared again in float32",
        "its Python interface has no filters",
    )
    _index: Any
    _compared = 0

    def build(self, rows: Rows) -> None:
        self._make()
        self._index.add(rows, self.vectors[rows], threads=1)
        self._index.save(str(self.folder / "index.usearch"))

    def open(self) -> None:
        self._make()
        self._index.load(str(self.folder / "index.usearch"))

    def _make(self) -> None:
        from usearch.index import Index

        self._index = Index(
            ndim=self.vectors.shape[1],
            metric="cos",
            dtype="i8",
            connectivity=GRAPH["links"],
            expansion_add=GRAPH["build_effort"],
        )

    def search(self, query: Vector, top_k: int, effort: int) -> Rows:
        self._index.expansion_search = effort
        found = self._index.search(query, RERANKED, threads=1)
        self._compared += (int(found.computed_distances) + 4 * RERANKED) * len(query)
        return self.reranked(query, np.asarray(found.keys, dtype=np.int64), top_k)

    def insert(self, rows: Rows) -> None:
        self._index.add(rows, self.vectors[rows], threads=1)

    def delete(self, rows: Rows) -> None:
        self._index.remove(rows, threads=1)

    def bytes_compared(self) -> int:
        return self._compared
