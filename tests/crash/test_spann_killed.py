"""A process is killed while it lists, splits, erases and writes lists anew: the index is the store's afterwards."""

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from child import ANN, small_lists

Start = Callable[..., Any]


@pytest.fixture(autouse=True)
def undone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put back what ``small_lists`` sets."""
    from anamnos.index.spann import index, lists

    for module, names in ((index, ("MEAN", "FEW", "QUERIES", "_MUCH")), (lists, ("MEAN", "LONGEST", "SHORTEST"))):
        for name in names:
            monkeypatch.setattr(module, name, getattr(module, name))


def kill(start: Start, vault: Path, kills: int, seed: int) -> tuple[int, int]:
    """Kill a process so many times on one vault; return how many lists there were at most, and how often they were
    written anew."""
    rng, most, anew = random.Random(seed), 0, 0
    vault.mkdir()
    for number in range(kills):
        child = start("lists", vault, seed + number)
        child.ready.wait(60)
        time.sleep(rng.expovariate(1 / 0.15))
        child.kill()
        most = max([most, *(fact.get("lists", 0) for fact in child.facts)])
        anew += sum(fact.get("wrote_anew", False) for fact in child.facts)
        store, index = small_lists(str(vault))
        assert store.verify() == []
        assert index.verify() == [], f"after kill {number}"
        index.maintain()
        rows = store.select(ANN)
        if len(rows):
            vectors = index.gather(rows)
            held = 0
            for place in range(0, len(rows), max(len(rows) // 20, 1)):
                wanted = rows[np.argsort(-(vectors @ vectors[place]), kind="stable")[:10]]
                held += len(np.intersect1d(index.search(vectors[place], 10, rows)[0], wanted)) / len(wanted)
            assert held >= 0.9 * len(range(0, len(rows), max(len(rows) // 20, 1)))
        if rng.random() < 0.7:
            index.close()  # else as if it had been killed as well
        store.close()
    return most, anew


def test_killed_while_lists_change(start: Start, tmp_path: Path) -> None:
    most, anew = kill(start, tmp_path / "vault", kills=5, seed=1)
    assert most > 12
    assert anew > 0


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_two_hundred_times(start: Start, tmp_path: Path) -> None:
    most, anew = kill(start, tmp_path / "vault", kills=200, seed=2)
    assert most > 12
    assert anew > 50
