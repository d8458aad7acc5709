"""The read path: analyse the cue, let the channels score, fuse, and say why."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from anamnos.cube import CubeId, MemCube, Scope
from anamnos.embed.base import Embedder, gives_tokens
from anamnos.errors import ConfigError
from anamnos.index.base import VectorIndex
from anamnos.index.cache import Cache
from anamnos.index.space import SpaceIndex
from anamnos.index.terms import TermReader
from anamnos.index.tokens import content
from anamnos.recall.analyse import Cue, analyse, newest
from anamnos.recall.analyse_llm import LlmAnalyser
from anamnos.recall.calibrate import Labelled
from anamnos.recall.channels.base import CueTokens, Search
from anamnos.recall.confidence import confidence
from anamnos.recall.fusion import Fused, add, best, zsum
from anamnos.recall.recipe import Recipe
from anamnos.store.base import EmbedderInfo, Store
from anamnos.types import ChannelScore, Filter, Hit, Hits, Vector, names_derived, names_state

_SpaceKey = tuple[str, str | None, bool, datetime | None, bool | None]
_MAX_DOCS = 2_000_000  # documents kept in memory, about 200 bytes each; the least recently used space goes first


@dataclass(frozen=True)
class Explanation:
    """How a search came to its result.

    cue      what was understood of the query
    recipe   the one that was followed, with its weights
    hits     what was found, each with what every channel gave it
    """

    cue: Cue
    recipe: Recipe
    hits: Hits


class Recaller:
    """Searches one store. Thread-safe.

    analyser  reads each cue once more, after the rules
    """

    def __init__(
        self,
        store: Store,
        vectors: VectorIndex,
        embedder: Embedder,
        reader: TermReader,
        recipe: Recipe,
        analyser: LlmAnalyser | None = None,
    ) -> None:
        self.store = store
        self.vectors = vectors
        self.embedder = embedder
        self.reader = reader
        self.recipe = recipe
        self.analyser = analyser
        self._spaces: Cache[_SpaceKey, SpaceIndex] = Cache(_MAX_DOCS, "lru", len)
        self._lock = threading.Lock()

    def search(
        self,
        text: str,
        scope: Scope,
        *,
        top_k: int,
        filter: Filter | None = None,
        vector: Vector | None = None,
        as_of: datetime | None = None,
        asked_at: datetime | None = None,
    ) -> Hits:
        """Return the ``top_k`` memories of ``scope`` that answer ``text`` best, best first; fewer if there are fewer.

        filter  narrows what may be returned; scores are still those of the whole scope
        vector  the cue's embedding, if the caller has it: (dim,) float32 of norm 1
        as_of   search what held at that moment
        asked_at  when it is asked, from which "yesterday" counts; None: when the newest memory was said
        """
        derived = None if names_derived(filter) else False
        space = self.space(scope, all_states=names_state(filter), as_of=as_of, derived=derived)
        cue = self.cue(text, space, scope, asked_at)
        tokens = None
        if vector is None:
            vector, tokens = self._embedded(cue.dense_text)
        with space.lock:
            self._catch_up(space)
            mask = space.in_scope(scope)
            candidates = mask
            if filter is not None:
                candidates = np.zeros_like(mask)
                candidates[space.docs_of(self.store.select(scope, filter, as_of=as_of))] = True
                candidates &= mask
            if not candidates.any():
                return Hits()
            search = Search(cue, vector, space, self.vectors, mask, self.recipe.bm25, self.reader, tokens)
            recipe = self.served(words=tokens is not None)
            fused = self._fused(search, recipe, candidates, top_k)
            docs = best(fused.total, candidates, top_k).tolist()
            return Hits(self._hits(docs, search, fused, recipe), confidence(search, docs))

    def cue(self, text: str, space: SpaceIndex, scope: Scope, asked_at: datetime | None = None) -> Cue:
        """Return what a question asks for, as understood in a scope."""
        with space.lock:
            cue = analyse(text, space, scope, self.reader, asked_at=asked_at)
            now = asked_at or newest(space, scope)
        return cue if self.analyser is None else self.analyser.refine(cue, now)

    def labelled(self, text: str, scope: Scope, answers: Sequence[CubeId]) -> Labelled | None:
        """Return a question with a known answer as the channels see it; None if no answer is in the scope."""
        space = self.space(scope)
        cue = self.cue(text, space, scope)
        vector, tokens = self._embedded(cue.dense_text)
        with space.lock:
            self._catch_up(space)
            mask = space.in_scope(scope)
            found = [doc for doc in map(space.doc_of, answers) if doc is not None and mask[doc]]
            if not found:
                return None
            search = Search(cue, vector, space, self.vectors, mask, self.recipe.bm25, self.reader, tokens)
            recipe = self.served(words=tokens is not None)
            fused = self._fused(search, recipe, mask, recipe.depth)
            docs = np.union1d(best(fused.total, mask, recipe.depth), found)
            parts = (*recipe.channels, *recipe.late)
            shares = [fused.shares[part.channel.name][docs] / (part.weight or 1.0) for part in parts]
            return Labelled(np.stack(shares, axis=1).astype(np.float64), np.isin(docs, found), len(set(answers)))

    def served(self, *, words: bool) -> Recipe:
        """Return the recipe that a search follows: late channels are deaf without vectors of words."""
        return self.recipe if words or self.recipe.otherwise is None else self.recipe.otherwise

    def _fused(self, search: Search, recipe: Recipe, candidates: NDArray[np.bool_], top_k: int) -> Fused:
        fused = zsum(recipe.channels, search)
        if recipe.late:
            search.shortlist = best(fused.total, candidates, max(recipe.depth, top_k))
            add(fused, recipe.late, search)
        return fused

    def _catch_up(self, space: SpaceIndex) -> None:
        space.catch_up()
        self._check_embedder()
        self.vectors.catch_up()

    def _embedded(self, text: str) -> tuple[Vector, CueTokens | None]:
        """Return the vector of a cue, and its words with theirs if the recipe and the embedder know of such."""
        if not self.recipe.late or not gives_tokens(self.embedder):
            return self.embedder.embed([text])[0], None
        vectors, (read,) = self.embedder.embed_tokens([text])
        terms = content(read.starts, text, self.reader)
        own = read.vectors[terms >= 0].astype(np.float32)
        own /= np.maximum(np.linalg.norm(own, axis=1, keepdims=True), 1e-6)
        return vectors[0], CueTokens(own, terms[terms >= 0], EmbedderInfo(self.embedder.id, self.embedder.dim))

    def _check_embedder(self) -> None:
        """Refuse to compare with vectors that another client has replaced by those of another embedder."""
        held = self.store.embedder()
        if held is not None and held.id != self.embedder.id:
            raise ConfigError(
                f"This vault now holds vectors of {held.id}, no longer of {self.embedder.id}.",
                hint="Open the vault again.",
            )

    def neighbours(self, hit: Hit, as_of: datetime | None = None) -> list[MemCube]:
        """Return the memories right before and right after a hit in its session."""
        space = self.space(hit.cube.scope, as_of=as_of)
        with space.lock:
            doc = space.doc_of(hit.cube.id)
            near = [] if doc is None else [n for n in (int(space.before[doc]), int(space.after[doc])) if n >= 0]
            rows = space.rows[near].tolist()
        return self.store.at(rows)

    def space(
        self,
        scope: Scope,
        *,
        all_states: bool = False,
        as_of: datetime | None = None,
        derived: bool | None = False,
    ) -> SpaceIndex:
        """Return the up-to-date space of a scope's tenant and user, from memory if it is there.

        Of the spaces as of some moment only the last one asked for is kept.
        """
        spaces = self._spaces
        key = (scope.tenant, scope.user, all_states, as_of, derived)
        with self._lock:
            space = spaces.get(key)
        if space is None:  # read without the lock, so that one large space does not hold up the others
            space = SpaceIndex(self.store, scope, all_states=all_states, as_of=as_of, derived=derived)
        with self._lock:
            for past in [k for k in spaces if as_of is not None and k[3] not in (None, as_of)]:
                spaces.drop(past)
            space = spaces.get(key) or space  # another thread may have been faster
            spaces.put(key, space)
        space.catch_up()
        return space

    def forget_spaces(self) -> None:
        """Drop what is kept in memory; the next search reads it from the store again."""
        with self._lock:
            self._spaces.clear()

    def _hits(self, docs: list[int], search: Search, fused: Fused, recipe: Recipe) -> list[Hit]:
        rows = search.space.rows[docs].tolist()
        cubes = self.store.at(rows)
        if len(cubes) < len(docs):  # some were erased in this very moment
            there = {row: cube for row in rows for cube in self.store.at([row])}
            docs = [doc for doc, row in zip(docs, rows, strict=True) if row in there]
            cubes = list(there.values())
        return [self._hit(doc, cube, search, fused, recipe) for doc, cube in zip(docs, cubes, strict=True)]

    def _hit(self, doc: int, cube: MemCube, search: Search, fused: Fused, recipe: Recipe) -> Hit:
        channels = {
            name: ChannelScore(float(fused.raw[name][doc]), float(share[doc])) for name, share in fused.shares.items()
        }
        return Hit(
            cube=cube,
            similarity=min(max(float(search.cosines[doc]), 0.0), 1.0),
            rank_score=float(fused.total[doc]),
            channels=channels,
            reason=_reason(doc, search, channels, recipe),
        )


def _reason(doc: int, search: Search, channels: Mapping[str, ChannelScore], recipe: Recipe) -> str:
    """Return what the channels saw, the weightiest first."""
    told = []
    counted = any(seen.share > 0 for seen in channels.values())  # not if all memories score alike
    parts = (*recipe.channels, *recipe.late)
    for part in sorted(parts, key=lambda part: -channels[part.channel.name].share):
        seen = channels[part.channel.name]
        words = part.channel.explain(search, doc, seen.raw) if seen.share > 0 or not counted else ""
        if words:
            told.append(words)
    return "; ".join(told) or "nothing better in this scope"
