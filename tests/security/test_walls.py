"""No key or token reaches what is another tenant's, or another person's of the same tenant, on any route: what is there
and what is not there are answered alike, and nothing of it changes."""

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from attackers import MINE, SECRETS, THEIRS, House, Victim, house
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anamnos.cube import Scope
from anamnos.server.routes.views import News

_MOVING = re.compile(
    r'"(?:seq|sequence|next|at|hash|previous|head|(?:record|creat|export)ed_at|written_at|pseudonym)": ?[^,}\]]+'
    r'|(?<="id":")[0-9a-f]{12}(?=")|[0-9a-f]{12}\.$'
)
_OWN_ID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}\b")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(tmp_path_factory.mktemp("two")) as found:
        yield found


@pytest.fixture(scope="module")
def operations(two: House) -> list[Any]:
    described = schemathesis.openapi.from_dict(two.client.get("/openapi.json").json())
    found = [one.ok() for one in described.exclude(path="/v1/events").get_all_operations()]
    assert len(found) > 60
    return found


def about(victim: Victim, value: Any, draw: Any, name: str = "") -> Any:
    """Return a request that was made from the description, now about what is a victim's."""
    scope = victim.scope
    if name == "scope" and isinstance(value, dict):
        return draw(
            st.sampled_from([scope, {k: scope[k] for k in ("tenant", "user")}, {"tenant": MINE, "user": "ann"}])
        )
    if name in ("ids", "answers"):
        return draw(st.lists(st.sampled_from(victim.ids), min_size=1, max_size=2, unique=True))
    if name in ("id", "cube_id", "after") and (not isinstance(value, int) or isinstance(value, bool)):
        return draw(st.sampled_from(victim.ids))
    if name in ("owner", "principal", "to") and isinstance(value, str):
        return draw(st.sampled_from([f"user:{scope['user']}", "key:app", "user:carl", "public"]))
    if name in ("filter", "where") and value is not None:
        tree = {"field": draw(st.sampled_from(["id", "derived_from"])), "op": "in", "value": victim.ids}
        loose: dict[str, Any] = {"not": {"field": "tenant", "op": "eq", "value": MINE}}
        return draw(st.sampled_from([tree, loose])) if name == "filter" else {"contains": "mine"}
    if isinstance(value, dict):
        return {key: about(victim, inner, draw, key) for key, inner in value.items()}
    return value


def ask(two: House, head: dict[str, str], made: dict[str, Any]) -> Any:
    two.client.cookies.clear()
    return two.client.request(
        made["method"],
        made["path"],
        params=made["query"],
        headers={**made["headers"], **head},
        **({"content": b"A line of mine."} if made["file"] else {"json": made["body"]} if made["body"] else {}),
    )


def told(victim: Victim, answer: Any) -> str:
    """Return what an answer says, without what moves from one request to the next."""
    return _MOVING.sub("", str(victim.elsewhere(answer.text)))


def request(victim: Victim, operation: Any, data: st.DataObject) -> dict[str, Any]:
    case = data.draw(operation.as_strategy())
    path, scope = operation.path, victim.scope
    for name in re.findall(r"{(\w+)}", path):
        known = {"id": victim.ids, "number": ["1"]}
        named = [n for n in victim.there if not _OWN_ID.fullmatch(n) and "/" not in n]
        path = path.replace(f"{{{name}}}", data.draw(st.sampled_from(known.get(name, named))))
    file = "octet-stream" in str(operation.definition.raw.get("requestBody", ""))
    query = {} if not isinstance(case.query, dict) else about(victim, dict(case.query), data.draw)
    query = {name: value for name, value in query.items() if value is not None and name not in ("filter", "role")}
    names = {one["name"] for one in operation.definition.raw.get("parameters", ()) if one["in"] == "query"}
    if "user" in names:
        query |= (
            {k: scope[k] for k in ("tenant", "user")} if data.draw(st.booleans()) else {"tenant": MINE, "user": "ann"}
        )
    elif "tenant" in names:
        query["tenant"] = scope["tenant"]
    body = about(victim, case.body, data.draw) if isinstance(case.body, dict) else None
    if isinstance(body, dict) and path.endswith("forget-person"):
        body["scope"] = scope  # the attacker's own would go with its keys
    headers = data.draw(st.sampled_from([{}, {"If-Match": '"1"'}, {"If-None-Match": '"1"'}]))
    return {
        "method": operation.method.upper(),
        "path": path,
        "query": query,
        "headers": headers,
        "file": file,
        "body": body,
    }


@pytest.mark.parametrize("whose", ["neighbour", "housemate"])
def test_what_is_there_is_answered_as_what_is_not(two: House, operations: list[Any], whose: str) -> None:
    victim: Victim = getattr(two, whose)
    attackers = list(two.attackers) if whose == "neighbour" else ["owner", "token"]
    before, faults = two.kept(victim), []
    for operation in operations:

        @given(data=st.data())
        @settings(
            max_examples=3, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
        )
        def attack(data: st.DataObject) -> None:
            attacker = data.draw(st.sampled_from(attackers))
            made = request(victim, operation, data)  # noqa: B023  (called right below)
            alike(two, victim, attacker, made)

        try:
            attack()
        except Exception as exc:
            faults.append(f"{operation.label}: {str(exc)[:1500]}")
        if (now := two.kept(victim)) != before:
            faults.append(f"{operation.label}: it changed something")
            before = now
    assert not faults, "\n\n".join(faults)
    assert all(get(two, who, "/v1/me").status_code == 200 for who in attackers)


def alike(two: House, victim: Victim, attacker: str, made: dict[str, Any]) -> None:
    """Send a request, and the same about what is not there: the answers must not differ, nor tell anything."""
    head = two.attackers[attacker]
    real, none = ask(two, head, made), ask(two, head, victim.elsewhere(made))
    said = f"{real.text}\n{real.headers}"
    assert real.status_code < 500, (attacker, made, real.text)
    assert not [word for word in SECRETS if word in said.casefold()], (attacker, made, said)
    assert not [one for one in victim.ids if one in none.text], (attacker, made, none.text)  # nobody asked about them
    if {real.status_code, none.status_code} <= {200, 201} and made["method"] != "GET":
        return  # what it wrote is the attacker's own
    assert real.status_code == none.status_code, (attacker, made, real.text, none.text)
    assert told(victim, real) == told(victim, none), (attacker, made, real.text, none.text)
    if made["path"] != "/v1/export":  # whose tag is that of a temporary file
        assert real.headers.get("etag") == none.headers.get("etag")


# --- what no description tells to try ---------------------------------------------------------------------------------


def get(two: House, who: str, path: str, **query: Any) -> Any:
    return two.client.get(path, params=query, headers=two.attackers[who])


@pytest.mark.parametrize("who", ["app", "owner", "chief", "token"])
def test_the_audit_of_a_namesake_of_another_tenant_is_closed(two: House, who: str) -> None:
    for query in ({}, {"decision": "denied"}, {"cube_id": two.neighbour.ids[0]}, {"principal": "user:ann"}):
        items = get(two, who, "/v1/audit", limit=1_000, **query).json()["items"]
        assert not {one["cube_id"] for one in items} & {*two.neighbour.ids}, (who, query)
    assert {one["cube_id"] for one in get(two, "app", "/v1/audit").json()["items"]} & {*two.own}


@pytest.mark.parametrize("whose", ["neighbour", "housemate"])
def test_a_refused_look_leaves_no_trace_that_tells_whether_there_was_something(two: House, whose: str) -> None:
    victim: Victim = getattr(two, whose)
    seen = []
    for one in (victim.ids[0], victim.elsewhere(victim.ids[0])):
        before = len(get(two, "owner", "/v1/audit", limit=1_000).json()["items"])
        assert get(two, "owner", f"/v1/memories/{one}", tenant=MINE, user="ann").status_code == 404
        shown = get(two, "owner", "/v1/audit", limit=1_000, cube_id=one).json()["items"]
        after = len(get(two, "owner", "/v1/audit", limit=1_000).json()["items"])
        seen.append((after - before, [entry["decision"] for entry in shown][-1:]))
    assert seen[0] == seen[1]


def test_a_refusal_of_a_namesake_is_not_taken_for_ones_own(two: House) -> None:
    one = two.neighbour.ids[0]
    assert get(two, "app", f"/v1/memories/{one}", tenant=MINE, user="ann").status_code == 404
    shown = two.client.get("/v1/audit", params={"cube_id": one}, headers=two.app_of_theirs).json()["items"]
    assert shown and {entry["decision"] for entry in shown} == {"allowed"}
    known = two.client.get("/v1/audit", params={"cube_id": one, "decision": "denied"}, headers=two.operator).json()
    assert known["items"]  # who runs the server is told


def test_forgetting_a_person_touches_nothing_of_the_vault_or_of_namesakes(tmp_path: Path) -> None:
    with house(tmp_path) as two:
        forgets_only_its_own(two)


def forgets_only_its_own(two: House) -> None:
    client, berta = two.client, two.neighbour
    body = {"scope": berta.scope, "ids": berta.ids[1:], "to": "user:carl"}
    assert client.post("/v1/share", json=body, headers=two.app_of_theirs).status_code == 200
    before = two.kept(berta)
    for user, names in (("carl", []), ("days", ["archive", "field", "berta", "rule", "export"]), ("ann", ["."])):
        for mentions in (True, False):
            body = {"scope": {"tenant": MINE, "user": user}, "names": names, "mentions": mentions}
            answer = client.post("/v1/forget-person", json=body, headers=two.attackers["chief"])
            assert answer.status_code == 200, answer.text
            assert str(two.memory.vault.folder.parent) not in answer.text
            assert two.kept(berta) == before, (user, names)
    for head in (two.app_of_theirs, two.owner_of_theirs):
        shown = client.get("/v1/audit", params={"limit": 1_000}, headers=head).json()["items"]
        assert {one["cube_id"] for one in shown} & {*berta.ids}  # its names in the audit are still names


def test_numbers_of_the_whole_vault_are_for_operators(two: House) -> None:
    for who in two.attackers:
        said = get(two, who, "/v1/stats", tenant=MINE, user="ann").json()
        assert not {"sequence", "vault", "bytes"} & said.keys(), (who, said)
    assert "vault" in two.client.get("/v1/stats", headers=two.operator).json()


def test_a_receipt_is_not_given_to_a_namesake(two: House) -> None:
    body = {"scope": {"tenant": THEIRS, "user": "ann"}, "content": "Once upon a time."}
    head = {"Idempotency-Key": "one-and-the-same"}
    first = two.client.post("/v1/memories", json=body, headers={**two.app_of_theirs, **head})
    assert first.status_code == 201
    assert (
        "idempotent-replayed"
        in two.client.post("/v1/memories", json=body, headers={**two.app_of_theirs, **head}).headers
    )
    for who in ("app", "owner", "chief", "token"):
        again = two.client.post("/v1/memories", json=body, headers={**two.attackers[who], **head})
        assert again.status_code == 403 and first.json()["ids"][0] not in again.text
    mine = {"scope": {"tenant": MINE, "user": "ann"}, "content": "Mine upon a time."}
    other = two.client.post("/v1/memories", json=mine, headers={**two.attackers["app"], **head})
    assert other.status_code == 201  # nor does the key tell that somebody used it


def test_a_search_in_a_housemates_scope_changes_nothing_there(two: House) -> None:
    scope = Scope(**two.housemate.scope)
    before = [kept.id for kept in two.memory.vault.store.working.load(scope)]
    assert before
    for query in ("Where is the pot?", "Mine is the key."):
        body = {"scope": two.housemate.scope, "query": query}
        assert two.client.post("/v1/search", json=body, headers=two.attackers["owner"]).json()["hits"] == []
    assert [kept.id for kept in two.memory.vault.store.working.load(scope)] == before


def test_news_tell_nothing_of_others(two: House) -> None:
    for tenant, user in ((THEIRS, "ann"), ("tenant-none", "ann")):
        assert get(two, "app", "/v1/events", tenant=tenant, user=user).status_code == 403
    caller = two.client.app.state.serving.authenticator.authenticate(two.attackers["owner"])  # type: ignore[attr-defined]
    view = two.memory.as_principal(caller.principal(MINE))
    news = News(view, Scope(MINE, "bob"), None)
    first = news.since()
    bob = {"tenant": MINE, "user": "bob"}
    made = {"content": "Bob says hippogriff again.", "scope": bob}
    assert two.client.post("/v1/memories", json=made, headers=two.attackers["app"]).status_code == 201
    two.client.post("/v1/search", json={"scope": bob, "query": "hippogriff"}, headers=two.attackers["app"])
    assert news.since() == [] and [data for _, data in first] in ([], [{"items": []}])


def test_scopes_metrics_and_jobs_are_of_the_caller_alone(two: House) -> None:
    for who in two.attackers:
        listed = get(two, who, "/v1/scopes").json()["items"]
        assert {one["tenant"] for one in listed} <= {MINE}
        if who in ("owner", "token"):
            assert {one["user"] for one in listed} <= {"ann"}
        for path in ("/metrics", "/v1/jobs", "/v1/jobs/1", "/v1/keys", "/v1/rules", "/v1/principals", "/v1/verify"):
            assert get(two, who, path).status_code == 403
        assert not re.search("berta|zulu|carl", get(two, who, "/v1/me").text)


CALLS = (
    ("recall", {"query": "Where is the pot?"}),
    ("context", {"question": "Who lives where?"}),
    ("ask", {"question": "Where do I live?"}),
    ("history", {"id": "ID"}),
    ("update", {"id": "ID", "content": "taken over"}),
    ("forget", {"ids": ["ID"]}),
)


@pytest.mark.parametrize("whose", ["neighbour", "housemate"])
@pytest.mark.parametrize(("tool", "arguments"), CALLS, ids=[name for name, _ in CALLS])
def test_mcp_keeps_to_the_scopes_of_its_caller(two: House, whose: str, tool: str, arguments: dict[str, Any]) -> None:
    victim: Victim = getattr(two, whose)
    before = two.kept(victim)
    scope = "&".join(f"{part}={name}" for part, name in victim.scope.items())
    for who in two.attackers if whose == "neighbour" else ("owner", "token"):
        for address in (
            f"/mcp?{scope}",
            f"/mcp?tenant={MINE}&user=ann",
            f"/mcp?tenant={MINE}&{scope}",
            "/mcp?user=ann",
        ):
            filled = json.loads(json.dumps(arguments).replace("ID", victim.ids[0]))
            call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": filled}}
            if tool == "history":
                call = {**call, "method": "resources/read", "params": {"uri": f"anamnos://memory/{victim.ids[0]}"}}
            made = {"method": "POST", "path": address, "query": {}, "headers": MCP, "file": False, "body": call}
            real, none = ask(two, two.attackers[who], made), ask(two, two.attackers[who], victim.elsewhere(made))
            said = f"{real.text}\n{real.headers}".casefold()
            assert real.status_code < 500 and not [word for word in SECRETS if word in said], (who, address, said)
            assert real.status_code == none.status_code, (who, address)
            assert told(victim, real) == told(victim, none), (who, address)
    assert two.kept(victim) == before


MCP = {"Accept": "application/json, text/event-stream"}


def test_a_public_memory_is_the_only_thing_that_goes_through_the_wall(two: House) -> None:
    """What B makes public is read by all, which is what the word says; it is still not changed by them."""
    scope = {"tenant": THEIRS, "user": "ann"}
    body = {"scope": scope, "content": "Open to the world."}
    one = two.client.post("/v1/memories", json=body, headers=two.app_of_theirs).json()["ids"][0]
    share = {"scope": scope, "ids": [one], "to": "public"}
    assert two.client.post("/v1/share", json=share, headers=two.app_of_theirs).status_code == 200
    for who in two.attackers:
        assert get(two, who, f"/v1/memories/{one}", **scope).status_code == 403  # over the network not even that
        gone = two.client.delete(f"/v1/memories/{one}", params=scope, headers=two.attackers[who])
        assert gone.status_code == 403


def test_neither_logs_nor_counts_hold_what_was_said(two: House, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    head = two.app_of_theirs
    two.client.post("/v1/search", json={"scope": two.neighbour.scope, "query": "hippogriff"}, headers=head)
    two.client.get(f"/v1/memories/{two.neighbour.ids[0]}", params=two.neighbour.scope, headers=head)
    two.client.post(
        "/v1/memories", content=b'{"content": "hippogriff", ', headers={**head, "Content-Type": "application/json"}
    )
    said = "\n".join(record.getMessage() for record in caplog.records if record.name != "httpx2")
    counted = two.client.get("/metrics", headers=two.operator).text
    for text in (said, counted):
        assert not [word for word in (*SECRETS, "berta", "zulu", "anm_", *two.neighbour.ids) if word in text]
    assert "Bearer" not in said and str(two.memory.vault.folder) not in said
