"""What a reranker is: the best hits of a search in, the same hits in a better order out.

Laws (``tests/unit/recall/rerank`` checks them on every one):
 1. It gives back the hits that it got, each once; which memories they are and how similar is not touched.
 2. Rank scores stay with the places, so that they still fall from hit to hit. One that moved says so: it has a channel
    with the reranker's name, whose share is what the move was worth, and a reason.
 3. The same query and hits give the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from anamnos.types import ChannelScore, Hit

VectorsOf = Callable[[Sequence[Hit]], NDArray[np.float32]]
"""Gives the unit vectors of hits: (len(hits), dim) float32, zeros where there is none."""


class Reranker(Protocol):
    """Puts hits in a better order."""

    @property
    def name(self) -> str:
        """As it appears in a hit's ``channels``."""

    @property
    def depth(self) -> int:
        """Of how many hits it chooses, at least; 0: only those that are returned anyway, of which none is lost."""

    def rerank(self, query: str, hits: Sequence[Hit], vectors_of: VectorsOf) -> list[Hit]:
        """Return ``hits`` in another order, best first."""


def placed(hits: Sequence[Hit], order: Sequence[int], name: str, raw: Sequence[float], reason: str) -> list[Hit]:
    """Return ``hits`` in a new order, as law 2 says.

    order   numbers of hits, best first; those left out follow as they were
    raw     what the reranker ``name`` thinks of each hit, as far as any of them moves
    reason  what is said of one that moved up
    """
    chosen = set(order)
    whole = [*order, *(number for number in range(len(hits)) if number not in chosen)]
    return [
        hits[number] if number == place else _moved(hits, number, place, name, raw, reason)
        for place, number in enumerate(whole)
    ]


def _moved(hits: Sequence[Hit], number: int, place: int, name: str, raw: Sequence[float], reason: str) -> Hit:
    hit, score = hits[number], hits[place].rank_score
    return replace(
        hit,
        rank_score=score,
        channels={**hit.channels, name: ChannelScore(float(raw[number]), score - hit.rank_score)},
        reason=f"{reason}; {hit.reason}" if place < number else hit.reason,
    )
