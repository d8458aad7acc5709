"""The embedded store obeys the laws of a store."""

from pathlib import Path

import pytest

from anamnos.store.base import Store
from anamnos.store.sqlite import SqliteStore
from anamnos.store.sqlite_cipher import PageCipher
from anamnos.store.sqlite_file import PAGE_BYTES
from anamnos.store.sqlite_vfs import can_encrypt
from anamnos.testing import StoreContract


class TestSqliteStore(StoreContract):
    store_source = "from anamnos.store.sqlite import SqliteStore; store = SqliteStore(folder / 'anamnos.db')"

    def make_store(self, folder: Path) -> Store:
        return SqliteStore(folder / "anamnos.db", busy_timeout_s=20)


KEY = bytes(range(32))


@pytest.mark.skipif(not can_encrypt(), reason="the installed apsw cannot encrypt; see make test-encrypted")
class TestEncryptedSqliteStore(StoreContract):
    store_source = (
        "from anamnos.store.sqlite import SqliteStore; store = SqliteStore(folder / 'anamnos.db', key=bytes(range(32)))"
    )

    def make_store(self, folder: Path) -> Store:
        return SqliteStore(folder / "anamnos.db", busy_timeout_s=20, key=KEY)

    def bytes_of(self, path: Path) -> bytes:
        """Erased is erased for those who have the key too: look at the pages as they do."""
        data = path.read_bytes()
        if path.name.endswith(("-wal", "-shm")):
            assert data == b"" or path.name.endswith("-shm")  # scrubbed
            return data
        pages = [data[start : start + PAGE_BYTES] for start in range(0, len(data), PAGE_BYTES)]
        opened = [PageCipher(KEY).opened(page, number) for number, page in enumerate(pages, start=1)]
        assert None not in opened
        return data + b"".join(page for page in opened if page is not None)
