"""The exact index that lives in memory: the laws of an index, and no file."""

from pathlib import Path

import numpy as np
import pytest

from anamnos.index.base import VectorIndex
from anamnos.index.exact_resident import ResidentIndex
from anamnos.store.base import EmbedderInfo, Store
from anamnos.testing import FakeEmbedder, ReferenceStore
from anamnos.testing.index_contract import VectorIndexContract, check_equal, erase, unit, write

INFO = EmbedderInfo(FakeEmbedder().id, FakeEmbedder().dim)


class TestResidentIndex(VectorIndexContract):
    def make_index(self, folder: Path, store: Store, info: EmbedderInfo) -> VectorIndex:
        return ResidentIndex(store, info)

    def test_every_damage_to_its_files_is_noticed(self, store: Store, folder: Path) -> None:
        write(store, unit(np.random.default_rng(10), 30))
        self.make_index(folder, store, INFO).rebuild()
        assert [path for path in folder.rglob("*") if path.is_file()] == []


def test_it_starts_again_behind_an_older_store() -> None:
    """As after a backup was put back: its vectors must not be taken for the store's."""
    newer, older = ReferenceStore().open(), ReferenceStore().open()
    for store in (newer, older):
        store.use_embedder(INFO)
    rng = np.random.default_rng(1)
    ids = write(newer, unit(rng, 40))
    erase(newer, ids[:3])
    write(older, unit(rng, 5))
    index = ResidentIndex(newer, INFO)
    check_equal(index, newer)
    index.store = older
    check_equal(index, older)


def test_who_waited_while_others_caught_up_does_not_take_the_store_for_an_older_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = ReferenceStore().open()
    store.use_embedder(INFO)
    index = ResidentIndex(store, INFO)
    write(store, unit(np.random.default_rng(1), 5))
    stale = store.sequence()
    write(store, unit(np.random.default_rng(2), 5))
    index.catch_up()
    asked = iter([stale])
    real = store.sequence
    monkeypatch.setattr(store, "sequence", lambda: next(asked, None) or real())
    monkeypatch.setattr(index, "close", lambda: pytest.fail("it began anew"))
    index.catch_up()
