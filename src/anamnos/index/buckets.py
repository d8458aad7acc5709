"""What indexes by buckets do alike: rows stand in one bucket per table, and a search counts who is met in its own.

A search looks into the ``probes`` likeliest buckets of each table, takes those rows that it meets most often, and
compares them exactly. The buckets are in memory, and are made anew from the vectors, which an exact index holds.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from array import array

import numpy as np
from numpy.typing import NDArray

from anamnos.index.exact import ExactIndex
from anamnos.index.exact_resident import ResidentIndex
from anamnos.store.base import Rows
from anamnos.types import Vector

SCANS = 20_000  # below, comparing all takes 3 ms or less
_BLOCK = 4_096
_NONE = np.int16(-1)
_SHARE = 1 / 25  # of the rows asked for that are compared, and at least
_LEAST = 50  # times as many as are wanted


class BucketIndex(ABC):
    """Finds rows by the buckets that their vectors fall into.

    exact    holds the vectors, and all that is durable
    tables   how many independent ways to put vectors into buckets
    buckets  per table
    probes   buckets looked into per table
    scans    see ``VectorIndex``
    """

    def __init__(
        self, exact: ExactIndex | ResidentIndex, *, tables: int, buckets: int, probes: int, scans: float
    ) -> None:
        self.exact = exact
        self.scans = scans
        self._probes = probes
        self._shape = (tables, buckets)
        self._mutex = threading.RLock()
        self._forget()

    @abstractmethod
    def _nearest(self, vectors: NDArray[np.float32], count: int) -> NDArray[np.int16]:
        """Return the ``count`` likeliest buckets of each vector in each table, the likeliest first."""

    def _forget(self) -> None:
        tables, buckets = self._shape
        self._applied = 0
        self._codes = np.full((0, tables), _NONE, dtype=np.int16)  # by row
        self._buckets = [[array("q") for _ in range(buckets)] for _ in range(tables)]

    # --- keeping up with the store

    def catch_up(self) -> int:
        newest = self.exact.catch_up()
        with self._mutex:
            if newest < self._applied:  # an older database was put back
                self._forget()
            while (
                self._ready(newest)
                and self._applied < newest
                and (changes := self.exact.store.changes(self._applied, limit=_BLOCK))
            ):
                self._put(np.unique([change.row for change in changes if change.kind != "retired"]).astype(np.int64))
                self._applied = changes[-1].seq
        return newest

    def _ready(self, newest: int) -> bool:
        """Return whether buckets can be told by now, with so many changes in the store; until then all are compared."""
        return True

    def _put(self, rows: Rows) -> None:
        """Take rows out of the buckets that they were in, and put them into those of their present vectors."""
        if not len(rows):
            return
        self._make_room(int(rows[-1]) + 1)
        codes = self._codes_of(rows)
        old = self._codes[rows]
        for row, before, after in zip(rows.tolist(), old, codes, strict=True):
            for table in np.flatnonzero((before != after) & (before != _NONE)).tolist():
                self._buckets[table][before[table]].remove(row)
        for table, own in enumerate(self._buckets):
            new = np.flatnonzero((old[:, table] != codes[:, table]) & (codes[:, table] != _NONE))
            if not len(new):
                continue
            new = new[np.argsort(codes[new, table], kind="stable")]
            held, starts = np.unique(codes[new, table], return_index=True)
            for bucket, part in zip(held.tolist(), np.split(rows[new], starts[1:]), strict=True):
                own[bucket].frombytes(part.tobytes())
        self._codes[rows] = codes

    def _codes_of(self, rows: Rows) -> NDArray[np.int16]:
        """Return the bucket of each row's present vector in each table; a row without a vector is in none."""
        vectors = self.exact.gather(rows)
        there = np.abs(vectors).max(axis=1) > 0
        return np.where(there[:, None], self._nearest(vectors, 1)[:, :, 0], _NONE)

    def _make_room(self, rows: int) -> None:
        if rows > len(self._codes):
            larger = np.full((max(rows, 2 * len(self._codes)), self._shape[0]), _NONE, dtype=np.int16)
            larger[: len(self._codes)] = self._codes
            self._codes = larger

    # --- searching

    def similarities(self, query: Vector, rows: Rows) -> NDArray[np.float32]:
        return self.exact.similarities(query, rows)

    def gather(self, rows: Rows) -> NDArray[np.float32]:
        return self.exact.gather(rows)

    def search(self, query: Vector, top_k: int, rows: Rows) -> tuple[Rows, NDArray[np.float32]]:
        few = len(rows) <= max(self.scans, _LEAST * top_k) or not self._applied
        return self.exact.search(query, top_k, rows if few else self.candidates(query, top_k, rows))

    def candidates(self, query: Vector, top_k: int, rows: Rows) -> Rows:
        """Return those of ``rows`` that most often share a bucket with the query: at least as many as are to be
        compared, and all of the last ones that do so equally often."""
        near = self._nearest(np.asarray(query, dtype=np.float32)[None], self._probes)[0]
        with self._mutex:  # an array that is read cannot grow
            probed = [self._buckets[table][bucket] for table, own in enumerate(near.tolist()) for bucket in own]
            met = np.concatenate([np.frombuffer(part, dtype=np.int64) for part in probed if part] or [rows[:0]])
        votes = np.bincount(met, minlength=int(rows[-1]) + 1)[rows]
        at_least = np.cumsum(np.bincount(votes)[::-1])[::-1]  # how many rows were met so often, or more often
        wanted = max(_LEAST * top_k, int(_SHARE * len(rows)))
        kept: Rows = rows[votes >= np.flatnonzero(at_least >= wanted)[-1]]
        return kept

    # --- the whole

    def maintain(self) -> bool:
        return self.exact.maintain()

    def rebuild(self) -> None:
        with self._mutex:
            self.exact.rebuild()
            self._forget()
            self.catch_up()

    def verify(self) -> list[str]:
        problems = self.exact.verify()
        self.catch_up()
        with self._mutex:
            for start in range(0, len(self._codes), _BLOCK):
                rows = np.arange(start, min(start + _BLOCK, len(self._codes)), dtype=np.int64)
                wrong = int(np.any(self._codes_of(rows) != self._codes[rows], axis=1).sum())
                if wrong:
                    problems.append(f"{wrong} rows from {start} on are in a wrong bucket (run: anamnos rebuild-index)")
            inside, held = sum(len(b) for own in self._buckets for b in own), int((self._codes != _NONE).sum())
            if inside != held:
                problems.append(f"the buckets hold {inside} entries instead of {held} (run: anamnos rebuild-index)")
        return problems

    def close(self) -> None:
        with self._mutex:
            self.exact.close()
            self._forget()
