"""Binary weights from the winners of some macs onto the units of others, eight to the byte.

Inputs, the neighbours a step ago, children and parents are all of this one form: a *source* is a group of Q modules of
K units with one winner each, or none. A pixel is a source of one module with one unit, which wins where it is on.
Source: arXiv:1611.04023, the sums of step 2 and the learning law.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from anamnos.errors import Corrupt

Winners = NDArray[np.int64]
"""(macs, Q): the winning unit of each module, -1 where the mac is silent."""


def pixels(bits: NDArray[np.uint8]) -> Winners:
    """Return bits (L,) as the winners of L sources of one unit."""
    return bits.astype(np.int64)[:, None] - 1


class Links:
    """The afferents of one kind of a level's macs, and what they have learnt.

    sources  (M, P): which P source macs each of the M macs sees; -1: none there
    modules  Q of the sources
    units    K of the sources
    onto     units (Q * K) of the macs themselves
    """

    def __init__(self, sources: NDArray[np.int64], modules: int, units: int, onto: int) -> None:
        self.sources = sources
        self.afferents = sources.shape[1] * modules * units
        self.bits = np.zeros((len(sources), self.afferents + 1, -(-onto // 8)), dtype=np.uint8)  # last row: no input
        self.set = np.zeros((len(sources), onto), dtype=np.int64)  # afferents of a unit that are on
        self._first = (np.arange(sources.shape[1] * modules) * units).reshape(-1, modules)
        self._modules, self._onto = modules, onto

    def rows(self, winners: Winners) -> NDArray[np.int64]:
        """Return the rows of ``bits`` that are active at each mac, (M, n), those of no input behind."""
        padded = np.concatenate([winners, np.full((1, self._modules), -1)])
        seen = padded[self.sources]
        rows = np.where(seen >= 0, seen + self._first, self.afferents).reshape(len(self.sources), -1)
        rows.sort(axis=1)
        return np.asarray(rows[:, : int((rows < self.afferents).sum(axis=1).max(initial=0))])

    def support(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return per unit the share of the active inputs that it knows, (M, onto), and how many are active, (M,)."""
        active = (rows < self.afferents).sum(axis=1)
        known = np.unpackbits(self.bits[np.arange(len(rows))[:, None], rows], axis=2, count=self._onto)
        sums = known.sum(axis=1, dtype=np.uint8 if rows.shape[1] < 256 else np.uint16)
        return sums / np.maximum(active, 1).astype(np.float32)[:, None], active

    def learn(self, rows: NDArray[np.int64], chosen: NDArray[np.bool_]) -> None:
        """Set the weights from the active inputs of each mac to its chosen units, (M, onto)."""
        macs = np.flatnonzero(chosen.any(axis=1))
        pattern = np.packbits(chosen[macs], axis=1)[:, None]
        held = rows[macs]
        old = self.bits[macs[:, None], held]
        fresh = np.where((held < self.afferents)[..., None], ~old & pattern, np.uint8(0))
        self.bits[macs[:, None], held] = old | fresh
        self.set[macs] += np.unpackbits(fresh, axis=2, count=self._onto).sum(axis=1, dtype=np.int64)

    def restore(self, bits: NDArray[np.uint8]) -> None:
        """Take the weights of a state. Raises: Corrupt if no input, or no unit, has weights as well."""
        if bits[:, -1].any() or (-self._onto % 8 and (bits[..., -1] & (1 << -self._onto % 8) - 1).any()):
            raise Corrupt("The weights of this state lead from nowhere, or to nowhere.")
        self.bits = bits.copy()
        for mac, rows in enumerate(self.bits):
            self.set[mac] = np.unpackbits(rows, axis=1, count=self._onto).sum(axis=0, dtype=np.int64)

    @property
    def fill(self) -> float:
        """Share of the weights that are set."""
        return float(self.set.mean() / self.afferents)

    def backward(self, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return how many chosen units, (M, onto), each source unit is linked to: (M, afferents)."""
        pattern = np.packbits(chosen, axis=1)[:, None]
        return np.asarray(np.unpackbits(self.bits[:, :-1] & pattern, axis=2).sum(axis=2, dtype=np.int64))


def windows(shape: tuple[int, int], field: int, stride: int) -> tuple[NDArray[np.int64], tuple[int, int]]:
    """Return the places seen by each square window, row by row, (M, field * field), and how many windows each way."""
    high, wide = ((n - field) // stride + 1 for n in shape)
    corners = (np.arange(high)[:, None] * shape[1] + np.arange(wide)) * stride
    inside = np.arange(field)[:, None] * shape[1] + np.arange(field)
    return corners.reshape(-1, 1) + inside.reshape(1, -1), (high, wide)


def neighbours(shape: tuple[int, int], reach: int = 1) -> NDArray[np.int64]:
    """Return each place of a grid and those around it, (places, (2 * reach + 1) ** 2); -1 beyond the edge."""
    places = np.pad(np.arange(shape[0] * shape[1]).reshape(shape), reach, constant_values=-1)
    seen, _ = windows(places.shape, 2 * reach + 1, 1)
    return np.asarray(places.ravel()[seen])
