"""The oracle obeys the laws that it is the oracle of."""

from pathlib import Path

from anamnos.store.base import Store
from anamnos.testing import ReferenceStore, StoreContract


class TestReferenceStore(StoreContract):
    def make_store(self, folder: Path) -> Store:
        return ReferenceStore()
