"""Tags for new memories, and the right place for a cue, learnt from the tags that memories have.

What is learnt is derived from the store and nothing else: the tagged memories of a scope, their vectors, and what their
tags say in words. A tag that somebody gives or takes away counts from the next call on; a memory that is deleted is
unlearnt, exactly. Tags that this module gave itself teach it nothing until somebody confirms them.
Source: dual memory networks, arXiv:2403.17589, as ``anamnos.associative.feature_memory`` has them.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from anamnos.associative.base import CapacityWarning
from anamnos.associative.feature_memory import FeatureMemory, FeatureMemorySpec
from anamnos.cube import CubeId, MemCube, Scope
from anamnos.embed.base import Vectors
from anamnos.store.base import EmbedderInfo, Rows, Store
from anamnos.types import Filter, Vector

DATA_KEY = "tagging"
"""Where ``annotations.data`` says which tags were suggested, and how surely."""
CONFIDENT = 0.5
"""Score from which a tag is given without asking."""
MOST_READ = 10_000  # the newest memories of a scope, tagged or not
MOST_TAUGHT = 5_000  # the newest tagged ones of these
MOST_ROUTED = 500  # the newest memories of each place
_SCOPES = 64  # kept in mind
_NAMES = 10_000  # whose vectors are kept in mind
_BECAUSE = 3

Embed = Callable[[Sequence[str]], Vectors]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A tag or place for a text.

    score    in [0, 1]: its share among all that there are, times how near the nearest memory that has it is
    because  the memories that speak for it, the nearest first; none if only its name does
    """

    tag: str
    score: float
    because: tuple[CubeId, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {"tag": self.tag, "score": round(self.score, 4), "because": list(self.because)}


@dataclass
class _Learnt:
    """What is known of one scope: the rows of its tagged memories, and the memory of their vectors."""

    memory: FeatureMemory
    rows: dict[int, tuple[CubeId, list[str]] | None] = field(default_factory=dict)  # None: it teaches nothing

    def forget(self, row: int) -> None:
        if (taught := self.rows.pop(row)) is not None:
            self.memory.forget(cube_id=taught[0])


class Tagging:
    """Suggests tags and places out of one store. Thread-safe.

    embed  vectors of texts, by the embedder whose vectors the store holds
    """

    def __init__(self, store: Store, info: EmbedderInfo, embed: Embed) -> None:
        self.store, self.info = store, info
        self._embed = embed
        self._lock = threading.Lock()
        self._scopes: dict[Scope, _Learnt] = {}
        self._names: dict[str, Vector] = {}

    def suggest(
        self, vectors: Vectors, scope: Scope, *, k: int = 5, tree: Filter | None = None
    ) -> list[list[Suggestion]]:
        """Return the ``k`` best tags for each vector (n, dim), best first; fewer if the scope knows not so many.

        tree  which of the scope's memories may be asked
        """
        with self._lock:
            memory = self._caught_up(scope, tree).memory
            return [suggestions_of(memory, vector, k) for vector in vectors]

    def route(
        self, vector: Vector, among: Mapping[str, tuple[Scope, Filter | None]], *, k: int = 5
    ) -> list[Suggestion]:
        """Return which of the labels in ``among`` fit a vector best, by the memories that each stands for."""
        memory = empty(self.info.dim)
        for label, (scope, tree) in among.items():
            found = self._cubes_at(self.store.select(scope, tree)[-MOST_ROUTED:])
            vectors = self.store.vectors(np.array([row for row, _ in found], dtype=np.int64), self.info)
            _quietly(memory, vectors, [[label]] * len(found), [cube.id for _, cube in found])
            memory.describe([label], self._name(label))
        return suggestions_of(memory, vector, k) if among else []

    def _caught_up(self, scope: Scope, tree: Filter | None) -> _Learnt:
        """Return what is known of a scope, as its memories are now."""
        learnt = self._scopes.pop(scope, None) or _Learnt(empty(self.info.dim))
        self._scopes[scope] = learnt  # the one asked for last comes last
        while len(self._scopes) > _SCOPES:
            del self._scopes[next(iter(self._scopes))]
        there = self.store.select(scope, tree)[-MOST_READ:]  # each time: rights end without a change in the store
        if learnt.rows.keys() != (now := set(there.tolist())):
            known = set(learnt.rows)
            for row in known - now:
                learnt.forget(row)
            self._learn(learnt, there[[row not in known for row in there.tolist()]])
            self._describe(learnt)
        return learnt

    def forget(self, ids: Collection[CubeId]) -> None:
        """Unlearn memories that were erased, and what only their tags say."""
        with self._lock:
            for learnt in self._scopes.values():
                rows = [row for row, taught in learnt.rows.items() if taught is not None and taught[0] in ids]
                for row in rows:
                    learnt.forget(row)
                if rows:
                    self._describe(learnt)
            self._scopes = {scope: learnt for scope, learnt in self._scopes.items() if any(learnt.rows.values())}
            taught = (taught[1] for learnt in self._scopes.values() for taught in learnt.rows.values() if taught)
            alive = {tag for tags in taught for tag in tags}
            self._names = {tag: vector for tag, vector in self._names.items() if tag in alive}

    def _describe(self, learnt: _Learnt) -> None:
        """Tell a memory what its tags say in words, and take back what is said of those that nothing has any more."""
        alive = {tuple(taught[1]) for taught in learnt.rows.values() if taught is not None}
        for tags in learnt.memory.classes:
            text = np.mean([self._name(tag) for tag in tags], axis=0) if tags and tuple(tags) in alive else None
            learnt.memory.describe(tags, text)

    def _learn(self, learnt: _Learnt, rows: Rows) -> None:
        """Learn what the memories at these rows teach, the newest ``MOST_TAUGHT`` of them."""
        found: dict[int, tuple[CubeId, list[str]]] = {}
        for start in range(0, len(rows), 1_000):
            for row, cube in self._cubes_at(rows[start : start + 1_000]):
                if (tags := taught_tags(cube)) is not None:
                    found[row] = cube.id, tags
        chosen = np.array(sorted(found)[-MOST_TAUGHT:], dtype=np.int64)
        vectors = self.store.vectors(chosen, self.info)
        texts = vectors.any(axis=1)  # what is no text has none
        taught = {row: found[row] for row in chosen[texts].tolist()}
        learnt.rows.update({**dict.fromkeys(rows.tolist()), **taught})
        labels, ids = [tags for _, tags in taught.values()], [cube_id for cube_id, _ in taught.values()]
        _quietly(learnt.memory, vectors[texts], labels, ids)

    def _cubes_at(self, rows: Rows) -> list[tuple[int, MemCube]]:
        """Return the memories that are still at these rows, each with its row."""
        cubes = self.store.at(rows.tolist())
        there = rows if len(cubes) == len(rows) else self.store.rows_of((cube.id, cube.version) for cube in cubes)
        return list(zip(there.tolist(), cubes, strict=True))

    def _name(self, tag: str) -> Vector:
        """Return the vector of what a tag says in words."""
        if tag not in self._names:
            if len(self._names) >= _NAMES:
                self._names.clear()
            words = " ".join(tag.replace("_", " ").replace("-", " ").split()) or tag
            self._names[tag] = np.asarray(self._embed([words])[0], dtype=np.float32)
        return self._names[tag]


def empty(dim: int) -> FeatureMemory:
    """Return a memory of tags that knows none yet: labels are lists of tags."""
    spec = FeatureMemorySpec(
        dim=dim,
        policy="dual",
        slots=MOST_TAUGHT,
        on_full="evict",
        static_weight=2.0,  # chosen on training texts
        dynamic_weight=0.0,  # its own guesses teach it nothing
    )
    return FeatureMemory(spec)


def taught_tags(cube: MemCube) -> list[str] | None:
    """Return what a memory teaches: its tags, sorted, but those that were only suggested; None: nothing.

    An empty list says that a tag was suggested and somebody took it away.
    """
    tags = set(cube.annotations.tags)
    suggested = set(_mark(cube).get("suggested", ()))
    own = sorted(tags - suggested)
    return own if own or suggested - tags else None


def tagged(cube: MemCube, suggestions: Iterable[Suggestion], *, confident: float = CONFIDENT) -> dict[str, Any] | None:
    """Return the mark of the tags that are sure enough to be given to a new memory; None if there is none.

    It does not say because of which memories: they may be deleted, and the new one be shown to others.
    """
    sure = [each for each in suggestions if each.score >= confident]
    if not sure or cube.annotations.tags:
        return None
    return {
        "suggested": [each.tag for each in sure],
        "scores": [round(each.score, 4) for each in sure],
    }


def _quietly(memory: FeatureMemory, vectors: Vectors, labels: Sequence[Any], cube_ids: Sequence[CubeId]) -> None:
    """Learn, without a word when the oldest has to make room."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CapacityWarning)
        memory.learn(vectors, labels, cube_ids=cube_ids)


def _mark(cube: MemCube) -> Mapping[str, Any]:
    mark = cube.annotations.data.get(DATA_KEY)
    return mark if isinstance(mark, Mapping) else {}


def suggestions_of(memory: FeatureMemory, vector: Vector, k: int) -> list[Suggestion]:
    """Return the best tags: what a memory says of sets of tags, added up for each tag."""
    recalls = memory.read(vector, k=max(len(memory.classes), 1))
    shares: dict[str, float] = {}
    near: dict[str, float] = {}
    because: dict[str, tuple[CubeId, ...]] = {}
    length = float(np.linalg.norm(vector)) or 1.0
    for recall in recalls:
        cosine = float(recall.code @ vector) / (length * (float(np.linalg.norm(recall.code)) or 1.0))
        for tag in recall.value:
            shares[tag] = shares.get(tag, 0.0) + recall.score
            near[tag] = max(near.get(tag, 0.0), cosine)
            because[tag] = (because.get(tag, ()) + recall.cube_ids)[:_BECAUSE]
    made = [Suggestion(tag, min(share, 1.0) * min(near[tag], 1.0), because[tag]) for tag, share in shares.items()]
    return sorted(made, key=lambda each: (-each.score, each.tag))[:k]
