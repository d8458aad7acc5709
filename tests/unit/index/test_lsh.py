"""Buckets of similar thoughts: the laws of an index, and what is its own."""

from pathlib import Path

import numpy as np
import pytest

from anamnos.index.base import VectorIndex
from anamnos.index.exact import ExactIndex
from anamnos.index.exact_resident import ResidentIndex
from anamnos.index.lsh import LshIndex
from anamnos.store.base import EmbedderInfo, Store
from anamnos.testing import FakeEmbedder, ReferenceStore
from anamnos.testing.index_contract import VectorIndexContract, change, erase, unit, write

INFO = EmbedderInfo(FakeEmbedder().id, FakeEmbedder().dim)


class TestLshIndex(VectorIndexContract):
    recall = 0.8

    def make_index(self, folder: Path, store: Store, info: EmbedderInfo) -> VectorIndex:
        return LshIndex(ExactIndex(folder, store, info), scans=0)


@pytest.fixture
def store() -> Store:
    store = ReferenceStore().open()
    store.use_embedder(INFO)
    return store


def test_few_rows_are_all_compared(store: Store) -> None:
    rng = np.random.default_rng(1)
    write(store, unit(rng, 300))
    index = LshIndex(ResidentIndex(store, INFO))
    index.catch_up()
    rows = np.arange(1, 301)
    for query in unit(rng, 20):
        for one, other in zip(index.search(query, 10, rows), index.exact.search(query, 10, rows), strict=True):
            np.testing.assert_array_equal(one, other)


def test_near_vectors_share_buckets_more_often() -> None:
    """The chance to share one grows with the cosine: of 0.95, 0.8, 0.5 and 0."""
    rng = np.random.default_rng(2)
    index = LshIndex(ResidentIndex(ReferenceStore().open(), INFO), tables=64, buckets=16)
    one, other = unit(rng, 200), unit(rng, 200)
    other -= (one * other).sum(axis=1, keepdims=True) * one
    other /= np.linalg.norm(other, axis=1, keepdims=True)
    shared = []
    for cosine in (0.95, 0.8, 0.5, 0.0):
        near = (cosine * one + np.sqrt(1 - cosine**2) * other).astype(np.float32)
        shared.append(float((index._nearest(one, 1) == index._nearest(near, 1)).mean()))
    assert shared == sorted(shared, reverse=True)
    assert shared[0] > 0.4
    assert shared[-1] < 0.1


def test_the_nearest_of_many_are_found_and_few_are_compared(store: Store) -> None:
    rng = np.random.default_rng(3)
    middles = unit(rng, 40)
    spread = 0.5 * unit(rng, 3_040).reshape(40, 76, -1) + middles[:, None]
    vectors = (spread / np.linalg.norm(spread, axis=2, keepdims=True)).reshape(-1, INFO.dim).astype(np.float32)
    queries, vectors = vectors[:40], vectors[40:]
    write(store, vectors)
    index = LshIndex(ResidentIndex(store, INFO), scans=0)
    index.catch_up()
    rows = np.arange(1, 3_001)
    found = 0
    for query in queries:
        assert len(index.candidates(query, 5, rows)) < 1_000
        true = index.exact.search(query, 5, rows)[0]
        found += len(set(index.search(query, 5, rows)[0].tolist()) & set(true.tolist()))
    assert found >= 0.9 * 5 * len(queries)
    some = rows[::7]
    assert set(index.search(queries[0], 5, some)[0].tolist()) <= set(some.tolist())


def test_what_is_erased_is_in_no_bucket(store: Store) -> None:
    rng = np.random.default_rng(4)
    ids = write(store, unit(rng, 50))
    index = LshIndex(ResidentIndex(store, INFO), scans=0)
    index.catch_up()
    erase(store, ids[:20])
    change(store, ids[30], unit(rng, 1)[0])
    index.catch_up()
    for own in index._buckets:
        assert sorted(row for bucket in own for row in bucket) == list(range(21, 52))
    assert (index._codes[1:21] == -1).all()
    assert index.verify() == []
    index._buckets[3][index._codes[25, 3]].remove(25)
    index._codes[26, 0] += 1
    assert len(index.verify()) == 2
    index.rebuild()
    assert index.verify() == []


def test_a_text_that_comes_by_the_hundred_is_found(store: Store) -> None:
    rng = np.random.default_rng(5)
    (same,) = unit(rng, 1)
    write(store, np.vstack([unit(rng, 200), np.repeat(same[None], 300, axis=0), unit(rng, 200)]))
    index = LshIndex(ResidentIndex(store, INFO), scans=0)
    index.catch_up()
    assert index.search(same, 3, np.arange(1, 701))[0].tolist() == [201, 202, 203]
    nothing = np.zeros(INFO.dim, dtype=np.float32)
    assert len(index.search(nothing, 3, np.arange(1, 701))[0]) == 3


def test_the_same_buckets_every_time(store: Store) -> None:
    write(store, unit(np.random.default_rng(6), 30))
    made = [LshIndex(ResidentIndex(store, INFO)) for _ in range(2)]
    for index in made:
        index.catch_up()
    assert made[0]._buckets == made[1]._buckets
