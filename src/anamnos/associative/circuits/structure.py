"""The tree of a circuit: which variables tell most about each other. Chow-Liu: a maximum spanning tree of information.

Source: Chow and Liu 1968; its use for the latents of a circuit: arXiv:2111.11632, section 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.uint8]
Floats = NDArray[np.float64]

_FULL = 100  # up to so many variables, pairs are counted one by one, every symbol by itself
_COLUMNS = 4_096  # beyond, values are put into ranges so that there are no more indicator columns than these


@dataclass(frozen=True, eq=False)
class Tree:
    """A rooted tree over variables.

    parents  of each variable, (variables,) int32; -1 for the root
    """

    parents: NDArray[np.int32]

    @cached_property
    def children(self) -> list[list[int]]:
        """Return the children of each variable, the one with the largest subtree last."""
        found: list[list[int]] = [[] for _ in self.parents]
        sizes = np.ones(len(self.parents), dtype=np.int64)
        for node in reversed(self._outwards):
            if (parent := int(self.parents[node])) >= 0:
                sizes[parent] += sizes[node]
                found[parent].append(node)
        return [sorted(of, key=lambda child: (int(sizes[child]), child)) for of in found]

    @cached_property
    def order(self) -> list[int]:
        """Return the variables from the root, depth first: one that follows another shares its path to the root."""
        order, stack = [], [self.root]
        while stack:
            order.append(node := stack.pop())
            stack.extend(reversed(self.children[node]))
        return order

    @cached_property
    def closed(self) -> list[list[int]]:
        """Return, for each place in the order, the variables whose subtree ends there, from the deepest."""
        place = {node: number for number, node in enumerate(self.order)}
        last = dict(place)
        for node in reversed(self.order):
            if (parent := int(self.parents[node])) >= 0:
                last[parent] = max(last[parent], last[node])
        ends: list[list[int]] = [[] for _ in self.order]
        for node in reversed(self.order):
            ends[last[node]].append(node)
        return ends

    @cached_property
    def root(self) -> int:
        return int(np.flatnonzero(self.parents < 0)[0])

    @cached_property
    def _outwards(self) -> list[int]:
        of: dict[int, list[int]] = {}
        for node, parent in enumerate(self.parents.tolist()):
            of.setdefault(parent, []).append(node)
        order = [self.root]
        for node in order:  # grows while it is read
            order.extend(of.get(node, ()))
        return order

    def is_tree(self) -> bool:
        """Return whether every variable hangs on the one root."""
        inside = (self.parents >= -1) & (self.parents < len(self.parents))
        return bool(inside.all() and (self.parents < 0).sum() == 1) and len(self._outwards) == len(self.parents)


def chow_liu(rows: Rows, alphabets: NDArray[np.int64]) -> Tree:
    """Return the tree of the largest sum of mutual information over its edges."""
    information = mutual_information(rows, alphabets)
    return Tree(_spanning(information))


def mutual_information(rows: Rows, alphabets: NDArray[np.int64]) -> Floats:
    """Return the estimated information of each pair in nats, (variables, variables), less its bias by few rows.

    rows  (n, variables); of many variables, each is seen in ranges of about as many rows
    """
    variables = rows.shape[1]
    levels = max(2, min(16, _COLUMNS // variables, int(alphabets.max())))
    if variables <= _FULL:
        return _pair_by_pair(rows, alphabets)
    grouped = np.stack([ranges(rows[:, v], int(alphabets[v]), levels) for v in range(variables)], axis=1)
    return _by_columns(grouped, levels)


def ranges(values: Rows, alphabet: int, levels: int) -> NDArray[np.int64]:
    """Return the number of the range of each value, fewer than ``levels``, about as many values in each."""
    if alphabet <= levels:
        return values.astype(np.int64)
    share = np.cumsum(np.bincount(values, minlength=alphabet)) / max(len(values), 1)
    # a frequent first symbol (the dark of images) must not swallow the rest: ranges are made over distinct steps
    wanted = np.minimum((np.concatenate([[0.0], share[:-1]]) * levels).astype(np.int64), levels - 1)
    return np.asarray(np.unique(wanted, return_inverse=True)[1].reshape(-1)[values], dtype=np.int64)


def _pair_by_pair(rows: Rows, alphabets: NDArray[np.int64]) -> Floats:
    count, variables = rows.shape
    wide = rows.astype(np.int64)
    alone = [_plogp(np.bincount(wide[:, v]), count) for v in range(variables)]
    found = np.zeros((variables, variables))
    for first in range(variables):
        for second in range(first):
            joint, cells = _plogp(np.bincount(wide[:, first] * alphabets[second] + wide[:, second]), count)
            # Miller and Madow: n rows that fill k cells understate an entropy by (k - 1) / 2n
            bias = (cells - alone[first][1] - alone[second][1] + 1) / (2 * max(count, 1))
            found[first, second] = joint - alone[first][0] - alone[second][0] - bias
    return found + found.T


def _plogp(counts: NDArray[np.int64], total: int) -> tuple[float, int]:
    seen = counts[counts > 0] / max(total, 1)
    return float((seen * np.log(seen)).sum()), len(seen)


def _by_columns(grouped: NDArray[np.int64], levels: int) -> Floats:
    count, variables = grouped.shape
    on = np.stack([grouped == level for level in range(levels)]).astype(np.float32)  # (levels, n, variables)
    alone = on.mean(axis=1, dtype=np.float64)
    found = np.zeros((variables, variables))
    for first in range(levels):
        for second in range(levels):
            joint = (on[first].T @ on[second]).astype(np.float64) / max(count, 1)
            with np.errstate(divide="ignore", invalid="ignore"):
                part = joint * np.log(joint / np.outer(alone[first], alone[second]))
            found += np.where(joint > 0, part, 0)
    return found


def _spanning(weights: Floats) -> NDArray[np.int32]:
    """Return the parents of the maximum spanning tree (Prim), hung up at its middle: short paths, small stacks."""
    variables = len(weights)
    parents = np.full(variables, -1, dtype=np.int32)
    best, where = np.full(variables, -np.inf), np.zeros(variables, dtype=np.int32)
    inside = np.zeros(variables, dtype=np.bool_)
    node = 0
    for _ in range(variables - 1):
        inside[node] = True
        better = (weights[node] > best) & ~inside
        best[better], where[better] = weights[node][better], node
        node = int(np.argmax(np.where(inside, -np.inf, best)))
        parents[node] = where[node]
    return _rooted(parents, _middle(parents))


def _middle(parents: NDArray[np.int32]) -> int:
    links: list[list[int]] = [[] for _ in parents]
    for node, parent in enumerate(parents.tolist()):
        if parent >= 0:
            links[node].append(parent)
            links[parent].append(node)
    path = _farthest(links, _farthest(links, 0)[-1])
    return path[len(path) // 2]


def _farthest(links: list[list[int]], start: int) -> list[int]:
    came: dict[int, int] = {start: -1}
    order = [start]
    for node in order:  # breadth first; the last one is farthest
        for other in links[node]:
            if other not in came:
                came[other] = node
                order.append(other)
    path = [order[-1]]
    while came[path[-1]] >= 0:
        path.append(came[path[-1]])
    return path[::-1]


def _rooted(parents: NDArray[np.int32], root: int) -> NDArray[np.int32]:
    turned = parents.copy()
    node, above = root, -1
    while node >= 0:
        turned[node], node, above = above, int(turned[node]), node
    return turned
