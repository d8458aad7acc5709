"""The embedded store: one SQLite file through apsw, in write-ahead mode. See docs/formats/vault.md.

One connection writes, a few read; SQLite's own locks let many processes share the file. ``synchronous = FULL``
makes every commit durable. ``secure_delete``, FTS5's ``secure-delete`` and ``sqlite_vfs`` overwrite what is erased,
and ``scrub`` empties the write-ahead log after it.
"""

from __future__ import annotations

import builtins
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import apsw
import numpy as np
from numpy.typing import NDArray

from anamnos.cube import CubeId, MemCube, Scope
from anamnos.errors import Conflict
from anamnos.store.base import EmbedderInfo, Outline, Rows, Stored
from anamnos.store.rows import (
    CUBE_COLUMNS,
    CUBE_TABLES,
    cube_from_row,
    id_bytes,
    id_text,
    vector_from_bytes,
)
from anamnos.store.sqlite_file import SqliteFile
from anamnos.store.sqlite_filter import (
    EXPIRY,
    filter_condition,
    scope_condition,
    sortable,
    state_condition,
    time_condition,
)
from anamnos.store.sqlite_jobs import SqliteJobs
from anamnos.store.sqlite_ledger import SqliteLedger
from anamnos.store.sqlite_working import SqliteWorking
from anamnos.store.sqlite_write import KINDS, read_links
from anamnos.types import Change, Derived, Filter

_UNKNOWN_TIME = np.iinfo(np.int64).min


class SqliteStore(SqliteFile):
    """A store in one file.

    path            of the database file; its folder must be there
    busy_timeout_s  how long a write waits for other writers before it raises Busy
    key             32 bytes that the file and its journals are encrypted with; None: they are plain
    read_only       refuse every write, and a file of an older schema
    """

    def __init__(
        self, path: Path, *, busy_timeout_s: float = 60.0, key: bytes | None = None, read_only: bool = False
    ) -> None:
        super().__init__(path, busy_timeout_s=busy_timeout_s, key=key, read_only=read_only)
        self.jobs = SqliteJobs(self.write, self._reading)
        self.working = SqliteWorking(self.write, self._reading)
        self.ledger = SqliteLedger(self._reading)

    # --- reading cubes

    def get(self, cube_id: CubeId, version: int | None = None) -> MemCube | None:
        wanted = ("c.current", ()) if version is None else ("c.version = ?", (version,))
        found = self._cubes(f"c.id = ? AND {wanted[0]}", (id_bytes(cube_id), *wanted[1]))
        return found[0] if found else None

    def history(self, cube_id: CubeId) -> builtins.list[MemCube]:
        return self._cubes("c.id = ?", (id_bytes(cube_id),), "ORDER BY c.version")

    def list(
        self,
        scope: Scope,
        filter: Filter | None = None,
        *,
        after: CubeId | None = None,
        limit: int | None = None,
        as_of: datetime | None = None,
    ) -> builtins.list[MemCube]:
        condition, values = self._where(scope, filter, as_of)
        if after is not None:
            condition, values = f"{condition} AND c.id > ?", [*values, id_bytes(after)]
        return self._cubes(condition, values, f"ORDER BY c.id LIMIT {-1 if limit is None else int(limit)}")

    def export(self, scope: Scope | None = None) -> Iterator[tuple[MemCube, Derived | None, bytes]]:
        condition, values = ("1", []) if scope is None else scope_condition(scope)
        with self._reading() as db:
            rows: Any = db.execute(
                f"SELECT c.row, c.id, c.version FROM cubes c JOIN scopes s USING (scope)"
                f" WHERE {condition} ORDER BY c.id, c.version",
                values,
            ).fetchall()
            for row, _, _ in rows:
                stored = self._stored(db, row)
                yield stored.cube, stored.derived, stored.key

    def versions(self, cube_ids: Iterable[CubeId]) -> builtins.list[Stored]:
        sql = "SELECT row FROM cubes WHERE id = ? ORDER BY version"
        with self._reading() as db:
            rows: Any = [row for each in sorted(set(cube_ids)) for (row,) in db.execute(sql, (id_bytes(each),))]
            return [self._stored(db, row) for row in rows]

    def _stored(self, db: apsw.Connection, row: int) -> Stored:
        terms, key = db.execute("SELECT terms, key FROM cubes WHERE row = ?", (row,)).fetchone()  # type: ignore[misc]
        vector = db.execute(
            "SELECT vector, e.dim FROM vectors JOIN embedders e USING (embedder) WHERE row = ? AND in_use", (row,)
        ).fetchone()
        tokens = db.execute(
            "SELECT tokens FROM tokens JOIN embedders USING (embedder) WHERE row = ? AND in_use", (row,)
        ).get
        derived = None
        if terms is not None:
            derived = Derived(
                np.frombuffer(terms, dtype="<u4"),
                None if vector is None else vector_from_bytes(*vector),
                tokens=tokens or b"",
            )
        return Stored(row, self._cubes("c.row = ?", (row,), db=db)[0], derived, key or b"")

    def find(self, keys: Iterable[bytes]) -> dict[bytes, CubeId]:
        found: dict[bytes, CubeId] = {}
        with self._reading() as db:
            for key in keys:
                cube_id = db.execute("SELECT id FROM cubes WHERE key = ? AND current", (key,)).get
                if cube_id is not None:
                    found[key] = id_text(cube_id)
        return found

    def count(self, scope: Scope | None = None) -> int:
        condition, values = ("1", []) if scope is None else scope_condition(scope)
        sql = f"SELECT count(*) FROM cubes c JOIN scopes s USING (scope) WHERE c.current AND {condition}"
        with self._reading() as db:
            return int(db.execute(sql, values).get)

    def tally(self, scope: Scope | None = None) -> dict[tuple[str, str], int]:
        condition, values = ("1", []) if scope is None else scope_condition(scope)
        sql = (
            "SELECT c.role, c.state, count(*) FROM cubes c JOIN scopes s USING (scope)"
            f" WHERE c.current AND {condition} GROUP BY c.role, c.state"
        )
        with self._reading() as db:
            rows: Any = db.execute(sql, values)
            return {(role, state): number for role, state, number in rows}

    def usage(self, scope: Scope) -> tuple[int, int]:
        condition, values = scope_condition(scope)
        size = "CASE c.substrate WHEN 'text' THEN octet_length(c.content) ELSE c.more ->> '$.blob.size_bytes' END"
        sql = f"SELECT ifnull(sum(c.current), 0), ifnull(sum({size}), 0) FROM cubes c JOIN scopes s USING (scope)"
        with self._reading() as db:
            memories, content = db.execute(f"{sql} WHERE {condition}", values).fetchone()  # type: ignore[misc]
        return int(memories), int(content)

    def hottest(self, scope: Scope | None = None, *, limit: int = 10) -> builtins.list[MemCube]:
        condition, values = ("1", []) if scope is None else scope_condition(scope)
        uses = "ifnull(json_extract(c.more, '$.lifecycle.uses'), 0)"
        return self._cubes(
            f"c.current AND {condition} AND c.more LIKE '%\"uses\"%' AND {uses} > 0",
            values,
            f"ORDER BY {uses} DESC, c.id LIMIT {int(limit)}",
        )

    def expired(self, now: datetime, scope: Scope | None = None) -> builtins.list[CubeId]:
        condition, values = ("1", []) if scope is None else ("s.tenant = ? AND s.user IS ?", [scope.tenant, scope.user])
        sql = (
            "SELECT c.id FROM cubes c INDEXED BY cubes_by_expiry CROSS JOIN scopes s USING (scope)"
            f" WHERE c.current AND {EXPIRY} <= ? AND c.state IN ('generated', 'activated') AND {condition}"
            " ORDER BY c.id"
        )
        with self._reading() as db:
            return [id_text(cube_id) for (cube_id,) in db.execute(sql, [sortable(now), *values])]

    def scopes(self) -> builtins.list[Scope]:
        with self._reading() as db:
            return [
                Scope(*row)
                for row in db.execute(
                    "SELECT tenant, user, agent, session FROM scopes s"
                    " WHERE EXISTS (SELECT 1 FROM cubes c WHERE c.scope = s.scope AND c.current)"
                    " ORDER BY tenant, user, agent, session"
                )
            ]

    def _where(self, scope: Scope, filter: Filter | None, as_of: datetime | None) -> tuple[str, builtins.list[Any]]:
        holds, times = time_condition(as_of)
        in_scope, scope_values = scope_condition(scope)
        passes, filter_values = filter_condition(filter)
        return f"{holds} AND {in_scope} AND ({passes})", [*times, *scope_values, *filter_values]

    def _cubes(
        self, condition: str, values: Sequence[Any], tail: str = "", *, db: apsw.Connection | None = None
    ) -> builtins.list[MemCube]:
        if db is None:
            with self._reading() as reader:
                return self._cubes(condition, values, tail, db=reader)
        sql = f"SELECT {CUBE_COLUMNS} FROM {CUBE_TABLES} WHERE {condition} {tail}"
        rows: Any = db.execute(sql, values).fetchall()
        links = {row[0]: read_links(db, row[0]) for row in rows if row[18]}
        return [cube_from_row(row, links) for row in rows]

    # --- the feed for indexes

    def sequence(self) -> int:
        with self._reading() as db:
            return int(db.execute("SELECT ifnull(max(seq), 0) FROM changes").get)

    def changes(self, after: int, limit: int = 10_000) -> builtins.list[Change]:
        with self._reading() as db:
            rows = db.execute(
                "SELECT seq, kind, row, id FROM changes WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit)
            )
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
        holds, values = time_condition(as_of)
        condition = f"{holds} AND c.substrate = 'text' AND s.tenant = ? AND s.user IS ?"
        if not all_states:
            condition += f" AND {state_condition()}"
        if derived is not None:
            condition += f" AND {'' if derived else 'NOT '}EXISTS (SELECT 1 FROM derivations d WHERE d.row = c.row)"
        values += [scope.tenant, scope.user]
        tables = "cubes c JOIN scopes s USING (scope)"
        if rows is not None:  # CROSS JOIN keeps SQLite from walking all scopes for a few rows
            tables = "json_each(?) j CROSS JOIN cubes c ON c.row = j.value CROSS JOIN scopes s USING (scope)"
            values.insert(0, json.dumps(rows.tolist()))
        with self._reading() as db:
            found = db.execute(
                f"SELECT c.row, c.id, c.created_at, c.scope, c.actor, c.terms"
                f" FROM {tables} WHERE {condition} ORDER BY c.row",
                values,
            ).fetchall()
            used = json.dumps(sorted({row[3] for row in found}))
            names = {
                number: Scope(*name)
                for number, *name in db.execute(
                    "SELECT scope, tenant, user, agent, session FROM scopes"
                    " WHERE scope IN (SELECT value FROM json_each(?))",
                    (used,),
                )
            }
        columns = list(zip(*found, strict=True)) or [()] * 6
        return Outline(
            rows=np.array(columns[0], dtype=np.int64),
            order=np.frombuffer(b"".join(columns[1]), dtype=">u8").reshape(-1, 2).astype(np.uint64),
            created=np.array([_UNKNOWN_TIME if t is None else t for t in columns[2]], dtype=np.int64),
            scopes=np.array(columns[3], dtype=np.int64),
            names=names,
            actors=columns[4],
            terms=[terms or b"" for terms in columns[5]],
        )

    def select(self, scope: Scope, filter: Filter | None = None, *, as_of: datetime | None = None) -> Rows:
        condition, values = self._where(scope, filter, as_of)
        sql = f"SELECT c.row FROM {CUBE_TABLES} WHERE {condition} ORDER BY c.row"
        with self._reading() as db:
            return np.array([row for (row,) in db.execute(sql, values)], dtype=np.int64)

    def at(self, rows: Sequence[int]) -> builtins.list[MemCube]:
        with self._reading() as db:
            return [cube for row in rows for cube in self._cubes("c.row = ?", (int(row),), db=db)]

    def rows_of(self, versions: Iterable[tuple[CubeId, int]]) -> Rows:
        sql = "SELECT row FROM cubes WHERE id = ? AND version = ?"
        with self._reading() as db:
            rows = [db.execute(sql, (id_bytes(cube_id), version)).get or 0 for cube_id, version in versions]
        return np.array(rows, dtype=np.int64)

    def blob_names(self) -> set[str]:
        with self._reading() as db:
            return {name for (name,) in db.execute("SELECT DISTINCT content FROM cubes WHERE substrate != 'text'")}

    # --- vectors and terms

    def embedder(self) -> EmbedderInfo | None:
        with self._reading() as db:
            row = db.execute("SELECT id, dim FROM embedders WHERE in_use").fetchone()
        return None if row is None else EmbedderInfo(*row)

    def use_embedder(self, info: EmbedderInfo) -> None:
        with self.write() as tx:
            number = tx.embedder_number(info)
            missing = tx.db.execute(
                "SELECT count(*) FROM cubes c WHERE substrate = 'text'"
                " AND EXISTS (SELECT 1 FROM embedders WHERE in_use AND embedder != ?1)"
                " AND NOT EXISTS (SELECT 1 FROM vectors v WHERE v.row = c.row AND v.embedder = ?1)",
                (number,),
            ).get
            if missing:
                raise Conflict(f"{missing} memories have no vector of {info.id} yet.", hint="Run: anamnos reembed")
            tx.db.execute("UPDATE embedders SET in_use = (embedder = ?)", (number,))
            tx.db.execute("DELETE FROM vectors WHERE embedder != ?", (number,))
            tx.db.execute("DELETE FROM tokens WHERE embedder != ?", (number,))
            tx.db.execute("DELETE FROM embedders WHERE embedder != ?", (number,))

    def vectors(self, rows: Rows, info: EmbedderInfo) -> NDArray[np.float32]:
        out = np.zeros((len(rows), info.dim), dtype=np.float32)
        with self._reading() as db:
            for place, data in db.execute(
                "SELECT j.key, v.vector FROM json_each(?) j JOIN vectors v ON v.row = j.value"
                " WHERE v.embedder = (SELECT embedder FROM embedders WHERE id = ? AND dim = ?)",
                (json.dumps(rows.tolist()), info.id, info.dim),
            ):
                out[place] = vector_from_bytes(data, info.dim)
        return out

    def tokens(self, rows: Rows, info: EmbedderInfo) -> builtins.list[bytes]:
        out = [b""] * len(rows)
        with self._reading() as db:
            number = db.execute("SELECT embedder FROM embedders WHERE id = ? AND dim = ?", (info.id, info.dim)).get
            for place, data in db.execute(
                "SELECT j.key, t.tokens FROM json_each(?) j JOIN tokens t ON t.row = j.value WHERE t.embedder = ?",
                (json.dumps(rows.tolist()), number),
            ):
                out[place] = data
        return out

    def put_vectors(
        self, rows: Rows, vectors: NDArray[np.float32], info: EmbedderInfo, tokens: Sequence[bytes] = ()
    ) -> None:
        with self.write() as tx:
            for row, vector, own in zip(rows.tolist(), vectors, tokens or [b""] * len(rows), strict=True):
                if tx.db.execute("SELECT 1 FROM cubes WHERE row = ?", (row,)).get is not None:
                    tx.put_vector(row, vector, own, info)

    def without_vector(
        self, info: EmbedderInfo, *, after: int = 0, limit: int = 1_000
    ) -> builtins.list[tuple[int, MemCube]]:
        with self._reading() as db:
            rows: Any = db.execute(
                "SELECT c.row FROM cubes c WHERE c.row > ? AND c.substrate = 'text' AND NOT EXISTS (SELECT 1"
                " FROM vectors v JOIN embedders e USING (embedder) WHERE v.row = c.row AND e.id = ? AND e.dim = ?)"
                " ORDER BY c.row LIMIT ?",
                (after, info.id, info.dim, limit),
            ).fetchall()
            return [(row, self._cubes("c.row = ?", (row,), db=db)[0]) for (row,) in rows]

    def put_terms(self, terms: Mapping[int, bytes]) -> None:
        with self.write() as tx:
            tx.db.executemany("UPDATE cubes SET terms = ? WHERE row = ?", [(t, row) for row, t in terms.items()])
            for row in terms:
                tx.note_changed("row = ?", row)

    # --- the whole

    def setting(self, name: str) -> str | None:
        with self._reading() as db:
            value: str | None = db.execute("SELECT value FROM settings WHERE name = ?", (name,)).get
        return value

    def set_setting(self, name: str, value: str) -> None:
        with self.write() as tx:
            tx.set_setting(name, value)

    def settings(self, prefix: str) -> dict[str, str]:
        with self._reading() as db:
            rows: Any = db.execute(
                "SELECT name, value FROM settings WHERE name >= ?1 AND substr(name, 1, length(?1)) = ?1"
                " AND name < ?1 || char(0x10FFFF) ORDER BY name",
                (prefix,),
            )
            return dict(rows)

    def verify(self) -> builtins.list[str]:
        problems: builtins.list[str] = []
        # FTS5 checks what a connection remembers of it: only a new one sees the writes of other processes
        with self._write_lock, self._errors(), closing(self._open_writer() and self._connect()) as db:
            problems += [f"integrity: {text}" for (text,) in db.execute("PRAGMA integrity_check") if text != "ok"]
            problems += [f"a row of {row[0]} refers to nothing" for row in db.execute("PRAGMA foreign_key_check")]
            try:
                db.execute("INSERT INTO trigrams (trigrams, rank) VALUES ('integrity-check', 1)")
            except apsw.CorruptError:
                problems.append("the keyword rows do not agree with the text")
            for text, sql in _CHECKS.items():
                count = db.execute(sql).get
                if count:
                    problems.append(f"{count} {text}")
        return problems


_CHECKS = {
    "memories have several current versions": (
        "SELECT count(*) FROM (SELECT id FROM cubes WHERE current GROUP BY id HAVING count(*) > 1)"
    ),
    "memories have no current version": (
        "SELECT count(*) FROM (SELECT id FROM cubes GROUP BY id HAVING sum(current) = 0)"
    ),
    "text memories have no index terms (run: anamnos rebuild-index)": (
        "SELECT count(*) FROM cubes WHERE substrate = 'text' AND terms IS NULL"
    ),
    "text memories have no vector of the embedder in use (run: anamnos rebuild-index)": (
        "SELECT count(*) FROM cubes c WHERE substrate = 'text' AND NOT EXISTS (SELECT 1 FROM vectors v"
        " JOIN embedders e USING (embedder) WHERE v.row = c.row AND e.in_use)"
    ),
    "vectors have another length than their embedder says": (
        "SELECT count(*) FROM vectors v JOIN embedders e USING (embedder)"
        " WHERE v.dim != e.dim OR length(v.vector) NOT IN (2 * e.dim, 4 * e.dim)"
    ),
    "jobs run without a lease": "SELECT count(*) FROM jobs WHERE state = 'running' AND leased_until IS NULL",
    "entries of working memory stand for memories that are not there": (
        "SELECT count(*) FROM working w WHERE NOT EXISTS (SELECT 1 FROM cubes c WHERE c.id = w.id)"
    ),
    "links lead to memories that are not there": (
        "SELECT count(*) FROM links l WHERE NOT EXISTS (SELECT 1 FROM cubes c WHERE c.id = l.target)"
    ),
}
