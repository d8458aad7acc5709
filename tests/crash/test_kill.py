"""A process is killed at any moment: what was acknowledged is there, nothing is half there, the vault is sound."""

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from child import ANN, texts_of, write_file

from anamnos import Memory
from anamnos.embed.hashing import HashingEmbedder
from anamnos.store.sqlite import SqliteStore

Start = Callable[..., Any]


def run_and_kill(start: Start, rng: random.Random, *args: object) -> list[dict[str, Any]]:
    """Start a child, kill it within half a second of its first word (at times before), return what it said."""
    child = start(*args)
    if rng.random() < 0.1:
        time.sleep(rng.uniform(0, 0.4))  # while it starts, opens the vault, or makes it
    else:
        child.ready.wait(60)
        time.sleep(rng.expovariate(1 / 0.08))
    child.kill()
    return child.facts


def opened(vault: Path) -> Memory:
    """Open a vault with the embedder that it holds."""
    store = SqliteStore(vault / "anamnos.db").open()
    held = store.embedder()
    store.close()
    return Memory(vault, embedder=HashingEmbedder(held.dim if held else 384), batch_size=5)


def kill_ingests(start: Start, folder: Path, kills: int, seed: int) -> int:
    """Kill a child in its ingests again and again, on one vault; return how many batches it had acknowledged."""
    rng, vault, first, batches = random.Random(seed), folder / "vault", 0, 0
    vault.mkdir()
    for _ in range(kills):
        facts = run_and_kill(start, rng, "ingest", vault, folder, first)
        done: dict[int, int] = {}
        for fact in facts:
            if "file" in fact:
                done[fact["file"]] = fact["done"]
                batches += 1
        began = [fact["began"] for fact in facts if "began" in fact]
        with Memory(vault, embedder="hashing", batch_size=5) as memory:
            assert memory.verify() == []
            cubes = memory.list(ANN, limit=None)
            for number in range(first, first + len(began)):
                source = next(folder.glob(f"*[a-z]{number}.*"))
                have = [cube.text for cube in cubes if cube.provenance.source == str(source)]
                want = texts_of(number)
                assert have == want[: len(have)], "what is there is the beginning of the file, word for word"
                assert len(have) >= done.get(number, 0), "an acknowledged batch is lost"
                assert len(have) % 5 == 0, "a batch is half there"
            for number in range(first, first + max(1, len(began))):  # the next run completes it
                path = write_file(folder, number)
                receipt = memory.ingest(path, ANN)
                assert len(receipt.ids) == 40
                have = [c.text for c in memory.list(ANN, limit=None) if c.provenance.source == str(path)]
                assert have == texts_of(number)
                assert len(set(receipt.ids)) == 40
                assert set(memory.ingest(path, ANN).outcomes) == {"unchanged"}
                (hit,) = memory.search(f"word{number}x7", ANN, top_k=1)
                assert hit.content == texts_of(number)[7]
                assert hit.similarity > 0
            assert memory.verify() == []
        first += max(1, len(began))
    return batches


def test_a_kill_in_an_ingest_loses_nothing_acknowledged(start: Start, tmp_path: Path) -> None:
    assert kill_ingests(start, tmp_path, kills=12, seed=1) > 20


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(10))
def test_two_hundred_kills_in_ingests_lose_nothing_acknowledged(start: Start, tmp_path: Path, seed: int) -> None:
    kill_ingests(start, tmp_path, kills=20, seed=100 + seed)


def kill_changes(start: Start, traces: Callable[..., list[str]], folder: Path, kills: int, seed: int) -> int:
    """Kill a child in adds, updates and deletes; return how many of them it had acknowledged."""
    rng, vault, number = random.Random(seed), folder / "vault", 0
    vault.mkdir()
    current: dict[str, str] = {}  # id -> text, as acknowledged
    for _ in range(kills):
        facts = run_and_kill(start, rng, "change", vault, rng.getrandbits(32))
        gone: list[str] = []
        ever = {cube_id: [text] for cube_id, text in current.items()}
        attempt: dict[str, Any] = {}
        for fact in facts:
            if "trying" in fact:
                attempt = fact
            elif "did" in fact:
                number += 1
                cube_id = fact["id"]
                if fact["did"] == "delete":
                    gone += ever.pop(cube_id)
                    current.pop(cube_id)
                else:
                    current[cube_id] = attempt["text"]
                    ever.setdefault(cube_id, []).append(current[cube_id])
                attempt = {}
        assert traces(vault, [text.split()[1] for text in gone]) == [], "a deleted text is still in a file"
        with Memory(vault, embedder="hashing") as memory:
            assert memory.verify() == []
            have = {cube.id: cube.text for cube in memory.list(ANN, limit=None)}
            after = dict(current)  # what must be there if the last attempt went through
            if attempt.get("trying") == "add":
                after |= {i: t for i, t in have.items() if i not in current}
                assert list(after.values()).count(attempt["text"]) <= 1
                assert len(after) <= len(current) + 1
            elif attempt.get("trying") == "update":
                after[attempt["id"]] = attempt["text"]
            elif attempt.get("trying") == "delete":
                after.pop(attempt["id"])
            assert have in (current, after)
            for cube_id in rng.sample(sorted(have), min(3, len(have))):
                hits = memory.search(have[cube_id], ANN, top_k=1)
                assert [hit.id for hit in hits] == [cube_id]
                assert memory.history(cube_id, ANN)[-1].text == have[cube_id]
            current = {str(cube_id): text for cube_id, text in have.items()}
    return number


def test_a_kill_in_changes_leaves_each_done_or_not_done(
    start: Start, traces: Callable[..., list[str]], tmp_path: Path
) -> None:
    assert kill_changes(start, traces, tmp_path, kills=8, seed=2) > 20


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(3))
def test_many_kills_in_changes_leave_each_done_or_not_done(
    start: Start, traces: Callable[..., list[str]], tmp_path: Path, seed: int
) -> None:
    kill_changes(start, traces, tmp_path, kills=25, seed=200 + seed)


def kill_maintenance(start: Start, folder: Path, kills: int, seed: int) -> None:
    rng, vault = random.Random(seed), folder / "vault"
    with Memory(vault, embedder="hashing", batch_size=64) as memory:
        for number in (0, 1, 2):
            memory.ingest(write_file(folder, number), ANN)
        want = [(cube.id, cube.text) for cube in memory.list(ANN, limit=None)]
    for _ in range(kills):
        run_and_kill(start, rng, "maintain", vault, rng.getrandbits(32))
        with opened(vault) as memory:
            assert memory.verify() == []
            assert [(cube.id, cube.text) for cube in memory.list(ANN, limit=None)] == want
            (hit,) = memory.search("word2x7", ANN, top_k=1)
            assert hit.content == texts_of(2)[7]
            assert hit.similarity > 0.2
            other = HashingEmbedder(64 if memory.embedder.dim == 384 else 384)
            if rng.random() < 0.5:
                memory.reembed(other)  # goes on from where the killed one was
                assert memory.verify() == []
    for backup in (path for path in folder.glob("vault.backup.*") if ".partial" not in path.name):
        with opened(backup) as memory:
            assert memory.verify() == []
            assert [(cube.id, cube.text) for cube in memory.list(ANN, limit=None)] == want


def test_a_kill_in_reembed_rebuild_or_backup_harms_nothing(start: Start, tmp_path: Path) -> None:
    kill_maintenance(start, tmp_path, kills=8, seed=3)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(2))
def test_many_kills_in_reembed_rebuild_or_backup_harm_nothing(start: Start, tmp_path: Path, seed: int) -> None:
    kill_maintenance(start, tmp_path, kills=40, seed=300 + seed)
