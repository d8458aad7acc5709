"""The state that recalls a pattern with one step of replica symmetry breaking, for P >= 4 without diagonal terms.

Below the line of de Almeida and Thouless that state falls into valleys: overlap q1 within one, q0 between two. With
h = (P/2) m^(P-1) + J sqrt(P q0^(P-1) / 2) z + J sqrt(P (q1^(P-1) - q0^(P-1)) / 2) y, z and y normal,
-f/T = -(P-1) m^P / (2T) + (J/2T)^2 (1 - P q1^(P-1) + (P-1) (x q0^P + (1-x) q1^P)) + E_z log E_y (2 cosh(h/T))^x / x,
J^2 = P! alpha / 2, stationary in m, q0 and q1, and largest in x.
Source: arXiv:2111.12997 (the dense network; our notation).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anamnos.associative.checks import check_positive
from anamnos.associative.hebbian.dynamics import check_order
from anamnos.errors import InvalidInput

Real = NDArray[np.float64]
_Z = np.linspace(-5, 5, 61)
_WEIGHTS = np.exp(-(_Z**2) / 2) / np.exp(-(_Z**2) / 2).sum()
_X = np.array([0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 0.95])


@dataclass(frozen=True, slots=True)
class BrokenState:
    """Overlap m with the pattern, q0 and q1, probability x that two replicas are in different valleys, free energy."""

    overlap: float
    between: float
    within: float
    apart: float
    free_energy: float


def broken_retrieval(order: int, load: float, temperature: float, steps: int = 400) -> BrokenState:
    """Return the recalling state at a temperature > 0; m is 0 where there is none. Raises: InvalidInput."""
    check_order(order)
    check_positive("load", load)
    check_positive("temperature", temperature)
    if order == 2:
        raise InvalidInput("Breaking is worked out for orders 4 and 6 only.")
    noise = order / 2 * math.sqrt(math.factorial(order - 1) * load)
    m, q0, q1 = np.ones(len(_X)), np.full(len(_X), 0.97), np.full(len(_X), 0.995)
    for _ in range(steps):
        before = m
        fields, weights, _ = _valleys(order, temperature, noise, m, q0, q1)
        tanh = np.tanh(fields)
        inner = (weights * tanh).sum(axis=2)
        m, q0 = inner @ _WEIGHTS, inner**2 @ _WEIGHTS
        q1 = (weights * tanh**2).sum(axis=2) @ _WEIGHTS
        if np.abs(m - before).max() < 1e-7:
            break
    free = _free_energy(order, load, temperature, noise, m, q0, q1)
    free = np.where(m > 0.3, free, -np.inf)
    best = int(np.argmax(free))
    if m[best] <= 0.3:
        return BrokenState(0.0, 0.0, 0.0, 1.0, math.nan)
    return BrokenState(float(m[best]), float(q0[best]), float(q1[best]), float(_X[best]), float(free[best]))


def _valleys(order: int, temperature: float, noise: float, m: Real, q0: Real, q1: Real) -> tuple[Real, Real, Real]:
    """Return h/T at (x, z, y), the share of each y at its z, and log E_y (2 cosh(h/T))^x."""
    wide = noise * np.sqrt(np.maximum(q0, 0) ** (order - 1))
    narrow = noise * np.sqrt(np.maximum(q1 ** (order - 1) - np.maximum(q0, 0) ** (order - 1), 0))
    centre = (order / 2 * m ** (order - 1))[:, None] + wide[:, None] * _Z
    fields = (centre[:, :, None] + narrow[:, None, None] * _Z) / temperature
    exponent = _X[:, None, None] * np.logaddexp(fields, -fields)
    top = exponent.max(axis=2, keepdims=True)
    weights = np.exp(exponent - top) * _WEIGHTS
    total = weights.sum(axis=2, keepdims=True)
    return fields, weights / total, (top + np.log(total))[:, :, 0]


def _free_energy(order: int, load: float, temperature: float, noise: float, m: Real, q0: Real, q1: Real) -> Real:
    log = _valleys(order, temperature, noise, m, q0, q1)[2]
    square = math.factorial(order) * load / 2 / (4 * temperature**2)
    overlaps = 1 - order * q1 ** (order - 1) + (order - 1) * (_X * q0**order + (1 - _X) * q1**order)
    minus = -(order - 1) * m**order / (2 * temperature) + square * overlaps + (log @ _WEIGHTS) / _X
    return np.asarray(-temperature * minus)
