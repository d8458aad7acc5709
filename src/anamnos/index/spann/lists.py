"""Heads with their lists, and how they change: insert, erase, split, merge, reassign.

Each vector is listed under one or two heads. A list that has become too long is split; then those for which another
list is now nearer move there, so that each vector stays under its nearest head. Source: LIRE of SPFresh,
arXiv:2410.14452 sections 3.2 and 4.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anamnos.index.spann.coder import MIDDLE, Coder, Codes, Floats
from anamnos.index.spann.heads import Heads, halve
from anamnos.index.spann.postings import Found, Numbers, Postings

MEAN = 80  # vectors per head
LONGEST = 4 * MEAN  # entries of a list before it is split
SHORTEST = MEAN // 10  # entries under which a list is merged into others
_NEAR = 8  # lists around a split one that are looked through
Places = NDArray[np.int32]
Span = tuple[int, int]


@dataclass
class Lists:
    """All that is searched.

    coder     makes vectors short
    heads     one per list, in the same order
    postings  the lists
    where     (rows, 2) int32: in which lists each row is, counted from 1; 0 is none
    written   the lists as they were written, at places that never change; erasing reaches them too
    listed    where each row was when they were written
    dead      entries that were erased or moved, and still take room
    """

    coder: Coder
    heads: Heads
    postings: Postings
    where: Places
    written: Postings
    listed: Places
    dead: int = 0

    def __len__(self) -> int:
        return len(self.heads)

    @property
    def entries(self) -> int:
        """Entries of all lists, erased ones included."""
        return int(self.postings.table[:, 0].sum())

    def scan(
        self,
        query: Floats,
        lists: int,
        count: int,
        allowed: NDArray[np.uint8] | None = None,
        fetch: Callable[[Numbers], None] | None = None,
    ) -> tuple[Numbers, int]:
        """Return the rows of the best ``count`` entries of the nearest lists, ascending, and how many were read.

        query    (dim,)
        allowed  bit r says whether row r may be found; None: all
        fetch    is told first where the lists lie that will be read
        A row may stand in two lists, so that up to half as many are found.
        """
        short = self.coder.shorten(query[None])
        numbers, _ = self.heads.nearest(short, min(lists, len(self)))
        if fetch is not None:
            fetch(self.postings.places(numbers[0]))
        (rows,), _ = self.postings.scan(short, numbers, count, allowed)
        return np.unique(rows[rows > 0]), int(self.postings.table[numbers[0], 0].sum())

    # --- changing

    def fits(self, rows: Numbers, caution: float) -> bool:
        """Return whether there is room for further rows, and for the splits that they may cause, as far as can be said.

        caution  factor for what cannot
        """
        sizes = self.postings.table[:, 0]
        lengthened = min(2 * len(rows), len(self)) * float(sizes.mean())
        split = 2 * LONGEST * (2 + 2 * len(rows) // MEAN) + float(sizes[sizes > LONGEST].sum())
        entries = int(caution * 1.5 * (lengthened + split + 2 * len(rows)))
        return int(rows.max(initial=0)) < len(self.where) and self.postings.fits(entries)

    def are_listed(self, rows: Numbers) -> NDArray[np.bool_]:
        """Return which rows are in some list."""
        inside = rows < len(self.where)
        return np.asarray(inside & self.where[np.where(inside, rows, 0)].any(axis=1))

    def append(self, rows: Numbers, vectors: Floats, rng: np.random.Generator) -> None:
        """List rows that are in no list: (n,), with their vectors (n, dim)."""
        short = self.coder.shorten(vectors)
        homes = self.heads.homes(short)
        self.where[rows] = homes + 1
        codes = self.coder.encode_short(short)
        entry, place = np.nonzero(homes >= 0)
        self._add(homes[entry, place], rows[entry], codes[entry], rng)

    def _add(self, home: Numbers, rows: Numbers, codes: Codes, rng: np.random.Generator) -> None:
        """Add entries to lists, and split those that become too long, and those that become so by that."""
        self._shorten(self._put(home, rows, codes), rng)

    def split_long(self, rng: np.random.Generator) -> bool:
        """Split all lists that are too long, as after clustering; return whether there were any. Raises: Full."""
        long = np.flatnonzero(self.postings.table[:, 0] > LONGEST).tolist()
        self._shorten(list(long), rng)
        return bool(long)

    def _shorten(self, queue: list[int], rng: np.random.Generator) -> None:
        while queue:
            number = queue.pop()
            if self.postings.size(number) > LONGEST:
                queue += self._split(number, rng)

    def _put(self, home: Numbers, rows: Numbers, codes: Codes) -> list[int]:
        """Add entries to lists, and return which are too long now."""
        if not len(home):
            return []
        order = np.argsort(home, kind="stable")
        numbers, starts = np.unique(home[order], return_index=True)
        for number, own in zip(numbers.tolist(), np.split(order, starts[1:]), strict=True):
            self.postings.append(number, rows[own], codes[own])
        return [number for number in numbers.tolist() if self.postings.size(number) > LONGEST]

    def erase(self, rows: Iterable[int]) -> list[Span]:
        """Take rows out of all lists, bytes and all; return the stretches of bytes that changed, with those of the
        lists as they were written."""
        changed: list[Span] = []
        for row in rows:
            if row < len(self.listed):
                for number in self.listed[row].tolist():
                    changed += _blank(self.written, number - 1, row)
            if row < len(self.where):
                for number in self.where[row].tolist():
                    spans = _blank(self.postings, number - 1, row)
                    changed += spans
                    self.dead += 1 if number else 0
                self.where[row] = 0
        return changed

    def sizes(self) -> Numbers:
        """Return how many entries each list has that are not dead."""
        return np.bincount(self.where.ravel(), minlength=len(self) + 1)[1:]

    def short(self) -> Numbers:
        """Return the lists that are too short, but for one if they all are."""
        alive = self.heads.vectors.any(axis=1)
        short = np.flatnonzero((self.sizes() <= SHORTEST) & alive)
        return short[1:] if len(short) == np.count_nonzero(alive) else short

    def merge(self, rng: np.random.Generator) -> None:
        """Dissolve lists that are too short into others."""
        for number in self.short().tolist():
            rows, codes = self.live(number)
            self.postings.replace(number, rows[:0], codes[:0])
            self.heads.move(number, np.zeros_like(self.heads.vectors[number]))
            self._forget_home(rows, number)
            self._resettle(rows, codes, rng)

    def live(self, number: int) -> tuple[Numbers, Codes]:
        """Return the rows of a list, and their codes, without what was erased: copies."""
        rows = self.postings.rows(number)
        kept = rows > 0
        return rows[kept], self.postings.codes(number)[kept]

    def close(self) -> None:
        """Let go of the file."""
        self.postings.close()
        self.written.close()

    def _split(self, number: int, rng: np.random.Generator) -> list[int]:
        """Make two lists of one, let those move for which another list is nearer now, and return which are too long."""
        rows, codes = self.live(number)
        self.dead -= self.postings.size(number) - len(rows)
        if len(rows) <= LONGEST:  # without what was erased it is not too long
            self.postings.replace(number, rows, codes)
            return []
        old = self.heads.vectors[number].copy()
        short = self.coder.decode(codes)
        new_heads, side = halve(short, rng)
        if side.all() or not side.any():
            self.postings.replace(number, rows, codes)
            return []  # all the same: one long list is the best there is
        self.postings.replace(number, rows[side == 0], codes[side == 0])
        self.heads.move(number, new_heads[0])
        other = self.heads.add(new_heads[1], int(self.heads.cells[number]))
        self.postings.add_list()
        second = rows[side == 1]
        self.where[second] = np.where(self.where[second] == number + 1, other + 1, self.where[second])
        too_long = self._put(np.full(len(second), other), second, codes[side == 1])
        # members that are further from their head than they were may be nearer to a third one
        further = np.einsum("nd,nd->n", short, new_heads[side]) < short @ old
        own = np.where(side == 0, number, other)
        too_long += self._move(rows[further], codes[further], own[further], self._nearest(short[further]))
        # and what is around may be nearer to one of the new heads
        near, _ = self.heads.nearest(old[None], _NEAR + 2)
        for neighbour in near[0].tolist():
            if neighbour in (number, other, -1):
                continue
            rows, codes = self.live(neighbour)
            short = self.coder.decode(codes)
            to_new = short @ new_heads.T
            nearer = to_new.max(axis=1) > short @ self.heads.vectors[neighbour]
            target = np.where(to_new[:, 0] >= to_new[:, 1], number, other)
            here = np.full(len(rows), neighbour)
            too_long += self._move(rows[nearer], codes[nearer], here[nearer], target[nearer])
        return too_long

    def _nearest(self, short: Floats) -> Numbers:
        if not len(short):
            return np.empty(0, dtype=np.int64)
        return self.heads.nearest(short, 1)[0][:, 0]

    def _move(self, rows: Numbers, codes: Codes, source: Numbers, target: Numbers) -> list[int]:
        """Move entries between lists, unless they are there already; return which lists are too long then."""
        codes = codes.copy()
        away = (source != target) & (target >= 0) & ~(self.where[rows] == (target + 1)[:, None]).any(axis=1)
        rows, codes, source, target = rows[away], codes[away], source[away], target[away]
        for row, number in zip(rows.tolist(), source.tolist(), strict=True):
            _blank(self.postings, number, row)
        self.dead += len(rows)
        self.where[rows] = np.where(self.where[rows] == (source + 1)[:, None], (target + 1)[:, None], self.where[rows])
        return self._put(target, rows, codes)

    def _forget_home(self, rows: Numbers, number: int) -> None:
        self.where[rows] = np.where(self.where[rows] == number + 1, 0, self.where[rows])

    def _resettle(self, rows: Numbers, codes: Codes, rng: np.random.Generator) -> None:
        """Give rows that lost a list another one, if they are in none any more."""
        lost = ~self.where[rows].any(axis=1)
        if lost.any():
            home = self._nearest(self.coder.decode(codes[lost]))
            self.where[rows[lost], 0] = home + 1
            self._add(home, rows[lost], codes[lost], rng)


def _blank(postings: Postings, number: int, row: int) -> list[Span]:
    """Overwrite the entry of a row in a list, if it is there, and return the stretches of bytes."""
    if number < 0:
        return []
    rows = postings.rows(number)
    spans = []
    for place in np.flatnonzero(rows == row).tolist():
        rows[place] = 0
        postings.codes(number)[place] = MIDDLE
        _, room, at = postings.table[number].tolist()
        code = at + place * postings.width
        own = at + room * postings.width + 8 * place
        spans += [(code, code + postings.width), (own, own + 8)]
    return spans


__all__ = ["Found", "Lists"]
