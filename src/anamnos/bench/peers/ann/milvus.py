"""Milvus as it runs in this process (milvus-lite): a graph of faiss behind its interface. Source: https://milvus.io"""

from __future__ import annotations

from typing import Any

import numpy as np

from anamnos.bench.peers.ann.base import GRAPH, GRAPH_EFFORTS, AnnIndex, Rows
from anamnos.types import Vector


class MilvusLite(AnnIndex):
    """A collection with an index HNSW and a field per label."""

    efforts = GRAPH_EFFORTS
    packages = ("milvus-lite", "pymilvus", "faiss-cpu", "numpy")
    notes = (
        f"HNSW M {GRAPH['links']}, efConstruction {GRAPH['build_effort']}, float32",
        "its server in the same process, through gRPC",
    )
    _client: Any

    def build(self, rows: Rows) -> None:
        self._connect()
        from pymilvus import DataType

        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("row", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=self.vectors.shape[1])
        for label in self.labels:
            schema.add_field(label, DataType.BOOL)
        self._client.create_collection("v", schema=schema)
        self.insert(rows)
        self._client.flush("v")
        params = self._client.prepare_index_params()
        params.add_index(
            "vector",
            index_type="HNSW",
            metric_type="IP",
            params={"M": GRAPH["links"], "efConstruction": GRAPH["build_effort"]},
        )
        self._client.create_index("v", params)
        self._client.load_collection("v")

    def open(self) -> None:
        self._connect()
        self._client.load_collection("v")

    def _connect(self) -> None:
        from pymilvus import MilvusClient

        self._client = MilvusClient(str(self.folder / "milvus.db"))

    def search(self, query: Vector, top_k: int, effort: int) -> Rows:
        return self._found("", query, top_k, effort)

    def search_among(self, label: str, query: Vector, top_k: int, effort: int) -> Rows:
        return self._found(f"{label} == true", query, top_k, effort)

    def _found(self, condition: str, query: Vector, top_k: int, effort: int) -> Rows:
        params = {"metric_type": "IP", "params": {"ef": max(effort, top_k)}}
        found = self._client.search("v", [query.tolist()], filter=condition, limit=top_k, search_params=params)
        return np.array([hit["row"] for hit in found[0]], dtype=np.int64)

    def insert(self, rows: Rows) -> None:
        for start in range(0, len(rows), 2_000):
            self._client.insert(
                "v",
                [
                    {
                        "row": row,
                        "vector": self.vectors[row].tolist(),
                        **{label: bool(mask[row]) for label, mask in self.labels.items()},
                    }
                    for row in rows[start : start + 2_000].tolist()
                ],
            )

    def delete(self, rows: Rows) -> None:
        self._client.delete("v", ids=rows.tolist())

    def close(self) -> None:
        self._client.close()
