"""Many processes write to one vault, from its first moment on, while others search it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from child import ANN

from anamnos import Memory

Start = Callable[..., Any]


def write_together(start: Start, folder: Path, processes: int, writes: int, readers: int) -> None:
    vault, flag = folder / "vault", folder / "stop"
    writers = [start("write", vault, worker, writes) for worker in range(processes)]
    reading = [start("read", vault, flag) for _ in range(readers)]
    errors = [child.wait() for child in writers]
    flag.touch()
    errors += [child.wait() for child in reading]
    assert errors == [""] * (processes + readers)
    assert {child.process.returncode for child in (*writers, *reading)} == {0}
    ids: list[str] = []
    for child in writers:
        facts = child.facts
        assert len(facts) == writes
        assert {fact["outcome"] for fact in facts} == {"added"}
        sequences = [fact["sequence"] for fact in facts]
        assert sequences == sorted(set(sequences)), "the sequence number went back"
        ids += [fact["id"] for fact in facts]
    assert all(child.facts[-1]["searches"] > 0 for child in reading)
    with Memory(vault, embedder="hashing") as memory:
        cubes = memory.list(ANN, limit=None)
        assert sorted(cube.id for cube in cubes) == sorted(ids)
        want = {f"worker{w} wrote item{w}x{n}" for w in range(processes) for n in range(writes)}
        assert {cube.text for cube in cubes} == want
        assert memory.stats()["sequence"] == processes * writes
        assert memory.verify() == []


def test_four_processes_lose_no_write(start: Start, tmp_path: Path) -> None:
    write_together(start, tmp_path, processes=4, writes=60, readers=1)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_eight_processes_lose_no_write(start: Start, tmp_path: Path) -> None:
    write_together(start, tmp_path, processes=8, writes=500, readers=2)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_eight_processes_make_a_vault_at_once(start: Start, tmp_path: Path) -> None:
    """All see an empty folder; each of them may be the one that makes the schema."""
    for round_ in range(25):
        (tmp_path / str(round_)).mkdir()
        write_together(start, tmp_path / str(round_), processes=8, writes=2, readers=0)
