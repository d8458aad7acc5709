"""What a server tells of itself: counts and times for Prometheus, and, if it is asked to, spans for OpenTelemetry.

Labels and attributes are route templates, verbs, statuses and kinds: nothing that a caller wrote.
"""

from __future__ import annotations

import functools
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any

from fastapi.routing import APIRoute
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client import Counter as Counted
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from anamnos.config import ServerSettings
from anamnos.errors import MissingExtra, StoreError
from anamnos.memory import Memory
from anamnos.types import Receipt

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)  # seconds
OTHER = "other"  # the route of a request that has none: an address is what a caller wrote
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class Measures:
    """The counts and times of one server.

    jobs  returns how many jobs there are per (kind, state)
    """

    def __init__(self, jobs: Callable[[], dict[tuple[str, str], int]]) -> None:
        self.registry = CollectorRegistry()
        make: dict[str, Any] = {"registry": self.registry}
        self.requests = Counted("anamnos_requests", "Requests.", ("method", "route", "status"), **make)
        self.seconds = Histogram(
            "anamnos_request_seconds", "How long requests took.", ("route",), buckets=BUCKETS, **make
        )
        self.verbs = Counted("anamnos_verbs", "Verbs that were asked for, by how they ended.", ("verb", "end"), **make)
        self.memories = Counted("anamnos_memories", "What writes did to memories.", ("outcome",), **make)
        self.registry.register(_Jobs(jobs))

    def wrote(self, receipt: Receipt) -> None:
        """Count what a write did."""
        for outcome, number in Counter(receipt.outcomes).items():
            self.memories.labels(outcome).inc(number)

    def answered(self, method: str, route: str, verb: str | None, status: int, seconds: float) -> None:
        """Count a request."""
        self.requests.labels(method if method in _METHODS else OTHER, route, str(status)).inc()
        self.seconds.labels(route).observe(seconds)
        if verb is not None:
            self.verbs.labels(verb, "done" if status < 400 else "refused" if status < 500 else "failed").inc()

    def text(self) -> bytes:
        """Return everything in Prometheus's text format. It reads the vault."""
        return bytes(generate_latest(self.registry))


class _Jobs(Collector):
    """Counts jobs when they are asked for: they are done in other processes too."""

    def __init__(self, counts: Callable[[], dict[tuple[str, str], int]]) -> None:
        self._counts = counts

    def describe(self) -> Iterable[Any]:
        return ()  # else registering would read the vault

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily("anamnos_jobs", "Jobs of the background.", labels=("kind", "state"))
        try:
            for (kind, state), number in self._counts().items():
                family.add_metric((kind, str(state)), number)
        except StoreError:
            return  # /readyz says so; the other counts are still true
        yield family


class Spans:
    """Makes spans of what is done: of requests, and inside them of embedding, searching the index and writing.

    provider  of OpenTelemetry
    own       whether it ends with this object
    """

    def __init__(self, provider: Any, *, own: bool) -> None:
        self._provider, self._own = provider, own
        self._tracer = provider.get_tracer("anamnos")

    def request(self, scope: Scope) -> AbstractContextManager[Any]:
        """Open a span around a request; it goes on with the trace of whoever sends it."""
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        return self._span(
            str(scope["method"]), context=TraceContextTextMapPropagator().extract(headers), kind=SpanKind.SERVER
        )

    def follow(self, memory: Memory) -> None:
        """Open a span around each step of a memory's verbs, whoever asks for them.

        The steps are those that are shared by all who use the vault: it is done to these objects, and not to classes,
        so that other memories of the process are not followed.
        """
        store = memory.vault.store
        parts = {
            "embed": (memory.embedder, ("embed", "embed_tokens")),
            "search": (memory._index, ("search", "similarities")),
            "store": (getattr(store, "unguarded", store), ("write",)),
        }
        for step, (owner, names) in parts.items():
            for name in names:
                if (function := getattr(owner, name, None)) is not None:
                    with suppress(AttributeError, TypeError):  # frozen: its steps are not told
                        setattr(owner, name, self._step(step, function))

    def close(self) -> None:
        """Send what has not been sent yet."""
        if self._own:
            self._provider.shutdown()

    def _step(self, step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            if step != "store":
                with self._span(step):
                    return function(*args, **kwargs)
            return self._around(step, function(*args, **kwargs))

        return run

    @contextmanager
    def _around(self, step: str, block: AbstractContextManager[Any]) -> Iterator[Any]:
        with self._span(step), block as entered:
            yield entered

    def _span(self, name: str, **more: Any) -> AbstractContextManager[Any]:
        # an exception's words may be somebody's
        found: AbstractContextManager[Any] = self._tracer.start_as_current_span(
            name, record_exception=False, set_status_on_exception=False, **more
        )
        return found


class Watch:
    """Measures every request, and opens a span around it if spans are wanted."""

    def __init__(self, app: ASGIApp, measures: Measures, spans: Spans | None = None) -> None:
        self.app, self.measures, self.spans = app, measures, spans

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with nullcontext() if self.spans is None else self.spans.request(scope) as span:
            try:
                await self.app(scope, receive, watched)
            finally:
                route, verb = _route(scope)
                self.measures.answered(scope["method"], route, verb, status, time.perf_counter() - began)
                if span is not None:
                    method = scope["method"] if scope["method"] in _METHODS else OTHER
                    span.update_name(f"{method} {route}")
                    said = {"http.request.method": method, "http.route": route, "http.response.status_code": status}
                    span.set_attributes({**said, **({} if verb is None else {"anamnos.verb": verb})})


def _route(scope: Scope) -> tuple[str, str | None]:
    """Return the template of the route that a request found, and the verb behind it."""
    route = scope.get("route")
    path = getattr(route, "path", None)
    if not isinstance(path, str) or scope["type"] != "http":
        return OTHER, None
    return path, str(route.name) if path.startswith("/v1/") and isinstance(route, APIRoute) else None


def spans_of(settings: ServerSettings, provider: Any = None) -> Spans | None:
    """Return what makes spans, or None if none are wanted. Where they go, the usual variables ``OTEL_…`` say.

    provider  of spans, instead of one that sends them by OTLP over HTTP
    Raises: MissingExtra.
    """
    if provider is not None:
        return Spans(provider, own=False)
    if settings.otel != "on":
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as exc:
        raise MissingExtra("OpenTelemetry", "otel") from exc
    made = TracerProvider(resource=Resource({SERVICE_NAME: "anamnos"}).merge(OTELResourceDetector().detect()))
    made.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Spans(made, own=True)
