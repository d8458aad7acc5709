"""The verbs over REST, one after the other: what they take, and that they answer as the library does."""

import json
from pathlib import Path
from typing import Any

import pytest
from rest import ANN, added, memory_of, served
from starlette.testclient import TestClient

from anamnos import MemCube, Scope, where
from anamnos.server.streaming import NDJSON, Upload


def post(client: TestClient, path: str, **body: Any) -> Any:
    answer = client.post(f"/v1/{path}", json={"scope": ANN, **body})
    assert answer.status_code < 300, answer.text
    return answer.json()


def test_a_text_is_added_once(client: TestClient) -> None:
    first = client.post("/v1/memories", json={"content": "The key is under the pot.", "scope": ANN, "tags": ["home"]})
    again = client.post("/v1/memories", json={"content": "The key is under the pot.", "scope": ANN})
    assert (first.status_code, first.json()["outcomes"]) == (201, ["added"])
    assert (again.status_code, again.json()["ids"]) == (200, first.json()["ids"])


def test_messages_are_added_as_turns(client: TestClient) -> None:
    said = [
        {"role": "user", "content": "I moved to Porto.", "name": "Ann", "created_at": "2025-03-01T10:00:00+01:00"},
        {"role": "assistant", "content": [{"type": "text", "text": "How nice!"}]},
    ]
    receipt = client.post("/v1/memories", json={"content": said, "scope": ANN}).json()
    cubes = client.get("/v1/memories", params=ANN).json()["items"]
    assert receipt["outcomes"] == ["added", "added"]
    assert [(c["content"], c["role"], c["provenance"]["actor"]) for c in cubes] == [
        ("I moved to Porto.", "turn", "Ann"),
        ("How nice!", "turn", "assistant"),
    ]
    assert cubes[0]["time"]["created_at"] == "2025-03-01T09:00:00Z"


def test_a_cube_comes_whole(client: TestClient) -> None:
    (id,) = added(client, "The key is under the pot.", scope={"tenant": "acme", "user": "ann", "session": "monday"})
    answer = client.get(f"/v1/memories/{id}", params={"tenant": "acme", "user": "ann"})
    cube = memory_of(client).get(id, Scope("acme", "ann"))
    assert MemCube.from_dict(answer.json()) == cube
    assert answer.json()["scope"] == {"tenant": "acme", "user": "ann", "session": "monday"}


def test_pages(client: TestClient) -> None:
    ids = added(client, *(f"Note {n}." for n in range(7)))
    seen, url = [], "/v1/memories?user=ann&limit=3"
    while url:
        page = client.get(url)
        seen.append([cube["id"] for cube in page.json()["items"]])
        assert (page.json()["next"] is None) == ("link" not in page.headers)
        url = page.links.get("next", {}).get("url", "")
    assert seen == [ids[:3], ids[3:6], ids[6:]]


def test_the_conditions_of_a_list(client: TestClient) -> None:
    for n in range(4):
        body = {
            "content": f"Note {n}",
            "scope": ANN,
            "tags": [f"t{n % 2}"],
            "created_at": f"2025-01-0{n + 1}T00:00:00Z",
        }
        client.post("/v1/memories", json=body)

    def listed(**params: Any) -> list[str]:
        answer = client.get("/v1/memories", params={**ANN, **params})
        assert answer.status_code == 200, answer.text
        return [cube["content"] for cube in answer.json()["items"]]

    assert listed(tag="t1") == ["Note 1", "Note 3"]
    assert listed(since="2025-01-02T00:00:00Z", until="2025-01-04T00:00:00Z") == ["Note 1", "Note 2"]
    assert listed(contains="note 2") == ["Note 2"]
    assert listed(role=["turn", "fact"]) == []
    assert listed(tag="t1", filter=json.dumps({"field": "text", "op": "contains", "value": "3"})) == ["Note 3"]
    assert listed(as_of="2000-01-01T00:00:00Z") == []


def test_search_says_what_the_library_says(client: TestClient) -> None:
    added(client, "The key is under the blue pot.", "Bob likes tea.", "The pot is blue.")
    found = post(client, "search", query="where is the key?", top_k=2, where={"contains": "pot"})
    hits = memory_of(client).search("where is the key?", Scope(user="ann"), top_k=2, filter=where(contains="pot"))
    assert found == {"hits": [hit.to_dict() for hit in hits], "confidence": hits.confidence}
    explained = post(client, "explain", query="where is the key?", top_k=2)
    assert explained["cue"]["embedded_as"] and explained["recipe"]["weights"]
    packed = post(client, "context", question="where is the key?", token_budget=50)
    assert packed["tokens"] <= 50 and "key" in packed["text"]
    answer = post(client, "ask", question="where is the key?")
    assert set(answer) >= {"answer", "confidence", "not_in_memory", "cited"}
    kept = client.get("/v1/working", params=ANN).json()["items"]
    assert {cube["content"] for cube in kept} >= {"The key is under the blue pot."}


def test_an_update_with_its_etag(client: TestClient) -> None:
    (id,) = added(client, "The key is under the pot.")
    read = client.get(f"/v1/memories/{id}", params=ANN)
    assert read.headers["etag"] == '"1"'
    assert client.get(f"/v1/memories/{id}", params=ANN, headers={"If-None-Match": 'W/"1"'}).status_code == 304

    def change(words: str, tag: str) -> Any:
        return client.patch(f"/v1/memories/{id}", json={"scope": ANN, "content": words}, headers={"If-Match": tag})

    assert change("The key is in the drawer.", '"1"').json()["outcomes"] == ["updated"]
    late = change("The key is lost.", '"1"')
    assert (late.status_code, late.json()["current_version"], late.json()["retryable"]) == (412, 2, True)
    assert change("The key is lost.", "*").status_code == 200
    versions = client.get(f"/v1/memories/{id}/history", params=ANN).json()["items"]
    assert [cube["version"] for cube in versions] == [1, 2, 3]
    assert (
        client.get(f"/v1/memories/{id}", params={**ANN, "version": 2}).json()["content"] == "The key is in the drawer."
    )


def test_deleting(client: TestClient) -> None:
    a, b, c, d = added(client, "One.", "Two.", "Three.", "Four.")
    assert client.delete(f"/v1/memories/{a}", params=ANN, headers={"If-Match": '"7"'}).status_code == 412
    assert client.delete(f"/v1/memories/{a}", params=ANN, headers={"If-Match": '"1"'}).json()["outcomes"] == ["deleted"]
    assert client.get(f"/v1/memories/{a}", params=ANN).status_code == 404
    assert post(client, "memories/delete", ids=[b])["ids"] == [b]
    assert client.post("/v1/memories/delete", json={"scope": ANN}).status_code == 422
    assert client.post("/v1/memories/delete", json={"scope": ANN, "all": True, "ids": [c]}).status_code == 422
    tree = {"field": "text", "op": "contains", "value": "three"}
    assert post(client, "memories/delete", all=True, filter=tree)["ids"] == [c]
    assert post(client, "memories/delete", all=True)["ids"] == [d]


def test_the_life_of_a_memory(client: TestClient) -> None:
    a, b = added(client, "I live in Porto.", "I live in Lisbon.")
    for verb in ("freeze", "unfreeze", "archive", "reactivate", "used"):
        assert post(client, verb, ids=[a])["ids"] == [a], verb
    assert client.post("/v1/freeze", json={"scope": ANN, "ids": []}).status_code == 422
    post(client, "freeze", ids=[a])
    assert client.patch(f"/v1/memories/{a}", json={"scope": ANN, "content": "x"}).status_code == 403
    post(client, "unfreeze", ids=[a])
    assert post(client, "migrate", ids=[a], role="fact")["outcomes"] == ["updated"]
    assert post(client, "migrate-back", id=a)["outcomes"] == ["updated"]
    assert post(client, "rollback", id=a, version=1)["state"] == "indexed"
    post(client, "merge", ids=[a, b])
    assert set(post(client, "unmerge", id=b)["ids"]) == {a, b}
    assert post(client, "advise")["items"] == []
    assert len(client.get("/v1/retention", params=ANN).json()["items"]) == 2
    assert post(client, "correct", text="No, I live in Braga, not Porto.")["state"] == "indexed"
    for verb in ("enrich", "resolve", "expire"):
        assert "outcomes" in post(client, verb)
    assert post(client, "consolidate", steps=["duplicates"])["finished"]
    assert client.put("/v1/principals/user:bob", json={}).status_code == 200
    assert post(client, "share", ids=[a], to="user:bob")["outcomes"] == ["updated"]
    assert post(client, "unshare", ids=[a], to="user:bob")["outcomes"] == ["updated"]
    assert post(client, "forget-person")["state"] == "erased"


def test_a_file_is_streamed_in_and_its_progress_out(client: TestClient) -> None:
    body = "\n\n".join(f"Paragraph number {n}." for n in range(600)).encode()
    with client.stream("POST", "/v1/ingest", params={**ANN, "name": "../../notes.md"}, content=body) as answer:
        assert answer.headers["content-type"] == NDJSON
        lines = [json.loads(line) for line in answer.iter_lines()]
    assert lines[-1]["receipt"]["outcomes"] == ["added"] * 600
    assert {"done": 600, "total": 600} in lines[:-1]
    again = client.post(
        "/v1/ingest", params={**ANN, "name": "../../notes.md"}, content=body, headers={"Accept": "application/json"}
    )
    assert again.json()["outcomes"] == ["unchanged"] * 600
    cube = client.get("/v1/memories", params={**ANN, "limit": 1}).json()["items"][0]
    assert cube["provenance"]["source"] == "../../notes.md"


def test_a_file_that_is_none(client: TestClient, tmp_path: Path) -> None:
    bad = client.post("/v1/ingest", params={**ANN, "name": "chat.json"}, content=b"{")
    last = json.loads(bad.text.splitlines()[-1])
    assert last["problem"]["status"] == 422
    assert "chat.json" in last["problem"]["detail"] and "/tmp" not in bad.text
    plain = client.post(
        "/v1/ingest", params={**ANN, "name": "x.json"}, content=b"{", headers={"Accept": "application/json"}
    )
    assert plain.status_code == 422
    assert client.post("/v1/ingest", params=ANN, content=b"").status_code == 422
    assert client.post("/v1/ingest/url", json={"scope": ANN, "url": "http://169.254.169.254/latest"}).status_code == 403


def test_a_file_beyond_the_limit(tmp_path: Path) -> None:
    with served(tmp_path / "vault", ingest_mb=0.001) as client:
        answer = client.post("/v1/ingest", params=ANN, content=(b"x" * 700 for _ in range(3)))
        assert (answer.status_code, answer.json()["code"]) == (413, "limit")


def test_out_and_in_again(client: TestClient, tmp_path: Path) -> None:
    ids = added(client, "The key is under the pot.", "Write to ann@example.org.")
    whole = client.get("/v1/export", params=ANN)
    assert whole.headers["content-type"] == NDJSON
    assert "ann@example.org" not in client.get("/v1/export", params={**ANN, "redact": True}).text
    with served(tmp_path / "other") as other:
        receipt = other.post("/v1/import", content=whole.content)
        assert receipt.json()["ids"] == ids
        assert other.get("/v1/memories", params=ANN).json() == client.get("/v1/memories", params=ANN).json()
        assert other.post("/v1/import", content=b"nonsense").status_code == 422


def test_keeping(client: TestClient, tmp_path: Path) -> None:
    ids = added(client, *(f"Fact number {n}." for n in range(25)))
    assert client.get("/v1/stats").json()["memories"] == 25
    assert client.get("/v1/stats", params={"user": "bob"}).json()["memories"] == 0
    assert client.get("/v1/verify").json() == {"ok": True, "problems": []}
    made = client.post("/v1/backup", json={"name": "monday"})
    assert made.json()["name"] == "monday" and (tmp_path / "vault-backups" / "monday" / "anamnos.db").exists()
    for name in ("../x", "/etc", "a/b", ".."):
        assert client.post("/v1/backup", json={"name": name}).status_code == 422
    assert client.post("/v1/rebuild-index").json() == {"done": True}
    asked = [{"question": f"What is fact {n}?", "answers": [id]} for n, id in enumerate(ids)]
    assert post(client, "calibrate", questions=asked, adopt=False)["questions"] == 25
    lines = client.post("/v1/reembed", json={"embedder": "hashing"}, headers={"Accept": NDJSON}).text.splitlines()
    assert json.loads(lines[-1]) == {"result": {"done": True}}
    assert client.get("/v1/me").json()["embedder"].startswith("hashing")
    assert len(post(client, "search", query="fact number 3", top_k=5)["hits"]) == 5


def test_jobs(client: TestClient) -> None:
    job = client.post("/v1/jobs", json={"kind": "enrich", "scope": ANN, "payload": {"extractor": "rules"}})
    number = job.json()["id"]
    assert job.status_code == 201
    assert client.get("/v1/jobs", params={"state": "waiting"}).json()["counts"] == [
        {"kind": "enrich", "state": "waiting", "jobs": 1}
    ]
    assert client.get(f"/v1/jobs/{number}").json() == job.json()
    assert client.post(f"/v1/jobs/{number}/retry").status_code == 200
    assert client.post(f"/v1/jobs/{number}/cancel").json()["state"] == "dead"
    assert client.get("/v1/jobs/999").status_code == 404


def test_governing(client: TestClient) -> None:
    assert client.put("/v1/principals/user:ann", json={"rights": ["read"]}).json()["rights"] == ["read"]
    assert client.get("/v1/principals/user:ann").json() in client.get("/v1/principals").json()["items"]
    assert client.delete("/v1/principals/user:ann").status_code == 204
    assert client.delete("/v1/principals/user:ann").status_code == 404
    rule = {"filter": {"field": "role", "op": "eq", "value": "turn"}, "days": 30, "action": "archive"}
    assert client.put("/v1/rules/old turns", json=rule).json() == {"name": "old turns", **rule}
    assert client.get("/v1/rules/old turns").json() in client.get("/v1/rules").json()["items"]
    assert client.delete("/v1/rules/old turns").status_code == 204
    assert client.delete("/v1/rules/old turns").status_code == 404
    assert client.get("/v1/quotas", params=ANN).json() == {"memories": None, "bytes": None}
    client.put("/v1/quotas", json={"scope": ANN, "memories": 1})
    added(client, "One.")
    over = client.post("/v1/memories", json={"content": "Two.", "scope": ANN})
    assert (over.status_code, over.json()["code"]) == (413, "limit")
    entries = client.get("/v1/audit", params={"limit": 2}).json()
    assert len(entries["items"]) == 2 and entries["next"] == 2
    assert client.get("/v1/audit", params={"after": entries["next"], "limit": 1000}).json()["next"] is None
    chain = client.get("/v1/audit/verify").json()
    assert chain["problems"] == []
    assert client.get("/v1/audit/verify", params={"head": chain["head"]}).json() == chain
    key = client.post("/v1/keys", json={"name": "backend"}).json()
    assert key["key"].startswith(f"anm_{key['id']}_")
    assert [each["name"] for each in client.get("/v1/keys").json()["items"]] == ["backend"]
    assert client.delete(f"/v1/keys/{key['id']}").status_code == 204


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_it_is_well(client: TestClient, path: str) -> None:
    assert client.get(path).json() == {"status": "ok"}


def test_it_is_not_ready_when_the_vault_is_gone(client: TestClient) -> None:
    memory_of(client).vault.close()
    assert client.get("/readyz").status_code == 503
    assert client.get("/healthz").status_code == 200


def test_what_was_on_its_way_is_overwritten_and_not_only_removed() -> None:
    upload = Upload("notes.txt")
    upload.path.write_bytes(b"the spare key")
    with upload.path.open("rb") as still_open:
        upload.close()
        assert still_open.read() == bytes(13)
    assert not upload.folder.exists()
    upload.close()  # once more does no harm
