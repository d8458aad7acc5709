"""What was derived from a turn, as further keys to it: its facts lead to the turn without being found themselves."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Literal
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from anamnos.cube import CubeId
from anamnos.index.keyword import Scores
from anamnos.index.space import SpaceIndex
from anamnos.recall.channels.base import Search
from anamnos.store.base import Rows

_WORTH_SAYING = 0.25
_Docs = NDArray[np.intp]


@dataclass(frozen=True)
class FactsChannel:
    """The best of what a turn's own words and the facts derived from it (``Memory.enrich``) score for the cue.

    by  meaning: by cosine; words: by BM25, of a fact among the facts of the scope

    A turn without facts scores as in ``dense.turn`` or ``keyword.turn``.
    In no recipe: with the facts that rules find, recall@10 changes by -.013 to .000 (LoCoMo 0-1, REALTALK 1-5, weights
    .1 to .4), in place of ``dense.turn`` by -.002 and -.006, and by facts without the turn's own words by -.022 to
    +.004: what rules find is said in nearly the same words as the turn.
    Source: facts as keys beside the text itself, LongMemEval, arXiv:2410.10813; there a language model writes them.
    """

    by: Literal["meaning", "words"]
    standardise: bool = True

    @property
    def name(self) -> str:
        return f"facts.{self.by}"

    def score(self, search: Search) -> Scores:
        out = self._own(search).copy()
        keys = _keys_of(search.space)
        inside = search.mask[keys.turn]
        fact, turn = keys.fact[inside], keys.turn[inside]
        if len(fact):
            np.maximum.at(out, turn, self._scores(search, keys.facts, fact)[fact])
        return out

    def explain(self, search: Search, doc: int, score: float) -> str:
        if self.by == "words" or score < _WORTH_SAYING or score <= search.cosines[doc]:
            return ""
        return f"what follows from it is close in meaning ({score:.2f})"

    def _own(self, search: Search) -> Scores:
        return search.cosines if self.by == "meaning" else search.keyword_scores("turn")

    def _scores(self, search: Search, facts: SpaceIndex, inside: _Docs) -> Scores:
        """Return one score per fact of ``facts``; only those ``inside`` count."""
        if self.by == "meaning":
            return search.vectors.similarities(search.vector, facts.rows)
        mask = np.zeros(len(facts), dtype=bool)
        mask[inside] = True
        postings = {term: facts.postings(term) for term in search.cue.terms}
        return search.bm25.scores(facts, search.cue.terms, postings, mask, "turn")


@dataclass
class _Keys:
    """The facts of a space, and which document each was derived from.

    facts       a space of the facts alone
    fact, turn  (p,): documents of ``facts`` and of the space that they belong to, one pair per source of a fact
    sources     row of a fact -> the memories that it was derived from
    rows        of both spaces, and
    alive       how many documents of both were alive, by which changes are noticed
    """

    facts: SpaceIndex
    fact: _Docs = field(default_factory=lambda: np.empty(0, dtype=np.intp))
    turn: _Docs = field(default_factory=lambda: np.empty(0, dtype=np.intp))
    sources: dict[int, tuple[CubeId, ...]] = field(default_factory=dict)
    rows: tuple[Rows, ...] = ()
    alive: tuple[int, ...] = ()


_KEYS: WeakKeyDictionary[SpaceIndex, _Keys] = WeakKeyDictionary()
_LOCK = threading.Lock()


def _keys_of(space: SpaceIndex) -> _Keys:
    """Return the keys of a space, up to date; the caller holds the space's lock."""
    with _LOCK:
        keys = _KEYS.get(space)
    if keys is None:
        facts = SpaceIndex(space.store, space.scope, all_states=space.all_states, as_of=space.as_of, derived=True)
        keys = _Keys(facts)
        with _LOCK:
            _KEYS[space] = keys
    keys.facts.catch_up()
    both = (space, keys.facts)
    alive = tuple(int(np.count_nonzero(each.alive)) for each in both)
    if alive != keys.alive or any(a is not b.rows for a, b in zip(keys.rows, both, strict=True)):
        _pair(keys, space)
        keys.rows, keys.alive = tuple(each.rows for each in both), alive
    return keys


def _pair(keys: _Keys, space: SpaceIndex) -> None:
    """Find the documents of the facts' sources anew; what a fact was derived from is read once."""
    living = np.flatnonzero(keys.facts.alive).tolist()
    for row in keys.facts.rows[living].tolist():
        if row not in keys.sources:
            keys.sources[row] = tuple(s for cube in space.store.at([row]) for s in cube.provenance.derived_from)
    docs: dict[CubeId, int | None] = {}
    pairs = []
    for fact in living:
        for source in keys.sources[int(keys.facts.rows[fact])]:
            if source not in docs:
                docs[source] = space.doc_of(source)
            if (turn := docs[source]) is not None:
                pairs.append((fact, turn))
    keys.fact, keys.turn = np.array(pairs, dtype=np.intp).reshape(-1, 2).T
