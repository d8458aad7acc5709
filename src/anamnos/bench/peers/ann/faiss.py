"""faiss: inverted lists of bytes, and a graph over float32, both in memory. Source: faiss, arXiv:2401.08281"""

from __future__ import annotations

from typing import Any

import numpy as np

from anamnos.bench.peers.ann.base import GRAPH, GRAPH_EFFORTS, RERANKED, AnnIndex, Rows
from anamnos.types import Vector


def _library() -> Any:
    import faiss

    return faiss


class _Faiss(AnnIndex):
    """What both have in common."""

    packages = ("faiss-cpu", "numpy")
    _index: Any
    _compared = 0

    def build(self, rows: Rows) -> None:
        faiss = _library()
        faiss.omp_set_num_threads(1)
        self._index = self._made(rows)
        faiss.write_index(self._index, str(self.folder / "index.faiss"))

    def open(self) -> None:
        faiss = _library()
        faiss.omp_set_num_threads(1)
        self._index = faiss.read_index(str(self.folder / "index.faiss"))

    def bytes_compared(self) -> int:
        return self._compared

    def _made(self, rows: Rows) -> Any:
        raise NotImplementedError

    def _selector(self, label: str) -> Any:
        """Return faiss's own bitmap of a label's rows."""
        bits = np.packbits(self.labels[label], bitorder="little")
        self._bits = bits  # faiss keeps a pointer only
        return _library().IDSelectorBitmap(bits)


class FaissIvf(_Faiss):
    """IVF-SQ8, the best compared again."""

    efforts = (2, 4, 8, 16, 32, 64, 128, 256, 512)
    notes = (
        "as many lists as the power of two below n / 190; SQ8",
        f"best {RERANKED} compared again in float32",
        "filters by a bitmap",
    )

    def _made(self, rows: Rows) -> Any:
        faiss = _library()
        lists = 1 << max(2, int(np.log2(1 + len(rows) / 190)))
        dim = self.vectors.shape[1]
        index = faiss.IndexIVFScalarQuantizer(
            faiss.IndexFlatIP(dim), dim, lists, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT
        )
        sample = rows[np.random.default_rng(0).permutation(len(rows))[: 64 * lists]]
        index.train(self.vectors[sample])
        for start in range(0, len(rows), 65_536):
            some = rows[start : start + 65_536]
            index.add_with_ids(self.vectors[some], some)
        return index

    def search(self, query: Vector, top_k: int, effort: int) -> Rows:
        faiss = _library()
        return self._search(query, top_k, faiss.SearchParametersIVF(nprobe=effort))

    def search_among(self, label: str, query: Vector, top_k: int, effort: int) -> Rows:
        faiss = _library()
        return self._search(query, top_k, faiss.SearchParametersIVF(nprobe=effort, sel=self._selector(label)))

    def _search(self, query: Vector, top_k: int, params: Any) -> Rows:
        faiss = _library()
        before = faiss.cvar.indexIVF_stats.ndis
        found = self._index.search(query[None], RERANKED, params=params)[1][0]
        read = faiss.cvar.indexIVF_stats.ndis - before + 4 * self._index.nlist + 4 * RERANKED
        self._compared += int(read) * len(query)
        return self.reranked(query, found, top_k)

    def insert(self, rows: Rows) -> None:
        self._index.add_with_ids(self.vectors[rows], rows)

    def delete(self, rows: Rows) -> None:
        self._index.remove_ids(rows)  # walks all lists, so many at once cost what one costs


class FaissHnsw(_Faiss):
    """HNSWFlat; rows cannot be deleted."""

    efforts = GRAPH_EFFORTS
    notes = (
        f"M {GRAPH['links']}, efConstruction {GRAPH['build_effort']}, float32",
        "no deletes; filters by a bitmap",
    )
    _keys: Rows

    def _made(self, rows: Rows) -> Any:
        faiss = _library()
        index = faiss.IndexHNSWFlat(self.vectors.shape[1], GRAPH["links"], faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = GRAPH["build_effort"]
        for start in range(0, len(rows), 65_536):
            index.add(self.vectors[rows[start : start + 65_536]])
        self._keys = rows
        np.save(self.folder / "keys.npy", rows)
        return index

    def open(self) -> None:
        super().open()
        self._keys = np.load(self.folder / "keys.npy")

    def search(self, query: Vector, top_k: int, effort: int) -> Rows:
        faiss = _library()
        return self._search(query, top_k, faiss.SearchParametersHNSW(efSearch=effort))

    def search_among(self, label: str, query: Vector, top_k: int, effort: int) -> Rows:
        faiss = _library()
        return self._search(query, top_k, faiss.SearchParametersHNSW(efSearch=effort, sel=self._selector(label)))

    def _search(self, query: Vector, top_k: int, params: Any) -> Rows:
        faiss = _library()
        before = faiss.cvar.hnsw_stats.ndis
        found = self._index.search(query[None], top_k, params=params)[1][0]
        self._compared += int(faiss.cvar.hnsw_stats.ndis - before) * 4 * len(query)
        return np.asarray(self._keys[found[found >= 0]])
