"""Working memory: the few memories that the present conversation is about, kept by replacement as cues come.

The policy is pure: the same cues on the same memories give the same working memory. A cue is answered from what is
there already if it is near to it and names nobody new; else the cue and its clauses are searched, what they find takes
the places, and of the rest only the best stay. Source: MemScheduler's monitors, arXiv 2507.03724.
"""

from __future__ import annotations

import logging
import math
import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from anamnos.cube import CubeId, MemCube, Scope
from anamnos.embed.base import Embedder
from anamnos.errors import AnamnosError, InvalidInput
from anamnos.index.cache import Cache
from anamnos.index.terms import FIRST_WORD_TERM, TermReader, searchable_text
from anamnos.store.base import EmbedderInfo, Store
from anamnos.store.working import Kept
from anamnos.types import SEARCHED_STATES

log = logging.getLogger(__name__)

Terms = NDArray[np.uint32]
Found = Callable[[str, int], Sequence[CubeId]]
"""Searches: (cue, how many) -> ids, best first."""

_CLAUSE = re.compile(r"[,;:.!?]*\s+(?:and|or|but|because|while|then)\s+|[,;:.!?]+\s+", re.IGNORECASE)
_FEW_WORDS = 3  # a clause of fewer says too little to be searched
_IN_RAM = 1_000  # scopes


@dataclass(frozen=True, slots=True)
class WorkingRules:
    """What the policy goes by; defaults are the source's.

    capacity    how many memories a working memory holds
    covered     a cue whose best cosine to them is below this needs a search
    near        TF-IDF cosine from which of two memories only the first is kept
    kept        so many of what was not found again stay, the most important ones
    weights     of sorting, keyword hits and recordings in the importance; they sum to 1
    """

    capacity: int = 20
    covered: float = 0.55
    near: float = 0.75
    kept: int = 2
    weights: tuple[float, float, float] = (0.9, 0.05, 0.05)

    def __post_init__(self) -> None:
        if not math.isclose(sum(self.weights), 1.0, abs_tol=1e-9) or min(self.weights) < 0:
            raise InvalidInput(f"The weights of working memory must be >= 0 and sum to 1, got {self.weights}.")
        if self.capacity < 1 or self.kept < 0:
            raise InvalidInput("A working memory must hold at least one memory.")


RULES = WorkingRules()


def importance(item: Kept, rules: WorkingRules = RULES) -> float:
    """Return .9 · sorting + .05 · min(.05 · keyword hits, 5) + .05 · min(.05 · recordings, 2), with these weights."""
    sorting, hits, recordings = rules.weights
    return (
        sorting * item.sorting + hits * min(0.05 * item.keyword_hits, 5) + recordings * min(0.05 * item.recordings, 2)
    )


def missing(
    cue: str, entities: Sequence[str], cosines: Sequence[float], texts: Sequence[str], rules: WorkingRules = RULES
) -> tuple[str, ...]:
    """Return what must be searched for a cue: nothing if working memory covers it, else the cue and its clauses.

    cosines, texts  of the memories that are in it
    """
    heard = [text.casefold() for text in texts]
    named = all(any(name.casefold() in text for text in heard) for name in entities)
    if named and max(cosines, default=-1.0) >= rules.covered:
        return ()
    clauses = [part.strip() for part in _CLAUSE.split(cue)]
    return tuple(dict.fromkeys([cue, *(part for part in clauses if len(part.split()) >= _FEW_WORDS)]))


def noticed(items: Sequence[Kept], cue: Terms, terms: Mapping[CubeId, Terms]) -> tuple[Kept, ...]:
    """Return working memory after a cue that it covers: those that share words with it have one hit more."""
    return tuple(
        replace(item, keyword_hits=item.keyword_hits + 1) if np.isin(cue, terms[item.id]).any() else item
        for item in items
    )


def replaced(
    items: Sequence[Kept],
    runs: Sequence[Sequence[CubeId]],
    terms: Mapping[CubeId, Terms],
    rules: WorkingRules = RULES,
) -> tuple[Kept, ...]:
    """Return working memory after searches: what they found, and the best of what was there, without near-duplicates.

    runs   what each search found, best first; those of whose terms nothing is known are passed over
    terms  index terms of all candidates
    """
    sorting: dict[CubeId, float] = {}
    for run in runs:
        for place, cube_id in enumerate(run):
            sorting[cube_id] = max(sorting.get(cube_id, 0.0), 1.0 - place / len(run))
    before = {item.id: item for item in items}
    found = []
    for cube_id, score in sorting.items():
        old = before.get(cube_id)
        found.append(
            Kept(cube_id, score) if old is None else replace(old, sorting=score, recordings=old.recordings + 1)
        )
    unseen = sorted((item for item in items if item.id not in sorting), key=lambda item: -importance(item, rules))
    stay = [replace(item, sorting=0.0) for item in unseen[: rules.kept]]
    candidates = sorted([*found, *stay], key=lambda item: -importance(item, rules))  # of equal ones the first found
    return tuple(_distinct([item for item in candidates if item.id in terms], terms, rules))[: rules.capacity]


def _distinct(items: Sequence[Kept], terms: Mapping[CubeId, Terms], rules: WorkingRules) -> list[Kept]:
    """Return the items without those that say nearly what one before them says."""
    documents = Counter(term for item in items for term in np.unique(terms[item.id]).tolist())
    rarity = {term: math.log((1 + len(items)) / (1 + number)) + 1 for term, number in documents.items()}
    kept: list[Kept] = []
    weights: list[dict[int, float]] = []
    for item in items:
        own = {term: count * rarity[term] for term, count in Counter(terms[item.id].tolist()).items()}
        norm = math.sqrt(sum(weight * weight for weight in own.values())) or 1.0
        own = {term: weight / norm for term, weight in own.items()}
        if all(sum(own[t] * other.get(t, 0.0) for t in own) < rules.near for other in weights):
            kept.append(item)
            weights.append(own)
    return kept


class Working:
    """The working memories of one store, by scope. Thread-safe.

    They live in memory; a thread of their own saves ids, so that no search waits for a writer. What is saved last is
    where the next process begins.
    """

    def __init__(
        self, store: Store, embedder: Embedder, info: EmbedderInfo, reader: TermReader, rules: WorkingRules = RULES
    ) -> None:
        self.store = store
        self.embedder = embedder
        self.info = info
        self.reader = reader
        self.rules = rules
        self._states: Cache[Scope, tuple[Kept, ...]] = Cache(_IN_RAM)
        self._unsaved: set[Scope] = set()
        self._lock = threading.RLock()
        self._saver: ThreadPoolExecutor | None = None

    def memories(self, scope: Scope) -> list[tuple[MemCube, float]]:
        """Return what is in the working memory of a scope with its importance, the most important first."""
        with self._lock:
            items = self._state(scope)
        found = [(cube, importance(item, self.rules)) for item in items if (cube := self._there(item.id, scope))]
        return sorted(found, key=lambda pair: -pair[1])

    def note(self, cue: str, entities: Sequence[str], scope: Scope, hits: Sequence[CubeId], find: Found) -> bool:
        """Take in a cue that was searched, and return whether working memory was replaced for it.

        hits  what was found for it, best first
        find  searches for clauses of it, and for the cue itself if there are too few hits
        """
        with self._lock:
            items, cubes = self._present(scope)
            vector = self.embedder.embed([cue])[0]
            rows = self.store.rows_of((cube.id, cube.version) for cube in cubes)
            cosines = (self.store.vectors(rows, self.info) @ vector).tolist() if cubes else []
            wanted = missing(cue, entities, cosines, [searchable_text(cube) for cube in cubes], self.rules)
            if not wanted:
                self._keep(scope, noticed(items, self._words(cue), self._terms(cubes)))
                return False
            many = max(1, self.rules.capacity // len(wanted))
            enough = [hits[:many]] if len(hits) >= many else [find(cue, many)]
            runs = [*enough, *(find(clause, many) for clause in wanted[1:])]
            fresh = {cube_id for run in runs for cube_id in run} - {cube.id for cube in cubes}
            cubes += [cube for cube_id in sorted(fresh) if (cube := self._there(cube_id, scope))]
            self._keep(scope, replaced(items, runs, self._terms(cubes), self.rules))
            return True

    def save(self) -> None:
        """Save what has changed since it was saved."""
        while True:
            with self._lock:
                if not self._unsaved:
                    return
                scope = self._unsaved.pop()
                items = self._states.get(scope) or ()
            self._save(scope, items)

    def close(self) -> None:
        """Save what is left."""
        if self._saver is not None:
            self._saver.shutdown()
            self._saver = None
        self.save()

    def _keep(self, scope: Scope, items: tuple[Kept, ...]) -> None:
        if items == self._state(scope):
            return
        self._put(scope, items)
        self._unsaved.add(scope)
        self._saver = self._saver or ThreadPoolExecutor(1, thread_name_prefix="anamnos-working")
        self._saver.submit(self.save)

    def _state(self, scope: Scope) -> tuple[Kept, ...]:
        state = self._states.get(scope)
        if state is None:
            state = tuple(self.store.working.load(scope))
            self._put(scope, state)
        return state

    def _put(self, scope: Scope, items: tuple[Kept, ...]) -> None:
        for other, state in self._states.put(scope, items):
            if other in self._unsaved:
                self._unsaved.discard(other)
                self._save(other, state)

    def _save(self, scope: Scope, items: tuple[Kept, ...]) -> None:
        try:
            self.store.working.save(scope, items)
        except AnamnosError as exc:  # it is only where the next process begins
            log.warning("working memory was not saved", exc_info=exc)

    def _present(self, scope: Scope) -> tuple[list[Kept], list[MemCube]]:
        """Return the items whose memories are still there, and those memories."""
        pairs = [(item, cube) for item in self._state(scope) if (cube := self._there(item.id, scope))]
        return [item for item, _ in pairs], [cube for _, cube in pairs]

    def _there(self, cube_id: CubeId, scope: Scope) -> MemCube | None:
        cube = self.store.get(cube_id)
        if cube is None or not isinstance(cube.content, str) or not scope.covers(cube.scope):
            return None
        return cube if cube.lifecycle.state in SEARCHED_STATES else None

    def _terms(self, cubes: Sequence[MemCube]) -> dict[CubeId, Terms]:
        return {cube.id: self._words(searchable_text(cube)) for cube in cubes}

    def _words(self, text: str) -> Terms:
        terms = self.reader.terms(text)
        return terms[terms >= FIRST_WORD_TERM]


__all__ = ["RULES", "Working", "WorkingRules", "importance", "missing", "noticed", "replaced"]
