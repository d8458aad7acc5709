"""What a feature memory holds, as the policies see it."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anamnos.associative.base import Value
from anamnos.cube import thaw_json

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Held:
    """The slots of a memory with C classes.

    features   (n, d) float32, as they were written
    labels     (n,), number of the class of each
    strengths  (n,), how many exposures each counts for
    guessed    (n,) bool: the label is the memory's own guess
    texts      (C, d), what describes each class; ``described`` (C,) bool says where there is one
    counts, sums, squares  of features that are folded into their class: (C,), (C, d), (C,) sum of squared lengths
    """

    features: NDArray[np.float32]
    labels: NDArray[np.int64]
    strengths: Floats
    guessed: NDArray[np.bool_]
    texts: NDArray[np.float32]
    described: NDArray[np.bool_]
    counts: Floats
    sums: Floats
    squares: Floats

    @property
    def classes(self) -> int:
        return len(self.described)

    def seen_at(self, known: NDArray[np.bool_]) -> Held:
        """Return the same with only the dimensions that are known; folded squares are of all of them."""
        share = float(known.mean())
        return Held(
            self.features[:, known],
            self.labels,
            self.strengths,
            self.guessed,
            self.texts[:, known],
            self.described,
            self.counts,
            self.sums[:, known],
            self.squares * share,
        )


@dataclass(slots=True)
class Folded:
    """Features of a class that are kept as their number, their sum and their squared lengths' sum only."""

    count: float
    total: Floats
    squares: float


def units(vectors: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return vectors of length 1 along the last axis; zeros stay."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12))


def softmax(logits: Floats) -> Floats:
    """Return probabilities along the last axis."""
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def cosines_to(rows: NDArray[np.floating], vector: NDArray[np.float32]) -> NDArray[np.floating]:
    """Return the cosine of each row to a vector, 0 where one of them is 0."""
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(vector)
    return np.asarray(rows @ vector / np.maximum(lengths, 1e-12))


def label_name(label: Value) -> str:
    """Return a label as text: equal for equal labels."""
    return json.dumps(thaw_json(label), sort_keys=True, ensure_ascii=False)
