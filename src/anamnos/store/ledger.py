"""What governance keeps in a store: the audit, a chain that only grows, and records of who may do what.

Laws (checked on every engine by ``tests/unit/store/test_ledger.py``):
 1. ``Transaction.audit`` adds an entry if and only if that write is: there is no change without its entry.
 2. Entries have the numbers 1, 2, 3 … Each holds the hash of the one before (32 zero bytes for the first), and
    hash = SHA-256(that hash followed by the entry's other fields as ASCII JSON).
 3. An entry names its principal by a random pseudonym. What name is behind it stands elsewhere and can be forgotten;
    the chain stays valid.
 4. No entry and no record holds words of a memory.
Source: hash chains of Haber and Stornetta, "How to time-stamp a digital document", 1991.
"""

from __future__ import annotations

import builtins
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from anamnos.cube import CubeId, check_id, check_name, check_time, to_iso
from anamnos.errors import Corrupt, InvalidInput

FIRST = bytes(32)
"""What the first entry holds in place of the hash of the one before."""

Decision = Literal["allowed", "denied"]
RecordKind = Literal["principal", "grant", "rule", "copy", "key"]


@dataclass(frozen=True, slots=True)
class Note:
    """What is to be entered.

    principal      who did it, by name; None: the application itself
    cube_id        what it was done to; None: no single memory
    before, after  its version before and after; None: it was, or is, not there, or was only read
    """

    at: datetime
    principal: str | None
    verb: str
    cube_id: CubeId | None = None
    before: int | None = None
    after: int | None = None
    purpose: str | None = None
    decision: Decision = "allowed"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the chain; ``principal`` is a pseudonym. Raises: InvalidInput if a field is of another kind."""

    seq: int
    at: datetime
    principal: str | None
    verb: str
    cube_id: CubeId | None
    before: int | None
    after: int | None
    purpose: str | None
    decision: str
    previous: bytes
    hash: bytes

    def __post_init__(self) -> None:
        check_time("at", self.at)
        for name in ("principal", "purpose", "verb", "decision"):
            if (text := getattr(self, name)) is not None or name in ("verb", "decision"):
                check_name(name, text)
        if self.cube_id is not None:
            check_id("cube_id", self.cube_id)
        for name in ("seq", "before", "after"):
            if not isinstance(getattr(self, name), int | None):
                raise InvalidInput(f"{name} of an audit entry must be a number, got {getattr(self, name)!r}.")
        if not isinstance(self.previous, bytes) or not isinstance(self.hash, bytes):
            raise InvalidInput(f"A hash of audit entry {self.seq} is no bytes.")

    def to_dict(self) -> dict[str, Any]:
        """Return the entry as JSON data."""
        data = {name: getattr(self, name) for name in self.__slots__}
        return data | {"at": to_iso(self.at), "previous": self.previous.hex(), "hash": self.hash.hex()}


def entered(seq: int, note: Note, token: str | None, previous: bytes) -> Entry:
    """Return the entry that ``note`` becomes behind ``previous``."""
    fields = (note.at, token, note.verb, note.cube_id, note.before, note.after, note.purpose, note.decision)
    return Entry(seq, *fields, previous, _hash(seq, *fields, previous))


def hash_of(entry: Entry) -> bytes:
    """Return the hash that an entry should have."""
    return _hash(
        entry.seq,
        entry.at,
        entry.principal,
        entry.verb,
        entry.cube_id,
        entry.before,
        entry.after,
        entry.purpose,
        entry.decision,
        entry.previous,
    )


def check_follows(entry: Entry, last: Entry | None) -> None:
    """Raise Corrupt unless an entry continues the chain behind ``last``."""
    seq, previous = (last.seq, last.hash) if last is not None else (0, FIRST)
    if (entry.seq, entry.previous) != (seq + 1, previous) or hash_of(entry) != entry.hash:
        raise Corrupt(f"Audit entry {entry.seq} does not follow entry {seq}.", hint="Run: anamnos audit verify")


def _hash(seq: int, at: datetime, *rest: Any) -> bytes:
    *fields, previous = rest
    return hashlib.sha256(previous + json.dumps([seq, to_iso(at), *fields]).encode("ascii")).digest()


class Ledger(Protocol):
    """What is read of it; written it is through ``Transaction.audit``, ``record`` and ``forget_name``."""

    def entries(self, *, after: int = 0, limit: int = 1_000) -> builtins.list[Entry]:
        """Return the entries behind number ``after``, in order. Raises: Corrupt if one cannot be read."""

    def last(self) -> Entry | None:
        """Return the newest entry, or None."""

    def names(self) -> dict[str, str]:
        """Return pseudonym -> name, for those names that are not forgotten."""

    def records(self, kind: RecordKind, prefix: str = "") -> dict[str, Mapping[str, Any]]:
        """Return the records of a kind whose names begin with ``prefix``: name -> value, by name."""

    def problems(self) -> builtins.list[str]:
        """Return what is wrong with how the engine keeps the audit, one sentence each."""


__all__ = ["FIRST", "Decision", "Entry", "Ledger", "Note", "RecordKind", "check_follows", "entered", "hash_of"]
