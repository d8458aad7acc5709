"""Words that mean the same where they stand: each word of the cue against each word of a memory.

"What does she do to destress?" finds "running clears my head": no word in common, and the sentence as a whole is about
something else, but "destress" and "clears" are close. A costly look, taken at the shortlist only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from anamnos.index.keyword import Scores
from anamnos.recall.channels.base import Search

_SHARPNESS = 3  # a cosine of .8 counts half of 1, one of .4 next to nothing
_ENOUGH = 0.5  # matched so well in all, a word of the cue counts half of what it can
_BACK, _AHEAD, _STEPS = 0.6, 0.4, 2
_WORTH_SAYING = 0.6


@dataclass(frozen=True)
class LateChannel:
    """The part of the cue, weighted by the rarity of its words, that is matched; in [0, 1].

    With M(t, w) the highest cosine between word w of the cue and a word of turn t, and r(w) the rarity of w:
    turn    sum of r(w) M(t, w)
    spread  sum of r(w) G / (G + 1/2), with G = M(t)^3 + .6 M(t-1)^3 + .36 M(t-2)^3 + .4 M(t+1)^3 + .16 M(t+2)^3,
            of one session: BM25's way to count a word, with degrees of being there
    Source: ColBERT, arXiv:2004.12832, for the best match; the rest is ours, chosen on REALTALK and LoCoMo 0-1.
    """

    grain: Literal["turn", "spread"]
    standardise: bool = False

    @property
    def name(self) -> str:
        return f"late.{self.grain}"

    def score(self, search: Search) -> Scores:
        out = np.zeros(len(search.space), dtype=np.float32)
        docs, matches = search.matches
        if not len(docs):
            return out
        weights = search.token_weights
        if self.grain == "turn":
            out[docs] = matches @ weights
            return out
        place = np.full(len(search.space) + 1, len(docs))  # the last one stands for no neighbour, -1
        place[docs] = np.arange(len(docs))
        sharp = np.vstack([matches**_SHARPNESS, np.zeros((1, matches.shape[1]), dtype=np.float32)])
        total = sharp[:-1].copy()
        for neighbour, factor in ((search.space.before, _BACK), (search.space.after, _AHEAD)):
            near, weight = docs, np.float32(1)
            for _ in range(_STEPS):
                near = np.where(near >= 0, neighbour[near], -1)
                weight *= np.float32(factor)
                total += weight * sharp[place[near]]
        out[docs] = (total / (total + _ENOUGH)) @ weights
        return out

    def explain(self, search: Search, doc: int, score: float) -> str:
        docs, matches = search.matches
        place = int(np.searchsorted(docs, doc))
        if search.tokens is None or self.grain != "turn" or place == len(docs) or docs[place] != doc:
            return ""
        close = dict.fromkeys(search.tokens.terms[matches[place] >= _WORTH_SAYING].tolist())
        said = [term for term in close if term in search.postings and doc in search.postings[term][0]]
        words = [search.cue.words[term] for term in close if term in search.cue.words and term not in said]
        return (
            f"has words close to {', '.join(f'“{word}”' for word in words)}" if words else ""
        )  # what it says literally, another channel tells
