"""What the server tells of itself: counts, times and spans, and nothing that a caller wrote."""

from pathlib import Path

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from rest import ANN, added, memory_of, served
from starlette.testclient import TestClient

from anamnos import Scope
from anamnos.config import ServerSettings
from anamnos.server.telemetry import spans_of

SECRET = "Zanzibar"


def lines(client: TestClient) -> set[str]:
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    return set(answer.text.splitlines())


def test_what_is_counted(client: TestClient) -> None:
    added(client, SECRET, "Two.", SECRET)
    client.post("/v1/search", json={"query": SECRET, "scope": {"user": SECRET}})
    client.get(f"/v1/memories/{SECRET}", params=ANN)
    client.get(f"/{SECRET}")
    memory_of(client).jobs.add("enrich", Scope(user=SECRET))
    found = lines(client)
    assert {
        'anamnos_requests_total{method="POST",route="/v1/memories",status="201"} 2.0',
        'anamnos_requests_total{method="POST",route="/v1/memories",status="200"} 1.0',
        'anamnos_requests_total{method="GET",route="/v1/memories/{id}",status="422"} 1.0',
        'anamnos_requests_total{method="GET",route="other",status="404"} 1.0',
        'anamnos_request_seconds_count{route="/v1/search"} 1.0',
        'anamnos_verbs_total{end="done",verb="add"} 3.0',
        'anamnos_verbs_total{end="refused",verb="get"} 1.0',
        'anamnos_memories_total{outcome="added"} 2.0',
        'anamnos_memories_total{outcome="unchanged"} 1.0',
        'anamnos_jobs{kind="enrich",state="waiting"} 1.0',
    } <= found
    assert SECRET not in "".join(found)


def test_counts_may_be_open_to_all(tmp_path: Path) -> None:
    with served(tmp_path / "vault", auth="keys", metrics_open="on") as client:
        assert client.get("/metrics").status_code == 200
        assert client.get("/v1/me").status_code == 401


def test_a_request_and_its_steps_are_one_trace(tmp_path: Path) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    parent = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    with served(tmp_path / "vault", more={"tracing": provider}) as client:
        client.post("/v1/memories", json={"content": SECRET, "scope": ANN}, headers=parent)
        wrote = exporter.get_finished_spans()
        exporter.clear()
        client.post("/v1/search", json={"query": SECRET, "scope": ANN})
        client.get("/v1/memories", params={"x": SECRET})
        read = exporter.get_finished_spans()
    names = {span.name for span in wrote}
    assert {"embed", "store", "POST /v1/memories"} <= names
    assert {f"{span.context.trace_id:032x}" for span in wrote if span.context} == {"0af7651916cd43dd8448eb211c80319c"}
    root = next(span for span in wrote if span.name == "POST /v1/memories")
    steps = [span for span in wrote if span is not root]
    assert all(span.parent and root.context and span.parent.trace_id == root.context.trace_id for span in steps)
    assert dict(root.attributes or {}) == {
        "http.request.method": "POST",
        "http.route": "/v1/memories",
        "http.response.status_code": 201,
        "anamnos.verb": "add",
    }
    assert {"embed", "search", "POST /v1/search", "GET /v1/memories"} <= {span.name for span in read}
    assert not any(SECRET in span.to_json() for span in (*wrote, *read))


def test_no_spans_unless_they_are_wanted() -> None:
    assert spans_of(ServerSettings()) is None
    spans = spans_of(ServerSettings(otel="on"))
    assert spans is not None
    spans.close()
