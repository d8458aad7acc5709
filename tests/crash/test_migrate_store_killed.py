"""Moving a vault killed anywhere: run again it goes on; until it is over, the new place cannot be opened."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from anamnos.cube import Scope
from anamnos.errors import Moved
from anamnos.memory import Memory
from anamnos.store.base import MIGRATING, MOVED_TO
from anamnos.store.sqlite import SqliteStore
from anamnos.system.migrate_store import migrate_vault

ANN = Scope(user="ann")
CHILD = """
import sys
from pathlib import Path
from anamnos.system import migrate_store
migrate_store._BATCH = 4
print("ready", flush=True)
migrate_store.migrate_vault(Path(sys.argv[1]), sys.argv[2], lambda url: None)
print("done", flush=True)
"""


def killed_again_and_again(tmp_path: Path, kills: int, seed: int, longest_s: float) -> None:
    old, new, rng = tmp_path / "old", tmp_path / "new", random.Random(seed)
    said: list[str] = []
    with Memory(old, embedder="hashing") as memory:
        for n in range(120):
            said += memory.add(f"word{n} was said about the harbour and the boats", ANN).ids
    for number in range(kills):
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(old), str(new)], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
        time.sleep(rng.uniform(0, longest_s))
        child.send_signal(signal.SIGKILL)
        told = child.stdout.read()
        child.wait()
        here, there = (opened(folder) for folder in (old, new))
        assert here or there or almost_over(old, new), "nobody may write anywhere"
        assert not (here and there), "two places take writes"
        if told == "done\n":
            assert there
        if not here:
            break
        with Memory(old, embedder="hashing") as memory:  # life goes on where it is
            said += memory.add(f"added after kill {number}", ANN).ids
            gone = said.pop(rng.randrange(len(said)))
            memory.delete(gone, ANN)
            memory.update(said[rng.randrange(len(said))], ANN, content=f"changed after kill {number}")
    assert migrate_vault(old, str(new), lambda url: SqliteStore(Path(url))).switched
    assert opened(new) and not opened(old)
    with Memory(new, embedder="hashing") as memory:
        assert sorted(cube.id for cube in memory.list(ANN, limit=None)) == sorted(said)
        assert memory.verify() == []
    assert migrate_vault(old, str(new), lambda url: SqliteStore(Path(url))).switched


def opened(folder: Path) -> bool:
    """Return whether a vault takes writes."""
    if not (folder / "anamnos.db").exists():
        return False
    with closing(SqliteStore(folder / "anamnos.db").open()) as store:
        if not store.sequence() and store.setting(MIGRATING) is None:
            return False  # killed before anything was there
    try:
        Memory(folder, embedder="hashing").close()
    except Moved:
        return False
    return True


def almost_over(old: Path, new: Path) -> bool:
    """Return whether the old place has moved, and all that the new one lacks is to be told so."""
    with closing(SqliteStore(old / "anamnos.db").open()) as store:
        moved = store.setting(MOVED_TO)
    with closing(SqliteStore(new / "anamnos.db").open()) as store:
        mark = store.setting(MIGRATING)
    return moved == str(new) and mark is not None and '"verified": true' in mark


def test_a_few_kills(tmp_path: Path) -> None:
    killed_again_and_again(tmp_path, 10, seed=1, longest_s=0.25)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_many_kills(tmp_path: Path, seed: int) -> None:
    killed_again_and_again(tmp_path, 20, seed=100 + seed, longest_s=0.6)
