"""Our own lists, as a vault uses them: rows come and go through the store's feed of changes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np

from anamnos.bench.peers.ann.base import AnnIndex, Rows
from anamnos.cube import CubeId
from anamnos.embed.base import Vectors
from anamnos.index.spann.index import SpannIndex
from anamnos.store.base import EmbedderInfo, Store
from anamnos.types import Change, Vector

_RERANKED = 35  # vectors that the index compares again per ten asked for, about


class _Feed:
    """The part of a store that an index follows: a feed of changes, and vectors. Its row r + 1 is row r of the set."""

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors
        self._rows: list[Rows] = []  # of each write: as objects, a million changes would outweigh what is measured
        self._kinds: list[Any] = []
        self._ends = [0]
        self._gone = np.zeros(len(vectors) + 1, dtype=np.bool_)

    def write(self, rows: Rows, kind: Any) -> None:
        self._rows.append(rows + 1)
        self._kinds.append(kind)
        self._ends.append(self._ends[-1] + len(rows))
        self._gone[rows + 1] = kind == "erased"

    def sequence(self) -> int:
        return self._ends[-1]

    def changes(self, after: int, limit: int = 1_000) -> Sequence[Change]:
        place = bisect_right(self._ends, after) - 1
        if place == len(self._rows):
            return []
        start = after - self._ends[place]
        rows = self._rows[place][start : start + limit].tolist()
        numbered = enumerate(rows, start=after + 1)
        return [Change(seq, self._kinds[place], row, CubeId(str(row))) for seq, row in numbered]

    def vectors(self, rows: Rows, info: EmbedderInfo) -> Vectors:
        found = self._vectors[rows - 1]
        found[self._gone[rows]] = 0
        return found


class Spann(AnnIndex):
    """SpannIndex over such a feed; the effort is how many lists are read."""

    efforts = (4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
    packages = ("anamnos", "numpy", "faiss-cpu")
    notes = ("as in a vault, with its own choice of everything but the number of lists read",)
    _feed: _Feed
    _index: SpannIndex
    _live: Rows
    _searches = 0

    def build(self, rows: Rows) -> None:
        np.save(self.folder / "rows.npy", rows)
        self.open()
        self._index.maintain()

    def open(self) -> None:
        rows = np.load(self.folder / "rows.npy")
        self._feed = _Feed(self.vectors)
        self._feed.write(rows, "written")
        self._live = np.sort(rows) + 1
        info = EmbedderInfo("bench", self.vectors.shape[1])
        self._index = SpannIndex(self.folder / "index", cast(Store, self._feed), info, worth_it=1_000)
        self._index.catch_up()
        self._among = {label: self._live[mask[self._live - 1]] for label, mask in self.labels.items()}

    def close(self) -> None:
        self._index.close()

    def search(self, query: Vector, top_k: int, effort: int) -> Rows:
        return self._found(query, top_k, effort, self._live)

    def search_among(self, label: str, query: Vector, top_k: int, effort: int) -> Rows:
        return self._found(query, top_k, effort, self._among[label])

    def _found(self, query: Vector, top_k: int, effort: int, rows: Rows) -> Rows:
        self._searches += 1
        opened = self._index._open
        if opened is not None and opened.state.lists != effort:
            opened.state = replace(opened.state, lists=effort)
        return self._index.search(query, top_k, rows)[0] - 1

    def insert(self, rows: Rows) -> None:
        self._feed.write(rows, "written")
        self._live = np.union1d(self._live, rows + 1)
        self._index.catch_up()

    def delete(self, rows: Rows) -> None:
        """Drop rows; sweeping, which a vault does in idle moments, counts as a part of it."""
        self._feed.write(rows, "erased")
        self._live = np.setdiff1d(self._live, rows + 1, assume_unique=True)
        self._index.catch_up()
        self._index.maintain()

    def bytes_compared(self) -> int:
        return self._index.bytes_read + self._searches * _RERANKED * 4 * int(self.vectors.shape[1])

    def garbage(self) -> float:
        opened = self._index._open
        return 0.0 if opened is None else opened.lists.dead / max(opened.lists.entries, 1)
