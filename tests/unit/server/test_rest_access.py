"""Who gets in, and that nobody gets what is another tenant's: over all routes, not over those that one thinks of."""

import inspect
import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute
from hypothesis import given
from hypothesis import strategies as st
from rest import added, memory_of, routes, served
from starlette.testclient import TestClient

from anamnos import Memory
from anamnos.server.openapi import OPEN

VERBS = {
    "add": "add",
    "ingest": "ingest",
    "update": "update",
    "enrich": "enrich",
    "resolve": "resolve",
    "correct": "correct",
    "merge": "merge",
    "unmerge": "unmerge",
    "freeze": "freeze",
    "unfreeze": "unfreeze",
    "archive": "archive",
    "reactivate": "reactivate",
    "consolidate": "consolidate",
    "retention": "retention",
    "used": "used",
    "migrate": "migrate",
    "migrate_back": "migrate_back",
    "advise": "advise",
    "rollback": "rollback",
    "delete": "delete",
    "delete_all": "delete_many",
    "share": "share",
    "unshare": "unshare",
    "expire": "expire",
    "forget_person": "forget_person",
    "search": "search",
    "working": "working",
    "suggest_tags": "suggest_tags",
    "route": "route",
    "explain": "explain",
    "answer_context": "context",
    "ask": "ask",
    "get": "get",
    "list": "list",
    "history": "history",
    "stats": "stats",
    "export": "export",
    "import_": "import",
    "backup": "backup",
    "verify": "verify",
    "rebuild_index": "rebuild_index",
    "reembed": "reembed",
    "calibrate": "calibrate",
}
"""A verb of ``Memory`` and the name of its route."""
NOT_OVER_THE_NETWORK = {
    "as_principal",  # each request is one
    "close",
    "ingest_all",  # one request per file
    "consolidate_all",  # a job of kind consolidate without a scope
    *("save_state", "load_state"),  # objects of the process
}


def test_every_verb_has_a_route(client: TestClient) -> None:
    verbs = {name for name, _ in inspect.getmembers(Memory, inspect.isfunction) if not name.startswith("_")}
    assert verbs == set(VERBS) | NOT_OVER_THE_NETWORK
    assert set(VERBS.values()) <= {route.name for route in routes(client.app)}  # type: ignore[arg-type]


LEFT_OUT = {
    *("self", "progress", "engine"),  # of this side
    *("vector", "rerank", "count_tokens"),  # objects of the process
    *("expected_version", "path", "folder", "person"),  # If-Match, the body, the name of a backup, the scope
}


def test_every_verb_can_be_told_over_the_network_all_that_it_can_be_told_here(client: TestClient) -> None:
    by_name = {route.name: route for route in routes(client.app)}  # type: ignore[arg-type]
    missing = {}
    for verb, name in VERBS.items():
        route = by_name[name]
        said = set() if route.body_field is None else set(route.body_field.field_info.annotation.model_fields)
        flat = [route.dependant, *route.dependant.dependencies]
        said |= {field.alias for part in flat for field in (*part.query_params, *part.path_params)}
        said |= {"scope"} if "user" in said else set()
        said |= {"cube_id", "ids"} if "id" in said else set()
        said |= {"tags"} if "tag" in said else set()
        said |= {"tenant"} if "scope" in said else set()
        if lacking := set(inspect.signature(getattr(Memory, verb)).parameters) - LEFT_OUT - said:
            missing[verb] = lacking
    assert missing == {}


def asked(client: TestClient, route: APIRoute, key: str = "", **more: Any) -> Any:
    path = route.path.format(id="0" * 12, name="x", number=1)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return client.request(next(iter(route.methods)), path, headers=headers, **more)


def test_every_route_but_the_open_ones_needs_a_key(tmp_path: Path) -> None:
    with served(tmp_path / "vault", auth="keys", mcp="on") as client:
        wrong = f"anm_{'0' * 12}_{'x' * 43}"
        for route in routes(client.app):  # type: ignore[arg-type]
            for key in ("", wrong, "nonsense"):
                answer = asked(client, route, key, content=b"not even JSON")
                if route.path in OPEN and not key:
                    assert answer.status_code == 200
                elif route.path not in OPEN:
                    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated"), (route.path, key)
                    assert answer.headers["www-authenticate"].startswith("Bearer")
        assert client.get("/openapi.json").status_code == 200  # it holds nothing of the vault
        assert client.get("/metrics").status_code == 401


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Two tenants with the same names in them; a key of the one, and what the other holds."""
    with served(tmp_path_factory.mktemp("two") / "vault", auth="keys") as client:
        keys = memory_of(client).keys
        operator = {"Authorization": f"Bearer {keys.create('root', operator=True).text}"}
        theirs, mine = {"tenant": "b", "user": "ann"}, {"tenant": "a", "user": "ann"}
        ids = added(client, "Zanzibar is where Ann hid the treasure.", "I moved to Zanzibar.", scope=theirs, **operator)
        own = added(client, "Mine.", scope=mine, **operator)
        bound = [
            keys.create("own", tenants=["a"], owner="user:ann").text,
            keys.create("app", tenants=["a"]).text,
            keys.create("chief", tenants=["a"], rights=["admin", "sensitive"]).text,
        ]
        yield client, bound, ids, own, operator


ANN_OF_B = {"tenant": "b", "user": "ann"}
SCOPED = st.fixed_dictionaries(
    {"tenant": st.sampled_from(["b", "b", "a", "default"]), "user": st.sampled_from(["ann", "bob"])},
    optional={"session": st.sampled_from(["monday"])},
)


@given(data=st.data())
def test_a_key_of_one_tenant_gets_nothing_of_another(two: Any, data: st.DataObject) -> None:
    client, keys, theirs, own, operator = two
    found = [route for route in routes(client.app) if route.path.startswith("/v1/") and route.path != "/v1/events"]
    route = data.draw(st.sampled_from(sorted(found, key=lambda r: (r.path, sorted(r.methods)))))
    scope = data.draw(SCOPED)
    ids = data.draw(st.lists(st.sampled_from([*theirs, *own]), min_size=1, max_size=3))
    body = {
        "scope": scope,
        "ids": ids,
        "id": ids[0],
        "content": "mine",
        "query": "treasure Zanzibar",
        "question": "Where is the treasure?",
        "text": "No, it is Mombasa, not Zanzibar.",
        "to": data.draw(st.sampled_from(["user:ann", "2020-01-01T00:00:00Z", "public"])),
        "all": True,
        "name": "x",
        "kind": "enrich",
        "embedder": "hashing",
        "rights": ["read"],
        "filter": {"field": "trust", "op": "ge", "value": 0},
        "days": 1,
        "questions": [],
        "adopt": False,
        "among": {"x": data.draw(st.sampled_from([{"field": "trust", "op": "ge", "value": 0}, scope, ANN_OF_B]))},
    }
    takes = {} if route.body_field is None else route.body_field.field_info.annotation.model_fields
    kept = {name: value for name, value in body.items() if name in takes}
    if takes and data.draw(st.booleans()):
        kept.pop("all", None) if "ids" in takes else None
        kept.pop("filter", None)
    path = route.path.format(id=data.draw(st.sampled_from(ids)), name="user:ann", number=1)
    more = (
        {"json": kept} if takes else {"params": scope, "content": b"A line."} if "ingest" in path else {"params": scope}
    )
    before = memory_of(client).vault.store.sequence()
    head = {"Authorization": f"Bearer {data.draw(st.sampled_from(keys))}"}
    answer = client.request(next(iter(route.methods)), path, headers=head, **more)
    assert answer.status_code < 500, (route.path, answer.text)
    words = answer.text.replace("treasure Zanzibar", "")
    assert "hid the treasure" not in words and "moved to" not in words, route.path
    if scope["tenant"] != "a" and ("scope" in kept or route.name in ("list", "get", "history", "delete", "export")):
        assert answer.status_code in (403, 422), (route.path, answer.text)
    rest = client.get("/v1/memories", params={"tenant": "b", "user": "ann", "limit": 9}, headers=operator).json()[
        "items"
    ]
    assert [(cube["id"], cube["version"]) for cube in rest] == [(id, 1) for id in theirs], route.path
    assert memory_of(client).vault.store.sequence() >= before


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/stats"),
        ("GET", "/v1/verify"),
        ("GET", "/v1/jobs"),
        ("GET", "/v1/keys"),
        ("GET", "/v1/principals"),
        ("GET", "/v1/audit/verify"),
        ("GET", "/metrics"),
        ("POST", "/v1/rebuild-index"),
        ("POST", "/v1/expire"),
        ("POST", "/v1/import"),
    ],
)
def test_what_touches_the_whole_vault_needs_an_operator(two: Any, method: str, path: str) -> None:
    client, keys, *_ = two
    body = {"json": {}} if path == "/v1/expire" else {}
    for key in keys:
        answer = client.request(method, path, headers={"Authorization": f"Bearer {key}"}, **body)
        assert (answer.status_code, answer.json()["code"]) == (403, "access_denied")


def test_the_audit_shows_others_their_own_entries_only(two: Any) -> None:
    client, keys, _, _, operator = two
    head = {"Authorization": f"Bearer {keys[1]}"}
    client.post("/v1/memories", json={"content": "By the app.", "scope": {"tenant": "a", "user": "eve"}}, headers=head)
    shown = client.get("/v1/audit", headers=head).json()["items"]
    assert shown and {entry["principal"] for entry in shown} == {"key:app"}
    assert client.get("/v1/audit", params={"principal": "user:ann"}, headers=head).json() == {"items": [], "next": None}
    twin = memory_of(client).keys.create("app", tenants=["b"]).text  # of the same name, elsewhere
    assert client.get("/v1/audit", headers={"Authorization": f"Bearer {twin}"}).json()["items"] == []
    everybody = client.get("/v1/audit", params={"limit": 1000}, headers=operator).json()["items"]
    assert {None, "key:app"} <= {entry["principal"] for entry in everybody}


def test_where_copies_lie_is_not_told_to_an_administrator_of_a_tenant(two: Any) -> None:
    client, keys, *_, operator = two
    eve = {"tenant": "a", "user": "eve"}
    client.get("/v1/export", params=eve, headers=operator)
    for head, known in (({"Authorization": f"Bearer {keys[2]}"}, False), (operator, True)):
        report = client.post("/v1/forget-person", json={"scope": eve}, headers=head).json()
        assert any("export" in copy for copy in report["copies"])
        assert any("/" in copy for copy in report["copies"]) == known


def test_the_key_of_a_run(tmp_path: Path) -> None:
    from anamnos.server.auth import session_key

    key = session_key()
    with served(tmp_path / "vault", auth="keys", more={"session_key": key}) as client:
        me = client.get("/v1/me", headers={"Authorization": f"Bearer {key}"}).json()
        assert me["operator"] and json.dumps(me).count(key) == 0
