"""The audit and the records of governance in the SQLite store. See ``anamnos.store.ledger`` for their laws."""

from __future__ import annotations

import builtins
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import apsw

from anamnos.errors import Corrupt
from anamnos.store.ledger import FIRST, Entry, Note, RecordKind, check_follows, entered
from anamnos.store.rows import from_micros, id_bytes, id_text, micros

_COLUMNS = "seq, at, principal, verb, id, before, after, purpose, decision, previous, hash"


class SqliteLedger:
    """What governance keeps in one SQLite file.

    reading  lends a connection
    """

    def __init__(self, reading: Callable[[], AbstractContextManager[apsw.Connection]]) -> None:
        self._reading = reading

    def entries(self, *, after: int = 0, limit: int = 1_000) -> builtins.list[Entry]:
        with self._reading() as db:
            rows = db.execute(f"SELECT {_COLUMNS} FROM audit WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit))
            return [_entry(row) for row in rows]

    def last(self) -> Entry | None:
        with self._reading() as db:
            row = db.execute(f"SELECT {_COLUMNS} FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
            return None if row is None else _entry(row)

    def names(self) -> dict[str, str]:
        with self._reading() as db:
            rows: Any = db.execute("SELECT token, name FROM audit_names")
            return dict(rows)

    def records(self, kind: RecordKind, prefix: str = "") -> dict[str, Mapping[str, Any]]:
        with self._reading() as db:
            rows: Any = db.execute(
                "SELECT name, value FROM records WHERE kind = ?1 AND name >= ?2 AND name < ?2 || char(0x10FFFF)"
                " ORDER BY name",
                (kind, prefix),
            )
            return {name: json.loads(value) for name, value in rows}

    def problems(self) -> builtins.list[str]:
        try:
            with self._reading() as db:
                found = [str(text) for (text,) in db.execute("PRAGMA integrity_check(audit)") if text != "ok"]
        except Corrupt as exc:
            return [exc.message]
        return [f"the table of the audit: {text}" for text in found]


class LedgerWriter:
    """The part of one write that is about governance."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db
        self._head: tuple[int, bytes] | None = None

    def audit(self, note: Note) -> Entry:
        db = self._db
        if self._head is None:
            row: Any = db.execute("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
            self._head = row or (0, FIRST)
        seq, previous = self._head
        token = None if note.principal is None else self._token(note.principal)
        entry = entered(seq + 1, note, token, previous)
        self._add(entry)
        self._head = entry.seq, entry.hash
        return entry

    def restore(self, entries: Sequence[Entry], names: Mapping[str, str]) -> None:
        row: Any = self._db.execute(f"SELECT {_COLUMNS} FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
        last = None if row is None else _entry(row)
        for entry in entries:
            check_follows(entry, last)
            self._add(entry)
            last = entry
        self._head = None
        self._db.execute("DELETE FROM audit_names")
        self._db.executemany("INSERT INTO audit_names VALUES (?, ?)", list(names.items()))

    def _add(self, entry: Entry) -> None:
        self._db.execute(
            f"INSERT INTO audit ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                entry.seq,
                micros(entry.at),
                entry.principal,
                entry.verb,
                None if entry.cube_id is None else id_bytes(entry.cube_id),
                entry.before,
                entry.after,
                entry.purpose,
                entry.decision,
                entry.previous,
                entry.hash,
            ),
        )

    def record(self, kind: RecordKind, name: str, value: Mapping[str, Any] | None) -> None:
        if value is None:
            self._db.execute("DELETE FROM records WHERE kind = ? AND name = ?", (kind, name))
        else:
            text = json.dumps(dict(value), ensure_ascii=False)
            self._db.execute("INSERT OR REPLACE INTO records VALUES (?, ?, ?)", (kind, name, text))

    def forget_name(self, name: str, changes_row: Callable[[int], None]) -> int:
        db = self._db
        db.execute("DELETE FROM audit_names WHERE name = ?", (name,))
        changed = db.changes()
        quoted = json.dumps(name, ensure_ascii=False)
        rows: Any = db.execute(
            "SELECT row, more FROM cubes WHERE more IS NOT NULL AND instr(more, ?) AND instr(more, '\"policy\"')",
            (quoted,),
        ).fetchall()
        for row, text in rows:
            more = json.loads(text)
            policy = more.get("policy", {})
            kept = {part: [n for n in policy.get(part, ()) if n != name] for part in ("readers", "writers")}
            if all(kept[part] == policy.get(part, []) for part in kept):
                continue
            policy = {part: value for part, value in {**policy, **kept}.items() if value}
            more = {**more, "policy": policy} if policy else {k: v for k, v in more.items() if k != "policy"}
            new = json.dumps(more, ensure_ascii=False, separators=(",", ":")) if more else None
            db.execute("UPDATE cubes SET more = ? WHERE row = ?", (new, row))
            changes_row(row)
            changed += 1
        return changed

    def _token(self, name: str) -> str:
        token: str | None = self._db.execute("SELECT token FROM audit_names WHERE name = ?", (name,)).get
        if token is None:
            token = secrets.token_hex(8)
            self._db.execute("INSERT INTO audit_names VALUES (?, ?)", (token, name))
        return token


def _entry(row: Any) -> Entry:
    seq, at, principal, verb, cube_id, *rest = row
    time = from_micros(at)
    if time is None:
        raise ValueError("an audit entry without a time")
    return Entry(seq, time, principal, verb, None if cube_id is None else id_text(cube_id), *rest)
