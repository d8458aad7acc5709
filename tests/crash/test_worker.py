"""The worker is killed at any moment: no memory is lost, none is doubled, and the queue goes on where it was."""

import random
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from operator import contains
from pathlib import Path
from typing import Any

import pytest
from child import ANN

from anamnos import Memory, Scope, where
from anamnos.cube import Role, State
from anamnos.store.jobs import JobState

Start = Callable[..., Any]
START = datetime(2024, 1, 1, 9, tzinfo=UTC)
THINGS = ["skiing", "chess", "tea", "old trams", "rain", "boats", "long walks", "bread"]
PLACES = ["Oslo", "Lisbon", "Cairo", "Quito", "Hanoi", "Accra"]


def opened(vault: Path, background: str = "worker") -> Memory:
    return Memory(vault, embedder="hashing", extract="rules", background=background, batch_size=4)


def said(batch: int) -> list[dict[str, Any]]:
    """Return the 12 messages of a batch; each gives facts, some the same ones as another."""
    rng = random.Random(batch)
    return [
        {
            "role": "user",
            "name": "Ann",
            "id": f"m{batch}x{n}",
            "content": f"I moved to {rng.choice(PLACES)} in {2000 + batch % 20} and I love {rng.choice(THINGS)}.",
            "created_at": (START + timedelta(hours=batch, minutes=n)).isoformat(),
        }
        for n in range(12)
    ]


def session(batch: int) -> Scope:
    return Scope(user="ann", session=f"s{batch % 3}")


def extracted(memory: Memory) -> Counter[tuple[str, ...]]:
    """Return what was found in turns, by the words of the turn; all states, since consolidation may archive."""
    turns = {cube.id: cube for cube in memory.list(ANN, filter=where(role="turn", state=list(State)), limit=None)}
    facts = memory.list(ANN, filter=where(role="fact", state=list(State)), limit=None)
    return Counter(
        (cube.text, str(turn.provenance.message_ids))
        for cube in facts
        if "extract" in cube.annotations.data
        for turn in [turns[cube.provenance.derived_from[0]]]
    )


def idle(memory: Memory, seconds: float = 60.0) -> None:
    """Do what is left, waiting for the leases of the killed to run out."""

    def done() -> bool:
        memory.jobs.run(lease_s=5)
        return not {state for _, state in memory.jobs.counts()} & {"waiting", "running"}

    until(done, seconds)


def kill_workers(start: Start, folder: Path, kills: int, seed: int) -> int:
    """Kill workers in the middle of consolidations of one vault while batches come in; return how many were hit."""
    rng, vault, hit = random.Random(seed), folder / "vault", 0
    for batch in range(kills):
        with opened(vault) as memory:
            memory.add(said(batch), session(batch))
            memory.jobs.add("consolidate", ANN, key="sleep")
        child = start("work", vault)
        until(partial(contains, child.facts, {"began": "consolidate"}))
        time.sleep(rng.uniform(0, 0.6))  # one takes about as long as that
        child.kill()
        with opened(vault) as memory:
            hit += any(job.kind == "consolidate" for job in memory.jobs.list(states=["running"]))
            assert memory.verify() == []
            turns = memory.list(ANN, filter=where(role="turn", state=list(State)), limit=None)
            assert len(turns) == 12 * (batch + 1)
            assert len({cube.provenance.message_ids for cube in turns}) == len(turns)
            assert max(extracted(memory).values(), default=1) == 1, "a fact is there twice"
    with opened(vault) as memory:
        idle(memory)
        for job in memory.jobs.list(states=["dead"]):  # one may have been killed in each of its attempts
            assert job.error == "the worker died"
            memory.jobs.retry(job.id)
        idle(memory)
        assert memory.verify() == []
        assert memory.audit.verify() == []
        assert {job.state for job in memory.jobs.list(limit=1_000)} == {JobState.DONE}
        with opened(folder / "plain", background="off") as untouched:
            for batch in range(kills):
                untouched.add(said(batch), session(batch))
            found, wanted = extracted(memory), extracted(untouched)
            assert {words for words, _ in found} == {words for words, _ in wanted}, "as if nobody had been killed"
            # a turn that only repeats others may be archived before it is read, if the worker that was to read it died
            repeats = memory.list(ANN, filter=where(role="turn", state="archived"), limit=None)
            assert not found - wanted
            assert {said for _, said in wanted - found} <= {str(cube.provenance.message_ids) for cube in repeats}
        derived = Counter(
            (cube.role, cube.text, cube.provenance.derived_from)
            for cube in memory.list(ANN, limit=None)
            if cube.role not in (Role.TURN, Role.FACT)
        )
        assert max(derived.values()) == 1, "something derived is there twice"
        assert {role for role, _, _ in derived} == {Role.CONCEPT, Role.REFLECTION}
        ends = []
        for _ in range(2):  # the first run after all facts are found may have something to tidy
            memory.jobs.add("enrich", ANN)
            memory.jobs.add("consolidate", ANN)
            assert memory.jobs.run() == 2
            ends.append(memory.vault.store.sequence())
        assert ends[0] == ends[1], "a run with nothing to do did something"
    return hit


def until(done: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_a_kill_of_the_worker_loses_and_doubles_nothing(start: Start, tmp_path: Path) -> None:
    assert kill_workers(start, tmp_path, kills=4, seed=1) > 0


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(10))
def test_two_hundred_kills_of_the_worker_lose_and_double_nothing(start: Start, tmp_path: Path, seed: int) -> None:
    hit = kill_workers(start, tmp_path, kills=20, seed=100 + seed)
    print(f"{hit} of 20 kills hit a consolidation")
    assert hit >= 5


def test_two_workers_share_a_queue(start: Start, tmp_path: Path) -> None:
    vault = tmp_path / "vault"
    with opened(vault) as memory:
        for batch in range(6):
            memory.add(said(batch), Scope(user="ann", session=f"s{batch}"))
        waiting = len(memory.jobs.list(states=["waiting"]))
        children = [start("work", vault), start("work", vault)]
        until(lambda: memory.jobs.counts() == {("enrich", "done"): waiting})
        for child in children:
            child.kill()
        assert {job.attempts for job in memory.jobs.list()} == {1}
        with opened(tmp_path / "plain", background="off") as untouched:
            for batch in range(6):
                untouched.add(said(batch), Scope(user="ann", session=f"s{batch}"))
            assert extracted(memory) == extracted(untouched)
        assert memory.verify() == []
