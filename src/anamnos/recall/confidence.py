"""How likely it is that a memory holds the answer at all: a graded doubt, not a refusal.

It can say "never spoken of", and "spoken of, but by somebody else"; it cannot tell "spoken of, but not this".
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from anamnos.recall.channels.base import Search
from anamnos.recall.channels.late import LateChannel

_LOOKED_AT = 10


def confidence(search: Search, docs: Sequence[int]) -> float:
    """Return the probability that the answer is there, in [0, 1], as of a cue that has one as often as not.

    With vectors of words: 1 / (1 + exp(4.3 - 6.5 m + 13.6 g)), where m is the best ``late.turn`` of the shortlist and g
    how much of it is lost among what the one person named in the cue said. Without: 1 / (1 + exp(1.1 - 1.9 c)), where
    c is the most that one of the ten best of ``docs`` holds of the cue's words, by rarity.
    Source: ours; logistic regressions on questions of REALTALK and LoCoMo 0-1, half of them with an answer, half of
    another conversation or (LoCoMo's adversarial ones) about the other person.
    """
    if not len(docs):
        return 0.0
    if search.tokens is None:
        return _sigmoid(1.9 * _coverage(search, docs[:_LOOKED_AT]) - 1.1)
    matched = LateChannel("turn").score(search)
    best = float(matched.max())
    own = matched[search.said_by_named > 0]
    lost = best - float(own.max()) if len(own) else 0.0
    return _sigmoid(6.5 * best - 13.6 * lost - 4.3)


def _coverage(search: Search, docs: Sequence[int]) -> float:
    """Return the largest share of the cue's words, by rarity, that one document holds; names of speakers left out."""
    names = {word for name in search.cue.speakers for word in name.casefold().split()}
    asked = [term for term, word in search.cue.words.items() if word not in names]
    size = int(np.count_nonzero(search.mask))
    held, rarity = np.zeros((len(asked), len(docs)), dtype=bool), np.zeros(len(asked))
    for place, term in enumerate(asked):
        found, _ = search.postings[term]
        found = found[search.mask[found]]
        held[place] = np.isin(docs, found)
        rarity[place] = math.log(1 + (size - len(found) + 0.5) / (len(found) + 0.5))
    return float((rarity @ held).max() / max(rarity.sum(), 1e-9)) if asked else 0.0


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))
