"""Learning a hidden tree: first a mixture of plain trees from counts, then expectation maximisation on small batches.

Source: arXiv:2111.11632, section 5; steps that shrink: arXiv:0712.4273. The start from counts: ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anamnos.associative.circuits.structure import Rows, Tree, chow_liu, ranges
from anamnos.associative.circuits.tables import Tables, whole

_TREE_ROWS = 10_000
_BATCH = 1_024
_LEAST_STEP = 0.02
_FIRST_STEP = 0.5  # chosen on 2,000 MNIST training images that were not fitted, as is the shrinking


@dataclass
class _Shares:
    """Statistics of the shape of ``Tables``, any positive numbers."""

    root: NDArray[np.float32]
    transitions: NDArray[np.float32]
    emissions: list[NDArray[np.float32]]

    def towards(self, other: _Shares, step: float) -> None:
        self.root += step * (other.root - self.root)
        self.transitions += np.float32(step) * (other.transitions - self.transitions)
        for mine, its in zip(self.emissions, other.emissions, strict=True):
            mine += np.float32(step) * (its - mine)

    def distributions(self, smoothing: float) -> _Shares:
        """Return them with sums of 1 along the last axis; ``smoothing`` is a share of an even distribution."""
        return _Shares(
            _even(self.root, smoothing),
            _even(self.transitions, smoothing),
            [_even(table, smoothing) for table in self.emissions],
        )


def learn(
    rows: Rows,
    alphabets: NDArray[np.int64],
    *,
    states: int,
    epochs: int,
    smoothing: float,
    random: np.random.Generator,
) -> Tables:
    """Return the circuit that fits the rows, (n, variables) with n >= 1."""
    sample = rows[random.permutation(len(rows))[:_TREE_ROWS]]
    tree = chow_liu(sample, alphabets)
    rough = 1.0 / len(rows)  # prior weight of an even distribution, as rows
    shares = _start(rows, alphabets, tree, states, random)
    taken = 0
    for _ in range(epochs):
        order = random.permutation(len(rows))
        for start in range(0, len(rows), _BATCH):
            batch = rows[order[start : start + _BATCH]]
            found = _expected(batch, tree, shares.distributions(smoothing * rough))
            whole_step = len(batch) == len(rows)
            shares.towards(found, 1.0 if whole_step else max(_FIRST_STEP * (taken + 1) ** -0.6, _LEAST_STEP))
            taken += 1
    done = shares.distributions(smoothing * rough)
    return Tables(
        tree,
        whole(done.root.astype(np.float64)),
        whole(done.transitions.astype(np.float64)),
        tuple(whole(table.astype(np.float64)) for table in done.emissions),
    )


def _start(rows: Rows, alphabets: NDArray[np.int64], tree: Tree, states: int, random: np.random.Generator) -> _Shares:
    """Return the statistics if a hidden state were: which range the symbol is in, and which cluster the row is in."""
    levels = 4 if states % 4 == 0 and states >= 8 and alphabets.max() > 2 else 2 if states % 2 == 0 else 1
    clusters = _clusters(rows, states // levels, random)
    hidden = np.stack(
        [ranges(rows[:, v], int(alphabets[v]), levels) * (states // levels) + clusters for v in range(rows.shape[1])],
        axis=1,
    )
    count, variables = rows.shape
    shares = _Shares(
        np.bincount(hidden[:, tree.root], minlength=states).astype(np.float32) / count,
        np.zeros((variables, states, states), dtype=np.float32),
        [],
    )
    for node in range(variables):
        pair = hidden[:, node] * alphabets[node] + rows[:, node]
        table = np.bincount(pair, minlength=states * alphabets[node]).reshape(states, -1)
        noise = random.random(table.shape) * 0.5 + 0.75  # states that would stay alike for ever are told apart
        shares.emissions.append(((table + 0.5 / alphabets[node]) * noise / count).astype(np.float32))
        if (parent := int(tree.parents[node])) >= 0:
            joint = np.bincount(hidden[:, parent] * states + hidden[:, node], minlength=states * states)
            shares.transitions[node] = (joint.reshape(states, states) + 0.5 / states) / count
    return shares


def _clusters(rows: Rows, count: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Return the cluster of each row: a few rounds of k-means on random projections of its symbols."""
    if count < 2:
        return np.zeros(len(rows), dtype=np.int64)
    width = min(rows.shape[1], 32)
    points = np.zeros((len(rows), width), dtype=np.float32)
    for variable in range(rows.shape[1]):  # a random direction per symbol: no order of symbols is assumed
        kinds = int(rows[:, variable].max()) + 1
        points += random.standard_normal((kinds, width), dtype=np.float32)[rows[:, variable]]
    centres = points[random.choice(len(points), size=count, replace=len(points) < count)]
    for _ in range(8):
        near = np.argmin((centres**2).sum(axis=1) - 2 * points @ centres.T, axis=1)
        sizes = np.bincount(near, minlength=count)
        on = (near[:, None] == np.arange(count)).astype(np.float32)
        centres = np.where(sizes[:, None] > 0, on.T @ points / np.maximum(sizes, 1)[:, None], centres)
    return np.asarray(near, dtype=np.int64)


def _expected(rows: Rows, tree: Tree, given: _Shares) -> _Shares:
    """Return the expected statistics of the rows, as shares of them: messages up to the root and down again."""
    count, states = len(rows), len(given.root)
    below: dict[int, NDArray[np.float32]] = {}  # P(symbols of the subtree | state), scaled
    told: dict[int, NDArray[np.float32]] = {}  # the same | state of the parent
    for node in reversed(tree.order):
        message = np.ascontiguousarray(given.emissions[node].T)[rows[:, node]]
        for child in tree.children[node]:
            message *= told[child]
        message /= np.maximum(message.max(axis=1, keepdims=True), 1e-30)
        below[node] = message
        if node != tree.root:
            told[node] = np.maximum(message @ given.transitions[node].T, 1e-30)
    after: dict[int, NDArray[np.float32]] = {tree.root: _even(below[tree.root] * given.root, 0)}
    found = _Shares(
        after[tree.root].mean(axis=0), np.zeros_like(given.transitions), [np.zeros(0, np.float32)] * len(tree.parents)
    )
    flat = np.arange(states)
    for node in tree.order:
        if node != tree.root:
            outside = after[int(tree.parents[node])] / told.pop(node)
            found.transitions[node] = given.transitions[node] * (outside.T @ below[node]) / count
            after[node] = below[node] * (outside @ given.transitions[node])
        alphabet = given.emissions[node].shape[1]
        cell = (flat * alphabet)[None] + rows[:, node].astype(np.int64)[:, None]
        sums = np.bincount(cell.ravel(), weights=after[node].ravel(), minlength=states * alphabet)
        found.emissions[node] = (sums.reshape(states, alphabet) / count).astype(np.float32)
    return found


def _even(shares: NDArray[np.float32], smoothing: float) -> NDArray[np.float32]:
    added = shares + np.float32(smoothing / shares.shape[-1] + 1e-12)
    return np.asarray(added / added.sum(axis=-1, keepdims=True), dtype=np.float32)
