"""What statistical mechanics says of dense Hebbian networks: replica-symmetric equations, solved.

K patterns of N sites are a load alpha = K / N^(P-1). With m the overlap with the pattern that is read and q that of two
replicas, the field on a spin is (P/2) (m^(P-1) + z sqrt(V)), z normal:
 P = 2   V = alpha q / (1 - (1 - q) / T)^2, since the noise answers to the state (Amit, Gutfreund and Sompolinsky)
 P >= 4  V = alpha v(q), v(q) = (P-1)! q^(P-1) without diagonal terms. With them the noise is the (P-1)th power of a
         normal number, whose Hermite components each see their own power of q: v(q) = sum_k c_k^2 k! q^k.
m = E tanh(field / T) and q = E tanh^2(field / T). At T = 0, q = 1 and m = erf(m^(P-1) / sqrt(2 V)).
Source: Amit, Gutfreund and Sompolinsky, Ann. Phys. 173 (1987) 30; arXiv:2111.12997 and arXiv:2212.00606 for P >= 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anamnos.associative.checks import check_positive
from anamnos.associative.hebbian.dynamics import check_order

Real = NDArray[np.float64]
_Z = np.linspace(-8, 8, 801)
_WEIGHTS = np.exp(-(_Z**2) / 2) / np.exp(-(_Z**2) / 2).sum()  # the rule of rectangles is exact enough for normal z
_STEPS, _SETTLED = 20_000, 1e-10


@dataclass(frozen=True, slots=True)
class Saddle:
    """A solution: overlap with the pattern, overlap of replicas, variance V of the noise."""

    overlap: float
    replicas: float
    noise: float


@dataclass(frozen=True, slots=True)
class Capacity:
    """The load up to which patterns are states of their own, and their overlap there."""

    load: float
    overlap: float


def noise_terms(order: int, diagonal: bool = False) -> dict[int, float]:
    """Return the polynomial v of the noise: power of q -> coefficient; the coefficients sum to C.

    >>> noise_terms(4), noise_terms(4, diagonal=True)
    ({3: 6.0}, {3: 6.0, 1: 9.0})
    """
    check_order(order)
    n = order - 1
    if not diagonal:
        return {n: float(math.factorial(n))}
    found = {}
    for k in range(n, 0, -2):
        j = (n - k) // 2
        coefficient = math.factorial(n) / (2**j * math.factorial(j) * math.factorial(k))
        found[k] = coefficient**2 * math.factorial(k)
    return found


def crosstalk(order: int, diagonal: bool = False) -> float:
    """Return C: at a pattern the noise has the variance C alpha, of a signal of 1."""
    return sum(noise_terms(order, diagonal).values())


def unstable(order: int, load: float, diagonal: bool = False) -> float:
    """Return the share of the spins of a pattern that are not the sign of their field: Phi(-1 / sqrt(C alpha))."""
    check_positive("load", load)
    return math.erfc(1 / math.sqrt(2 * crosstalk(order, diagonal) * load)) / 2


@cache
def capacity(order: int, diagonal: bool = False) -> Capacity:
    """Return the load at which the patterns cease to be states at temperature 0.

    With x = m^(P-1) / sqrt(2 V) the equations give the load as a function of x, whose maximum is sought:
    erf(x)^(2P-2) / (2 C x^2), and for P = 2 (erf(x)/x - 2/sqrt(pi) exp(-x^2))^2 / 2.
    """
    x = np.linspace(0.05, 5, 20_000)
    erf = np.array([math.erf(v) for v in x.tolist()])
    if order == 2:
        load = (erf / x - 2 / math.sqrt(math.pi) * np.exp(-(x**2))) ** 2 / 2
    else:
        load = erf ** (2 * order - 2) / (2 * crosstalk(order, diagonal) * x**2)
    best = int(np.argmax(load))
    return Capacity(float(load[best]), float(erf[best]))


def patterns_per_load(order: int, length: int, diagonal: bool = False) -> float:
    """Return K / alpha at a finite size: N^(P-1), or without diagonal terms (N-1)(N-2)...(N-P+1).

    That many ordered choices of other sites are what signal and noise sum over: signal^2 / noise^2 is exactly
    this number / (C K), so that small networks follow the theory of large ones.
    """
    if diagonal:
        return float(length ** (order - 1))
    return float(math.prod(length - k for k in range(1, order)))


def retrieval(order: int, load: float, temperature: float = 0.0, diagonal: bool = False, start: float = 1.0) -> Saddle:
    """Return the solution that is reached from the overlap ``start``. Raises: InvalidInput."""
    check_positive("load", load)
    check_positive("temperature", temperature, zero=True)
    check_order(order)
    if temperature > 0:
        m, q, v = (float(x) for x in retrieval_grid(order, load, temperature, diagonal, start))
        return Saddle(m, q, v)
    m, v = start, load * crosstalk(order, diagonal)
    for _ in range(_STEPS):
        before = m, v
        if order == 2:  # halfway, since the noise answers to itself
            answer = math.sqrt(2 / (math.pi * v)) * math.exp(-min(m * m / (2 * v), 700.0))
            v = (v + load / max(1 - answer, 1e-6) ** 2) / 2
        m = math.erf(m ** (order - 1) / math.sqrt(2 * v))
        if abs(m - before[0]) + abs(v - before[1]) < _SETTLED:
            break
    return Saddle(m, 1.0, v)


def retrieval_grid(
    order: int, load: ArrayLike, temperature: ArrayLike, diagonal: bool = False, start: float = 1.0, steps: int = 2_000
) -> tuple[Real, Real, Real]:
    """Return m, q and V for arrays of loads and temperatures > 0 at once, from the overlap ``start``."""
    alpha, kelvin = np.broadcast_arrays(np.asarray(load, np.float64), np.asarray(temperature, np.float64))
    m, q = np.full(alpha.shape, start), np.ones(alpha.shape)
    v = alpha * crosstalk(order, diagonal)
    for _ in range(steps):
        v = _noise(order, diagonal, alpha, kelvin, q, v)
        tanh = np.tanh(order / 2 * (m[..., None] ** (order - 1) + np.sqrt(v)[..., None] * _Z) / kelvin[..., None])
        new_m, new_q = tanh @ _WEIGHTS, tanh**2 @ _WEIGHTS
        moved = max(np.abs(new_m - m).max(), np.abs(new_q - q).max())
        m, q = new_m, new_q
        if moved < 1e-8:
            break
    return m, q, v


def _noise(order: int, diagonal: bool, alpha: Real, temperature: Real, q: Real, before: Real) -> Real:
    if order > 2:
        terms = noise_terms(order, diagonal).items()
        return np.asarray(alpha * sum(c * q**k for k, c in terms))
    answer = np.maximum(1 - (1 - q) / temperature, 0.02)  # below 0 the iteration has left the phase; it comes back
    return np.asarray((before + alpha * q / answer**2) / 2)


def capacity_at(order: int, temperatures: ArrayLike, diagonal: bool = False, halvings: int = 16) -> Real:
    """Return the largest load with a retrieval state (m > 0) at each temperature > 0; 0 where there is none."""
    kelvin = np.asarray(temperatures, np.float64)
    low, high = np.zeros(kelvin.shape), np.full(kelvin.shape, 1.2 * capacity(order, diagonal).load)
    for _ in range(halvings):
        middle = (low + high) / 2
        there = retrieval_grid(order, np.maximum(middle, 1e-12), kelvin, diagonal)[0] > 0.1
        low, high = np.where(there, middle, low), np.where(there, high, middle)
    return low


def stability_limit(order: int, load: ArrayLike, temperature: ArrayLike) -> Real:
    """Return what must be below 1 for the retrieval state to be replica symmetric (de Almeida and Thouless).

    It is V'(q) (P/2)^2 / T^2 E(1 - tanh^2)^2, with V' = alpha (P-1) (P-1)! q^(P-2), and V / q for P = 2.
    """
    m, q, v = retrieval_grid(order, load, temperature)
    kelvin = np.asarray(temperature, np.float64)
    slope = v * (order - 1) / np.maximum(q, 1e-12)
    tanh = np.tanh(order / 2 * (m[..., None] ** (order - 1) + np.sqrt(v)[..., None] * _Z) / kelvin[..., None])
    return np.asarray(slope * (order / 2 / kelvin) ** 2 * ((1 - tanh**2) ** 2 @ _WEIGHTS))


def ground_energy(order: int, load: float) -> float:
    """Return the energy per spin of the retrieval state at temperature 0, without diagonal terms, for P >= 4.

    (P-1)/2 m^P - E |(P/2) (m^(P-1) + z sqrt(V))|, an extremum in m.
    """
    found = retrieval(order, load)
    m, sigma = found.overlap ** (order - 1), math.sqrt(found.noise)
    folded = sigma * math.sqrt(2 / math.pi) * math.exp(-((m / sigma) ** 2) / 2) + m * math.erf(m / sigma / math.sqrt(2))
    return (order - 1) / 2 * found.overlap**order - order / 2 * folded
