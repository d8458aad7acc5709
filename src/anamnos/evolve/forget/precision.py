"""Embeddings of fewer bits for memories of which little is left, and a distance that knows how sure each is.

Measured against cosine in docs/explanation/forgetting.md; the vector index does not use it.
Source: FRQAD of SuperLocalMemory V3.3, arXiv:2604.04514, on the Fisher-Rao distance of V3, arXiv:2603.14588; the
released code passes variances where the formula has standard deviations, ours takes their roots.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anamnos.errors import InvalidInput

BITS = (32, 8, 4, 2)
_LEAST_VARIANCE, _MOST_VARIANCE, _MOST_INFLATED = 0.05, 2.0, 10.0
KAPPA = 0.5
_SMALL = 1e-7  # below it, arccosh is a series
Vectors = NDArray[np.float32]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Quantised:
    """Vectors at a lower precision.

    codes   (n, dim) int8 in [-L, L], L = 2^(bits - 1) - 1; for 32 bits the vectors themselves, float32
    scale   (n, 1) float32: what a code of 1 stands for
    bits    per number: 32, 8, 4 or 2
    """

    codes: NDArray[np.int8] | Vectors
    scale: Vectors
    bits: int

    def vectors(self) -> Vectors:
        """Return the vectors as they are now known: (n, dim) float32."""
        return np.asarray(self.codes * self.scale, dtype=np.float32)


def quantised(vectors: Vectors, bits: int) -> Quantised:
    """Return vectors (n, dim) rounded to ``bits`` bits a number, each on a scale of its own.

    The error of each number is at most half its vector's scale. Raises: InvalidInput for other bits or for NaN.

    >>> quantised(np.array([[1.0, -0.4, 0.1]], dtype=np.float32), 2).vectors().tolist()
    [[1.0, -0.0, 0.0]]
    """
    _check_bits(bits)
    vectors = np.asarray(vectors, dtype=np.float32)
    if vectors.ndim != 2 or not np.isfinite(vectors).all():
        raise InvalidInput("Vectors to quantise must be a finite array of shape (n, dim).")
    if bits == 32:
        return Quantised(vectors, np.ones((len(vectors), 1), dtype=np.float32), bits)
    levels = 2 ** (bits - 1) - 1
    scale = np.maximum(np.abs(vectors).max(axis=1, keepdims=True, initial=0.0), 1e-12) / levels
    return Quantised(np.rint(vectors / scale).astype(np.int8), scale.astype(np.float32), bits)


def first_variance(vectors: Vectors) -> Floats:
    """Return how unsure each number of unit vectors (n, dim) is: 2 - 1.95 |x| / max |x|, within [.05, 2]."""
    size = np.abs(np.asarray(vectors, dtype=np.float64))
    most = np.maximum(size.max(axis=-1, keepdims=True), 1e-12)
    return np.asarray(np.clip(2 - 1.95 * size / most, _LEAST_VARIANCE, _MOST_VARIANCE))


def inflated(variance: Floats, bits: int) -> Floats:
    """Return the variance of numbers known to ``bits`` bits: times (32 / bits) ^ .5, within [.05, 10]."""
    _check_bits(bits)
    return np.asarray(np.clip(variance * (32 / bits) ** KAPPA, _LEAST_VARIANCE, _MOST_INFLATED))


def fisher_rao(mean: Floats, variance: Floats, other_mean: Floats, other_variance: Floats) -> Floats:
    """Return the distance of diagonal Gaussians, the last axis being their dimensions: a metric.

    d = sqrt(sum d_i^2), d_i = sqrt(2) arccosh(1 + ((m - m')^2 + 2 (s - s')^2) / (4 s s')), s the root of the variance.
    Raises: InvalidInput for NaN, or for a variance that is not > 0.
    """
    means = np.asarray(mean, dtype=np.float64), np.asarray(other_mean, dtype=np.float64)
    variances = np.asarray(variance, dtype=np.float64), np.asarray(other_variance, dtype=np.float64)
    if not all(np.isfinite(array).all() for array in (*means, *variances)):
        raise InvalidInput("Means and variances must be finite.")
    if not all((array > 0).all() for array in variances):
        raise InvalidInput("Variances must be > 0.")
    spread, other_spread = np.sqrt(variances[0]), np.sqrt(variances[1])
    apart = (means[0] - means[1]) ** 2 + 2 * (spread - other_spread) ** 2
    delta = apart / (4 * spread * other_spread)
    exact = np.log1p(delta + np.sqrt(delta * (delta + 2)))
    series = np.sqrt(2 * delta) * (1 - delta / 12)
    return np.asarray(np.sqrt(2 * (np.where(delta < _SMALL, series, exact) ** 2).sum(axis=-1)))


def frqad(vectors: Vectors, bits: int, others: Vectors, other_bits: int) -> Floats:
    """Return the distance of vectors, knowing with how many bits each side is kept: Fisher-Rao at 32 and 32.

    vectors, others  arrays that broadcast, the last axis of length dim
    """
    mean, other_mean = (_unit(np.asarray(side, dtype=np.float64)) for side in (vectors, others))
    variance = inflated(first_variance(mean.astype(np.float32)), bits)
    other_variance = inflated(first_variance(other_mean.astype(np.float32)), other_bits)
    return fisher_rao(mean, variance, other_mean, other_variance)


def _unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12))


def _check_bits(bits: int) -> None:
    if bits not in BITS:
        raise InvalidInput(f"bits must be one of {', '.join(map(str, BITS))}, got {bits!r}.")
