"""What is learnt of an archetype from noisy examples: replica-symmetric predictions at temperature 0.

An example is the archetype with every spin right with probability (1 + r) / 2; M of them have the dataset entropy
rho = (1 - r^2) / (M r^2). At a site S, the sum of the examples' spins times the archetype's, is binomial.
 supervised    a teacher says which examples are of one archetype; their mean, of unit second moment, is the pattern.
               field = S n^(P-1) / (M r sqrt(1 + rho)) + z sqrt(V), V = alpha C: the load that counts is alpha (1+rho)^P
 unsupervised  every example is a pattern. field = S n^(P-1) + z sqrt(V), V = alpha C (M + M (M-1) r^(2P)), n the
               overlap with an example: examples disturb one another unless M r^(2P) is large
For P = 2 the noise answers to the state as in ``replica``, at each eigenvalue of the examples' covariance.
Source: arXiv:2212.00606 (supervised), arXiv:2211.14067 (unsupervised); the binomial form is ours, where they take a
normal one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anamnos.associative.checks import check_positive, check_whole
from anamnos.associative.hebbian.replica import crosstalk
from anamnos.errors import InvalidInput

Real = NDArray[np.float64]
_STEPS = 2_000


@dataclass(frozen=True, slots=True)
class Learnt:
    """Overlap of the state with the archetype, and with what was stored: the mean of examples, or an example."""

    archetype: float
    stored: float


def entropy(quality: float, count: int) -> float:
    """Return rho = (1 - r^2) / (M r^2). Raises: InvalidInput unless 0 < r <= 1 and M >= 1."""
    check_positive("quality", quality)
    check_whole("count", count)
    if quality > 1:
        raise InvalidInput(f"quality must be above 0 and at most 1, got {quality}.")
    return (1 - quality**2) / (count * quality**2)


def supervised(order: int, load: float, quality: float, count: int, start: float = 1.0) -> Learnt:
    """Return what a network of ``load`` = archetypes / N^(P-1) recalls from an overlap ``start`` with an archetype."""
    rho = entropy(quality, count)
    totals, chances = _binomial(quality, count)
    return _solve(
        order,
        totals / (count * quality * math.sqrt(1 + rho)),
        chances,
        start / math.sqrt(1 + rho),
        lambda answer: load * crosstalk(order) / ((1 - answer) ** 2 if order == 2 else 1),
    )


def unsupervised(
    order: int, load: float, quality: float, count: int, start: float = 1.0, length: int | None = None
) -> Learnt:
    """Return the same where nobody says which examples belong together.

    length  N, to allow for what differs between the overlaps with single examples, which is of order 1 / (r^2 N)
    """
    entropy(quality, count)
    totals, chances = _binomial(quality, count)
    eigenvalues = ((1 - quality**2 + count * quality**2, 1), (1 - quality**2, count - 1))

    def noise(answer: float) -> float:
        if order == 2:
            return float(load * sum(times * (e / max(1 - e * answer, 0.02)) ** 2 for e, times in eigenvalues))
        return load * crosstalk(order) * (count + count * (count - 1) * quality ** (2 * order))

    def spread(stored: float) -> float:
        if length is None or order == 2:
            return 0.0
        degree = order - 1  # of He_degree(sqrt(N) n + z), the terms in z
        terms = (math.comb(degree, k) ** 2 * math.factorial(k) * stored ** (2 * (degree - k)) / length**k
                 for k in range(1, degree))  # fmt: skip
        return float(count * sum(terms))

    return _solve(order, totals, chances, start * quality, noise, spread, quality)


def _solve(
    order: int,
    totals: Real,
    chances: Real,
    start: float,
    noise: Callable[[float], float],
    spread: Callable[[float], float] = lambda stored: 0.0,
    quality: float | None = None,
) -> Learnt:
    """Iterate m and n; ``quality`` is given where n is the overlap with one example, which leans on the state."""
    stored, archetype, answer = start, 0.0, 0.0
    for _ in range(_STEPS):
        variance = max(noise(answer) + spread(stored), 1e-300)
        scaled = totals * stored ** (order - 1) / math.sqrt(2 * variance)
        erf = np.array([math.erf(v) for v in scaled])
        archetype = float(chances @ erf)
        density = float(chances @ np.exp(-(scaled**2))) * math.sqrt(2 / (math.pi * variance))
        answer = (answer + min(density, 0.98)) / 2 if order == 2 else density
        before = stored
        if quality is None:
            stored = float(chances @ (totals * erf))
        else:
            stored = quality * archetype + (1 - quality**2) * stored ** (order - 1) * density
        if abs(stored - before) < 1e-9:
            break
    return Learnt(archetype, stored)


def _binomial(quality: float, count: int) -> tuple[Real, Real]:
    """Return the sums of ``count`` spins that are +1 with probability (1 + quality) / 2, and their probabilities."""
    plus = np.arange(count + 1)
    right = (1 + quality) / 2
    if quality == 1:
        return np.array([float(count)]), np.ones(1)
    logs = [
        math.lgamma(count + 1) - math.lgamma(k + 1) - math.lgamma(count - k + 1)
        + k * math.log(right) + (count - k) * math.log(1 - right)
        for k in range(count + 1)
    ]  # fmt: skip
    return (2 * plus - count).astype(np.float64), np.exp(np.array(logs, dtype=np.float64))
