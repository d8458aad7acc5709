"""The store on a PostgreSQL server obeys the laws of a store, and its queue those of a job queue."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from anamnos.store.base import Store
from anamnos.testing import JobQueueContract, StoreContract
from engines import postgres_store

pytest.importorskip("psycopg")
PAGE_BYTES = 8192
FIRST_OWN_FILE = 16384  # files of relations with lower numbers are those of an empty database
STATISTICS = ("2619", "2840")  # but for the catalog into which ANALYZE copies values, and its long ones


class TestPostgresStore(StoreContract):
    store_source = "from engines import postgres_store; store = postgres_store(folder)"
    server: Any

    @pytest.fixture(autouse=True)
    def _server(self, postgres_server: Any, postgres_url: str) -> None:
        self.server = postgres_server

    def make_store(self, folder: Path) -> Store:
        return postgres_store(folder)

    def files(self, folder: Path) -> list[Path]:
        """The database's own files, and the log of changes of the whole server."""
        data = Path(self.server.pgdata)
        relations = [path for path in data.glob("base/*/*") if _is_own(path.name)]
        copies = [path for path in folder.rglob("*") if path.is_file()]
        return [*relations, *(path for path in data.glob("pg_wal/*") if path.is_file()), *copies]

    def bytes_of(self, path: Path) -> bytes:
        data = path.read_bytes()
        pages = (data[start : start + PAGE_BYTES] for start in range(0, len(data), PAGE_BYTES))
        return b"".join(page for page in pages if page.strip(b"\0"))


class TestPostgresJobs(JobQueueContract):
    @pytest.fixture(autouse=True)
    def _server(self, postgres_url: str) -> None:
        pass

    def make_store(self, folder: Path) -> Store:
        return postgres_store(folder)


def _is_own(name: str) -> bool:
    number = name.partition("_")[0].partition(".")[0]
    return number.isdecimal() and (int(number) >= FIRST_OWN_FILE or number in STATISTICS)
