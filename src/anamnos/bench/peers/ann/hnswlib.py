"""hnswlib: a graph over float32 vectors, in memory. Source: https://github.com/nmslib/hnswlib"""

from __future__ import annotations

from typing import Any

import numpy as np

from anamnos.bench.peers.ann.base import GRAPH, GRAPH_EFFORTS, AnnIndex, Rows
from anamnos.types import Vector


class Hnswlib(AnnIndex):
    """Its own index; deleted rows are marked, and their places used again."""

    efforts = GRAPH_EFFORTS
    packages = ("hnswlib", "numpy")
    notes = (f"M {GRAPH['links']}, ef_construction {GRAPH['build_effort']}, float32", "filters by a Python function")
    _index: Any

    def build(self, rows: Rows) -> None:
        self._make()
        self._index.init_index(
            len(rows),
            M=GRAPH["links"],
            ef_construction=GRAPH["build_effort"],
            allow_replace_deleted=True,
        )
        self._index.add_items(self.vectors[rows], rows, num_threads=1)
        self._index.save_index(str(self.folder / "index.bin"))

    def open(self) -> None:
        self._make()
        self._index.load_index(str(self.folder / "index.bin"), allow_replace_deleted=True)

    def _make(self) -> None:
        import hnswlib

        self._index = hnswlib.Index(space="ip", dim=self.vectors.shape[1])
        self._index.set_num_threads(1)

    def search(self, query: Vector, top_k: int, effort: int) -> Rows:
        self._index.set_ef(max(effort, top_k))
        return np.asarray(self._index.knn_query(query, top_k, num_threads=1)[0][0], dtype=np.int64)

    def search_among(self, label: str, query: Vector, top_k: int, effort: int) -> Rows:
        allowed = self.labels[label]
        self._index.set_ef(max(effort, top_k))
        try:
            found = self._index.knn_query(query, top_k, num_threads=1, filter=lambda key: bool(allowed[key]))
        except RuntimeError:  # fewer than top_k were met
            return np.empty(0, dtype=np.int64)
        return np.asarray(found[0][0], dtype=np.int64)

    def insert(self, rows: Rows) -> None:
        free = self._index.get_max_elements() - self._index.element_count
        if free < len(rows):
            self._index.resize_index(self._index.get_max_elements() + max(len(rows), 10_000))
        self._index.add_items(self.vectors[rows], rows, num_threads=1)

    def delete(self, rows: Rows) -> None:
        for row in rows.tolist():
            self._index.mark_deleted(row)
