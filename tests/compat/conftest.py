"""What the tests of adapters share: no telemetry, no connection, a vault. Each file needs its framework."""

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from anamnos import Memory

os.environ.update(  # before any framework is imported
    HAYSTACK_TELEMETRY_ENABLED="False",
    MEM0_TELEMETRY="False",
    MEM0_DIR=tempfile.mkdtemp(),  # else its import writes into the home folder
    LANGSMITH_TRACING="false",
    OPENAI_AGENTS_DISABLE_TRACING="1",
    DO_NOT_TRACK="1",
)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: socket.socket, address: object) -> None:
        raise AssertionError(f"a connection to {address} was to be opened")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket.socket, "connect_ex", refused)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory(tmp_path / "vault", embedder="hashing") as opened:
        yield opened
