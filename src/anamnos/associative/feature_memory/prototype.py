"""A Gaussian per class with a prior on its mean: exact Bayes, so the order of learning plays no part.

mu_c ~ N(0, s0^2 I), z | c ~ N(mu_c, sigma^2 I), classes ~ Dirichlet(alpha). With n_c features of sum S_c the mean of
class c is N(m_c, v_c I), v_c = 1 / (1 / s0^2 + n_c / sigma^2), m_c = v_c S_c / sigma^2, and
p(c | z) is in proportion to (alpha + n_c) N(z; m_c, (sigma^2 + v_c) I). Source: the model of arXiv:2301.01828, worked
out here for an isotropic Gaussian.
"""

from __future__ import annotations

import numpy as np

from anamnos.associative.feature_memory.held import Floats, Held, softmax
from anamnos.associative.feature_memory.spec import FeatureMemorySpec

_LEAST = 1e-12


def probabilities(spec: FeatureMemorySpec, held: Held, cues: Floats) -> Floats:
    """Return (q, C), the posterior of the classes."""
    counts, sums, squares = statistics(held)
    dim = held.features.shape[1]
    seen = max(float(counts.sum()), 1.0)
    spread = spec.spread or max(float(squares.sum()) / (seen * dim), _LEAST)
    noise = spec.noise or _within(counts, sums, squares, dim) or spread
    uncertain = 1 / (1 / spread + counts / noise)
    means = uncertain[:, None] * sums / noise
    variance = noise + uncertain
    cues = cues.astype(np.float64)
    away = (cues**2).sum(axis=1)[:, None] - 2 * cues @ means.T + (means**2).sum(axis=1)
    logits = np.log(spec.concentration + counts) - dim / 2 * np.log(variance) - away / (2 * variance)
    return softmax(logits)


def statistics(held: Held) -> tuple[Floats, Floats, Floats]:
    """Return per class how many features there are, their sum and the sum of their squared lengths."""
    of_class = np.eye(held.classes)[held.labels] * held.strengths[:, None]
    features = held.features.astype(np.float64)
    return (
        held.counts + of_class.sum(axis=0),
        held.sums + of_class.T @ features,
        held.squares + of_class.T @ (features**2).sum(axis=1),
    )


def _within(counts: Floats, sums: Floats, squares: Floats, dim: int) -> float:
    """Return the variance within classes; 0 if no class has two features."""
    free = float(np.maximum(counts - 1, 0).sum())
    rest = float((squares - (sums**2).sum(axis=1) / np.maximum(counts, _LEAST))[counts > 0].sum())
    return rest / (free * dim) if free > 0 and rest > 0 else 0.0
