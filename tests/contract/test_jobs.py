"""The queue of the embedded store, and the oracle itself, obey the laws of a job queue."""

from pathlib import Path

from anamnos.store.base import Store
from anamnos.store.sqlite import SqliteStore
from anamnos.testing import JobQueueContract, ReferenceStore


class TestSqliteJobs(JobQueueContract):
    def make_store(self, folder: Path) -> Store:
        return SqliteStore(folder / "anamnos.db", busy_timeout_s=20)


class TestReferenceJobs(JobQueueContract):
    def make_store(self, folder: Path) -> Store:
        return ReferenceStore()
