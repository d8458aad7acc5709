"""What of a new memory is known already: belief over the codes of what its owner has.

A memory is compared by a key that says what it means and which words it has: the vector of the vault's embedder beside
one of spelling alone. Meaning alone takes two sentences of one pattern ("X was born in Y") for the same.
Off by default, as links of likeness alone gain nothing in recall.
Source: a gate of writes by familiarity: arXiv:1710.07829; belief in its place, the key and the thresholds: ours.
"""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import islice
from threading import Lock
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from anamnos.associative.base import CapacityWarning
from anamnos.associative.sparsey.belief import BeliefMemory, BeliefSpec
from anamnos.cube import CubeId, Link, LinkKind, MemCube, Role, Scope, Substrate, thaw_json
from anamnos.embed.base import Vectors
from anamnos.embed.hashing import HashingEmbedder
from anamnos.store.base import EmbedderInfo, Store
from anamnos.system import lifecycle
from anamnos.types import SEARCHED_STATES

WORDS = 0.7
"""Share of the words in the likeness of two keys; the rest is that of the meaning. Chosen on 102,000 sentences."""
SEEN, SIMILAR = 0.7, 0.4
"""Belief from which a text counts as seen, or as similar. In seven chats of LoCoMo and REALTALK, of turns that are new
.1 % and 1.7 % pass; of turns without one or two of their words and in lower case, 72 % and 98 %."""
NOTE = "novelty"
"""Where ``annotations.data`` says what a memory was when it was written."""

_SPELT = 2_000  # characters
_LISTS = (1_024, 32_768)  # per table, at first and at most; the latter for 131,072 memories
_READ = 1_000  # memories read from the store at a time
_LIKEST = 4  # looked at, of which the first that is open is taken
_JUST_NOW = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a new memory is to what is stored.

    belief  the best share of equal winners, in [0, 1]
    like    the memory that these winners are of; None if there is none
    """

    belief: float
    like: CubeId | None

    @property
    def name(self) -> Literal["seen", "similar", "new"]:
        if self.like is None or self.belief < SIMILAR:
            return "new"
        return "seen" if self.belief >= SEEN else "similar"


class Novelty:
    """Says how far new memories are known to one owner: a tenant and user, or an agent without a user.

    It is derived from the vectors of the store, is in memory only, and follows the store by its sequence number: what
    is erased, archived or expired is forgotten at once. Beyond 131,072 memories the oldest are. Thread-safe.
    """

    def __init__(self, store: Store, info: EmbedderInfo, scope: Scope) -> None:
        self._store, self._info, self._wall = store, info, wall_of(scope)
        self._lock = Lock()
        self._applied: int | None = None
        self._memory = BeliefMemory(_spec(info, _LISTS[0]))

    def judge(self, cubes: Sequence[MemCube], vectors: Vectors, now: datetime) -> list[Verdict]:
        """Return what each of some new memories is to what is stored, and to those before it; nothing is stored."""
        with self._lock:
            self._catch_up()
            keys = keys_of([cube.text for cube in cubes], np.asarray(vectors))
            codes = self._memory.encode(keys)
            found = []
            for number, key in enumerate(keys):
                likest = (Verdict(recall.score, recall.cube_ids[0]) for recall in self._memory.read(key, k=_LIKEST))
                best = list(islice((verdict for verdict in likest if self._open(verdict.like, now)), 1))
                if number:
                    shares = (codes[:number] == codes[number]).mean(axis=1)
                    best.append(Verdict(float(shares.max()), cubes[int(shares.argmax())].id))
                found.append(max(best, key=lambda verdict: verdict.belief, default=Verdict(0.0, None)))
            return found

    def catch_up(self) -> None:
        """Take what was written, and forget what was erased, since the last time; nothing if there was none."""
        with self._lock:
            if self._applied is not None:
                self._catch_up()

    def _open(self, cube_id: CubeId | None, now: datetime) -> bool:
        """Return whether a memory may be pointed to: rights and times end without a change in the store."""
        cube = None if cube_id is None else self._store.get(cube_id)
        ends = None if cube is None else cube.lifecycle.expires_at
        return cube is not None and (ends is None or ends > now)

    def __len__(self) -> int:
        """Return how many memories are compared with."""
        return self._memory.load().items

    def _catch_up(self) -> None:
        if self._applied is None:
            sequence, rows = self._store.sequence(), self._store.select(self._wall)
            self._memory = BeliefMemory(_spec(self._info, _LISTS[0]))  # the last time may have been cut short
            for start in range(0, len(rows), _READ):
                self._take(self._store.at(rows[start : start + _READ].tolist()))
            self._applied = sequence
        while changes := self._store.changes(self._applied):
            for cube_id in dict.fromkeys(change.cube_id for change in changes):
                self._memory.forget(cube_id=cube_id)
            rows_of_new = sorted({change.row for change in changes if change.kind == "written"})
            self._take(cube for cube in self._store.at(rows_of_new) if self._wall.covers(cube.scope))
            self._applied = changes[-1].seq

    def _take(self, cubes: Iterable[MemCube]) -> None:
        """Hold those of the cubes that are texts and can be found, in their present version."""
        texts = [c for c in cubes if c.substrate is Substrate.TEXT and c.lifecycle.state in SEARCHED_STATES]
        texts = [cube for cube in texts if cube.time.superseded_at is None]
        rows = self._store.rows_of((cube.id, cube.version) for cube in texts)
        vectors = self._store.vectors(rows, self._info) if texts else np.zeros((0, self._info.dim), np.float32)
        there = np.flatnonzero((rows > 0) & vectors.any(axis=1)).tolist() if texts else []
        for cube, key in zip(
            [texts[n] for n in there], keys_of([texts[n].text for n in there], vectors[there]), strict=True
        ):
            self._make_room()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", CapacityWarning)
                self._memory.write(key, cube_id=cube.id)

    def _make_room(self) -> None:
        spec = self._memory.spec
        if self._memory.load().items >= spec.capacity and spec.lists < _LISTS[1]:
            self._memory = self._memory.with_lists(min(4 * spec.lists, _LISTS[1]))


def compared(
    cubes: Sequence[MemCube],
    vectors: Vectors,
    novelty_of: Callable[[Scope], Novelty],
    store: Store,
    now: datetime,
    reinforce: bool,
) -> list[MemCube]:
    """Return cubes about to be written, each marked with what it is like; what is no first version stays as it is.

    reinforce  put in the place of a note that only repeats another that other one, used once more
    """
    out = list(cubes)
    new = [number for number, cube in enumerate(cubes) if cube.version == 1 and cube.substrate is Substrate.TEXT]
    walls = {number: wall_of(cubes[number].scope) for number in new}
    for wall in dict.fromkeys(walls.values()):
        own = [number for number in new if walls[number] == wall]
        verdicts = novelty_of(wall).judge([cubes[number] for number in own], np.asarray(vectors)[own], now)
        for number, verdict in zip(own, verdicts, strict=True):
            known = store.get(verdict.like) if reinforce and verdict.name == "seen" and verdict.like else None
            again = repeated(cubes[number], known, now) if known is not None else None
            out[number] = again or marked(cubes[number], verdict)
    return out


def marked(cube: MemCube, verdict: Verdict) -> MemCube:
    """Return a new memory with what it is to others on it, and a link to the one it is like."""
    note = {NOTE: {"verdict": verdict.name, "belief": round(verdict.belief, 3)}}
    notes = replace(cube.annotations, data={**thaw_json(cube.annotations.data), **note})
    links = cube.links
    if verdict.like is not None and verdict.name != "new":
        links = (*links, Link(LinkKind.SIMILAR, verdict.like, round(verdict.belief, 3)))
    return replace(cube, annotations=notes, links=links)


def repeated(cube: MemCube, known: MemCube, now: datetime) -> MemCube | None:
    """Return ``known``, used once more, if a new note says nothing that it does not say; else None.

    That is so if it has the same words (but for spaces, the last full stop, and how its first letter is written), was
    said just now, and has nothing about it that ``known`` has not: owner, speaker, source, trust, labels, data, end.
    """
    one, other = (replace(each.annotations, tags=(), data={}) for each in (cube, known))
    at = cube.time.created_at
    same = (
        cube.role is known.role is Role.NOTE
        and known.lifecycle.state in SEARCHED_STATES
        and _words(cube.text) == _words(known.text)
        and (cube.scope, cube.policy, one) == (known.scope, known.policy, other)
        and cube.provenance.actor == known.provenance.actor
        and cube.provenance.source == known.provenance.source
        and cube.provenance.trust <= known.provenance.trust
        and not (cube.links or cube.provenance.message_ids)
        and set(cube.annotations.tags) <= set(known.annotations.tags)
        and not cube.annotations.data
        and (at is None or now - at <= _JUST_NOW)
        and cube.time.valid_from is cube.time.valid_to is known.time.valid_to is None
        and cube.lifecycle.expires_at == known.lifecycle.expires_at
        and cube.lifecycle.importance <= known.lifecycle.importance
    )
    return replace(known, lifecycle=lifecycle.used(known.lifecycle, now)) if same else None


def wall_of(scope: Scope) -> Scope:
    """Return the widest scope of the same owner: no comparison ever goes beyond it.

    >>> wall_of(Scope(user="ann", session="monday")), wall_of(Scope(agent="tutor", session="monday"))
    (Scope(tenant='default', user='ann', agent=None, session=None), Scope(tenant='default', user=None, agent='tutor', \
session=None))
    """
    if scope.user is not None:
        return Scope(scope.tenant, scope.user)
    return Scope(scope.tenant, agent=scope.agent) if scope.agent is not None else scope


def keys_of(texts: Sequence[str], vectors: Vectors) -> NDArray[np.float32]:
    """Return the keys of texts with these unit vectors, (n, dim): unit vectors as well, (n, dim + 384).

    The cosine of two keys is ``WORDS`` times that of their spelling, plus the rest times that of their meaning.
    """
    if not len(texts):
        return np.zeros((0, vectors.shape[1] + _speller().dim), dtype=np.float32)
    spelt = _speller().embed([text[:_SPELT] for text in texts])
    return np.hstack([np.sqrt(1 - WORDS) * vectors, np.sqrt(WORDS) * spelt]).astype(np.float32)


def _words(text: str) -> str:
    plain = " ".join(unicodedata.normalize("NFC", text).split()).rstrip(".! ")
    return plain[:1].casefold() + plain[1:]


def _spec(info: EmbedderInfo, lists: int) -> BeliefSpec:
    settings: dict[str, Any] = {"dim": info.dim + _speller().dim, "lists": lists, "on_full": "evict"}
    return BeliefSpec(**settings)


@lru_cache(maxsize=1)
def _speller() -> HashingEmbedder:
    return HashingEmbedder()
