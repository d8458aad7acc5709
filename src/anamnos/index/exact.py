"""Exact vector search in NumPy over a memory-mapped file: every cosine, no approximation.

Row ``r`` of the store lies at place ``r`` of the file ``vectors.f32``. The file is sparse and only ever grows, to twice
its rows up to 16,384 and by 16,384 from there; it is read through a memory map that all processes share, and written
with plain writes under a lock, which a full disk turns into an error instead of a crash. Format:
docs/formats/exact-index.md.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import shutil
import threading
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from anamnos.errors import StoreError
from anamnos.store.base import EmbedderInfo, Rows, Store
from anamnos.types import Vector

_FIRST_ROWS = 1_024
_STEP_ROWS = 16_384
_SYNC_ROWS = 1_024  # so many rows may have to be applied again after a power cut
_READ_ROWS = 2_048  # rows handled at a time where all are walked
_DENSE_SHARE = 0.25  # above it, computing a whole stretch is faster than picking rows out of it


def capacity_for(rows: int) -> int:
    """Return how many rows the file is made for when it must hold ``rows``.

    >>> capacity_for(1), capacity_for(1025), capacity_for(16_385)
    (1024, 2048, 32768)
    """
    if rows > _STEP_ROWS:
        return -(-rows // _STEP_ROWS) * _STEP_ROWS
    return max(_FIRST_ROWS, 1 << (rows - 1).bit_length())


class Exact(ABC):
    """What an exact index does with its vectors, wherever it holds them.

    store  where the vectors come from
    info   which embedder's vectors
    """

    def __init__(self, store: Store, info: EmbedderInfo) -> None:
        self.store = store
        self.info = info

    @property
    def scans(self) -> float:
        return math.inf

    def maintain(self) -> bool:
        return False

    @abstractmethod
    def catch_up(self) -> int:
        """Bring the vectors to the store's present sequence number, and return it."""

    @abstractmethod
    def _held(self, rows: int) -> NDArray[np.float32]:
        """Return the vectors: an array of at least ``rows`` rows, or of as many as there are."""

    @abstractmethod
    def _reopened(self) -> int:
        """Forget what was looked at before, and return how many rows there are."""

    def similarities(self, query: Vector, rows: Rows) -> NDArray[np.float32]:
        query = np.ascontiguousarray(query, dtype=np.float32)
        out = np.zeros(len(rows), dtype=np.float32)
        if not len(rows):
            return out
        vectors = self._held(int(rows[-1]) + 1)
        here = rows[: np.searchsorted(rows, len(vectors))]
        if not len(here):
            return out
        low, high = int(here[0]), int(here[-1]) + 1
        if len(here) == high - low:
            out[: len(here)] = vectors[low:high] @ query
        elif len(here) >= _DENSE_SHARE * (high - low):
            out[: len(here)] = (vectors[low:high] @ query)[here - low]
        else:
            for start in range(0, len(here), _READ_ROWS):
                part = here[start : start + _READ_ROWS]
                out[start : start + len(part)] = vectors[part] @ query
        return out

    def gather(self, rows: Rows) -> NDArray[np.float32]:
        out = np.zeros((len(rows), self.info.dim), dtype=np.float32)
        if len(rows):
            vectors = self._held(int(np.max(rows)) + 1)
            here = rows < len(vectors)
            out[here] = vectors[rows[here]]
        return out

    def search(self, query: Vector, top_k: int, rows: Rows) -> tuple[Rows, NDArray[np.float32]]:
        scores = self.similarities(query, rows)
        best = np.argsort(-scores, kind="stable")[:top_k]
        return rows[best], scores[best]

    def verify(self) -> list[str]:
        problems: list[str] = []
        self.catch_up()
        end, last = self._reopened(), 0
        while changes := self.store.changes(last):
            end, last = max(end, 1 + max(change.row for change in changes)), changes[-1].seq
        for start in range(1, end, _READ_ROWS):
            rows = np.arange(start, min(start + _READ_ROWS, end), dtype=np.int64)
            differ = ~np.all(self.gather(rows) == self.store.vectors(rows, self.info), axis=1)
            if differ.any():
                problems.append(
                    f"{int(differ.sum())} vectors of rows {start} to {rows[-1]} differ from the store's"
                    " (run: anamnos rebuild-index)"
                )
        return problems


class ExactIndex(Exact):
    """All vectors of one embedder, compared one by one.

    folder  belongs to this index alone
    store   where the vectors come from
    info    which embedder's vectors
    """

    def __init__(self, folder: Path, store: Store, info: EmbedderInfo) -> None:
        super().__init__(store, info)
        self.folder = folder
        self._lock = FileLock(folder / "lock")  # between processes
        self._mutex = threading.RLock()  # between threads
        self._map: NDArray[np.float32] = np.empty((0, info.dim), dtype=np.float32)
        self._pages: mmap.mmap | None = None
        self._scattered = False
        self._generation = ""
        self._applied = 0
        self._unsynced = 0

    # --- keeping up with the store

    def catch_up(self) -> int:
        newest = self.store.sequence()
        if newest == self._applied and self._generation and self._path().parent.exists():
            return newest  # without that folder, another process has made the index anew
        with self.errors(), self.locked():
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
        with self.errors(), self.locked():
            self._start_generation()
            self.catch_up()
            self._sync()

    def close(self) -> None:
        with self._mutex:
            if self._unsynced:
                with self.errors(), self.locked():
                    if self._state().get("generation") == self._generation:
                        self._sync()
            self._map = self._map[:0]
            self._generation = ""

    def _join(self) -> None:
        """Take over what is in the folder, which another process may have made anew since."""
        state = self._state()
        wanted = {"format": 1, "embedder": self.info.id, "dim": self.info.dim}
        if any(state.get(name) != value for name, value in wanted.items()) or self._is_wrong(state):
            self._start_generation()
        elif state["generation"] != self._generation:
            self._map = self._map[:0]
            self._generation, self._applied, self._unsynced = state["generation"], state["synced"], 0

    def _is_wrong(self, state: dict[str, Any]) -> bool:
        """Return whether the file was shortened since, or is ahead of the store, as after a restored backup."""
        generation, synced = state.get("generation"), state.get("synced")
        if not isinstance(generation, str) or not isinstance(synced, int):
            return True
        path = self.folder / generation / "vectors.f32"
        size = path.stat().st_size if path.exists() else 0
        return int(state.get("bytes", 0)) > size or synced > self.store.sequence()

    def _start_generation(self) -> None:
        self._map = self._map[:0]
        self._generation, self._applied, self._unsynced = uuid.uuid4().hex[:12], 0, 0
        for folder in self.folder.iterdir():  # what was erased must not stay in files that nobody reads any more
            if folder.is_dir():
                shutil.rmtree(folder, ignore_errors=True)
        (self.folder / self._generation).mkdir()
        self._write_state()

    def _sync(self) -> None:
        """Force the vectors to the disk, then write down up to where they are."""
        if self._path().exists():
            with self._path().open("rb+") as file:
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
            "bytes": self._path().stat().st_size if self._path().exists() else 0,
        }
        partial = self.folder / "state.json.partial"
        partial.write_text(json.dumps(state), "utf-8")
        partial.replace(self.folder / "state.json")

    # --- the file

    def _path(self) -> Path:
        return self.folder / self._generation / "vectors.f32"

    def _write(self, rows: Rows, vectors: NDArray[np.float32]) -> None:
        width = 4 * self.info.dim
        length = capacity_for(int(rows[-1]) + 1) * width
        with self._path().open("r+b" if self._path().exists() else "w+b", buffering=0) as file:
            if os.fstat(file.fileno()).st_size < length:
                file.truncate(length)
            for start, stop in _runs(rows):
                file.seek(int(rows[start]) * width)
                file.write(np.ascontiguousarray(vectors[start:stop], dtype="<f4").tobytes())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other threads and processes from writing the files."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._mutex, self._lock:
            yield

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn what the file system says into StoreError."""
        try:
            yield
        except OSError as exc:
            raise StoreError(
                f"The vector index in {self.folder} could not be written: {exc.strerror}.",
                hint="The memories themselves are safe. Free some space; the index catches up by itself.",
            ) from exc

    def _held(self, rows: int) -> NDArray[np.float32]:
        if len(self._map) < rows and self._path().exists():
            capacity = self._path().stat().st_size // (4 * self.info.dim)
            if capacity > len(self._map):
                with self._path().open("rb") as file:
                    self._pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                self._map = np.frombuffer(self._pages, dtype="<f4", count=capacity * self.info.dim).reshape(
                    capacity, -1
                )
                self._advise()
        return self._map

    def here_and_there(self, expected: bool) -> None:
        """Say whether rows will be looked at here and there, so that the system reads no more around them from the
        disk, or one after the other."""
        self._scattered = expected
        self._advise()

    def _advise(self) -> None:
        if self._pages is not None and hasattr(mmap, "MADV_RANDOM"):
            self._pages.madvise(mmap.MADV_RANDOM if self._scattered else mmap.MADV_NORMAL)

    def fetch(self, rows: Rows) -> None:
        """Have rows read from the disk all at once, rather than one by one as they are looked at."""
        if self._pages is not None and hasattr(mmap, "MADV_WILLNEED"):
            width = 4 * self.info.dim
            for row in rows[: np.searchsorted(rows, len(self._map))].tolist():
                first = row * width // mmap.PAGESIZE * mmap.PAGESIZE
                self._pages.madvise(mmap.MADV_WILLNEED, first, (row + 1) * width - first)

    def _reopened(self) -> int:
        self._map = self._map[:0]
        return self._path().stat().st_size // (4 * self.info.dim) if self._path().exists() else 0


def _runs(rows: Rows) -> list[tuple[int, int]]:
    """Return (start, stop) of the runs of consecutive numbers in ascending ``rows``."""
    cuts = np.flatnonzero(np.diff(rows) != 1) + 1
    return list(zip([0, *cuts.tolist()], [*cuts.tolist(), len(rows)], strict=True))
