"""The loops of the coder: variable by variable, many rows side by side.

Row by row and compiled, the same is no faster: nearly all of it is products of small matrices.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from anamnos.associative.circuits.lanes import Lanes
from anamnos.associative.circuits.structure import Rows
from anamnos.associative.circuits.tables import Tables
from anamnos.associative.circuits.walk import CodingWalk

_CHUNK = 2_048


def intervals(tables: Tables, rows: Rows) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return start and frequency of every symbol out of 2^24, (variables, n) in the tree's order."""
    shape = (rows.shape[1], len(rows))
    starts, frequencies = np.zeros(shape, dtype=np.uint64), np.zeros(shape, dtype=np.uint64)
    for start in range(0, len(rows), _CHUNK):
        part = slice(start, start + _CHUNK)
        walk = CodingWalk(tables, len(rows[part]))
        for place, node in enumerate(tables.tree.order):
            symbols = rows[part, node]
            walk.predict(place)
            starts[place, part], frequencies[place, part] = walk.intervals(place, symbols)
            walk.observe(place, symbols)
    return starts, frequencies


def decode_batch(tables: Tables, lanes: Lanes, count: int) -> Rows:
    """Return the rows that are on the first ``count`` lanes, which change. Raises: Corrupt if words are missing."""
    rows = np.zeros((count, len(tables.emissions)), dtype=np.uint8)
    walk = CodingWalk(tables, count)
    for place, node in enumerate(tables.tree.order):
        walk.predict(place)
        slots = lanes.slots(count)
        rows[:, node], starts, frequencies = walk.find(place, slots)
        lanes.pop(slots, starts, frequencies)
        walk.observe(place, rows[:, node])
    return rows
