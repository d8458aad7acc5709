"""Lists of coded vectors in one stretch of bytes, and the comparison of a query with some of the lists.

A list with room for ``c`` entries is ``c * width`` bytes of codes, then ``c`` row numbers of 8 bytes. This is how faiss
lays out lists on a disk, so that, if it is installed, its vector instructions read ours where they lie; NumPy does the
same several times slower.
"""

from __future__ import annotations

import weakref
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anamnos.index.spann.coder import MIDDLE, Codes, Floats

Numbers = NDArray[np.int64]
Found = tuple[NDArray[np.int64], NDArray[np.float32]]
_SIZE, _ROOM, _AT = range(3)
_ROW_BYTES = 8
_LARGEST = 127


class Full(Exception):
    """There is no room for a longer list; what was being done is half done."""


class Postings:
    """Lists that grow until the stretch is full.

    data   (bytes,) uint8: where everything lies; it may be a private map of a file
    table  (lists, 3) int64: entries, room and place of each list
    used   bytes of ``data`` that are taken
    """

    def __init__(self, data: NDArray[np.uint8], table: Numbers, used: int, width: int) -> None:
        self.data, self.table, self.used, self.width = data, table, used, width
        self._scanner: _Scanner | None = None

    @classmethod
    def empty(cls, lists: int, width: int, capacity: int) -> Postings:
        """Return ``lists`` empty lists in memory, with room for so many bytes."""
        return cls(np.empty(capacity, dtype=np.uint8), np.zeros((lists, 3), dtype=np.int64), 0, width)

    def __len__(self) -> int:
        return len(self.table)

    @property
    def entry_bytes(self) -> int:
        return self.width + _ROW_BYTES

    def size(self, number: int) -> int:
        """Return how many entries a list has."""
        return int(self.table[number, _SIZE])

    def rows(self, number: int) -> Numbers:
        """Return the row numbers of a list, in place: (n,) int64; 0 is an entry that was erased."""
        size, room, at = self.table[number].tolist()
        start = at + room * self.width
        return self.data[start : start + size * _ROW_BYTES].view(np.int64)

    def codes(self, number: int) -> Codes:
        """Return the codes of a list, in place: (n, width)."""
        size, _, at = self.table[number].tolist()
        return self.data[at : at + size * self.width].reshape(size, self.width)

    def places(self, numbers: Numbers) -> Numbers:
        """Return where lists (m,) begin and end: (m, 2) int64."""
        _, room, at = self.table[numbers].T
        return np.stack([at, at + room * self.entry_bytes], axis=1)

    def fits(self, entries: int) -> bool:
        """Return whether so many entries could be given new places."""
        return self.used + entries * self.entry_bytes <= len(self.data)

    def append(self, number: int, rows: Numbers, codes: Codes) -> None:
        """Add entries to a list; one that has no room is moved first. Raises: Full."""
        size, room, _ = self.table[number].tolist()
        if size + len(rows) > room:
            self.replace(number, np.append(self.rows(number), rows), np.concatenate([self.codes(number), codes]))
            return
        self.table[number, _SIZE] = size + len(rows)
        self.rows(number)[size:] = rows
        self.codes(number)[size:] = codes
        self._changed()

    def replace(self, number: int, rows: Numbers, codes: Codes) -> None:
        """Give a list other entries, at a new place if they are more than there is room for. Raises: Full."""
        if len(rows) > self.table[number, _ROOM]:
            room = len(rows) + max(8, len(rows) // 4)
            if self.used + room * self.entry_bytes > len(self.data):
                raise Full
            self.table[number] = len(rows), room, self.used
            self.used += room * self.entry_bytes
        kept_rows, kept_codes = rows.copy(), codes.copy()  # they may be of this very list
        self.table[number, _SIZE] = len(rows)
        self.rows(number)[:] = kept_rows
        self.codes(number)[:] = kept_codes
        self._changed()

    def add_list(self) -> int:
        """Add an empty list, and return its number."""
        self.table = np.concatenate([self.table, np.zeros((1, 3), dtype=np.int64)])
        self._changed()
        return len(self.table) - 1

    def scan(self, query: Floats, numbers: Numbers, count: int, allowed: NDArray[np.uint8] | None = None) -> Found:
        """Return the best ``count`` entries of some lists per query, best first: rows and scores.

        query    (m, width) float32
        numbers  (m, lists) int64: which lists, per query; -1 is none
        allowed  bit r says whether row r may be found; None: all
        Both (m, count); row -1 stands for none. A row that is in several lists is found several times. Scores are dot
        products with the bytes around ``MIDDLE``.
        """
        top = np.maximum(np.abs(query).max(axis=1, keepdims=True), 1e-9)
        whole = np.rint(query * (_LARGEST / top)).astype(np.float32)
        if faiss() is None:
            rows, scores = self._scan_slowly(whole, numbers, count, allowed)
            return rows, scores * (top / _LARGEST)
        if self._scanner is None:
            self._scanner = _Scanner(self.data, self.width)
        if self._scanner.stale:
            self._scanner.update(self.table)
        rows, scores = self._scanner.scan(whole, numbers, count, allowed)
        return rows, scores * (top / _LARGEST)

    def _scan_slowly(self, queries: Floats, numbers: Numbers, count: int, allowed: NDArray[np.uint8] | None) -> Found:
        found = np.full((len(queries), count), -1, dtype=np.int64)
        scores = np.full((len(queries), count), -np.inf, dtype=np.float32)
        for place, (query, own) in enumerate(zip(queries, numbers, strict=True)):
            lists = [number for number in own.tolist() if number >= 0 and self.size(number)]
            if not lists:
                continue
            rows = np.concatenate([self.rows(number) for number in lists])
            dots = np.concatenate([self.codes(number).astype(np.float32) @ query for number in lists])
            if allowed is not None:
                bits = allowed[np.minimum(rows >> 3, len(allowed) - 1)] >> (rows & 7).astype(np.uint8) & 1
                inside = (bits > 0) & (rows < 8 * len(allowed))
                rows, dots = rows[inside], dots[inside]
            best = np.argsort(-dots, kind="stable")[:count]
            found[place, : len(best)] = rows[best]
            scores[place, : len(best)] = dots[best] - np.float32(MIDDLE) * query.sum()
        return found, scores

    def _changed(self) -> None:
        if self._scanner is not None:
            self._scanner.stale = True

    def close(self) -> None:
        """Let go of the bytes."""
        if self._scanner is not None:
            self._scanner.close()
            self._scanner = None
        self.data = np.empty(0, dtype=np.uint8)


class _Scanner:
    """faiss, made to read lists that are ours.

    Its lists "on a disk" are an address and a table of places; it is given our address and a copy of our table.
    """

    def __init__(self, data: NDArray[np.uint8], width: int) -> None:
        self._faiss = faiss()
        self._data = data  # is kept as long as it is looked at
        self._lists = self._faiss.OnDiskInvertedLists()
        self._lists.code_size = width
        self._lists.ptr = self._faiss.swig_ptr(data)
        self._quantizer = self._faiss.IndexFlatIP(width)  # not asked: the caller says which lists
        self._index = self._faiss.IndexIVFScalarQuantizer(
            self._quantizer,
            width,
            0,
            self._faiss.ScalarQuantizer.QT_8bit_direct_signed,
            self._faiss.METRIC_INNER_PRODUCT,
            False,
        )
        self._index.is_trained = True
        self._index.parallel_mode = 0
        self._index.replace_invlists(self._lists, False)
        self.stale = True
        self.close = weakref.finalize(self, _let_go, self._lists)

    def scan(self, queries: Floats, numbers: Numbers, count: int, allowed: NDArray[np.uint8] | None) -> Found:
        selector = None
        if allowed is not None:
            selector = self._faiss.IDSelectorBitmap(allowed)
        params = self._faiss.SearchParametersIVF(nprobe=numbers.shape[1], sel=selector)
        rows = np.empty((len(queries), count), dtype=np.int64)
        scores = np.empty((len(queries), count), dtype=np.float32)
        unused = np.zeros(numbers.shape, dtype=np.float32)  # distances of heads
        arrays = (np.ascontiguousarray(numbers), unused, scores, rows)
        # by its C++ name, for the Python one takes no parameters
        self._index.search_preassigned_c(
            len(queries),
            self._faiss.swig_ptr(queries),
            count,
            *(self._faiss.swig_ptr(array) for array in arrays),
            False,
            params,
        )
        return rows, scores

    def update(self, table: Numbers) -> None:
        """Take over the places of lists."""
        if self._lists.nlist != len(table):
            self._lists.lists.resize(len(table))
            self._lists.nlist = self._index.nlist = len(table)
        copied = np.ascontiguousarray(table)
        self._faiss.memcpy(self._lists.lists.data(), self._faiss.swig_ptr(copied), copied.nbytes)
        self._index.ntotal = int(table[:, _SIZE].sum())
        self.stale = False


def _let_go(lists: Any) -> None:
    """Make faiss forget an address, or it would unmap what is not its own."""
    lists.ptr = None


@cache
def faiss() -> Any:
    """Return the module, or None if it is not installed."""
    try:
        import faiss as module
    except ImportError:
        return None
    return module
