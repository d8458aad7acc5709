"""SPANN: the laws of an index, the parts that it is made of, and what it finds."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from anamnos.errors import StoreError
from anamnos.index.base import VectorIndex
from anamnos.index.spann import files, lists, postings
from anamnos.index.spann import index as module
from anamnos.index.spann.coder import Coder
from anamnos.index.spann.heads import Heads, choose_heads
from anamnos.index.spann.index import SpannIndex
from anamnos.index.spann.lists import Lists
from anamnos.index.spann.postings import Postings
from anamnos.store.base import EmbedderInfo, Store
from anamnos.testing import FakeEmbedder, ReferenceStore, VectorIndexContract
from anamnos.testing.index_contract import change, erase, last_row, unit, write

INFO = EmbedderInfo(FakeEmbedder().id, FakeEmbedder().dim)
Floats = NDArray[np.float32]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make lists of collections that a test can make."""
    monkeypatch.setattr(module, "MEAN", 8)
    monkeypatch.setattr(lists, "MEAN", 8)
    monkeypatch.setattr(lists, "LONGEST", 24)
    monkeypatch.setattr(lists, "SHORTEST", 1)
    monkeypatch.setattr(module, "FEW", 5)
    monkeypatch.setattr(module, "QUERIES", 20)


@pytest.fixture(params=["faiss", "numpy"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With faiss, and without."""
    if request.param == "numpy":
        monkeypatch.setattr(postings, "faiss", lambda: None)
    elif postings.faiss() is None:
        pytest.skip("faiss is not installed")
    return str(request.param)


class Eager(SpannIndex):
    """Makes its lists at once, and writes them anew whenever it can, as others do when idle."""

    def __init__(self, folder: Path, store: Store, info: EmbedderInfo) -> None:
        super().__init__(folder, store, info, worth_it=20)
        self._busy = False

    def catch_up(self) -> int:
        newest = super().catch_up()
        if not self._busy:
            self._busy = True
            try:
                self.maintain()
            finally:
                self._busy = False
        return newest


class TestSpannContract(VectorIndexContract):
    recall = 0.9

    def make_index(self, folder: Path, store: Store, info: EmbedderInfo) -> VectorIndex:
        return Eager(folder, store, info)


class TestSpannWithoutListsContract(VectorIndexContract):
    """Below the size from which it has lists it is exact."""

    def make_index(self, folder: Path, store: Store, info: EmbedderInfo) -> VectorIndex:
        return SpannIndex(folder, store, info)


def mixture(rng: np.random.Generator, count: int, dim: int = INFO.dim, noise: float = 0.4) -> Floats:
    """Return unit vectors around centres, 50 a centre: (count, dim)."""
    centres = rng.normal(size=(max(1, count // 50), dim))
    vectors = centres[rng.integers(len(centres), size=count)] + noise * rng.normal(size=(count, dim))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def new_store() -> Store:
    store = ReferenceStore().open()
    store.use_embedder(INFO)
    return store


def made(folder: Path, vectors: Floats) -> tuple[SpannIndex, Store]:
    """Return an index with lists of vectors, which are the rows from 1 on."""
    store = new_store()
    write(store, vectors)
    index = SpannIndex(folder, store, INFO, worth_it=20)
    assert index.maintain()
    assert not index.maintain(), "there is nothing left to do"
    return index, store


def opened(index: SpannIndex) -> Lists:
    assert index._open is not None
    return index._open.lists


def recall(index: SpannIndex, vectors: Floats, queries: Floats, rows: NDArray[np.int64]) -> float:
    """Return the share of the nearest 10 of ``rows`` that are found; row r has the vector r - 1."""
    held = 0
    for query in queries:
        wanted = rows[np.argsort(-(vectors[rows - 1] @ query), kind="stable")[:10]]
        held += len(np.intersect1d(index.search(query, 10, rows)[0], wanted))
    return held / (10 * len(queries))


# --- bytes


def test_a_coder_keeps_the_nearest_and_is_short_where_it_can_be() -> None:
    rng = np.random.default_rng(1)
    flat = unit(rng, 2_000, 64) * np.where(np.arange(64) < 16, 1.0, 0.02).astype(np.float32)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    assert Coder.fit(flat, rng).width == 32
    assert Coder.fit(unit(rng, 2_000, 64), rng).width == 64, "no direction says more than another"


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.sampled_from([1, 3, 16, 100]))
@settings(deadline=None, max_examples=25)
def test_bytes_are_close(seed: int, count: int, dim: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = unit(rng, count, dim)
    coder = Coder.fit(vectors, rng)
    assert coder.width % 8 == 0
    short = coder.shorten(vectors)
    assert np.abs(coder.decode(coder.encode_short(short)) - short).max() <= 0.51 / coder.scale


# --- lists


@pytest.mark.usefixtures("engine")
@given(st.data())
@settings(deadline=None, max_examples=20, suppress_health_check=list(HealthCheck))
def test_a_scan_is_the_dot_products_of_what_is_allowed(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    width = 16
    held = Postings.empty(5, width, 1 << 16)
    rows, codes = np.arange(1, 101), rng.integers(1, 256, (100, width)).astype(np.uint8)
    home = rng.integers(5, size=100)
    for start in (0, 30, 60):
        for number in range(5):
            own = np.flatnonzero(home[start : start + 40] == number) + start
            own = own[own < (start + 30 if start < 60 else 100)]
            if len(own):
                held.append(number, rows[own], codes[own])
    assert [sorted(held.rows(n).tolist()) for n in range(5)] == [
        (np.flatnonzero(home == n) + 1).tolist() for n in range(5)
    ]
    query = rng.integers(-127, 128, (1, width)).astype(np.float32)
    query[0, 0] = 127  # so that it is bytes as it is
    chosen = np.array([data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=5, unique=True))])
    allowed = rng.random(101) < 0.5 if data.draw(st.booleans()) else None
    bits = None if allowed is None else np.packbits(allowed, bitorder="little")
    (found,), (scores,) = held.scan(query, chosen, 10, bits)
    inside = np.isin(home, chosen) & (True if allowed is None else allowed[rows])
    exact = (codes.astype(np.float64) - 128) @ query[0]
    best = np.sort(exact[inside])[::-1][:10]
    assert (found >= 0).sum() == len(best)
    np.testing.assert_allclose(scores[: len(best)], best, rtol=1e-6)
    np.testing.assert_allclose(exact[found[: len(best)] - 1], best, rtol=1e-6)
    held.close()


@pytest.mark.usefixtures("engine")
def test_heads_are_found_added_moved_and_dropped() -> None:
    rng = np.random.default_rng(2)
    vectors = mixture(rng, 1_000)
    found = Heads(*choose_heads(vectors, 60, rng))
    assert 50 <= len(found) <= 70
    numbers, cosines = found.nearest(vectors, 5, beam=1_000)
    exact = vectors @ found.vectors.T
    assert (numbers[:, 0] == exact.argmax(axis=1)).mean() > 0.95, "rounding may swap two that are as near"
    np.testing.assert_allclose(cosines, np.take_along_axis(exact, numbers, 1), atol=0.03)
    (new,) = unit(rng, 1)
    number = found.add(new, 0)
    assert found.nearest(new[None], 1, beam=1_000)[0][0, 0] == number
    found.move(number, np.zeros_like(new))
    assert number not in found.nearest(new[None], len(found), beam=1_000)[0]
    for vector in unit(rng, 200):
        found.add(vector, int(rng.integers(3)))
    assert (
        found.nearest(found.vectors[-100:], 1, beam=1_000)[0][:, 0] == np.arange(len(found) - 100, len(found))
    ).mean() > 0.95


def test_a_vector_has_a_second_home_only_where_it_lies_between(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two heads side by side and one apart: the second of the two is nearer to the first than the vector is."""
    east, near_east, north = np.eye(8, dtype=np.float32)[:3]
    near_east = (east + 0.1 * near_east) / np.linalg.norm(east + 0.1 * near_east)
    found = Heads(np.stack([east, near_east, north]), np.zeros(3, dtype=np.int64))
    between = (east + north) / np.float32(np.sqrt(2))
    assert found.homes(between[None]).tolist() in ([[0, 2]], [[2, 0]])
    assert found.homes((east + 0.3 * north)[None]).tolist()[0][0] == 0


# --- the index


@pytest.mark.usefixtures("engine")
def test_it_finds_nearly_all_and_only_what_is_asked_for(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    everything = mixture(rng, 3_200)
    vectors, queries = everything[:3_000], everything[3_000:3_060]
    index, _ = made(tmp_path, vectors)
    rows = np.arange(1, 3_001, dtype=np.int64)
    assert recall(index, vectors, queries, rows) > 0.9
    for share in (0.5, 0.05, 0.005):
        some = rows[rng.random(3_000) < share]
        assert recall(index, vectors, queries, some) > 0.9
        assert set(index.search(queries[0], 10, some)[0].tolist()) <= set(some.tolist())
    clustered = np.sort(np.argsort(-(vectors @ queries[7]))[:300] + 1)
    assert recall(index, vectors, queries, clustered) > 0.9, "a filter that has nothing to do with the query"
    found, scores = index.search(queries[0], 10_000, rows)
    assert len(found) == len(set(found.tolist())) == 3_000
    np.testing.assert_allclose(scores, vectors[found - 1] @ queries[0], atol=1e-5)
    assert index.bytes_read > 0
    index.close()


@pytest.mark.usefixtures("engine")
def test_half_of_it_exchanged_it_is_as_good(tmp_path: Path) -> None:
    """Insert from elsewhere, erase, split, merge, reassign: recall stays, garbage goes, codes are right."""
    rng = np.random.default_rng(4)
    first, later = mixture(rng, 1_500), mixture(rng, 1_500)
    index, store = made(tmp_path, first)
    before = len(opened(index))
    ids = [cube.id for row in range(1, 1_501) for cube in store.at([row])]
    vectors = np.concatenate([first, later])
    gone = rng.permutation(1_500)[:1_000]
    for step in range(10):
        write(store, later[step * 150 : step * 150 + 150])
        erase(store, [ids[n] for n in gone[step * 100 : step * 100 + 100]])
        index.catch_up()
    held = opened(index)
    assert len(held) > before, "lists were split"
    live = np.setdiff1d(np.arange(1, 3_001), gone + 1)
    assert recall(index, vectors, vectors[live[::40] - 1], live) > 0.9
    assert index.verify() == []
    index.maintain()
    assert opened(index).dead <= module.GARBAGE * opened(index).entries
    assert int(opened(index).postings.table[:, 0].max()) <= lists.LONGEST
    assert recall(index, vectors, vectors[live[::40] - 1], live) > 0.9
    assert index.verify() == []
    index.close()


def test_short_lists_are_merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    vectors = mixture(rng, 600)
    index, store = made(tmp_path, vectors)
    lists_before = len(opened(index))
    ids = [cube.id for row in range(1, 601) for cube in store.at([row])]
    kept = np.arange(0, 600, 4)
    erase(store, [ids[n] for n in range(600) if n % 4])
    monkeypatch.setattr(lists, "SHORTEST", 4)
    assert index.maintain()
    assert len(opened(index)) < lists_before
    assert index.verify() == []
    assert recall(index, vectors, vectors[kept[:20]], kept + 1) > 0.9
    index.close()


def test_lists_go_when_few_memories_are_left(tmp_path: Path) -> None:
    index, store = made(tmp_path, mixture(np.random.default_rng(6), 100))
    assert index.scans == 20
    erase(store, [cube.id for row in range(1, 96) for cube in store.at([row])])
    assert index.maintain()
    assert index.scans == np.inf
    assert not list(tmp_path.glob("lists-*"))
    assert index.search(unit(np.random.default_rng(6), 1)[0], 10, np.arange(1, 101))[0].tolist() != []
    index.close()


def test_the_same_vectors_by_the_thousand(tmp_path: Path) -> None:
    """They cannot be told apart, so that one list stays long, and nothing loops."""
    rng = np.random.default_rng(7)
    same = np.repeat(unit(rng, 1), 1_000, axis=0)
    index, store = made(tmp_path, np.concatenate([same, unit(rng, 40)]))
    write(store, same)
    index.catch_up()
    assert index.verify() == []
    found, scores = index.search(same[0], 20, np.arange(1, 2_041))
    assert len(found) == 20
    np.testing.assert_allclose(scores, 1.0, atol=1e-5)
    index.close()


def test_a_memory_without_a_vector_is_in_no_list(tmp_path: Path) -> None:
    vectors = unit(np.random.default_rng(8), 60)
    vectors[10:20] = 0
    index, _ = made(tmp_path, vectors)
    assert not opened(index).where[11:21].any()
    assert index.verify() == []
    index.close()


def test_a_version_that_is_past_is_in_no_list(tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    index, store = made(tmp_path, unit(rng, 60))
    cube = store.at([5])[0]
    change(store, cube.id, unit(rng, 1)[0])
    index.catch_up()
    assert not opened(index).where[5].any()
    assert opened(index).where[last_row(store)].any()
    assert index.verify() == []
    index.close()


def test_no_byte_of_an_erased_code_is_left_in_the_file(tmp_path: Path) -> None:
    """Neither where the list was written, nor where it was moved to."""
    rng = np.random.default_rng(10)
    index, store = made(tmp_path, unit(rng, 200))
    coder = opened(index).coder
    cubes = [store.at([row])[0] for row in (3, 4, 5)]
    codes = coder.encode_short(coder.shorten(index.gather(np.array([3, 4, 5]))))
    files_of = lambda: b"".join(p.read_bytes() for p in sorted(tmp_path.rglob("lists.bin")))  # noqa: E731
    assert all(code.tobytes() in files_of() for code in codes)
    write(store, unit(rng, 100))  # moves many lists
    index.catch_up()
    erase(store, [cube.id for cube in cubes])
    index.catch_up()
    assert not any(code.tobytes() in files_of() for code in codes)
    held = opened(index)
    assert not any(code.tobytes() in held.postings.data.tobytes() for code in codes)
    index.close()
    again = SpannIndex(tmp_path, store, INFO, worth_it=20)
    assert again.verify() == []
    again.close()


@pytest.mark.parametrize("with_lists", [True, False])
def test_lists_that_a_killed_process_left_are_gone_before_the_next_erasure(tmp_path: Path, with_lists: bool) -> None:
    """Or codes of what is erased would stay in them."""
    rng = np.random.default_rng(18)
    index, store = made(tmp_path, unit(rng, 100))
    if not with_lists:
        index.close()
        shutil.rmtree(next(tmp_path.glob("lists-*")))
        (tmp_path / "lists.json").unlink()
        index = SpannIndex(tmp_path, store, INFO, worth_it=1_000)
        index.catch_up()
    stray = tmp_path / "lists-half"
    stray.mkdir()
    (stray / "lists.bin").write_bytes(b"codes")
    erase(store, [store.at([3])[0].id])
    index.catch_up()
    assert not stray.exists()
    assert len(list(tmp_path.glob("lists-*"))) == with_lists
    assert index.verify() == []
    index.close()


def test_a_search_without_lists_in_memory_finds_the_same(tmp_path: Path) -> None:
    rng = np.random.default_rng(11)
    vectors = mixture(rng, 800)
    index, store = made(tmp_path, vectors)
    write(store, vectors[:200])
    erase(store, [store.at([1])[0].id])
    index.catch_up()
    rows = np.arange(1, 1_001)
    before = [index.search(query, 10, rows)[0].tolist() for query in vectors[:20]]
    index._budget, index._from_disk = 1, 100
    assert [index.search(query, 10, rows)[0].tolist() for query in vectors[:20]] == before
    index.close()


def test_the_same_collection_gives_the_same_lists(tmp_path: Path) -> None:
    vectors = mixture(np.random.default_rng(12), 500)
    one, two = (made(tmp_path / name, vectors)[0] for name in "ab")
    assert opened(one).heads.vectors.tobytes() == opened(two).heads.vectors.tobytes()
    assert opened(one).where.tobytes() == opened(two).where.tobytes()
    one.close()
    two.close()


def test_when_the_room_is_used_up_all_is_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_RESERVE", 1 << 18)
    monkeypatch.setattr(files, "_SPARE_ROWS", 50)
    rng = np.random.default_rng(13)
    index, store = made(tmp_path, mixture(rng, 100))
    first = index._open and index._open.state.generation
    for _ in range(10):
        write(store, mixture(rng, 200))
        index.catch_up()
    assert index._open and index._open.state.generation != first
    assert index.verify() == []
    index.close()


def test_a_full_disk_is_said_and_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(14)
    vectors = mixture(rng, 300)
    index, store = made(tmp_path, vectors)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    erase(store, [store.at([row])[0].id for row in range(1, 101)])
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "posix_fallocate", full)
        with pytest.raises(StoreError, match="could not be written"):
            index.maintain()
        rows = np.arange(101, 301)
        assert recall(index, vectors, vectors[150:170], rows) > 0.9
    assert index.maintain()
    assert len(list(tmp_path.glob("lists-*"))) == 1, "what was half written is gone"
    assert index.verify() == []
    index.close()


@pytest.mark.parametrize("name", ["heads.npz", "where.bin", "lists.bin", "lists.json"])
@pytest.mark.parametrize("damage", ["lost", "cut", "garbage"])
def test_every_damage_to_the_lists_is_mended_or_said(tmp_path: Path, name: str, damage: str) -> None:
    index, store = made(tmp_path, mixture(np.random.default_rng(15), 200))
    index.close()
    (path,) = tmp_path.rglob(name)
    if damage == "lost":
        path.unlink()
    elif damage == "cut":
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size // 3 if name != "lists.bin" else 100)
    else:
        with path.open("r+b") as file:
            file.write(b"garbage!" * 100)
    again = SpannIndex(tmp_path, store, INFO, worth_it=20)
    problems = again.verify()
    assert problems or again.scans == np.inf, "not noticed"
    again.rebuild()
    assert again.scans == 20
    assert again.verify() == []
    again.close()


def test_two_processes_follow_for_themselves(tmp_path: Path) -> None:
    """Each has its own map; when one writes all anew, the other takes it over."""
    rng = np.random.default_rng(16)
    one, store = made(tmp_path, mixture(rng, 300))
    two = SpannIndex(tmp_path, store, INFO, worth_it=20)
    for _ in range(4):
        write(store, mixture(rng, 100))
        erase(store, [store.at([row])[0].id for row in rng.permutation(200)[:20] + 1 if store.at([int(row)])])
        for index in (one, two):
            assert index.verify() == []
        one.maintain()
        for index in (two, one):
            assert index.verify() == []
    one.close()
    two.close()


def test_threads_search_while_it_grows_and_shrinks(tmp_path: Path) -> None:
    rng = np.random.default_rng(17)
    vectors = mixture(rng, 600)
    index, store = made(tmp_path, vectors)
    rows, stop, problems = np.arange(1, 601), threading.Event(), list[BaseException]()

    def read() -> None:
        try:
            while not stop.is_set():
                index.catch_up()
                found, _ = index.search(vectors[300], 5, rows)
                assert found[0] == 301
        except BaseException as exc:
            problems.append(exc)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for step in range(15):
        write(store, mixture(rng, 40))
        erase(store, [store.at([step + 1])[0].id])
        index.maintain()
    stop.set()
    for reader in readers:
        reader.join()
    assert problems == []
    assert index.verify() == []
    index.close()
