"""Text, static and dynamic memory of each class, read by attention and added up.

The static memory holds labelled features, the dynamic one the memory's own guesses; what describes a class is one more
slot of both. Where nothing describes a class, the mean of its features stands for that.
Source: arXiv:2403.17589, section 3.2, without its learnt offsets.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from anamnos.associative.feature_memory.held import Floats, Held, softmax, units
from anamnos.associative.feature_memory.spec import FeatureMemorySpec


def probabilities(spec: FeatureMemorySpec, held: Held, cues: Floats) -> Floats:
    """Return (q, C): softmax of the weighted sum of the three classifiers' logits."""
    near_cues = units(cues).astype(np.float32)  # as the slots: else each read would copy them all
    lengths, anchors = np.maximum(np.linalg.norm(held.features, axis=1), 1e-12), _anchors(held)
    cosines = (near_cues @ held.features.T / lengths).astype(np.float64)
    near = (np.exp(-spec.beta * (1 - cosines)) * held.strengths / lengths).astype(np.float32)
    named = near_cues @ anchors.T
    near_anchor = np.exp(-spec.beta * (1 - named))
    logits = spec.text_weight * named.astype(np.float64)
    for weight, part in ((spec.static_weight, ~held.guessed), (spec.dynamic_weight, held.guessed)):
        if weight == 0:
            continue
        for number in range(held.classes):
            own = np.flatnonzero(part & (held.labels == number))
            found = near[:, own] @ held.features[own] + near_anchor[:, number, None] * anchors[number]
            logits[:, number] += weight * (units(found) * near_cues).sum(axis=1)
    return softmax(spec.scale * logits)


def _anchors(held: Held) -> NDArray[np.floating]:
    """Return (C, d): what describes each class; else the mean of its labelled features, else that of all of them."""
    anchors = np.array(held.texts, dtype=np.float64)
    for number in np.flatnonzero(~held.described):
        own = held.labels == number
        labelled = own & ~held.guessed
        slots = units(held.features[labelled if labelled.any() else own])
        anchors[number] = slots.mean(axis=0) if len(slots) else 0
    return units(anchors).astype(np.float32)
