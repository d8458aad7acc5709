"""``anamnos jobs``, ``anamnos worker`` and ``anamnos top`` as users type them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from anamnos import Memory

from .conftest import Cli

LATER = {"ANAMNOS_EXTRACT": "rules", "ANAMNOS_BACKGROUND": "worker"}
SAID = "I moved to Oslo in 2019 and I love skiing."


@pytest.fixture
def waiting(anamnos: Cli) -> Cli:
    """Return a command line in whose vault one job waits."""
    anamnos.run("add", SAID, **LATER)
    return anamnos


def states(anamnos: Cli) -> dict[str, int]:
    counts: dict[str, int] = anamnos.json("top")["jobs"]
    return {state: number for state, number in counts.items() if number}


def test_a_job_waits_until_a_worker_does_it(waiting: Cli) -> None:
    (job,) = waiting.json("jobs", "list")["jobs"]
    assert (job["kind"], job["state"], job["scope"]) == ("enrich", "waiting", {"user": "ann"})
    assert "enrich" in waiting.run("jobs", "list", "--state", "waiting").stdout
    assert waiting.json("jobs", "list", "--state", "dead")["jobs"] == []
    assert waiting.json("worker", "--once") == {"begun": 1, "waiting": 0, "running": 0, "dead": 0}
    assert "begun 0" in waiting.run("worker", "--once").stdout
    assert waiting.json("jobs", "show", "1")["state"] == "done"
    assert "attempts" in waiting.run("jobs", "show", "1").stdout
    assert len(waiting.json("list", "--role", "fact")["memories"]) == 2


def test_cancel_retry_and_clean(waiting: Cli) -> None:
    assert waiting.json("jobs", "cancel", "1")["state"] == "dead"
    assert "cancelled" in waiting.run("jobs", "list").stdout
    assert "job 1 is dead" in waiting.run("jobs", "cancel", "1", code=2).stderr.lower()
    assert waiting.json("jobs", "retry", "1")["state"] == "waiting"
    waiting.run("worker", "--once")
    assert waiting.json("jobs", "clean", "--older-than", "1") == {"removed": 0}
    assert "removed 1" in waiting.run("jobs", "clean", "--dead").stdout
    waiting.run("jobs", "show", "1", code=3)


def test_pause_and_resume(waiting: Cli) -> None:
    assert waiting.json("jobs", "pause", "enrich") == {"paused": ["enrich"]}
    assert waiting.json("worker", "--once")["begun"] == 0
    assert "paused: enrich" in waiting.run("jobs", "list").stdout
    assert "paused: all, enrich" in waiting.run("jobs", "pause").stdout
    assert "paused: nothing" in waiting.run("jobs", "resume").stdout
    assert waiting.json("worker", "--once")["begun"] == 1


def test_jobs_are_added_by_hand_and_recur(waiting: Cli) -> None:
    added = waiting.json("jobs", "add", "enrich", "--set", "extractor=rules", "--priority", "1")
    assert (added["payload"], added["priority"]) == ({"extractor": "rules"}, 1)
    waiting.run("jobs", "add", "reindex", "--every", "24")
    assert waiting.json("jobs", "list")["recurring"] == [
        {"kind": "reindex", "scope": {"user": "ann"}, "every_s": 86_400.0}
    ]
    assert "every 1 day" in waiting.run("jobs", "list").stdout
    assert "no more" in waiting.run("jobs", "add", "reindex", "--never").stdout
    assert waiting.json("jobs", "list")["recurring"] == []


@pytest.mark.parametrize(
    "words",
    [
        ("jobs", "add", "nothing"),
        ("jobs", "add", "enrich", "--set", "extractor"),
        ("jobs", "add", "enrich", "--set", "text=two words"),
        ("jobs", "list", "--state", "asleep"),
        ("jobs", "pause", "two words"),
        ("worker", "--kind", "nothing", "--once"),
        ("worker", "--for", "0"),
    ],
)
def test_what_makes_no_sense_is_refused(waiting: Cli, words: tuple[str, ...]) -> None:
    waiting.run(*words, code=2)
    assert states(waiting) == {"waiting": 1}


def test_top_shows_jobs_working_memory_and_what_is_used(waiting: Cli) -> None:
    waiting.run("search", "Where did I move?", ANAMNOS_WORKING="on")
    (cube_id,) = [cube["id"] for cube in waiting.json("list")["memories"]]
    with Memory(waiting.vault, embedder="hashing") as memory:
        memory.used(cube_id, memory.get(cube_id, _ann()).scope)
    seen = waiting.json("top")
    assert seen["working"] == [{"scope": {"user": "ann"}, "memories": [cube_id]}]
    assert seen["hot"] == [{"id": cube_id, "uses": 1}]
    assert seen["stats"]["memories"] == 1
    text = waiting.run("top", "--once").stdout
    for words in ("waiting 1", "working memory of user=ann", "used most", SAID, "database"):
        assert words in text
    assert waiting.json("top", "--user", "bob")["hot"] == []


def _ann() -> Any:
    from anamnos import Scope

    return Scope(user="ann")


def test_a_memory_cannot_steer_the_terminal_through_top(anamnos: Cli) -> None:
    with Memory(anamnos.vault, embedder="hashing", working="on") as memory:
        memory.add("red \x1b[31m alert", _ann())
        memory.search("red alert", _ann())
    assert "\x1b[31m" not in anamnos.run("top", "--once").stdout


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_worker_in_good_order(waiting: Cli, tmp_path: Path, number: int) -> None:
    words = [sys.executable, "-m", "anamnos.cli.main", "worker", "--json", "--vault", str(waiting.vault)]
    child = subprocess.Popen(words, stdout=subprocess.PIPE, env={**os.environ, "ANAMNOS_EMBEDDER": "hashing"})
    try:
        end = time.monotonic() + 60
        with Memory(waiting.vault, embedder="hashing") as memory:
            while memory.jobs.counts() != {("enrich", "done"): 1} and time.monotonic() < end:
                time.sleep(0.02)
        child.send_signal(number)
        out, _ = child.communicate(timeout=60)
    finally:
        child.kill()
    assert child.returncode == 0
    assert b'"begun": 1' in out
