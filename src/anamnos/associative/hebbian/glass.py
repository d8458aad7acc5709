"""Beyond replica symmetry: the glass of many patterns, with one step of its breaking, and by counting small systems.

Far more than N patterns, none of which is read, are couplings that are as good as normal and independent: a P-spin
glass of J^2 = P! alpha / 2. Energies and temperatures here are in units of that J. With one step of replica symmetry
breaking states of overlap q share a valley, others have overlap 0, and two replicas share one with probability 1 - x:
-f/T = (1 - P q^(P-1) + (P-1)(1-x) q^P) / (4 T^2) + log E (2 cosh(z sqrt(P q^(P-1) / 2) / T))^x / x.
Source: Gardner, Nucl. Phys. B 257 (1985) 747; arXiv:2111.12997, where patterns make that glass.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anamnos.associative.checks import check_positive, check_whole
from anamnos.errors import InvalidInput

Real = NDArray[np.float64]
_Z = np.linspace(-12, 12, 2_401)
_LOG_WEIGHTS = -(_Z**2) / 2 - math.log(np.exp(-(_Z**2) / 2).sum())
MOST_SITES = 22


@dataclass(frozen=True, slots=True)
class Breaking:
    """One step of breaking: overlap within a valley, probability x that two replicas are in different ones, energy."""

    overlap: float
    apart: float
    free_energy: float


def coupling(order: int, load: float) -> float:
    """Return J of the glass that ``load`` makes: sqrt(P! alpha / 2)."""
    check_positive("load", load)
    return math.sqrt(math.factorial(order) * load / 2)


def free_energy(order: int, temperature: float, q: ArrayLike, x: ArrayLike) -> Real:
    """Return f of one step of breaking per spin, for arrays of q and x in (0, 1]."""
    overlap, apart = np.broadcast_arrays(np.asarray(q, np.float64), np.asarray(x, np.float64))
    beta = 1 / temperature
    polynomial = 1 - order * overlap ** (order - 1) + (order - 1) * (1 - apart) * overlap**order
    fields = beta * np.sqrt(order * overlap ** (order - 1) / 2)[..., None] * _Z
    inner = apart[..., None] * np.logaddexp(fields, -fields) + _LOG_WEIGHTS
    top = inner.max(axis=-1)
    entropy = (top + np.log(np.exp(inner - top[..., None]).sum(axis=-1))) / apart
    return np.asarray(-(beta / 4) * polynomial - entropy / beta)


def _valley(order: int, temperature: float, x: float, start: float = 0.999) -> float:
    """Return the q that one step of breaking has at x: the mean of tanh^2 in a valley; 0 if there is none."""
    q = start
    for _ in range(500):
        fields = np.sqrt(order * q ** (order - 1) / 2) * _Z / temperature
        weights = x * np.logaddexp(fields, -fields) + _LOG_WEIGHTS
        weights = np.exp(weights - weights.max())
        new = float((weights * np.tanh(fields) ** 2).sum() / weights.sum())
        if abs(new - q) < 1e-10:
            break
        q = new
    return q if q > 1e-3 else 0.0


def broken(order: int, temperature: float) -> Breaking:
    """Return the equilibrium with one step of breaking: the x at which the free energy is largest."""
    check_positive("temperature", temperature)
    low, high = 1e-3, 1.0
    for _ in range(16):
        x = (low + high) / 2
        low, high = (x, high) if _slope(order, temperature, x) > 0 else (low, x)
    q = _valley(order, temperature, high)
    return Breaking(q, high, float(free_energy(order, temperature, q, high)))


def _slope(order: int, temperature: float, x: float) -> float:
    """Return df/dx at the q of x; infinite where there are no valleys."""
    q = _valley(order, temperature, x)
    if q < 0.1:
        return math.inf
    step = 1e-4
    f = free_energy(order, temperature, q, np.array([x - step, x]))
    return float((f[1] - f[0]) / step)


def transitions(order: int) -> tuple[float, float]:
    """Return the temperatures at which valleys appear and at which they win, in units of J, for P >= 4.

    At the first (dynamic) the equation for q at x = 1 gets a solution; below the second (static) those valleys are no
    more so many that they make up for their free energy: f at x just below 1 exceeds that of the paramagnet.
    """

    def lowest(test: Callable[[float], bool], low: float, high: float) -> float:
        for _ in range(16):
            middle = (low + high) / 2
            low, high = (middle, high) if test(middle) else (low, middle)
        return (low + high) / 2

    dynamic = lowest(lambda t: _valley(order, t, 1.0) > 0.1, 0.05, 2.0)
    return dynamic, lowest(lambda t: _slope(order, t, 1.0) < 0, 0.05, dynamic)


def valleys(order: int, y: ArrayLike) -> tuple[Real, Real, Real]:
    """Return phi(y), energy and complexity of the valleys at temperature 0, where x / T tends to y.

    phi(y) = -(y/4 + log(2 Phi(y sqrt(P/2))) / y) is the free energy at y; e = d(y phi)/dy and the complexity, log of
    the number of valleys of energy e over N, is y^2 dphi/dy. The ground state is where phi is largest.
    """
    ys = np.asarray(y, np.float64)
    tail = np.array([math.erfc(-v * math.sqrt(order / 2) / math.sqrt(2)) for v in ys.ravel()]).reshape(ys.shape)
    log = np.log(tail)
    slope = math.sqrt(order / 2) * np.exp(-(ys**2) * order / 4) * math.sqrt(2 / math.pi) / tail
    phi = -(ys / 4 + log / ys)
    return phi, -(ys / 2 + slope), -(ys**2) / 4 + log - ys * slope


def ground_energy(order: int) -> float:
    """Return the energy per spin of the glass's ground state with one step of breaking, in units of J.

    >>> round(ground_energy(3), 4), round(ground_energy(30), 4)  # the random-energy model has -sqrt(log 2)
    (-0.8135, -0.8326)
    """
    return float(valleys(order, np.linspace(0.05, 6, 20_000))[0].max())


# --- small systems, all states counted


def spectrum(patterns: NDArray[np.int8], order: int) -> Real:
    """Return the energies of all 2^N states under (K, N) patterns; bit i of the number of a state tells spin i: -1.

    The energy is a polynomial of the spins: its coefficients, each at the number of its set of spins, transformed.
    Raises: InvalidInput for more than 22 sites.
    """
    length = patterns.shape[1]
    check_whole("sites", length, least=order)
    if length > MOST_SITES:
        raise InvalidInput(f"All states of {length} spins are too many.", hint=f"At most {MOST_SITES} sites.")
    coefficients = np.zeros(2**length)
    columns = np.ascontiguousarray(patterns.T)
    for chosen in combinations(range(length), order):
        coefficients[sum(1 << site for site in chosen)] = np.prod(columns[list(chosen)], axis=0).sum(dtype=np.int64)
    return -math.factorial(order) / (2 * float(length) ** (order - 1)) * hadamard(coefficients)


def replica_overlaps(energies: Real, temperature: float) -> tuple[Real, Real]:
    """Return the overlaps q of two replicas of one small system at equilibrium, and their exact probabilities.

    The probability that replicas differ in the set t of spins is the correlation sum_s w(s) w(s xor t) of the weights:
    the square of their Walsh-Hadamard transform, transformed back.
    """
    check_positive("temperature", temperature)
    weights = np.exp(-(energies - energies.min()) / temperature)
    together = hadamard(hadamard(weights / weights.sum()) ** 2) / len(energies)
    length = len(energies).bit_length() - 1
    apart = np.array([0])
    for _ in range(length):
        apart = np.concatenate([apart, apart + 1])  # how many bits a number has
    return 1 - 2 * np.arange(length + 1) / length, np.bincount(apart, together, length + 1).astype(np.float64)


def hadamard(values: ArrayLike) -> Real:
    """Return the Walsh-Hadamard transform of 2^n values.

    >>> hadamard([1.0, 2.0]).tolist()
    [3.0, -1.0]
    """
    out = np.array(values, dtype=np.float64)
    half = 1
    while half < len(out):
        pairs = out.reshape(-1, 2, half)
        out = np.stack([pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]], axis=1).reshape(-1)
        half *= 2
    return out
