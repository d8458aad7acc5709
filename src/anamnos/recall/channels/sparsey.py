"""Codes in common: how many winners of a Sparsey code the cue shares with a memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from anamnos.associative.sparsey.belief import BeliefMemory, BeliefSpec
from anamnos.index.keyword import Scores
from anamnos.index.space import SpaceIndex
from anamnos.recall.channels.base import Search

Codes = NDArray[np.uint8]


@dataclass(frozen=True)
class SparseyChannel:
    """Belief: the share of equal winners in the codes of cue and memory, in [0, 1].

    modules, units  of a code: one winner in each of so many modules of so many units, fixed weights
    Takes time in proportion to the memories of the scope; their codes are made once. In no recipe: beside zsum-v3,
    recall@10 changes by -.007 to -.002 on LoCoMo 0-1 and by -.008 to -.002 on REALTALK 1-5 (weights .05 to .3; with
    256 modules of 16 units, -.011 to -.001): the codes know less than the cosine that they are made from.
    Source: code and belief of Sparsey, arXiv:1710.07829.
    """

    modules: int = 128
    units: int = 32
    name: str = "sparsey"
    standardise: bool = True

    def score(self, search: Search) -> Scores:
        out = np.zeros(len(search.space), dtype=np.float32)
        docs = search.compared
        if len(docs):
            coder = _coder(len(search.vector), self.modules, self.units)
            equal = _codes(coder, search, docs) == coder.encode(search.vector)
            out[docs] = equal.mean(axis=1, dtype=np.float32)
        return out

    def explain(self, search: Search, doc: int, score: float) -> str:
        return ""


_MADE: WeakKeyDictionary[SpaceIndex, dict[BeliefSpec, dict[int, Codes]]] = WeakKeyDictionary()
"""Codes by space and row; a row keeps its vector for as long as it is there."""


def _codes(coder: BeliefMemory, search: Search, docs: NDArray[np.intp]) -> Codes:
    """Return the codes of documents, (n, modules)."""
    made = _MADE.setdefault(search.space, {}).setdefault(coder.spec, {})
    rows = search.space.rows[docs]
    new = np.array([row for row in rows.tolist() if row not in made], dtype=np.int64)
    if len(new):
        made.update(zip(new.tolist(), coder.encode(search.vectors.gather(new)), strict=True))
    return np.array([made[row] for row in rows.tolist()])


@lru_cache(maxsize=4)
def _coder(dim: int, modules: int, units: int) -> BeliefMemory:
    return BeliefMemory(BeliefSpec(dim=dim, modules=modules, units=units, tables=1, lists=1))
