"""Discrete key-value bottleneck: a classifier that forgets little, since an input changes few of its values.

A feature is projected by C fixed random matrices ("heads"); each projection snaps to the nearest of the K keys of its
head, and the class is softmax of the mean of the values at these C keys. Keys are learnt once, without labels, and then
frozen; labels change the fetched values only. Source: arXiv:2207.11240.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anamnos.associative.arrays import Array, json_array, need, stored_names
from anamnos.associative.base import (
    Consolidated,
    Forgotten,
    Load,
    Recall,
    Spec,
    Value,
    WriteReport,
    admit,
    check_state,
    spec_array,
)
from anamnos.associative.checks import (
    LARGEST,
    MOST_STRENGTH,
    check_mask,
    check_positive,
    check_reading,
    check_room,
    check_vector,
    check_vectors,
    check_whole,
)
from anamnos.associative.items import Items, checked_item
from anamnos.cube import thaw_json
from anamnos.errors import Conflict, Corrupt, InvalidInput

Codes = NDArray[np.uint16]
_MOST_KEYS = 65_536
_DEAD = 0.01  # a key that fewer inputs of a batch come to, on average, is put where an input is
_AT_ONCE = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyValueSpec(Spec):
    """A discrete key-value bottleneck.

    dim     of the features
    heads   C
    keys    K of each head
    width   of a projection, d_k
    rate    step of learning; 1 moves the mean value by the whole of the error
    decay   of the moving averages that learn the keys
    slots   how many writes it keeps the codes of, so that they can be taken back
    """

    system: ClassVar[str] = "key-value-bottleneck"
    dim: int
    heads: int = 64
    keys: int = 256
    width: int = 14
    rate: float = 0.05
    decay: float = 0.95
    slots: int = 100_000

    def __post_init__(self) -> None:
        Spec.__post_init__(self)
        for name in ("dim", "heads", "width", "slots"):
            check_whole(name, getattr(self, name))
        check_whole("keys", self.keys, least=2, most=_MOST_KEYS)
        check_room(self.heads, max(self.dim, self.keys), self.width)
        check_positive("rate", self.rate)
        check_positive("decay", self.decay)
        if self.decay >= 1:
            raise InvalidInput(f"decay must be below 1, got {self.decay}.")
        if self.rate > LARGEST:
            raise InvalidInput(f"rate must be at most {LARGEST:g}, got {self.rate}.")


class KeyValueBottleneck:
    """Stores labels in the values at the keys that a feature comes to. Familiarity: the share of these in use.

    Every write keeps its code of C small numbers, so that forgetting can learn all others again from nothing: exact,
    at the cost of one pass. Values of keys that were not fetched never change, not by a bit.
    """

    def __init__(self, spec: KeyValueSpec) -> None:
        self.spec = spec
        random = np.random.Generator(np.random.PCG64(spec.seed))
        shape = (spec.heads, spec.dim, spec.width)
        self._projections = random.standard_normal(shape, dtype=np.float32)  # of unit features: about N(0, 1)
        self._keys = random.standard_normal((spec.heads, spec.keys, spec.width), dtype=np.float32)
        self._items = Items()
        self._strengths: list[float] = []
        self._clear()

    # --- an associative memory

    def write(
        self,
        key: ArrayLike,
        value: Value = None,
        *,
        cube_id: str | None = None,
        strength: float = 1.0,
        when: datetime | None = None,
    ) -> WriteReport:
        code = self.encode(check_vector("key", key, self.spec.dim)[None])[0]
        value, known_id, strength, when = checked_item(value, cube_id, strength, when)
        todo = admit(self.load(), self.spec)
        used = self._used(code)
        if todo == "evict":
            self._forget([0])
        self._items.add(code, value, known_id, when)
        self._strengths.append(strength)
        self._update(code, _name(value), strength)
        return WriteReport(True, used, code, used, "stored" if todo == "store" else f"full: {todo}")

    def read(
        self,
        cue: ArrayLike,
        *,
        mask: ArrayLike | None = None,
        k: int = 1,
        steps: int | None = None,
        temperature: float = 0.0,
        rng: np.random.Generator | None = None,
    ) -> list[Recall]:
        """Return the ``k`` likeliest labels, each with the cubes written under it whose codes are most alike.

        What a mask hides counts as 0. There are no dynamics: ``temperature`` is the deviation of noise on the cue.
        """
        check_reading(k, steps, temperature, rng)
        known = check_mask(mask, self.spec.dim)
        vector = np.where(known, check_vector("cue", cue, self.spec.dim), np.float32(0))
        if not len(self._items):
            return []
        if temperature > 0 and rng is not None:
            vector = vector + rng.normal(scale=temperature, size=vector.shape).astype(np.float32)
        code = self.encode(vector[None])[0]
        shares, used = _softmax(self._mean(code)), self._used(code)
        alike = (np.stack(self._items.codes) == code).sum(axis=1)
        nearest = np.argsort(-alike, kind="stable").tolist()
        cubes: dict[str, list[Any]] = {}
        for number in nearest:
            if (cube := self._items.cube_ids[number]) is not None:
                cubes.setdefault(_name(self._items.values[number]), []).append(cube)
        best = np.argsort(-shares, kind="stable")[:k].tolist()
        return [
            Recall(
                code,
                json.loads(self._names[number]),
                tuple(dict.fromkeys(cubes.get(self._names[number], ())))[:10],
                float(np.clip(shares[number], 0, 1)),
                used,
            )
            for number in best
        ]

    def familiarity(self, cue: ArrayLike) -> float:
        return self._used(self.encode(check_vector("cue", cue, self.spec.dim)[None])[0])

    def forget(self, *, key: ArrayLike | None = None, cube_id: str | None = None) -> Forgotten:
        code = None if key is None else self.encode(check_vector("key", key, self.spec.dim)[None])[0]
        numbers = self._items.find(code=code, cube_id=cube_id)
        self._forget(numbers)
        return Forgotten(len(numbers), True, "the values were learnt again from all other writes")

    def consolidate(self) -> Consolidated:
        return Consolidated(len(self._items), 0, "keys are frozen and values as they were learnt")

    def load(self) -> Load:
        """Return the load; the error is the share of an item's rows that an unrelated item has come to as well."""
        count = len(self._items)
        capacity = math.inf if self.spec.on_full == "grow" else self.spec.slots
        shared = 1 - (1 - 1 / self.spec.keys) ** count
        return Load(count, capacity, float((self._usage > 0).mean()), shared)

    def state_dict(self) -> dict[str, Array]:
        return {
            "spec": spec_array(self.spec),
            **self._items.state_dict(),
            "strengths": np.array(self._strengths, dtype=np.float64),
            "keys": self._keys,
            "values": self._values,
            "usage": self._usage,
            "labels": json_array(self._names),
        }

    @classmethod
    def from_state(cls, spec: KeyValueSpec, state: Mapping[str, Array]) -> Self:
        check_state(spec, state)
        memory, rows = cls(spec), (spec.heads, spec.keys)
        memory._items = items = Items.from_state(state)
        memory._strengths = need(state, "strengths", (len(items),), np.float64, least=0, most=MOST_STRENGTH).tolist()
        memory._keys = need(state, "keys", (*rows, spec.width), np.float32, least=-LARGEST, most=LARGEST).copy()
        memory._names = names = stored_names(state, "labels")
        memory._values = need(state, "values", (*rows, len(names)), np.float32, least=-LARGEST, most=LARGEST).copy()
        memory._usage = need(state, "usage", rows, np.int64, least=0).copy()
        if any(c.shape != (spec.heads,) or c.dtype != np.uint16 or c.max() >= spec.keys for c in items.codes):
            raise Corrupt(f"The codes of this state are not of {spec.heads} of {spec.keys} keys.")
        if {_name(value) for value in items.values} != set(names):
            raise Corrupt("The labels of this state are not those of its items.")
        return memory

    # --- keys, and a classifier on them

    def learn_keys(self, features: ArrayLike, *, epochs: int = 5, batch: int = 128) -> None:
        """Move the keys to where features (n, dim) are, by moving averages; no labels are needed.

        Raises: InvalidInput; Conflict once something is written, for from then on the keys are frozen.
        """
        if len(self._items):
            raise Conflict("The keys are frozen: something is written under them.", hint="Learn them in a new memory.")
        rows = self._checked(features)
        if not len(rows):
            raise InvalidInput("There is no feature to learn keys from.")
        random = np.random.Generator(np.random.PCG64([self.spec.seed, 1]))
        projected = self._project(rows)
        first = random.integers(len(rows), size=(self.spec.heads, self.spec.keys))
        self._keys = np.take_along_axis(projected, first[:, :, None], axis=1)
        counts = np.ones(self._keys.shape[:2], dtype=np.float32)
        for _ in range(epochs):
            order = random.permutation(len(rows))
            for start in range(0, len(rows), batch):
                counts = self._moved(projected[:, order[start : start + batch]], counts, random)

    def learn(
        self, features: ArrayLike, labels: Sequence[Value], *, cube_ids: Sequence[str] | None = None, epochs: int = 1
    ) -> None:
        """Write many labelled features (n, dim) one after the other, ``epochs`` times. Raises: as ``write``."""
        rows = self._checked(features)
        if len(rows) != len(labels) or len(rows) != len(cube_ids or labels):
            raise InvalidInput(f"There are {len(rows)} features and {len(labels)} labels.")
        check_whole("epochs", epochs)
        ids: Sequence[str | None] = cube_ids or [None] * len(rows)
        clean = [checked_item(label, cube_id, 1.0, None) for label, cube_id in zip(labels, ids, strict=True)]
        if not len(rows):
            return
        load, more = self.load(), epochs * len(rows)
        if more > load.capacity:
            raise InvalidInput(f"{more:,} writes are more than the {load.capacity:,.0f} that the memory holds.")
        if admit(Load(load.items + more - 1, load.capacity, load.fill), self.spec) == "evict":
            self._forget(range(int(load.items + more - load.capacity)))
        codes = self.encode(rows)
        for _ in range(epochs):
            for code, (value, cube_id, strength, _) in zip(codes, clean, strict=True):
                self._items.add(code, value, cube_id, None)
                self._strengths.append(strength)
                self._update(code, _name(value), strength)

    @property
    def classes(self) -> list[Value]:
        """The labels that are known, in the order in which they came."""
        return [json.loads(name) for name in self._names]

    def probabilities(self, features: ArrayLike) -> NDArray[np.float64]:
        """Return (n, classes), how likely each feature is of each of ``classes``. Raises: InvalidInput."""
        if not self._names:
            raise InvalidInput("The memory is empty: it knows no label.", hint="Learn or write something first.")
        codes = self.encode(features)
        return np.array([_softmax(self._mean(code)) for code in codes]).reshape(-1, len(self._names))

    def encode(self, features: ArrayLike) -> Codes:
        """Return (n, C), the number of the nearest key in each head. Raises: InvalidInput."""
        rows = self._checked(features)
        parts = [
            self._nearest(self._project(rows[start : start + _AT_ONCE])).T for start in range(0, len(rows), _AT_ONCE)
        ]
        return np.concatenate(parts).astype(np.uint16) if parts else np.zeros((0, self.spec.heads), np.uint16)

    def usage(self) -> NDArray[np.int64]:
        """Return (C, K), how many writes fetched each value."""
        return self._usage.copy()

    def roll_back(self, items: int) -> int:
        """Take the memory back to when it held its first ``items`` writes; return how many are undone."""
        check_whole("items", items, least=0, most=len(self._items) or None)
        undone = len(self._items) - items
        self._forget(range(items, len(self._items)))
        return undone

    # --- inside

    def _clear(self) -> None:
        self._names: list[str] = []
        self._values = np.zeros((self.spec.heads, self.spec.keys, 0), dtype=np.float32)
        self._usage = np.zeros((self.spec.heads, self.spec.keys), dtype=np.int64)

    def _update(self, code: Codes, name: str, strength: float) -> None:
        """Move the fetched values against the gradient of the cross-entropy: rate · (one-hot - p).

        p is the softmax of the mean value and of a 0 for what is not known yet, so that the first label is learnt too.
        """
        if name not in self._names:
            self._names.append(name)
            new = np.zeros((*self._values.shape[:2], 1), dtype=np.float32)
            self._values = np.concatenate([self._values, new], axis=2)
        error = -_softmax(np.append(self._mean(code), 0.0))[:-1]
        error[self._names.index(name)] += 1
        fetched = np.arange(self.spec.heads), code
        self._values[fetched] += (self.spec.rate * strength * error).astype(np.float32)
        self._usage[fetched] += 1

    def _forget(self, numbers: Sequence[int]) -> None:
        gone = set(numbers)
        if not gone:
            return
        self._items.remove(list(gone))
        self._strengths[:] = [x for number, x in enumerate(self._strengths) if number not in gone]
        self._clear()
        for code, value, strength in zip(self._items.codes, self._items.values, self._strengths, strict=True):
            self._update(code, _name(value), strength)

    def _mean(self, code: Codes) -> NDArray[np.float64]:
        return np.asarray(self._values[np.arange(self.spec.heads), code].mean(axis=0, dtype=np.float64))

    def _used(self, code: Codes) -> float:
        return float((self._usage[np.arange(self.spec.heads), code] > 0).mean())

    def _project(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (C, n, d_k): projections of the features at length 1."""
        unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        return np.asarray(unit @ self._projections)

    def _nearest(self, projected: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return (C, n)."""
        closeness = projected @ self._keys.transpose(0, 2, 1) - ((self._keys**2).sum(axis=2) / 2)[:, None]
        return np.asarray(closeness.argmax(axis=2))

    def _moved(
        self, projected: NDArray[np.float32], counts: NDArray[np.float32], random: np.random.Generator
    ) -> NDArray[np.float32]:
        """Move the keys by one batch (C, n, d_k) and return how much comes to each on average."""
        heads, keys, width = self._keys.shape
        decay = self.spec.decay
        place = (self._nearest(projected) + np.arange(heads)[:, None] * keys).ravel()
        came = np.bincount(place, minlength=heads * keys).reshape(heads, keys)
        flat = projected.reshape(-1, width)
        sums = [np.bincount(place, weights=flat[:, n], minlength=heads * keys) for n in range(width)]
        total = np.stack(sums, axis=1).reshape(heads, keys, width)
        after = decay * counts + (1 - decay) * came
        moved = (decay * counts[:, :, None] * self._keys + (1 - decay) * total) / np.maximum(after, 1e-12)[:, :, None]
        self._keys = moved.astype(np.float32)
        head, key = np.nonzero(after < _DEAD)
        self._keys[head, key] = projected[head, random.integers(projected.shape[1], size=len(head))]
        after[head, key] = 1.0
        return after.astype(np.float32)

    def _checked(self, features: ArrayLike) -> NDArray[np.float32]:
        return check_vectors("features", features, self.spec.dim)


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    weights = np.exp(logits - logits.max())
    return np.asarray(weights / weights.sum())


def _name(label: Value) -> str:
    """Return a label as text: equal for equal labels."""
    return json.dumps(thaw_json(label), sort_keys=True, ensure_ascii=False)
