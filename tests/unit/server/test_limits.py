"""What stands before every route: sizes, times, rates, names of the host and origins of pages."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from fastapi import FastAPI, Request
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from anamnos import Memory
from anamnos.config import ServerSettings
from anamnos.errors import LimitExceeded
from anamnos.server.auth import Authenticator
from anamnos.server.limits import BodyLimit, HostCheck, OriginCheck, RateLimit, SecurityHeaders, middlewares
from anamnos.testing import FakeEmbedder

HERE = "http://127.0.0.1:8787"


async def echo(request: Request) -> PlainTextResponse:
    body = await request.body()
    return PlainTextResponse(f"{request.method} {len(body)}")


def ask(app: ASGIApp, method: str = "GET", path: str = "/", **more: Any) -> httpx2.Response:
    """Send one request to an application in this process."""

    async def send() -> httpx2.Response:
        client = more.pop("client", ("127.0.0.1", 1))
        transport = httpx2.ASGITransport(app, client=client)
        async with httpx2.AsyncClient(transport=transport, base_url=more.pop("base_url", HERE)) as there:
            return await there.request(method, path, **more)

    return asyncio.run(send())


def routes(*wrapped: Callable[[ASGIApp], ASGIApp]) -> ASGIApp:
    app: ASGIApp = Starlette(routes=[Route("/{path:path}", echo, methods=["GET", "POST", "PUT", "PATCH", "DELETE"])])
    for wrap in wrapped:
        app = wrap(app)
    return app


# --- bodies


def limited(app: ASGIApp | None = None, **more: Any) -> ASGIApp:
    return BodyLimit(app or routes(), **{"max_bytes": 100, "max_file_bytes": 1_000, "timeout_s": 5.0, **more})


def test_a_body_within_the_limit_goes_through() -> None:
    assert ask(limited(), "POST", content=b"x" * 100).text == "POST 100"
    assert ask(limited(), "POST", "/v1/ingest", content=b"x" * 1_000).text == "POST 1000"


@pytest.mark.parametrize(
    ("path", "size"), [("/", 101), ("/v1/memories", 101), ("/v1/ingest", 1_001), ("/v1/import", 1_001)]
)
def test_a_body_that_says_it_is_too_long_is_not_read(path: str, size: int) -> None:
    answer = ask(limited(), "POST", path, content=b"x" * size)
    assert (answer.status_code, answer.json()["code"]) == (413, "limit")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["connection"] == "close"


async def pieces(size: int, number: int, pause_s: float = 0.0) -> AsyncIterator[bytes]:
    for _ in range(number):
        await asyncio.sleep(pause_s)
        yield b"x" * size


def test_a_body_without_a_length_is_counted_as_it_comes() -> None:
    assert ask(limited(), "POST", content=pieces(10, 10)).text == "POST 100"
    answer = ask(limited(), "POST", content=pieces(10, 1_000))
    assert (answer.status_code, answer.json()["status"]) == (413, 413)


def run(app: ASGIApp, messages: list[tuple[float, Message]], headers: list[tuple[bytes, bytes]]) -> list[Message]:
    """Send an application what comes, each message after a pause, and return what it sends."""
    sent: list[Message] = []
    todo = iter(messages)

    async def receive() -> Message:
        pause_s, message = next(todo, (3_600.0, {"type": "http.disconnect"}))
        await asyncio.sleep(pause_s)
        return message

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/", "headers": headers, "query_string": b""}
    asyncio.run(app(scope, receive, send))
    return sent


def part(size: int, more: bool = True) -> Message:
    return {"type": "http.request", "body": b"x" * size, "more_body": more}


@given(sizes=st.lists(st.integers(0, 60), min_size=1, max_size=8), said=st.integers(0, 500))
def test_no_more_than_the_limit_ever_reaches_the_application(sizes: list[int], said: int) -> None:
    got: list[int] = []

    async def counting(scope: Scope, receive: Receive, send: Send) -> None:
        more = True
        while more:
            message = await receive()
            got.append(len(message["body"]))
            more = message["more_body"]
        await PlainTextResponse("done")(scope, receive, send)

    messages = [(0.0, part(size, more=place + 1 < len(sizes))) for place, size in enumerate(sizes)]
    sent = run(limited(counting), messages, [(b"content-length", str(said).encode())])
    assert sum(got) <= 100
    assert sent[0]["status"] == (413 if said > 100 or sum(sizes) > 100 else 200)


def test_a_sender_that_drips_is_cut_off() -> None:
    begun = time.monotonic()
    sent = run(limited(timeout_s=0.2), [(0.02, part(1))] * 10_000, [])
    assert 0.15 < time.monotonic() - begun < 2
    assert (sent[0]["status"], json.loads(sent[1]["body"])["code"]) == (408, "limit")
    assert (b"connection", b"close") in sent[0]["headers"]


def test_a_sender_that_says_nothing_is_cut_off() -> None:
    assert run(limited(timeout_s=0.1), [(0.0, part(1)), (3_600.0, part(1))], [])[0]["status"] == 408


def test_a_slow_but_steady_sender_is_waited_for() -> None:
    steady = [(0.02, part(8_192)) for _ in range(12)] + [(0.0, part(0, more=False))]  # 400 kB/s: 0.24 s
    sent = run(limited(timeout_s=0.1, max_bytes=1_000_000), steady, [])
    assert (sent[0]["status"], sent[1]["body"]) == (200, f"POST {12 * 8_192}".encode())


def test_the_time_that_the_application_takes_is_not_the_senders() -> None:
    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await asyncio.sleep(0.3)
        await receive()
        await PlainTextResponse("done")(scope, receive, send)

    assert run(limited(slow, timeout_s=0.1), [(0.0, part(1)), (0.0, part(1, more=False))], [])[0]["status"] == 200


def test_an_application_that_makes_something_else_of_it_does_not_hide_what_was_wrong() -> None:
    app = FastAPI()

    @app.post("/")
    async def post(body: dict[str, str]) -> str:
        return "done"

    answer = ask(limited(app), "POST", content=pieces(10, 1_000), headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (413, "limit")


def test_an_answer_that_has_begun_is_told_by_the_error() -> None:
    seen = []

    async def streams(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            while True:
                await receive()
        except LimitExceeded as exc:
            seen.append(exc)
        await send({"type": "http.response.body", "body": b"what went wrong"})

    sent = run(limited(streams), [(0.0, part(60))] * 3, [])
    assert (sent[0]["status"], sent[1]["body"], len(seen)) == (200, b"what went wrong", 1)


def test_once_a_body_is_whole_an_answer_may_take_as_long_as_it_likes() -> None:
    async def news(request: Request) -> StreamingResponse:
        async def lines() -> AsyncIterator[bytes]:
            for _ in range(5):
                await asyncio.sleep(0.05)
                yield b"news\n"

        return StreamingResponse(lines())

    app = limited(Starlette(routes=[Route("/", news)]), timeout_s=0.1)
    assert ask(app).text == "news\n" * 5


@pytest.fixture
def port() -> Iterator[int]:
    """Serve what is limited on a real socket."""
    server = uvicorn.Server(uvicorn.Config(limited(timeout_s=0.3), log_level="critical", lifespan="off"))
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        server.should_exit = True
        thread.join(10)


@pytest.mark.parametrize(
    ("headers", "drip", "status"),
    [
        (b"Content-Length: 90", b"x", b"408"),
        (b"Transfer-Encoding: chunked", b"1\r\nx\r\n", b"408"),
        (b"Transfer-Encoding: chunked", b"40\r\n" + b"x" * 64 + b"\r\n", b"413"),
        (b"Content-Length: 1000000000000", b"x", b"413"),
    ],
)
def test_on_a_real_socket_the_connection_ends(port: int, headers: bytes, drip: bytes, status: bytes) -> None:
    got = b""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as there:
        there.sendall(b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + headers + b"\r\n\r\n")
        there.settimeout(0.05)
        end = time.monotonic() + 5
        while time.monotonic() < end:
            with suppress(OSError):  # the server has closed; what it said can still be read
                there.sendall(drip)
            try:
                piece = there.recv(65_536)
            except TimeoutError:
                continue
            except OSError:
                break
            if not piece:
                break
            got += piece
        else:
            pytest.fail("the connection stays open")
    assert got.startswith(b"HTTP/1.1 " + status)
    assert b"application/problem+json" in got


# --- rates


class Seconds:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory(tmp_path, embedder=FakeEmbedder()) as opened:
        yield opened


def rated(memory: Memory, per_minute: int, clock: Callable[[], float] | None = None) -> ASGIApp:
    known = Authenticator(memory.keys, ServerSettings())
    return routes(lambda app: RateLimit(app, authenticator=known, per_minute=per_minute, clock=clock or Seconds()))


def test_so_many_requests_are_taken_in_a_minute(memory: Memory) -> None:
    clock = Seconds()
    app = rated(memory, 3, clock)
    answers = [ask(app) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["ratelimit-remaining"] for answer in answers] == ["2", "1", "0", "0"]
    refused = answers[-1]
    assert (refused.headers["retry-after"], refused.headers["ratelimit-limit"]) == ("20", "3")
    assert (refused.json()["code"], refused.json()["retryable"], refused.json()["retry_after_s"]) == (
        "rate_limited",
        True,
        20,
    )
    clock.now += 19
    assert ask(app).status_code == 429
    clock.now += 1
    assert ask(app).status_code == 200
    assert ask(app).status_code == 429
    clock.now += 3_600
    assert [ask(app).status_code for _ in range(4)] == [200, 200, 200, 429]


def test_each_caller_is_counted_by_itself(memory: Memory) -> None:
    app = rated(memory, 1)
    texts = [memory.keys.create("same name", tenants=(tenant,)).text for tenant in ("a", "b")]
    for text in texts:
        headers = {"authorization": f"Bearer {text}"}
        assert [ask(app, headers=headers).status_code for _ in range(2)] == [200, 429]
        assert ask(app, headers=headers, client=("192.0.2.1", 1)).status_code == 429  # from wherever
    assert ask(app).status_code == 200


def test_who_shows_no_key_that_counts_is_counted_by_address(memory: Memory) -> None:
    app = rated(memory, 2)
    wrong = {"authorization": "Bearer wrong"}
    assert [ask(app, headers=wrong).status_code for _ in range(3)] == [401, 401, 429]
    assert ask(app).status_code == 429
    assert ask(app, headers=wrong, client=("192.0.2.1", 1)).status_code == 401
    good = {"authorization": f"Bearer {memory.keys.create('backend').text}"}
    assert ask(app, headers=good).status_code == 200


def test_one_customer_has_many_addresses_of_ipv6_and_one_count(memory: Memory) -> None:
    app = rated(memory, 1)
    for address, status in (("2001:db8::1", 200), ("2001:db8::2", 429), ("2001:db8:0:1::1", 200), ("192.0.2.1", 200)):
        assert ask(app, client=(address, 1)).status_code == status
    assert ask(app, client=("::ffff:192.0.2.2", 1)).status_code == 200
    assert ask(app, client=("::ffff:192.0.2.3", 1)).status_code == 200


def test_probes_and_a_limit_of_none_are_not_counted(memory: Memory) -> None:
    app = rated(memory, 1)
    assert [ask(app, path=path).status_code for path in ("/healthz", "/readyz", "/healthz", "/", "/")] == [
        *(200, 200, 200, 200, 429)
    ]
    free = rated(memory, 0)
    assert {ask(free).status_code for _ in range(10)} == {200}
    assert "ratelimit-limit" not in ask(free).headers


def test_the_caller_is_found_once_and_handed_on(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    async def who(request: Request) -> PlainTextResponse:
        seen.append(getattr(request.state, "caller", None))
        return PlainTextResponse("done")

    known = Authenticator(memory.keys, ServerSettings())
    app = RateLimit(Starlette(routes=[Route("/", who)]), authenticator=known, per_minute=9)
    ask(app, headers={"authorization": f"Bearer {memory.keys.create('backend').text}"})
    ask(app)
    assert [caller and caller.name for caller in seen] == ["key:backend", None]


def test_a_request_with_two_keys_is_refused(memory: Memory) -> None:
    header = ("authorization", f"Bearer {memory.keys.create('backend').text}")
    answer = ask(rated(memory, 9), headers=[header, ("authorization", "Bearer x")])
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert answer.headers["www-authenticate"].startswith("Bearer")


@given(gaps=st.lists(st.floats(0, 30), max_size=60), per_minute=st.integers(1, 20))
def test_in_no_minute_more_than_twice_the_limit_is_taken(gaps: list[float], per_minute: int) -> None:
    """A full bucket and what flows into it in a minute."""
    clock, taken = Seconds(), []
    limit = RateLimit(routes(), authenticator=None, per_minute=per_minute, clock=clock)  # type: ignore[arg-type]
    for gap in gaps:
        clock.now += gap
        left, wait = limit._take("somebody")
        assert 0 <= left < per_minute
        if not wait:
            taken.append(clock.now)
    for begin in taken:
        assert sum(begin <= at < begin + 60 for at in taken) <= 2 * per_minute


# --- names of the host


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8787", 200),
        ("localhost", 200),
        ("LOCALHOST:1", 200),
        ("[::1]:8787", 200),
        ("memory.example.org", 200),
        ("Memory.Example.Org.:443", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example", 403),
        ("evil.example:8787", 403),
        ("192.168.1.5", 403),
        ("localhost@evil.example", 403),
        ("localhost, evil.example", 403),
        ("local host", 403),
        ("", 403),
    ],
)
def test_a_request_must_name_this_server(host: str, status: int) -> None:
    app = routes(lambda app: HostCheck(app, bound="127.0.0.1", hosts=("memory.example.org",)))
    assert ask(app, headers={"host": host}).status_code == status
    twice = ask(app, headers=[("host", "localhost"), ("host", host)])
    assert twice.status_code == 403


@pytest.mark.parametrize(("host", "status"), [("192.0.2.7:80", 200), ("[2001:db8::1]", 200), ("evil.example", 403)])
def test_a_server_at_every_address_takes_addresses_but_no_names(host: str, status: int) -> None:
    for bound in ("0.0.0.0", "::"):
        assert (
            ask(routes(lambda app, bound=bound: HostCheck(app, bound=bound)), headers={"host": host}).status_code
            == status
        )


# --- origins of pages


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": HERE}, 200),
        ({"origin": "https://notes.example.org"}, 200),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "http://127.0.0.1:9999"}, 403),
        ({"origin": "http://127.0.0.1:8787.evil.example"}, 403),
        ({"origin": "http://notes.example.org"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": ""}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "none"}, 200),
    ],
    ids=str,
)
def test_a_page_of_elsewhere_changes_nothing(headers: dict[str, str], status: int) -> None:
    app = routes(lambda app: OriginCheck(app, origins=("https://notes.example.org",)))
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        answer = ask(app, method, headers=headers)
        assert answer.status_code == status
        assert status == 200 or answer.json()["code"] == "access_denied"
    assert ask(app, "GET", headers=headers).status_code == 200  # a page cannot read what comes back


# --- all of it


def whole(memory: Memory, **settings: Any) -> ASGIApp:
    served = ServerSettings(**settings)
    app = Starlette(
        routes=[Route("/{path:path}", echo, methods=["GET", "POST"])],
        middleware=middlewares(served, Authenticator(memory.keys, served)),
    )
    return app


def test_every_answer_tells_browsers_to_be_careful(memory: Memory) -> None:
    app = whole(memory, rate_per_minute=2, body_mb=0.001)
    answers = [
        ask(app, path="/v1/memories"),
        ask(app, headers={"host": "evil.example"}, path="/v1/memories"),
        ask(app, "POST", headers={"origin": "https://evil.example"}, path="/v1/memories"),
        ask(app, "POST", content=b"x" * 2_000, path="/v1/memories"),
        ask(app, path="/v1/memories"),
        ask(app, headers={"authorization": "Bearer x"}, path="/v1/memories"),
    ]
    assert [answer.status_code for answer in answers] == [200, 403, 403, 413, 429, 429]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in answer.headers


def test_headers_of_the_application_stay(memory: Memory) -> None:
    async def own(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("x", headers={"Cache-Control": "max-age=60"})(scope, receive, send)

    answer = ask(SecurityHeaders(own), path="/v1/x")
    assert answer.headers["cache-control"] == "max-age=60"
    assert "cache-control" not in ask(SecurityHeaders(routes()), path="/assets/x.js").headers


def test_other_pages_may_use_it_only_where_that_is_set(memory: Memory) -> None:
    asks = {"origin": "https://notes.example.org", "access-control-request-method": "POST"}
    assert "access-control-allow-origin" not in ask(whole(memory), "OPTIONS", headers=asks).headers
    app = whole(memory, cors="https://notes.example.org")
    allowed = ask(app, "OPTIONS", headers=asks)
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, "https://notes.example.org")
    assert "access-control-allow-credentials" not in allowed.headers
    assert ask(app, "POST", headers={"origin": "https://notes.example.org"}).text == "POST 0"
    other = ask(app, "OPTIONS", headers={**asks, "origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers
