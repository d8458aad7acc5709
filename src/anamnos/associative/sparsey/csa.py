"""The code selection algorithm of Sparsey, one function per step.

A coding field (mac) is Q winner-take-all modules (CMs) of K binary units; a code is one winner per CM. How familiar the
input is, G, sets how much noise is in the choice: the units that know it best, or any.

Arrays end in (..., Q, K) for units, (..., Q) for CMs, (...) for macs; every axis before is done in parallel.
Source: arXiv:1611.04023, steps 1 to 12 (the form of steps 4, 5, 6 and the constants are ours where that is silent).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anamnos.associative.checks import check_positive
from anamnos.errors import InvalidInput

Reals = NDArray[np.floating[Any]]
Winners = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class CsaParameters:
    """How familiarity turns into the choice of winners.

    g_minus         familiarity up to which the choice is uniform, in [0, 1)
    gamma           how late, above it, the best unit is favoured
    chi             how strongly, in multiples of K; 0: never, all choices are uniform
    sigma1, sigma4  shape of the sigmoid from support to win weight
    sigma2, sigma3  its slope, and the support in its middle
    """

    g_minus: float = 0.4
    gamma: float = 4.0
    chi: float = 10.0
    sigma1: float = 1.0
    sigma2: float = 28.0
    sigma3: float = 0.85
    sigma4: float = 1.0

    def __post_init__(self) -> None:
        for name in ("gamma", "sigma1", "sigma2", "sigma4"):
            check_positive(name, getattr(self, name))
        for name in ("g_minus", "chi", "sigma3"):
            check_positive(name, getattr(self, name), zero=True)
        if self.g_minus >= 1:
            raise InvalidInput(f"g_minus must be below 1, got {self.g_minus!r}.")


SIMILARITY = CsaParameters(g_minus=0.1, gamma=2.0, chi=100.0)
"""Like inputs get like codes; near ones may get the same."""
CAPACITY = CsaParameters()
"""Keeps more items apart."""
EDGES = CsaParameters(sigma2=40.0, sigma3=0.9)
"""For many small fields of edges."""


def activates(count: ArrayLike, least: float, most: float) -> NDArray[np.bool_]:
    """Step 1: return whether a mac runs, by how many units or macs are active in its field."""
    given = np.asarray(count)
    return np.asarray((given >= least) & (given <= most))


def raw_sums(active: ArrayLike, weights: NDArray[Any], correction: ArrayLike = 1.0) -> Reals:
    """Step 2: return the weighted input of every unit, (Q, K).

    active      (L,) or (batch, L) of 0 and 1
    weights     (L, Q, K)
    correction  F of the mac that each input comes from, (L,) or one for all
    """
    signals = np.asarray(active, dtype=np.float32) * np.asarray(correction, dtype=np.float32)
    flat = signals @ weights.reshape(len(weights), -1).astype(np.float32)
    return np.asarray(flat.reshape(*signals.shape[:-1], *weights.shape[1:]))


def normalised(sums: Reals, count: ArrayLike, modules: int = 1) -> Reals:
    """Step 3: return the sums as shares, in [0, 1]: 1 where all that is active now is known.

    count    of active units, or of active macs with ``modules`` winners each, in the field: (...)
    """
    most = np.maximum(np.asarray(count, dtype=np.float64) * modules, 1)[..., None, None]
    return np.minimum(1.0, sums / most)


def local_support(*evidence: tuple[Reals, float]) -> Reals:
    """Step 4: return V, the product of the sources (normalised, exponent); leave out those that are silent."""
    if not evidence:
        raise InvalidInput("local_support needs at least one source.", hint="A mac without input does not run.")
    support: Reals = np.asarray(1.0)
    for source, exponent in evidence:
        support = support * (source if exponent == 1 else source**exponent)
    return support


def hypotheses(v: Reals, threshold: float = 0.95) -> NDArray[np.int64]:
    """Step 5: return how many hypotheses are active, zeta: units above the threshold, mean over the CMs, rounded."""
    return np.asarray(np.rint((v > threshold).sum(axis=-1).mean(axis=-1)), dtype=np.int64)


def correction(zeta: ArrayLike, exponent: float = 1.0, most: float = 6.0) -> Reals:
    """Step 6: return F, by which the mac's signals are multiplied: zeta ** exponent; 0 above ``most`` or without any.

    With zeta equal hypotheses a unit of each CM carries 1 / zeta of each; F restores the full strength of each.
    """
    given = np.asarray(zeta, dtype=np.float64)
    return np.where((given >= 1) & (given <= most), given**exponent, 0.0)


def familiarity(v: Reals) -> Reals:
    """Steps 7 and 8: return G, the mean over the CMs of the best support in each: (..., Q, K) -> (...)."""
    return np.asarray(v.max(axis=-1).mean(axis=-1))


def expansivity(g: ArrayLike, K: int, parameters: CsaParameters) -> Reals:
    """Step 9: return eta, how much more a best unit may weigh than one without support: (...) -> (...)."""
    above = np.maximum(0.0, (np.asarray(g, dtype=np.float64) - parameters.g_minus) / (1 - parameters.g_minus))
    return 1 + above**parameters.gamma * parameters.chi * K


def sigmoid(v: Reals, parameters: CsaParameters) -> Reals:
    """Return how much of the expansivity a unit gets by its support, in [0, 1]."""
    p = parameters
    return np.asarray(1 / (1 + p.sigma1 * np.exp(-p.sigma2 * (v - p.sigma3))) ** p.sigma4)


def win_weights(v: Reals, g: ArrayLike, K: int, parameters: CsaParameters) -> Reals:
    """Step 10: return psi of every unit: v (..., Q, K) and g (...) -> (..., Q, K), at least 1."""
    return 1 + (expansivity(g, K, parameters)[..., None, None] - 1) * sigmoid(v, parameters)


def psi_table(S: int, g: ArrayLike, K: int, parameters: CsaParameters, count: ArrayLike | None = None) -> Reals:
    """Return psi by the integer sum of a unit: (..., S + 1). Saves an exponential per unit.

    count  of active inputs, (...), by which sums are divided; None: S
    """
    active = np.asarray(S if count is None else count, dtype=np.float64)
    shares = np.minimum(1.0, np.arange(S + 1) / np.maximum(active, 1)[..., None])
    return 1 + (expansivity(g, K, parameters)[..., None] - 1) * sigmoid(shares, parameters)


def probabilities(psi: Reals) -> Reals:
    """Step 11: return rho, the chance of every unit to win its CM. All 0 where no unit of a CM has any weight."""
    total = psi.sum(axis=-1, keepdims=True)
    return np.asarray(psi / np.where(total > 0, total, 1))


def choose(
    v: Reals, parameters: CsaParameters, rng: np.random.Generator, plastic: NDArray[np.bool_] | None = None
) -> Winners:
    """Step 12, learning: return one winner per CM, drawn by its win weight: (..., Q, K) -> (..., Q).

    plastic  (..., Q, K), which units can still learn; only they are drawn. A CM without one gives its best unit.
    """
    psi = win_weights(v, familiarity(v), v.shape[-1], parameters)
    luck = rng.random(v.shape[:-1])
    if plastic is None:
        return draw(psi, luck)
    drawn = draw(np.where(plastic, psi, 0.0), luck)
    return np.where(plastic.any(axis=-1), drawn, draw(_best_mask(v), luck))


def best(v: Reals, rng: np.random.Generator | None = None) -> Winners:
    """Step 12, retrieval: return the best unit per CM, (..., Q): ties at random, the first of them without ``rng``."""
    if rng is None:
        return np.asarray(v.argmax(axis=-1), dtype=np.int64)
    return draw(_best_mask(v), rng.random(v.shape[:-1]))


def draw(weights: Reals, luck: Reals) -> Winners:
    """Return the place on the last axis where the running sum passes ``luck``, in [0, 1), of the total."""
    running = np.cumsum(weights, axis=-1, dtype=np.float64)
    passed = running > luck[..., None] * running[..., -1:]
    return np.asarray(passed.argmax(axis=-1), dtype=np.int64)


def _best_mask(v: Reals) -> Reals:
    return np.asarray(v == v.max(axis=-1, keepdims=True), dtype=np.float64)
