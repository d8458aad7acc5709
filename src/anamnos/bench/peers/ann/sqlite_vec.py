"""sqlite-vec: all vectors of a table compared, inside SQLite. Source: https://github.com/asg017/sqlite-vec"""

from __future__ import annotations

from typing import Any

import numpy as np

from anamnos.bench.peers.ann.base import AnnIndex, Rows
from anamnos.types import Vector


class SqliteVec(AnnIndex):
    """A virtual table vec0 with a column per label."""

    packages = ("sqlite-vec", "apsw", "numpy")
    notes = ("float32, exact", "filters by metadata columns")
    _db: Any

    def build(self, rows: Rows) -> None:
        self._connect()
        columns = "".join(f", {label} boolean" for label in self.labels)
        self._db.execute(
            f"CREATE VIRTUAL TABLE v USING vec0(vector float[{self.vectors.shape[1]}] distance_metric=cosine{columns})"
        )
        self.insert(rows)

    def open(self) -> None:
        self._connect()

    def _connect(self) -> None:
        import apsw
        import sqlite_vec

        self._db = apsw.Connection(str(self.folder / "vectors.db"))
        self._db.enable_load_extension(True)
        self._db.load_extension(sqlite_vec.loadable_path())
        self._db.execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL")

    def search(self, query: Vector, top_k: int, effort: int) -> Rows:
        return self._found("", query, top_k)

    def search_among(self, label: str, query: Vector, top_k: int, effort: int) -> Rows:
        return self._found(f" AND {label} = true", query, top_k)

    def _found(self, condition: str, query: Vector, top_k: int) -> Rows:
        asked = f"SELECT rowid FROM v WHERE vector MATCH ? AND k = ?{condition} ORDER BY distance"
        return np.array([row for (row,) in self._db.execute(asked, (query.tobytes(), top_k))], dtype=np.int64)

    def insert(self, rows: Rows) -> None:
        places = ", ".join("?" * (2 + len(self.labels)))
        names = ", ".join(("rowid", "vector", *self.labels))
        with self._db:
            self._db.executemany(
                f"INSERT INTO v ({names}) VALUES ({places})",
                (
                    (row, self.vectors[row].tobytes(), *(int(mask[row]) for mask in self.labels.values()))
                    for row in rows.tolist()
                ),
            )

    def delete(self, rows: Rows) -> None:
        with self._db:
            self._db.executemany("DELETE FROM v WHERE rowid = ?", ((row,) for row in rows.tolist()))

    def close(self) -> None:
        self._db.close()
