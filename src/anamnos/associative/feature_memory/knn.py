"""Nearest labelled neighbours, weighted by softmax(cosine / temperature). Source: arXiv:2304.12566, section 3."""

from __future__ import annotations

import numpy as np

from anamnos.associative.feature_memory.held import Floats, Held, units
from anamnos.associative.feature_memory.spec import FeatureMemorySpec


def probabilities(spec: FeatureMemorySpec, held: Held, cues: Floats) -> Floats:
    """Return (q, C): the weights of the neighbours by class. Of equally near ones all are asked."""
    if not len(held.features):
        return np.full((len(cues), held.classes), 1 / held.classes)
    cosines = (units(cues) @ units(held.features).T).astype(np.float64)
    nearest = min(spec.neighbours, cosines.shape[1])
    least = np.partition(cosines, -nearest, axis=1)[:, -nearest, None]
    best = cosines.max(axis=1, keepdims=True)
    asked = cosines >= np.where(best >= spec.radius, spec.radius, least)
    weights = np.where(asked, np.exp((cosines - best) / spec.temperature) * held.strengths, 0)
    by_class = weights @ np.eye(held.classes)[held.labels]
    return np.asarray(by_class / by_class.sum(axis=1, keepdims=True))
