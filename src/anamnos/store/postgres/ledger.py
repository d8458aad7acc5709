"""The audit and the records of governance in the PostgreSQL store. See ``anamnos.store.ledger`` for their laws."""

from __future__ import annotations

import builtins
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import psycopg

from anamnos.store.ledger import FIRST, Entry, Note, RecordKind, check_follows, entered
from anamnos.store.rows import from_micros, id_bytes, id_text, micros

_COLUMNS = "seq, at, principal, verb, id, before, after, purpose, decision, previous, hash"


class PostgresLedger:
    """What governance keeps on one server.

    reading  lends a connection
    """

    def __init__(self, reading: Callable[[], AbstractContextManager[psycopg.Connection]]) -> None:
        self._reading = reading

    def entries(self, *, after: int = 0, limit: int = 1_000) -> builtins.list[Entry]:
        sql = f"SELECT {_COLUMNS} FROM audit WHERE seq > %s ORDER BY seq LIMIT %s"
        with self._reading() as db:
            return [_entry(row) for row in db.execute(sql, (after, limit))]

    def last(self) -> Entry | None:
        with self._reading() as db:
            row = db.execute(f"SELECT {_COLUMNS} FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
            return None if row is None else _entry(row)

    def names(self) -> dict[str, str]:
        with self._reading() as db:
            return dict(db.execute("SELECT token, name FROM audit_names").fetchall())

    def records(self, kind: RecordKind, prefix: str = "") -> dict[str, Mapping[str, Any]]:
        sql = "SELECT name, value FROM records WHERE kind = %s AND starts_with(name, %s) ORDER BY name"
        with self._reading() as db:
            return {name: json.loads(value) for name, value in db.execute(sql, (kind, prefix))}

    def problems(self) -> builtins.list[str]:
        gaps = "SELECT count(*), coalesce(max(seq), 0) FROM audit"
        guard = (
            "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'audit'::regclass AND tgname = 'audit_keeps_rows'"
            " AND tgenabled != 'D'"
        )
        with self._reading() as db:
            count, last = db.execute(gaps).fetchone() or (0, 0)
            guarded = db.execute(guard).fetchone() == (1,)
        found = [] if count == last else [f"the table of the audit has {count} rows up to number {last}"]
        return found + ([] if guarded else ["the table of the audit is not guarded against changes"])


class LedgerWriter:
    """The part of one write that is about governance."""

    def __init__(self, db: psycopg.Connection) -> None:
        self._db = db
        self._head: tuple[int, bytes] | None = None
        self._tokens: dict[str, str] = {}
        self._waiting: builtins.list[tuple[Any, ...]] = []

    def send(self) -> None:
        """Send the entries, which nobody asks for inside a write."""
        if self._waiting:
            places = ", ".join(["%s"] * len(self._waiting[0]))
            with self._db.cursor() as cursor:
                cursor.executemany(f"INSERT INTO audit ({_COLUMNS}) VALUES ({places})", self._waiting)
            self._waiting.clear()

    def audit(self, note: Note) -> Entry:
        if self._head is None:
            row: Any = self._db.execute("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
            self._head = row or (0, FIRST)
        seq, previous = self._head
        token = None if note.principal is None else self._token(note.principal)
        entry = entered(seq + 1, note, token, previous)
        self._add(entry)
        self._head = entry.seq, entry.hash
        return entry

    def restore(self, entries: Sequence[Entry], names: Mapping[str, str]) -> None:
        self.send()
        row = self._db.execute(f"SELECT {_COLUMNS} FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
        last = None if row is None else _entry(row)
        for entry in entries:
            check_follows(entry, last)
            self._add(entry)
            last = entry
        self._head = None if last is None else (last.seq, last.hash)
        self._tokens.clear()
        self._db.execute("DELETE FROM audit_names")
        with self._db.cursor() as cursor:
            cursor.executemany("INSERT INTO audit_names VALUES (%s, %s)", list(names.items()))

    def _add(self, entry: Entry) -> None:
        cube_id = None if entry.cube_id is None else id_bytes(entry.cube_id)
        self._waiting.append(
            (
                *(entry.seq, micros(entry.at), entry.principal, entry.verb, cube_id, entry.before, entry.after),
                *(entry.purpose, entry.decision, entry.previous, entry.hash),
            )
        )

    def record(self, kind: RecordKind, name: str, value: Mapping[str, Any] | None) -> None:
        self._db.execute("DELETE FROM records WHERE kind = %s AND name = %s", (kind, name))
        if value is not None:
            text = json.dumps(dict(value), ensure_ascii=False)
            self._db.execute("INSERT INTO records VALUES (%s, %s, %s)", (kind, name, text))

    def forget_name(self, name: str, changed_row: Callable[[int], None]) -> int:
        db = self._db
        self._tokens.pop(name, None)
        changed = db.execute("DELETE FROM audit_names WHERE name = %s", (name,)).rowcount
        rows = db.execute(
            "SELECT row, more FROM cubes WHERE %s = ANY(readers) OR %s = ANY(writers)", (name, name)
        ).fetchall()
        for row, text in rows:
            more = json.loads(text)
            kept = {part: [n for n in more["policy"].get(part, ()) if n != name] for part in ("readers", "writers")}
            policy = {part: value for part, value in {**more["policy"], **kept}.items() if value}
            more = {**more, "policy": policy} if policy else {k: v for k, v in more.items() if k != "policy"}
            new = json.dumps(more, ensure_ascii=False, separators=(",", ":")) if more else None
            db.execute(
                "UPDATE cubes SET more = %s, readers = %s::text[], writers = %s::text[] WHERE row = %s",
                (new, kept["readers"], kept["writers"], row),
            )
            changed_row(row)
            changed += 1
        return changed

    def _token(self, name: str) -> str:
        if name not in self._tokens:
            found = self._db.execute("SELECT token FROM audit_names WHERE name = %s", (name,)).fetchone()
            if found is None:
                found = (secrets.token_hex(8),)
                self._db.execute("INSERT INTO audit_names VALUES (%s, %s)", (*found, name))
            self._tokens[name] = found[0]
        return self._tokens[name]


def _entry(row: Any) -> Entry:
    seq, at, principal, verb, cube_id, *rest = row
    time = from_micros(at)
    if time is None:
        raise ValueError("an audit entry without a time")
    return Entry(seq, time, principal, verb, None if cube_id is None else id_text(cube_id), *rest)
