"""What every index on a server owes beside the laws of an index: outages, other stores, spaces, and real deletion."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anamnos.cube import MemCube, Scope
from anamnos.errors import InvalidInput, StoreError
from anamnos.index.engine import EngineIndex, Mark, space_number, vault_id
from anamnos.store.apply import apply
from anamnos.store.base import EmbedderInfo, Store
from anamnos.testing import FakeEmbedder, ReferenceStore, seeded_ids
from anamnos.testing.index_contract import VectorIndexContract, check_equal, erase, last_row, unit, write
from anamnos.types import Derived, Op, OpKind

INFO = EmbedderInfo(FakeEmbedder().id, FakeEmbedder().dim)
NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
_new_id = seeded_ids(31)


def write_as(store: Store, scope: Scope, vectors: Any) -> list[int]:
    """Add a memory of a scope per vector, and return their rows."""
    first = last_row(store) + 1
    with store.write() as tx:
        for vector in vectors:
            cube = MemCube(id=_new_id(NOW), content="a memory", scope=scope)
            apply(Op(OpKind.ADD, cube=cube, derived=Derived(np.empty(0, np.uint32), vector)), tx, now=NOW)
    return list(range(first, last_row(store) + 1))


class EngineLaws(VectorIndexContract):
    """``make_engine`` gives one that asks the server from 20 rows on, so that few vectors suffice to test it."""

    recall = 0.9

    def make_engine(self, store: Store, info: EmbedderInfo = INFO) -> EngineIndex:
        raise NotImplementedError

    def make_index(self, folder: Path, store: Store, info: EmbedderInfo) -> EngineIndex:
        index = self.make_engine(store, info)
        index.scans = 20
        return index

    def test_every_damage_to_its_files_is_noticed(self, store: Store, folder: Path) -> None:
        """It has no files of its own; what may be wrong in the server is in the test below."""
        write(store, unit(np.random.default_rng(10), 30))
        index = self.make_index(folder, store, INFO)
        index.rebuild()
        index.close()
        assert [path for path in folder.rglob("*") if path.is_file()] == []

    def test_verify_tells_what_the_server_lacks_or_has_too_many_or_otherwise(
        self, index: EngineIndex, store: Store
    ) -> None:
        ids = write(store, unit(np.random.default_rng(1), 8))
        erase(store, ids[:1])
        index.catch_up()
        mark = index._read_mark()
        assert mark is not None
        none, empty = np.empty(0, np.int64), np.empty((0, INFO.dim), np.float32)
        for rows, gone, told in (([], [5], "lacks: 1, the first 5"), ([1], [], "has too many: 1, the first 1")):
            put = np.array(rows, np.int64)
            vectors = unit(np.random.default_rng(2), len(rows)) if rows else empty
            index._apply(put, put + 1, vectors, np.array(gone, np.int64), mark)
            (problem,) = index.verify()
            assert told in problem
            index.rebuild()
            assert index.verify() == []
        other = unit(np.random.default_rng(3), 1)
        index._apply(np.array([4]), np.array([1]), other, none, mark)
        (problem,) = index.verify()
        assert "vector of row 4 differs" in problem

    def test_a_kill_between_rows_and_mark_is_made_good(
        self, folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rng = np.random.default_rng(4)
        index = self.make_index(folder, store, INFO)
        ids = write(store, unit(rng, 30))
        index.catch_up()
        erase(store, ids[:10])
        write(store, unit(rng, 10))

        def killed(*args: object) -> None:
            raise StoreError("killed")

        with monkeypatch.context() as patched:
            patched.setattr(index, "_write_mark", killed)
            with pytest.raises(StoreError):
                index.catch_up()
        again = self.make_index(folder, store, INFO)
        check_equal(again, store)
        again.close()
        index.close()

    def test_a_store_with_another_history_is_noticed_though_it_is_longer(self, folder: Path) -> None:
        """As when a backup was put back, or copied, and gone on with."""
        rng = np.random.default_rng(5)
        one, other = ReferenceStore().open(), ReferenceStore().open()
        for store, count in ((one, 30), (other, 60)):
            store.use_embedder(INFO)
            store.set_setting("vault", "the same")
            write(store, unit(rng, count))
        for store in (one, other, one):
            index = self.make_index(folder, store, INFO)
            check_equal(index, store)
            index.close()

    def test_another_vault_has_another_table(self, folder: Path) -> None:
        rng = np.random.default_rng(6)
        stores = [ReferenceStore().open() for _ in range(2)]
        for store in stores:
            store.use_embedder(INFO)
            write(store, unit(rng, 30))
        indexes = [self.make_index(folder, store, INFO) for store in stores]
        assert indexes[0].name != indexes[1].name
        for _ in range(2):
            for index, store in zip(indexes, stores, strict=True):
                check_equal(index, store)
        for index in indexes:
            index.close()
        assert vault_id(stores[0]) == vault_id(stores[0]) != vault_id(stores[1])

    def test_a_store_that_shows_one_tenant_only_has_a_table_of_its_own(self, folder: Path, store: Store) -> None:
        whole = self.make_index(folder, store, INFO).name
        names = {whole}
        for tenant in ("acme", "bolt"):
            store.tenant = tenant  # type: ignore[attr-defined]
            names.add(self.make_index(folder, store, INFO).name)
        assert len(names) == 3

    def test_other_embedders_tables_are_dropped_and_no_other_vaults(self, store: Store, folder: Path) -> None:
        self.make_index(folder, store, INFO).drop_others()  # there is nothing yet
        neighbour = ReferenceStore().open()
        neighbour.use_embedder(INFO)
        for owner, count in ((neighbour, 3), (store, 5)):
            write(owner, unit(np.random.default_rng(7), count))
            self.make_index(folder, owner, INFO).catch_up()
        other = EmbedderInfo("other", 8)
        store.put_vectors(np.arange(1, 6), unit(np.random.default_rng(8), 5, 8), other)
        store.use_embedder(other)
        index = self.make_index(folder, store, other)
        index.catch_up()
        assert len(self.names_of(index)) == 3
        index.drop_others()
        assert self.names_of(index) == {index.name, self.make_index(folder, neighbour, INFO).name}
        index.close()

    @staticmethod
    def names_of(index: EngineIndex) -> set[str]:
        return set(index._names())

    # --- searching in the server

    def test_it_finds_the_nearest_of_many_and_of_few(self, index: EngineIndex, store: Store) -> None:
        rng = np.random.default_rng(9)
        vectors = unit(rng, 2_000)
        write(store, vectors)
        index.catch_up()
        rows = np.arange(1, 2_001, dtype=np.int64)
        for some in (rows, rows[rows % 3 == 0], rows[rows % 50 == 0], rows[1_000:]):
            found, wanted = 0, 0
            for query in unit(rng, 10):
                got, scores = index.search(query, 10, some)
                cosines = vectors[some - 1] @ query
                np.testing.assert_allclose(scores, vectors[got - 1] @ query, atol=1e-6)
                assert (np.diff(scores) <= 0).all()
                assert np.isin(got, some).all()
                found += len(set(got.tolist()) & set(some[np.argsort(-cosines)[:10]].tolist()))
                wanted += 10
            assert found >= self.recall * wanted

    def test_what_was_erased_or_not_asked_for_is_never_found(self, index: EngineIndex, store: Store) -> None:
        rng = np.random.default_rng(10)
        vectors = unit(rng, 100)
        ids = write(store, vectors)
        index.catch_up()
        erase(store, ids[40:50])  # the server has them still
        rows = np.arange(1, 101, dtype=np.int64)
        for place in (40, 45, 60):
            found, _ = index.search(vectors[place], 20, rows)
            assert not np.isin(found, np.arange(41, 51)).any()
        asked = rows[rows % 2 == 0]
        assert (index.search(vectors[60], 20, asked)[0] % 2 == 0).all()

    def test_rows_of_several_users_and_tenants_are_found_together(self, index: EngineIndex, store: Store) -> None:
        rng = np.random.default_rng(11)
        scopes = [Scope(user="ann"), Scope(user="bob"), Scope(tenant="acme", user="ann"), Scope(agent="tutor")]
        assert len({space_number(scope) for scope in scopes}) == 4
        vectors = unit(rng, 160)
        rows = [write_as(store, scope, vectors[40 * n : 40 * n + 40]) for n, scope in enumerate(scopes)]
        index.catch_up()
        for asked in (rows[0], rows[2], rows[1] + rows[3], [*range(1, 161)]):
            among = np.array(asked, dtype=np.int64)
            for query in unit(rng, 3):
                found, _ = index.search(query, 5, among)
                wanted = among[np.argsort(-(vectors[among - 1] @ query), kind="stable")[:5]]
                assert found.tolist() == wanted.tolist()
        again = self.make_index(Path(), store, INFO)  # one that has applied nothing itself
        assert again.search(vectors[0], 1, np.array(rows[0]))[0].tolist() == rows[0][:1]
        again.close()

    def test_vectors_of_zeros_are_no_neighbours(self, index: EngineIndex, store: Store) -> None:
        vectors = unit(np.random.default_rng(12), 60)
        vectors[10:40] = 0
        write(store, vectors)
        check_equal(index, store)
        rows = np.arange(1, 61, dtype=np.int64)
        found, scores = index.search(vectors[0], 5, rows)
        assert found[0] == 1
        assert (scores[:1] > 0.99).all()
        assert len(index.search(vectors[0], 50, rows)[0]) == 50, "those without a direction come with 0"
        found, scores = index.search(np.zeros(INFO.dim, np.float32), 3, rows)
        assert (found.tolist(), scores.tolist()) == ([1, 2, 3], [0, 0, 0])

    def test_duplicates_by_the_thousand(self, index: EngineIndex, store: Store) -> None:
        (same, query) = unit(np.random.default_rng(13), 2)
        write(store, np.tile(same, (1_500, 1)))
        index.catch_up()
        rows = np.arange(1, 1_501, dtype=np.int64)
        found, scores = index.search(query, 10, rows)
        assert len(set(found.tolist())) == 10
        np.testing.assert_allclose(scores, same @ query, atol=1e-6)

    def test_more_wanted_than_there_are(self, index: EngineIndex, store: Store) -> None:
        vectors = unit(np.random.default_rng(14), 50)
        write(store, vectors)
        index.catch_up()
        found, _ = index.search(vectors[0], 1_000, np.arange(1, 51, dtype=np.int64))
        assert sorted(found.tolist()) == list(range(1, 51))

    @pytest.mark.parametrize("query", [np.ones(3), np.full(INFO.dim, np.nan), np.ones((2, INFO.dim))])
    def test_a_query_that_is_none_is_refused(self, index: EngineIndex, store: Store, query: Any) -> None:
        write(store, unit(np.random.default_rng(15), 2))
        index.catch_up()
        with pytest.raises(InvalidInput, match=f"{INFO.dim} finite numbers"):
            index.search(query, 1, np.array([1, 2]))

    def test_one_whose_table_was_dropped_by_another_makes_it_again(self, folder: Path, store: Store) -> None:
        vectors = unit(np.random.default_rng(16), 60)
        write(store, vectors)
        index, other = self.make_index(folder, store, INFO), self.make_index(folder, store, INFO)
        index.catch_up()
        other.catch_up()
        other._drop(other.name)
        found, _ = index.search(vectors[7], 1, np.arange(1, 61, dtype=np.int64))
        assert found.tolist() == [8]
        other.close()
        index.close()

    def test_maintaining_forgets_what_was_erased(self, index: EngineIndex, store: Store) -> None:
        ids = write(store, unit(np.random.default_rng(17), 30))
        index.catch_up()
        assert not index.maintain()
        erase(store, ids[:5])
        index.catch_up()
        mark = index._read_mark()
        assert mark is not None and mark.erased == 5
        assert index.maintain()
        assert index._read_mark() == Mark(mark.seq, mark.anchor)
        assert not index.maintain()
        check_equal(index, store)
