"""One small memory of every kind with keys for it, for tests that go over all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from anamnos.associative import create
from anamnos.associative.base import AssociativeMemory

Keys = Callable[[np.random.Generator, int], list[Any]]


@dataclass(frozen=True)
class Kind:
    """A system, the settings of a small memory, and what draws keys for it that are not alike."""

    system: str
    settings: dict[str, Any]
    keys: Keys

    def make(self, **changed: Any) -> AssociativeMemory:
        return create(self.system, **{**self.settings, **changed})


def vectors(rng: np.random.Generator, count: int) -> list[Any]:
    return list(rng.normal(size=(count, 16)).astype(np.float32))


def sparse(rng: np.random.Generator, count: int) -> list[Any]:
    return list((rng.random((count, 64)).argsort(axis=1) < 8).astype(np.uint8))


def words(rng: np.random.Generator, count: int) -> list[Any]:
    return list(rng.integers(0, 2, (count, 64), dtype=np.uint8))


def spins(rng: np.random.Generator, count: int) -> list[Any]:
    return list(rng.choice(np.array([-1, 1], dtype=np.int8), (count, 256)))


def diluted(rng: np.random.Generator, count: int) -> list[Any]:
    return [(key * (rng.random(256) >= 0.2)).astype(np.int8) for key in spins(rng, count)]


def videos(rng: np.random.Generator, count: int) -> list[Any]:
    return [np.stack(sparse(rng, 4)) for _ in range(count)]


_FEATURES = "feature-memory"
KINDS = {
    "sparsey": Kind("sparsey", {"length": 64, "active": 8}, sparse),
    "sparsey fading": Kind("sparsey", {"length": 64, "active": 8, "permanence": 100, "lasting": 3}, sparse),
    "sparsey-belief": Kind("sparsey-belief", {"dim": 16, "modules": 16, "units": 8, "tables": 8, "lists": 64}, vectors),
    "sdr-filter": Kind("sdr-filter", {"length": 64, "active": 8, "error": 1e-3}, sparse),
    "sdm": Kind("sdm", {"length": 64, "locations": 500, "fraction": 0.05}, words),
    "knn": Kind(_FEATURES, {"dim": 16, "policy": "knn"}, vectors),
    "dual": Kind(_FEATURES, {"dim": 16, "policy": "dual"}, vectors),
    "prototype": Kind(_FEATURES, {"dim": 16, "policy": "prototype"}, vectors),
    "key-value-bottleneck": Kind("key-value-bottleneck", {"dim": 16, "heads": 8, "keys": 32, "width": 4}, vectors),
    "sparsey-sequence": Kind("sparsey-sequence", {"length": 64, "active": 8}, videos),
    "sequence patches": Kind(
        "sparsey-sequence",
        {"length": 64, "width": 8, "field": 4, "stride": 2, "modules": 4, "units": 8, "parents": 2},
        videos,
    ),
    "ca3": Kind("ca3", {"cells": 64, "active": 8}, sparse),
    "hopfield": Kind("hopfield", {"dim": 16}, vectors),
    "dense-hebbian": Kind("dense-hebbian", {"length": 256}, spins),
    "multitasking": Kind("multitasking", {"length": 256, "dilution": 0.2}, diluted),
}
