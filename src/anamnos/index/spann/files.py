"""The files of lists: written into a folder of their own, whole, before anything points to it. Format:
docs/formats/spann.md.

``lists.bin`` is mapped privately: what changes in memory does not reach it, apart from what is erased, and the stretch
behind the lists, which is a hole in the file, is where changed lists go until all are written anew.
"""

from __future__ import annotations

import mmap
import os
import zlib
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from anamnos.index.spann.coder import Coder, Codes, Floats
from anamnos.index.spann.heads import Heads
from anamnos.index.spann.lists import Lists, Places, Span
from anamnos.index.spann.postings import Numbers, Postings

_RESERVE = 1 << 26  # bytes for changes, or twice as many as there are of lists
_SPARE_ROWS = 1 << 16
_WORD = 8


class Mapped:
    """The file of lists, open: a private map, and the file itself for what is erased.

    written  bytes at its beginning that are lists; behind is the stretch for changes
    """

    def __init__(self, path: Path, written: int) -> None:
        self.written = written
        self._file = os.open(path, os.O_RDWR)
        try:
            self._map = mmap.mmap(self._file, 0, access=mmap.ACCESS_COPY)
        except BaseException:
            os.close(self._file)
            raise
        if hasattr(mmap, "MADV_RANDOM"):
            self._map.madvise(mmap.MADV_RANDOM)
        self.data: NDArray[np.uint8] = np.frombuffer(self._map, dtype=np.uint8)

    def erase(self, spans: list[Span]) -> None:
        """Bring stretches of bytes, changed in memory, into the file. Raises: OSError."""
        for start, stop in spans:
            if stop <= self.written:
                os.pwrite(self._file, self.data[start:stop].tobytes(), start)

    def fetch(self, places: Numbers) -> None:
        """Have lists read from the disk all at once, rather than page by page as they are looked at.

        places  (m, 2) int64: where each begins and ends
        """
        if hasattr(mmap, "MADV_WILLNEED"):
            for start, stop in places[places[:, 1] <= self.written].tolist():
                first = start // mmap.PAGESIZE * mmap.PAGESIZE
                self._map.madvise(mmap.MADV_WILLNEED, first, stop - first)

    def let_go(self) -> None:
        """Keep no list in memory that is on the disk as well."""
        whole_pages = self.written // mmap.PAGESIZE * mmap.PAGESIZE
        if hasattr(mmap, "MADV_DONTNEED") and whole_pages:
            self._map.madvise(mmap.MADV_DONTNEED, 0, whole_pages)

    def close(self) -> None:
        """Close the file. The map goes with the last array that looks at it."""
        os.close(self._file)


class Writer:
    """Makes the files of lists in a new folder, which counts once ``finish`` has ended.

    heads  (n, width) float32
    cells  (n,) int64
    sizes  (n,) int64: entries per list
    Raises: OSError, as when the disk is full.
    """

    def __init__(self, folder: Path, coder: Coder, heads: Floats, cells: Numbers, sizes: Numbers) -> None:
        folder.mkdir(parents=True)
        self.folder, self.coder, self.heads, self.cells = folder, coder, heads, cells
        entry = coder.width + _WORD
        self.table = np.stack([sizes, sizes, (np.cumsum(sizes) - sizes) * entry], axis=1)
        self.bytes = int(sizes.sum()) * entry
        self._filled = np.zeros(len(sizes), dtype=np.int64)
        self._file = (folder / "lists.bin").open("w+b")
        if self.bytes and hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self._file.fileno(), 0, self.bytes)  # or a full disk would show while the map is filled
        length = self.bytes + max(_RESERVE, 2 * self.bytes)
        os.ftruncate(self._file.fileno(), length // _WORD * _WORD)
        self._words = np.asarray(np.memmap(self._file, dtype="<i8", mode="r+"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._words = self._words[:0]
        self._file.close()

    def fill(self, numbers: Numbers, rows: Numbers, codes: Codes) -> None:
        """Add entries (n,) to lists (n,), to each as many altogether as was said."""
        if not len(rows):
            return
        order = np.argsort(numbers, kind="stable")
        numbers = numbers[order]
        distinct, starts, counts = np.unique(numbers, return_index=True, return_counts=True)
        slot = self._filled[numbers] + np.arange(len(numbers)) - np.repeat(starts, counts)
        self._filled[distinct] += counts
        _, room, at = self.table[numbers].T
        width = self.coder.width
        code = (at + slot * width) // _WORD
        self._words[code[:, None] + np.arange(width // _WORD)] = np.ascontiguousarray(codes[order]).view("<i8")
        self._words[(at + room * width) // _WORD + slot] = rows[order]

    def finish(self, where: Places) -> int:
        """Write the rest, force all to the disk, and return a checksum of ``where`` (rows, 2)."""
        with (self.folder / "heads.npz").open("wb") as file:
            np.savez(
                file,
                basis=self.coder.basis,
                scale=np.float64(self.coder.scale),
                heads=self.heads,
                cells=self.cells,
                table=self.table,
            )
            file.flush()
            os.fsync(file.fileno())
        with (self.folder / "where.bin").open("wb") as file:
            file.write(np.ascontiguousarray(where, dtype="<i4").tobytes())
            file.truncate(_WORD * (len(where) + max(len(where) // 2, _SPARE_ROWS)))
            file.flush()
            os.fsync(file.fileno())
        os.fsync(self._file.fileno())
        return zlib.crc32(np.ascontiguousarray(where, dtype="<i4").tobytes())


def read(folder: Path, rows: int, checksum: int) -> tuple[Lists, Mapped]:
    """Return the lists of a folder.

    rows, checksum  of ``where``, as they were when it was written
    Raises: OSError or ValueError if they are not whole.
    """
    try:
        with np.load(folder / "heads.npz") as parts:  # a zip file, which checks its own sums
            coder = Coder(parts["basis"], float(parts["scale"]))
            heads = Heads(parts["heads"], parts["cells"])
            table = parts["table"]
    except Exception as exc:  # whatever a damaged archive comes to
        raise ValueError(f"heads.npz is damaged: {exc}") from exc
    written = int(table[:, 0].sum()) * (coder.width + _WORD)
    path = folder / "where.bin"
    if path.stat().st_size < _WORD * rows:
        raise ValueError("where.bin is cut off")
    where = np.asarray(np.memmap(path, dtype="<i4", mode="c")).reshape(-1, 2)
    listed = np.asarray(np.memmap(path, dtype="<i4", mode="r", shape=(rows, 2)))
    if zlib.crc32(listed.tobytes()) != checksum:
        raise ValueError("where.bin is damaged")
    if (folder / "lists.bin").stat().st_size < written:
        raise ValueError("lists.bin is cut off")
    mapped = Mapped(folder / "lists.bin", written)
    used = -(-written // mmap.PAGESIZE) * mmap.PAGESIZE
    postings = Postings(mapped.data, table, used, coder.width)
    return Lists(coder, heads, postings, where, Postings(mapped.data, table.copy(), used, coder.width), listed), mapped
