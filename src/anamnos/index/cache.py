"""What is kept in memory because it may be wanted again, and what goes first when there is no room for more.

Laws: never more than the capacity, but for one thing that is larger than all of it; what was put last is there; what is
found is what was put; the same calls leave the same things. Not thread-safe: the owner has a lock.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from anamnos.errors import InvalidInput

K = TypeVar("K")
V = TypeVar("V")
Vector = NDArray[np.float32]

_RECENT = 0.2  # how much the newest cue moves the centroid


@dataclass
class Entry(Generic[V]):
    """One thing in the cache.

    last_used   number of the call that used it last
    uses        how often it was asked for
    importance  as its owner says, in [0, 1]
    vector      what it is about, of norm 1, or None
    labels      its tags
    """

    value: V
    last_used: int
    uses: int = 0
    importance: float = 0.0
    vector: Vector | None = None
    labels: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Present:
    """What is going on: the number of this call, the most uses of any entry, the centroid and labels of recent cues."""

    call: int
    most_uses: int
    centroid: Vector | None
    labels: frozenset[str]


Policy = Callable[[Entry[Any], Present], float]
"""How much an entry is worth keeping, higher is more; of equal ones the least recently used goes first."""


def lru(entry: Entry[Any], present: Present) -> float:
    """Return how recently it was used."""
    return float(entry.last_used)


def lfu(entry: Entry[Any], present: Present) -> float:
    """Return how often it was used."""
    return float(entry.uses)


def importance(entry: Entry[Any], present: Present) -> float:
    """Return how important its owner says it is."""
    return entry.importance


def semantic(entry: Entry[Any], present: Present) -> float:
    """Return its cosine to the centroid of recent cues, in [-1, 1]; 0 where either is not known."""
    return 0.0 if entry.vector is None or present.centroid is None else float(entry.vector @ present.centroid)


def label(entry: Entry[Any], present: Present) -> float:
    """Return the share of the last cue's labels that it has."""
    return len(entry.labels & present.labels) / len(present.labels) if present.labels else 0.0


def hybrid(entry: Entry[Any], present: Present) -> float:
    """Return the mean of recency (1 / (1 + calls since)), share of the most uses, importance, cosine and labels."""
    recency = 1.0 / (1.0 + present.call - entry.last_used)
    frequency = entry.uses / max(present.most_uses, 1)
    near, named = semantic(entry, present), label(entry, present)
    return (recency + frequency + entry.importance + max(near, 0.0) + named) / 5.0


POLICIES: dict[str, Policy] = {
    "lru": lru,
    "lfu": lfu,
    "importance": importance,
    "semantic": semantic,
    "label": label,
    "hybrid": hybrid,
}
"""Source: MemScheduler, arXiv 2507.03724; the weights of ``hybrid`` are ours, and equal."""


class Cache(Generic[K, V]):
    """A bounded mapping.

    capacity  in units of ``size``
    policy    one of ``POLICIES``
    size      of a value, asked anew each time, since values may grow; 1 by default
    """

    def __init__(self, capacity: float, policy: str = "lru", size: Callable[[V], float] = lambda _: 1.0) -> None:
        if policy not in POLICIES:
            raise InvalidInput(f"There is no policy {policy!r}.", hint=f"Use: {', '.join(POLICIES)}.")
        if not capacity > 0:
            raise InvalidInput(f"The capacity of a cache must be above 0, got {capacity!r}.")
        self.capacity = capacity
        self.policy: Policy = POLICIES[policy]
        self.size = size
        self._entries: dict[K, Entry[V]] = {}
        self._calls = 0
        self._centroid: Vector | None = None
        self._labels: frozenset[str] = frozenset()

    def get(self, key: K) -> V | None:
        """Return what is kept under a key, or None."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._calls += 1
        entry.last_used, entry.uses = self._calls, entry.uses + 1
        return entry.value

    def put(
        self,
        key: K,
        value: V,
        *,
        importance: float = 0.0,
        vector: Vector | None = None,
        labels: Collection[str] = (),
    ) -> list[tuple[K, V]]:
        """Keep a value, and return what had to go for it. A key that is there keeps its count of uses."""
        self._calls += 1
        uses = self._entries[key].uses if key in self._entries else 0
        self._entries[key] = Entry(value, self._calls, uses, importance, vector, frozenset(labels))
        gone = []
        while len(self._entries) > 1 and sum(self.size(e.value) for e in self._entries.values()) > self.capacity:
            present = self._present()
            worst = min(
                (other for other in self._entries if other != key),
                key=lambda other: (self.policy(self._entries[other], present), self._entries[other].last_used),
            )
            gone.append((worst, self._entries.pop(worst).value))
        return gone

    def see(self, vector: Vector | None = None, labels: Collection[str] = ()) -> None:
        """Take note of a cue: its vector, of norm 1, moves the centroid, and its labels are the present ones."""
        self._labels = frozenset(labels)
        if vector is not None:
            moved = vector if self._centroid is None else (1 - _RECENT) * self._centroid + _RECENT * vector
            self._centroid = np.asarray(moved / max(float(np.linalg.norm(moved)), 1e-12), dtype=np.float32)

    def drop(self, key: K) -> None:
        """Keep a key no longer, if it was kept."""
        self._entries.pop(key, None)

    def clear(self) -> None:
        """Keep nothing of what is here."""
        self._entries.clear()

    def items(self) -> list[tuple[K, V]]:
        """Return what is kept, which is no use of it."""
        return [(key, entry.value) for key, entry in self._entries.items()]

    def __iter__(self) -> Iterator[K]:
        return iter(list(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def _present(self) -> Present:
        most = max(entry.uses for entry in self._entries.values())
        return Present(self._calls, most, self._centroid, self._labels)


__all__ = ["POLICIES", "Cache", "Entry", "Policy", "Present"]
