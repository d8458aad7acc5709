"""The exact index: the laws of an index, and its own files."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from anamnos.errors import StoreError
from anamnos.index.base import VectorIndex
from anamnos.index.exact import ExactIndex, capacity_for
from anamnos.store.base import EmbedderInfo, Store
from anamnos.store.sqlite import SqliteStore
from anamnos.testing import FakeEmbedder, ReferenceStore
from anamnos.testing.index_contract import VectorIndexContract, check_equal, erase, unit, write

INFO = EmbedderInfo(FakeEmbedder().id, FakeEmbedder().dim)


class TestExactIndex(VectorIndexContract):
    def make_index(self, folder: Path, store: Store, info: EmbedderInfo) -> VectorIndex:
        return ExactIndex(folder, store, info)


@pytest.fixture
def store() -> Store:
    store = ReferenceStore().open()
    store.use_embedder(INFO)
    return store


def vectors_file(folder: Path) -> Path:
    (path,) = folder.rglob("vectors.f32")
    return path


def test_capacity_doubles_and_then_grows_by_steps() -> None:
    for rows in [*range(1, 70_000, 97), 1_024, 1_025, 16_384, 16_385, 32_768, 32_769]:
        capacity = capacity_for(rows)
        assert rows <= capacity <= max(2 * rows, 1_024) or capacity - rows < 16_384
        assert capacity % 1_024 == 0
        assert capacity == capacity_for(capacity)
        assert capacity_for(rows + 1) >= capacity
    assert [capacity_for(n) for n in (1, 1_024, 1_025, 16_384, 16_385)] == [1_024, 1_024, 2_048, 16_384, 32_768]


def test_rows_lie_at_their_number_as_float32(store: Store, tmp_path: Path) -> None:
    vectors = unit(np.random.default_rng(1), 1_030)
    ids = write(store, vectors)
    index = ExactIndex(tmp_path, store, INFO)
    index.catch_up()
    path = vectors_file(tmp_path)
    assert path.stat().st_size == 2_048 * INFO.dim * 4
    raw = np.fromfile(path, dtype="<f4").reshape(-1, INFO.dim)
    np.testing.assert_array_equal(raw[1:1_031], vectors)
    assert not raw[0].any()
    assert not raw[1_031:].any()
    erase(store, ids[5:8])
    index.catch_up()
    raw = np.fromfile(path, dtype="<f4").reshape(-1, INFO.dim)
    assert not raw[6:9].any(), "erased vectors are zero bytes"
    np.testing.assert_array_equal(raw[9:1_031], vectors[8:])


def test_verify_counts_the_vectors_that_differ(store: Store, tmp_path: Path) -> None:
    write(store, unit(np.random.default_rng(2), 30))
    index = ExactIndex(tmp_path, store, INFO)
    index.catch_up()
    with vectors_file(tmp_path).open("r+b") as file:
        file.seek(4 * INFO.dim * 7)
        file.write(b"\1" * 8 * INFO.dim)  # two rows
    (problem,) = index.verify()
    assert "2 vectors" in problem
    assert "rebuild-index" in problem
    index.rebuild()
    check_equal(index, store)


def test_verify_notices_a_file_that_is_gone_under_an_open_index(store: Store, tmp_path: Path) -> None:
    write(store, unit(np.random.default_rng(3), 30))
    index = ExactIndex(tmp_path, store, INFO)
    index.catch_up()
    index.gather(np.arange(1, 31))
    vectors_file(tmp_path).unlink()
    assert index.verify() != []
    index.rebuild()
    check_equal(index, store)


@pytest.mark.parametrize(
    "state",
    ["", "garbage", "[]", "null", "{}", '{"format": 2}', '{"format": 1, "embedder": "fake-crc32-16", "dim": 16}'],
)
def test_a_state_that_makes_no_sense_means_a_new_start(store: Store, tmp_path: Path, state: str) -> None:
    write(store, unit(np.random.default_rng(4), 30))
    index = ExactIndex(tmp_path, store, INFO)
    index.rebuild()
    index.close()
    (tmp_path / "state.json").write_text(state)
    check_equal(ExactIndex(tmp_path, store, INFO), store)
    assert len(list(tmp_path.rglob("vectors.f32"))) == 1, "the old file is left behind"


def test_the_state_says_how_far_the_file_is_safe(store: Store, tmp_path: Path) -> None:
    write(store, unit(np.random.default_rng(5), 30))
    index = ExactIndex(tmp_path, store, INFO)
    index.catch_up()
    assert json.loads((tmp_path / "state.json").read_text())["synced"] == 0
    index.close()
    state = json.loads((tmp_path / "state.json").read_text())
    assert state["synced"] == 30
    assert (state["embedder"], state["dim"]) == (INFO.id, INFO.dim)


def test_a_folder_that_cannot_be_written_gives_our_error(store: Store, tmp_path: Path) -> None:
    write(store, unit(np.random.default_rng(6), 3))
    (tmp_path / "file").write_text("in the way")
    index = ExactIndex(tmp_path / "file" / "index", store, INFO)
    with pytest.raises(StoreError, match="could not be written") as failure:
        index.catch_up()
    assert failure.value.hint


CHILD = """
import sys
from pathlib import Path
import numpy as np
from anamnos.index.exact import ExactIndex
from anamnos.store.sqlite import SqliteStore
from anamnos.testing.index_contract import _INFO, check_equal, erase, unit, write
folder, seed = Path(sys.argv[1]), int(sys.argv[2])
rng = np.random.default_rng(seed)
store = SqliteStore(folder / "anamnos.db", busy_timeout_s=60).open()
import anamnos.testing.index_contract as kit
from anamnos.testing import seeded_ids
kit._new_id = seeded_ids(seed)
index = ExactIndex(folder / "index", store, _INFO)
for n in range(40):
    ids = write(store, unit(rng, 10))
    index.catch_up()
    erase(store, ids[:3])
    index.catch_up()
    if n % 10 == seed % 10:
        index.rebuild()
index.close()
store.close()
print("done")
"""


def test_processes_share_one_index(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "anamnos.db").open()
    store.use_embedder(INFO)
    children = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path), str(seed)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for seed in (1, 2)
    ]
    index = ExactIndex(tmp_path / "index", store, INFO)
    while any(child.poll() is None for child in children):
        index.catch_up()
    said = [child.communicate() for child in children]
    assert said == [(b"done\n", b"")] * 2
    assert store.count() == 2 * 40 * 7
    check_equal(index, store)
    index.close()
    store.close()
