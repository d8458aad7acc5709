"""The heads of lists: centres of balanced clusters, found in two steps, and which heads a vector is listed under.

Heads lie in cells, about as many as the root of their number: a query is compared with all cells, then with the heads
of the nearest. Centres are no vectors of the collection: measured on sentences, the nearest real vector in their place
has a quarter more to be read. Source: SPANN, arXiv:2111.08566 sections 3.2.1 (balanced clustering) and 3.2.2 (closure
with the rule of relative neighbourhood graphs).
"""

from __future__ import annotations

import numpy as np

from anamnos.index.spann.coder import Floats, scale_for, to_bytes
from anamnos.index.spann.postings import Numbers, Postings

SAMPLED = 32  # vectors per head on which clusters are found
_PER_CELL = 256  # the same per cell
ROUNDS = 8
BALANCE = 0.05  # how much a list of twice the mean length is disliked, as a cosine
CANDIDATES = 16  # nearest heads among which the second is chosen
BEAM = 24  # cells that are looked into
_BLOCK = 4_096


class Heads:
    """Heads in their cells.

    vectors  (n, width) float32 of norm 1; zeros where a head was dropped
    cells    (n,) int64: the cell of each
    """

    def __init__(self, vectors: Floats, cells: Numbers) -> None:
        self.vectors, self.cells = vectors, cells
        self._scale = scale_for(vectors)
        self._arrange()

    def __len__(self) -> int:
        return len(self.vectors)

    def _arrange(self) -> None:
        """Lay the heads out by cell."""
        alive = np.flatnonzero(self.vectors.any(axis=1))
        count = int(self.cells.max(initial=0)) + 1
        centres = np.zeros((count, self.vectors.shape[1]), dtype=np.float32)
        np.add.at(centres, self.cells[alive], self.vectors[alive])
        self._centres = _unit(centres)
        sizes = np.bincount(self.cells[alive], minlength=count)
        room = int((sizes + np.maximum(8, sizes // 4)).sum()) + 64
        self._postings = Postings.empty(count, self.vectors.shape[1], 2 * room * (self.vectors.shape[1] + 8))
        for cell in range(count):
            own = alive[self.cells[alive] == cell]
            if len(own):
                self._postings.replace(cell, own, to_bytes(self.vectors[own], self._scale))

    def nearest(self, short: Floats, count: int, beam: int = BEAM) -> tuple[Numbers, Floats]:
        """Return the numbers of the nearest heads of vectors (m, width), best first, -1 where there are no more; and
        their dot products: (m, count) each."""
        beam = min(max(beam, -(-2 * count * len(self._centres) // max(len(self), 1))), len(self._centres))
        near = short @ self._centres.T
        cells = np.argpartition(-near, beam - 1, axis=1)[:, :beam].astype(np.int64)
        numbers, scores = self._postings.scan(short, cells, min(count, len(self)))
        return numbers, scores / np.float32(self._scale)

    def homes(self, short: Floats) -> Numbers:
        """Return the two lists of each vector: its nearest head, and the next unless a head that was taken is nearer to
        that than the vector is; -1 where there is no second. (m, 2) int64."""
        out = np.full((len(short), 2), -1, dtype=np.int64)
        for start in range(0, len(short), _BLOCK):
            block = _unit(short[start : start + _BLOCK])
            numbers, cosines = self.nearest(block, CANDIDATES)
            first = numbers[:, 0]
            between = np.einsum("nwd,nd->nw", self.vectors[numbers], self.vectors[first])
            open_ = (between <= cosines) & (numbers >= 0)
            open_[:, 0] = False
            second = numbers[np.arange(len(block)), np.argmax(open_, axis=1)]
            out[start : start + len(block), 0] = first
            out[start : start + len(block), 1] = np.where(open_.any(axis=1), second, -1)
        return out

    def add(self, vector: Floats, cell: int) -> int:
        """Add a head to a cell, and return its number."""
        self.vectors = np.concatenate([self.vectors, vector[None]])
        self.cells = np.append(self.cells, cell)
        number = len(self.vectors) - 1
        if not self._postings.fits(2 * self._postings.size(cell) + 16):
            self._arrange()
        else:
            self._postings.append(cell, np.array([number]), to_bytes(vector[None], self._scale))
        return number

    def move(self, number: int, vector: Floats) -> None:
        """Put a head in another place; zeros drop it."""
        self.vectors[number] = vector
        cell = int(self.cells[number])
        rows = self._postings.rows(cell)
        place = int(np.flatnonzero(rows == number)[0])
        if vector.any():
            self._postings.codes(cell)[place] = to_bytes(vector[None], self._scale)[0]
            return
        kept = np.delete(np.arange(len(rows)), place)
        self._postings.replace(cell, rows[kept], self._postings.codes(cell)[kept])


def choose_heads(sample: Floats, count: int, rng: np.random.Generator) -> tuple[Floats, Numbers]:
    """Return about ``count`` heads for vectors like those of ``sample`` (n, width), and the cell of each.

    Balanced k-means in two levels: first cells, then heads within each, as many as its share of the vectors.
    """
    count = min(count, len(sample))
    cells_wanted = max(1, round(count**0.5))
    centres = _balanced(sample[rng.permutation(len(sample))[: _PER_CELL * cells_wanted]], cells_wanted, rng)
    home = _nearest(sample, centres)
    heads, cells = [], []
    for cell in range(len(centres)):
        members = sample[home == cell]
        if len(members):
            own = _balanced(members, min(len(members), max(1, round(count * len(members) / len(sample)))), rng)
            heads.append(own)
            cells.append(np.full(len(own), cell, dtype=np.int64))
    return np.concatenate(heads), np.concatenate(cells)


def halve(short: Floats, rng: np.random.Generator) -> tuple[Floats, Numbers]:
    """Return two heads for vectors of one list, and which of the two each is nearer to: (n,) of 0 and 1; all 0 if they
    cannot be told apart."""
    heads = _balanced(short, 2, rng)
    if len(heads) < 2:
        return heads, np.zeros(len(short), dtype=np.int64)
    return heads, _nearest(short, heads)


def _balanced(vectors: Floats, count: int, rng: np.random.Generator) -> Floats:
    """Return at most ``count`` centres of norm 1 by spherical k-means in which long lists repel."""
    some = np.unique(vectors[rng.permutation(len(vectors))[: 8 * count]], axis=0)
    centres = _unit(some[rng.permutation(len(some))[:count]])
    repelled = np.zeros(len(centres), dtype=np.float32)
    for _ in range(ROUNDS if len(centres) > 1 else 1):
        home = _nearest(vectors, centres, repelled)
        sizes = np.bincount(home, minlength=len(centres))
        repelled = ((repelled + BALANCE * (sizes * (len(centres) / len(vectors)) - 1)) / 2).astype(np.float32)
        order = np.argsort(home, kind="stable")
        sums = np.zeros_like(centres)
        filled = np.flatnonzero(sizes)
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])[filled]
        sums[filled] = np.add.reduceat(vectors[order], starts, axis=0)
        lost = np.flatnonzero(sizes == 0)
        if len(lost):
            sums[lost] = vectors[rng.integers(len(vectors), size=len(lost))]
        centres = _unit(sums)
    return centres


def _nearest(vectors: Floats, centres: Floats, repelled: Floats | float = 0.0) -> Numbers:
    out = np.empty(len(vectors), dtype=np.int64)
    for start in range(0, len(vectors), _BLOCK):
        out[start : start + _BLOCK] = np.argmax(vectors[start : start + _BLOCK] @ centres.T - repelled, axis=1)
    return out


def _unit(vectors: Floats) -> Floats:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(norms > 0, norms, 1.0)).astype(np.float32)
