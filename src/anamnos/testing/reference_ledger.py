"""The obvious ledger: a list of entries, and dicts. See ``anamnos.store.ledger``."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from anamnos.store.ledger import FIRST, Entry, Note, RecordKind, check_follows, entered


@dataclass
class LedgerTable:
    """What governance keeps."""

    entries: list[Entry] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)  # pseudonym -> name
    records: dict[tuple[RecordKind, str], Mapping[str, Any]] = field(default_factory=dict)

    def copy(self) -> LedgerTable:
        return LedgerTable(list(self.entries), dict(self.names), dict(self.records))

    def audit(self, note: Note) -> Entry:
        previous = self.entries[-1].hash if self.entries else FIRST
        token = None if note.principal is None else self._token(note.principal)
        self.entries.append(entered(len(self.entries) + 1, note, token, previous))
        return self.entries[-1]

    def restore(self, entries: Sequence[Entry], names: Mapping[str, str]) -> None:
        for entry in entries:
            check_follows(entry, self.entries[-1] if self.entries else None)
            self.entries.append(entry)
        self.names = dict(names)

    def record(self, kind: RecordKind, name: str, value: Mapping[str, Any] | None) -> None:
        if value is None:
            self.records.pop((kind, name), None)
        else:
            self.records[kind, name] = dict(value)

    def _token(self, name: str) -> str:
        token = next((token for token, known in self.names.items() if known == name), None) or secrets.token_hex(8)
        self.names[token] = name
        return token


class ReferenceLedger:
    """Reads a ``LedgerTable``."""

    def __init__(self, table: Callable[[], LedgerTable]) -> None:
        self._table = table

    def entries(self, *, after: int = 0, limit: int = 1_000) -> list[Entry]:
        return self._table().entries[after : after + limit]

    def last(self) -> Entry | None:
        return (self._table().entries or [None])[-1]  # type: ignore[list-item]

    def names(self) -> dict[str, str]:
        return dict(self._table().names)

    def records(self, kind: RecordKind, prefix: str = "") -> dict[str, Mapping[str, Any]]:
        there = sorted(self._table().records.items())
        return {name: value for (of, name), value in there if of == kind and name.startswith(prefix)}

    def problems(self) -> list[str]:
        return []
