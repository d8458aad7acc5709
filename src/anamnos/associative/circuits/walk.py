"""What comes next: P(symbol | the symbols before it), in the tree's order, for many rows side by side.

In depth-first order, only the messages along the path that has changed are computed again: one step down per variable,
and one up when a subtree is done, so that a row costs as much as one evaluation of the circuit.
Source: arXiv:2111.11632, section 4; the order by depth instead of a balanced tree: ours.

``CodingWalk`` does it in whole numbers, the same on every machine; ``ExactWalk`` without rounding, as its measure.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from anamnos.associative.circuits.lanes import TOTAL_BITS
from anamnos.associative.circuits.structure import Floats, Rows
from anamnos.associative.circuits.tables import BITS, Tables

_BELIEF = 1 << 20
_DOWN = _BELIEF << BITS  # what a belief sums to after a step down
_SHIFT = 20 + 2 * BITS - TOTAL_BITS  # from the sum of a belief times a table to that of the coder


class _Walk:
    """Beliefs of ``count`` rows at the place ``place`` of the order. Call ``predict``, then ``observe``, in turns."""

    def __init__(self, tables: Tables, count: int) -> None:
        self._tables = tables
        self._count = count
        self._beliefs: dict[int, Floats] = {}  # (count, states): P(state | all so far), of the open path
        self._messages: dict[int, Floats] = {}  # (count, states): P(symbols of the subtree so far | state), scaled
        self._prediction: Floats = np.zeros((count, tables.states))

    def predict(self, place: int) -> Floats:
        """Return the belief about the state of the next variable, (count, states)."""
        node = self._tables.tree.order[place]
        parent = int(self._tables.tree.parents[node])
        if parent < 0:
            self._prediction = np.repeat(self._at_root()[None], self._count, axis=0)
        else:
            self._prediction = self._beliefs[parent] @ self._tables.transitions[node]
        return self._prediction

    def observe(self, place: int, symbols: Rows) -> None:
        """Take the symbols of the variable that ``predict`` was asked for into account."""
        tree = self._tables.tree
        node = tree.order[place]
        likely = self._tables.by_symbol[node][symbols]
        self._messages[node] = likely
        if tree.children[node]:
            self._beliefs[node] = self._settled(self._prediction * likely)
        for done in tree.closed[place]:
            self._close(done)

    def _close(self, node: int) -> None:
        parent = int(self._tables.tree.parents[node])
        self._beliefs.pop(node, None)
        message = self._messages.pop(node)
        if parent < 0:
            return
        told = self._scaled(message @ self._tables.upwards[node])
        if self._tables.tree.children[parent][-1] != node:
            self._beliefs[parent] = self._settled(self._beliefs[parent] * told)
        self._messages[parent] = self._scaled(self._messages[parent] * told)

    def _at_root(self) -> Floats:
        raise NotImplementedError

    def _settled(self, belief: Floats) -> Floats:
        raise NotImplementedError

    def _scaled(self, message: Floats) -> Floats:
        raise NotImplementedError


class CodingWalk(_Walk):
    """Whole numbers only. Products stay below 2^53, where float64 is exact; a division is rounded as IEEE 754 says.

    Beliefs sum to 2^20, so predictions to 2^36, and with a table of 2^16 to 2^52, which is brought to 2^24.
    """

    def intervals(self, place: int, symbols: Rows) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """Return start and frequency of the symbols out of 2^24. Call after ``predict``."""
        sums = self._tables.sums[self._tables.tree.order[place]]
        start, end = self._sum(sums[symbols]), self._sum(sums[1:][symbols])
        return start, end - start

    def find(self, place: int, slots: NDArray[np.uint64]) -> tuple[Rows, NDArray[np.uint64], NDArray[np.uint64]]:
        """Return the symbols in whose intervals the slots lie, with start and frequency. Call after ``predict``."""
        sums = self._tables.sums[self._tables.tree.order[place]]
        alphabet = len(sums) - 1
        found = np.zeros(self._count, dtype=np.int64)
        step = 1 << max(alphabet - 1, 0).bit_length()
        while step := step >> 1:
            further = np.minimum(found + step, alphabet)
            found = np.where(self._sum(sums[further]) <= slots, further, found)
        symbols = found.astype(np.uint8)
        return symbols, *self.intervals(place, symbols)

    def _sum(self, before: Floats) -> NDArray[np.uint64]:
        total: NDArray[np.uint64] = np.einsum("ns,ns->n", self._prediction, before).astype(np.uint64)
        return total >> np.uint64(_SHIFT)

    def _at_root(self) -> Floats:
        return np.asarray(self._tables.root * (_DOWN >> BITS))

    def _settled(self, belief: Floats) -> Floats:
        """Return the belief with a sum of 2^20 and no state at 0, which could never come back."""
        states = self._tables.states
        share = belief * (_BELIEF - 2 * states)
        settled: Floats = np.floor(share / belief.sum(axis=1, keepdims=True)) + 1
        settled[:, 0] += _BELIEF - settled.sum(axis=1)
        return settled

    def _scaled(self, message: Floats) -> Floats:
        return np.asarray(np.floor(message * _BELIEF / message.max(axis=1, keepdims=True)) + 1)


class ExactWalk(_Walk):
    """The same in float64 without rounding to whole numbers."""

    def chances(self, place: int, symbols: Rows) -> Floats:
        """Return P(symbol | those before it), (count,). Call after ``predict``."""
        likely = self._tables.by_symbol[self._tables.tree.order[place]][symbols]
        return np.asarray((self._prediction * likely).sum(axis=1) / self._prediction.sum(axis=1) / (1 << BITS))

    def _at_root(self) -> Floats:
        return np.asarray(self._tables.root / self._tables.root.sum())

    def _settled(self, belief: Floats) -> Floats:
        return np.asarray(belief / belief.sum(axis=1, keepdims=True))

    def _scaled(self, message: Floats) -> Floats:
        return np.asarray(message / message.max(axis=1, keepdims=True))
