"""Indexes for the test of the benchmark: one that looks at some of the rows only, and one that cannot be built."""

import numpy as np

from anamnos.bench.peers.ann.base import AnnIndex, Rows
from anamnos.types import Vector


class Guess(AnnIndex):
    """Compares the first so many rows."""

    efforts = (50, 500, 2_000, 5_000)

    def build(self, rows: Rows) -> None:
        np.save(self.folder / "keys.npy", rows)

    def open(self) -> None:
        self.keys = np.load(self.folder / "keys.npy")

    def search(self, query: Vector, top_k: int, effort: int) -> Rows:
        return self.reranked(query, self.keys[:effort], top_k)


class Broken(Guess):
    """Fails."""

    def build(self, rows: Rows) -> None:
        raise RuntimeError("no such luck")
