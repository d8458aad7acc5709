"""Exact vector search over vectors that are held in memory only, for vaults whose files must not tell of texts.

Made from the store when it is first used, and kept up with it; gone with the process. Each process holds its own.
"""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from anamnos.index.exact import Exact, capacity_for
from anamnos.store.base import EmbedderInfo, Store

_READ_CHANGES = 16_384


class ResidentIndex(Exact):
    """All vectors of one embedder, in memory: 4 bytes a number."""

    def __init__(self, store: Store, info: EmbedderInfo) -> None:
        super().__init__(store, info)
        self._mutex = threading.RLock()
        self._vectors: NDArray[np.float32] = np.zeros((0, info.dim), dtype=np.float32)
        self._applied = 0

    def catch_up(self) -> int:
        newest = self.store.sequence()
        if newest == self._applied:
            return newest
        with self._mutex:
            if self.store.sequence() < self._applied:  # an older database was put back; asked again, since
                # another thread may have come further while this one waited
                self.close()
            while changes := self.store.changes(self._applied, limit=_READ_CHANGES):
                touched = sorted({change.row for change in changes if change.kind != "retired"})
                if touched:
                    self._make_room(touched[-1] + 1)
                    rows = np.array(touched, dtype=np.int64)
                    self._vectors[rows] = self.store.vectors(rows, self.info)  # zeros for what is erased
                self._applied = changes[-1].seq
        return self._applied

    def rebuild(self) -> None:
        with self._mutex:
            self._vectors, self._applied = self._vectors[:0], 0
            self.catch_up()

    def close(self) -> None:
        with self._mutex:
            self._vectors, self._applied = self._vectors[:0], 0

    def _make_room(self, rows: int) -> None:
        if rows > len(self._vectors):
            larger = np.zeros((capacity_for(rows), self.info.dim), dtype=np.float32)
            larger[: len(self._vectors)] = self._vectors
            self._vectors = larger

    def _held(self, rows: int) -> NDArray[np.float32]:
        return self._vectors

    def _reopened(self) -> int:
        return len(self._vectors)
