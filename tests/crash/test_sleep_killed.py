"""Consolidation killed anywhere: nothing is lost, nothing doubled, and the next run ends where it would have ended."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from anamnos.cube import Scope, State
from anamnos.memory import Memory
from anamnos.types import Comparison, Field, Where

ANN = Scope(user="ann")
EVERY = Where(Field.STATE, Comparison.IN, tuple(State))
CHILD = """
import sys
from anamnos.cube import Scope
from anamnos.memory import Memory
with Memory(sys.argv[1], embedder="hashing") as memory:
    print("ready", flush=True)
    memory.consolidate(Scope(user="ann"))
"""
THEMES = (
    "sailing club at the harbour",
    "sourdough from the oven",
    "chess gambit of the rook",
    "pottery kiln and glaze",
)


def fill(memory: Memory, first: int, count: int) -> None:
    said = []
    for number in range(first, first + count):
        detail = f"{'abcdefgh'[number % 8] * 4}{'xyz'[number % 3] * 3}"
        text = f"We spoke about the {THEMES[number % 4]} and about {detail}."
        if number % 3 == 0:
            text = "Please remind me to take the blue pills after breakfast."
        said.append({"role": "user", "name": "Ann", "content": text, "id": f"m{number}", "session": f"s{number // 9}"})
    memory.add(said, ANN)
    memory.enrich(ANN)


def killed_again_and_again(tmp_path: Path, kills: int, seed: int) -> None:
    vault, rng = tmp_path / "vault", random.Random(seed)
    with Memory(vault, embedder="hashing") as memory:
        fill(memory, 0, 160)
    for number in range(kills):
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(vault)], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
        time.sleep(rng.uniform(0, 1.2))
        child.send_signal(signal.SIGKILL)
        child.wait()
        with Memory(vault, embedder="hashing") as memory:
            fill(memory, 160 + 10 * number, 10)
    with Memory(vault, embedder="hashing") as memory:
        assert memory.consolidate(ANN).finished
        sequence = memory.vault.store.sequence()
        memory.consolidate(ANN)
        assert memory.vault.store.sequence() == sequence
        cubes = memory.list(ANN, filter=EVERY, limit=None)
        said = [cube for cube in cubes if not cube.provenance.derived_from]
        assert len(said) == 160 + 10 * kills  # none lost
        pills = [c for c in said if "pills" in c.text and c.lifecycle.state is State.GENERATED and not c.links]
        assert {cube.provenance.message_ids[0] for cube in pills} >= {"m0"}
        topics = [c for c in cubes if c.role == "concept" and c.annotations.data["consolidate"]["level"] == 1]
        members = Counter(source for cube in topics for source in cube.provenance.derived_from)
        assert topics and max(members.values()) == 1  # none doubled
        slots = Counter(c.annotations.data["consolidate"]["slot"] for c in cubes if c.role == "reflection")
        assert max(slots.values(), default=1) == 1
        assert memory.verify() == []


def test_a_few_kills(tmp_path: Path) -> None:
    killed_again_and_again(tmp_path, 3, seed=1)


@pytest.mark.slow
def test_many_kills(tmp_path: Path) -> None:
    killed_again_and_again(tmp_path, 30, seed=2)
