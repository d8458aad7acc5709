"""The index in Milvus: the laws of an index on a server, on milvus-lite, which also goes away."""

import builtins
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pymilvus")
pytest.importorskip("milvus_lite")

from anamnos.errors import ConfigError, MissingExtra, StoreError
from anamnos.index import milvus
from anamnos.index.milvus import MilvusIndex
from anamnos.store.base import EmbedderInfo, Store
from anamnos.testing import ReferenceStore
from anamnos.testing.index_contract import check_equal, erase, unit, write

from .engine_laws import INFO, EngineLaws


class TestMilvusIndex(EngineLaws):
    @pytest.fixture(autouse=True)
    def _server(self, tmp_path: Path) -> None:
        self.uri = str(tmp_path / "milvus.db")

    def make_engine(self, store: Store, info: EmbedderInfo = INFO) -> MilvusIndex:
        return MilvusIndex(self.uri, store, info)


@pytest.fixture
def store() -> Store:
    store = ReferenceStore().open()
    store.use_embedder(INFO)
    return store


def test_no_byte_of_an_erased_vector_is_left_after_maintaining(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "m.db"
    vectors = unit(np.random.default_rng(1), 60)
    ids = write(store, vectors)
    index = MilvusIndex(str(folder), store, INFO)
    index.catch_up()
    index._ask(lambda client: client.flush(index.name))

    def held(vector: Any) -> bool:
        return any(vector.tobytes() in path.read_bytes() for path in folder.rglob("*") if path.is_file())

    erase(store, ids[:5])
    index.catch_up()
    assert all(held(vector) for vector in vectors), "deleting alone would do: maintain() need not rebuild"
    assert index.maintain()
    index._ask(lambda client: client.flush(index.name))
    assert [held(vector) for vector in vectors] == [False] * 5 + [True] * 55
    check_equal(index, store)
    index.close()


def test_an_outage_is_told_and_made_good(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from milvus_lite.server_manager import server_manager_instance as servers

    rng = np.random.default_rng(2)
    uri = str(tmp_path / "m.db")
    index = MilvusIndex(uri, store, INFO)
    index.scans = 20
    vectors = unit(rng, 60)
    ids = write(store, vectors)
    index.catch_up()
    servers.release_server(uri)  # the server is gone, mid-session
    monkeypatch.setattr(milvus, "_WAIT_S", 0.5)
    rows = np.arange(1, 61, dtype=np.int64)
    erase(store, ids[:3])
    write(store, unit(rng, 2))
    verbs: list[Any] = [
        index.catch_up,
        lambda: index.search(vectors[9], 3, rows),
        index.maintain,
        index.verify,
        index.rebuild,
        index.drop_others,
    ]
    for verb in verbs:
        with pytest.raises(StoreError, match="cannot be asked") as caught:
            verb()
        assert "memories themselves are safe" in caught.value.hint
    assert index.search(vectors[9], 1, rows[:15])[0].tolist() == [10], "few are compared without the server"
    assert store.verify() == []
    index.close()
    monkeypatch.setattr(milvus, "_WAIT_S", 60.0)
    check_equal(index, store)  # it is back
    assert index.search(vectors[9], 1, rows)[0].tolist() == [10]
    index.close()
    assert [
        record for record in caplog.records if record.levelno < logging.CRITICAL and record.name == "pymilvus"
    ] == []


def test_a_wrong_address_is_told_at_once(store: Store) -> None:
    index = MilvusIndex("http://127.0.0.1:1", store, INFO, token="root:secret")
    write(store, unit(np.random.default_rng(3), 3))
    with pytest.raises(StoreError, match=r"127\.0\.0\.1:1") as caught:
        index.catch_up()
    assert "secret" not in str(caught.value)
    index.close()


def test_the_address_may_say_token_and_consistency(store: Store) -> None:
    index = MilvusIndex("https://cluster.example:19530?token=root:a%26b&consistency=Bounded", store, INFO)
    assert (index.uri, index._token, index.consistency) == ("https://cluster.example:19530", "root:a&b", "Bounded")
    for wrong in ("consistency=Weak", "tokn=x", "token=x&y"):
        with pytest.raises(ConfigError, match="an option that is none") as caught:
            MilvusIndex(f"https://cluster.example:19530?{wrong}&token=secret", store, INFO)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("uri", ["", "localhost:19530", "postgresql://ann:secret@db/memory"])
def test_what_is_no_address_is_refused(store: Store, uri: str) -> None:
    with pytest.raises(ConfigError, match="needs the address of a Milvus server") as caught:
        MilvusIndex(uri, store, INFO)
    assert "secret" not in str(caught.value)


def test_nothing_is_printed(tmp_path: Path) -> None:
    script = """
import sys
from anamnos.errors import StoreError
from anamnos.index.milvus import MilvusIndex
from anamnos.testing import ReferenceStore
from anamnos.testing.index_contract import _INFO, unit, write
import numpy as np
store = ReferenceStore().open()
store.use_embedder(_INFO)
write(store, unit(np.random.default_rng(1), 5))
for uri in (sys.argv[1], "http://127.0.0.1:1"):
    index = MilvusIndex(uri, store, _INFO)
    try:
        index.rebuild()
    except StoreError:
        pass
    index.close()
"""
    command = [sys.executable, "-c", script, str(tmp_path / "m.db")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={"XDG_RUNTIME_DIR": str(tmp_path)})
    assert (done.stdout, done.stderr) == ("", "")


def test_without_the_extra_the_error_names_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **more: Any) -> Any:
        if name == "pymilvus":
            raise ImportError(name)
        return real(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra) as caught:
        MilvusIndex("m.db", store, INFO)
    assert "anamnos[milvus]" in caught.value.hint
