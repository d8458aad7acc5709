"""The OpenAPI file says what the server does: requests made from it, good and bad, and all the answers looked at.

The whole of it, with more examples: schemathesis run http://127.0.0.1:8787/openapi.json
"""

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from rest import ANN, added, served
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    ensure_resource_availability,
    positive_data_acceptance,
    use_after_free,
)
from starlette.testclient import TestClient

from anamnos.server.auth import session_key

KEY = session_key()
EVERY = {"field": "trust", "op": "ge", "value": 0}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with served(
        tmp_path_factory.mktemp("schema") / "vault", auth="keys", hosts="testserver", more={"session_key": KEY}
    ) as client:
        added(client, "The key is under the pot.", Authorization=f"Bearer {KEY}")
        yield client.app


@pytest.fixture(scope="module")
def api(app: Any) -> Any:

    async def living(scope: Any, receive: Any, send: Any) -> None:
        """The application without its beginning and end, of which each request would make one."""
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        for step in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{step}.complete"})

    found = schemathesis.openapi.from_asgi("/openapi.json", living)
    return found.exclude(path="/v1/events")  # without an end


def taken_as_described(ctx: Any, response: Any, case: Any) -> None:
    """What OpenAPI allows is never refused for its shape. (What only the memory knows may be wrong all the same.)"""
    if response.status_code == 422 and case.meta.generation.mode is GenerationMode.POSITIVE:
        assert "errors" not in response.json(), response.json()


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_requests_made_from_the_description(api: Any, mode: GenerationMode) -> None:
    failures = []
    for found in api.get_all_operations():
        operation = found.ok()

        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(
            max_examples=2, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
        )
        def asked(case: Any) -> None:
            case.call_and_validate(
                headers={"Authorization": f"Bearer {KEY}"},
                additional_checks=[taken_as_described],
                excluded_checks=[positive_data_acceptance, use_after_free, ensure_resource_availability],
            )

        try:
            asked()
        except Unsatisfiable:
            assert mode is GenerationMode.NEGATIVE  # nothing in it could be wrong
        except (Exception, BaseExceptionGroup) as exc:
            failures.append(f"{operation.label}: {exc}")
    assert not failures, "\n\n".join(failures)


def test_the_description_is_of_openapi_3_1_and_names_each_verb(app: Any) -> None:
    said = app.openapi()
    assert said["openapi"].startswith("3.1")
    operations = [each for path in said["paths"].values() for each in path.values()]
    names = [each["operationId"] for each in operations]
    assert len(names) == len(set(names))
    assert all(each.get("description") for each in operations)


def test_what_comes_back_is_as_described(client: TestClient) -> None:
    """The shapes that the library's values have are written down a second time: here the two meet."""
    said = client.get("/openapi.json").json()
    ids = added(client, "The key is under the pot. I live in Porto since 2019.", "Write to ann@example.org.")
    client.patch(f"/v1/memories/{ids[0]}", json={"scope": ANN, "tags": ["home"]})
    client.post("/v1/enrich", json={"scope": ANN})
    client.put("/v1/rules/r", json={"filter": {"field": "role", "op": "eq", "value": "turn"}, "days": 1})
    client.put("/v1/principals/user:bob", json={})
    client.post("/v1/jobs", json={"kind": "enrich", "scope": ANN})
    client.post("/v1/keys", json={"name": "backend"})
    asked = [{"question": f"Where is key {n}?", "answers": ids[:1]} for n in range(20)]
    calls: list[tuple[str, str, dict[str, Any]]] = [
        ("post", "/v1/search", {"query": "key"}),
        ("post", "/v1/explain", {"query": "When did Ann move, in May?"}),
        ("post", "/v1/context", {"question": "Where is the key?"}),
        ("post", "/v1/ask", {"question": "Where do I live?"}),
        ("post", "/v1/tags/suggest", {"content": "Where is the key?"}),
        ("post", "/v1/route", {"content": "Where is the key?", "among": {"ann": ANN, "all": EVERY}}),
        ("post", "/v1/consolidate", {}),
        ("post", "/v1/calibrate", {"questions": asked, "adopt": False}),
        ("post", "/v1/forget-person", {}),
        *(("get", f"/v1/{name}", ANN) for name in ("memories", "working", "stats", "retention", "quotas")),
        *(("get", f"/v1/{name}", {}) for name in ("rules", "principals", "jobs", "keys", "audit", "verify", "me")),
    ]
    for method, path, what in sorted(calls, key=lambda call: call[1] == "/v1/forget-person"):
        more = {"params": what} if method == "get" else {"json": {"scope": ANN, **what}}
        answer = client.request(method, path, **more)
        assert answer.status_code == 200, (path, answer.text)
        described = said["paths"][path][method]["responses"]["200"]["content"]["application/json"]["schema"]
        jsonschema.Draft202012Validator({**described, "components": said["components"]}).validate(answer.json())
