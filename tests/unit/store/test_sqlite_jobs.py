"""What only the queue in a file can get wrong: its size, an old schema, other processes, looks that cost nothing."""

from datetime import timedelta
from pathlib import Path

import apsw
import pytest

from anamnos.cube import Scope
from anamnos.store import sqlite_jobs
from anamnos.store.jobs import NewJob
from anamnos.store.migrations import MIGRATIONS
from anamnos.store.sqlite import SqliteStore
from anamnos.store.sqlite_file import APPLICATION_ID
from anamnos.testing import FakeClock, reference_jobs
from anamnos.testing.reference_store import ReferenceStore

LEASE = timedelta(seconds=30)
ANN = Scope(user="ann")


@pytest.fixture
def store(tmp_path: Path):  # type: ignore[no-untyped-def]
    store = SqliteStore(tmp_path / "anamnos.db").open()
    yield store
    store.close()


@pytest.mark.parametrize("kind", ["sqlite", "reference"])
def test_what_ended_is_kept_up_to_a_number(store: SqliteStore, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(sqlite_jobs, "KEPT", 5)
    monkeypatch.setattr(reference_jobs, "KEPT", 5)
    jobs, clock = (store if kind == "sqlite" else ReferenceStore().open()).jobs, FakeClock()
    for _ in range(8):
        jobs.add(NewJob("tidy"), now=clock())
        jobs.add(NewJob("tidy", ANN), now=clock())
        one, two = jobs.claim("w", now=clock(), lease=LEASE, kinds=["tidy"], limit=2)
        jobs.finish(one, now=clock())
        jobs.fail(two, "x", now=clock(), final=True)
    assert jobs.counts() == {("tidy", "done"): 5, ("tidy", "dead"): 5}
    assert [job.id for job in jobs.list(states=["done"])] == [15, 13, 11, 9, 7]


def test_a_worker_with_nothing_to_do_writes_nothing(store: SqliteStore) -> None:
    clock = FakeClock()
    store.jobs.add(NewJob("tidy", run_after=clock() + timedelta(days=1)), now=clock())
    other = apsw.Connection(str(store.path))
    before = other.pragma("data_version")
    for _ in range(20):
        clock.advance(1)
        assert store.jobs.claim("w", now=clock(), lease=LEASE, kinds=["tidy"]) == []
    assert other.pragma("data_version") == before
    other.close()


def test_a_vault_of_schema_2_gets_its_queue(tmp_path: Path) -> None:
    path = tmp_path / "anamnos.db"
    db = apsw.Connection(str(path))
    for number, step in enumerate(MIGRATIONS[:2], start=1):
        step(db)
        db.pragma("user_version", number)
    db.pragma("application_id", APPLICATION_ID)
    db.close()
    store = SqliteStore(path).open()
    now = FakeClock()()
    assert store.jobs.add(NewJob("tidy", ANN), now=now).scope == ANN
    assert store.verify() == []
    store.close()


def test_two_connections_never_claim_the_same_job(store: SqliteStore) -> None:
    clock, second = FakeClock(), SqliteStore(store.path).open()
    numbers = [store.jobs.add(NewJob("tidy"), now=clock()).id for _ in range(10)]
    got = []
    while True:
        batch = [
            job.id
            for queue, name in ((store.jobs, "a"), (second.jobs, "b"))
            for job in queue.claim(name, now=clock(), lease=LEASE, kinds=["tidy"], limit=2)
        ]
        if not batch:
            break
        got += batch
    assert sorted(got) == numbers
    second.close()
