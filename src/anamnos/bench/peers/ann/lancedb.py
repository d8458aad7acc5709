"""LanceDB: inverted lists of bytes in files; the best are compared again. Source: https://lancedb.com"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from anamnos.bench.peers.ann.base import RERANKED, AnnIndex, Rows
from anamnos.types import Vector


class LanceDb(AnnIndex):
    """A table with an index IVF_SQ and a column per label. IVF_PQ takes many times as long to build."""

    efforts = (2, 4, 8, 16, 32, 64, 128, 256)
    packages = ("lancedb", "pylance", "numpy")
    notes = (
        "IVF_SQ, sqrt(n) lists",
        f"best {RERANKED} compared again in float32",
        "filters by bitmap columns, before the search",
        "all its threads on one CPU",
    )
    _table: Any

    def build(self, rows: Rows) -> None:
        self._table = self._connected().create_table("v", self._batches(rows), schema=self._schema())
        lists = max(1, round(len(rows) ** 0.5))
        self._table.create_index(metric="dot", index_type="IVF_SQ", num_partitions=lists)
        for label in self.labels:
            self._table.create_scalar_index(label, index_type="BITMAP")

    def open(self) -> None:
        self._table = self._connected().open_table("v")

    def _connected(self) -> Any:
        import lancedb

        if hasattr(
            os, "sched_setaffinity"
        ):  # its pools wait for each other for ever where each is told to be one thread
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        return lancedb.connect(self.folder)

    def _schema(self) -> Any:
        import pyarrow

        vector = pyarrow.list_(pyarrow.float32(), self.vectors.shape[1])
        labels = [pyarrow.field(label, pyarrow.bool_()) for label in self.labels]
        return pyarrow.schema([pyarrow.field("row", pyarrow.int64()), pyarrow.field("vector", vector), *labels])

    def _batches(self, rows: Rows) -> Iterator[Any]:
        import pyarrow

        for start in range(0, len(rows), 16_384):
            some = rows[start : start + 16_384]
            flat = pyarrow.array(self.vectors[some].reshape(-1))
            vectors = pyarrow.FixedSizeListArray.from_arrays(flat, self.vectors.shape[1])
            labels = [pyarrow.array(mask[some]) for mask in self.labels.values()]
            yield pyarrow.RecordBatch.from_arrays([pyarrow.array(some), vectors, *labels], schema=self._schema())

    def search(self, query: Vector, top_k: int, effort: int) -> Rows:
        return self._found(self._asked(query, top_k, effort))

    def search_among(self, label: str, query: Vector, top_k: int, effort: int) -> Rows:
        return self._found(self._asked(query, top_k, effort).where(f"{label} = true", prefilter=True))

    def _asked(self, query: Vector, top_k: int, effort: int) -> Any:
        asked = self._table.search(query).metric("dot").limit(top_k).nprobes(effort)
        return asked.refine_factor(RERANKED // top_k).select(["row", "_distance"])

    def _found(self, asked: Any) -> Rows:
        return np.asarray(asked.to_arrow()["row"].to_numpy(), dtype=np.int64)

    def insert(self, rows: Rows) -> None:
        self._table.add(self._batches(rows))

    def delete(self, rows: Rows) -> None:
        self._table.delete(f"row IN ({', '.join(map(str, rows.tolist()))})")
