"""What the tests of the REST face share: an application over a small vault, and its routes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from anamnos import Memory
from anamnos.config import ServerSettings
from anamnos.server.app import ROUTERS, create_app
from anamnos.testing import FakeEmbedder

BASE = "http://127.0.0.1"  # other hosts are refused
ANN = {"user": "ann"}


@contextlib.contextmanager
def served(
    folder: Path, *, auth: str = "none", more: dict[str, Any] | None = None, **settings: Any
) -> Iterator[TestClient]:
    """Yield a client of an application of its own. ``more`` goes to ``create_app``, ``settings`` say how it serves."""
    settings = {"rate_per_minute": 0, "web": "off", **settings}
    memory = Memory(folder, embedder=FakeEmbedder(), working="on")
    app = create_app(memory, ServerSettings(auth=auth, **settings), **(more or {}))
    with TestClient(app, base_url=BASE, raise_server_exceptions=False) as client:
        yield client


def memory_of(client: TestClient) -> Memory:
    """Return the memory behind a client."""
    found: Memory = client.app.state.serving.pool.memory  # type: ignore[attr-defined]
    return found


def routes(app: FastAPI) -> list[APIRoute]:
    """Return the routes that do something with the memory."""
    own = [route for router in ROUTERS for route in router.routes]
    return [route for route in (*own, *app.routes) if isinstance(route, APIRoute)]


def added(client: TestClient, *texts: str, scope: dict[str, str] | None = None, **headers: str) -> list[str]:
    """Remember texts and return their ids."""
    found = []
    for text in texts:
        answer = client.post("/v1/memories", json={"content": text, "scope": scope or ANN}, headers=headers)
        assert answer.status_code in (200, 201), answer.text
        found += answer.json()["ids"]
    return found
