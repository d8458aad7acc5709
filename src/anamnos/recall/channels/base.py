"""What a channel is: one opinion about every memory of a scope.

Laws:
 1. ``score`` gives one float32 per document of the space, higher is better; documents outside the mask do not count.
 2. It depends on nothing outside the searched scope.
 3. It changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from anamnos.index.base import VectorIndex
from anamnos.index.keyword import Bm25, Grain, Scores
from anamnos.index.space import Postings, SpaceIndex
from anamnos.index.terms import TermReader
from anamnos.index.tokens import best_matches
from anamnos.recall.analyse import Cue
from anamnos.store.base import EmbedderInfo
from anamnos.types import Vector

_READ = 2  # documents of the shortlist whose texts channels may want
_PROMISING = 1_000  # by meaning, and by words, where not all are compared
_TYPICAL = 2_000
_NEAR = 2  # turns on either side whose words a late channel hears


@dataclass(frozen=True)
class CueTokens:
    """The words of a cue, each with a vector of what it means there.

    vectors  (q, token_dim) float32, rows of norm 1
    terms    (q,) int64: the term of the word that each belongs to
    info     the embedder that they are of
    """

    vectors: NDArray[np.float32]
    terms: NDArray[np.int64]
    info: EmbedderInfo


@dataclass
class Search:
    """One search in progress: what all channels share, computed at most once.

    mask       (n,) bool: the documents that the scope covers
    tokens     the cue word by word; None if the embedder gives no such vectors
    shortlist  documents that are worth a costly look, once the other channels have been heard
    """

    cue: Cue
    vector: Vector
    space: SpaceIndex
    vectors: VectorIndex
    mask: NDArray[np.bool_]
    bm25: Bm25
    reader: TermReader
    tokens: CueTokens | None = None
    shortlist: NDArray[np.intp] = field(default_factory=lambda: np.empty(0, dtype=np.intp))

    @cached_property
    def cosines(self) -> Scores:
        """Cosine of the cue with each document: (n,) float32, 0 outside the mask.

        Where there are more than the index compares one by one, it is exact for the nearest, for the best by words, for
        ``typical`` ones and for the neighbours of all these; all others have the mean.
        """
        out = np.zeros(len(self.space), dtype=np.float32)
        if not self._all_compared:
            usual = np.flatnonzero(self.typical)
            out[self.mask] = self.vectors.similarities(self.vector, self.space.rows[usual]).mean()
        out[self.compared] = self.vectors.similarities(self.vector, self.space.rows[self.compared])
        return out

    @cached_property
    def _all_compared(self) -> bool:
        """Whether that is the way to go; what is past is in no index that does anything else."""
        return self.space.as_of is not None or int(np.count_nonzero(self.mask)) <= self.vectors.scans

    @cached_property
    def compared(self) -> NDArray[np.intp]:
        """The documents whose cosines are exact, ascending: all of the mask if they are not too many."""
        docs = np.flatnonzero(self.mask)
        if self._all_compared:
            return docs
        rows, _ = self.vectors.search(self.vector, _PROMISING, self.space.rows[docs])
        words = self.keyword_scores("turn")
        wordy = np.argpartition(-words, _PROMISING)[:_PROMISING]
        parts = (self.space.docs_of(np.sort(rows)), wordy[words[wordy] > 0], np.flatnonzero(self.typical))
        near = np.unique(np.concatenate(parts))
        beside = np.concatenate([self.space.before[near], self.space.after[near]])
        near = np.union1d(near, beside[beside >= 0])
        return near[self.mask[near]]

    @cached_property
    def typical(self) -> NDArray[np.bool_]:
        """Over which documents scores are made comparable: the mask, or as many of it as will do. (n,) bool."""
        if self._all_compared:
            return self.mask
        docs = np.flatnonzero(self.mask)
        typical = np.zeros(len(self.space), dtype=bool)
        typical[docs[:: max(len(docs) // _TYPICAL, 1)]] = True
        return typical

    @cached_property
    def standard_cosines(self) -> Scores:
        """The cosines as z-scores: (n,) float32."""
        return standardised(self.cosines, self.typical)

    @cached_property
    def said_by_named(self) -> Scores:
        """1 for each turn of the one participant that the cue names, else 0; all 0 if it names none or several."""
        if len(self.cue.speakers) != 1:
            return np.zeros(len(self.space), dtype=np.float32)
        said: Scores = (self.mask & (self.space.actor == self.space.actor_number(self.cue.speakers[0]))).astype(
            np.float32
        )
        return said

    @cached_property
    def unspoken(self) -> NDArray[np.bool_]:
        """Which documents of the scope nobody speaks: passages and notes. (n,) bool."""
        return self.mask & (self.space.actor < 0)

    @cached_property
    def texts(self) -> dict[int, str]:
        """The texts of the first few documents of the shortlist."""
        found = {doc: self.space.store.at([int(self.space.rows[doc])]) for doc in self.shortlist[:_READ].tolist()}
        return {doc: cubes[0].text if cubes else "" for doc, cubes in found.items()}

    @cached_property
    def postings(self) -> dict[int, Postings]:
        """Per term of the cue, the documents that hold it and how often."""
        return {term: self.space.postings(term) for term in self.cue.terms}

    @cached_property
    def matches(self) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """The shortlist with its neighbours, ascending: (m,); and how well each token of the cue is matched by a word
        of each: (m, q) float32 in [0, 1]."""
        if self.tokens is None or not len(self.tokens.terms):
            return np.empty(0, dtype=np.intp), np.zeros((0, 0), dtype=np.float32)
        near = [self.shortlist]
        for neighbour in (self.space.before, self.space.after):
            beside: NDArray[np.integer] = self.shortlist
            for _ in range(_NEAR):
                beside = neighbour[beside]
                beside = beside[beside >= 0]
                near.append(beside.astype(np.intp))
        docs = np.unique(np.concatenate(near))
        docs = docs[self.mask[docs]]
        stored = self.space.store.tokens(self.space.rows[docs], self.tokens.info)
        return docs, best_matches(self.tokens.vectors, stored)

    @cached_property
    def token_weights(self) -> NDArray[np.float32]:
        """How rare the word of each token of the cue is in the scope, as a share of them all: (q,) float32."""
        if self.tokens is None:
            return np.zeros(0, dtype=np.float32)
        size = int(np.count_nonzero(self.mask))
        rarity = np.empty(len(self.tokens.terms), dtype=np.float32)
        for place, term in enumerate(self.tokens.terms.tolist()):
            docs, _ = self.postings[term] if term in self.postings else self.space.postings(term)
            holding = int(np.count_nonzero(self.mask[docs]))
            rarity[place] = np.log(1 + (size - holding + 0.5) / (holding + 0.5))
        return rarity / max(float(rarity.sum()), 1e-9)

    def keyword_scores(self, grain: Grain) -> Scores:
        """BM25 at a grain: see ``anamnos.index.keyword``."""
        return self.bm25.scores(self.space, self.cue.terms, self.postings, self.mask, grain)


def standardised(scores: Scores, mask: NDArray[np.bool_]) -> Scores:
    """Return z = (x - mean) / (std + 1e-9) of the scores inside ``mask``: (n,) float32."""
    inside = scores if mask.all() else scores[mask]
    if not len(inside):
        return scores
    mean = np.float32(inside.mean(dtype=np.float64))
    centred = inside - mean
    spread = np.float32(np.sqrt(np.dot(centred, centred) / len(inside)) + 1e-9)
    return (centred if inside is scores else scores - mean) / spread


class Channel(Protocol):
    """Scores the documents of a search."""

    @property
    def name(self) -> str:
        """As it appears in a hit's ``channels``."""

    @property
    def standardise(self) -> bool:
        """Whether its scores are compared as z-scores; else they are added as they are."""

    def score(self, search: Search) -> Scores:
        """Return one score per document: (n,) float32."""

    def explain(self, search: Search, doc: int, score: float) -> str:
        """Return what it saw in document ``doc``, to which it gave ``score``, in words; "" if nothing."""
