"""The read path: analyse the cue, let the channels score, fuse, and say why."""

from __future__ import annotations

import threading
from collections import OrderedDict

import numpy as np

from anamnos.cube import MemCube, Scope
from anamnos.embed.base import Embedder
from anamnos.errors import ConfigError
from anamnos.index.base import VectorIndex
from anamnos.index.space import SpaceIndex
from anamnos.index.terms import TermReader
from anamnos.recall.analyse import analyse
from anamnos.recall.channels.base import Search
from anamnos.recall.fusion import Fused, best, zsum
from anamnos.recall.recipe import Recipe
from anamnos.store.base import Store
from anamnos.types import ChannelScore, Filter, Hit, Vector, names_state

_MAX_DOCS = 2_000_000  # documents kept in memory, about 200 bytes each; the least recently used space goes first


class Recaller:
    """Searches one store. Thread-safe."""

    def __init__(
        self, store: Store, vectors: VectorIndex, embedder: Embedder, reader: TermReader, recipe: Recipe
    ) -> None:
        self.store = store
        self.vectors = vectors
        self.embedder = embedder
        self.reader = reader
        self.recipe = recipe
        self._spaces: OrderedDict[tuple[str, str | None, bool], SpaceIndex] = OrderedDict()
        self._lock = threading.Lock()

    def search(
        self,
        text: str,
        scope: Scope,
        *,
        top_k: int,
        filter: Filter | None = None,
        vector: Vector | None = None,
    ) -> list[Hit]:
        """Return the ``top_k`` memories of ``scope`` that answer ``text`` best, best first; fewer if there are fewer.

        filter  narrows what may be returned; scores are still those of the whole scope
        vector  the cue's embedding, if the caller has it: (dim,) float32 of norm 1
        """
        space = self.space(scope, all_states=names_state(filter))
        with space.lock:
            cue = analyse(text, space, scope, self.reader)
        if vector is None:
            vector = self.embedder.embed([cue.dense_text])[0]
        with space.lock:
            space.catch_up()
            self._check_embedder()
            self.vectors.catch_up()
            mask = space.in_scope(scope)
            candidates = mask
            if filter is not None:
                candidates = np.zeros_like(mask)
                candidates[space.docs_of(self.store.select(scope, filter))] = True
                candidates &= mask
            if not candidates.any():
                return []
            search = Search(cue, vector, space, self.vectors, mask, self.recipe.bm25)
            fused = zsum(self.recipe.channels, search)
            docs = best(fused.total, candidates, top_k)
            return self._hits(docs.tolist(), search, fused)

    def _check_embedder(self) -> None:
        """Refuse to compare with vectors that another client has replaced by those of another embedder."""
        held = self.store.embedder()
        if held is not None and held.id != self.embedder.id:
            raise ConfigError(
                f"This vault now holds vectors of {held.id}, no longer of {self.embedder.id}.",
                hint="Open the vault again.",
            )

    def neighbours(self, hit: Hit) -> list[MemCube]:
        """Return the memories right before and right after a hit in its session."""
        space = self.space(hit.cube.scope)
        with space.lock:
            doc = space.doc_of(hit.cube.id)
            near = [] if doc is None else [n for n in (int(space.before[doc]), int(space.after[doc])) if n >= 0]
            rows = space.rows[near].tolist()
        return self.store.at(rows)

    def space(self, scope: Scope, *, all_states: bool = False) -> SpaceIndex:
        """Return the up-to-date space of a scope's tenant and user, from memory if it is there."""
        spaces = self._spaces
        key = (scope.tenant, scope.user, all_states)
        with self._lock:
            space = spaces.get(key)
        if space is None:  # read without the lock, so that one large space does not hold up the others
            space = SpaceIndex(self.store, scope, all_states=all_states)
        with self._lock:
            space = spaces.setdefault(key, space)
            spaces.move_to_end(key)
            while len(spaces) > 1 and sum(map(len, spaces.values())) > _MAX_DOCS:
                spaces.popitem(last=False)
        space.catch_up()
        return space

    def forget_spaces(self) -> None:
        """Drop what is kept in memory; the next search reads it from the store again."""
        with self._lock:
            self._spaces.clear()

    def _hits(self, docs: list[int], search: Search, fused: Fused) -> list[Hit]:
        rows = search.space.rows[docs].tolist()
        cubes = self.store.at(rows)
        if len(cubes) < len(docs):  # some were erased in this very moment
            there = {row: cube for row in rows for cube in self.store.at([row])}
            docs = [doc for doc, row in zip(docs, rows, strict=True) if row in there]
            cubes = list(there.values())
        return [self._hit(doc, cube, search, fused) for doc, cube in zip(docs, cubes, strict=True)]

    def _hit(self, doc: int, cube: MemCube, search: Search, fused: Fused) -> Hit:
        channels = {
            name: ChannelScore(float(fused.raw[name][doc]), float(share[doc])) for name, share in fused.shares.items()
        }
        return Hit(
            cube=cube,
            similarity=min(max(float(search.cosines[doc]), 0.0), 1.0),
            rank_score=float(fused.total[doc]),
            channels=channels,
            reason=self._reason(doc, search, channels),
        )

    def _reason(self, doc: int, search: Search, channels: dict[str, ChannelScore]) -> str:
        """Return what the channels saw, the weightiest first."""
        told = []
        counted = any(seen.share > 0 for seen in channels.values())  # not if all memories score alike
        for part in sorted(self.recipe.channels, key=lambda part: -channels[part.channel.name].share):
            seen = channels[part.channel.name]
            words = part.channel.explain(search, doc, seen.raw) if seen.share > 0 or not counted else ""
            if words:
                told.append(words)
        return "; ".join(told) or "nothing better in this scope"
