"""The parts of the circuit on their own: information and tree, whole tables, lanes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anamnos.associative.circuits.lanes import LEAST, TOTAL_BITS, Lanes
from anamnos.associative.circuits.structure import Tree, chow_liu, mutual_information
from anamnos.associative.circuits.tables import whole
from anamnos.errors import Corrupt


def test_information_of_a_hand_worked_pair():
    rows = np.repeat([[0, 0, 0], [1, 1, 0], [0, 0, 1], [1, 1, 1]], 25, axis=0).astype(np.uint8)
    found = mutual_information(rows, np.array([2, 2, 2]))
    # the first two are the same fair coin: ln 2 nats, less the bias (2 - 2 - 2 + 1) / 2n; the third is independent
    assert found[0, 1] == pytest.approx(np.log(2) + 1 / 200)
    assert found[0, 2] == pytest.approx(-1 / 200)


def test_information_by_columns_is_that_by_pairs():
    random = np.random.default_rng(0)
    rows = np.cumsum(random.integers(0, 2, (500, 120)), axis=1).astype(np.uint8) % 2
    some = mutual_information(rows[:, :60], np.full(60, 2))
    every = mutual_information(rows, np.full(120, 2))
    inside = ~np.eye(60, dtype=bool)
    np.testing.assert_allclose(some[inside], every[:60, :60][inside] - 1 / 1_000, atol=1e-6)  # less the bias


@pytest.mark.parametrize("variables", [1, 2, 9, 130])
def test_a_chain_is_found_again(variables: int):
    random = np.random.default_rng(1)
    names = random.permutation(variables)
    flips = random.random((4_000, variables)) < 0.1
    rows = (np.cumsum(flips, axis=1) % 2).astype(np.uint8)[:, np.argsort(names)]
    tree = chow_liu(rows, np.full(variables, 2))
    assert tree.is_tree() and sorted(tree.order) == list(range(variables))
    place = np.argsort(names)
    inverse = {variable: int(place[variable]) for variable in range(variables)}
    links = [(n, int(p)) for n, p in enumerate(tree.parents) if p >= 0]
    near = sum(abs(inverse[a] - inverse[b]) == 1 for a, b in links)
    assert near == variables - 1
    depth = _depth(tree)
    assert depth <= variables // 2 + 1  # hung up at its middle


def _depth(tree: Tree) -> int:
    depth = {tree.root: 0}
    for node in tree.order[1:]:
        depth[node] = depth[int(tree.parents[node])] + 1
    return max(depth.values())


def test_what_is_no_tree_is_seen():
    for parents in ([-1, -1], [1, 0], [-1, 2, 1], [0], [-1, 5]):
        assert not Tree(np.array(parents, dtype=np.int32)).is_tree()
    assert Tree(np.array([-1, 0, 1], dtype=np.int32)).closed == [[], [], [2, 1, 0]]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=256))
def test_whole_tables_sum_to_two_to_sixteen_and_have_no_zero(shares: list[float]):
    table = whole(np.array(shares))
    assert table.sum() == 1 << 16 and table.min() >= 1 and (table == np.floor(table)).all()
    if sum(shares) > 0:
        exact = np.array(shares) / sum(shares) * ((1 << 16) - len(shares)) + 1
        assert (np.abs(table - exact) <= 1 + 1e-6).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 5))
def test_lanes_give_back_what_was_put_on_them(seed: int, steps: int, first: int):
    random = np.random.default_rng(seed)
    lanes, done = Lanes.empty(first), []
    for _ in range(steps):
        width = lanes.can_grow(len(lanes.states) * 3)
        done.append((len(lanes.states), None))
        lanes.grow(width)
        count = int(random.integers(1, len(lanes.states) + 1))
        frequencies = random.integers(LEAST, (1 << TOTAL_BITS) + 1, count).astype(np.uint64)
        starts = (random.random(count) * ((1 << TOTAL_BITS) - frequencies)).astype(np.uint64)
        lanes.push(starts, frequencies)
        done.append((count, (starts, frequencies)))
    last = len(lanes.states)
    lanes.shrink(1)
    back = Lanes.from_bytes(lanes.to_bytes(), len(lanes.stack))
    back.grow(last)
    for count, pushed in reversed(done):
        if pushed is None:
            back.shrink(count)
        else:
            slots = back.slots(count)
            assert (slots >= pushed[0]).all() and (slots - pushed[0] < pushed[1]).all()
            back.pop(slots, *pushed)
    assert back.is_empty()


def test_missing_words_are_noticed():
    lanes = Lanes.empty(4)
    for _ in range(10):
        lanes.push(np.zeros(4, np.uint64), np.full(4, 1 << 12, np.uint64))
    lanes.shrink(1)
    held, words = lanes.to_bytes(), len(lanes.stack)
    with pytest.raises(Corrupt):
        Lanes.from_bytes(held[:-8], words)
    with pytest.raises(Corrupt):
        Lanes.from_bytes(held[2:], words - 1).grow(4_000)
