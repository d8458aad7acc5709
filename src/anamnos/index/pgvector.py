"""Vectors in PostgreSQL with pgvector: a graph (HNSW) over half-precision vectors, asked with SQL.

A table per vault and embedder, and one table of the marks of all of them. Rows and mark change in one transaction, and
whoever applies changes holds an advisory lock. The graph is built by ``maintain`` once there are enough rows; until
then the server compares all.

Source: HNSW, arXiv:1603.09320; https://github.com/pgvector/pgvector, from 0.8 for its iterative scans.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anamnos.errors import ConfigError, MissingExtra, StoreError
from anamnos.index.engine import EngineIndex, Mark, Spaces, as_rows, readable
from anamnos.store.base import EmbedderInfo, Rows, Store
from anamnos.types import Vector

GRAPH_ROWS = 10_000  # from so many rows on, maintain() builds the graph
_MARKS = "anamnos_vector_marks"
_LINKS, _BUILD_BREADTH = 16, 128  # HNSW's m and ef_construction
_MOST_DIM = 4_000  # of a halfvec in an index
_LEAST_BREADTH, _MOST_BREADTH = 100, 1_000  # of hnsw.ef_search
_LEAST_VERSION = (0, 8)
_WAIT_S = 5.0  # for a connection
_CONNECTIONS = 8
_COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_END = b"\xff\xff"


class PgVectorIndex(EngineIndex):
    """All vectors of one embedder in a PostgreSQL server.

    url    of the database, as ``postgresql://user:password@host/database``
    store  where the vectors come from; any store, in that database or not
    info   which embedder's vectors

    Raises: MissingExtra without psycopg; ConfigError for an address that is none, an embedder of over 4,000 numbers, or
    a server without pgvector 0.8 or newer; StoreError while the server cannot be asked.
    """

    few = 5_000  # measured

    def __init__(self, url: str, store: Store, info: EmbedderInfo) -> None:
        super().__init__(store, info)
        if not url.startswith(("postgresql://", "postgres://")):
            raise ConfigError(
                f"The index pgvector needs the address of a PostgreSQL server; got {readable(url)!r}.",
                hint="Set index_url to postgresql://user@host/database.",
            )
        if info.dim > _MOST_DIM:
            raise ConfigError(
                f"pgvector indexes at most {_MOST_DIM} numbers a vector; {info.id} gives {info.dim}.",
                hint="Choose another embedder, or index=spann.",
            )
        try:
            import psycopg
            import psycopg_pool
        except ImportError as exc:
            raise MissingExtra("The index pgvector", "postgres") from exc
        self.url = url
        self._psycopg: Any = psycopg
        self._pools: Any = psycopg_pool.ConnectionPool
        self._pool: Any = None

    # --- applying changes

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._connection() as connection:
            connection.autocommit = True
            try:
                connection.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", (self.name,))
                yield
            finally:
                if not connection.closed:
                    connection.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", (self.name,))
                    connection.autocommit = False

    def _read_mark(self) -> Mark | None:
        with self._connection() as connection:
            try:
                found = connection.execute(
                    f"SELECT mark FROM {_MARKS} WHERE name = %s AND to_regclass(name) IS NOT NULL", (self.name,)
                ).fetchone()
            except self._psycopg.errors.UndefinedTable:
                connection.rollback()
                return None
        return Mark(**found[0]) if found else None

    def _make(self) -> None:
        with self._connection() as connection:
            self._check_extension(connection)
            connection.execute(f"CREATE TABLE IF NOT EXISTS {_MARKS} (name text PRIMARY KEY, mark jsonb NOT NULL)")
            connection.execute(f"DROP TABLE IF EXISTS {self.name}")
            connection.execute(
                f"CREATE TABLE {self.name} (row bigint PRIMARY KEY, space bigint NOT NULL,"
                f" vector halfvec({self.info.dim}) NOT NULL)"
            )
            # the planner's statistics would keep copies of vectors, also of erased ones
            connection.execute(f"ALTER TABLE {self.name} ALTER COLUMN vector SET STATISTICS 0")
            connection.execute(f"CREATE INDEX ON {self.name} (space)")
            self._write_mark(connection, Mark())

    def _apply(self, rows: Rows, spaces: Spaces, vectors: NDArray[np.float32], gone: Rows, mark: Mark) -> None:
        with self._connection() as connection:
            touched = np.r_[rows, gone].tolist()
            connection.execute(f"DELETE FROM {self.name} WHERE row = ANY(%s)", (touched,))
            if len(rows):
                with connection.cursor().copy(f"COPY {self.name} FROM STDIN (FORMAT BINARY)") as copy:
                    copy.write(_copied(rows, spaces, vectors))
            self._write_mark(connection, mark)

    def _write_mark(self, connection: Any, mark: Mark) -> None:
        told = json.dumps({"seq": mark.seq, "anchor": mark.anchor, "erased": mark.erased})
        connection.execute(
            f"INSERT INTO {_MARKS} VALUES (%s, %s) ON CONFLICT (name) DO UPDATE SET mark = excluded.mark",
            (self.name, told),
        )

    def _check_extension(self, connection: Any) -> None:
        """Make the extension if it is not there, and check that it is new enough."""
        sql = "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
        found = connection.execute(sql).fetchone()
        if found is None:
            try:
                connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
            except self._psycopg.Error as exc:
                raise ConfigError(
                    f"The database {readable(self.url)} has no extension pgvector: {_reason(exc)}.",
                    hint="Install pgvector 0.8 or newer on the server, and let an administrator run:"
                    " CREATE EXTENSION vector",
                ) from exc
            found = connection.execute(sql).fetchone()
        if tuple(int(part) for part in found[0].split(".")[:2]) < _LEAST_VERSION:
            raise ConfigError(
                f"The database {readable(self.url)} has pgvector {found[0]}; 0.8 or newer is needed.",
                hint="Upgrade it on the server, then run: ALTER EXTENSION vector UPDATE",
            )

    # --- searching

    def _nearest(self, query: Vector, limit: int, spaces: Spaces) -> Rows:
        with self._connection() as connection:
            breadth = min(max(limit, _LEAST_BREADTH), _MOST_BREADTH)
            connection.execute("SELECT set_config('hnsw.ef_search', %s, true)", (str(breadth),))
            # goes on where other spaces' vectors are in between
            connection.execute("SELECT set_config('hnsw.iterative_scan', 'strict_order', true)")
            found = connection.execute(
                f"SELECT row FROM {self.name} WHERE {_one_of('space', len(spaces))} ORDER BY vector <=> %s LIMIT %s",
                (spaces.tolist() if len(spaces) != 1 else int(spaces[0]), self._sent(query), limit),
                binary=True,
            )
            return as_rows(row for (row,) in found)

    def _nearest_among(self, query: Vector, limit: int, rows: Rows) -> Rows:
        with self._connection() as connection:
            found = connection.execute(  # the sum keeps the graph out of it
                f"SELECT row FROM {self.name} WHERE row = ANY(%s) ORDER BY (vector <=> %s) + 0 LIMIT %s",
                (rows.tolist(), self._sent(query), limit),
                binary=True,
            )
            return as_rows(row for (row,) in found)

    def _sent(self, vector: Vector) -> str:
        return "[" + ",".join(map(str, vector.tolist())) + "]"

    # --- what it holds

    def _held(self, first: int, last: int) -> Rows:
        with self._connection() as connection:
            sql = f"SELECT row FROM {self.name} WHERE row BETWEEN %s AND %s ORDER BY row"
            return as_rows(row for (row,) in connection.execute(sql, (first, last)))

    def _spaces_held(self, rows: Rows) -> tuple[Rows, Spaces]:
        with self._connection() as connection:
            sql = f"SELECT row, space FROM {self.name} WHERE row = ANY(%s)"
            found = connection.execute(sql, (rows.tolist(),), binary=True).fetchall()
        return as_rows(row for row, _ in found), as_rows(space for _, space in found)

    def _vectors_held(self, rows: Rows) -> dict[int, Vector]:
        with self._connection() as connection:
            sql = f"SELECT row, vector::real[] FROM {self.name} WHERE row = ANY(%s)"
            return {row: np.array(v, dtype=np.float32) for row, v in connection.execute(sql, (rows.tolist(),))}

    def _names(self) -> list[str]:
        with self._connection() as connection:
            if connection.execute("SELECT to_regclass(%s)", (_MARKS,)).fetchone()[0] is None:
                return []
            return [name for (name,) in connection.execute(f"SELECT name FROM {_MARKS}")]

    def _drop(self, name: str) -> None:
        with self._connection() as connection:
            connection.execute(f"DROP TABLE IF EXISTS {name}")
            connection.execute(f"DELETE FROM {_MARKS} WHERE name = %s", (name,))

    # --- upkeep

    def maintain(self) -> bool:
        with self._mutex, self._alone():
            mark = self._read_mark()
            if mark is None:
                return False
            built = self._build()
            if mark.erased:  # a deleted row leaves the table's files, and the graph, only by this
                with self._connection() as connection:
                    connection.autocommit = True
                    connection.execute(f"VACUUM (ANALYZE) {self.name}")
                    connection.autocommit = False
                    self._write_mark(connection, Mark(mark.seq, mark.anchor))
        return built or mark.erased > 0

    def _build(self) -> bool:
        """Build the graph if there are enough rows and it is not there; return whether that was done."""
        graph = f"{self.name}_graph"
        with self._connection() as connection:
            there = connection.execute("SELECT to_regclass(%s)", (graph,)).fetchone()[0]
            counted = connection.execute(f"SELECT count(*) FROM {self.name}").fetchone()[0] if not there else 0
            if there or counted < GRAPH_ROWS:
                return False
            connection.execute("SELECT set_config('maintenance_work_mem', %s, true)", (self._memory_for(counted),))
            connection.execute(
                f"CREATE INDEX {graph} ON {self.name} USING hnsw (vector halfvec_cosine_ops)"
                f" WITH (m = {_LINKS}, ef_construction = {_BUILD_BREADTH})"
            )
            connection.execute(f"ANALYZE {self.name}")
        return True

    def _memory_for(self, rows: int) -> str:
        """Return what the graph of so many rows takes while it is built, within 64 MB and 2 GB."""
        size = rows * (2 * self.info.dim + 24 * _LINKS + 200)
        return f"{min(max(size >> 20, 64), 2_048)}MB"

    def close(self) -> None:
        with self._mutex:
            if self._pool is not None:
                self._pool.close()
            self._pool, self._applied = None, -1

    # --- the connections

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        """Lend a connection inside a transaction, which is kept on a normal exit; turn its errors into ours."""
        try:
            with self._opened().connection() as connection:
                yield connection
        except self._psycopg.Error as exc:
            raise StoreError(
                f"The vector index in {readable(self.url)} cannot be asked: {_reason(exc)}.",
                hint="The memories themselves are safe. Is the server up, and index_url right? The index catches up"
                " by itself once it is.",
            ) from exc

    def _opened(self) -> Any:
        with self._mutex:
            if self._pool is None:
                logging.getLogger("psycopg.pool").setLevel(logging.ERROR)  # it warns of what is raised anyway
                self._pool = self._pools(
                    self.url,
                    min_size=0,
                    max_size=_CONNECTIONS,
                    timeout=_WAIT_S,
                    check=self._pools.check_connection,  # one that the server closed is replaced
                    kwargs={"connect_timeout": int(_WAIT_S), "application_name": "anamnos"},
                    open=True,
                )
            return self._pool


def _copied(rows: Rows, spaces: Spaces, vectors: NDArray[np.float32]) -> bytes:
    """Return rows of (bigint, bigint, halfvec) in PostgreSQL's binary format of COPY."""
    dim = vectors.shape[1]
    fields: list[Any] = [
        ("fields", ">i2"),
        ("row_bytes", ">i4"),
        ("row", ">i8"),
        ("space_bytes", ">i4"),
        ("space", ">i8"),
        ("vector_bytes", ">i4"),
        ("dim", ">i2"),
        ("unused", ">i2"),
        ("vector", ">f2", dim),
    ]
    out = np.zeros(len(rows), dtype=fields)
    out["fields"], out["row_bytes"], out["space_bytes"], out["vector_bytes"] = 3, 8, 8, 4 + 2 * dim
    out["row"], out["space"], out["dim"], out["vector"] = rows, spaces, dim, vectors
    return _COPY_HEADER + out.tobytes() + _COPY_END


def _one_of(column: str, count: int) -> str:
    return f"{column} = %s" if count == 1 else f"{column} = ANY(%s)"


def _reason(exc: Exception) -> str:
    return " ".join(str(exc).split()).rstrip(".") or type(exc).__name__
