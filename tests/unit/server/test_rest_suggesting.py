"""Tags and places for a text over REST: what the verbs of ``Memory`` say, behind the same walls as a search."""

from pathlib import Path
from typing import Any

import pytest
from rest import ANN, added, memory_of, served
from starlette.testclient import TestClient

from anamnos import Scope, where

FERRY, ROSES = "The ferry to Naxos leaves at noon.", "The roses need water."


def tagged(client: TestClient, text: str, tag: str, scope: dict[str, str] | None = None, **headers: str) -> str:
    body = {"content": text, "tags": [tag], "scope": scope or ANN}
    answer = client.post("/v1/memories", json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["ids"][0])


def suggest(client: TestClient, scope: dict[str, str] | None = None, **headers: str) -> Any:
    body = {"content": "Is the ferry to Naxos late?", "scope": scope or ANN}
    return client.post("/v1/tags/suggest", json=body, headers=headers)


def routed(client: TestClient, among: Any, scope: dict[str, str] | None = None, **more: Any) -> Any:
    body = {"content": "Is the ferry to Naxos late?", "among": among, "scope": scope or ANN}
    return client.post("/v1/route", json=body, **more)


def test_tags_are_those_that_the_memory_suggests(client: TestClient) -> None:
    assert suggest(client).json() == {"items": []}
    ferry = tagged(client, FERRY, "travel")
    tagged(client, ROSES, "garden")
    found = suggest(client).json()["items"]
    here = memory_of(client).suggest_tags("Is the ferry to Naxos late?", Scope(user="ann"))
    assert found == [each.to_dict() for each in here]
    assert (found[0]["tag"], found[0]["because"]) == ("travel", [ferry])
    corrected = client.patch(f"/v1/memories/{ferry}", json={"scope": ANN, "tags": ["islands"]})
    assert corrected.status_code == 200
    assert suggest(client).json()["items"][0]["tag"] == "islands"


def test_places_are_filters_and_scopes_within_the_scope(client: TestClient) -> None:
    ferry = tagged(client, FERRY, "travel", {"user": "ann", "session": "trip"})
    tagged(client, ROSES, "garden")
    among = {
        "garden": {"field": "tag", "op": "eq", "value": "garden"},
        "trip": {"user": "ann", "session": "trip"},
    }
    found = routed(client, among).json()["items"]
    places = {"garden": where(tags="garden"), "trip": Scope(user="ann", session="trip")}
    here = memory_of(client).route("Is the ferry to Naxos late?", Scope(user="ann"), places)
    assert found == [each.to_dict() for each in here]
    assert (found[0]["tag"], found[0]["because"]) == ("trip", [ferry])
    assert routed(client, {}).json() == {"items": []}


def test_the_number_is_obeyed(client: TestClient) -> None:
    for text, tag in ((FERRY, "travel"), (ROSES, "garden")):
        tagged(client, text, tag)
    body = {"content": "ferry", "scope": ANN, "k": 1}
    assert len(client.post("/v1/tags/suggest", json=body).json()["items"]) == 1
    among = {tag: {"field": "tag", "op": "eq", "value": tag} for tag in ("travel", "garden")}
    assert len(client.post("/v1/route", json=body | {"among": among}).json()["items"]) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"content": ""},
        {"content": " "},
        {"content": 7},
        {"k": 0},
        {"k": 101},
        {"k": "five"},
        {"scope": {}},
        {"scope": {"user": ""}},
        {"unknown": 1},
    ],
)
def test_bad_input_is_refused_by_both(client: TestClient, wrong: dict[str, Any]) -> None:
    for path, more in (("/v1/tags/suggest", {}), ("/v1/route", {"among": {}})):
        answer = client.post(path, json={"content": "ferry", "scope": ANN, **more, **wrong})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input"), answer.text


@pytest.mark.parametrize(
    "among",
    [
        None,
        ["travel"],
        {"x": None},
        {"x": "travel"},
        {"x": {}},
        {"x": {"tenant": "default"}},
        {"x": {"user": "ann", "place": "here"}},
        {"x": {"field": "colour", "op": "eq", "value": "red"}},
        {"x": {"field": "tag", "op": "eq", "value": "a", "user": "ann"}},
        {"": {"user": "ann"}},
        {"a\nb": {"user": "ann"}},
        {str(number): {"user": "ann"} for number in range(51)},
        {"bob": {"user": "bob"}},
        {"everybody": {"session": "trip"}},
    ],
)
def test_what_is_no_place_of_the_scope_is_refused(client: TestClient, among: Any) -> None:
    answer = routed(client, among)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input"), answer.text


def test_nobody_learns_of_tags_behind_a_wall(tmp_path: Path) -> None:
    with served(tmp_path / "vault", auth="keys") as client:
        keys = memory_of(client).keys
        root = {"Authorization": f"Bearer {keys.create('root', operator=True).text}"}
        ann = {"Authorization": f"Bearer {keys.create('ann', owner='user:ann').text}"}
        deaf = {"Authorization": f"Bearer {keys.create('deaf', rights=['write']).text}"}
        other = {"Authorization": f"Bearer {keys.create('other', tenants=['b']).text}"}
        bob = {"user": "bob"}
        tagged(client, FERRY, "secret-voyage", bob, **root)
        everywhere = {"any": {"field": "trust", "op": "ge", "value": 0}}
        assert suggest(client, bob, **root).json()["items"][0]["tag"] == "secret-voyage"
        assert routed(client, everywhere, bob, headers=root).json()["items"][0]["because"]
        for who in (ann, deaf, other):
            asked = {"scope": bob, "content": "x"}
            found = client.post("/v1/search", json={"scope": bob, "query": "ferry"}, headers=who)
            for answer in (suggest(client, bob, **who), routed(client, everywhere, bob, headers=who)):
                assert answer.status_code == found.status_code, asked
                assert "secret-voyage" not in answer.text
                assert not any(each["because"] for each in answer.json().get("items", []))
        session = {"scope": ANN, "among": {"bob": bob}}
        assert client.post("/v1/route", json={"content": "ferry", **session}, headers=ann).status_code == 422


def test_they_are_read_only_for_the_audit_too(client: TestClient) -> None:
    added(client, FERRY)
    before = memory_of(client).vault.store.sequence()
    assert suggest(client).status_code == routed(client, {"me": ANN}).status_code == 200
    assert memory_of(client).vault.store.sequence() == before
