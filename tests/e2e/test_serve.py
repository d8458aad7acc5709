"""``anamnos serve`` as a process: it starts, answers, keeps what it has acknowledged, and ends as it is told to."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

ANN = {"user": "ann"}
SLOW = """
import sys, time
from anamnos.memory import Memory
plain = Memory.add
def add(self, content, *rest, **more):
    if content == "slow":
        time.sleep(1.5)
    return plain(self, content, *rest, **more)
Memory.add = add
import anamnos.memory.awaited as awaited
awaited.AsyncMemory.add = awaited._awaited(add)
from anamnos.cli.main import main
main()
"""
"""The command, with one verb that takes its time over one text."""


class Server:
    """A running server. ``url`` and ``key`` are what it printed."""

    def __init__(self, vault: Path, *words: str) -> None:
        command = [sys.executable, "-c", SLOW, "serve", "--vault", str(vault), "--embedder", "hashing", "--port", "0"]
        env = {name: value for name, value in os.environ.items() if not name.startswith("ANAMNOS_")}
        self.process = subprocess.Popen(
            [*command, "--json", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
        )
        assert self.process.stdout is not None
        said = ""
        for line in self.process.stdout:
            said += line
            if line.startswith("}"):
                break
        assert said, self.process.communicate()[1]
        printed = json.loads(said)
        self.url, self.key = printed["url"], printed["key"]
        head = {} if self.key is None else {"Authorization": f"Bearer {self.key}"}
        self.client = httpx2.Client(base_url=self.url, headers=head, timeout=30)

    def add(self, text: str) -> Any:
        return self.client.post("/v1/memories", json={"content": text, "scope": ANN})

    def texts(self) -> list[str]:
        items = self.client.get("/v1/memories", params=ANN).json()["items"]
        return [cube["content"] for cube in items]

    def end(self, how: signal.Signals) -> tuple[int, str]:
        self.client.close()
        self.process.send_signal(how)
        _, errors = self.process.communicate(timeout=30)
        return self.process.returncode, errors


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    started: list[Server] = []

    def make(*words: str) -> Server:
        started.append(Server(tmp_path / "vault", *words))
        return started[-1]

    yield make
    for server in started:
        if server.process.poll() is None:
            server.process.kill()
            server.process.communicate()


def test_a_life(start: Callable[..., Server]) -> None:
    server = start()
    assert server.client.get("/readyz").json() == {"status": "ok"}
    assert httpx2.get(f"{server.url}/v1/me").status_code == 401
    assert server.add("The key is under the pot.").status_code == 201
    assert "text/html" in server.client.get("/").headers["content-type"]
    code, errors = server.end(signal.SIGTERM)
    assert code == 0
    assert "pot" not in errors and errors == ""


def test_requests_in_progress_are_brought_to_their_end(start: Callable[..., Server]) -> None:
    server = start()
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(server.add("slow")))
    thread.start()
    time.sleep(0.7)  # it is under way
    server.process.send_signal(signal.SIGTERM)
    thread.join(20)
    assert [answer.status_code for answer in answers] == [201]
    _, errors = server.process.communicate(timeout=30)
    assert (server.process.returncode, errors) == (0, "")
    assert start().texts() == ["slow"]


def test_what_was_acknowledged_survives_a_kill(start: Callable[..., Server]) -> None:
    server = start()
    for n in range(5):
        assert server.add(f"Note {n}.").status_code == 201
    server.end(signal.SIGKILL)
    assert start().texts() == [f"Note {n}." for n in range(5)]


def test_a_file_is_read_to_its_end_though_nobody_waits_for_it(start: Callable[..., Server]) -> None:
    server = start()
    body = "\n\n".join(f"Paragraph number {n}." for n in range(3_000)).encode()
    with server.client.stream("POST", "/v1/ingest", params={**ANN, "name": "notes.md"}, content=body) as answer:
        first = next(answer.iter_lines())  # and away
    assert json.loads(first)["total"] == 3_000
    deadline = time.monotonic() + 30
    while server.client.get("/v1/stats", params=ANN).json()["memories"] < 3_000:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert server.end(signal.SIGTERM) == (0, "")


def test_an_answer_without_an_end_ends_with_the_server(start: Callable[..., Server]) -> None:
    server = start()
    with server.client.stream("GET", "/v1/events", params=ANN) as answer:
        assert answer.status_code == 200
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        for _ in answer.iter_lines():
            pass
    server.process.communicate(timeout=30)
    assert time.monotonic() - began < 10
    assert server.process.returncode == 0


def test_it_does_not_open_the_vault_to_all(tmp_path: Path) -> None:
    for words in (["--host", "0.0.0.0", "--auth", "none"], ["--host", "0.0.0.0"]):
        command = [sys.executable, "-m", "anamnos", "serve", "--vault", str(tmp_path / "v"), "--embedder", "hashing"]
        done = subprocess.run([*command, "--port", "0", *words], capture_output=True, text=True, timeout=60)
        assert done.returncode == 6, done.stderr
        assert "0.0.0.0" in done.stderr
