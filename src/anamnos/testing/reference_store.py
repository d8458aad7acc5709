"""The obvious store: a list of rows in memory. It is the oracle that every engine must agree with."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from anamnos.cube import BlobRef, CubeId, MemCube, Scope, State, Substrate
from anamnos.errors import ConfigError, Conflict, StoreError
from anamnos.store.base import MOVED_TO, MOVING, EmbedderInfo, Outline, Rows, Stored, held_at, refuse_moved
from anamnos.store.jobs import Job, NewJob
from anamnos.store.ledger import Entry, Note, RecordKind
from anamnos.store.working import Kept
from anamnos.testing.reference_jobs import JobTable, ReferenceJobs, ReferenceWorking
from anamnos.testing.reference_ledger import LedgerTable, ReferenceLedger
from anamnos.types import SEARCHED_STATES, Change, Derived, Filter, Vector, matches, names_state

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNKNOWN_TIME = np.iinfo(np.int64).min


@dataclass(frozen=True)
class _Row:
    """One version of one cube. ``vectors`` and ``tokens`` are by the id of their embedder."""

    row: int
    cube: MemCube
    current: bool
    key: bytes
    terms: bytes | None
    vectors: Mapping[str, Vector]
    tokens: Mapping[str, bytes]

    @property
    def is_text(self) -> bool:
        return self.cube.substrate is Substrate.TEXT

    def holds(self, as_of: datetime | None) -> bool:
        return self.current if as_of is None else held_at(self.cube, as_of)


@dataclass
class _Contents:
    """All that the store holds. A write works on a copy, which takes the place of the original at its end."""

    rows: dict[int, _Row] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)
    embedders: dict[str, int] = field(default_factory=dict)  # id -> dim
    in_use: str | None = None
    last_row: int = 0
    jobs: JobTable = field(default_factory=JobTable)
    ledger: LedgerTable = field(default_factory=LedgerTable)
    working: dict[Scope, tuple[Kept, ...]] = field(default_factory=dict)

    def copy(self) -> _Contents:
        return replace(
            self,
            rows=dict(self.rows),
            changes=list(self.changes),
            settings=dict(self.settings),
            embedders=dict(self.embedders),
            jobs=self.jobs.copy(),
            ledger=self.ledger.copy(),
            working=dict(self.working),
        )

    def current(self, cube_id: CubeId) -> _Row | None:
        return next((r for r in self.rows.values() if r.current and r.cube.id == cube_id), None)

    def stored(self, r: _Row) -> Stored:
        derived = None
        if r.terms is not None:
            vector = r.vectors.get(self.in_use) if self.in_use is not None else None
            tokens = r.tokens.get(self.in_use or "", b"")
            derived = Derived(np.frombuffer(r.terms, dtype="<u4"), vector, tokens=tokens)
        return Stored(r.row, r.cube, derived, r.key)

    def passing(self, scope: Scope, filter: Filter | None, as_of: datetime | None) -> list[_Row]:
        """Return the rows that a read in ``scope`` sees, rows ascending."""
        return [
            r
            for r in self.rows.values()
            if r.holds(as_of)
            and scope.covers(r.cube.scope)
            and (names_state(filter) or r.cube.lifecycle.state in SEARCHED_STATES)
            and (filter is None or matches(filter, r.cube))
        ]


class ReferenceStore:
    """A store without files: clear, slow, gone with the process. Obeys all laws of ``Store`` but durability."""

    def __init__(self) -> None:
        self._contents = _Contents()
        self._open = False
        self._writing = False
        self._write_lock = threading.RLock()
        self.jobs = ReferenceJobs(self.write, lambda: self._now().jobs)
        self.working = ReferenceWorking(self.write, lambda: self._now().working)
        self.ledger = ReferenceLedger(lambda: self._now().ledger)

    def open(self) -> Self:
        self._open = True
        return self

    def close(self) -> None:
        self._open = False

    @contextmanager
    def write(self) -> Iterator[ReferenceTransaction]:
        with self._write_lock:
            if self._writing:
                raise StoreError("A write is going on in this thread already.")
            draft = self._now().copy()
            refuse_moved(draft.settings.get(MOVED_TO))
            self._writing = True
            try:
                tx = ReferenceTransaction(draft)
                yield tx
                tx.forget_unused_scopes()
                self._contents = draft
            finally:
                self._writing = False

    def scrub(self) -> bool:
        self._now()
        return True

    # --- reading cubes

    def get(self, cube_id: CubeId, version: int | None = None) -> MemCube | None:
        for r in self._now().rows.values():
            if r.cube.id == cube_id and (r.current if version is None else r.cube.version == version):
                return r.cube
        return None

    def history(self, cube_id: CubeId) -> list[MemCube]:
        versions = [r.cube for r in self._now().rows.values() if r.cube.id == cube_id]
        return sorted(versions, key=lambda cube: cube.version)

    def export(self, scope: Scope | None = None) -> Iterator[tuple[MemCube, Derived | None, bytes]]:
        contents = self._now()
        for r in sorted(contents.rows.values(), key=lambda r: (r.cube.id, r.cube.version)):
            if scope is not None and not scope.covers(r.cube.scope):
                continue
            yield r.cube, contents.stored(r).derived, r.key

    def versions(self, cube_ids: Iterable[CubeId]) -> list[Stored]:
        contents, wanted = self._now(), set(cube_ids)
        found = [r for r in contents.rows.values() if r.cube.id in wanted]
        return [contents.stored(r) for r in sorted(found, key=lambda r: (r.cube.id, r.cube.version))]

    def find(self, keys: Iterable[bytes]) -> dict[bytes, CubeId]:
        known = {r.key: r.cube.id for r in self._now().rows.values() if r.current and r.key}
        return {key: known[key] for key in keys if key in known}

    def count(self, scope: Scope | None = None) -> int:
        rows = self._now().rows.values()
        return sum(r.current and (scope is None or scope.covers(r.cube.scope)) for r in rows)

    def tally(self, scope: Scope | None = None) -> dict[tuple[str, str], int]:
        cubes = [
            r.cube for r in self._now().rows.values() if r.current and (scope is None or scope.covers(r.cube.scope))
        ]
        return dict(Counter((str(cube.role), str(cube.lifecycle.state)) for cube in cubes))

    def usage(self, scope: Scope) -> tuple[int, int]:
        rows = [r for r in self._now().rows.values() if scope.covers(r.cube.scope)]
        contents = [r.cube.content for r in rows]
        size = sum(len(c.encode()) if isinstance(c, str) else c.size_bytes for c in contents)
        return sum(r.current for r in rows), size

    def hottest(self, scope: Scope | None = None, *, limit: int = 10) -> list[MemCube]:
        found = [
            r.cube
            for r in self._now().rows.values()
            if r.current and r.cube.lifecycle.uses > 0 and (scope is None or scope.covers(r.cube.scope))
        ]
        return sorted(found, key=lambda cube: (-cube.lifecycle.uses, cube.id))[:limit]

    def expired(self, now: datetime, scope: Scope | None = None) -> list[CubeId]:
        cubes = [r.cube for r in self._now().rows.values() if r.current]
        return sorted(
            cube.id
            for cube in cubes
            if cube.lifecycle.expires_at is not None
            and cube.lifecycle.expires_at <= now
            and cube.lifecycle.state in (State.GENERATED, State.ACTIVATED)
            and (scope is None or (scope.tenant, scope.user) == (cube.scope.tenant, cube.scope.user))
        )

    def scopes(self) -> list[Scope]:
        return list(dict.fromkeys(r.cube.scope for r in self._now().rows.values() if r.current))

    # --- the feed for indexes

    def sequence(self) -> int:
        return max((change.seq for change in self._now().changes), default=0)

    def changes(self, after: int, limit: int = 10_000) -> list[Change]:
        return [change for change in self._now().changes if change.seq > after][:limit]

    def outline(
        self,
        scope: Scope,
        *,
        rows: Rows | None = None,
        all_states: bool = False,
        as_of: datetime | None = None,
        derived: bool | None = None,
    ) -> Outline:
        wanted = None if rows is None else set(rows.tolist())
        found = [
            r
            for r in self._now().rows.values()
            if r.holds(as_of)
            and r.is_text
            and (r.cube.scope.tenant, r.cube.scope.user) == (scope.tenant, scope.user)
            and (all_states or r.cube.lifecycle.state in SEARCHED_STATES)
            and (wanted is None or r.row in wanted)
            and derived in (None, bool(r.cube.provenance.derived_from))
        ]
        names = dict(enumerate(dict.fromkeys(r.cube.scope for r in found)))
        numbers = {name: number for number, name in names.items()}
        ids = [int(r.cube.id.replace("-", ""), 16) for r in found]
        return Outline(
            rows=np.array([r.row for r in found], dtype=np.int64),
            order=np.array([divmod(i, 2**64) for i in ids], dtype=np.uint64).reshape(-1, 2),
            created=np.array([_micros(r.cube.time.created_at) for r in found], dtype=np.int64),
            scopes=np.array([numbers[r.cube.scope] for r in found], dtype=np.int64),
            names=names,
            actors=[r.cube.provenance.actor for r in found],
            terms=[r.terms or b"" for r in found],
        )

    def rows_of(self, versions: Iterable[tuple[CubeId, int]]) -> Rows:
        known = {(r.cube.id, r.cube.version): r.row for r in self._now().rows.values()}
        return np.array([known.get(version, 0) for version in versions], dtype=np.int64)

    def blob_names(self) -> set[str]:
        contents = (r.cube.content for r in self._now().rows.values())
        return {content.sha256 for content in contents if isinstance(content, BlobRef)}

    def select(self, scope: Scope, filter: Filter | None = None, *, as_of: datetime | None = None) -> Rows:
        return np.array([r.row for r in self._now().passing(scope, filter, as_of)], dtype=np.int64)

    def at(self, rows: Sequence[int]) -> list[MemCube]:
        have = self._now().rows
        return [have[int(row)].cube for row in rows if int(row) in have]

    # --- vectors and terms

    def embedder(self) -> EmbedderInfo | None:
        contents = self._now()
        if contents.in_use is None:
            return None
        return EmbedderInfo(contents.in_use, contents.embedders[contents.in_use])

    def use_embedder(self, info: EmbedderInfo) -> None:
        with self.write() as tx:
            tx.know(info)
            rows = tx.contents.rows.values()
            missing = sum(r.is_text and info.id not in r.vectors for r in rows)
            if missing and tx.contents.in_use != info.id:
                raise Conflict(f"{missing} memories have no vector of {info.id} yet.")
            tx.contents.in_use = info.id
            tx.contents.embedders = {info.id: info.dim}
            for r in list(tx.contents.rows.values()):
                kept = {name: vector for name, vector in r.vectors.items() if name == info.id}
                tokens = {name: packed for name, packed in r.tokens.items() if name == info.id}
                tx.contents.rows[r.row] = replace(r, vectors=kept, tokens=tokens)

    def vectors(self, rows: Rows, info: EmbedderInfo) -> NDArray[np.float32]:
        contents = self._now()
        out = np.zeros((len(rows), info.dim), dtype=np.float32)
        if contents.embedders.get(info.id) == info.dim:
            for place, row in enumerate(rows.tolist()):
                if row in contents.rows and info.id in contents.rows[row].vectors:
                    out[place] = contents.rows[row].vectors[info.id]
        return out

    def tokens(self, rows: Rows, info: EmbedderInfo) -> list[bytes]:
        contents = self._now()
        known = contents.embedders.get(info.id) == info.dim
        have = contents.rows
        return [have[row].tokens.get(info.id, b"") if known and row in have else b"" for row in rows.tolist()]

    def put_vectors(
        self, rows: Rows, vectors: NDArray[np.float32], info: EmbedderInfo, tokens: Sequence[bytes] = ()
    ) -> None:
        with self.write() as tx:
            tx.know(info)
            for row, vector, own in zip(rows.tolist(), vectors, tokens or [b""] * len(rows), strict=True):
                _check_length(vector, info.dim)
                if (r := tx.contents.rows.get(row)) is not None:
                    kept = np.array(vector, dtype=np.float32)
                    vectors_now, tokens_now = {**r.vectors, info.id: kept}, {**r.tokens, info.id: own}
                    tx.change(replace(r, vectors=vectors_now, tokens=tokens_now))

    def without_vector(self, info: EmbedderInfo, *, after: int = 0, limit: int = 1_000) -> list[tuple[int, MemCube]]:
        contents = self._now()
        known = contents.embedders.get(info.id) == info.dim
        found = [
            (r.row, r.cube)
            for r in contents.rows.values()
            if r.row > after and r.is_text and not (known and info.id in r.vectors)
        ]
        return found[:limit]

    def put_terms(self, terms: Mapping[int, bytes]) -> None:
        with self.write() as tx:
            for row, data in terms.items():
                if row in tx.contents.rows:
                    tx.change(replace(tx.contents.rows[row], terms=data))

    # --- the whole

    def setting(self, name: str) -> str | None:
        return self._now().settings.get(name)

    def set_setting(self, name: str, value: str) -> None:
        with self.write() as tx:
            tx.set_setting(name, value)

    def settings(self, prefix: str) -> dict[str, str]:
        return {name: value for name, value in sorted(self._now().settings.items()) if name.startswith(prefix)}

    def verify(self) -> list[str]:
        contents = self._now()
        rows = contents.rows.values()
        ids = {r.cube.id for r in rows}
        current = [r.cube.id for r in rows if r.current]
        texts = [r for r in rows if r.is_text]
        counts = {
            "memories have several current versions": len(current) - len(set(current)),
            "memories have no current version": len(ids - set(current)),
            "text memories have no index terms": sum(r.terms is None for r in texts),
            "text memories have no vector of the embedder in use": sum(contents.in_use not in r.vectors for r in texts),
            "links lead to memories that are not there": sum(
                link.target not in ids for r in rows for link in r.cube.links
            ),
        }
        return [f"{count} {text}" for text, count in counts.items() if count]

    def backup(self, target: str) -> None:
        """Write every version as one line of JSON: enough to read, not to go on from."""
        lines = [json.dumps(cube.to_dict(), ensure_ascii=False) + "\n" for cube, _, _ in self.export()]
        try:
            with Path(target).open("x", encoding="utf-8") as file:
                file.writelines(lines)
        except OSError as exc:
            raise StoreError(f"{target} could not be written: {exc.strerror}.") from exc

    def _now(self) -> _Contents:
        if not self._open:
            raise StoreError("The store is closed.", hint="Open it first.")
        return self._contents

    def list(  # the last one, since from here on its name hides the type
        self,
        scope: Scope,
        filter: Filter | None = None,
        *,
        after: CubeId | None = None,
        limit: int | None = None,
        as_of: datetime | None = None,
    ) -> list[MemCube]:
        found = sorted((r.cube for r in self._now().passing(scope, filter, as_of)), key=lambda cube: cube.id)
        return [cube for cube in found if after is None or cube.id > after][:limit]


class ReferenceTransaction:
    """One write in progress, on a copy of the store's contents."""

    def __init__(self, contents: _Contents) -> None:
        self.contents = contents
        self._erased: list[Scope] = []

    def current(self, cube_id: CubeId) -> MemCube | None:
        found = self.contents.current(cube_id)
        return None if found is None else found.cube

    def version(self, cube_id: CubeId, version: int) -> MemCube | None:
        rows = self.contents.rows.values()
        return next((r.cube for r in rows if (r.cube.id, r.cube.version) == (cube_id, version)), None)

    def find(self, key: bytes) -> CubeId | None:
        rows = self.contents.rows.values()
        return next((r.cube.id for r in rows if r.current and r.key and r.key == key), None)

    def dependents(self, cube_id: CubeId) -> list[CubeId]:
        rows = self.contents.rows.values()
        return sorted({r.cube.id for r in rows if cube_id in r.cube.provenance.derived_from})

    def insert(self, cube: MemCube, derived: Derived | None, key: bytes) -> None:
        self._insert(cube, derived, key)

    def restore(self, stored: Stored) -> None:
        self._insert(stored.cube, stored.derived, stored.key, stored.row)

    def _insert(self, cube: MemCube, derived: Derived | None, key: bytes, restored: int = 0) -> None:
        current = cube.time.superseded_at is None
        if self.version(cube.id, cube.version) is not None:
            raise StoreError(f"Version {cube.version} of {cube.id} is there already.")
        if current and key and self.find(key) is not None:
            raise StoreError(f"A memory is there already under the key {key!r}.")
        vectors: dict[str, Vector] = {}
        tokens: dict[str, bytes] = {}
        if derived is not None and derived.vector is not None:
            if self.contents.in_use is None:
                raise ConfigError("The store has no embedder yet.", hint="Call use_embedder first.")
            if derived.embedder not in (None, self.contents.in_use):
                raise ConfigError(f"A vector of {derived.embedder} does not fit {self.contents.in_use}.")
            _check_length(derived.vector, self.contents.embedders[self.contents.in_use])
            vectors[self.contents.in_use] = np.array(derived.vector, dtype=np.float32)
            tokens[self.contents.in_use] = derived.tokens
        terms = None if derived is None else derived.terms.astype("<u4").tobytes()
        row = restored or self.contents.last_row + 1
        self.contents.rows[row] = _Row(row, cube, current, key, terms, vectors, tokens)
        self.contents.last_row = max(self.contents.last_row, row)
        if restored:
            self.contents.rows = dict(sorted(self.contents.rows.items()))
        else:
            self._note("written", row, cube.id)

    def repeat(self, cube: MemCube) -> None:
        last = max((r for r in self.contents.rows.values() if r.cube.id == cube.id), key=lambda r: r.cube.version)
        self.contents.last_row += 1
        row = self.contents.last_row
        self.contents.rows[row] = replace(last, row=row, cube=cube, current=True)
        self._note("written", row, cube.id)

    def touch(self, cube: MemCube) -> None:
        r = self.contents.current(cube.id)
        if r is not None:
            self.change(replace(r, cube=replace(r.cube, lifecycle=cube.lifecycle)))

    def retire(self, cube_id: CubeId, at: datetime) -> None:
        r = self.contents.current(cube_id)
        if r is None:
            raise StoreError(f"There is no current version of {cube_id}.")
        past = replace(r.cube, time=replace(r.cube.time, superseded_at=at))
        self.contents.rows[r.row] = replace(r, cube=past, current=False)
        self._note("retired", r.row, cube_id)

    def erase(self, cube_id: CubeId) -> None:
        for r in list(self.contents.rows.values()):
            if r.cube.id == cube_id:
                self._erased.append(r.cube.scope)
                del self.contents.rows[r.row]
                self._note("erased", r.row, cube_id)
            elif any(link.target == cube_id for link in r.cube.links):
                links = tuple(link for link in r.cube.links if link.target != cube_id)
                self.change(replace(r, cube=replace(r.cube, links=links)))

        for scope, items in list(self.contents.working.items()):
            self.contents.working[scope] = tuple(item for item in items if item.id != cube_id)

    def clear(self, cube_id: CubeId) -> None:
        gone = [r for r in self.contents.rows.values() if r.cube.id == cube_id]
        self._erased += [r.cube.scope for r in gone]
        for r in gone:
            del self.contents.rows[r.row]

    def follow(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if self.contents.changes and change.seq <= self.contents.changes[-1].seq:
                raise StoreError(f"Change {change.seq} does not follow change {self.contents.changes[-1].seq}.")
            self.contents.changes.append(change)
            self.contents.last_row = max(self.contents.last_row, change.row)

    def restore_audit(self, entries: Sequence[Entry], names: Mapping[str, str]) -> None:
        self.contents.ledger.restore(entries, names)

    def setting(self, name: str) -> str | None:
        return self.contents.settings.get(name)

    def set_setting(self, name: str, value: str | None) -> None:
        if value is None:
            self.contents.settings.pop(name, None)
        else:
            self.contents.settings[name] = value

    def enqueue(self, job: NewJob, *, now: datetime) -> Job:
        return self.contents.jobs.enqueue(job, now)

    def audit(self, note: Note) -> Entry:
        return self.contents.ledger.audit(note)

    def record(self, kind: RecordKind, name: str, value: Mapping[str, Any] | None) -> None:
        self.contents.ledger.record(kind, name, value)

    def forget_name(self, name: str) -> int:
        ledger = self.contents.ledger
        changed = sum(known == name for known in ledger.names.values())
        ledger.names = {token: known for token, known in ledger.names.items() if known != name}
        for r in list(self.contents.rows.values()):
            policy = r.cube.policy
            if name in (*policy.readers, *policy.writers):
                kept = [tuple(n for n in part if n != name) for part in (policy.readers, policy.writers)]
                policy = replace(policy, readers=kept[0], writers=kept[1])
                self.change(replace(r, cube=replace(r.cube, policy=policy)))
                changed += 1
        return changed

    def forget_unused_scopes(self) -> None:
        """Drop the jobs and working memories of users something of whom was erased, if their scope covers nothing."""
        users = {(scope.tenant, scope.user) for scope in self._erased}

        def kept(scope: Scope | None) -> bool:
            if scope is None or (scope.tenant, scope.user) not in users:
                return True
            return any(scope.covers(r.cube.scope) for r in self.contents.rows.values())

        self.contents.jobs.drop(kept)
        self.contents.working = {s: items for s, items in self.contents.working.items() if items and kept(s)}

    def know(self, info: EmbedderInfo) -> None:
        """Take note of an embedder; the first one is in use."""
        dim = self.contents.embedders.setdefault(info.id, info.dim)
        if dim != info.dim:
            raise ConfigError(f"The store knows {info.id!r} with {dim} dimensions, not {info.dim}.")
        self.contents.in_use = self.contents.in_use or info.id

    def change(self, r: _Row) -> None:
        """Put a version in the place of what it was."""
        self.contents.rows[r.row] = r
        if MOVING in self.contents.settings:
            self._note("written", r.row, r.cube.id)

    def _note(self, kind: Literal["written", "retired", "erased"], row: int, cube_id: CubeId) -> None:
        last = self.contents.changes[-1].seq if self.contents.changes else 0
        self.contents.changes.append(Change(last + 1, kind, row, cube_id))


def _micros(time: datetime | None) -> int:
    return _UNKNOWN_TIME if time is None else (time - _EPOCH) // timedelta(microseconds=1)


def _check_length(vector: Vector, dim: int) -> None:
    if vector.shape != (dim,):
        raise ConfigError(f"A vector of shape {vector.shape} does not fit an embedder of {dim} dimensions.")
