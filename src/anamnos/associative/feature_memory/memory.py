"""``FeatureMemory``: labelled features in slots, read by the policy of its spec."""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anamnos.associative.arrays import Array, check_bounds, json_array, need, stored_names
from anamnos.associative.base import (
    CapacityWarning,
    Consolidated,
    Forgotten,
    Load,
    Recall,
    Value,
    WriteReport,
    admit,
    check_state,
    spec_array,
)
from anamnos.associative.checks import LARGEST, MOST_STRENGTH, check_mask, check_reading, check_vector, check_vectors
from anamnos.associative.feature_memory import dual, knn, prototype
from anamnos.associative.feature_memory.held import Floats, Folded, Held, cosines_to, label_name
from anamnos.associative.feature_memory.spec import FeatureMemorySpec
from anamnos.associative.items import Items, checked_item
from anamnos.cube import freeze_json
from anamnos.errors import Corrupt, InvalidInput

_POLICIES = {"knn": knn.probabilities, "dual": dual.probabilities, "prototype": prototype.probabilities}
_AT_ONCE = 256  # cues
_KNOWN = math.nan  # in place of a guess's entropy: the label was given


@dataclass(frozen=True, slots=True)
class Adapted:
    """What a memory made of a feature whose label nobody gave: its guess, how sure it is, whether it keeps it."""

    label: Value
    confidence: float
    stored: bool


class FeatureMemory:
    """Stores features with labels; a cue brings back labels, the likeliest first, with the cubes that speak for each.

    A key is a feature, its value the label: anything that JSON holds. Familiarity is the best cosine to a slot. Nothing
    of a feature is left once it is forgotten, save for what ``consolidate`` has folded into the mean of its class.
    """

    def __init__(self, spec: FeatureMemorySpec) -> None:
        self.spec = spec
        self._items = Items()
        self._names: list[str] = []  # of the labels of the slots
        self._strengths: list[float] = []
        self._entropies: list[float] = []  # of guesses; NaN: a label that was given
        self._texts: dict[str, NDArray[np.float32]] = {}
        self._folded: dict[str, Folded] = {}
        self._cached: tuple[list[str], Held] | None = None
        self._room = np.zeros((0, spec.dim), dtype=np.float32)  # features of the slots, and room for more

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
        vector = check_vector("key", key, self.spec.dim)
        value, known_id, strength, when = checked_item(value, cube_id, strength, when)
        todo = admit(self.load(), self.spec)
        familiarity = self.familiarity(vector)
        if todo == "evict":
            self._remove([0])
        self._append(vector, value, strength, _KNOWN, known_id, when)
        return WriteReport(True, familiarity, vector, reason="stored" if todo == "store" else f"full: {todo}")

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
        """Return the ``k`` likeliest labels; ``score`` is the probability, ``cube_ids`` those of its nearest slots.

        There are no dynamics: ``steps`` plays no part, and ``temperature`` is the deviation of noise on the cue.
        """
        check_reading(k, steps, temperature, rng)
        known = check_mask(mask, self.spec.dim)
        vector = np.where(known, check_vector("cue", cue, self.spec.dim), np.float32(0))
        names, held = self._held()
        if not names:
            return []
        if temperature > 0 and rng is not None:
            vector = vector + rng.normal(scale=temperature, size=vector.shape).astype(np.float32)
        seen = held if mask is None else held.seen_at(known)
        shares = _POLICIES[self.spec.policy](self.spec, seen, vector[None, known].astype(np.float64))[0]
        cosines = cosines_to(seen.features, vector[known])
        familiarity = self._familiar(held, vector, cosines)
        return [
            Recall(
                self._representative(held, number, cosines),
                self._label(names[number]),
                self._cubes(held, number, cosines),
                float(np.clip(shares[number], 0, 1)),
                familiarity,
            )
            for number in np.argsort(-shares, kind="stable")[:k].tolist()
            if shares[number] > 0
        ]

    def familiarity(self, cue: ArrayLike) -> float:
        vector, (_, held) = check_vector("cue", cue, self.spec.dim), self._held()
        return self._familiar(held, vector, cosines_to(held.features, vector))

    def forget(self, *, key: ArrayLike | None = None, cube_id: str | None = None) -> Forgotten:
        vector = None if key is None else check_vector("key", key, self.spec.dim)
        numbers = self._items.find(code=vector, cube_id=cube_id)
        self._remove(numbers)
        if self._folded and not numbers:
            return Forgotten(0, False, "no slot has it, but it may be a part of the mean of a class")
        return Forgotten(len(numbers), True, "each feature had a slot of its own")

    def consolidate(self) -> Consolidated:
        """Keep ``shots`` features per class and fold the others into its mean, if the policy is ``prototype``.

        Which are kept hangs on what they are and on the seed, not on the order in which they came.
        """
        count = len(self._items)
        if self.spec.policy != "prototype":
            return Consolidated(count, 0, "slots need no consolidation")
        names, held = self._held()
        gone: list[int] = []
        for number, name in enumerate(names):
            own = np.flatnonzero(held.labels == number).tolist()
            gone += (rest := sorted(own, key=self._lot)[self.spec.shots :])
            if rest:
                self._fold(name, held.features[rest].astype(np.float64), held.strengths[rest])
        self._remove(gone)
        return Consolidated(count, len(gone), f"{len(gone)} features are a part of the means of their classes only")

    def load(self) -> Load:
        count = len(self._items)
        capacity = math.inf if self.spec.on_full == "grow" else self.spec.slots
        return Load(count, capacity, min(count / self.spec.slots, 1.0))

    def state_dict(self) -> dict[str, Array]:
        texts, folded = sorted(self._texts), sorted(self._folded)
        dim = self.spec.dim
        return {
            "spec": spec_array(self.spec),
            **self._items.state_dict(),
            "strengths": np.array(self._strengths, dtype=np.float64),
            "entropies": np.array(self._entropies, dtype=np.float64),
            "texts": np.array([self._texts[name] for name in texts], dtype=np.float32).reshape(-1, dim),
            "texts_labels": json_array(texts),
            "folded": np.array(
                [[self._folded[n].count, self._folded[n].squares, *self._folded[n].total] for n in folded]
            ).reshape(-1, dim + 2),
            "folded_labels": json_array(folded),
        }

    @classmethod
    def from_state(cls, spec: FeatureMemorySpec, state: Mapping[str, Array]) -> Self:
        check_state(spec, state)
        memory = cls(spec)
        memory._items = items = Items.from_state(state)
        memory._strengths = need(state, "strengths", (len(items),), np.float64, least=0, most=MOST_STRENGTH).tolist()
        memory._entropies = need(state, "entropies", (len(items),), np.float64).tolist()  # NaN: the label was given
        texts, folded = (stored_names(state, f"{name}_labels") for name in ("texts", "folded"))
        rows = need(state, "texts", (len(texts), spec.dim), np.float32, least=-LARGEST, most=LARGEST)
        memory._texts = dict(zip(texts, rows, strict=True))
        sums = need(state, "folded", (len(folded), spec.dim + 2), np.float64, least=-1e40, most=1e40)
        check_bounds("folded", sums[:, :2], least=0)
        memory._folded = {n: Folded(r[0].item(), r[2:], r[1].item()) for n, r in zip(folded, sums, strict=True)}
        if any(code.shape != (spec.dim,) or code.dtype != np.float32 for code in items.codes):
            raise Corrupt(f"The slots of this state are not of {spec.dim} numbers.")
        memory._names = [label_name(value) for value in items.values]
        memory._room = np.array(items.codes, dtype=np.float32).reshape(-1, spec.dim)
        check_bounds("items_codes", memory._room, -LARGEST, LARGEST)
        return memory

    # --- a classifier

    @property
    def classes(self) -> list[Value]:
        """The labels that are known, in a fixed order."""
        return [self._label(name) for name in self._held()[0]]

    def learn(self, features: ArrayLike, labels: Sequence[Value], *, cube_ids: Sequence[str] | None = None) -> None:
        """Store many labelled features (n, dim), as ``write`` does one by one.

        Raises: InvalidInput, LimitExceeded; then nothing has changed.
        """
        rows = self._checked(features)
        if len(rows) != len(labels) or len(rows) != len(cube_ids or labels):
            raise InvalidInput(f"There are {len(rows)} features and {len(labels)} labels.")
        ids: Sequence[str | None] = cube_ids or [None] * len(rows)
        clean = [checked_item(label, cube_id, 1.0, None) for label, cube_id in zip(labels, ids, strict=True)]
        if not len(rows):
            return
        load = self.load()
        if admit(Load(load.items + len(rows) - 1, load.capacity, load.fill), self.spec) == "evict":
            self._remove(range(min(len(self._items), int(load.items + len(rows) - load.capacity))))
            rows, clean = rows[-int(load.capacity) :], clean[-int(load.capacity) :]
        for row, (value, cube_id, strength, _) in zip(rows, clean, strict=True):
            self._append(row, value, strength, _KNOWN, cube_id, None)

    def describe(self, label: Value, text: ArrayLike | None) -> None:
        """Say by the feature of a text what a label means; ``dual`` knows it from then on without an example.

        None takes that back.
        Raises: InvalidInput if the policy is another: it would make nothing of it.
        """
        if self.spec.policy != "dual":
            raise InvalidInput(f"The policy {self.spec.policy} makes nothing of texts.", hint="Use policy='dual'.")
        name = label_name(freeze_json("label", label))
        if text is None:
            self._texts.pop(name, None)
        else:
            self._texts[name] = check_vector("text", text, self.spec.dim)
        self._cached = None

    def probabilities(self, features: ArrayLike) -> Floats:
        """Return (n, C), how likely each feature (n, dim) is of each of ``classes``. Raises: InvalidInput."""
        rows = self._checked(features).astype(np.float64)
        names, held = self._held()
        if not names:
            raise InvalidInput("The memory is empty: it knows no label.", hint="Learn or write something first.")
        policy = _POLICIES[self.spec.policy]
        parts = [policy(self.spec, held, rows[start : start + _AT_ONCE]) for start in range(0, len(rows), _AT_ONCE)]
        return np.concatenate(parts) if parts else np.zeros((0, len(names)))

    def adapt(self, feature: ArrayLike, *, cube_id: str | None = None) -> Adapted:
        """Guess the label of a feature, and keep the feature under it if the guess is good enough.

        knn, prototype  if its confidence reaches ``margin``; the oldest of ``queue`` guesses makes room
        dual            if its class has fewer than ``shots`` guesses, or one of higher entropy, which makes room
        A full memory keeps no more guesses. Raises: InvalidInput if it knows no label yet.
        """
        vector = check_vector("feature", feature, self.spec.dim)
        _, known_id, _, _ = checked_item(None, cube_id, 1.0, None)
        shares = self.probabilities(vector[None])[0]
        best = int(shares.argmax())
        name, confidence = self._held()[0][best], float(shares[best])
        entropy = -float((shares * np.log(np.maximum(shares, 1e-300))).sum())
        room = self._room_for_guess(name, confidence, entropy)
        if room is not None:
            self._remove(room)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", CapacityWarning)  # that is for those who write
                fits = self.load().items < self.load().capacity
            if fits:
                strength = confidence if self.spec.policy == "prototype" else 1.0
                self._append(vector, freeze_json("label", self._label(name)), strength, entropy, known_id, None)
                return Adapted(self._label(name), confidence, True)
        return Adapted(self._label(name), confidence, False)

    def replace_features(self, features: ArrayLike) -> None:
        """Give every slot its feature anew, in the order of the slots, after the encoder that made them has changed.

        What is folded keeps its number; its mean and its spread are those of the slots of its class.
        """
        rows = self._checked(features)
        if len(rows) != len(self._items):
            raise InvalidInput(f"There are {len(self._items)} slots and {len(rows)} features.")
        names, held = self._held()
        for name, folded in self._folded.items():
            own = rows[held.labels == names.index(name)].astype(np.float64)
            if not len(own):
                raise InvalidInput(f"No slot is left of the class {name}, so that its mean cannot be made anew.")
            folded.total = own.mean(axis=0) * folded.count
            folded.squares = float((own**2).sum(axis=1).mean()) * folded.count
        self._items.codes[:] = list(rows)
        self._room, self._cached = rows.copy(), None

    # --- inside

    def _held(self) -> tuple[list[str], Held]:
        """Return the names of the classes, sorted, and the slots by the number of their class."""
        if self._cached is None:
            names = sorted({*self._names, *self._texts, *self._folded})
            places = {name: number for number, name in enumerate(names)}
            nothing = np.zeros(self.spec.dim, dtype=np.float32)
            folded = [self._folded.get(name, Folded(0.0, np.zeros(self.spec.dim), 0.0)) for name in names]
            self._cached = (
                names,
                Held(
                    self._room[: len(self._items)],
                    np.array([places[name] for name in self._names], dtype=np.int64),
                    np.array(self._strengths, dtype=np.float64),
                    ~np.isnan(np.array(self._entropies, dtype=np.float64)),
                    np.array([self._texts.get(name, nothing) for name in names]).reshape(-1, self.spec.dim),
                    np.array([name in self._texts for name in names], dtype=np.bool_),
                    np.array([f.count for f in folded]),
                    np.array([f.total for f in folded]).reshape(-1, self.spec.dim),
                    np.array([f.squares for f in folded]),
                ),
            )
        return self._cached

    def _room_for_guess(self, name: str, confidence: float, entropy: float) -> list[int] | None:
        """Return which guesses make room for one more; None if it is not to be kept."""
        guesses = np.flatnonzero(~np.isnan(self._entropies)).tolist()
        if self.spec.policy != "dual":
            if confidence < self.spec.margin:
                return None
            return guesses[:1] if len(guesses) >= self.spec.queue else []
        own = [number for number in guesses if self._names[number] == name]
        if len(own) < self.spec.shots:
            return []
        worst = max(own, key=lambda number: self._entropies[number])
        return [worst] if entropy < self._entropies[worst] else None

    def _append(
        self,
        vector: NDArray[np.float32],
        value: Value,
        strength: float,
        entropy: float,
        cube_id: Any,
        when: datetime | None,
    ) -> None:
        count = len(self._items)
        if count == len(self._room):
            self._room = np.concatenate([self._room, np.zeros((max(count, 16), self.spec.dim), dtype=np.float32)])
        self._room[count] = vector
        self._items.add(vector, value, cube_id, when)
        self._names.append(label_name(value))
        self._strengths.append(strength)
        self._entropies.append(entropy)
        self._cached = None

    def _remove(self, numbers: Sequence[int]) -> None:
        if gone := sorted(set(numbers), reverse=True):
            self._room = np.delete(self._room[: len(self._items)], gone, axis=0)
            self._items.remove(gone)
            for number in gone:
                del self._names[number], self._strengths[number], self._entropies[number]
            self._cached = None

    def _fold(self, name: str, features: Floats, strengths: Floats) -> None:
        known = self._folded.setdefault(name, Folded(0.0, np.zeros(self.spec.dim), 0.0))
        known.count += float(strengths.sum())
        known.total = known.total + strengths @ features
        known.squares += float(strengths @ (features**2).sum(axis=1))

    def _lot(self, number: int) -> bytes:
        """Return where a slot stands in a fixed shuffle of all that could be written."""
        salt = self.spec.seed.to_bytes(8, "big")
        return hashlib.blake2b(self._items.codes[number].tobytes(), digest_size=16, salt=salt).digest()

    @staticmethod
    def _familiar(held: Held, vector: NDArray[np.float32], cosines: NDArray[np.floating]) -> float:
        folded = cosines_to(held.sums[held.counts > 0], vector)
        return float(np.clip(max(cosines.max(initial=0), folded.max(initial=0)), 0, 1))

    def _representative(self, held: Held, number: int, cosines: NDArray[np.floating]) -> Array:
        """Return the nearest slot of a class; else its folded mean, or what describes it."""
        own = np.flatnonzero(held.labels == number)
        if len(own):
            return np.array(held.features[own[np.argmax(cosines[own])]])
        folded = held.counts[number]
        return np.array(held.sums[number] / folded if folded else held.texts[number], dtype=np.float32)

    def _cubes(self, held: Held, number: int, cosines: NDArray[np.floating]) -> tuple[Any, ...]:
        """Return the cubes of the nearest slots of a class, the nearest first."""
        own = np.flatnonzero(held.labels == number)
        near = own[np.argsort(-cosines[own], kind="stable")].tolist()
        ids = dict.fromkeys(cube for n in near if (cube := self._items.cube_ids[n]) is not None)
        return tuple(ids)[: self.spec.neighbours]

    def _checked(self, features: ArrayLike) -> NDArray[np.float32]:
        return check_vectors("features", features, self.spec.dim)

    @staticmethod
    def _label(name: str) -> Value:
        return json.loads(name)
