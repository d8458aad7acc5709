"""A vector index that a server holds: what it must have applied, and how it is asked, whatever the server.

The server holds one entry per row of the store that has a vector other than zero: the row, the vector in the server's
own precision, and the *space*, a number that stands for the tenant and user of the row. Beside them stands the *mark*:
the last change of the store that was applied. All cosines that are given out are computed from the store's float32
vectors; the server only proposes rows, so one that was erased or never asked for is never given out.
"""

from __future__ import annotations

import hashlib
import re
import threading
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anamnos.cube import Scope
from anamnos.errors import InvalidInput
from anamnos.store.base import EmbedderInfo, Rows, Store
from anamnos.types import Change, Vector

_READ_CHANGES = 2_048  # applied at a time, which bounds the memory: at 1,536 numbers a vector, 12 MB
_READ_ROWS = 8_192  # vectors read from the store at a time
_FETCH = (4, 64)  # rows asked of the server per row wanted, at first and when too few of them were asked for
_FETCH_LEAST = 100  # and at least so many: what the search in a graph looks at
_FETCH_MOST = 4_096
_VERIFY_ROWS = 2_048
_VERIFY_SAMPLE = 8  # vectors compared per that many rows
_HALF = 2e-3  # of unit vectors, no number is further than this from its half-precision neighbour

Spaces = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Mark:
    """How far the server has come.

    seq     the last change that was applied; 0: none
    anchor  what that change was, which tells one store's history from another's
    erased  rows deleted since the server was last swept
    """

    seq: int = 0
    anchor: str = ""
    erased: int = 0


class EngineIndex(ABC):
    """What every index on a server does alike. Raises: StoreError from every verb while the server cannot be asked.

    store  where the vectors come from
    info   which embedder's vectors
    """

    scans = 1_000.0  # measured: reading so many vectors from the store takes as long as a search in the server
    few = 0  # up to so many rows, comparing just those in the server is as fast as its graph

    def __init__(self, store: Store, info: EmbedderInfo) -> None:
        self.store = store
        self.info = info
        tenant = getattr(store, "tenant", None)  # of a store that shows the changes of one tenant only
        self._family = f"anamnos_{_hash(vault_id(store), *([tenant] if tenant else [])):x}_"
        self.name = f"{self._family}{_hash(info.id, str(info.dim)):x}"  # of the table or collection
        self._mutex = threading.RLock()
        self._applied = -1  # not looked yet
        self._spaces: Spaces = np.zeros(0, dtype=np.int64)  # row -> space; 0: not known, -1: has no vector

    # --- what a server must be able to do

    @abstractmethod
    def _alone(self) -> AbstractContextManager[None]:
        """Keep other processes from applying changes, where the server can."""

    @abstractmethod
    def _read_mark(self) -> Mark | None:
        """Return the mark, or None if there is no table of this name, or not a whole one."""

    @abstractmethod
    def _make(self) -> None:
        """Drop the table and make an empty one, with an empty mark."""

    @abstractmethod
    def _apply(self, rows: Rows, spaces: Spaces, vectors: NDArray[np.float32], gone: Rows, mark: Mark) -> None:
        """Put rows in place of those of the same number, delete those that are ``gone``, then write the mark."""

    @abstractmethod
    def _nearest(self, query: Vector, limit: int, spaces: Spaces) -> Rows:
        """Return about the ``limit`` nearest rows of some spaces, best first."""

    def _nearest_among(self, query: Vector, limit: int, rows: Rows) -> Rows:
        """Return the ``limit`` nearest of ``rows``, best first, as good as exactly; here without the server's help."""
        return self._best(query, limit, rows, self.similarities(query, rows))[0]

    @abstractmethod
    def _held(self, first: int, last: int) -> Rows:
        """Return which rows from ``first`` to ``last`` there are, ascending; at most 2,048 are asked for."""

    @abstractmethod
    def _spaces_held(self, rows: Rows) -> tuple[Rows, Spaces]:
        """Return those of ``rows`` that there are, and their spaces."""

    @abstractmethod
    def _vectors_held(self, rows: Rows) -> dict[int, Vector]:
        """Return row -> vector of a few rows that there are."""

    @abstractmethod
    def _names(self) -> list[str]:
        """Return the names of all tables of any index."""

    @abstractmethod
    def _drop(self, name: str) -> None:
        """Remove one of them for good."""

    @abstractmethod
    def maintain(self) -> bool:
        """Build what searching is faster with, and sweep what was erased; return whether there was any."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the connections."""

    # --- keeping up with the store

    def catch_up(self) -> int:
        newest = self.store.sequence()
        if newest == self._applied:
            return newest
        with self._mutex:
            if self.store.sequence() != self._applied:  # else another thread has come here first
                self._follow(anew=False)
        return self._applied

    def rebuild(self) -> None:
        with self._mutex:
            self._follow(anew=True)

    def _follow(self, anew: bool) -> None:
        """Apply all that the server has not applied, to an empty table if need be or if ``anew``."""
        with self._alone():
            mark = None if anew else self._read_mark()
            if mark is None or not self._is_of_this_store(mark):
                self._make()
                mark, anew = Mark(), True
            # From here on by our own count: where the server has no lock, what another process applies at the same
            # time is applied once more behind what we write, so that no deletion is undone.
            while changes := self.store.changes(mark.seq, limit=_READ_CHANGES):
                mark = self._follow_some(changes, mark, anew)
            self._applied = mark.seq
        if anew:
            self.maintain()

    def drop_others(self) -> None:
        """Remove what the server still holds of this vault's other embedders: erasing does not reach there."""
        with self._mutex, self._alone():
            for name in self._names():
                if name.startswith(self._family) and name != self.name:
                    self._drop(name)

    def _follow_some(self, changes: Sequence[Change], mark: Mark, anew: bool) -> Mark:
        """Apply changes, and return the new mark; what was erased was never in a table made ``anew``."""
        cube_ids = {change.row: change.cube_id for change in changes if change.kind != "retired"}
        touched = np.array(sorted(cube_ids), dtype=np.int64)
        vectors = self.store.vectors(touched, self.info)
        there = vectors.any(axis=1)  # zeros: erased, or without a direction, which no server can index
        rows, gone = touched[there], touched[~there]
        space_of = {cube.id: space_number(cube.scope) for cube in self.store.at(rows.tolist())}
        # a row that was erased since it was read has no space any more; its own change is yet to come
        spaces = np.array([space_of.get(cube_ids[row], -1) for row in rows.tolist()], dtype=np.int64)
        last = changes[-1]
        erased = 0 if anew else mark.erased + sum(change.kind == "erased" for change in changes)
        new = Mark(last.seq, _anchor(last), erased)
        known = spaces != -1
        self._apply(rows[known], spaces[known], vectors[there][known], np.sort(np.r_[gone, rows[~known]]), new)
        self._remember(touched, np.full(len(touched), -1))
        self._remember(rows, spaces)
        return new

    def _is_of_this_store(self, mark: Mark) -> bool:
        """Return whether the store has the change that was applied last: not so for an older or another one."""
        if mark.seq == 0:
            return True
        found = self.store.changes(mark.seq - 1, limit=1)
        return bool(found) and found[0].seq == mark.seq and _anchor(found[0]) == mark.anchor

    def _be_there(self) -> None:
        """Catch up if another process has made the table anew and not come as far as this one knew it."""
        mark = self._read_mark()
        if mark is None or mark.seq < self._applied:
            self._applied = -1
            self.catch_up()

    # --- reading

    def similarities(self, query: Vector, rows: Rows) -> NDArray[np.float32]:
        query = self._checked(query)
        out = np.zeros(len(rows), dtype=np.float32)
        for start in range(0, len(rows), _READ_ROWS):
            part = rows[start : start + _READ_ROWS]
            out[start : start + len(part)] = self.store.vectors(part, self.info) @ query
        return out

    def gather(self, rows: Rows) -> NDArray[np.float32]:
        return self.store.vectors(rows, self.info)

    def search(self, query: Vector, top_k: int, rows: Rows) -> tuple[Rows, NDArray[np.float32]]:
        query = self._checked(query)
        if len(rows) <= max(self.scans, top_k):
            return self._best(query, top_k, rows, self.similarities(query, rows))
        if not query.any():  # as near to all
            return rows[:top_k], np.zeros(min(top_k, len(rows)), dtype=np.float32)
        self._be_there()
        found: Rows = np.empty(0, dtype=np.int64)
        if len(rows) > self.few:
            spaces = self._spaces_of(rows)
            for factor in _FETCH:
                limit = min(max(factor * top_k, _FETCH_LEAST), _FETCH_MOST)
                near = self._nearest(query, limit, spaces)
                found = near[_are_in(near, rows)]
                if len(found) >= top_k or len(near) < limit:
                    break
        if len(found) < top_k:  # few of the spaces' rows were asked for
            found = self._nearest_among(query, min(_FETCH[0] * top_k, _FETCH_MOST), rows)
        best, scores = self._reranked(query, top_k, found[: _FETCH[0] * top_k], rows)
        if len(best) < top_k:  # most have no vector
            return self._best(query, top_k, rows, self.similarities(query, rows))
        return best, scores

    def _reranked(self, query: Vector, top_k: int, found: Rows, rows: Rows) -> tuple[Rows, NDArray[np.float32]]:
        """Return the best of what the server proposed, by the store's own vectors."""
        found = np.unique(found)
        found = found[_are_in(found, rows)]
        vectors = self.store.vectors(found, self.info)
        there = vectors.any(axis=1)  # erased a moment ago
        return self._best(query, top_k, found[there], vectors[there] @ query)

    @staticmethod
    def _best(query: Vector, top_k: int, rows: Rows, scores: NDArray[np.float32]) -> tuple[Rows, NDArray[np.float32]]:
        best = np.argsort(-scores, kind="stable")[:top_k]
        return rows[best], scores[best]

    def _checked(self, query: Vector) -> Vector:
        query = np.ascontiguousarray(query, dtype=np.float32)
        if query.shape != (self.info.dim,) or not np.isfinite(query).all():
            raise InvalidInput(
                f"The query must be {self.info.dim} finite numbers; got an array of shape {query.shape}"
                f"{'' if np.isfinite(query).all() else ' with NaN or infinity in it'}.",
                hint=f"Embed it with {self.info.id}, whose vectors the index holds.",
            )
        return query

    # --- the spaces of rows

    def _spaces_of(self, rows: Rows) -> Spaces:
        """Return the spaces in which ``rows`` are, each once."""
        with self._mutex:
            self._remember(rows[-1:], self._known(rows[-1:]))  # makes room
            unknown = rows[self._known(rows) == 0]
            if len(unknown):
                self._remember(unknown, np.full(len(unknown), -1))
                self._remember(*self._spaces_held(unknown))
            known = self._known(rows)
        if (known == known[0]).all():  # nearly always: recall asks in one scope
            return known[:1]
        return np.unique(known[known != -1])

    def _known(self, rows: Rows) -> Spaces:
        out = np.zeros(len(rows), dtype=np.int64)
        inside = rows < len(self._spaces)
        out[inside] = self._spaces[rows[inside]]
        return out

    def _remember(self, rows: Rows, spaces: Spaces) -> None:
        if len(rows) and (last := int(rows.max())) >= len(self._spaces):
            larger = np.zeros(1 << max(14, (last + 1).bit_length()), dtype=np.int64)
            larger[: len(self._spaces)] = self._spaces
            self._spaces = larger
        self._spaces[rows] = spaces

    # --- checking

    def verify(self) -> list[str]:
        problems: list[str] = []
        self.catch_up()
        self._be_there()
        end, last = 0, 0
        while changes := self.store.changes(last):
            end, last = max(end, 1 + max(change.row for change in changes)), changes[-1].seq
        for start in range(1, end, _VERIFY_ROWS):
            rows = np.arange(start, min(start + _VERIFY_ROWS, end), dtype=np.int64)
            vectors = self.store.vectors(rows, self.info)
            wanted = rows[vectors.any(axis=1)]
            held = self._held(int(rows[0]), int(rows[-1]))
            for text, which in (("lacks", np.setdiff1d(wanted, held)), ("has too many", np.setdiff1d(held, wanted))):
                if len(which):
                    problems.append(
                        f"of rows {rows[0]} to {rows[-1]}, the engine {text}: {len(which)}, the first {which[0]}"
                        " (run: anamnos rebuild-index)"
                    )
            both = np.intersect1d(wanted, held)
            sample = both[:: max(1, len(both) // _VERIFY_SAMPLE)]
            for row, vector in self._vectors_held(sample).items():
                if not np.allclose(vector, vectors[row - start], atol=_HALF):
                    problems.append(f"the engine's vector of row {row} differs (run: anamnos rebuild-index)")
        return problems


def vault_id(store: Store) -> str:
    """Return the random id of what the store holds, made now if it has none."""
    known = store.setting("vault")
    if known is None:
        with store.write() as tx:
            known = tx.setting("vault")
            if known is None:
                tx.set_setting("vault", known := uuid.uuid4().hex)
    return known


def space_number(scope: Scope) -> int:
    """Return the number of a scope's tenant and user, in 1 … 2^63 - 1: the same on every machine."""
    return _hash(scope.tenant, *([] if scope.user is None else [scope.user])) >> 1 or 1


def readable(url: str) -> str:
    """Return an address without its password and token, for messages.

    >>> readable("postgresql://ann:secret@db/memory?password=x&host=h")
    'postgresql://ann@db/memory?host=h'
    """
    url = re.sub(r"(//[^:/@]*):[^@/]*@", r"\1@", url)
    return re.sub(r"(?<=[?&])(?:password|token)=[^&]*&?", "", url).rstrip("?&")


def _hash(*parts: str) -> int:
    """Return 64 bits that stand for some texts."""
    told = "\0".join(parts).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(told, digest_size=8).digest(), "big")


def _anchor(change: Change) -> str:
    return f"{change.kind} {change.row} {change.cube_id}"


def _are_in(rows: Rows, among: Rows) -> NDArray[np.bool_]:
    """Return which of ``rows`` are in ascending ``among``."""
    if not len(among):
        return np.zeros(len(rows), dtype=bool)
    places = np.minimum(np.searchsorted(among, rows), len(among) - 1)
    return np.asarray(among[places] == rows)


def as_rows(rows: Iterable[int]) -> Rows:
    """Return rows as an array."""
    return np.fromiter(rows, dtype=np.int64)
