"""The parameters of a circuit as whole numbers: what a model stores, and what both ends of a code agree on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from anamnos.associative.circuits.structure import Floats, Tree

BITS = 16
"""Every distribution is whole numbers from 1 on that sum to two to this power."""


@dataclass(frozen=True, eq=False)
class Tables:
    """A hidden tree: each variable has a hidden state of its own; hidden states hang on each other as a tree.

    tree         of the hidden states
    root         (states,) float64: P(state of the root) times 2^16
    transitions  (variables, states of the parent, states): P(state | its parent) times 2^16; unused at the root
    emissions    per variable (states, alphabet): P(symbol | state) times 2^16
    All are whole numbers in float64, so that sums of products below 2^53 are exact in whatever order they are done.
    """

    tree: Tree
    root: Floats
    transitions: Floats
    emissions: tuple[Floats, ...]

    @property
    def states(self) -> int:
        return len(self.root)

    @cached_property
    def alphabets(self) -> NDArray[np.int64]:
        return np.array([table.shape[1] for table in self.emissions], dtype=np.int64)

    @cached_property
    def by_symbol(self) -> list[Floats]:
        """Return per variable P(symbol | state) times 2^16 as (alphabet, states)."""
        return [np.ascontiguousarray(table.T) for table in self.emissions]

    @cached_property
    def sums(self) -> list[Floats]:
        """Return per variable the sums of what comes before each symbol, (alphabet + 1, states)."""
        return [np.concatenate([np.zeros((1, self.states)), np.cumsum(t, axis=0)]) for t in self.by_symbol]

    @cached_property
    def upwards(self) -> list[Floats]:
        """Return the transitions the other way round, (states, states of the parent) per variable."""
        return [np.ascontiguousarray(table.T) for table in self.transitions]


def whole(shares: Floats) -> Floats:
    """Return distributions along the last axis as whole numbers from 1 on that sum to 2^16, still float64."""
    room = (1 << BITS) - shares.shape[-1]
    total = shares.sum(axis=-1, keepdims=True)
    exact = np.where(total > 0, shares / np.where(total > 0, total, 1), 1 / shares.shape[-1]) * room
    found = np.floor(exact)
    missing = (room - found.sum(axis=-1, keepdims=True)).astype(np.int64)
    rank = np.argsort(np.argsort(found - exact, axis=-1, kind="stable"), axis=-1, kind="stable")
    return np.asarray(found + (rank < missing) + 1, dtype=np.float64)
