"""Bulk work on Ray killed anywhere: what was acknowledged stays, the next run completes it, and nothing is twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from anamnos import Memory, Scope

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or find_spec("ray") is None, reason="needs ray, and finds its workers in /proc"
)

ANN = Scope(user="ann")
CHILD = """
import json, sys, time
from anamnos import Memory, Scope
from anamnos.embed.hashing import HashingEmbedder
from anamnos.system import bulk

class Slow(HashingEmbedder):
    def embed(self, texts):
        time.sleep(0.15)
        return super().embed(texts)

bulk.STORE_BYTES = 80 * 2**20
vault, *files = sys.argv[1:]
with bulk.Ray(workers=2) as engine, Memory(vault, embedder=Slow(), batch_size=4) as memory:
    found = memory.ingest_all(
        files, Scope(user="ann"), engine=engine, progress=lambda done, _: print(done, flush=True)
    )
    print(json.dumps([receipt.outcomes for _, receipt in found]), flush=True)
"""


def started(vault: Path, files: list[Path]) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", CHILD, vault, *files], stdout=subprocess.PIPE, text=True)


def acknowledged(child: subprocess.Popen[str], until: int) -> int:
    """Return how many memories the child has said are written, once they are ``until``."""
    assert child.stdout is not None
    done = 0
    while done < until:
        done = int(child.stdout.readline())
    return done


def processes() -> dict[int, tuple[int, str]]:
    """Return the parent and the command of every process by its number."""
    found = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
                found[int(path.name)] = (parent, (path / "cmdline").read_text().replace("\0", " "))
            except OSError:
                continue
    return found


def offspring(root: int) -> dict[int, str]:
    """Return the commands of the processes that descend from one."""
    every, mine = processes(), {root}
    for _ in range(5):
        mine |= {own for own, (parent, _) in every.items() if parent in mine}
    return {own: every[own][1] for own in mine - {root} if own in every}


def test_a_killed_program_or_worker_loses_and_doubles_nothing(tmp_path: Path) -> None:
    texts = [[f"file{number} turn{n} says word{number}x{n}" for n in range(40)] for number in range(2)]
    notes, chat, vault = tmp_path / "notes.txt", tmp_path / "chat.jsonl", tmp_path / "vault"
    notes.write_text("\n\n".join(texts[0]), "utf-8")
    chat.write_text("\n".join(json.dumps({"role": "user", "content": text}) for text in texts[1]), "utf-8")

    child = started(vault, [notes, chat])
    done = acknowledged(child, until=48)
    left = {own for own, said in offspring(child.pid).items() if "_Worker" in said or "raylet" in said}
    assert len(left) >= 3  # Ray's agents, which know no texts, may stay for a minute
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    with Memory(vault, embedder="hashing") as memory:
        assert memory.verify() == []
        have = [cube.text for cube in memory.list(ANN, limit=None)]
        assert have == [*texts[0], *texts[1]][: len(have)], "what is there is the beginning, word for word"
        assert done <= len(have) < 80 and len(have) % 4 == 0
    ends = time.monotonic() + 20
    while (
        still := {own for own, (_, said) in processes().items() if own in left and said}
    ) and time.monotonic() < ends:
        time.sleep(0.1)
    assert not still, "Ray goes with the program that started it"

    child = started(vault, [notes, chat])
    acknowledged(child, until=len(have) + 4)
    worker = next(own for own, command in offspring(child.pid).items() if "_Worker" in command)
    os.kill(worker, signal.SIGKILL)
    said, _ = child.communicate(timeout=60)
    assert child.returncode == 0
    outcomes = [outcome for file in json.loads(said.splitlines()[-1]) for outcome in file]
    assert outcomes == ["unchanged"] * len(have) + ["added"] * (80 - len(have))
    with Memory(vault, embedder="hashing") as memory:
        assert [cube.text for cube in memory.list(ANN, limit=None)] == [*texts[0], *texts[1]]
        assert memory.verify() == []
        (hit,) = memory.search("word1x39", ANN, top_k=1)
        assert hit.content == texts[1][39]
