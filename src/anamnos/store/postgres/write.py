"""One write to the PostgreSQL store: the primitives of ``anamnos.store.base.Transaction`` as SQL.

Writers take turns: each begins by locking the one row of the table ``state``, which holds the last numbers given to
rows, changes and jobs. So a number is given after all lower ones are committed, and whoever reads the feed up to a
number has missed nothing; numbers of a sequence would be seen out of order, since commits are. A row lock, and not an
advisory one, because its owner reads the numbers by the same statement, and so that no pool between us and the server
can part the lock from its transaction.

New versions are gathered and sent together; whatever asks for them sends them first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray

from anamnos.cube import CubeId, MemCube, Scope
from anamnos.errors import ConfigError, StoreError
from anamnos.store.base import MOVING, EmbedderInfo, Rows, Stored
from anamnos.store.jobs import Job, NewJob
from anamnos.store.ledger import Entry, Note, RecordKind
from anamnos.store.postgres.jobs import enqueue
from anamnos.store.postgres.ledger import LedgerWriter
from anamnos.store.postgres.rows import (
    CUBE_COLUMNS,
    CUBE_TABLES,
    INSERT_CUBE,
    cube_of,
    cube_values,
    names_of,
    scope_digest,
    touched_values,
    wall_of,
)
from anamnos.store.rows import id_bytes, id_text, micros, vector_bytes
from anamnos.types import Change, Derived

# scopes that jobs and working memories name: such a one is forgotten when it covers no memory any more
_WATCHED_SCOPES = " UNION ".join(
    f"SELECT scope FROM {table} WHERE scope IS NOT NULL" for table in ("jobs", "recurring_jobs", "working")
)
_FORGET_SCOPES_OF_USERS = (
    f"DELETE FROM scopes s WHERE scope IN ({_WATCHED_SCOPES})"
    " AND (tenant, coalesce(\"user\", '')) IN"
    " (SELECT tenant, coalesce(\"user\", '') FROM scopes WHERE scope = ANY(%s::bigint[]))"
    " AND NOT EXISTS (SELECT 1 FROM scopes t JOIN cubes c USING (scope) WHERE t.tenant = s.tenant"
    ' AND t."user" IS NOT DISTINCT FROM s."user"'
    " AND (s.agent IS NULL OR s.agent = t.agent) AND (s.session IS NULL OR s.session = t.session))"
)
_FORGET_SCOPES = (
    "DELETE FROM scopes s WHERE scope = ANY(%s::bigint[])"
    " AND NOT EXISTS (SELECT 1 FROM cubes c WHERE c.scope = s.scope)"
    f" AND scope NOT IN ({_WATCHED_SCOPES})"
)
KINDS = ("written", "retired", "erased")
"""Of changes, in the order of the numbers that stand for them in the table."""

_WRITTEN, _RETIRED, _ERASED = range(3)
_INSERTS = {  # in the order that foreign keys want
    "cubes": INSERT_CUBE,
    "links": "INSERT INTO links VALUES (%s, %s, %s, %s, %s)",
    "derivations": "INSERT INTO derivations VALUES (%s, %s) ON CONFLICT DO NOTHING",
    "vectors": "INSERT INTO vectors VALUES (%s, %s, %s)",
    "tokens": "INSERT INTO tokens VALUES (%s, %s, %s)",
    "changes": "INSERT INTO changes VALUES (%s, %s, %s, %s, %s)",
}


class PostgresTransaction:
    """One write in progress. See ``anamnos.store.base.Transaction``.

    xid     the number of the transaction on the server, to ask what became of it
    erased  whether something was taken out whose bytes may be left
    """

    def __init__(self, db: psycopg.Connection) -> None:
        self.db = db
        self.erased = False
        self._ledger = LedgerWriter(db)
        self._scopes: dict[Scope, int] = {}
        self._embedder: tuple[int, str, int] | None = None
        self._moving: bool | None = None  # not asked yet
        self._erased_scopes: set[int] = set()
        self._waiting: dict[str, list[Sequence[Any]]] = {table: [] for table in _INSERTS}
        self._waiting_ids: set[bytes] = set()  # of cubes, of their sources, and their keys
        state = "SELECT last_row, last_seq, last_job, pg_current_xact_id()::text FROM state FOR UPDATE"
        found: tuple[int, int, int, str] = db.execute(state).fetchone() or (0, 0, 0, "")
        self._last_row, self._last_seq, self._last_job, self.xid = found
        # ids sort by time: most new ones are above all others, and need not be asked for one by one
        highest: bytes | None = self._value("SELECT id FROM cubes ORDER BY id DESC LIMIT 1")
        self._highest_id = highest or b""
        self._numbers = self._last_row, self._last_seq, self._last_job

    # --- reading inside the write

    def current(self, cube_id: CubeId) -> MemCube | None:
        return self._one("c.id = %s AND c.current", id_bytes(cube_id))

    def version(self, cube_id: CubeId, version: int) -> MemCube | None:
        return self._one("c.id = %s AND c.version = %s", id_bytes(cube_id), version)

    def _one(self, condition: str, cube_id: bytes, *values: Any) -> MemCube | None:
        self._send_if_waiting(cube_id)
        if cube_id > self._highest_id:
            return None
        sql = f"SELECT {CUBE_COLUMNS} FROM {CUBE_TABLES} WHERE {condition}"
        row = self.db.execute(sql, (cube_id, *values), binary=True).fetchone()
        return None if row is None else cube_of(row)

    def find(self, key: bytes) -> CubeId | None:
        self._send_if_waiting(key)
        cube_id = self._value("SELECT id FROM cubes WHERE key = %s AND current", key)
        return None if cube_id is None else id_text(cube_id)

    def dependents(self, cube_id: CubeId) -> list[CubeId]:
        self._send_if_waiting(id_bytes(cube_id))
        rows = self.db.execute(
            "SELECT DISTINCT c.id FROM derivations d JOIN cubes c USING (row) WHERE d.source = %s ORDER BY c.id",
            (id_bytes(cube_id),),
        )
        return [id_text(other) for (other,) in rows]

    # --- cubes

    def insert(self, cube: MemCube, derived: Derived | None, key: bytes) -> None:
        self._last_row += 1
        self._insert(self._last_row, cube, derived, key)
        self._note(_WRITTEN, self._last_row, id_bytes(cube.id), wall_of(cube.scope.tenant))

    def _insert(self, row: int, cube: MemCube, derived: Derived | None, key: bytes) -> None:
        vector = None if derived is None else derived.vector
        number = 0 if derived is None or vector is None else self._own_embedder(derived)
        self._insert_cube(row, cube, None if derived is None else derived.terms.astype("<u4").tobytes(), key)
        if derived is not None and vector is not None:
            self._waiting["vectors"].append((row, number, vector_bytes(vector)))
            if derived.tokens:
                self._waiting["tokens"].append((row, number, derived.tokens))

    def repeat(self, cube: MemCube) -> None:
        self.send()
        found = self.db.execute(
            "SELECT row, terms, key FROM cubes WHERE id = %s ORDER BY version DESC LIMIT 1", (id_bytes(cube.id),)
        ).fetchone()
        last, terms, key = found or (0, None, None)
        self._last_row += 1
        row = self._last_row
        self._insert_cube(row, cube, terms, key)
        self._note(_WRITTEN, row, id_bytes(cube.id), wall_of(cube.scope.tenant))
        self.send()
        for table, column in (("vectors", "vector"), ("tokens", "tokens")):
            copy = f"INSERT INTO {table} SELECT %s, embedder, {column} FROM {table} WHERE row = %s"
            self.db.execute(copy, (row, last))

    def touch(self, cube: MemCube) -> None:
        self.send()
        self.db.execute(
            "UPDATE cubes SET state = %s, importance = %s, uses = %s, expires_at = %s, more = %s"
            " WHERE id = %s AND current",
            (*touched_values(cube), id_bytes(cube.id)),
        )
        self.note_changed("c.id = %s AND c.current", id_bytes(cube.id))

    def retire(self, cube_id: CubeId, at: datetime) -> None:
        self.send()
        rows = self.db.execute(
            "UPDATE cubes c SET current = false, superseded_at = %s FROM scopes s"
            " WHERE c.id = %s AND c.current AND s.scope = c.scope RETURNING c.row, s.tenant",
            (micros(at), id_bytes(cube_id)),
        ).fetchall()
        for row, tenant in rows:
            self._note(_RETIRED, row, id_bytes(cube_id), wall_of(tenant))

    def erase(self, cube_id: CubeId) -> None:
        name = id_bytes(cube_id)
        for row, tenant in self._remove(name):
            self._note(_ERASED, row, name, wall_of(tenant))
        self.note_changed("c.row IN (SELECT l.row FROM links l WHERE l.target = %s)", name)
        self.db.execute(
            "UPDATE cubes c SET linked = EXISTS (SELECT 1 FROM links l WHERE l.row = c.row AND l.target != %s)"
            " WHERE row IN (SELECT row FROM links WHERE target = %s)",
            (name, name),
        )
        self.db.execute("DELETE FROM links WHERE target = %s", (name,))
        self.db.execute("DELETE FROM working WHERE id = %s", (name,))

    def _remove(self, name: bytes) -> list[tuple[int, str]]:
        """Remove all versions of a cube; return their rows and tenants."""
        self.send()
        rows = self.db.execute(
            "DELETE FROM cubes c USING scopes s WHERE c.id = %s AND s.scope = c.scope"
            " RETURNING c.row, c.scope, s.tenant",
            (name,),
        ).fetchall()
        self._erased_scopes |= {scope for _, scope, _ in rows}
        self.erased = True
        return [(row, tenant) for row, _, tenant in sorted(rows)]

    def _insert_cube(self, row: int, cube: MemCube, terms: bytes | None, key: bytes | None) -> None:
        name = id_bytes(cube.id)
        sources = [id_bytes(source) for source in cube.provenance.derived_from]
        self._waiting["cubes"].append(cube_values(cube, row, self.scope_number(cube.scope), terms, key))
        self._waiting["links"] += [
            (row, place, str(link.kind), id_bytes(link.target), link.weight) for place, link in enumerate(cube.links)
        ]
        self._waiting["derivations"] += [(row, source) for source in sources]
        self._highest_id = max(self._highest_id, name)
        self._waiting_ids |= {name, *sources, key or name}

    def _note(self, kind: int, row: int, cube_id: bytes, wall: bytes) -> None:
        self._last_seq += 1
        self._waiting["changes"].append((self._last_seq, kind, row, cube_id, wall))

    def note_changed(self, condition: str, value: Any) -> None:
        """Note versions that were changed where they lie, if the store's memories are being moved."""
        if self._moving is None:
            self._moving = self.setting(MOVING) is not None
        if self._moving:
            self.send()
            sql = f"SELECT c.row, c.id, s.tenant FROM {CUBE_TABLES} WHERE {condition} ORDER BY c.row"
            for row, cube_id, tenant in self.db.execute(sql, (value,)).fetchall():
                self._note(_WRITTEN, row, cube_id, wall_of(tenant))

    def _send_if_waiting(self, name: bytes) -> None:
        if name in self._waiting_ids:
            self.send()

    def send(self) -> None:
        """Send what was gathered, so that this transaction sees it."""
        for table, rows in self._waiting.items():
            if rows:
                with self.db.cursor() as cursor:
                    cursor.executemany(_INSERTS[table], rows)
                rows.clear()
        self._waiting_ids.clear()

    def finish(self) -> None:
        """Do what is left at the end of the write."""
        self.send()
        self._ledger.send()
        if self._erased_scopes:
            scopes = sorted(self._erased_scopes)
            self.db.execute(_FORGET_SCOPES_OF_USERS, (scopes,))
            self.db.execute(_FORGET_SCOPES, (scopes,))
        numbers = self._last_row, self._last_seq, self._last_job
        if numbers != self._numbers or self.erased:
            self.db.execute(
                "UPDATE state SET last_row = %s, last_seq = %s, last_job = %s, erasures = erasures + %s",
                (*numbers, int(self.erased)),
            )

    # --- taken over from another store

    def clear(self, cube_id: CubeId) -> None:
        self._remove(id_bytes(cube_id))

    def restore(self, stored: Stored) -> None:
        self._last_row = max(self._last_row, stored.row)
        self._insert(stored.row, stored.cube, stored.derived, stored.key)

    def restore_audit(self, entries: Sequence[Entry], names: Mapping[str, str]) -> None:
        self._ledger.restore(entries, names)
        self.erased = True  # perhaps a name was forgotten

    def follow(self, changes: Sequence[Change]) -> None:
        self.send()
        ids = [id_bytes(change.cube_id) for change in changes]
        tenants: dict[bytes, str] = dict(
            self.db.execute(
                "SELECT DISTINCT c.id, s.tenant FROM cubes c JOIN scopes s USING (scope) WHERE c.id = ANY(%s::bytea[])",
                (ids,),
            ).fetchall()
        )
        for change, name in zip(changes, ids, strict=True):
            if change.seq <= self._last_seq:
                raise StoreError(f"Change {change.seq} does not follow change {self._last_seq}.")
            self._last_seq, self._last_row = change.seq, max(self._last_row, change.row)
            wall = wall_of(tenants[name]) if name in tenants else b""  # of one that is gone, nobody's
            self._waiting["changes"].append((change.seq, KINDS.index(change.kind), change.row, name, wall))

    # --- vectors

    def put_vectors(
        self, rows: Rows, vectors: NDArray[np.float32], tokens: Sequence[bytes], info: EmbedderInfo
    ) -> None:
        """Store vectors (and those of words) for those rows that are there, in place of others of the embedder."""
        if vectors.shape != (len(rows), info.dim):
            raise ConfigError(
                f"Vectors of shape {vectors.shape} are not {len(rows)} of {info.id} with {info.dim} dimensions."
            )
        self.send()
        number, numbers = self.embedder_number(info), rows.tolist()
        for table in ("vectors", "tokens"):
            self.db.execute(f"DELETE FROM {table} WHERE row = ANY(%s::bigint[]) AND embedder = %s", (numbers, number))
        there = {row for (row,) in self.db.execute("SELECT row FROM cubes WHERE row = ANY(%s::bigint[])", (numbers,))}
        for row, vector, own in zip(numbers, vectors, tokens or [b""] * len(rows), strict=True):
            if row in there:
                self._waiting["vectors"].append((row, number, vector_bytes(vector)))
                if own:
                    self._waiting["tokens"].append((row, number, own))
        self.note_changed("c.row = ANY(%s::bigint[])", numbers)

    def embedder_number(self, info: EmbedderInfo) -> int:
        self.db.execute(
            "INSERT INTO embedders (id, dim, in_use) VALUES (%s, %s, NOT EXISTS (SELECT 1 FROM embedders))"
            " ON CONFLICT DO NOTHING",
            (info.id, info.dim),
        )
        number, dim = self.db.execute("SELECT embedder, dim FROM embedders WHERE id = %s", (info.id,)).fetchone() or (
            0,
            0,
        )
        if dim != info.dim:
            raise ConfigError(f"This vault knows {info.id} with {dim} dimensions, not with {info.dim}.")
        return int(number)

    def _own_embedder(self, derived: Derived) -> int:
        """Return the number of the embedder in use. Raises: ConfigError if the vector is not one of it."""
        if self._embedder is None:
            self._embedder = self.db.execute("SELECT embedder, id, dim FROM embedders WHERE in_use").fetchone()
            if self._embedder is None:
                raise ConfigError("The store has no embedder yet.", hint="Call use_embedder first.")
        number, name, dim = self._embedder
        if derived.vector is None or derived.vector.shape != (dim,) or derived.embedder not in (None, name):
            raise ConfigError(
                f"A vector of {derived.embedder or 'another embedder'} does not fit this vault, which holds vectors"
                f" of {name} with {dim} dimensions.",
                hint="Open the vault again with its own embedder, or change it with: anamnos reembed",
            )
        return int(number)

    # --- what stands beside cubes

    def setting(self, name: str) -> str | None:
        value: str | None = self._value("SELECT value FROM settings WHERE name = %s", name)
        return value

    def set_setting(self, name: str, value: str | None) -> None:
        if value is None:
            self.db.execute("DELETE FROM settings WHERE name = %s", (name,))
            self.erased = True
        elif not self.db.execute("UPDATE settings SET value = %s WHERE name = %s", (value, name)).rowcount:
            self.db.execute("INSERT INTO settings VALUES (%s, %s)", (name, value))

    def enqueue(self, job: NewJob, *, now: datetime) -> Job:
        return enqueue(self, job, None if job.scope is None else self.scope_number(job.scope), now)

    def next_job(self) -> int:
        """Return a number that no job has had."""
        self._last_job += 1
        return self._last_job

    def had_jobs(self, last: int) -> None:
        """Give no job a number up to ``last`` any more."""
        self._last_job = max(self._last_job, last)

    def audit(self, note: Note) -> Entry:
        return self._ledger.audit(note)

    def record(self, kind: RecordKind, name: str, value: Mapping[str, Any] | None) -> None:
        self._ledger.record(kind, name, value)
        self.erased = self.erased or value is None

    def forget_name(self, name: str) -> int:
        self.send()
        self.erased = True
        return self._ledger.forget_name(name, lambda row: self.note_changed("c.row = %s", row))

    def scope_number(self, scope: Scope) -> int:
        if scope not in self._scopes:
            digest = scope_digest(scope)
            number = self._value("SELECT scope FROM scopes WHERE digest = %s", digest)
            if number is None:
                number = self._value(
                    'INSERT INTO scopes (digest, tenant, "user", agent, session) VALUES (%s, %s, %s, %s, %s)'
                    " RETURNING scope",
                    *(digest, *names_of(scope)),
                )
            self._scopes[scope] = number
        return self._scopes[scope]

    def _value(self, sql: str, *values: Any) -> Any:
        row = self.db.execute(sql, values).fetchone()
        return None if row is None else row[0]
