"""All vectors compared, in float32, by NumPy: what every other index is to be faster than."""

from __future__ import annotations

import numpy as np

from anamnos.bench.peers.ann.base import AnnIndex, Rows
from anamnos.embed.base import Vectors
from anamnos.types import Vector


class NumpyExact(AnnIndex):
    """Rows of a file, times the query."""

    notes = ("float32, exact",)
    _held: Vectors
    _keys: Rows
    _compared = 0

    def build(self, rows: Rows) -> None:
        np.save(self.folder / "keys.npy", rows)
        out = np.lib.format.open_memmap(
            self.folder / "rows.npy", mode="w+", dtype=np.float32, shape=(len(rows), self.vectors.shape[1])
        )
        for start in range(0, len(rows), 16_384):
            out[start : start + 16_384] = self.vectors[rows[start : start + 16_384]]
        out.flush()
        self.open()

    def open(self) -> None:
        self._keys = np.load(self.folder / "keys.npy")
        self._held = np.asarray(np.load(self.folder / "rows.npy", mmap_mode="r"))

    def search(self, query: Vector, top_k: int, effort: int) -> Rows:
        self._compared += self._held.nbytes
        return self._keys[_best(self._held @ query, top_k)]

    def search_among(self, label: str, query: Vector, top_k: int, effort: int) -> Rows:
        places = np.flatnonzero(self.labels[label][self._keys])
        self._compared += len(places) * 4 * len(query)
        return self._keys[places[_best(self._held[places] @ query, top_k)]]

    def insert(self, rows: Rows) -> None:
        self._keys = np.concatenate([self._keys, rows])
        self._held = np.concatenate([self._held, self.vectors[rows]])

    def delete(self, rows: Rows) -> None:
        kept = ~np.isin(self._keys, rows)
        self._keys, self._held = self._keys[kept], self._held[kept]

    def bytes_compared(self) -> int:
        return self._compared


def _best(scores: Vector, top_k: int) -> Rows:
    count = min(top_k, len(scores))
    if not count:
        return np.empty(0, dtype=np.int64)
    best = np.argpartition(-scores, count - 1)[:count]
    return best[np.argsort(-scores[best], kind="stable")].astype(np.int64)
