"""The store on a PostgreSQL server. See docs/engines/postgres.md.

Every version of every cube is a row; vectors are kept bit by bit; whoever writes takes a turn (``postgres.write``), and
readers never wait. What is read in one statement is of one moment; what takes several is read in one snapshot.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anamnos.cube import CubeId, MemCube, Scope
from anamnos.errors import Conflict, StoreError
from anamnos.store.base import EmbedderInfo, Outline, Rows, Stored
from anamnos.store.postgres.backup import write_script
from anamnos.store.postgres.filter import (
    filter_condition,
    scope_condition,
    state_condition,
    time_condition,
    user_condition,
)
from anamnos.store.postgres.jobs import PostgresJobs
from anamnos.store.postgres.ledger import PostgresLedger
from anamnos.store.postgres.rows import CUBE_COLUMNS, CUBE_TABLES, WIDTH, cube_of
from anamnos.store.postgres.scrub import scrubbed
from anamnos.store.postgres.server import PostgresServer
from anamnos.store.postgres.tenants import admit
from anamnos.store.postgres.working import PostgresWorking
from anamnos.store.postgres.write import KINDS
from anamnos.store.rows import id_bytes, id_text, micros, vector_from_bytes
from anamnos.types import Change, Derived, Filter

_UNKNOWN_TIME = np.iinfo(np.int64).min
_PAGE = 500


class PostgresStore(PostgresServer):
    """A store in one schema of a PostgreSQL database.

    url             ``postgresql://…``, as libpq understands it; what it leaves out comes from PGUSER, ~/.pgpass …
    schema          where the tables are; made if the role may
    tenant          None: all; else rows of this tenant only, kept apart by the server's row-level security
    connections     how many are open at most
    busy_timeout_s  how long a write waits for other writers before it raises Busy
    rewrite_up_to_mb  up to this size of all tables, ``scrub`` writes them anew; above it says that bytes are left
    Raises: ConfigError for an address that cannot be read.
    """

    def __init__(
        self,
        url: str,
        *,
        schema: str = "anamnos",
        tenant: str | None = None,
        connections: int = 8,
        busy_timeout_s: float = 60.0,
        rewrite_up_to_mb: int = 256,
    ) -> None:
        super().__init__(url, schema=schema, tenant=tenant, connections=connections, busy_timeout_s=busy_timeout_s)
        self.rewrite_up_to_mb = rewrite_up_to_mb
        self.jobs = PostgresJobs(self.write, self._reading)
        self.working = PostgresWorking(self.write, self._reading)
        self.ledger = PostgresLedger(self._reading)

    # --- reading cubes

    def get(self, cube_id: CubeId, version: int | None = None) -> MemCube | None:
        if version is None:
            found = self._cubes("c.id = %s AND c.current", (id_bytes(cube_id),))
        else:
            found = self._cubes("c.id = %s AND c.version = %s", (id_bytes(cube_id), version))
        return found[0] if found else None

    def history(self, cube_id: CubeId) -> builtins.list[MemCube]:
        return self._cubes("c.id = %s ORDER BY c.version", (id_bytes(cube_id),))

    def list(
        self,
        scope: Scope,
        filter: Filter | None = None,
        *,
        after: CubeId | None = None,
        limit: int | None = None,
        as_of: datetime | None = None,
    ) -> builtins.list[MemCube]:
        condition, values = _where(scope, filter, as_of)
        if after is not None:
            condition, values = f"{condition} AND c.id > %s", [*values, id_bytes(after)]
        return self._cubes(f"{condition} ORDER BY c.id LIMIT %s", [*values, limit])

    def export(self, scope: Scope | None = None) -> Iterator[tuple[MemCube, Derived | None, bytes]]:
        condition, values = scope_condition(scope)
        with self._reading(snapshot=True) as db, db.cursor("export") as cursor:
            cursor.itersize = _PAGE
            cursor.execute(f"{_STORED} WHERE {condition} ORDER BY c.id, c.version", values, binary=True)
            for row in cursor:
                stored = _stored(row)
                yield stored.cube, stored.derived, stored.key

    def versions(self, cube_ids: Iterable[CubeId]) -> builtins.list[Stored]:
        wanted = [id_bytes(cube_id) for cube_id in cube_ids]
        sql = f"{_STORED} WHERE c.id = ANY(%s::bytea[]) ORDER BY c.id, c.version"
        return [_stored(row) for row in self._rows(sql, wanted)]

    def find(self, keys: Iterable[bytes]) -> dict[bytes, CubeId]:
        sql = "SELECT key, id FROM cubes WHERE key = ANY(%s::bytea[]) AND current"
        return {key: id_text(cube_id) for key, cube_id in self._rows(sql, builtins.list(keys))}

    def count(self, scope: Scope | None = None) -> int:
        condition, values = scope_condition(scope)
        return int(self._value(f"SELECT count(*) FROM {CUBE_TABLES} WHERE c.current AND {condition}", *values))

    def tally(self, scope: Scope | None = None) -> dict[tuple[str, str], int]:
        condition, values = scope_condition(scope)
        sql = f"SELECT c.role, c.state, count(*) FROM {CUBE_TABLES} WHERE c.current AND {condition} GROUP BY 1, 2"
        return {(role, state): number for role, state, number in self._rows(sql, *values)}

    def usage(self, scope: Scope) -> tuple[int, int]:
        condition, values = scope_condition(scope)
        sql = "SELECT count(*) FILTER (WHERE c.current), coalesce(sum(c.size_bytes), 0)"
        ((memories, content),) = self._rows(f"{sql} FROM {CUBE_TABLES} WHERE {condition}", *values)
        return int(memories), int(content)

    def hottest(self, scope: Scope | None = None, *, limit: int = 10) -> builtins.list[MemCube]:
        condition, values = scope_condition(scope)
        tail = "ORDER BY c.uses DESC, c.id LIMIT %s"
        return self._cubes(f"c.current AND c.uses > 0 AND {condition} {tail}", [*values, limit])

    def expired(self, now: datetime, scope: Scope | None = None) -> builtins.list[CubeId]:
        condition, values = ("true", []) if scope is None else user_condition(scope)
        sql = (
            f"SELECT c.id FROM {CUBE_TABLES} WHERE c.current AND c.expires_at <= %s"
            f" AND c.state IN ('generated', 'activated') AND {condition} ORDER BY c.id"
        )
        return [id_text(cube_id) for (cube_id,) in self._rows(sql, micros(now), *values)]

    def scopes(self) -> builtins.list[Scope]:
        sql = (
            'SELECT tenant, "user", agent, session FROM scopes s'
            " WHERE EXISTS (SELECT 1 FROM cubes c WHERE c.scope = s.scope AND c.current)"
            ' ORDER BY tenant, "user" NULLS FIRST, agent NULLS FIRST, session NULLS FIRST'
        )
        return [Scope(*row) for row in self._rows(sql)]

    def _cubes(self, condition: str, values: Sequence[Any]) -> builtins.list[MemCube]:
        sql = f"SELECT {CUBE_COLUMNS} FROM {CUBE_TABLES} WHERE {condition}"
        with self._reading() as db:
            return [cube_of(row) for row in db.execute(sql, values, binary=True)]

    def _rows(self, sql: str, *values: Any) -> builtins.list[tuple[Any, ...]]:
        with self._reading() as db:
            return db.execute(sql, values, binary=True).fetchall()

    def _value(self, sql: str, *values: Any) -> Any:
        rows = self._rows(sql, *values)
        return rows[0][0] if rows else None

    # --- the feed for indexes

    def sequence(self) -> int:
        return int(self._value("SELECT coalesce(max(seq), 0) FROM changes"))

    def changes(self, after: int, limit: int = 10_000) -> builtins.list[Change]:
        sql = "SELECT seq, kind, row, id FROM changes WHERE seq > %s ORDER BY seq LIMIT %s"
        rows = self._rows(sql, after, limit)
        return [Change(seq, KINDS[kind], row, id_text(cube_id)) for seq, kind, row, cube_id in rows]  # type: ignore[arg-type]

    def outline(
        self,
        scope: Scope,
        *,
        rows: Rows | None = None,
        all_states: bool = False,
        as_of: datetime | None = None,
        derived: bool | None = None,
    ) -> Outline:
        holds, times = time_condition(as_of)
        whose, values = user_condition(scope)
        condition = f"{holds} AND c.substrate = 'text' AND {whose}"
        if not all_states:
            condition += f" AND {state_condition()}"
        if derived is not None:
            condition += f" AND {'' if derived else 'NOT '}EXISTS (SELECT 1 FROM derivations d WHERE d.row = c.row)"
        values = [*times, *values]
        if rows is not None:
            condition += " AND c.row = ANY(%s::bigint[])"
            values.append(rows.tolist())
        sql = (
            "SELECT c.row, c.id, c.created_at, c.scope, c.actor, c.terms, s.agent, s.session"
            f" FROM {CUBE_TABLES} WHERE {condition} ORDER BY c.row"
        )
        found = self._rows(sql, *values)
        columns: Sequence[Any] = builtins.list(zip(*found, strict=True)) or [()] * 8
        names = dict(zip(columns[3], zip(columns[6], columns[7], strict=True), strict=True))
        return Outline(
            rows=np.array(columns[0], dtype=np.int64),
            order=np.frombuffer(b"".join(columns[1]), dtype=">u8").reshape(-1, 2).astype(np.uint64),
            created=np.array([_UNKNOWN_TIME if t is None else t for t in columns[2]], dtype=np.int64),
            scopes=np.array(columns[3], dtype=np.int64),
            names={number: Scope(scope.tenant, scope.user, *own) for number, own in names.items()},
            actors=columns[4],
            terms=[terms or b"" for terms in columns[5]],
        )

    def select(self, scope: Scope, filter: Filter | None = None, *, as_of: datetime | None = None) -> Rows:
        condition, values = _where(scope, filter, as_of)
        rows = self._rows(f"SELECT c.row FROM {CUBE_TABLES} WHERE {condition} ORDER BY c.row", *values)
        return np.array([row for (row,) in rows], dtype=np.int64)

    def at(self, rows: Sequence[int]) -> builtins.list[MemCube]:
        numbers = [int(row) for row in rows]
        sql = f"SELECT {CUBE_COLUMNS} FROM {CUBE_TABLES} WHERE c.row = ANY(%s::bigint[])"
        with self._reading() as db:
            found = {row[0]: cube_of(row) for row in db.execute(sql, (numbers,), binary=True)}
        return [found[row] for row in numbers if row in found]

    def rows_of(self, versions: Iterable[tuple[CubeId, int]]) -> Rows:
        wanted = [(id_bytes(cube_id), version) for cube_id, version in versions]
        sql = (
            "SELECT c.id, c.version, c.row FROM unnest(%s::bytea[], %s::bigint[]) w (id, version)"
            " JOIN cubes c USING (id, version)"
        )
        ids, numbers = [cube_id for cube_id, _ in wanted], [version for _, version in wanted]
        found = {(cube_id, version): row for cube_id, version, row in self._rows(sql, ids, numbers)}
        return np.array([found.get(pair, 0) for pair in wanted], dtype=np.int64)

    def blob_names(self) -> set[str]:
        return {name for (name,) in self._rows("SELECT DISTINCT content FROM cubes WHERE substrate != 'text'")}

    # --- vectors and terms

    def embedder(self) -> EmbedderInfo | None:
        rows = self._rows("SELECT id, dim FROM embedders WHERE in_use")
        return EmbedderInfo(*rows[0]) if rows else None

    def use_embedder(self, info: EmbedderInfo) -> None:
        with self.write() as tx:
            number = tx.embedder_number(info)
            missing = tx.db.execute(
                "SELECT count(*) FROM cubes c WHERE substrate = 'text'"
                " AND EXISTS (SELECT 1 FROM embedders WHERE in_use AND embedder != %(number)s)"
                " AND NOT EXISTS (SELECT 1 FROM vectors v WHERE v.row = c.row AND v.embedder = %(number)s)",
                {"number": number},
            ).fetchone()
            if missing != (0,):
                count = missing[0] if missing else 0
                raise Conflict(f"{count} memories have no vector of {info.id} yet.", hint="Run: anamnos reembed")
            tx.db.execute("UPDATE embedders SET in_use = (embedder = %s)", (number,))
            for table in ("vectors", "tokens", "embedders"):
                dropped = tx.db.execute(f"DELETE FROM {table} WHERE embedder != %s", (number,)).rowcount
                tx.erased = tx.erased or dropped > 0

    def vectors(self, rows: Rows, info: EmbedderInfo) -> NDArray[np.float32]:
        out = np.zeros((len(rows), info.dim), dtype=np.float32)
        for place, data in self._beside(rows, info, "vectors", "vector"):
            out[place] = vector_from_bytes(data, info.dim)
        return out

    def tokens(self, rows: Rows, info: EmbedderInfo) -> builtins.list[bytes]:
        out = [b""] * len(rows)
        for place, data in self._beside(rows, info, "tokens", "tokens"):
            out[place] = data
        return out

    def _beside(self, rows: Rows, info: EmbedderInfo, table: str, column: str) -> builtins.list[tuple[Any, ...]]:
        """Return (place in ``rows``, value) of what an embedder's table holds for them."""
        sql = (
            f"SELECT w.place - 1, t.{column} FROM unnest(%s::bigint[]) WITH ORDINALITY w (row, place)"
            f" JOIN {table} t ON t.row = w.row"
            " WHERE t.embedder = (SELECT embedder FROM embedders WHERE id = %s AND dim = %s)"
        )
        return self._rows(sql, rows.tolist(), info.id, info.dim)

    def put_vectors(
        self, rows: Rows, vectors: NDArray[np.float32], info: EmbedderInfo, tokens: Sequence[bytes] = ()
    ) -> None:
        with self.write() as tx:
            tx.put_vectors(rows, vectors, tokens, info)

    def without_vector(
        self, info: EmbedderInfo, *, after: int = 0, limit: int = 1_000
    ) -> builtins.list[tuple[int, MemCube]]:
        sql = (
            f"SELECT {CUBE_COLUMNS} FROM {CUBE_TABLES} WHERE c.row > %s AND c.substrate = 'text'"
            " AND NOT EXISTS (SELECT 1 FROM vectors v JOIN embedders e USING (embedder)"
            " WHERE v.row = c.row AND e.id = %s AND e.dim = %s)"
            " ORDER BY c.row LIMIT %s"
        )
        with self._reading() as db:
            return [(row[0], cube_of(row)) for row in db.execute(sql, (after, info.id, info.dim, limit), binary=True)]

    def put_terms(self, terms: Mapping[int, bytes]) -> None:
        with self.write() as tx, tx.db.cursor() as cursor:
            cursor.executemany("UPDATE cubes SET terms = %s WHERE row = %s", [(t, row) for row, t in terms.items()])
            tx.note_changed("c.row = ANY(%s::bigint[])", builtins.list(terms))

    # --- the whole

    def setting(self, name: str) -> str | None:
        value: str | None = self._value("SELECT value FROM settings WHERE name = %s", name)
        return value

    def set_setting(self, name: str, value: str) -> None:
        with self.write() as tx:
            tx.set_setting(name, value)

    def settings(self, prefix: str) -> dict[str, str]:
        sql = "SELECT name, value FROM settings WHERE starts_with(name, %s) ORDER BY name"
        rows: Any = self._rows(sql, prefix)
        return dict(rows)

    def scrub(self) -> bool:
        with self._turn(), self._errors(), self._connection() as db:
            return scrubbed(db, self.rewrite_up_to_mb, self.busy_timeout_s)

    def size_bytes(self) -> int:
        """Return what all tables and their indexes take on the server's disk."""
        sql = "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class"
        where = "relnamespace = current_schema()::regnamespace AND relkind = 'r'"
        return int(self._value(f"{sql} WHERE {where}"))

    def admit(self, role: str, tenant: str | None = None) -> None:
        """Let a role of the server, which does not own the tables, read and write the rows of one tenant.

        tenant  the only one whose rows it ever sees; None: the one that its connections name in ``anamnos.tenant``
        """
        with self._errors(), self._connection() as db, db.transaction():
            admit(db, self.schema_name(), role, tenant)

    def verify(self) -> builtins.list[str]:
        with self._reading(snapshot=True) as db:
            found = [(text, db.execute(sql).fetchone()) for text, sql in _CHECKS.items()]
        return [f"{count[0]} {text}" for text, count in found if count and count[0]]

    def backup(self, target: str) -> None:
        with self._reading(snapshot=True) as db:
            try:
                with Path(target).open("xb") as file:
                    write_script(db, self.schema_name(), file)
            except OSError as exc:
                raise StoreError(f"{target} cannot be written: {exc.strerror}.", hint="Name a new file.") from exc
            except BaseException:
                with suppress(OSError):
                    Path(target).unlink()
                raise


def _where(scope: Scope, filter: Filter | None, as_of: datetime | None) -> tuple[str, builtins.list[Any]]:
    holds, times = time_condition(as_of)
    in_scope, scope_values = scope_condition(scope)
    passes, filter_values = filter_condition(filter)
    return f"{holds} AND {in_scope} AND ({passes})", [*times, *scope_values, *filter_values]


_STORED = (
    f"SELECT {CUBE_COLUMNS}, c.terms, c.key, v.vector, e.dim, t.tokens FROM {CUBE_TABLES}"
    " LEFT JOIN embedders e ON e.in_use LEFT JOIN vectors v ON v.row = c.row AND v.embedder = e.embedder"
    " LEFT JOIN tokens t ON t.row = c.row AND t.embedder = e.embedder"
)


def _stored(row: Sequence[Any]) -> Stored:
    """Return the version of a row of ``_STORED``."""
    terms, key, vector, dim, tokens = row[WIDTH:]
    derived = None
    if terms is not None:
        exact = None if vector is None else vector_from_bytes(vector, dim)
        derived = Derived(np.frombuffer(terms, dtype="<u4"), exact, tokens=tokens or b"")
    return Stored(row[0], cube_of(row), derived, key or b"")


_CHECKS = {
    "memories have no current version": (
        "SELECT count(*) FROM (SELECT id FROM cubes GROUP BY id HAVING NOT bool_or(current)) x"
    ),
    "text memories have no keyword rows": ("SELECT count(*) FROM cubes WHERE substrate = 'text' AND trigrams IS NULL"),
    "text memories have no index terms (run: anamnos rebuild-index)": (
        "SELECT count(*) FROM cubes WHERE substrate = 'text' AND terms IS NULL"
    ),
    "text memories have no vector of the embedder in use (run: anamnos rebuild-index)": (
        "SELECT count(*) FROM cubes c WHERE substrate = 'text' AND NOT EXISTS (SELECT 1 FROM vectors v"
        " JOIN embedders e USING (embedder) WHERE v.row = c.row AND e.in_use)"
    ),
    "vectors have another length than their embedder says": (
        "SELECT count(*) FROM vectors v JOIN embedders e USING (embedder)"
        " WHERE octet_length(v.vector) NOT IN (2 * e.dim, 4 * e.dim)"
    ),
    "jobs run without a lease": "SELECT count(*) FROM jobs WHERE state = 'running' AND leased_until IS NULL",
    "entries of working memory stand for memories that are not there": (
        "SELECT count(*) FROM working w WHERE NOT EXISTS (SELECT 1 FROM cubes c WHERE c.id = w.id)"
    ),
    "links lead to memories that are not there": (
        "SELECT count(*) FROM links l WHERE NOT EXISTS (SELECT 1 FROM cubes c WHERE c.id = l.target)"
    ),
    "changes have a number above the last": ("SELECT count(*) FROM changes, state WHERE seq > last_seq"),
    "memories have a row above the last": "SELECT count(*) FROM cubes, state WHERE row > last_row",
}
