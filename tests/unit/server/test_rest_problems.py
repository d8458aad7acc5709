"""Every error is a problem that says what to do, tells nothing of the inside, and leaves no words in the log."""

import logging
from pathlib import Path
from typing import Any

import pytest
from rest import ANN, added, memory_of, served
from starlette.testclient import TestClient

from anamnos.errors import Busy, Corrupt
from anamnos.server.problems import MEDIA_TYPE

SECRET = "the treasure is in Zanzibar"


def problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    assert (answer.status_code, answer.headers["content-type"]) == (status, MEDIA_TYPE), answer.text
    said: dict[str, Any] = answer.json()
    assert (said["status"], said["code"], said["type"]) == (status, code, f"/docs/errors#{code}")
    assert said["title"] and said["detail"] and isinstance(said["retryable"], bool) and "hint" in said
    return said


def test_what_is_not_there(client: TestClient) -> None:
    problem(client.get("/v1/nothing"), 404, "not_found")
    id = "01890a5d-ac96-774b-bcce-b302099a8057"
    assert id in problem(client.get(f"/v1/memories/{id}", params=ANN), 404, "not_found")["detail"]


def test_another_method(client: TestClient) -> None:
    answer = client.put("/v1/memories")
    problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, POST"
    other = client.patch("/v1/memories/delete", json={})
    problem(other, 405, "method_not_allowed")
    assert other.headers["allow"] == "POST"


@pytest.mark.parametrize("part", ['{"not": ', '{"and": ['])
@pytest.mark.parametrize("depth", [101, 900, 100_000])
def test_a_filter_without_a_bottom(client: TestClient, part: str, depth: int) -> None:
    end = "]}" if "[" in part else "}"
    tree = part * depth + '{"field": "role", "op": "eq", "value": "note"}' + end * depth
    for path in ("search", "memories/delete"):
        body = f'{{"query": "x", "all": true, "scope": {{"user": "ann"}}, "filter": {tree}}}'
        head = {"Content-Type": "application/json"}
        assert client.post(f"/v1/{path}", content=body, headers=head).status_code in (400, 422)
    wide = {"or": [{"field": "tag", "op": "in", "value": ["a", "b"]}] * 5_000}
    assert client.post("/v1/search", json={"query": "x", "scope": ANN, "filter": wide}).status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_another_kind_of_body(client: TestClient, kind: str) -> None:
    answer = client.post(
        "/v1/search", content=b'{"query": "x", "scope": {"user": "ann"}}', headers={"Content-Type": kind}
    )
    problem(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("body", "at"),
    [
        ({"query": "x"}, "body.scope"),
        ({"query": "x", "scope": {"usr": "ann"}}, "body.scope.usr"),
        ({"query": "x", "scope": ANN, "topk": 3}, "body.topk"),
        ({"query": 3, "scope": ANN}, "body.query"),
        ({"query": "x", "scope": ANN, "top_k": "3"}, "body.top_k"),
        ({"query": "x", "scope": ANN, "top_k": True}, "body.top_k"),
        ({"query": "x", "scope": ANN, "as_of": "yesterday"}, "body.as_of"),
        ({"query": "x", "scope": ANN, "as_of": 12}, "body.as_of"),
        ({"query": "x", "scope": ANN, "as_of": "2025-01-01T00:00:00"}, "body.as_of"),
        ({"query": "x", "scope": ANN, "filter": {"field": "rolle", "op": "eq", "value": 1}}, "body.filter"),
    ],
)
def test_what_cannot_be_used_is_named(client: TestClient, body: dict[str, Any], at: str) -> None:
    said = problem(client.post("/v1/search", json=body), 422, "invalid_input")
    assert any(wrong["at"].startswith(at) for wrong in said["errors"]), said


@pytest.mark.parametrize(
    "body", [b"{", b"[" * 100_000, b"\xff", b'{"query": "\\ud800", "scope": {"user": "ann"}}', b"NaN"]
)
def test_a_body_that_is_no_json(client: TestClient, body: bytes) -> None:
    answer = client.post("/v1/search", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == MEDIA_TYPE


def test_what_the_library_refuses(client: TestClient) -> None:
    problem(client.post("/v1/search", json={"query": "   ", "scope": ANN}), 422, "invalid_input")
    assert "user" in problem(client.get("/v1/memories"), 422, "invalid_input")["hint"]
    problem(client.post("/v1/memories", json={"content": "x" * 1_000_001, "scope": ANN}), 413, "limit")


def test_a_slip_in_a_parameter_is_no_filter_that_passes_all(client: TestClient) -> None:
    said = problem(client.get("/v1/memories", params={**ANN, "tags": "home"}), 422, "error")
    assert "tags" in said["detail"] and "tag" in said["hint"]


def test_limits(tmp_path: Path) -> None:
    with served(tmp_path / "vault", body_mb=0.001, rate_per_minute=3) as client:
        problem(client.post("/v1/search", json={"query": "x" * 2_000, "scope": ANN}), 413, "limit")
        answers = [client.get("/v1/me") for _ in range(4)]
        problem(answers[-1], 429, "rate_limited")
        assert int(answers[-1].headers["retry-after"]) >= 1


def test_other_hosts_and_pages(client: TestClient) -> None:
    problem(client.get("/v1/me", headers={"Host": "evil.example"}), 403, "access_denied")
    problem(client.post("/v1/search", json={}, headers={"Origin": "https://evil.example"}), 403, "access_denied")
    assert "access-control-allow-origin" not in client.get("/v1/me", headers={"Origin": "https://evil.example"}).headers


@pytest.mark.parametrize("error", [RuntimeError(SECRET), Corrupt(f"{SECRET} at /vault/anamnos.db")])
def test_a_fault_tells_nobody_anything(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def broken(*args: Any, **more: Any) -> None:
        raise error

    monkeypatch.setattr(type(memory_of(client).vault.store.unguarded), "list", broken)
    with caplog.at_level(logging.DEBUG):
        answer = client.get("/v1/memories", params={**ANN, "contains": SECRET})
    assert answer.status_code == 500
    said = problem(answer, 500, answer.json()["code"])
    assert SECRET not in answer.text and "/vault" not in answer.text
    assert said["id"] in caplog.text  # that is how the two are brought together
    assert SECRET not in caplog.text and type(error).__name__ in caplog.text


def test_what_may_be_tried_again_says_so(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(*args: Any, **more: Any) -> None:
        raise Busy("Another writer holds the store.")

    monkeypatch.setattr(type(memory_of(client).vault.store.unguarded), "list", busy)
    answer = client.get("/v1/memories", params=ANN)
    assert problem(answer, 503, "busy")["retryable"] and answer.headers["retry-after"] == "1"


def test_no_words_reach_the_log(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        added(client, SECRET)
        client.post("/v1/search", json={"query": SECRET, "scope": ANN})
        client.post("/v1/search", json={"query": SECRET, "scope": ANN, "x": SECRET})
        client.get("/v1/memories", params={**ANN, "contains": SECRET, "filter": SECRET})
        client.get(f"/v1/memories/{SECRET}", params=ANN)
    own = [record.getMessage() for record in caplog.records if not record.name.startswith("httpx")]  # the test's client
    assert not any("Zanzibar" in message for message in own)
