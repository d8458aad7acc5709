"""Buckets of Sparsey codes: the laws of an index, learning in single trials, and falling silent."""

from pathlib import Path

import numpy as np
import pytest

from anamnos.index.base import VectorIndex
from anamnos.index.exact import ExactIndex
from anamnos.index.exact_resident import ResidentIndex
from anamnos.index.sparsey import SparseyIndex
from anamnos.store.base import EmbedderInfo, Store
from anamnos.testing import FakeEmbedder, ReferenceStore
from anamnos.testing.index_contract import VectorIndexContract, erase, unit, write

INFO = EmbedderInfo(FakeEmbedder().id, FakeEmbedder().dim)


class TestSparseyIndex(VectorIndexContract):
    recall = 0.8

    def make_index(self, folder: Path, store: Store, info: EmbedderInfo) -> VectorIndex:
        return SparseyIndex(ExactIndex(folder, store, info), scans=0, period=50)


@pytest.fixture
def store() -> Store:
    store = ReferenceStore().open()
    store.use_embedder(INFO)
    return store


def small(store: Store, **changed: int) -> SparseyIndex:
    return SparseyIndex(ResidentIndex(store, INFO), **{"modules": 8, "units": 16, "scans": 0, "period": 100, **changed})


def test_all_rows_are_compared_until_the_units_have_learnt(store: Store) -> None:
    rng = np.random.default_rng(1)
    write(store, unit(rng, 99))
    index = small(store)
    index.catch_up()
    rows = np.arange(1, 100)
    query = unit(rng, 1)[0]
    for one, other in zip(index.search(query, 10, rows), index.exact.search(query, 10, rows), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not index._weights.size
    write(store, unit(rng, 1))
    index.catch_up()
    assert index._weights.shape == (INFO.dim, 8 * 16)
    assert index.verify() == []


def test_a_unit_wins_for_the_vector_that_it_learnt_in_one_trial(store: Store) -> None:
    write(store, unit(np.random.default_rng(2), 200))
    index = small(store)
    index.catch_up()
    for number, row in enumerate(index._learnt.tolist()):
        module, own = divmod(number, 16)
        assert row in index._buckets[module][own] or index._codes[row, module] != own
        best = index._nearest(index.gather(np.array([row])), 1)[0, module, 0]
        assert index._learnt[module * 16 + best] == row


def test_nothing_of_an_erased_vector_stays_and_its_rows_go_to_others(store: Store) -> None:
    ids = write(store, unit(np.random.default_rng(3), 200))
    index = small(store)
    index.catch_up()
    learnt = int(index._learnt[0])
    erase(store, [ids[learnt - 1]])
    index.catch_up()
    assert learnt not in index._learnt
    assert not index._weights[:, index._learnt == 0].any()
    assert not any(len(index._buckets[u // 16][u % 16]) for u in np.flatnonzero(index._learnt == 0).tolist())
    assert index.verify() == []


def test_units_learn_anew_when_half_of_them_are_silent(store: Store) -> None:
    rng = np.random.default_rng(4)
    ids = write(store, unit(rng, 120))
    index = small(store)
    index.catch_up()
    erase(store, ids[:90])
    index.catch_up()
    assert (index._learnt > 90).all()
    assert index.verify() == []
