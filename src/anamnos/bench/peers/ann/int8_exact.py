"""All vectors compared as bytes, the best compared again: the step between exact float32 and lists."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from anamnos.bench.peers.ann.base import RERANKED, AnnIndex, Rows
from anamnos.types import Vector

_BLOCK = 16_384


class Int8Exact(AnnIndex):
    """Codes of one byte per number with a scale per vector, and NumKong's dot products of bytes."""

    packages = ("numkong", "numpy")
    notes = ("int8 with a scale per vector, all compared", f"best {RERANKED} compared again in float32")
    _codes: NDArray[np.int8]
    _scales: Vector
    _keys: Rows
    _compared = 0

    def build(self, rows: Rows) -> None:
        codes = np.empty((len(rows), self.vectors.shape[1]), dtype=np.int8)
        scales = np.empty(len(rows), dtype=np.float32)
        for start in range(0, len(rows), _BLOCK):
            some = slice(start, start + _BLOCK)
            codes[some], scales[some] = _coded(self.vectors[rows[some]])
        for name, array in (("codes", codes), ("scales", scales), ("keys", rows)):
            np.save(self.folder / f"{name}.npy", array)
        self.open()

    def open(self) -> None:
        self._codes = np.asarray(np.load(self.folder / "codes.npy", mmap_mode="r"))
        self._scales = np.load(self.folder / "scales.npy")
        self._keys = np.load(self.folder / "keys.npy")

    def search(self, query: Vector, top_k: int, effort: int) -> Rows:
        return self._best(query, top_k, self._codes, self._scales, self._keys)

    def search_among(self, label: str, query: Vector, top_k: int, effort: int) -> Rows:
        places = np.flatnonzero(self.labels[label][self._keys])
        return self._best(query, top_k, self._codes[places], self._scales[places], self._keys[places])

    def _best(self, query: Vector, top_k: int, codes: NDArray[np.int8], scales: Vector, keys: Rows) -> Rows:
        code, _ = _coded(query[None])
        scores = _dots(codes, code) * scales
        self._compared += codes.nbytes + 4 * RERANKED * len(query)
        count = min(RERANKED, len(scores))
        return self.reranked(query, keys[np.argpartition(-scores, count - 1)[:count]], top_k)

    def bytes_compared(self) -> int:
        return self._compared


def _coded(vectors: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    scales = np.maximum(np.abs(vectors).max(axis=1), 1e-9) / 127
    return np.rint(vectors / scales[:, None]).astype(np.int8), scales.astype(np.float32)


def _dots(codes: NDArray[np.int8], code: NDArray[np.int8]) -> NDArray[Any]:
    import numkong

    return np.asarray(numkong.cdist(codes, code, metric="dot")).reshape(-1)
