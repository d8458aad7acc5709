"""Public test kit: contract suites for your own engines, an obvious reference store, and fakes.

The names load when they are first used, so that importing this package needs neither pytest nor hypothesis.

>>> from anamnos.testing import FakeClock
>>> FakeClock().advance(seconds=60).isoformat()
'2024-01-01T00:01:00+00:00'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anamnos.testing.embedder_contract import EmbedderContract
    from anamnos.testing.fakes import FakeClock, FakeEmbedder, seeded_ids
    from anamnos.testing.index_contract import VectorIndexContract
    from anamnos.testing.jobs_contract import JobQueueContract
    from anamnos.testing.reference_store import ReferenceStore
    from anamnos.testing.store_contract import StoreContract

_HOMES = {
    "EmbedderContract": "embedder_contract",
    "FakeClock": "fakes",
    "FakeEmbedder": "fakes",
    "JobQueueContract": "jobs_contract",
    "ReferenceStore": "reference_store",
    "StoreContract": "store_contract",
    "VectorIndexContract": "index_contract",
    "seeded_ids": "fakes",
}

__all__ = [
    "EmbedderContract",
    "FakeClock",
    "FakeEmbedder",
    "JobQueueContract",
    "ReferenceStore",
    "StoreContract",
    "VectorIndexContract",
    "seeded_ids",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
