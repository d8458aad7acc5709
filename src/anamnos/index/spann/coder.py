"""Unit vectors as few bytes: the directions that tell them apart, rounded.

Vectors of a model vary in some directions much more than in others. Turned so that these come first (their principal
axes), the first half of the numbers orders neighbours nearly as well as all of them, and is half the work to read. The
best few are compared again by the vectors themselves, which makes up for the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Codes = NDArray[np.uint8]

MIDDLE = 128  # the byte that stands for 0
_LARGEST = 127
_STEP = 32  # widths are multiples of it
_SAMPLE = 20_000
_QUERIES = 300
_KEPT = 0.995  # share of the nearest 10 of the sample that the best ``_OF`` by code must hold
_OF = 20


@dataclass(frozen=True)
class Coder:
    """How vectors become bytes.

    basis  (dim, width) float32: orthonormal columns; where width is above dim, the last are zeros
    scale  what a number of the turned vector is multiplied by to become a byte
    """

    basis: Floats
    scale: float

    @property
    def width(self) -> int:
        """Bytes per vector, a multiple of 8."""
        return int(self.basis.shape[1])

    @classmethod
    def fit(cls, vectors: Floats, rng: np.random.Generator) -> Coder:
        """Return a coder for vectors like these: (n, dim), n >= 1. It is as short as keeps the nearest nearest."""
        sample = vectors[rng.permutation(len(vectors))[:_SAMPLE]]
        dim = sample.shape[1]
        _, axes = np.linalg.eigh(sample.T.astype(np.float64) @ sample)
        basis = np.zeros((dim, -(-dim // 8) * 8), dtype=np.float32)
        basis[:, :dim] = axes[:, ::-1]
        turned = sample @ basis
        scale = scale_for(turned)
        queries, others = np.arange(min(_QUERIES, len(sample) // 2)), slice(min(_QUERIES, len(sample) // 2), None)
        true = _best(turned[queries] @ turned[others].T, 10)
        for width in range(_STEP, dim, _STEP):
            short = cls(np.ascontiguousarray(basis[:, :width]), scale)
            found = _best(turned[queries, :width] @ short.decode(short.encode_short(turned[others, :width])).T, _OF)
            held = sum(len(np.intersect1d(a, b)) for a, b in zip(true, found, strict=True))
            if held >= _KEPT * true.size > 0:
                return short
        return cls(basis, scale)

    def shorten(self, vectors: Floats) -> Floats:
        """Return the first directions of vectors (n, dim): (n, width)."""
        return vectors @ self.basis

    def encode_short(self, short: Floats) -> Codes:
        """Return what ``shorten`` gave as bytes: (n, width); what is too large is cut off."""
        return to_bytes(short, self.scale)

    def decode(self, codes: Codes) -> Floats:
        """Return what bytes stand for: (n, width)."""
        return (codes.astype(np.float32) - np.float32(MIDDLE)) / np.float32(self.scale)


def to_bytes(numbers: Floats, scale: float) -> Codes:
    """Return numbers times ``scale`` as bytes around ``MIDDLE``."""
    codes: Codes = (np.clip(np.rint(numbers * np.float32(scale)), -_LARGEST, _LARGEST) + MIDDLE).astype(np.uint8)
    return codes


def scale_for(numbers: Floats) -> float:
    """Return the scale at which the largest of ``numbers`` is the largest byte."""
    return float(_LARGEST / max(float(np.abs(numbers).max(initial=0.0)), 1e-9))


def _best(scores: Floats, count: int) -> NDArray[np.intp]:
    if count >= scores.shape[1]:
        return np.argsort(-scores, axis=1)
    return np.argpartition(-scores, count, axis=1)[:, :count]
