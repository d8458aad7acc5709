"""The laws of a vector index as tests: subclass ``VectorIndexContract`` and give it ``make_index``.

class TestMyIndex(VectorIndexContract):
    def make_index(self, folder: Path, store: Store, info: EmbedderInfo) -> VectorIndex:
        return MyIndex(folder, store, info)
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from anamnos.cube import CubeId, MemCube, Scope
from anamnos.index.base import VectorIndex
from anamnos.store.apply import apply
from anamnos.store.base import EmbedderInfo, Store
from anamnos.testing.fakes import FakeEmbedder, seeded_ids
from anamnos.testing.reference_store import ReferenceStore
from anamnos.types import Derived, Op, OpKind

_NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
_ANN = Scope(user="ann")
_INFO = EmbedderInfo(FakeEmbedder().id, FakeEmbedder().dim)
_new_id = seeded_ids(23)


def unit(rng: np.random.Generator, count: int, dim: int = _INFO.dim) -> NDArray[np.float32]:
    """Return random unit vectors: (count, dim) float32."""
    vectors = rng.normal(size=(count, dim))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def write(store: Store, vectors: NDArray[np.float32]) -> list[CubeId]:
    """Add a memory per vector, and return their ids."""
    cubes = [MemCube(id=_new_id(_NOW), content=f"memory {n}", scope=_ANN) for n in range(len(vectors))]
    with store.write() as tx:
        for cube, vector in zip(cubes, vectors, strict=True):
            apply(Op(OpKind.ADD, cube=cube, derived=Derived(np.empty(0, np.uint32), vector)), tx, now=_NOW)
    return [cube.id for cube in cubes]


def change(store: Store, cube_id: CubeId, vector: NDArray[np.float32]) -> None:
    """Write the next version of a memory, with another vector."""
    cube = store.get(cube_id)
    assert cube is not None
    new = cube.next_version(content=f"{cube.content}, changed")
    with store.write() as tx:
        derived = Derived(np.empty(0, np.uint32), vector)
        apply(Op(OpKind.UPDATE, target=cube_id, cube=new, derived=derived), tx, now=_NOW)


def erase(store: Store, ids: Sequence[CubeId]) -> None:
    """Erase memories."""
    with store.write() as tx:
        for cube_id in ids:
            apply(Op(OpKind.DELETE, target=cube_id), tx, now=_NOW)


def last_row(store: Store) -> int:
    """Return the highest row that was ever written."""
    return max((change.row for change in store.changes(0, limit=10**9)), default=0)


def check_equal(index: VectorIndex, store: Store) -> None:
    """Assert that the index, once it has caught up, holds the store's vectors, and zeros elsewhere."""
    assert index.catch_up() == store.sequence()
    rows = np.arange(1, last_row(store) + 3, dtype=np.int64)
    np.testing.assert_array_equal(index.gather(rows), store.vectors(rows, _INFO))
    assert index.verify() == []


class VectorIndexContract:
    """The laws of ``anamnos.index.base``. Stores are in memory, so that an index is all that has files."""

    recall = 1.0  # share of the nearest that ``search`` must find; less for an approximate index

    def make_index(self, folder: Path, store: Store, info: EmbedderInfo) -> VectorIndex:
        """Return an index whose files are in ``folder``; two of the same folder share them."""
        raise NotImplementedError

    @pytest.fixture
    def store(self) -> Store:
        store = ReferenceStore().open()
        store.use_embedder(_INFO)
        return store

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return tmp_path / "index"

    @pytest.fixture
    def index(self, folder: Path, store: Store) -> Iterator[VectorIndex]:
        index = self.make_index(folder, store, _INFO)
        yield index
        index.close()

    # --- law 1 and 2: it follows the store

    def test_of_an_empty_store_it_is_empty(self, index: VectorIndex, store: Store) -> None:
        assert index.catch_up() == 0 == store.sequence()
        none = np.empty(0, dtype=np.int64)
        assert index.similarities(unit(np.random.default_rng(1), 1)[0], none).shape == (0,)
        assert index.gather(none).shape == (0, _INFO.dim)
        rows, scores = index.search(unit(np.random.default_rng(1), 1)[0], 5, none)
        assert rows.shape == scores.shape == (0,)
        assert index.verify() == []

    def test_it_holds_the_vectors_of_the_store(self, index: VectorIndex, store: Store) -> None:
        rng = np.random.default_rng(2)
        ids = write(store, unit(rng, 50))
        check_equal(index, store)
        change(store, ids[3], unit(rng, 1)[0])
        erase(store, ids[10:20])
        write(store, unit(rng, 5))
        check_equal(index, store)
        assert not index.gather(np.arange(11, 21)).any(), "an erased row has a vector"

    def test_catching_up_twice_changes_nothing(self, index: VectorIndex, store: Store) -> None:
        write(store, unit(np.random.default_rng(3), 20))
        reached = index.catch_up()
        before = index.gather(np.arange(1, 21)).tobytes()
        assert index.catch_up() == reached
        assert index.gather(np.arange(1, 21)).tobytes() == before

    def test_no_byte_of_an_erased_vector_is_in_its_files(self, index: VectorIndex, store: Store, folder: Path) -> None:
        rng = np.random.default_rng(4)
        vectors = unit(rng, 40)
        ids = write(store, vectors)
        index.catch_up()
        erase(store, ids[:20])
        index.catch_up()
        for closed in (False, True):
            if closed:
                index.close()
            data = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
            assert not any(vector[:4].tobytes() in data for vector in vectors[:20])

    def test_any_life_of_the_store_is_followed(self, tmp_path: Path) -> None:
        @settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.too_slow])
        @given(st.lists(st.sampled_from(["write", "many", "change", "erase", "catch up", "reopen"]), max_size=12))
        def check(steps: list[str]) -> None:
            rng = np.random.default_rng(len(steps))
            store = ReferenceStore().open()
            store.use_embedder(_INFO)
            folder = tmp_path / f"{rng.bit_generator.random_raw():x}{_new_id(_NOW)}"
            index = self.make_index(folder, store, _INFO)
            ids: list[CubeId] = []
            for step in steps:
                if step in ("write", "many"):
                    ids += write(store, unit(rng, 3 if step == "write" else 40))
                elif step == "change" and ids:
                    change(store, ids[int(rng.integers(len(ids)))], unit(rng, 1)[0])
                elif step == "erase" and ids:
                    erase(store, [ids.pop(int(rng.integers(len(ids))))])
                elif step == "catch up":
                    check_equal(index, store)
                elif step == "reopen":
                    index.close()
                    index = self.make_index(folder, store, _INFO)
            check_equal(index, store)
            index.rebuild()
            check_equal(index, store)
            index.close()

        check()

    # --- law 3: cosines

    def test_similarities_are_cosines(self, index: VectorIndex, store: Store) -> None:
        rng = np.random.default_rng(5)
        vectors, (query,) = unit(rng, 300), unit(rng, 1)
        ids = write(store, vectors)
        erase(store, ids[7:9])
        index.catch_up()
        want = (vectors.astype(np.float64) @ query.astype(np.float64)).astype(np.float32)
        want[7:9] = 0
        for rows in (np.arange(1, 301), np.arange(3, 301, 2), np.array([5, 9, 200]), np.array([8]), np.array([300])):
            found = index.similarities(query, rows)
            assert found.dtype == np.float32
            assert found.shape == rows.shape
            np.testing.assert_allclose(found, want[rows - 1], atol=1e-5)
        assert abs(float(index.similarities(vectors[0], np.array([1]))[0]) - 1) < 1e-5

    def test_rows_that_never_were_are_zero(self, index: VectorIndex, store: Store) -> None:
        (query,) = unit(np.random.default_rng(6), 1)
        write(store, unit(np.random.default_rng(6), 3))
        index.catch_up()
        rows = np.array([2, 3, 4, 5_000, 10_000_000])
        assert index.similarities(query, rows)[2:].tolist() == [0, 0, 0]
        assert not index.gather(rows)[2:].any()

    # --- law 5: the nearest

    def test_search_gives_the_nearest_first(self, index: VectorIndex, store: Store) -> None:
        rng = np.random.default_rng(7)
        vectors, (query,) = unit(rng, 200), unit(rng, 1)
        vectors[50] = vectors[20]
        write(store, vectors)
        index.catch_up()
        rows = np.arange(1, 201, dtype=np.int64)
        cosines = vectors @ query
        for top_k in (1, 10, 200, 500):
            found, scores = index.search(query, top_k, rows)
            assert len(found) == min(top_k, 200)
            np.testing.assert_allclose(cosines[found - 1], scores, atol=1e-5)
            assert (np.diff(scores) <= 0).all()
            nearest = set((np.argsort(-cosines, kind="stable")[:top_k] + 1).tolist())
            assert len(nearest & set(found.tolist())) >= self.recall * len(found)
        found, _ = index.search(vectors[20], 2, rows)
        assert found.tolist() == [21, 51], "ties go by row"
        some = rows[rows % 3 == 0]
        assert set(index.search(query, 10, some)[0].tolist()) <= set(some.tolist())

    # --- law 4: nothing makes it wrong for good

    def test_it_is_there_when_opened_again(self, store: Store, folder: Path) -> None:
        write(store, unit(np.random.default_rng(8), 30))
        first = self.make_index(folder, store, _INFO)
        first.catch_up()
        first.close()
        first.close()
        again = self.make_index(folder, store, _INFO)
        check_equal(again, store)
        again.close()

    def test_one_that_was_never_closed_is_caught_up(self, store: Store, folder: Path) -> None:
        """As after a kill: no close, and the store has gone on."""
        rng = np.random.default_rng(9)
        killed = self.make_index(folder, store, _INFO)
        ids = write(store, unit(rng, 30))
        killed.catch_up()
        erase(store, ids[:5])
        write(store, unit(rng, 5))
        again = self.make_index(folder, store, _INFO)
        check_equal(again, store)
        again.close()

    def test_every_damage_to_its_files_is_noticed(self, store: Store, folder: Path) -> None:
        """Each file is lost, cut or overwritten by garbage; what is found is right, or verify says so."""
        write(store, unit(np.random.default_rng(10), 30))
        self.make_index(folder, store, _INFO).rebuild()
        names = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and p.stat().st_size)
        assert names
        for number, name in enumerate(names):
            for damage in ("lost", "cut", "empty", "garbage"):
                index = self.make_index(folder, store, _INFO)
                index.rebuild()
                index.close()
                files = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.stat().st_size]
                path = files[number]
                size = path.stat().st_size
                if damage == "lost":
                    path.unlink()
                elif damage == "garbage":
                    path.write_bytes(b"garbage!" * (size // 8))
                else:
                    with path.open("r+b") as file:
                        file.truncate(size // 3 if damage == "cut" else 0)
                index = self.make_index(folder, store, _INFO)
                index.catch_up()
                rows = np.arange(1, 31, dtype=np.int64)
                right = np.array_equal(index.gather(rows), store.vectors(rows, _INFO))
                assert right or index.verify(), f"{name} {damage}: not noticed"
                index.rebuild()
                check_equal(index, store)
                index.close()

    def test_two_at_once_agree(self, store: Store, folder: Path) -> None:
        rng = np.random.default_rng(11)
        one, two = self.make_index(folder, store, _INFO), self.make_index(folder, store, _INFO)
        ids: list[CubeId] = []
        for n in range(30):
            ids += write(store, unit(rng, 2))
            if n % 5 == 4:
                erase(store, [ids.pop(0)])
            for index in (one, two) if n % 2 else (two,):
                check_equal(index, store)
        one.rebuild()
        check_equal(two, store)
        two.rebuild()
        check_equal(one, store)
        write(store, unit(rng, 1))
        check_equal(two, store)
        check_equal(one, store)
        one.close()
        check_equal(two, store)
        two.close()

    def test_threads_may_search_while_it_grows(self, index: VectorIndex, store: Store) -> None:
        rng = np.random.default_rng(12)
        first = unit(rng, 500)
        write(store, first)
        index.catch_up()
        stop = threading.Event()
        problems: list[BaseException] = []

        def read() -> None:
            rows = np.arange(1, 501, dtype=np.int64)
            try:
                while not stop.is_set():
                    index.catch_up()
                    np.testing.assert_allclose(index.similarities(first[0], rows), first @ first[0], atol=1e-5)
            except BaseException as exc:
                problems.append(exc)

        readers = [threading.Thread(target=read) for _ in range(3)]
        for reader in readers:
            reader.start()
        for _ in range(20):
            write(store, unit(rng, 100))
            index.catch_up()
        stop.set()
        for reader in readers:
            reader.join()
        assert problems == []
        check_equal(index, store)

    def test_one_of_another_embedder_is_made_anew(self, store: Store, folder: Path) -> None:
        write(store, unit(np.random.default_rng(13), 4))
        index = self.make_index(folder, store, _INFO)
        index.catch_up()
        index.close()
        other = EmbedderInfo("other", 8)
        store.put_vectors(np.array([1, 2, 3, 4]), unit(np.random.default_rng(14), 4, 8), other)
        store.use_embedder(other)
        again = self.make_index(folder, store, other)
        again.catch_up()
        rows = np.arange(1, 5)
        np.testing.assert_array_equal(again.gather(rows), store.vectors(rows, other))
        again.close()

    def test_one_ahead_of_its_store_is_made_anew(self, folder: Path) -> None:
        """As when the store's file was put back from a backup."""
        counts = (40, 10)
        for count in counts:
            store = ReferenceStore().open()
            store.use_embedder(_INFO)
            write(store, unit(np.random.default_rng(count), count))
            index = self.make_index(folder, store, _INFO)
            check_equal(index, store)
            index.close()
