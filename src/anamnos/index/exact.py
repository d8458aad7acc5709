"""Exact vector search in NumPy over memory-mapped files: every cosine, no approximation.

Row ``r`` of the store lies at place ``r`` of the index, in files ("segments") of 1,024, 2,048 … 16,384 and then
always 16,384 rows, so that capacity doubles while it is small and no file is ever resized under another process.
Files are sparse, are read through a memory map shared by all processes, and are written with plain writes under a
lock, which a full disk turns into an error instead of a crash. See docs/formats/exact-index.md.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import uuid
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from anamnos.errors import Corrupt, StoreError
from anamnos.store.base import EmbedderInfo, Rows, Store
from anamnos.types import Vector

_FIRST_ROWS = 1_024
_LAST_ROWS = 16_384
_DOUBLINGS = (_LAST_ROWS // _FIRST_ROWS).bit_length() - 1
_LAST_START = _LAST_ROWS - _FIRST_ROWS  # where the segments of constant size begin
_SYNC_ROWS = 1_024  # so many rows may have to be applied again after a power cut
_READ_ROWS = 2_048  # rows read from the store at a time
_DENSE_SHARE = 0.25  # above it, computing a whole segment is faster than picking rows out of it


def segment_of(row: int) -> tuple[int, int, int]:
    """Return (number, first row, rows) of the segment that holds ``row``.

    >>> segment_of(0), segment_of(1024), segment_of(40_000)
    ((0, 0, 1024), (1, 1024, 2048), (5, 31744, 16384))
    """
    if row < _LAST_START:
        number = (row // _FIRST_ROWS + 1).bit_length() - 1
        return number, _FIRST_ROWS * (2**number - 1), _FIRST_ROWS * 2**number
    further = (row - _LAST_START) // _LAST_ROWS
    return _DOUBLINGS + further, _LAST_START + further * _LAST_ROWS, _LAST_ROWS


class ExactIndex:
    """All vectors of one embedder, compared one by one.

    folder  belongs to this index alone
    store   where the vectors come from
    info    which embedder's vectors
    """

    def __init__(self, folder: Path, store: Store, info: EmbedderInfo) -> None:
        self.folder = folder
        self.store = store
        self.info = info
        self._lock = FileLock(folder / "lock")  # between processes
        self._mutex = threading.RLock()  # between threads
        self._segments: dict[int, NDArray[np.float32]] = {}
        self._generation = ""
        self._applied = 0
        self._unsynced = 0

    # --- keeping up with the store

    def catch_up(self) -> int:
        newest = self.store.sequence()
        if newest == self._applied and self._generation:
            return newest
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._mutex, self._lock:
            self._join()
            while changes := self.store.changes(self._applied, limit=_READ_ROWS):
                touched = sorted({change.row for change in changes if change.kind != "retired"})
                if touched:
                    rows = np.array(touched, dtype=np.int64)
                    # erased rows come back as zeros, which is what must stand in their place
                    self._write(rows, self.store.vectors(rows, self.info))
                self._applied = changes[-1].seq
                self._unsynced += len(touched)
                if self._unsynced >= _SYNC_ROWS:
                    self._sync()
        return self._applied

    def rebuild(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._mutex, self._lock:
            self._start_generation()
            for folder in self.folder.iterdir():
                if folder.is_dir() and folder.name != self._generation:
                    shutil.rmtree(folder, ignore_errors=True)
            self.catch_up()
            self._sync()

    def close(self) -> None:
        with self._mutex:
            if self._unsynced:
                with self._lock:
                    if self._state().get("generation") == self._generation:
                        self._sync()
            self._segments.clear()
            self._generation = ""

    def _join(self) -> None:
        """Take over what is in the folder, which another process may have made anew since."""
        state = self._state()
        wanted = {"format": 1, "embedder": self.info.id, "dim": self.info.dim}
        if any(state.get(name) != value for name, value in wanted.items()):
            self._start_generation()
        elif state["generation"] != self._generation:
            self._segments.clear()
            self._generation, self._applied, self._unsynced = state["generation"], state["synced"], 0

    def _start_generation(self) -> None:
        self._segments.clear()
        self._generation, self._applied, self._unsynced = uuid.uuid4().hex[:12], 0, 0
        (self.folder / self._generation).mkdir()
        self._write_state()

    def _sync(self) -> None:
        """Force the vectors to the disk, then write down up to where they are."""
        for path in (self.folder / self._generation).glob("*.f32"):
            with path.open("rb+") as file:
                os.fsync(file.fileno())
        self._unsynced = 0
        self._write_state()

    def _state(self) -> dict[str, Any]:
        try:
            state = json.loads((self.folder / "state.json").read_text("utf-8"))
        except FileNotFoundError:
            return {}
        except (ValueError, OSError):
            return {}  # torn: the index is derived, so it is simply made again
        return state if isinstance(state, dict) else {}

    def _write_state(self) -> None:
        state = {
            "format": 1,
            "embedder": self.info.id,
            "dim": self.info.dim,
            "generation": self._generation,
            "synced": self._applied,
        }
        partial = self.folder / "state.json.partial"
        partial.write_text(json.dumps(state), "utf-8")
        partial.replace(self.folder / "state.json")

    # --- the files

    def _path(self, number: int) -> Path:
        return self.folder / self._generation / f"{number:04d}.f32"

    def _write(self, rows: Rows, vectors: NDArray[np.float32]) -> None:
        width = 4 * self.info.dim
        try:
            for number, first, size, places in _by_segment(rows):
                path = self._path(number)
                with path.open("r+b" if path.exists() else "w+b", buffering=0) as file:
                    if os.fstat(file.fileno()).st_size < size * width:
                        file.truncate(size * width)
                    for start, stop in _runs(rows[places]):
                        file.seek((int(rows[places][start]) - first) * width)
                        file.write(np.ascontiguousarray(vectors[places][start:stop]).tobytes())
        except OSError as exc:
            raise StoreError(
                f"The vector index in {self.folder} could not be written: {exc.strerror}.",
                hint="The memories themselves are safe. Free some space; the index catches up by itself.",
            ) from exc

    def _segment(self, number: int, size: int) -> NDArray[np.float32] | None:
        if number not in self._segments:
            path = self._path(number)
            if not path.exists():
                return None
            if path.stat().st_size != size * 4 * self.info.dim:
                raise Corrupt(f"{path} has the wrong length.", hint="Run: anamnos rebuild-index")
            self._segments[number] = np.memmap(path, dtype="<f4", mode="r", shape=(size, self.info.dim))
        return self._segments[number]

    # --- reading

    def similarities(self, query: Vector, rows: Rows) -> NDArray[np.float32]:
        query = np.ascontiguousarray(query, dtype=np.float32)
        out = np.zeros(len(rows), dtype=np.float32)
        for number, first, size, places in _by_segment(rows):
            segment = self._segment(number, size)
            if segment is None:
                continue
            local = rows[places] - first
            low, high = int(local[0]), int(local[-1]) + 1
            if len(local) == high - low:
                out[places] = segment[low:high] @ query
            elif len(local) >= _DENSE_SHARE * (high - low):
                out[places] = (segment[low:high] @ query)[local - low]
            else:
                out[places] = segment[local] @ query
        return out

    def gather(self, rows: Rows) -> NDArray[np.float32]:
        out = np.zeros((len(rows), self.info.dim), dtype=np.float32)
        for number, first, size, places in _by_segment(rows):
            segment = self._segment(number, size)
            if segment is not None:
                out[places] = segment[rows[places] - first]
        return out

    def search(self, query: Vector, top_k: int, rows: Rows) -> tuple[Rows, NDArray[np.float32]]:
        scores = self.similarities(query, rows)
        best = np.argsort(-scores, kind="stable")[:top_k]
        return rows[best], scores[best]

    def verify(self) -> list[str]:
        problems: list[str] = []
        self.catch_up()
        highest = max((change_row for change_row in self._all_rows()), default=0)
        for start in range(1, highest + 1, _READ_ROWS):
            rows = np.arange(start, min(start + _READ_ROWS, highest + 1), dtype=np.int64)
            differ = ~np.all(self.gather(rows) == self.store.vectors(rows, self.info), axis=1)
            if differ.any():
                problems.append(
                    f"{int(differ.sum())} vectors of rows {start} to {rows[-1]} differ from the store's"
                    " (run: anamnos rebuild-index)"
                )
        return problems

    def _all_rows(self) -> list[int]:
        numbers = [int(path.stem) for path in (self.folder / self._generation).glob("*.f32")]
        return [_segment_end(number) - 1 for number in numbers]


def _segment_end(number: int) -> int:
    if number < _DOUBLINGS:
        return _FIRST_ROWS * (2 ** (number + 1) - 1)
    return _LAST_START + (number - _DOUBLINGS + 1) * _LAST_ROWS


def _by_segment(rows: Rows) -> list[tuple[int, int, int, slice]]:
    """Return, for ascending rows, (segment number, first row, size, slice of ``rows`` in it)."""
    parts = []
    start = 0
    while start < len(rows):
        number, first, size = segment_of(int(rows[start]))
        stop = int(np.searchsorted(rows, first + size))
        parts.append((number, first, size, slice(start, stop)))
        start = stop
    return parts


def _runs(rows: Rows) -> list[tuple[int, int]]:
    """Return (start, stop) of the runs of consecutive numbers in ascending ``rows``."""
    cuts = np.flatnonzero(np.diff(rows) != 1) + 1
    return list(zip([0, *cuts.tolist()], [*cuts.tolist(), len(rows)], strict=True))
