"""The SQLite store and its file: what it refuses to touch, and what it says when the file or the disk fails."""

import random
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from anamnos.cube import Annotations
from anamnos.errors import Busy, Corrupt, MigrationNeeded, StoreError
from anamnos.store.sqlite import SqliteStore
from anamnos.testing.store_contract import ANN, INFO, NOW, add, cube, deleting, do, kept, picture, texts, updating
from anamnos.types import Comparison, Field, Where


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "anamnos.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(path, busy_timeout_s=1).open()
    store.use_embedder(INFO)
    yield store
    store.close()


def changed(path: Path, sql: str) -> None:
    with sqlite3.connect(path) as db:
        db.execute(sql)
    db.close()


# --- files that are not ours to write ---------------------------------------------------------------------------


def test_the_schema_of_a_newer_version_is_refused(store: SqliteStore, path: Path) -> None:
    add(store, cube("from the future"))
    store.close()
    changed(path, "PRAGMA user_version = 99")
    before = path.read_bytes()
    with pytest.raises(MigrationNeeded, match="schema 99") as refusal:
        SqliteStore(path).open()
    assert "upgrade" in refusal.value.hint
    assert path.read_bytes() == before


def test_a_foreign_database_is_refused(path: Path) -> None:
    changed(path, "CREATE TABLE recipes (name TEXT)")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="not one of Anamnos"):
        SqliteStore(path).open()
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "data", [b"Dear diary, this is no database. " * 100, b"x", b"\0" * 8192, b"SQLite format 3\0" + b"\xff" * 9000]
)
def test_a_file_that_is_no_database_is_corrupt_and_left_as_it_is(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with pytest.raises(Corrupt, match="left as it is"):
        SqliteStore(path).open()
    assert path.read_bytes() == data
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_file_cut_short_is_corrupt(store: SqliteStore, path: Path) -> None:
    add(store, *(cube(f"text {n}") for n in range(50)))
    store.close()
    path.write_bytes(path.read_bytes()[: 3 * 8192])
    before = path.read_bytes()
    with pytest.raises(Corrupt):
        opened = SqliteStore(path).open()
        opened.list(ANN)
    assert path.read_bytes() == before


def test_damaged_pages_are_corrupt(store: SqliteStore, path: Path) -> None:
    add(store, *(cube(f"text {n} " * 50) for n in range(200)))
    store.close()
    data = bytearray(path.read_bytes())
    for start in range(2 * 8192, len(data), 8192):
        data[start : start + 200] = b"\xa5" * 200
    path.write_bytes(data)
    with pytest.raises(Corrupt):
        opened = SqliteStore(path).open()
        opened.list(ANN)


def test_any_damage_is_named_as_such_or_harmless(store: SqliteStore, path: Path) -> None:
    """Bytes are changed at random places: whatever a read then gives, its errors are those of a store."""
    add(store, *(cube(f"text {n} {'é' * n}", annotations=Annotations(tags=(f"tag {n}",))) for n in range(60)))
    store.close()
    sound = path.read_bytes()
    rng = random.Random(5)
    for _ in range(40):
        data = bytearray(sound)
        for _ in range(60):
            data[rng.randrange(8192, len(data))] = rng.randrange(256)
        path.write_bytes(data)
        damaged = SqliteStore(path)
        try:
            damaged.open()
            with suppress(StoreError):
                damaged.verify()
            with suppress(StoreError):
                damaged.list(ANN)
            with suppress(StoreError):
                list(damaged.export())
        except StoreError:
            continue
        finally:
            damaged.close()


def test_verify_sees_a_damaged_keyword_index(store: SqliteStore, path: Path) -> None:
    add(store, *(cube(f"text number {n}") for n in range(30)))
    store.close()
    store.open()
    assert store._writer is not None
    store._writer.execute("INSERT INTO trigrams (trigrams, rowid, content) VALUES ('delete', 1, 'text number 0')")
    assert any("keyword rows do not agree" in problem for problem in store.verify())


@pytest.mark.parametrize("many", [3, 250])
def test_erased_texts_leave_no_trigrams_in_the_file(store: SqliteStore, path: Path, many: int) -> None:
    """A few are taken out one by one; for many, those of all texts are made anew."""
    doomed = [cube(f"qzxq {n}") for n in range(many)]
    add(store, cube("tea for two"), *doomed)
    do(store, *(updating(each, content=f"qzxq number {n}") for n, each in enumerate(doomed)))
    store.close()
    assert b"qzx" in path.read_bytes()
    store.open()
    do(store, *map(deleting, doomed))
    assert store.verify() == []
    assert texts(store.list(ANN, Where(Field.TEXT, Comparison.CONTAINS, "tea for"))) == ["tea for two"]
    store.close()
    assert b"qzx" not in path.read_bytes()


def test_the_words_of_a_past_version_are_found_as_of_its_time(store: SqliteStore) -> None:
    old = cube("the walrus sleeps")
    add(store, old)
    later = NOW + timedelta(days=1)
    do(store, updating(kept(store, old), content="the seal wakes"), now=later)
    walrus = Where(Field.TEXT, Comparison.CONTAINS, "walrus")
    assert store.list(ANN, walrus) == []
    assert texts(store.list(ANN, walrus, as_of=NOW)) == ["the walrus sleeps"]


# --- folders and disks ------------------------------------------------------------------------------------------


def test_a_path_that_cannot_be_opened_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "anamnos.db", tmp_path / "folder", tmp_path / "missing" / "anamnos.db"):
        with pytest.raises(StoreError, match="cannot be opened") as refusal:
            SqliteStore(path).open()
        assert refusal.value.hint
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_file_that_may_only_be_read_is_a_store_error(store: SqliteStore) -> None:
    add(store, cube("text"))
    before = picture(store)
    assert store._writer is not None
    store._writer.pragma("query_only", True)  # refuses writes as a read-only folder does, also for root
    with pytest.raises(StoreError, match="writing"):
        add(store, cube("more"))
    store._writer.pragma("query_only", False)
    assert picture(store) == before


def test_a_full_disk_changes_nothing(store: SqliteStore) -> None:
    add(store, cube("kept"))
    before = picture(store)
    assert store._writer is not None
    store._writer.pragma("max_page_count", store._writer.pragma("page_count") + 3)
    with pytest.raises(StoreError, match="disk is full; nothing was written"):
        add(store, cube("small"), cube("large " * 100_000))
    assert picture(store) == before
    with pytest.raises(StoreError, match="disk is full"):
        add(store, cube("large " * 100_000))
    store._writer.pragma("max_page_count", 1_000_000)
    add(store, cube("there is room again"))
    assert texts(store.list(ANN)) == ["kept", "there is room again"]
    assert store.verify() == []


# --- locks ------------------------------------------------------------------------------------------------------


def test_a_writer_that_waits_too_long_is_told_so(store: SqliteStore, path: Path) -> None:
    other = SqliteStore(path, busy_timeout_s=0.1).open()
    with store.write():
        with pytest.raises(Busy, match=r"held by other writers for 0\.1 s") as refusal:
            add(other, cube("text"))
        assert refusal.value.retryable
        assert other.count() == 0  # reading goes on
    add(other, cube("text"))
    assert store.count() == 1
    other.close()


def test_scrub_says_when_an_open_reader_holds_old_pages(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anamnos.store.sqlite_file._SCRUB_S", 0.1)
    one = cube("secretqwxz")
    add(store, one, *(cube(f"text {n}") for n in range(5)))
    reading = store.export()
    next(reading)
    do(store, deleting(one))
    assert not store.scrub()
    reading.close()
    assert store.scrub()
    assert not any(b"qwxz" in each.read_bytes() for each in path.parent.iterdir())


def test_a_write_after_an_erasure_scrubs(store: SqliteStore, path: Path) -> None:
    one = cube("secretqwxz")
    add(store, one)
    do(store, deleting(one))
    store.close()
    assert not any(b"qwxz" in each.read_bytes() for each in path.parent.iterdir())


def test_many_threads_read_at_once(store: SqliteStore) -> None:
    add(store, *(cube(f"text {n}") for n in range(20)))
    seen: list[int] = []
    threads = [threading.Thread(target=lambda: seen.extend(len(store.list(ANN)) for _ in range(20))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [20] * 160


# --- backup -----------------------------------------------------------------------------------------------------


def test_a_backup_opens_as_a_store(store: SqliteStore, tmp_path: Path) -> None:
    one, two = cube("one"), cube("secretqwxz")
    add(store, one, two)
    do(store, deleting(two))
    target = tmp_path / "backup.db"
    store.backup(str(target))
    add(store, cube("later"))
    assert b"qwxz" not in target.read_bytes()
    copy = SqliteStore(target).open()
    assert texts(copy.list(ANN)) == ["one"]
    assert kept(copy, one) == kept(store, one)
    assert copy.verify() == []
    copy.close()


def test_a_backup_never_overwrites_a_file(store: SqliteStore, tmp_path: Path) -> None:
    text, database = tmp_path / "precious.txt", tmp_path / "precious.db"
    text.write_text("not yours")
    changed(database, "CREATE TABLE mine (x)")
    for target in (text, database):
        before = target.read_bytes()
        with pytest.raises(StoreError):
            store.backup(str(target))
        assert target.read_bytes() == before
