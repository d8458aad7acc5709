"""One user's memories laid out for recall: who said what, when, next to what, in which words.

A ``SpaceIndex`` holds one entry ("document") per current text cube of one tenant and user, in arrays. It is derived
from the store's outline, follows its feed of changes, and is small: about 200 bytes a memory.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from anamnos.cube import CubeId, Scope
from anamnos.index.base import VectorIndex
from anamnos.index.terms import CHAT_ROLES, FIRST_WORD_TERM, Mark
from anamnos.store.base import Outline, Rows, Store

Docs = NDArray[np.intp]
Postings = tuple[NDArray[np.int32], NDArray[np.float32]]
_FEW = 64  # so many new memories are linked to their neighbours one by one
_CHUNK = 4_096
REACH = 4  # how far a word is heard: so many turns before and after its own


@dataclass(frozen=True, slots=True)
class Sizes:
    """How long the documents of one grain are.

    length  (n,) float32: terms per document
    count   how many documents there are
    mean    of their lengths, > 0
    """

    length: NDArray[np.float32]
    count: int
    mean: float


class SpaceIndex:
    """The documents of one tenant and user.

    scope       any scope of the space; its agent and session play no part
    all_states  whether archived, merged and expired memories are in it too
    as_of       instead of the current versions, those that held at that moment
    derived     False: only what was said; True: only what was derived from it; None: both

    Arrays have one entry per document, in the order of the store's rows:
    rows          of the store
    alive         False once erased or superseded
    group         number of the session that it belongs to; a memory without a session is its own group
    before, after the neighbours in the session, in order of time; -1 at its ends
    length        number of index terms
    created       when it was said: microseconds since 1970, the least int64 where unknown
    actor         number of who said it, -1 for nobody; ``actors`` has the names
    """

    def __init__(
        self,
        store: Store,
        scope: Scope,
        *,
        all_states: bool = False,
        as_of: datetime | None = None,
        derived: bool | None = False,
    ) -> None:
        self.store = store
        self.scope = scope
        self.all_states = all_states
        self.as_of = as_of
        self.derived = derived
        self.lock = threading.RLock()
        self.actors: list[str] = []
        self._applied = 0
        self._sizes: dict[str, Sizes] = {}  # of all that is alive, until something changes
        self._marks: dict[Mark, NDArray[np.float32]] = {}
        self._load()

    def __len__(self) -> int:
        return len(self.rows)

    # --- following the store

    def catch_up(self) -> None:
        """Apply what changed in the store since last time."""
        with self.lock:
            newest = self.store.sequence()
            if newest == self._applied:
                return
            if self.as_of is not None:
                self._load()  # a past version stays one when it is retired, and goes when it is erased
                return
            written: set[int] = set()
            gone: set[int] = set()
            while changes := self.store.changes(self._applied):
                for change in changes:
                    (written if change.kind == "written" else gone).add(change.row)
                self._applied = changes[-1].seq
            self._remove(np.array(sorted(gone), dtype=np.int64))
            if written := written - gone:
                rows = np.array(sorted(written), dtype=np.int64)
                self._append(
                    self.store.outline(self.scope, rows=rows, all_states=self.all_states, derived=self.derived)
                )
            if 8 * int(np.count_nonzero(~self.alive)) > max(len(self), 1_000):
                self._load()

    def _load(self) -> None:
        self._sizes, self._marks = {}, {}
        self._applied = self.store.sequence()  # before the outline: what is written between is applied twice at most
        self.rows: Rows = np.empty(0, dtype=np.int64)
        self.alive = np.empty(0, dtype=bool)
        self.group = np.empty(0, dtype=np.int32)
        self.before = np.empty(0, dtype=np.int32)
        self.after = np.empty(0, dtype=np.int32)
        self.length = np.empty(0, dtype=np.float32)
        self.actor = np.empty(0, dtype=np.int32)
        self.scopes = np.empty(0, dtype=np.int64)
        self.names: dict[int, Scope] = {}
        self._number_of_scope: dict[Scope, int] = {}
        self.groups = 0
        self._order = np.empty((0, 2), dtype=np.uint64)
        self.created = np.empty(0, dtype=np.int64)
        self._window_norm = np.empty(0, dtype=np.float32)  # 0: not computed yet
        self._group_of_scope: dict[int, int] = {}
        self._last_of_group: dict[int, int] = {}
        self._number_of_actor: dict[str, int] = {name: i for i, name in enumerate(self.actors)}
        self._terms = np.empty(0, dtype=np.uint32)  # sorted, distinct
        self._starts = np.zeros(1, dtype=np.int64)  # of each term's postings; one more than terms
        self._docs = np.empty(0, dtype=np.int32)
        self._counts = np.empty(0, dtype=np.float32)
        self._recent: dict[int, list[tuple[int, float]]] = defaultdict(list)  # postings since the arrays were made
        self._recent_size = 0
        self._append(self.store.outline(self.scope, all_states=self.all_states, as_of=self.as_of, derived=self.derived))

    def _append(self, new: Outline) -> None:
        keep = np.flatnonzero(new.rows > self.rows[-1]) if len(self) else np.arange(len(new.rows))
        if len(keep) < len(new.rows):  # the others were written between reading the sequence and the outline
            new = Outline(
                new.rows[keep],
                new.order[keep],
                new.created[keep],
                new.scopes[keep],
                new.names,
                [new.actors[i] for i in keep.tolist()],
                [new.terms[i] for i in keep.tolist()],
            )
        first, count = len(self), len(new.rows)
        if not count:
            return
        self._sizes, self._marks = {}, {}
        terms = [np.frombuffer(data, dtype="<u4") for data in new.terms]
        lengths = np.array([np.count_nonzero(t >= FIRST_WORD_TERM) for t in terms], dtype=np.float32)
        own = {number: self._scope_number(name) for number, name in new.names.items()}
        new_scopes = np.array([own[number] for number in new.scopes.tolist()], dtype=np.int64)
        self.rows = np.concatenate([self.rows, new.rows])
        self.alive = np.concatenate([self.alive, np.ones(count, dtype=bool)])
        self.length = np.concatenate([self.length, lengths])
        self.scopes = np.concatenate([self.scopes, new_scopes])
        self.actor = np.concatenate([self.actor, self._actor_numbers(new)])
        self.group = np.concatenate([self.group, self._group_numbers(new_scopes)])
        self._order = np.concatenate([self._order, new.order])
        self.created = np.concatenate([self.created, new.created])
        blank = np.full(count, -1, dtype=np.int32)
        self.before = np.concatenate([self.before, blank])
        self.after = np.concatenate([self.after, blank])
        self._window_norm = np.concatenate([self._window_norm, np.zeros(count, dtype=np.float32)])
        self._index_terms(first, terms)
        self._link_neighbours(first)

    def _remove(self, rows: Rows) -> None:
        docs = self.docs_of(rows)
        docs = docs[self.alive[docs]]
        if len(docs):
            self._sizes, self._marks = {}, {}
        self.alive[docs] = False
        for doc in docs.tolist():
            self._unlink(doc)

    def _unlink(self, doc: int) -> None:
        """Make the neighbours of a document each other's."""
        before, after = int(self.before[doc]), int(self.after[doc])
        if before >= 0:
            self.after[before] = after
        if after >= 0:
            self.before[after] = before
        elif before >= 0:
            self._last_of_group[int(self.group[doc])] = before
        else:
            self._last_of_group.pop(int(self.group[doc]), None)
        for neighbour in (before, after):
            if neighbour >= 0:
                self._window_norm[neighbour] = 0
        self.before[doc] = self.after[doc] = -1

    def docs_of(self, rows: Rows) -> Docs:
        """Return the documents of those ``rows`` that are here."""
        places = np.searchsorted(self.rows, rows)
        places = places[places < len(self.rows)] if len(self.rows) else places[:0]
        return places[np.isin(self.rows[places], rows)]

    def doc_of(self, cube_id: CubeId) -> int | None:
        """Return the living document of a cube, if it is here."""
        number = int(cube_id.replace("-", ""), 16)
        high, low = np.uint64(number >> 64), np.uint64(number & (1 << 64) - 1)
        found = np.flatnonzero((self._order[:, 0] == high) & (self._order[:, 1] == low) & self.alive)
        return int(found[-1]) if len(found) else None

    def _actor_numbers(self, new: Outline) -> NDArray[np.int32]:
        numbers = []
        for name in new.actors:
            if name is not None and name not in self._number_of_actor:
                self._number_of_actor[name] = len(self.actors)
                self.actors.append(name)
            numbers.append(-1 if name is None else self._number_of_actor[name])
        return np.array(numbers, dtype=np.int32)

    def _scope_number(self, scope: Scope) -> int:
        """Return our own number of a scope: the store may give its number to another once a scope is empty."""
        number = self._number_of_scope.setdefault(scope, len(self._number_of_scope))
        self.names[number] = scope
        return number

    def _group_numbers(self, scopes: NDArray[np.int64]) -> NDArray[np.int32]:
        numbers = []
        for scope in scopes.tolist():
            number = self._group_of_scope.get(scope)
            if number is None:
                number = self.groups
                self.groups += 1
                if self.names[scope].session is not None:
                    self._group_of_scope[scope] = number
            numbers.append(number)
        return np.array(numbers, dtype=np.int32)

    # --- neighbours

    def _link_neighbours(self, first: int) -> None:
        """Find the neighbours of the documents from ``first`` on: one by one where they come last, else all anew."""
        if len(self) - first > _FEW:
            self._link_all()
            return
        for doc in range(first, len(self)):
            group = int(self.group[doc])
            last = self._last_of_group.get(group)
            if last is not None:
                if self._sort_key(doc) < self._sort_key(last):
                    self._link_all()
                    return
                self.before[doc], self.after[last] = last, doc
                self._window_norm[last] = 0
            self._last_of_group[group] = doc

    def _sort_key(self, doc: int) -> tuple[int, int, int]:
        return int(self.created[doc]), int(self._order[doc, 0]), int(self._order[doc, 1])

    def _link_all(self) -> None:
        docs = np.flatnonzero(self.alive)
        keys = (self._order[docs, 1], self._order[docs, 0], self.created[docs], self.group[docs])
        docs = docs[np.lexsort(keys)].astype(np.int32)
        groups = self.group[docs]
        together = groups[1:] == groups[:-1]
        before, after = np.full((2, len(self)), -1, dtype=np.int32)
        before[docs[1:][together]] = docs[:-1][together]
        after[docs[:-1][together]] = docs[1:][together]
        self._window_norm[(before != self.before) | (after != self.after)] = 0
        self.before, self.after = before, after
        ends = docs[np.append(~together, True)] if len(docs) else docs
        self._last_of_group = dict(zip(self.group[ends].tolist(), ends.tolist(), strict=True))

    def window_norm(self, vectors: VectorIndex, docs: Docs) -> NDArray[np.float32]:
        """Return |e(t) + e(t-1)/2 + e(t+1)/2| per document, over its neighbours: (n,) float32, never 0.

        docs  for which it is wanted, ascending; those of others that are not known have the mean of the known
        """
        stale = docs[(self._window_norm[docs] == 0) & self.alive[docs]]
        for start in range(0, len(stale), _CHUNK):
            part = stale[start : start + _CHUNK]
            total = self._gather(vectors, part)
            for neighbours in (self.before[part], self.after[part]):
                total += 0.5 * self._gather(vectors, neighbours)
            self._window_norm[part] = np.maximum(np.linalg.norm(total, axis=1), 1e-6)
        known = self._window_norm > 0
        usual = self._window_norm[known].mean() if known.any() else 1.0
        return np.where(known, self._window_norm, np.float32(usual))

    def _gather(self, vectors: VectorIndex, docs: NDArray[np.integer]) -> NDArray[np.float32]:
        """Return the vectors of documents, zeros for -1."""
        there = docs >= 0
        rows, places = np.unique(self.rows[docs[there]], return_inverse=True)
        found = vectors.gather(rows)[places]
        if there.all():
            return found
        out = np.zeros((len(docs), found.shape[1]), dtype=np.float32)
        out[there] = found
        return out

    # --- words

    def _index_terms(self, first: int, terms: list[NDArray[np.uint32]]) -> None:
        size = sum(map(len, terms))
        if self._recent_size + size <= max(4_096, len(self._docs) // 8):
            for doc, of_doc in enumerate(terms, start=first):
                for term, count in zip(*np.unique(of_doc, return_counts=True), strict=True):
                    self._recent[int(term)].append((doc, float(count)))
            self._recent_size += size
            return
        # one key per (term, document): sorting them makes the postings, in order of documents
        docs = np.repeat(np.arange(first, first + len(terms), dtype=np.uint64), [len(t) for t in terms])
        keys = np.concatenate(terms).astype(np.uint64) << np.uint64(32) | docs
        pairs, counts = np.unique(keys, return_counts=True)
        older = [(t, d, c) for t, found in self._recent.items() for d, c in found]
        old_terms = np.repeat(self._terms, np.diff(self._starts)).astype(np.uint64)
        all_keys = np.concatenate(
            [
                old_terms << np.uint64(32) | self._docs.astype(np.uint64),
                np.array([t << 32 | d for t, d, _ in older], dtype=np.uint64),
                pairs,
            ]
        )
        all_counts = np.concatenate([self._counts, np.array([c for _, _, c in older]), counts]).astype(np.float32)
        order = np.argsort(all_keys, kind="stable")
        sorted_keys = all_keys[order]
        self._docs = (sorted_keys & np.uint64(0xFFFFFFFF)).astype(np.int32)
        self._counts = all_counts[order]
        self._terms, starts = np.unique((sorted_keys >> np.uint64(32)).astype(np.uint32), return_index=True)
        self._starts = np.append(starts, len(sorted_keys)).astype(np.int64)
        self._recent = defaultdict(list)
        self._recent_size = 0

    def postings(self, term: int) -> Postings:
        """Return the living documents that hold ``term``, ascending, and how often: (k,) int32, (k,) float32."""
        place = int(np.searchsorted(self._terms, np.uint32(term)))
        docs, counts = self._docs[:0], self._counts[:0]
        if place < len(self._terms) and self._terms[place] == term:
            found = slice(self._starts[place], self._starts[place + 1])
            docs, counts = self._docs[found], self._counts[found]
        if recent := self._recent.get(term):
            docs = np.append(docs, np.array([doc for doc, _ in recent], dtype=np.int32))
            counts = np.append(counts, np.array([count for _, count in recent], dtype=np.float32))
        living = self.alive[docs]
        return docs[living], counts[living]

    def mark(self, mark: Mark) -> NDArray[np.float32]:
        """Return how often each document has a mark: (n,) float32."""
        if mark not in self._marks:
            found = np.zeros(len(self), dtype=np.float32)
            docs, counts = self.postings(mark)
            found[docs] = counts
            self._marks[mark] = found
        return self._marks[mark]

    def sizes(self, grain: str, mask: NDArray[np.bool_]) -> Sizes:
        """Return the sizes of the documents of a grain inside ``mask``: (n,) bool.

        grain  turn; window: with both neighbours; spread: with those up to ``REACH`` away, ever lighter; session
        """
        whole = np.array_equal(mask, self.alive)
        if whole and grain in self._sizes:
            return self._sizes[grain]
        turn = np.where(mask, self.length, np.float32(0))
        of = int(np.count_nonzero(mask))
        if grain == "session":
            length = np.bincount(self.group, weights=turn, minlength=self.groups).astype(np.float32)
            of = int(np.count_nonzero(np.bincount(self.group[mask], minlength=self.groups)))
        elif grain == "turn":
            length = turn
        else:
            docs, weights = self.around(np.arange(len(self)), turn, grain)
            length = np.bincount(docs, weights=weights, minlength=len(self)).astype(np.float32)
            length[~mask] = 0
        sizes = Sizes(length, of, max(float(length.sum(dtype=np.float64)) / max(of, 1), 1e-9))
        if whole:
            self._sizes[grain] = sizes
        return sizes

    def around(
        self, docs: NDArray[np.integer], weights: NDArray[np.float32], grain: str
    ) -> tuple[NDArray[np.integer], NDArray[np.float32]]:
        """Return ``docs`` and the documents around them in their sessions, with the weight that each passes on.

        window  the two neighbours, with the full weight
        spread  up to ``REACH`` on either side: to those after it, which may answer it, 0.6 of the weight per step;
                to those before it 0.4
        """
        reach, ahead, back = (1, 1.0, 1.0) if grain == "window" else (REACH, 0.6, 0.4)
        found, passed = [docs], [weights]
        for neighbour, factor in ((self.after, ahead), (self.before, back)):
            place, weight = docs, weights
            for _ in range(reach):
                place = neighbour[place]
                there = place >= 0
                place, weight = place[there], weight[there] * np.float32(factor)
                found.append(place)
                passed.append(weight)
        return np.concatenate(found), np.concatenate(passed)

    # --- views

    def in_scope(self, scope: Scope) -> NDArray[np.bool_]:
        """Return which documents are alive and covered by ``scope``: (n,) bool."""
        if scope.agent is None and scope.session is None:
            return self.alive.copy()
        covered = [number for number, name in self.names.items() if scope.covers(name)]
        return self.alive & np.isin(self.scopes, covered)

    def participants(self, scope: Scope) -> list[str]:
        """Return the names of those who speak in ``scope``, chat roles such as "user" left out."""
        spoken = np.bincount(self.actor[self.in_scope(scope)] + 1, minlength=len(self.actors) + 1)[1:]
        return [name for name, n in zip(self.actors, spoken, strict=True) if n and name.casefold() not in CHAT_ROLES]

    def actor_number(self, name: str) -> int:
        """Return the number of an actor's name."""
        return self._number_of_actor[name]
