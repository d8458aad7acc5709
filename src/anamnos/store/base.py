"""What a store is: the only truth. Every index is derived from it and can be made again from it.

Laws (``anamnos.testing.StoreContract`` checks them on every engine, ``ReferenceStore`` is the oracle):
 1. All or nothing: what happens inside one ``write()`` is there after it, or none of it is.
 2. Acknowledged means durable: once ``write()`` has ended without an error, a kill of the process loses nothing.
 3. Read your writes: a read that starts after ``write()`` ended sees it, from every thread and process.
 4. A scope is a wall: no read or write in one scope shows or changes anything of a scope that it does not cover.
 5. ``sequence()`` only grows, and ``changes(after=n)`` gives each later change exactly once, in order.
 6. Erased means gone: after ``write()`` and ``scrub()``, no byte of an erased text is in any file of the store.
 7. A filter means what ``anamnos.types.matches`` says, on every engine.
 8. Vectors are kept as they were given (float32; those of words as bytes), each under the name and dimension of its
    embedder.
 9. Rows are numbers >= 1 that only grow and are never used again.
10. A read ``as_of`` a moment sees the versions of which ``held_at`` says yes, at most one of each cube, with their
    terms and vectors; what was erased since is not among them.
11. A store with the setting ``MOVED_TO`` takes no write: ``write()`` raises Moved. Reads go on.
12. What ``restore`` and ``follow`` are given is there under the rows and numbers that it had; neither is given again.
13. While a store has the setting ``MOVING``, its feed also tells, as ``written``, of versions that change where they
    lie: touched, given other terms or vectors, bereft of a link to what was erased or of a name that was forgotten.
Errors are StoreError and its kinds; the engine's own never get out.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from anamnos.cube import CubeId, MemCube, Scope
from anamnos.errors import Moved
from anamnos.store.jobs import Job, JobQueue, NewJob
from anamnos.store.ledger import Entry, Ledger, Note, RecordKind
from anamnos.store.working import WorkingTable
from anamnos.types import Change, Derived, Filter, Vector

Rows = NDArray[np.int64]

MOVED_TO = "moved_to"
"""The setting of a store whose memories live on elsewhere: where."""
MOVING = "moving"
"""The setting of a store whose memories are being copied to another one."""
MIGRATING = "migrating"
"""The setting of a store that is being filled from another one; no vault is opened on it."""


def held_at(cube: MemCube, moment: datetime) -> bool:
    """Return whether a version was believed at ``moment`` and true then: the plain meaning of ``as_of``.

    Believed from ``recorded_at`` until ``superseded_at``, true from ``valid_from`` until ``valid_to``; a bound that is
    not known is none. Source: valid time and transaction time of bitemporal databases, both half open.
    """
    spans = ((cube.time.recorded_at, cube.time.superseded_at), (cube.time.valid_from, cube.time.valid_to))
    return all((since is None or since <= moment) and (until is None or moment < until) for since, until in spans)


def refuse_moved(where: str | None) -> None:
    """Raise Moved if ``where``, a store's setting ``MOVED_TO``, is set."""
    if where is not None:
        raise Moved(
            f"These memories have moved to {where}; what is written here would be lost.",
            hint=f'Open them there: set store = "{where}".' if "://" in where else f"Open the vault {where}.",
        )


@dataclass(frozen=True, slots=True)
class Stored:
    """A version as a store holds it: its row, what it is found by, and the key that it was written under."""

    row: int
    cube: MemCube
    derived: Derived | None
    key: bytes


class Transaction(Protocol):
    """The primitives of one write. Only ``anamnos.store.apply`` decides when to use which, but for ``clear``,
    ``restore``, ``restore_audit`` and ``follow``, by which one store becomes what another is."""

    def current(self, cube_id: CubeId) -> MemCube | None:
        """Return the current version of a cube, as seen inside this write."""

    def version(self, cube_id: CubeId, version: int) -> MemCube | None:
        """Return one version of a cube, as seen inside this write."""

    def find(self, key: bytes) -> CubeId | None:
        """Return the cube whose current version was written under this idempotency key."""

    def dependents(self, cube_id: CubeId) -> builtins.list[CubeId]:
        """Return the cubes of which some version was derived from this one."""

    def insert(self, cube: MemCube, derived: Derived | None, key: bytes) -> None:
        """Store a version: as the current one of its id, unless its time says that it was superseded.

        Raises: ConfigError if the vector is not of the embedder in use.
        """

    def retire(self, cube_id: CubeId, at: datetime) -> None:
        """Make the current version a past one, superseded at ``at``."""

    def repeat(self, cube: MemCube) -> None:
        """Store the version after the newest one of its id, found by what that one is: same terms, vectors and key."""

    def touch(self, cube: MemCube) -> None:
        """Give the current version of a cube this one's lifecycle; nothing else of it changes, and no index."""

    def erase(self, cube_id: CubeId) -> None:
        """Remove all versions of a cube, and every link to it."""

    def clear(self, cube_id: CubeId) -> None:
        """Remove all versions of a cube to ``restore`` others: no change is noted, and others' links to it stay."""

    def restore(self, stored: Stored) -> None:
        """Store a version of another store in the row that it has there; no change is noted.

        Raises: ConfigError if the vector is not of the embedder in use.
        """

    def restore_audit(self, entries: Sequence[Entry], names: Mapping[str, str]) -> None:
        """Add entries of another store's audit as they are; of names behind pseudonyms, keep ``names`` and no others.

        Raises: Corrupt if an entry does not follow the one before.
        """

    def follow(self, changes: Sequence[Change]) -> None:
        """Note changes of another store under their own numbers; their rows are not given to others.

        Raises: StoreError if one is not behind the last.
        """

    def setting(self, name: str) -> str | None:
        """Return a setting of the store, as seen inside this write."""

    def set_setting(self, name: str, value: str | None) -> None:
        """Store a setting, or remove it (None), if and only if this write is kept."""

    def enqueue(self, job: NewJob, *, now: datetime) -> Job:
        """Add a job that is there if and only if this write is, or return the one that waits under its key."""

    def audit(self, note: Note) -> Entry:
        """Add an entry to the audit that is there if and only if this write is."""

    def record(self, kind: RecordKind, name: str, value: Mapping[str, Any] | None) -> None:
        """Keep a record of governance in place of the one of its name; None removes that."""

    def forget_name(self, name: str) -> int:
        """Remove a principal's name from behind its pseudonym and from the policies of all versions of all cubes.

        Returns how many places it was in. The cubes of which it named a reader or writer are not versioned anew.
        """


@dataclass(frozen=True, slots=True)
class Outline:
    """What recall must know of each text cube of one user, one entry per row, rows ascending.

    rows      (n,) int64
    order     (n, 2) uint64: the cube's id, which sorts by the time of its first writing
    created   (n,) int64: microseconds since 1970, or the least int64 where unknown
    scopes    (n,) int64: numbers of the scopes written in
    names     scope number -> scope
    actors    who said it, per row; None if nobody
    terms     index terms per row: uint32 as little-endian bytes
    """

    rows: Rows
    order: NDArray[np.uint64]
    created: NDArray[np.int64]
    scopes: NDArray[np.int64]
    names: Mapping[int, Scope]
    actors: Sequence[str | None]
    terms: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class EmbedderInfo:
    """Which vectors a store holds."""

    id: str
    dim: int


class Store(Protocol):
    """Durable truth: cubes with all their versions, links, keyword rows, vectors, and the feed of changes."""

    def open(self) -> Self:
        """Open or create the files, bring an older schema up to date. Raises: StoreError and its kinds."""

    def close(self) -> None:
        """Let go of all files. Calling it twice is fine."""

    def write(self) -> AbstractContextManager[Transaction]:
        """Return a context in which one write happens: kept on a normal exit, undone on an exception."""

    @property
    def jobs(self) -> JobQueue:
        """The background work that is to be done."""

    @property
    def working(self) -> WorkingTable:
        """The saved working memories."""

    @property
    def ledger(self) -> Ledger:
        """The audit, and the records of who may do what."""

    def scrub(self) -> bool:
        """Clean the bytes of what was erased out of journals; return whether none is left."""

    # reading cubes
    def get(self, cube_id: CubeId, version: int | None = None) -> MemCube | None:
        """Return a version of a cube, the current one by default, or None."""

    def history(self, cube_id: CubeId) -> builtins.list[MemCube]:
        """Return all versions of a cube, oldest first; empty if there is none."""

    def list(
        self,
        scope: Scope,
        filter: Filter | None = None,
        *,
        after: CubeId | None = None,
        limit: int | None = None,
        as_of: datetime | None = None,
    ) -> builtins.list[MemCube]:
        """Return current cubes covered by ``scope`` that pass the filter, by id, from the one behind ``after``.

        Without a condition on the state, only the states of ``SEARCHED_STATES`` are given.
        as_of  instead of the current versions, those that held then
        """

    def export(self, scope: Scope | None = None) -> Iterator[tuple[MemCube, Derived | None, bytes]]:
        """Yield every version of every cube of a scope (None: of all), by id and version, with what it is found by."""

    def versions(self, cube_ids: Iterable[CubeId]) -> builtins.list[Stored]:
        """Return every version of these cubes, by id and version, all as of one moment."""

    def find(self, keys: Iterable[bytes]) -> dict[bytes, CubeId]:
        """Return, for those idempotency keys that are known, the cube's id."""

    def count(self, scope: Scope | None = None) -> int:
        """Return the number of current cubes, of any state."""

    def tally(self, scope: Scope | None = None) -> dict[tuple[str, str], int]:
        """Return how many current cubes there are per (role, state)."""

    def usage(self, scope: Scope) -> tuple[int, int]:
        """Return what a scope holds: current cubes of any state, and the bytes of the content of all versions."""

    def hottest(self, scope: Scope | None = None, *, limit: int = 10) -> builtins.list[MemCube]:
        """Return the current cubes that were used most often (at least once), by uses and then by id."""

    def expired(self, now: datetime, scope: Scope | None = None) -> builtins.list[CubeId]:
        """Return the cubes of a scope's tenant and user (None: of all) that would be searched, though they expired."""

    def scopes(self) -> builtins.list[Scope]:
        """Return every scope in which there is a current cube."""

    # the feed for indexes
    def sequence(self) -> int:
        """Return the number of the last change."""

    def changes(self, after: int, limit: int = 10_000) -> builtins.list[Change]:
        """Return the changes behind number ``after``, in order."""

    def outline(
        self,
        scope: Scope,
        *,
        rows: Rows | None = None,
        all_states: bool = False,
        as_of: datetime | None = None,
        derived: bool | None = None,
    ) -> Outline:
        """Return the outline of the tenant's and user's current text cubes (of ``rows`` among them, if given).

        The agent and session of ``scope`` play no part. Only the states of ``SEARCHED_STATES`` unless ``all_states``.
        as_of    instead of the current versions, those that held then
        derived  True: only what was derived from other memories; False: only what was not
        """

    def select(self, scope: Scope, filter: Filter | None = None, *, as_of: datetime | None = None) -> Rows:
        """Return the rows of what ``list`` would give, ascending."""

    def at(self, rows: Sequence[int]) -> builtins.list[MemCube]:
        """Return the cubes at these rows, in this order, leaving out rows that are not there."""

    def rows_of(self, versions: Iterable[tuple[CubeId, int]]) -> Rows:
        """Return the rows of versions (id, number), in this order; 0 for one that is not there."""

    def blob_names(self) -> set[str]:
        """Return the SHA-256 of every blob that some version of some cube refers to."""

    # vectors
    def embedder(self) -> EmbedderInfo | None:
        """Return which embedder's vectors are in use; None in a new store."""

    def use_embedder(self, info: EmbedderInfo) -> None:
        """Make ``info`` the embedder in use, and drop the vectors of all others.

        Raises: Conflict if another one is in use and some text still lacks a vector of the new one.
        """

    def vectors(self, rows: Rows, info: EmbedderInfo) -> NDArray[np.float32]:
        """Return the vectors at these rows: (len(rows), dim) float32, zeros where there is none."""

    def tokens(self, rows: Rows, info: EmbedderInfo) -> builtins.list[bytes]:
        """Return the packed vectors of the single words at these rows, b"" where there are none."""

    def put_vectors(
        self, rows: Rows, vectors: NDArray[np.float32], info: EmbedderInfo, tokens: Sequence[bytes] = ()
    ) -> None:
        """Store vectors of an embedder for rows that are there; rows that are gone are passed over.

        tokens  those of their single words, one per row, or none at all
        """

    def without_vector(
        self, info: EmbedderInfo, *, after: int = 0, limit: int = 1_000
    ) -> builtins.list[tuple[int, MemCube]]:
        """Return text versions (row and cube) behind row ``after`` that have no vector of this embedder."""

    def put_terms(self, terms: Mapping[int, bytes]) -> None:
        """Replace the index terms of rows (row -> uint32 little-endian bytes)."""

    # state of the whole
    def setting(self, name: str) -> str | None:
        """Return a value that belongs to the store as a whole, such as the version of its index terms."""

    def set_setting(self, name: str, value: str) -> None:
        """Store such a value."""

    def settings(self, prefix: str) -> dict[str, str]:
        """Return the settings whose names begin with ``prefix``, by name."""

    def verify(self) -> builtins.list[str]:
        """Return what is wrong inside the store, one sentence each; empty if it is sound."""

    def backup(self, target: str) -> None:
        """Write a consistent copy of the store's rows to a new file while others read and write."""


__all__ = [
    "MIGRATING",
    "MOVED_TO",
    "MOVING",
    "Change",
    "Derived",
    "EmbedderInfo",
    "Outline",
    "Rows",
    "Store",
    "Stored",
    "Transaction",
    "Vector",
    "held_at",
    "refuse_moved",
]
