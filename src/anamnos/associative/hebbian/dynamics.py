"""Spins under the Glauber dynamics of a dense Hebbian network: P-spin couplings that are never built.

The Hamiltonian is H = -(N/2) sum_mu m_mu^P with the overlaps m_mu = p_mu / N, p_mu = sum_i x_i^mu s_i. Of its terms
either those stay in which no site comes twice, H = -(P! / 2 N^(P-1)) sum_mu e_P(x^mu s), e_P an elementary symmetric
polynomial, or all (``diagonal``). The field on a spin is half of what H gains by its flip. It hangs on the p_mu alone,
which a flip changes in O(K): a sweep costs O(N K), whatever P is.
Source: arXiv:2212.00606 (the model), arXiv:1606.01164 (fields as differences of energy).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anamnos.associative.checks import check_positive
from anamnos.associative.hebbian.kernels import fast_sweep
from anamnos.errors import InvalidInput

Spins = NDArray[np.int8]
Real = NDArray[np.float64]
ORDERS = (2, 4, 6)
SWEEPS = 50
_LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Relaxed:
    """Where states went: (R, N) spins, how many sweeps it took, and whether another would change nothing."""

    states: Spins
    sweeps: int
    converged: bool


class Network(ABC):
    """Patterns, and how they act on spins.

    patterns  (K, N)
    order     P, the number of spins in a coupling: 2, 4 or 6
    diagonal  whether couplings of a site with itself count
    """

    def __init__(self, patterns: NDArray[np.generic], order: int, diagonal: bool) -> None:
        check_order(order)
        self.order, self.diagonal = order, diagonal
        self.count, self.length = patterns.shape
        if self.length < order:
            raise InvalidInput(f"Couplings of {order} spins need at least as many sites, got {self.length}.")

    @property
    def scale(self) -> float:
        """What turns a field as it is counted here into one in units of the Hamiltonian."""
        power = float(self.length) ** (1 - self.order)
        return power / 4 if self.diagonal else math.factorial(self.order) * power / 2

    def relax(
        self,
        states: ArrayLike,
        *,
        sweeps: int = SWEEPS,
        temperature: float = 0.0,
        rng: np.random.Generator,
    ) -> Relaxed:
        """Return where states (R, N) of -1 and +1 go in at most ``sweeps`` visits of every spin, in a new order each.

        At temperature 0 a spin takes the sign of its field, and stays where that is 0; the energy never rises.
        """
        check_positive("temperature", temperature, zero=True)
        spins = np.array(states, dtype=np.int8, ndmin=2, order="C")
        sums = self._sums(spins)
        taken, flips = 0, 1
        while taken < sweeps and (flips or temperature):
            order = rng.permutation(self.length)
            thresholds = np.zeros(spins.shape)
            if temperature > 0:  # P(+1) = 1 / (1 + exp(-2 h / T)) is: h > T / 2 log(u / (1 - u)), u uniform
                uniform = rng.random(spins.shape)
                thresholds = temperature / 2 * np.log(np.maximum(uniform, 1e-300) / (1 - uniform)) / self.scale
            flips = self._sweep(spins, sums, order, thresholds)
            taken += 1
        return Relaxed(spins, taken, temperature == 0 and not flips)

    def completed(self, state: ArrayLike, *, rng: np.random.Generator) -> Spins:
        """Return a state (N,) whose zeros became the signs of the fields that its other spins make."""
        spins = np.array(state, dtype=np.int8)
        unknown = np.flatnonzero(spins == 0)
        if len(unknown):
            fields = self._fields_at(spins, unknown)
            chance = rng.choice(np.array([-1, 1], dtype=np.int8), size=len(unknown))
            spins[unknown] = np.where(fields > 0, 1, np.where(fields < 0, -1, chance))
        return spins

    @abstractmethod
    def fields(self, states: ArrayLike) -> Real:
        """Return the field on every spin of states (R, N), in units of the Hamiltonian."""

    @abstractmethod
    def energy(self, states: ArrayLike) -> Real:
        """Return the Hamiltonian of states (R, N)."""

    @abstractmethod
    def _sums(self, spins: Spins) -> NDArray[np.generic]: ...

    @abstractmethod
    def _sweep(self, spins: Spins, sums: NDArray[np.generic], order: NDArray[np.int64], thresholds: Real) -> int: ...

    @abstractmethod
    def _fields_at(self, spins: Spins, sites: NDArray[np.int64]) -> Real: ...


class SignNetwork(Network):
    """Patterns of -1 and +1, or with 0 for blanks if ``order`` is 2: exact in whole numbers.

    Raises: InvalidInput if 64 bits cannot hold the fields.
    """

    def __init__(self, patterns: ArrayLike, order: int = 4, diagonal: bool = False) -> None:
        self.patterns = np.ascontiguousarray(patterns, dtype=np.int8)
        super().__init__(self.patterns, order, diagonal)
        if not (np.abs(self.patterns) == 1).all() and (order > 2 or (np.abs(self.patterns) > 1).any()):
            raise InvalidInput(f"Patterns of a network of order {order} must be -1 or +1.", hint="Order 2 allows 0.")
        self._columns = np.ascontiguousarray(self.patterns.T)
        self._table = self._weights(self.length - 1)
        self.run = fast_sweep()

    def fields(self, states: ArrayLike) -> Real:
        spins = np.array(states, dtype=np.int8, ndmin=2)
        sums, middle = self._sums(spins), self.length - 1
        out = np.empty(spins.shape)
        for site, pattern in enumerate(self._columns):
            others = sums - spins[:, site, None] * pattern
            out[:, site] = (self._table[others + middle] * pattern).sum(axis=1)
        return out * self.scale

    def energy(self, states: ArrayLike) -> Real:
        sums = self._sums(np.array(states, dtype=np.int8, ndmin=2))
        if self.diagonal:
            return np.asarray(-self.length / 2 * ((sums / self.length) ** self.order).sum(axis=1))
        if self.order == 2:  # patterns may have blanks: their squares do not sum to N
            pairs = (sums.astype(np.int64) ** 2).sum(axis=1) - np.count_nonzero(self.patterns)
            return np.asarray(-pairs / (2 * self.length))
        polynomial = elementary_table(self.order, self.length)
        return np.asarray(-self.scale * polynomial[sums + self.length].astype(np.float64).sum(axis=1))

    def _weights(self, others: int) -> NDArray[np.int64]:
        """Return the table of the kernel for fields of ``others`` spins. Raises: InvalidInput if it overflows."""
        if self.diagonal:
            raised = [(q + 1) ** self.order - (q - 1) ** self.order for q in range(-others, others + 1)]
        elif self.order == 2:
            raised = list(range(-others, others + 1))
        else:
            return _whole(elementary_table(self.order - 1, others).tolist(), self.count)
        return _whole(raised, self.count)

    def _sums(self, spins: Spins) -> NDArray[np.int32]:
        # floats of 32 bits hold sums below 2^24 exactly, and their product is far faster than that of whole numbers
        return (spins.astype(np.float32) @ self.patterns.T.astype(np.float32)).astype(np.int32)

    def _sweep(self, spins: Spins, sums: NDArray[np.generic], order: NDArray[np.int64], thresholds: Real) -> int:
        return int(self.run(self._columns, self._table, spins, sums, order, thresholds))

    def _fields_at(self, spins: Spins, sites: NDArray[np.int64]) -> Real:
        known = int(np.count_nonzero(spins))
        weights = self._weights(known)[self._sums(spins[None])[0] + known]
        return np.asarray([(weights * self._columns[site]).sum() for site in sites], dtype=np.float64) * self.scale


class RealNetwork(Network):
    """Patterns of real numbers, such as averages of examples: fields by Newton's identities, in floats."""

    def __init__(self, patterns: ArrayLike, order: int = 4, diagonal: bool = False) -> None:
        self.patterns = np.ascontiguousarray(patterns, dtype=np.float64)
        super().__init__(self.patterns, order, diagonal)
        if not np.isfinite(self.patterns).all():
            raise InvalidInput("Patterns must be finite numbers.")
        powers = 1 if diagonal or order == 2 else order - 1
        self._powers = np.stack([self.patterns.T ** (j + 1) for j in range(powers)])  # (powers, N, K)

    def fields(self, states: ArrayLike) -> Real:
        spins = np.array(states, dtype=np.int8, ndmin=2)
        sums = self._sums(spins)
        return np.stack([self._field(spins, sums, i) for i in range(self.length)], axis=1) * self.scale

    def energy(self, states: ArrayLike) -> Real:
        spins = np.array(states, dtype=np.float64, ndmin=2)
        if self.diagonal:
            return np.asarray(-self.length / 2 * ((spins @ self.patterns.T / self.length) ** self.order).sum(axis=1))
        sums = np.stack([spins**j @ (self.patterns**j).T for j in range(1, self.order + 1)])
        return np.asarray(-self.scale * elementary(sums).sum(axis=-1))

    def _sums(self, spins: Spins) -> Real:
        """Return the power sums of pattern times state, (powers, R, K)."""
        return np.stack([spins.astype(np.float64) ** (j + 1) @ power for j, power in enumerate(self._powers)])

    def _field(self, spins: Spins, sums: Real, site: int) -> Real:
        x, old = self._powers[:, site], spins[:, site].astype(np.float64)
        signs = np.stack([old ** (j + 1) for j in range(len(x))])
        others = sums - signs[:, :, None] * x[:, None, :]
        if self.diagonal:
            weights = (others[0] + x[0]) ** self.order - (others[0] - x[0]) ** self.order
            return np.asarray(weights.sum(axis=-1))
        return np.asarray((elementary(others) * x[0]).sum(axis=-1), dtype=np.float64)

    def _sweep(self, spins: Spins, sums: NDArray[np.generic], order: NDArray[np.int64], thresholds: Real) -> int:
        totals, flips = cast(Real, sums), 0
        for site in order.tolist():
            field, old, level = self._field(spins, totals, site), spins[:, site], thresholds[:, site]
            new = np.where(field > level, 1, np.where(field < level, -1, old)).astype(np.int8)
            changed = np.flatnonzero(new != old)
            if len(changed):
                step = (new[changed] - old[changed]).astype(np.float64)[:, None]
                totals[::2, changed] += step * self._powers[::2, site][:, None, :]  # even powers of a spin never change
                spins[changed, site] = new[changed]
                flips += len(changed)
        return flips

    def _fields_at(self, spins: Spins, sites: NDArray[np.int64]) -> Real:
        sums = self._sums(spins[None])
        return np.asarray([self._field(spins[None], sums, site)[0] for site in sites.tolist()]) * self.scale


def check_order(order: object) -> None:
    """Raise InvalidInput unless ``order`` is a number of spins in a coupling that is known."""
    if order not in ORDERS or isinstance(order, bool):
        raise InvalidInput(
            f"order cannot be {order!r}.", hint="Use 2, 4 or 6; with an odd one states differ from their mirrors."
        )


def network(patterns: NDArray[np.generic], order: int = 4, diagonal: bool = False) -> Network:
    """Return the exact network for patterns of whole numbers, else that in floats."""
    kind = SignNetwork if patterns.dtype.kind in "iu" else RealNetwork
    return kind(patterns, order, diagonal)


def elementary(sums: Real) -> Real:
    """Return e_n of variables whose power sums 1 to n are along the first axis: Newton's identities.

    >>> elementary(np.array([6.0, 14.0, 36.0])).item()  # of 1, 2 and 3
    6.0
    """
    found = [np.ones_like(sums[0])]
    for k in range(1, len(sums) + 1):
        terms = [(-1) ** (j - 1) * found[k - j] * sums[j - 1] for j in range(1, k + 1)]
        found.append(np.asarray(sum(terms) / k))
    return np.asarray(found[-1], dtype=np.float64)


def elementary_table(degree: int, count: int) -> NDArray[np.int64]:
    """Return e_degree of ``count`` variables of -1 and +1, at their sum + ``count``; 0 at sums that cannot be.

    That is the coefficient of t^degree in (1 + t)^plus (1 - t)^minus, a Krawtchouk polynomial. Raises: InvalidInput.
    """
    values = [0] * (2 * count + 1)
    for minus in range(count + 1):
        plus = count - minus
        terms = [(-1) ** j * math.comb(minus, j) * math.comb(plus, degree - j) for j in range(degree + 1)]
        values[2 * plus] = sum(terms)
    return _whole(values, 1)


def _whole(values: list[int], count: int) -> NDArray[np.int64]:
    largest = max(map(abs, values))
    if largest * max(count, 1) > _LARGEST:
        raise InvalidInput(
            f"{count:,} patterns whose terms reach {largest:.2g} are more than whole numbers of 64 bits hold.",
            hint="Take fewer sites, fewer patterns or a smaller order.",
        )
    return np.array(values, dtype=np.int64)
