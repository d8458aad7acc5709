"""The memories of one space as a graph: two are near if rare words, a title or the order of a session join them.

Nodes are the documents of a ``SpaceIndex``, under their own numbers, and after them the terms. Everything is derived
from the terms that the space holds anyway; there is no table of edges to keep.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from anamnos.errors import InvalidInput
from anamnos.index.space import SpaceIndex
from anamnos.index.terms import FIRST_WORD_TERM, TermReader
from anamnos.store.base import Rows

Mass = NDArray[np.float64]
_Nodes = NDArray[np.int64]
_HUB = 50  # edges
_COMMON = 200  # a word of more documents than that joins nothing in particular
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_BRACKETS = re.compile(r"\s*\([^)]*\)\Z")
_SHORTEST = 4  # characters of a title: shorter ones are in every text


@dataclass(frozen=True)
class Graph:
    """Nodes 0 … size - 1 and the edges between them.

    sources, targets  (e,) int64: where each edge leads from and to
    weights           (e,) float64, > 0
    """

    size: int
    sources: _Nodes
    targets: _Nodes
    weights: Mass

    def walk(self, seeds: Mass, *, damping: float = 0.5, tolerance: float = 1e-6, most: int = 200) -> Mass:
        """Return personalised PageRank: r = (1 - d) v + d (P^T r + sink v), (size,), summing to 1.

        seeds    (size,), not negative: where the walk starts and returns to; all zero gives all zero
        damping  d in [0, 1): the chance to go on along an edge rather than back to a seed

        P is the weights with each row divided by its sum; sink is the mass at nodes without an edge. Iterated until
        the sum of changes is below ``tolerance``, or ``most`` times.
        Source: HippoRAG 2, arXiv:2502.14802 (d = .5).
        """
        total = self._checked(seeds)
        if not 0 <= damping < 1:
            raise InvalidInput(f"damping must be in [0, 1), got {damping}.")
        if not total:
            return np.zeros(self.size)
        start = seeds / total
        leaving = np.bincount(self.sources, weights=self.weights, minlength=self.size)
        shares = self.weights / leaving[self.sources]
        sinks = np.flatnonzero(leaving == 0)
        rank = start
        for _ in range(most):
            moved = np.bincount(self.targets, weights=rank[self.sources] * shares, minlength=self.size)
            after = (1 - damping + damping * rank[sinks].sum()) * start + damping * moved
            change = np.abs(after - rank).sum()
            rank = after
            if change < tolerance:
                break
        return rank

    def spread(self, seeds: Mass, *, decay: float = 0.7, hops: int = 3, threshold: float = 0.05) -> Mass:
        """Return the activation that reaches each node in ``hops`` steps, the seeds' own included: (size,).

        a(j) after a step = sum over edges i -> j of a(i) w(i, j) decay / sqrt(edges of i); the result is the sum over
        steps. A node passes nothing on while its activation is below ``threshold``, which keeps it near the seeds.
        Source: spreading activation as in Bi-Mem, arXiv:2601.06490, with division by the root of the fan-out.
        """
        self._checked(seeds)
        fan = np.sqrt(np.maximum(np.bincount(self.sources, minlength=self.size), 1))
        total = active = seeds.astype(np.float64)
        for _ in range(hops):
            passed = np.where(active >= threshold, active * decay / fan, 0.0)
            arriving = passed[self.sources] * self.weights
            active = np.bincount(self.targets, weights=arriving, minlength=self.size).astype(np.float64)
            total = total + active
        return total

    def _checked(self, seeds: Mass) -> float:
        if seeds.shape != (self.size,):
            raise InvalidInput(f"seeds must have one number per node, ({self.size},), got {seeds.shape}.")
        total = float(seeds.sum())
        if not np.isfinite(total) or (len(seeds) and float(seeds.min()) < 0):
            raise InvalidInput("seeds must be finite and not negative.")
        return total


def joined(size: int, first: _Nodes, second: _Nodes, weights: Mass, *, hub: int = _HUB) -> Graph:
    """Return the graph in which each pair is joined in both directions, with hubs held back.

    An edge that leads *to* a node with more than ``hub`` edges weighs ``hub`` / edges of what it did; those that lead
    from it stay. Scaling the edges that leave a hub would do nothing: dividing each row by its sum undoes it.
    """
    edges = np.bincount(first, minlength=size) + np.bincount(second, minlength=size)
    sources, targets = np.concatenate([first, second]), np.concatenate([second, first])
    held_back = np.minimum(1.0, hub / np.maximum(edges, 1))
    return Graph(size, sources, targets, np.concatenate([weights, weights]) * held_back[targets])


@dataclass(frozen=True)
class SpaceGraph:
    """The graph of one searched scope.

    documents  so many nodes are documents; the others are terms
    terms      (t,) uint32, ascending: term ``terms[i]`` is node documents + i
    """

    graph: Graph
    documents: int
    terms: NDArray[np.uint32]

    def node(self, term: int) -> int | None:
        """Return the node of a term, if it joins documents."""
        place = int(np.searchsorted(self.terms, np.uint32(term)))
        return self.documents + place if place < len(self.terms) and self.terms[place] == term else None


@dataclass
class _Layout:
    """What is kept of a space between searches.

    rows   the space's own array, by which new documents are noticed
    alive  how many of them were alive, by which removals are
    pairs  (p,) uint64, ascending and distinct: term << 32 | document
    links  (l, 2) int64: a document, and the first document of an article whose title it mentions
    """

    rows: Rows
    alive: int
    pairs: NDArray[np.uint64]
    links: NDArray[np.int64]
    mask: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, dtype=bool))
    graph: SpaceGraph | None = None


_LAYOUTS: WeakKeyDictionary[SpaceIndex, _Layout] = WeakKeyDictionary()
_LOCK = threading.Lock()


def graph_of(space: SpaceIndex, mask: NDArray[np.bool_], reader: TermReader) -> SpaceGraph:
    """Return the graph of the documents of ``space`` inside ``mask``: (n,) bool; the caller holds the space's lock.

    Two documents in a row in their session are joined with weight 1, as are one that nobody speaks and the beginning of
    an article whose title's words are all in it. A document and a term of it are joined with idf / idf of a term
    in a single document, if 2 to 200 documents of the scope hold the term.

    What depends on the store alone is kept with the space and follows it: new documents are added, not all read anew.
    """
    with _LOCK:
        layout = _LAYOUTS.get(space)
    alive = int(np.count_nonzero(space.alive))
    if layout is None or layout.rows is not space.rows or layout.alive != alive:
        pairs = _pairs(space, layout)
        layout = _Layout(space.rows, alive, pairs, _title_links(space, pairs, reader))
        with _LOCK:
            _LAYOUTS[space] = layout
    if layout.graph is None or not np.array_equal(layout.mask, mask):
        layout.graph, layout.mask = _built(space, layout, mask), mask.copy()
    return layout.graph


def _pairs(space: SpaceIndex, before: _Layout | None) -> NDArray[np.uint64]:
    """Return which term is in which document, reading only what was added since ``before``."""
    if before is not None and before.rows is space.rows:
        return before.pairs
    held = 0 if before is None else len(before.rows)
    older = np.empty(0, dtype=np.uint64)
    if before is not None and space.as_of is None and np.array_equal(before.rows, space.rows[:held]):
        older = before.pairs
        found = space.store.outline(
            space.scope, rows=space.rows[held:], all_states=space.all_states, derived=space.derived
        )
    else:
        found = space.store.outline(space.scope, all_states=space.all_states, as_of=space.as_of, derived=space.derived)
    there = np.isin(found.rows, space.rows)
    docs = space.docs_of(found.rows[there])
    read = [np.frombuffer(found.terms[i], dtype="<u4") for i in np.flatnonzero(there).tolist()]
    if not read:
        return older
    of_doc = np.repeat(docs.astype(np.uint64), [len(terms) for terms in read])
    terms = np.concatenate(read).astype(np.uint64)
    words = terms >= FIRST_WORD_TERM
    return np.union1d(older, terms[words] << _HALF | of_doc[words])


def _title_links(space: SpaceIndex, pairs: NDArray[np.uint64], reader: TermReader) -> NDArray[np.int64]:
    """Return (document, first document of another session) where the one has every word of the other's title.

    Only between documents that nobody speaks, and only if 50 documents at most have the rarest of those words.
    """
    heads = np.flatnonzero(space.alive & (space.actor < 0) & (space.before < 0))
    titles = [_title_terms(space, int(doc), reader) for doc in heads.tolist()]
    some = [place for place, terms in enumerate(titles) if terms]
    if not some:
        return np.empty((0, 2), dtype=np.int64)
    longest = max(len(titles[place]) for place in some)
    table = np.array([titles[place] + titles[place][:1] * (longest - len(titles[place])) for place in some])
    table = table.astype(np.uint64) << _HALF
    low, high = np.searchsorted(pairs, table), np.searchsorted(pairs, table | _LOW, side="right")
    rarest = (high - low).argmin(axis=1)
    every = np.arange(len(some))
    start, held = low[every, rarest], (high - low)[every, rarest]
    held = np.where(held <= _HUB, held, 0)
    title = np.repeat(every, held)
    places = np.arange(len(title)) - np.repeat(np.cumsum(held) - held, held) + np.repeat(start, held)
    docs = pairs[places] & _LOW
    whole = np.ones(len(docs), dtype=bool)
    for word in range(longest):
        key = table[title, word] | docs
        whole &= pairs[np.minimum(np.searchsorted(pairs, key), len(pairs) - 1)] == key
    naming, named = docs[whole].astype(np.int64), heads[some][title[whole]]
    apart = (space.group[naming] != space.group[named]) & (space.actor[naming] < 0)
    return np.stack([naming[apart], named[apart]], axis=1)


def _title_terms(space: SpaceIndex, doc: int, reader: TermReader) -> list[int]:
    title = _BRACKETS.sub("", space.names[int(space.scopes[doc])].session or "")
    return [reader.term(word) for word in reader.words(title)] if len(title) >= _SHORTEST else []


def _built(space: SpaceIndex, layout: _Layout, mask: NDArray[np.bool_]) -> SpaceGraph:
    n, size = len(space), int(np.count_nonzero(mask))
    docs = (layout.pairs & _LOW).astype(np.int64)
    inside = mask[docs]
    terms, docs = layout.pairs[inside] >> _HALF, docs[inside]
    distinct, node, held = np.unique(terms, return_inverse=True, return_counts=True)
    useful = (held >= 2) & (held <= _COMMON)
    renumbered = np.cumsum(useful) - 1
    idf = np.log(1 + (size - held + 0.5) / (held + 0.5)) / np.log(1 + (size - 0.5) / 1.5)
    kept = useful[node]
    node, docs = node[kept], docs[kept]
    follows = np.flatnonzero(mask & (space.after >= 0))
    follows = follows[mask[space.after[follows]]]
    links = layout.links[mask[layout.links].all(axis=1)]
    first = np.concatenate([docs, follows, links[:, 0]]).astype(np.int64)
    second = np.concatenate([n + renumbered[node], space.after[follows], links[:, 1]]).astype(np.int64)
    weights = np.concatenate([idf[node], np.ones(len(follows) + len(links))])
    found = distinct[useful].astype(np.uint32)
    return SpaceGraph(joined(n + len(found), first, second, weights), n, found)
