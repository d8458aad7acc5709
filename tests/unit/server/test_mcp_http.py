"""MCP over HTTP: who may ask, in which scope; and that it stands beside the REST routes and alone."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from anamnos import Memory, Scope
from anamnos.config import ServerSettings
from anamnos.errors import AccessDenied, InvalidInput
from anamnos.server.app import create_app as whole_app
from anamnos.server.callers import Caller
from anamnos.server.mcp.http import create_app, scope_of

ANN, BOB = Scope(user="ann"), Scope(user="bob")
EVERY = ("read", "write", "all")
JSON = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    opened = Memory(tmp_path / "vault", embedder="hashing")
    yield opened
    opened.close()


@pytest.fixture
def client(memory: Memory) -> Iterator[TestClient]:
    app = create_app(memory, ServerSettings(rate_per_minute=0))
    with TestClient(app, base_url="http://127.0.0.1:8787") as opened:
        yield opened


def post(client: TestClient, key: str | None, message: Any, address: str = "/mcp", **headers: str) -> Any:
    allowed = {} if key is None else {"Authorization": f"Bearer {key}"}
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    return client.post(address, content=body, headers={**JSON, **allowed, **headers})


def tool(name: str, **arguments: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name, "arguments": arguments}}


def called(client: TestClient, key: str, name: str, address: str = "/mcp", **arguments: Any) -> Any:
    answer = post(client, key, tool(name, **arguments), address)
    assert answer.status_code == 200, answer.text
    return answer.json()["result"]


def texts(result: Any) -> list[str]:
    return [one["text"] for one in result["structuredContent"]["memories"]]


def test_without_a_key_nothing_is_answered(client: TestClient, memory: Memory) -> None:
    for key in (None, "nonsense", "anm_000000000000_" + "x" * 43):
        answer = post(client, key, tool("recall", query="x"), "/mcp?user=ann")
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.headers["content-type"] == "application/problem+json"
        assert "hint" in answer.json()


def test_a_key_of_a_user_works_in_the_scope_of_that_user_only(client: TestClient, memory: Memory) -> None:
    ann = memory.keys.create("laptop", rights=("read", "write"), owner="user:ann").text
    bob = memory.keys.create("phone", rights=("read", "write"), owner="user:bob").text
    assert not called(client, ann, "remember", content="Ann's code word is heliotrope.")["isError"]
    (cube,) = memory.list(ANN)
    assert cube.scope == ANN
    assert texts(called(client, ann, "recall", query="heliotrope")) == ["Ann's code word is heliotrope."]
    assert texts(called(client, ann, "recall", "/mcp?user=ann", query="heliotrope")) == [cube.text]
    assert texts(called(client, bob, "recall", query="heliotrope")) == []
    for name, arguments in (
        ("history", {"id": cube.id}),
        ("forget", {"ids": [cube.id]}),
        ("update", {"id": cube.id, "content": "x"}),
    ):
        refused = called(client, bob, name, **arguments)
        assert refused["isError"]
        assert "There is no memory" in refused["content"][0]["text"]
    answer = post(client, bob, tool("recall", query="heliotrope"), "/mcp?user=ann")
    assert answer.status_code == 403
    assert "user:bob" in answer.json()["detail"]
    assert memory.get(cube.id, ANN).version == 1


def test_a_key_of_a_tenant_does_not_reach_another(client: TestClient, memory: Memory) -> None:
    memory.add("The plan of tenant one.", Scope("one", user="ann"))
    key = memory.keys.create("app", tenants=("two",), rights=EVERY).text
    assert texts(called(client, key, "recall", "/mcp?user=ann", query="plan")) == []
    assert post(client, key, tool("recall", query="plan"), "/mcp?user=ann&tenant=one").status_code == 403
    called(client, key, "remember", "/mcp?user=ann", content="The plan of tenant two.")
    assert [cube.scope.tenant for cube in memory.list(Scope("two", user="ann"))] == ["two"]


def test_a_key_that_may_only_read_changes_nothing(client: TestClient, memory: Memory) -> None:
    (cube_id,) = memory.add("The spare key is under the blue pot.", ANN).ids
    key = memory.keys.create("reader", rights=("read",), owner="user:ann").text
    assert len(texts(called(client, key, "recall", query="spare key"))) == 1
    before = memory.get(cube_id, ANN)
    for name, arguments in (
        ("remember", {"content": "x"}),
        ("update", {"id": cube_id, "content": "x"}),
        ("forget", {"ids": [cube_id]}),
    ):
        assert called(client, key, name, **arguments)["isError"]
    assert memory.list(ANN) == [before]


def test_a_revoked_key_counts_no_more(client: TestClient, memory: Memory) -> None:
    made = memory.keys.create("laptop", rights=("read",), owner="user:ann")
    assert called(client, made.text, "recall", query="x")["isError"] is False
    memory.keys.revoke(made.id)
    assert post(client, made.text, tool("recall", query="x")).status_code == 401


def test_requests_that_are_none_are_refused(client: TestClient, memory: Memory) -> None:
    key = memory.keys.create("laptop", rights=("read", "write"), owner="user:ann").text
    for body in (b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b'{"jsonrpc": "2.0"}', b"null"):
        answer = post(client, key, body)
        assert 400 <= answer.status_code < 500
        assert "Traceback" not in answer.text
    assert client.get("/mcp", headers={"Authorization": f"Bearer {key}"}).status_code == 405
    assert client.delete("/mcp", headers={"Authorization": f"Bearer {key}"}).status_code == 405
    assert post(client, key, tool("recall", query="x"), Host="evil.example").status_code >= 400
    assert post(client, key, tool("recall", query="x"), Origin="https://evil.example").status_code == 403
    assert post(client, key, b" " * 17_000_000).status_code == 413
    assert client.get("/v1/memories").status_code == client.get("/openapi.json").status_code == 404
    assert called(client, key, "recall", query="x")["isError"] is False
    assert memory.stats()["memories"] == 0


def test_the_app_can_be_opened_again(tmp_path: Path) -> None:
    for _ in range(2):
        app = create_app(Memory(tmp_path, embedder="hashing"), ServerSettings(), session_key="anm_" + "s" * 43)
        with TestClient(app, base_url="http://127.0.0.1:8787") as client:
            assert called(client, "anm_" + "s" * 43, "remember", "/mcp?user=ann", content="Once.")["isError"] is False


@pytest.mark.parametrize("mcp", ["on", "off"])
def test_it_stands_beside_the_rest_routes_if_the_settings_say_so(memory: Memory, mcp: str) -> None:
    key = memory.keys.create("laptop", rights=("read", "write"), owner="user:ann").text
    app = whole_app(memory, ServerSettings(mcp=mcp, web="off"))
    with TestClient(app, base_url="http://127.0.0.1:8787") as client:
        answer = post(client, key, tool("remember", content="The spare key is under the blue pot."))
        assert (answer.status_code == 200) is (mcp == "on")
        listed = client.get("/v1/memories?user=ann", headers={"Authorization": f"Bearer {key}"}).json()
        assert len(listed["items"]) == (mcp == "on")
        assert "/mcp" not in client.get("/openapi.json").json()["paths"]


# --- whose memory it is


def caller(owner: str = "", tenants: tuple[str, ...] | None = None) -> Caller:
    return Caller("key:app", tenants, EVERY, owner)


@pytest.mark.parametrize(
    ("who", "query", "within", "scope"),
    [
        (caller(), {"user": "ann"}, None, Scope(user="ann")),
        (caller(), {"user": "ann", "tenant": "two"}, None, Scope("two", user="ann")),
        (caller("user:ann"), {}, None, Scope(user="ann")),
        (caller("user:ann"), {"session": "monday"}, None, Scope(user="ann", session="monday")),
        (caller("agent:tutor"), {}, None, Scope(agent="tutor")),
        (caller("agent:tutor"), {"user": "ann"}, None, Scope(user="ann", agent="tutor")),
        (caller("user:ann", ("two",)), {}, None, Scope("two", user="ann")),
        (caller("user:ann", ("two", "three")), {"tenant": "three"}, None, Scope("three", user="ann")),
        (caller(), {}, Scope(user="ann"), Scope(user="ann")),
        (caller(), {"session": "monday"}, Scope(user="ann"), Scope(user="ann", session="monday")),
        (caller("user:ann"), {}, Scope(user="ann", agent="tutor"), Scope(user="ann", agent="tutor")),
    ],
)
def test_the_scope_is_of_the_owner_the_address_and_the_command(
    who: Caller, query: dict[str, str], within: Scope | None, scope: Scope
) -> None:
    assert scope_of(who, query, within) == scope


@pytest.mark.parametrize(
    ("who", "query", "within", "error"),
    [
        (caller(), {}, None, InvalidInput),
        (caller(), {"tenant": "two"}, None, InvalidInput),
        (caller(), {"user": ""}, None, InvalidInput),
        (caller(), {"user": "a\nb"}, None, InvalidInput),
        (caller("user:ann"), {"user": "bob"}, None, AccessDenied),
        (caller(), {"user": "bob"}, Scope(user="ann"), AccessDenied),
        (caller("user:bob"), {}, Scope(user="ann"), AccessDenied),
        (caller(), {"tenant": "two"}, Scope(user="ann"), AccessDenied),
        (caller(), {"agent": "other"}, Scope(user="ann", agent="tutor"), AccessDenied),
    ],
)
def test_nobody_leaves_the_own_scope(
    who: Caller, query: dict[str, str], within: Scope | None, error: type[Exception]
) -> None:
    with pytest.raises(error):
        scope_of(who, query, within)
