"""The embedded store obeys the laws of a store."""

from pathlib import Path

from anamnos.store.base import Store
from anamnos.store.sqlite import SqliteStore
from anamnos.testing import StoreContract


class TestSqliteStore(StoreContract):
    store_source = "from anamnos.store.sqlite import SqliteStore; store = SqliteStore(folder / 'anamnos.db')"

    def make_store(self, folder: Path) -> Store:
        return SqliteStore(folder / "anamnos.db", busy_timeout_s=20)
