"""Small groups of what belongs together."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anamnos.errors import ConfigError
from anamnos.evolve.consolidate.clusters import Clusters


def around(centres: int, each: int, *, dim: int = 48, noise: float = 0.08) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    middle = rng.standard_normal((centres, dim))
    middle /= np.linalg.norm(middle, axis=1, keepdims=True)
    truth = rng.permutation(np.repeat(np.arange(centres), each))
    vectors = middle[truth] + noise * rng.standard_normal((centres * each, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), truth


def rand_index(truth: np.ndarray, found: np.ndarray) -> float:
    """Return the adjusted Rand index, by the table of both. Source: Hubert and Arabie (1985)."""
    table = np.zeros((truth.max() + 1, found.max() + 1))
    np.add.at(table, (truth, found), 1)
    two = lambda n: float((n * (n - 1) / 2).sum())  # noqa: E731
    both, rows, columns = two(table), two(table.sum(axis=1)), two(table.sum(axis=0))
    by_chance = rows * columns / two(np.array([len(truth)]))
    return (both - by_chance) / ((rows + columns) / 2 - by_chance)


def test_planted_groups_are_found() -> None:
    vectors, truth = around(12, 15)
    groups = Clusters().groups(vectors)
    labels = np.full(len(vectors), len(groups))
    for number, group in enumerate(groups):
        labels[group] = number
    assert rand_index(truth, labels) >= 0.7
    assert all(len(set(truth[group])) == 1 for group in groups)  # no group mixes two


@given(seed=st.integers(0, 1_000), count=st.integers(0, 120), size=st.integers(2, 20))
@settings(max_examples=25)
def test_groups_are_apart_small_and_large_enough(seed: int, count: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((count, 4)).astype(np.float32)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    groups = Clusters(max_size=size, min_size=2, distance=0.8, rounds=3).groups(vectors)
    places = [place for group in groups for place in group.tolist()]
    assert len(places) == len(set(places)) and set(places) <= set(range(count))
    assert all(2 <= len(group) <= size for group in groups)
    again = Clusters(max_size=size, min_size=2, distance=0.8, rounds=3).groups(vectors)
    assert [g.tolist() for g in groups] == [g.tolist() for g in again]


def test_what_lies_apart_is_in_no_group() -> None:
    assert Clusters().groups(np.eye(30, dtype=np.float32)) == []


def test_many_of_the_same_are_cut_somewhere() -> None:
    same = np.tile(np.array([[1.0, 0.0]], dtype=np.float32), (70, 1))
    groups = Clusters().groups(same)
    assert sorted(map(len, groups)) == [10, 20, 20, 20]


def test_average_linkage_by_hand() -> None:
    """Three near ones; a fourth is near to one of them, and too far from them on the average."""
    angles = np.deg2rad([0, 10, 20, 75])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    groups = Clusters(min_size=2, distance=0.45).groups(vectors)
    assert [group.tolist() for group in groups] == [[0, 1, 2]]
    apart = [1 - float(vectors[i] @ vectors[j]) for i, j in combinations(range(3), 2)]
    assert max(apart) < 0.45 < np.mean([1 - float(vectors[3] @ vectors[i]) for i in range(3)])


@pytest.mark.parametrize("wrong", [{"max_size": 1}, {"min_size": 1}, {"distance": 0}, {"batch": 0}, {"rounds": 0}])
def test_settings_that_make_no_groups_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="clusters"):
        Clusters(**wrong)
