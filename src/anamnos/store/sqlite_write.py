"""One write to the SQLite store: the primitives of ``anamnos.store.base.Transaction`` as SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import apsw
import numpy as np
from numpy.typing import NDArray

from anamnos.cube import CubeId, Link, MemCube, Scope, Substrate
from anamnos.errors import ConfigError, StoreError
from anamnos.store.base import MOVING, EmbedderInfo, Stored
from anamnos.store.jobs import Job, NewJob
from anamnos.store.ledger import Entry, Note, RecordKind
from anamnos.store.rows import (
    CUBE_COLUMNS,
    CUBE_TABLES,
    cube_from_row,
    id_bytes,
    id_text,
    link_from_row,
    micros,
    more_json,
    vector_bytes,
)
from anamnos.store.sqlite_jobs import enqueue
from anamnos.store.sqlite_ledger import LedgerWriter
from anamnos.types import Change, Derived

# scopes that jobs and working memories name: such a one is forgotten when it covers no memory any more
_WATCHED_SCOPES = " UNION ".join(
    f"SELECT scope FROM {table} WHERE scope IS NOT NULL" for table in ("jobs", "recurring_jobs", "working")
)
_FORGET_SCOPES_OF_A_USER = (
    f"DELETE FROM scopes AS s WHERE scope IN ({_WATCHED_SCOPES})"
    " AND (tenant, ifnull(user, '')) = (SELECT tenant, ifnull(user, '') FROM scopes WHERE scope = ?)"
    " AND NOT EXISTS (SELECT 1 FROM scopes t JOIN cubes c USING (scope) WHERE t.tenant = s.tenant AND t.user IS s.user"
    " AND (s.agent IS NULL OR s.agent = t.agent) AND (s.session IS NULL OR s.session = t.session))"
)


KINDS = ("written", "retired", "erased")
"""Of changes, in the order of the numbers that stand for them in the table."""

_REBUILD_FROM = 200
"""From so many erased texts on, making all trigrams anew is faster than taking them out, whatever their number."""


class SqliteTransaction:
    """One write in progress. See ``anamnos.store.base.Transaction``."""

    def __init__(self, db: apsw.Connection) -> None:
        self.db = db
        self.erased = False
        self._ledger = LedgerWriter(db)
        self._erased_names: set[tuple[str, str, int]] = set()
        self._scopes: dict[Scope, int] = {}
        self._origins: dict[tuple[str | None, str | None], int] = {}
        self._embedder: tuple[int, str, int] | None = None
        self._erased_texts: dict[int, str] = {}  # by row
        self._moving: bool | None = None

    def current(self, cube_id: CubeId) -> MemCube | None:
        return self._one("c.id = ? AND c.current", (id_bytes(cube_id),))

    def version(self, cube_id: CubeId, version: int) -> MemCube | None:
        return self._one("c.id = ? AND c.version = ?", (id_bytes(cube_id), version))

    def _one(self, condition: str, values: Sequence[Any]) -> MemCube | None:
        row = self.db.execute(f"SELECT {CUBE_COLUMNS} FROM {CUBE_TABLES} WHERE {condition}", values).fetchone()
        return None if row is None else cube_from_row(row, {row[0]: read_links(self.db, row[0])})

    def find(self, key: bytes) -> CubeId | None:
        cube_id = self.db.execute("SELECT id FROM cubes WHERE key = ? AND current", (key,)).get
        return None if cube_id is None else id_text(cube_id)

    def dependents(self, cube_id: CubeId) -> list[CubeId]:
        rows = self.db.execute(
            "SELECT DISTINCT c.id FROM derivations d JOIN cubes c USING (row) WHERE d.source = ? ORDER BY c.id",
            (id_bytes(cube_id),),
        )
        return [id_text(other) for (other,) in rows]

    def insert(self, cube: MemCube, derived: Derived | None, key: bytes) -> None:
        row = self._insert_cube(cube, None if derived is None else derived.terms.astype("<u4").tobytes(), key)
        if derived is not None and derived.vector is not None:
            self._put_own_vector(row, derived)

    def repeat(self, cube: MemCube) -> None:
        last, terms, key = self.db.execute(
            "SELECT row, terms, key FROM cubes WHERE id = ? ORDER BY version DESC LIMIT 1", (id_bytes(cube.id),)
        ).fetchone()  # type: ignore[misc]
        row = self._insert_cube(cube, terms, key)
        for table, values in (("vectors", "?, ?, ?, ?"), ("tokens", "?, ?, ?")):
            held: Any = self.db.execute(f"SELECT * FROM {table} WHERE row = ?", (last,)).fetchall()
            for _, *rest in held:  # INSERT … SELECT has a savepoint, at which FTS5 would write what it has
                self.db.execute(f"INSERT INTO {table} VALUES ({values})", (row, *rest))

    def touch(self, cube: MemCube) -> None:
        self.db.execute(
            "UPDATE cubes SET state = ?, importance = ?, more = ? WHERE id = ? AND current",
            (str(cube.lifecycle.state), cube.lifecycle.importance, more_json(cube), id_bytes(cube.id)),
        )
        self.note_changed("id = ? AND current", id_bytes(cube.id))

    def clear(self, cube_id: CubeId) -> None:
        for row, content in self._remove(cube_id):
            if content is not None:  # at once: the same text may come back into this row before the end of the write
                take_out = "INSERT INTO trigrams (trigrams, rowid, content) VALUES ('delete', ?, ?)"
                self.db.execute(take_out, (row, content))

    def restore(self, stored: Stored) -> None:
        derived = stored.derived
        terms = None if derived is None else derived.terms.astype("<u4").tobytes()
        self._insert_cube(stored.cube, terms, stored.key, stored.row)
        if derived is not None and derived.vector is not None:
            self._put_own_vector(stored.row, derived)

    def restore_audit(self, entries: Sequence[Entry], names: Mapping[str, str]) -> None:
        self._ledger.restore(entries, names)
        self.erased = True  # perhaps a name was forgotten

    def follow(self, changes: Sequence[Change]) -> None:
        last = int(self.db.execute("SELECT ifnull(max(seq), 0) FROM changes").get)
        for change in changes:
            if change.seq <= last:
                raise StoreError(f"Change {change.seq} does not follow change {last}.")
            last = change.seq
            values = (change.seq, KINDS.index(change.kind), change.row, id_bytes(change.cube_id))
            self.db.execute("INSERT INTO changes VALUES (?, ?, ?, ?)", values)
        highest = max((change.row for change in changes), default=0)
        self.db.execute("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'cubes'", (highest,))
        if not self.db.changes():
            self.db.execute("INSERT INTO sqlite_sequence VALUES ('cubes', ?)", (highest,))

    def setting(self, name: str) -> str | None:
        value: str | None = self.db.execute("SELECT value FROM settings WHERE name = ?", (name,)).get
        return value

    def set_setting(self, name: str, value: str | None) -> None:
        if value is None:
            self.db.execute("DELETE FROM settings WHERE name = ?", (name,))
            self.erased = True
        else:
            self.db.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, value))

    def enqueue(self, job: NewJob, *, now: datetime) -> Job:
        return enqueue(self.db, job, None if job.scope is None else self.scope_number(job.scope), now)

    def audit(self, note: Note) -> Entry:
        return self._ledger.audit(note)

    def record(self, kind: RecordKind, name: str, value: Mapping[str, Any] | None) -> None:
        self._ledger.record(kind, name, value)
        self.erased = self.erased or value is None

    def forget_name(self, name: str) -> int:
        self.erased = True
        return self._ledger.forget_name(name, lambda row: self.note_changed("row = ?", row))

    def _insert_cube(self, cube: MemCube, terms: bytes | None, key: bytes | None, row: int | None = None) -> int:
        """Store a version with its links and trigrams, and return its row: a new one, and noted, if none is given."""
        content = cube.content if isinstance(cube.content, str) else cube.content.sha256
        life, origin = cube.lifecycle, cube.provenance
        self.db.execute(
            "INSERT INTO cubes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                row,
                id_bytes(cube.id),
                cube.version,
                int(cube.time.superseded_at is None),
                self.scope_number(cube.scope),
                self._origin_number(origin.source, origin.operator),
                str(cube.substrate),
                str(cube.role),
                str(life.state),
                micros(cube.time.created_at),
                micros(cube.time.recorded_at),
                micros(cube.time.superseded_at),
                origin.actor,
                life.importance,
                origin.trust,
                key or None,
                int(bool(cube.links)),
                content,
                terms,
                more_json(cube),
            ),
        )
        is_new, row = row is None, self.db.last_insert_rowid()
        for place, link in enumerate(cube.links):
            self.db.execute(
                "INSERT INTO links VALUES (?, ?, ?, ?, ?)",
                (row, place, str(link.kind), id_bytes(link.target), link.weight),
            )
        for source in origin.derived_from:
            self.db.execute("INSERT OR IGNORE INTO derivations VALUES (?, ?)", (row, id_bytes(source)))
        if cube.substrate is Substrate.TEXT:
            self.db.execute("INSERT INTO trigrams (rowid, content) VALUES (?, ?)", (row, content))
        if is_new:
            self._note(0, row, id_bytes(cube.id))
        return row

    def retire(self, cube_id: CubeId, at: datetime) -> None:
        row = self.db.execute("SELECT row FROM cubes WHERE id = ? AND current", (id_bytes(cube_id),)).get
        self.db.execute("UPDATE cubes SET current = 0, superseded_at = ? WHERE row = ?", (micros(at), row))
        self._note(1, row, id_bytes(cube_id))

    def erase(self, cube_id: CubeId) -> None:
        for row, content in self._remove(cube_id):
            if content is not None:
                self._erased_texts[row] = content
            self._note(2, row, id_bytes(cube_id))
        self.note_changed("row IN (SELECT row FROM links WHERE target = ?)", id_bytes(cube_id))
        self.db.execute(
            "UPDATE cubes SET linked = EXISTS (SELECT 1 FROM links l WHERE l.row = cubes.row AND l.target != ?1)"
            " WHERE row IN (SELECT row FROM links WHERE target = ?1)",
            (id_bytes(cube_id),),
        )
        self.db.execute("DELETE FROM links WHERE target = ?", (id_bytes(cube_id),))
        self.db.execute("DELETE FROM working WHERE id = ?", (id_bytes(cube_id),))

    def _remove(self, cube_id: CubeId) -> list[tuple[int, str | None]]:
        """Remove all versions of a cube; return their rows, and their texts, which the trigrams still have."""
        rows: Any = self.db.execute(
            "SELECT row, content, substrate, scope, origin FROM cubes WHERE id = ?", (id_bytes(cube_id),)
        ).fetchall()
        for row, _, _, scope, origin in rows:
            self._erased_names |= {("scopes", "scope", scope), ("origins", "origin", origin)}
            self.db.execute("DELETE FROM cubes WHERE row = ?", (row,))
        self.erased = True
        return [(row, content if substrate == Substrate.TEXT else None) for row, content, substrate, _, _ in rows]

    def finish(self) -> None:
        """Take out what an erased memory leaves behind, once all of them are known."""
        if not self.erased:
            return
        if len(self._erased_texts) >= _REBUILD_FROM:
            self.db.execute("INSERT INTO trigrams (trigrams) VALUES ('rebuild')")
        else:
            take_out = "INSERT INTO trigrams (trigrams, rowid, content) VALUES ('delete', ?, ?)"
            self.db.executemany(take_out, sorted(self._erased_texts.items()))
        self._forget_unused_names()

    def _forget_unused_names(self) -> None:
        """Remove the names of scopes and sources in which nothing is left, and with them what else is kept of them."""
        for _, _, number in [name for name in self._erased_names if name[0] == "scopes"]:
            self.db.execute(_FORGET_SCOPES_OF_A_USER, (number,))
        for table, column, number in self._erased_names:
            unused = f"NOT EXISTS (SELECT 1 FROM cubes c WHERE c.{column} = {table}.{column})"
            if table == "scopes":
                unused += f" AND scope NOT IN ({_WATCHED_SCOPES})"
            self.db.execute(f"DELETE FROM {table} WHERE {column} = ? AND {unused}", (number,))

    def put_vector(self, row: int, vector: NDArray[np.float32], tokens: bytes, info: EmbedderInfo) -> None:
        if vector.shape != (info.dim,):
            raise ConfigError(f"A vector of shape {vector.shape} is not one of {info.id} with {info.dim} dimensions.")
        number = self.embedder_number(info)
        for table in ("vectors", "tokens"):
            self.db.execute(f"DELETE FROM {table} WHERE row = ? AND embedder = ?", (row, number))
        self._insert_vector(row, number, vector, tokens)
        self.note_changed("row = ?", row)

    def _insert_vector(self, row: int, number: int, vector: NDArray[np.float32], tokens: bytes) -> None:
        self.db.execute(
            "INSERT INTO vectors VALUES (?, ?, ?, ?)",
            (row, number, len(vector), vector_bytes(vector)),
        )
        if tokens:
            self.db.execute("INSERT INTO tokens VALUES (?, ?, ?)", (row, number, tokens))

    def embedder_number(self, info: EmbedderInfo) -> int:
        self.db.execute(
            "INSERT OR IGNORE INTO embedders (id, dim, in_use) VALUES (?, ?, NOT EXISTS (SELECT 1 FROM embedders))",
            (info.id, info.dim),
        )
        number, dim = self.db.execute("SELECT embedder, dim FROM embedders WHERE id = ?", (info.id,)).fetchone()  # type: ignore[misc]
        if dim != info.dim:
            raise ConfigError(f"This vault knows {info.id} with {dim} dimensions, not with {info.dim}.")
        return int(number)

    def _put_own_vector(self, row: int, derived: Derived) -> None:
        if self._embedder is None:
            found = self.db.execute("SELECT embedder, id, dim FROM embedders WHERE in_use").fetchone()
            if found is None:
                raise ConfigError("The store has no embedder yet.", hint="Call use_embedder first.")
            self._embedder = found
        number, name, dim = self._embedder
        vector = derived.vector
        if vector is None or vector.shape != (dim,) or derived.embedder not in (None, name):
            raise ConfigError(
                f"A vector of {derived.embedder or 'another embedder'} does not fit this vault, which holds vectors"
                f" of {name} with {dim} dimensions.",
                hint="Open the vault again with its own embedder, or change it with: anamnos reembed",
            )
        self._insert_vector(row, number, vector, derived.tokens)

    def _note(self, kind: int, row: int, cube_id: bytes) -> None:
        self.db.execute("INSERT INTO changes (kind, row, id) VALUES (?, ?, ?)", (kind, row, cube_id))

    def note_changed(self, condition: str, value: Any) -> None:
        """Note versions that were changed where they lie, if the store's memories are being moved."""
        if self._moving is None:
            self._moving = self.setting(MOVING) is not None
        if self._moving:
            self.db.execute(
                f"INSERT INTO changes (kind, row, id) SELECT 0, row, id FROM cubes WHERE {condition}", (value,)
            )

    def scope_number(self, scope: Scope) -> int:
        if scope not in self._scopes:
            name = (scope.tenant, scope.user, scope.agent, scope.session)
            number = self.db.execute(
                "SELECT scope FROM scopes WHERE tenant = ? AND ifnull(user, '') = ifnull(?, '')"
                " AND ifnull(agent, '') = ifnull(?, '') AND ifnull(session, '') = ifnull(?, '')",
                name,
            ).get
            if number is None:
                self.db.execute("INSERT INTO scopes (tenant, user, agent, session) VALUES (?, ?, ?, ?)", name)
                number = self.db.last_insert_rowid()
            self._scopes[scope] = number
        return self._scopes[scope]

    def _origin_number(self, source: str | None, operator: str | None) -> int:
        if (source, operator) not in self._origins:
            number = self.db.execute(
                "SELECT origin FROM origins WHERE ifnull(source, '') = ifnull(?, '')"
                " AND ifnull(operator, '') = ifnull(?, '')",
                (source, operator),
            ).get
            if number is None:
                self.db.execute("INSERT INTO origins (source, operator) VALUES (?, ?)", (source, operator))
                number = self.db.last_insert_rowid()
            self._origins[source, operator] = number
        return self._origins[source, operator]


def read_links(db: apsw.Connection, row: int) -> tuple[Link, ...]:
    rows = db.execute("SELECT kind, target, weight FROM links WHERE row = ? ORDER BY place", (row,))
    return tuple(link_from_row(*link) for link in rows)
