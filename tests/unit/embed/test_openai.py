"""The OpenAI-compatible embedder against a scripted server on this machine."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import numpy as np
import pytest

from anamnos import service
from anamnos.embed.openai import OpenAIEmbedder
from anamnos.errors import ConfigError, InvalidInput, ProviderError

pytest.importorskip("httpx2", reason="needs the extra server")
KEY = "sk-very-secret"


class Script:
    """A server that answers with the next of ``replies`` (status, body), and then with good vectors."""

    def __init__(self) -> None:
        self.replies: list[tuple[int, Any]] = []
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.stall_s = 0.0
        script = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                script.requests.append(request)
                script.keys.append(self.headers["Authorization"])
                time.sleep(script.stall_s)
                good = (200, vectors_of(request["input"]))
                status, body = script.replies.pop(0) if script.replies else good
                data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # a client that hangs up is part of the script
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"

    def embedder(self, **options: Any) -> OpenAIEmbedder:
        return OpenAIEmbedder(self.url, "small", **options)


def vectors_of(texts: list[str]) -> dict[str, Any]:
    """Return a reply with the vector (length, 1, 0) per text, not normalised and in reverse order."""
    data = [{"index": i, "embedding": [len(text), 1, 0]} for i, text in enumerate(texts)]
    return {"data": data[::-1]}


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    monkeypatch.setattr(service, "FIRST_PAUSE_S", 0.001)
    script = Script()
    Thread(target=script.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield script
    script.server.shutdown()
    script.server.server_close()


def test_vectors_are_normalised_and_in_order(script: Script) -> None:
    embedder = script.embedder(api_key=KEY, batch_size=2)
    vectors = embedder.embed(["a", "bb", "ccc", ""])
    expected = np.array([[1, 1, 0], [2, 1, 0], [3, 1, 0], [1, 1, 0]]) / np.sqrt([[2], [5], [10], [2]])
    np.testing.assert_allclose(vectors, expected, atol=1e-6)
    assert vectors.dtype == np.float32
    assert [request["input"] for request in script.requests] == [["a", "bb"], ["ccc", " "]]
    assert script.keys == [f"Bearer {KEY}"] * 2
    assert (embedder.id, embedder.dim) == ("openai:small", 3)
    embedder.close()


def test_nothing_is_sent_before_it_must_be(script: Script) -> None:
    embedder = script.embedder(dim=3)
    assert embedder.id == "openai:small:3"
    assert embedder.embed([]).shape == (0, 3)
    assert not script.requests
    embedder.embed(["a"])
    assert script.requests[0]["dimensions"] == 3


def test_the_dimension_is_asked_for_once(script: Script) -> None:
    embedder = script.embedder()
    assert (embedder.dim, embedder.dim, len(script.requests)) == (3, 3, 1)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_passing_failure_is_retried(script: Script, status: int) -> None:
    script.replies = [(status, "busy"), (status, "busy")]
    assert script.embedder().embed(["a"]).shape == (1, 3)
    assert len(script.requests) == 3


def test_a_lasting_failure_is_raised_after_the_retries(script: Script) -> None:
    script.replies = [(500, "down")] * 9
    with pytest.raises(ProviderError, match="said 500: down") as caught:
        script.embedder(retries=2).embed(["a"])
    assert caught.value.retryable
    assert len(script.requests) == 3


def test_a_refused_key_is_not_retried_and_not_shown(script: Script) -> None:
    script.replies = [(401, f"Incorrect API key: {KEY}")]
    embedder = script.embedder(api_key=KEY)
    with pytest.raises(ProviderError, match="said 401") as caught:
        embedder.embed(["a"])
    assert not caught.value.retryable
    assert len(script.requests) == 1
    assert KEY not in f"{caught.value} {caught.value!r} {embedder!r}"


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        ({"data": []}, r"shape \(0,\) for 1 texts"),
        (vectors_of(["a", "b"]), r"shape \(2, 3\) for 1 texts"),
        ({"data": [{"embedding": [1, float("nan"), 0]}]}, "zero or not finite"),
        ({"data": [{"embedding": [0, 0, 0]}]}, "zero or not finite"),
        ({"data": [{"embedding": [1, 2]}]}, "length 2 instead of 3"),
        ({"data": [{"embedding": "text"}]}, "gave no embeddings"),
        ({"error": "no such model"}, "gave no embeddings"),
        ({"data": None}, "gave no embeddings"),
        ([], "gave no embeddings"),
        ("<html>", "gave no embeddings"),
    ],
)
def test_a_wrong_reply_is_an_error(script: Script, reply: object, message: str) -> None:
    script.replies = [(200, reply)]
    with pytest.raises(ProviderError, match=message):
        script.embedder(dim=3).embed(["a"])


def test_a_slow_server_is_a_retryable_error(script: Script) -> None:
    script.stall_s = 0.3
    with pytest.raises(ProviderError, match="did not answer") as caught:
        script.embedder(timeout_s=0.05, retries=1).embed(["a"])
    assert caught.value.retryable
    assert len(script.requests) == 2


def test_no_server_is_a_retryable_error() -> None:
    with pytest.raises(ProviderError, match="did not answer") as caught:
        OpenAIEmbedder("http://127.0.0.1:9", "small", retries=0).embed(["a"])
    assert caught.value.retryable


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ConfigError, match="must start with http"):
        OpenAIEmbedder("localhost:8080", "small")
    with pytest.raises(ConfigError, match="must be above 0"):
        OpenAIEmbedder("http://localhost", "small", batch_size=0)
    with pytest.raises(InvalidInput):
        OpenAIEmbedder("http://localhost", "small").embed(["\ud800"])
