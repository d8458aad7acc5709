"""SPANN as an index of the house: lists above the exact index, which keeps the vectors themselves.

The best entries of the nearest lists are compared again by their vectors. How many lists are read is found by
measurement on the collection's own vectors when the lists are made. Lists are derived twice over: from the vectors,
which are derived from the store. What changed since they were written is applied from the store's feed of changes, so
that no log is needed, and a stop at any moment costs no more than that.
"""

from __future__ import annotations

import json
import math
import shutil
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from anamnos.index.exact import ExactIndex
from anamnos.index.spann import files
from anamnos.index.spann.coder import Coder
from anamnos.index.spann.heads import SAMPLED, Heads, choose_heads
from anamnos.index.spann.lists import MEAN, Lists, Places
from anamnos.index.spann.postings import Full
from anamnos.store.base import EmbedderInfo, Rows, Store
from anamnos.types import Vector

Floats = NDArray[np.float32]

WORTH_IT = 200_000  # vectors: below, comparing them all is fast enough
LEAST = 10_000  # the same where lists are wanted in any case
GIVEN_UP = 0.5  # share of it under which the lists are dropped again
FEW = 20_000  # rows asked for: so few are compared one by one
TARGET = 0.98  # recall@10 of the number of lists that is chosen
QUERIES = 300  # of its own vectors on which that is measured
GARBAGE = 0.1  # share of dead entries from which all is written anew
CHANGED = 0.5  # bytes of lists that have a new place, in memory, as a share of all, from which it is
_RERANKED = 60  # entries, which is 35 or so vectors, per 10 asked for
_NEARLY_ALL = 0.7  # share of all rows asked for from which no filter is needed inside the lists
_MUCH = 1 << 26  # bytes: less than CHANGED of it in memory is not worth a thought
_MOST_CAUTION = 256
_SLOW_S = 0.005  # a scan that takes longer has waited for the disk
_STILL = 100  # searches after such a one
_CHUNK = 65_536
_APPENDED = 1_024  # rows listed at a time


@dataclass(frozen=True, slots=True)
class _State:
    """What lies beside the lists' files.

    applied   the store's sequence number that they stand for
    lists     how many are read per query
    recall    recall@10 measured with so many
    rows      length of ``where``, and its checksum
    """

    format: int
    generation: str
    applied: int
    lists: int
    recall: float
    rows: int
    checksum: int


@dataclass
class _Open:
    """Lists that are in use."""

    state: _State
    lists: Lists
    mapped: files.Mapped

    def __post_init__(self) -> None:
        self.short = len(self.lists.short())  # that clustering has left


class SpannIndex:
    """Lists of near vectors around heads in memory.

    folder     belongs to this index alone
    store      where the vectors come from
    info       which embedder's vectors
    memory_mb  how much of the lists is kept in memory that is on the disk as well
    worth_it   from how many vectors there are lists
    seed       of clustering: the same collection gives the same lists
    """

    def __init__(
        self,
        folder: Path,
        store: Store,
        info: EmbedderInfo,
        *,
        memory_mb: int = 1_024,
        worth_it: int = WORTH_IT,
        seed: int = 0,
    ) -> None:
        self.exact = ExactIndex(folder, store, info)
        self.folder, self.store, self.info = folder, store, info
        self._worth_it, self._budget = worth_it, memory_mb << 20
        self._rng = np.random.default_rng(seed)
        self._mutex = threading.RLock()
        self._open: _Open | None = None
        self._applied = 0
        self._swept = -1  # at how many changes strays were last looked for
        self._looked = 0  # at how many changes it was last seen whether lists are worth it
        self._caution = 1.0  # about room for changes
        self._seen = (0, 0)  # time and number of the state file that was read last
        self._from_disk = 0  # searches for which lists are fetched ahead
        self._touched = 0  # bytes of lists read since memory was last let go
        self.bytes_read = 0  # of lists, by all searches of this process

    @property
    def scans(self) -> float:
        return math.inf if self._open is None else self._worth_it

    # --- keeping up

    def catch_up(self) -> int:
        newest = self.exact.catch_up()
        with self._mutex, self.exact.errors():
            if newest != self._swept:
                self._drop_strays()
                self._swept = newest
            state = self._current_state()
            if state is None or (self._open is not None and state.generation != self._open.state.generation):
                self._let_go()
            if state is not None and self._open is None:
                self._load(state)
            if self._open is not None and self._applied < newest:
                self._follow(self._open)
        return newest

    def maintain(self) -> bool:
        """Make the lists once the collection is large enough, and write them anew when much of them has changed;
        return whether anything was done. A million vectors take about a minute.

        Raises: StoreError, as when the disk is full; searches go on as before then.
        """
        with self._mutex, self.exact.errors(), self.exact.locked():
            self.catch_up()  # inside, for another process may just have done the same
            if self._open is None:
                changes = self.store.sequence()  # at most so many vectors; walking through them takes a while
                if changes < max(self._worth_it, self._looked + self._worth_it // 20):
                    return False
                self._looked = changes
                rows = self._current()
                if len(rows) < self._worth_it:
                    return False
                self._make(rows)
                return True
            lists = self._open.lists
            if np.count_nonzero(lists.where.any(axis=1)) < GIVEN_UP * self._worth_it:
                self._forget()
                return True
            written = self._open.mapped.written
            changed = lists.postings.used - written > CHANGED * max(written, _MUCH)
            too_short = len(lists.short()) > self._open.short + GARBAGE * len(lists)
            if not changed and not too_short and lists.dead <= GARBAGE * lists.entries:
                return False
            lists.merge(self._rng)
            self._write_anew(self._open)
            return True

    def rebuild(self) -> None:
        self.exact.rebuild()
        with self._mutex:
            self._forget()
            self._looked = 0
        self.maintain()

    def close(self) -> None:
        with self._mutex:
            self._let_go()
        self.exact.close()

    def _follow(self, opened: _Open) -> None:
        while changes := self.store.changes(self._applied, limit=_APPENDED):
            gone = {change.row for change in changes if change.kind != "written"}
            new = np.array(sorted({c.row for c in changes if c.kind == "written"} - gone), dtype=np.int64)
            again = new[opened.lists.are_listed(new)]  # they may have another vector now
            opened.mapped.erase(opened.lists.erase([*gone, *again.tolist()]))
            vectors = self.exact.gather(new)
            there = vectors.any(axis=1)
            if there.any():
                in_memory = opened.lists.postings.used - opened.mapped.written
                if in_memory > self._budget or not opened.lists.fits(new[there], self._caution):
                    with self.exact.locked():
                        opened = self._write_anew(opened, spare=int(new[-1]))
                try:
                    opened.lists.append(new[there], vectors[there], self._rng)
                except Full:  # half done: begin again from the files, and write them anew earlier
                    if self._caution >= _MOST_CAUTION:
                        self._forget()  # all is compared until they are made again, when there are some more
                        self._looked = self.store.sequence()
                        return
                    opened = self._begun_again(opened.state)
                    continue
            self._applied = changes[-1].seq

    def _begun_again(self, state: _State) -> _Open:
        self._caution *= 4
        self._let_go()
        lists, mapped = files.read(self.folder / state.generation, state.rows, state.checksum)
        return self._use(_Open(state, lists, mapped))

    # --- making

    def _current(self) -> Rows:
        """Return the rows that the lists should hold: those with a vector that are not past."""
        applied, alive = 0, set[int]()
        while changes := self.store.changes(applied, limit=_CHUNK):
            for change in changes:
                (alive.add if change.kind == "written" else alive.discard)(change.row)
            applied = changes[-1].seq
        self._applied = applied
        rows = np.array(sorted(alive), dtype=np.int64)
        there = [self.exact.gather(rows[n : n + _CHUNK]).any(axis=1) for n in range(0, len(rows), _CHUNK)]
        return rows[np.concatenate(there)] if there else rows

    def _make(self, rows: Rows) -> None:
        count = max(1, len(rows) // MEAN)
        sample = self.exact.gather(np.sort(self._rng.choice(rows, min(SAMPLED * count, len(rows)), replace=False)))
        coder = Coder.fit(sample, self._rng)
        heads = Heads(*choose_heads(coder.shorten(sample), count, self._rng))
        del sample
        where: Places = np.zeros((int(rows[-1]) + 1, 2), dtype=np.int32)
        parts = [rows[n : n + _CHUNK] for n in range(0, len(rows), _CHUNK)]
        for part in parts:
            where[part] = heads.homes(coder.shorten(self.exact.gather(part))) + 1
        sizes = np.bincount(where.ravel(), minlength=len(heads) + 1)[1:]
        folder = self._new_folder()
        with files.Writer(folder, coder, heads.vectors, heads.cells, sizes) as writer:
            for part in parts:
                entry, place = np.nonzero(where[part])
                codes = coder.encode_short(coder.shorten(self.exact.gather(part)))
                writer.fill(where[part][entry, place].astype(np.int64) - 1, part[entry], codes[entry])
            checksum = writer.finish(where)
        state = _State(1, folder.name, self._applied, 1, 0.0, len(where), checksum)
        state = self._without_long_lists(state)
        self._point_to(self._calibrated(state, rows))

    def _without_long_lists(self, state: _State) -> _State:
        """Split the lists in which clustering has put far more than in others, and return what was written then."""
        lists, mapped = files.read(self.folder / state.generation, state.rows, state.checksum)
        try:
            with suppress(Full):
                if lists.split_long(self._rng):
                    state = self._written(lists, state)
        finally:
            lists.close()
            mapped.close()
        return state

    def _calibrated(self, state: _State, rows: Rows) -> _State:
        """Choose how many lists are read: the fewest with which some of the collection's own vectors find their
        neighbours."""
        lists, mapped = files.read(self.folder / state.generation, state.rows, state.checksum)
        queries = self.exact.gather(np.sort(self._rng.choice(rows, min(QUERIES, len(rows)), replace=False)))
        true = self._nearest_of_all(queries, rows, 11)
        count = recall = 0.0
        steps = sorted({min(round(8 * 1.25**n), len(lists)) for n in range(40)})
        for count in steps:
            held = 0
            for query, own in zip(queries, true, strict=True):
                found, _ = lists.scan(query, int(count), _RERANKED)
                held += len(np.intersect1d(self.exact.search(query, 11, found)[0], own))
            recall = held / true.size
            if recall >= TARGET:
                break
        lists.close()
        mapped.close()
        return replace(state, lists=int(count), recall=round(recall, 4))

    def _nearest_of_all(self, queries: Floats, rows: Rows, count: int) -> Rows:
        """Return the nearest rows of all to each query: (m, count)."""
        best = np.full((len(queries), 0), -1, dtype=np.int64)
        scores = np.zeros((len(queries), 0), dtype=np.float32)
        for start in range(0, len(rows), _CHUNK):
            part = rows[start : start + _CHUNK]
            scores = np.concatenate([scores, queries @ self.exact.gather(part).T], axis=1)
            best = np.concatenate([best, np.broadcast_to(part, (len(queries), len(part)))], axis=1)
            kept = np.argpartition(-scores, min(count, scores.shape[1]) - 1, axis=1)[:, :count]
            best, scores = np.take_along_axis(best, kept, 1), np.take_along_axis(scores, kept, 1)
        return best

    # --- finding

    def similarities(self, query: Vector, rows: Rows) -> Floats:
        return self.exact.similarities(query, rows)

    def gather(self, rows: Rows) -> Floats:
        return self.exact.gather(rows)

    def search(self, query: Vector, top_k: int, rows: Rows) -> tuple[Rows, Floats]:
        if len(rows) <= FEW:
            return self.exact.search(query, top_k, rows)
        with self._mutex:
            if self._open is None:
                return self.exact.search(query, top_k, rows)
            return self._search(self._open, np.asarray(query, dtype=np.float32), top_k, rows)

    def _search(self, opened: _Open, query: Vector, top_k: int, rows: Rows) -> tuple[Rows, Floats]:
        lists = opened.lists
        wanted = _RERANKED * -(-top_k // 10)
        share = len(rows) / max(int(rows[-1]), 1)
        allowed = None if share > _NEARLY_ALL else _bits(rows, len(lists.where))
        # a filter thins the lists out: more of them must be read, yet fewer than in proportion
        count = max(opened.state.lists, -(-2 * top_k // MEAN))
        if allowed is not None:
            count = round(count / math.sqrt(share))
        while True:
            found = self._scanned(opened, query, count, round(wanted / (share if allowed is None else 1)), allowed)
            found = found[_inside(found, rows)]
            enough = top_k if allowed is None else wanted // 2  # or the filter is about something else than the query
            if len(found) >= min(enough, len(rows)) or count >= len(lists):
                break
            count *= 4
        if len(found) < min(top_k, len(rows)):
            return self.exact.search(query, top_k, rows)
        if self._from_disk:
            self.exact.fetch(found)
        return self.exact.search(query, top_k, found)

    def _scanned(
        self, opened: _Open, query: Vector, count: int, wanted: int, allowed: NDArray[np.uint8] | None
    ) -> Rows:
        """Return the rows of the best entries of the nearest ``count`` lists."""
        began = time.perf_counter()
        fetch = opened.mapped.fetch if self._from_disk else None
        found, read = opened.lists.scan(query, count, wanted, allowed, fetch)
        # telling the system what to read takes time, too: only while some of it had to come from the disk
        self._from_disk = _STILL if time.perf_counter() - began > _SLOW_S else max(self._from_disk - 1, 0)
        read *= opened.lists.postings.entry_bytes
        self.bytes_read += read
        self._touched += read
        if opened.mapped.written > self._budget and self._touched > self._budget:
            opened.mapped.let_go()
            self._touched = 0
        return found

    def verify(self) -> list[str]:
        problems = self.exact.verify()
        self.catch_up()
        with self._mutex:
            return problems + (
                [] if self._open is None else _differences(self._open.lists, self.exact, self._current())
            )

    # --- files

    def _load(self, state: _State) -> None:
        try:
            lists, mapped = files.read(self.folder / state.generation, state.rows, state.checksum)
        except (OSError, ValueError):  # not whole: they are derived, so they are made again
            self._forget()
            return
        self._use(_Open(state, lists, mapped))

    def _write_anew(self, opened: _Open, spare: int = 0) -> _Open:
        """Write the lists as they are now, and go on with those. spare: as for ``_written``."""
        return self._point_to(self._written(opened.lists, replace(opened.state, applied=self._applied), spare))

    def _written(self, lists: Lists, state: _State, spare: int = 0) -> _State:
        """Write lists without what is dead, and return what the state is with them.

        spare  the highest row that there must be room for
        """
        alive = np.flatnonzero(lists.heads.vectors.any(axis=1))
        number = np.zeros(len(lists) + 1, dtype=np.int32)
        number[alive + 1] = np.arange(1, len(alive) + 1)
        where = number[lists.where]
        length = max(int(np.flatnonzero(where[:, 0] | where[:, 1]).max(initial=0)), spare) + 1
        where = np.concatenate([where, np.zeros((max(length - len(where), 0), 2), dtype=np.int32)])[:length]
        folder, held = self._new_folder(), lists.sizes()[alive]
        with files.Writer(folder, lists.coder, lists.heads.vectors[alive], lists.heads.cells[alive], held) as writer:
            for new, old in enumerate(alive.tolist()):
                rows, codes = lists.live(old)
                writer.fill(np.full(len(rows), new), rows, codes)
            checksum = writer.finish(where)
        return replace(state, generation=folder.name, rows=length, checksum=checksum)

    def _new_folder(self) -> Path:
        return self.folder / f"lists-{uuid.uuid4().hex[:12]}"

    def _point_to(self, state: _State) -> _Open:
        """Make lists that were written the ones in use, and drop all others."""
        self._let_go()
        self._save(state)
        self._drop_others(state.generation)
        lists, mapped = files.read(self.folder / state.generation, state.rows, state.checksum)
        return self._use(_Open(state, lists, mapped))

    def _save(self, state: _State) -> None:
        partial = self.folder / "lists.json.partial"
        partial.write_text(json.dumps(asdict(state)), "utf-8")
        partial.replace(self.folder / "lists.json")

    def _current_state(self) -> _State | None:
        """Return what the state file says; it is read when it has changed."""
        try:
            stat = (self.folder / "lists.json").stat()
            seen = (stat.st_mtime_ns, stat.st_ino)
        except OSError:
            return None
        if self._open is None or seen != self._seen:
            self._seen = seen
            return self._read_state()
        return self._open.state

    def _read_state(self) -> _State | None:
        try:
            state = _State(**json.loads((self.folder / "lists.json").read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        there = state.format == 1 and (self.folder / state.generation).is_dir()
        return state if there and state.applied <= self.store.sequence() else None

    def _use(self, opened: _Open) -> _Open:
        self._open, self._applied = opened, opened.state.applied
        self.exact.here_and_there(True)
        return opened

    def _let_go(self) -> None:
        if self._open is not None:
            self._open.lists.close()
            self._open.mapped.close()
            self._open = None
            self.exact.here_and_there(False)

    def _forget(self) -> None:
        self._let_go()
        (self.folder / "lists.json").unlink(missing_ok=True)
        self._drop_others("")

    def _drop_strays(self) -> None:
        """Remove lists that a killed process has half written, or what is erased from now on would stay in them."""
        if len(list(self.folder.glob("lists-*"))) > (self._open is not None):
            with self.exact.locked():  # nobody is writing any
                state = self._read_state()
                self._drop_others("" if state is None else state.generation)

    def _drop_others(self, kept: str) -> None:
        for folder in self.folder.glob("lists-*"):
            if folder.name != kept:
                shutil.rmtree(folder, ignore_errors=True)


def _bits(rows: Rows, length: int) -> NDArray[np.uint8]:
    """Return a bit per row below ``length``, set for those of ``rows``."""
    mask = np.zeros(length, dtype=bool)
    mask[rows[: np.searchsorted(rows, length)]] = True
    return np.packbits(mask, bitorder="little")


def _inside(found: Rows, rows: Rows) -> NDArray[np.bool_]:
    """Return which of ``found`` are among ``rows``; both ascending."""
    places = np.minimum(np.searchsorted(rows, found), len(rows) - 1)
    return np.asarray(rows[places] == found)


def _differences(lists: Lists, exact: ExactIndex, wanted: Rows) -> list[str]:
    """Return where lists do not hold what they should: which rows, and their codes."""
    problems, seen, wrong = [], np.zeros(len(lists.where), dtype=bool), 0
    for number in range(len(lists)):
        rows, codes = lists.live(number)
        inside = rows < len(lists.where)
        known = inside & (lists.where[np.where(inside, rows, 0)] == number + 1).any(axis=1)
        expected = lists.coder.encode_short(lists.coder.shorten(exact.gather(rows)))
        close = (np.abs(codes.astype(np.int16) - expected) <= 1).all(axis=1)
        wrong += int((~(known & close)).sum())
        seen[rows[known & close]] = True
    listed = np.flatnonzero(seen)
    missing, extra = len(np.setdiff1d(wanted, listed)), len(np.setdiff1d(listed, wanted))
    if wrong or missing or extra:
        problems.append(
            f"the lists miss {missing} vectors, hold {extra} too many and {wrong} that are damaged"
            " (run: anamnos rebuild-index)"
        )
    return problems
