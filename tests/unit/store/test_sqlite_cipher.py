"""The pages of an encrypted database: opened and sealed as the engine does it, and blank where nothing is kept."""

import random
from contextlib import closing
from pathlib import Path

import pytest

from anamnos.errors import ConfigError
from anamnos.store import sqlite_vfs
from anamnos.store.sqlite_cipher import RESERVED, PageCipher

pytest.importorskip("cryptography")
encrypts = pytest.mark.skipif(
    not sqlite_vfs.can_encrypt(), reason="the installed apsw cannot encrypt; see make test-encrypted"
)
KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
PAGE = 8192


@pytest.mark.parametrize("number", [1, 2, 70_000])
def test_a_sealed_page_is_opened_by_its_key_and_number_only(number: int) -> None:
    page = bytes(range(256)) * 31 + bytes(256 - RESERVED) + bytes(RESERVED)
    sealed = PageCipher(KEY).sealed(page, number)
    assert len(sealed) == len(page)
    assert sealed[24:200] != page[24:200]
    assert (sealed[:24] == page[:24]) is (number == 1)  # the salt and what SQLite must know beforehand
    assert PageCipher(KEY).opened(sealed, number) == page
    assert PageCipher(KEY).sealed(page, number) != sealed  # another nonce
    assert PageCipher(OTHER).opened(sealed, number) is None
    assert PageCipher(KEY).opened(sealed, number + 1) is None
    for place in (0, 30, len(page) - RESERVED, len(page) - 1):
        damaged = bytearray(sealed)
        damaged[place] ^= 1
        assert PageCipher(KEY).opened(bytes(damaged), number) is None
    assert PageCipher(KEY).opened(b"too short", number) is None


def pages_with(path: Path, word: bytes) -> int:
    """Return in how many pages a word stands, for somebody who has the key."""
    data = path.read_bytes()
    assert word not in data
    pages = [PageCipher(KEY).opened(data[n : n + PAGE], n // PAGE + 1) for n in range(0, len(data), PAGE)]
    assert None not in pages
    return sum(word in (page or b"") for page in pages)


def live(path: Path) -> None:
    """Write rows of many lengths in random order, and delete those that say ``secretqwxz``."""
    rng = random.Random(1)
    with closing(sqlite_vfs.connect(path, KEY)) as db:
        db.pragma("page_size", PAGE)
        db.pragma("journal_mode", "wal")
        db.pragma("secure_delete", 1)
        db.execute("CREATE TABLE t (a PRIMARY KEY, b)")
        for _ in range(1_500):
            db.execute("INSERT INTO t VALUES (?, ?)", (rng.random(), rng.choice(["plain", "secretqwxz"]) * 20))
        assert not any(b"secretqwxz" in each.read_bytes() for each in path.parent.iterdir())
        db.execute("DELETE FROM t WHERE b LIKE 'secret%'")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert db.pragma("integrity_check") == "ok"
        assert db.execute("SELECT count(*) FROM t WHERE b LIKE 'plain%'").get > 100


@encrypts
def test_what_is_deleted_is_gone_for_who_has_the_key_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    live(tmp_path / "x.db")
    assert pages_with(tmp_path / "x.db", b"secretqwxz") == 0
    monkeypatch.setattr(sqlite_vfs, "_blanked", lambda data, offset, cipher: data)
    (tmp_path / "without").mkdir()
    live(tmp_path / "without" / "x.db")
    assert pages_with(tmp_path / "without" / "x.db", b"secretqwxz") > 0


@encrypts
def test_the_log_and_the_journal_are_encrypted_too(tmp_path: Path) -> None:
    for mode in ("wal", "delete"):
        folder = tmp_path / mode
        folder.mkdir()
        with closing(sqlite_vfs.connect(folder / "x.db", KEY)) as db:
            db.pragma("journal_mode", mode)
            db.execute("CREATE TABLE t (a)")
            db.execute("INSERT INTO t VALUES ('secretqwxz')")
            db.execute("BEGIN")
            db.execute("UPDATE t SET a = 'another secretqwxz'")
            db.cache_flush()
            files = {each.name.removeprefix("x.db"): each.read_bytes() for each in folder.iterdir()}
            assert len(files["-wal" if mode == "wal" else "-journal"]) > 1_000
            assert not any(b"secretqwxz" in data for data in files.values())
            db.execute("ROLLBACK")
            assert db.execute("SELECT a FROM t").get == "secretqwxz"


def test_an_engine_that_cannot_encrypt_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_vfs, "can_encrypt", lambda: False)
    with pytest.raises(ConfigError, match="apsw-sqlite3mc") as refusal:
        sqlite_vfs.connect(tmp_path / "x.db", KEY)
    assert "pip install" in refusal.value.hint
    assert list(tmp_path.iterdir()) == []
