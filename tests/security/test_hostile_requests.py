"""Requests that are meant to break the server, over a real socket against a real one: each gets its refusal, none a
fault, and afterwards the server is as well as before."""

import contextlib
import gzip
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

TIMEOUT_S = 2  # of bodies, by the settings
SCOPE = b'"scope":{"user":"ann"}'
HOW = {"Content_Type": "application/json"}
BOMB = gzip.compress(b'{"content": "' + b"x" * 20_000_000, compresslevel=1)


class Target:
    """A running ``anamnos serve``; ``key`` is of its operator."""

    def __init__(self, folder: Path) -> None:
        env = {name: value for name, value in os.environ.items() if not name.startswith("ANAMNOS_")}
        given = {"BODY_MB": "1", "INGEST_MB": "1", "BODY_TIMEOUT_S": str(TIMEOUT_S), "RATE_PER_MINUTE": "0"}
        env |= {f"ANAMNOS_SERVER_{name}": value for name, value in given.items()}
        words = ["serve", "--vault", str(folder), "--embedder", "hashing", "--port", "0", "--mcp", "--json"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "anamnos", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
        )
        said = ""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            said += line
            if line.startswith("}"):
                break
        printed = json.loads(said)
        self.key = printed["key"]
        self.port = int(printed["url"].rpartition(":")[2])

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        given = {"Authorization": f"Bearer {self.key}", **{name.replace("_", "-"): v for name, v in headers.items()}}
        try:
            connection.request(method, path, body, given)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, found, answer.read()
        finally:
            connection.close()

    def raw(self, *parts: bytes, pause_s: float = 0.0, within_s: float = 20.0) -> bytes:
        """Send pieces of bytes and return what comes until the server closes; fails if it does not."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=within_s) as wire:
            got = b""
            with contextlib.suppress(OSError):
                for part in parts:
                    wire.sendall(part)
                    time.sleep(pause_s)
            with contextlib.suppress(ConnectionError):
                while piece := wire.recv(65_536):
                    got += piece
            return got

    def head(self, method: bytes = b"POST", path: bytes = b"/v1/memories", *more: bytes) -> bytes:
        lines = [method + b" " + path + b" HTTP/1.1", f"Host: 127.0.0.1:{self.port}".encode()]
        lines += [f"Authorization: Bearer {self.key}".encode(), b"Content-Type: application/json", *more]
        return b"\r\n".join(lines) + b"\r\n\r\n"


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    found = Target(tmp_path_factory.mktemp("hostile") / "vault")
    yield found
    found.process.send_signal(signal.SIGTERM)
    _, errors = found.process.communicate(timeout=30)
    assert found.process.returncode in (0, -signal.SIGTERM)
    assert "Traceback" not in errors and "anm_" not in errors and "ann" not in errors, errors


@pytest.fixture(autouse=True)
def well_afterwards(target: Target) -> Iterator[None]:
    yield
    assert target.process.poll() is None
    status, _, said = target.ask("GET", "/v1/memories?user=ann")
    assert (status, json.loads(said)["items"]) == (200, [])


def refused(answer: tuple[int, dict[str, str], bytes], *statuses: int) -> None:
    status, headers, said = answer
    assert status in statuses, (status, said[:300])
    assert headers["content-type"] == "application/problem+json" and headers["x-content-type-options"] == "nosniff"
    assert len(said) < 20_000 and b"Traceback" not in said


def test_a_body_beyond_the_limit(target: Target) -> None:
    refused(target.ask("POST", "/v1/memories", b" " * 1_000_001, **{"Content_Type": "application/json"}), 413)
    refused(target.ask("POST", "/v1/ingest?user=ann", b" " * 1_000_001), 413)
    lied = target.raw(target.head(b"POST", b"/v1/memories", b"Content-Length: " + b"9" * 30))
    assert lied.startswith((b"HTTP/1.1 413", b"HTTP/1.1 400"))


def test_a_body_in_pieces_without_an_end(target: Target) -> None:
    piece = b"10000\r\n" + b" " * 65_536 + b"\r\n"
    got = target.raw(target.head(b"POST", b"/v1/memories", b"Transfer-Encoding: chunked"), *[piece] * 40)
    assert got == b"" or got.startswith(b"HTTP/1.1 413")  # who goes on sending may find the line closed


@pytest.mark.parametrize("path", [b"/v1/memories", b"/v1/ingest?user=ann", b"/mcp?user=ann"])
def test_a_body_that_drips_or_never_comes(target: Target, path: bytes) -> None:
    begun = time.monotonic()
    head = target.head(b"POST", path, b"Content-Length: 1000")
    assert target.raw(head, *[b"x"] * 6, pause_s=0.6).startswith(b"HTTP/1.1 408")
    assert time.monotonic() - begun < 4 * TIMEOUT_S


def test_a_head_that_never_ends_is_not_waited_for(target: Target) -> None:
    """Slowloris: connections that send a line now and then are given up."""
    begun = time.monotonic()
    start = f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{target.port}\r\n".encode()
    assert target.raw(start, *[b"X-A: b\r\n"] * 4, pause_s=0.5, within_s=6 * TIMEOUT_S)[:15] in (
        b"",
        b"HTTP/1.1 408 Re",
    )
    assert target.raw(within_s=6 * TIMEOUT_S) == b""  # who says nothing at all
    assert time.monotonic() - begun < 8 * TIMEOUT_S


@pytest.mark.parametrize("path", ["/v1/memories", "/v1/ingest?user=ann", "/v1/import", "/mcp?user=ann"])
@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd, gzip"])
def test_nothing_is_unpacked(target: Target, path: str, coding: str) -> None:
    """A bomb of a thousandfold: refused before it is read, since a packed body is taken nowhere."""
    answer = target.ask("POST", path, BOMB, Content_Encoding=coding, Content_Type="application/json")
    refused(answer, 415)


NAUGHTY = {
    "nested arrays": b"[" * 200_000 + b"]" * 200_000,
    "nested objects": b'{"a":' * 100_000,
    "a nested scope": b'{"scope":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "a huge integer": b"{" + SCOPE + b',"content":"x","importance":' + b"9" * 100_000 + b"}",
    "a huge exponent": b"{" + SCOPE + b',"content":"x","importance":1e999999}',
    "not a number": b"{" + SCOPE + b',"content":"x","importance":NaN}',
    "infinity": b"{" + SCOPE + b',"content":"x","importance":-Infinity}',
    "half a letter": b"{" + SCOPE + b',"content":"\\ud800"}',
    "no UTF-8": b"{" + SCOPE + b',"content":"\xff\xfe\x00"}',
    "the same name twice": b"{" + SCOPE + b',"content":"x","content":{"a":1}}',
    "the prototype": b'{"__proto__":{"operator":true},' + SCOPE + b',"content":"x"}',
    "many unknown names": b"{" + b",".join(b'"k%d":1' % n for n in range(50_000)) + b"}",
    "a list of nulls": b"[" + b"null," * 150_000 + b"null]",
    "nothing": b"",
    "a lone quote": b'"',
}


@pytest.mark.parametrize("body", NAUGHTY.values(), ids=NAUGHTY)
def test_bodies_that_are_meant_to_break_readers(target: Target, body: bytes) -> None:
    begun = time.monotonic()
    refused(target.ask("POST", "/v1/memories", body, Content_Type="application/json"), 400, 422)
    assert time.monotonic() - begun < 10


def test_filters_that_are_meant_to_break_the_store(target: Target) -> None:
    leaf = b'{"field":"trust","op":"ge","value":0}'
    for depth in (99, 600, 900, 940):
        tree = b'{"not":' * depth + leaf + b"}" * depth
        status, _, said = target.ask(
            "POST", "/v1/search", b"{" + SCOPE + b',"query":"x","filter":' + tree + b"}", **HOW
        )
        assert status in (200, 400, 422), (depth, said)
    loose = b'{"not":{"field":"trust","op":"in","value":{}}}'  # which would pass everything
    body = b"{" + SCOPE + b',"query":"x","filter":' + loose + b"}"
    refused(target.ask("POST", "/v1/search", body, **HOW), 422)
    for parts, answered in ((900, (200,)), (10_001, (422,)), (20_000, (422,))):
        begun = time.monotonic()
        wide = b'{"or":[{"or":[' + b",".join([leaf] * parts) + b"]}]}"
        status, _, said = target.ask(
            "POST", "/v1/search", b"{" + SCOPE + b',"query":"x","filter":' + wide + b"}", **HOW
        )
        assert status in answered, said
        assert time.monotonic() - begun < 10


def test_too_many_parameters_and_headers(target: Target) -> None:
    query = b"&".join(b"p%d=1" % n for n in range(100_000))
    assert target.raw(target.head(b"GET", b"/v1/memories?" + query)).startswith(
        (b"HTTP/1.1 400", b"HTTP/1.1 414", b"HTTP/1.1 431")
    )
    few = "&".join(f"p{n}=1" for n in range(4_000))
    refused(target.ask("GET", f"/v1/memories?{few}"), 422)
    many = [b"X-%d: %s" % (n, b"y" * 100) for n in range(20_000)]
    flooded = target.raw(target.head(b"GET", b"/v1/me", *many))
    assert flooded == b"" or flooded.startswith((b"HTTP/1.1 400", b"HTTP/1.1 431"))


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://["},
        {"Origin": "null"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1.evil.example"},
        {"Host": "evil.example"},
        {"Host": "["},
        {"Host": "127.0.0.1@evil.example"},
        {"Host": ""},
    ],
    ids=str,
)
def test_headers_that_are_meant_to_break_readers(target: Target, headers: dict[str, str]) -> None:
    refused(target.ask("POST", "/v1/memories", b"{}", **HOW, **headers), 403)


@pytest.mark.parametrize(
    "request_",
    [
        b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
        b"GET /v1/me HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
        b"POST /v1/memories HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n{}{}",
        b"POST /v1/memories HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: xchunked\r\nConnection: close\r\n\r\n",
        b"POST /v1/memories HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
        b"GET /v1/me HTTP/1.1\r\nHost : 127.0.0.1\r\n\r\n",
        b"GET /v1/me\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
        b"TRACE / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
    ],
)
def test_requests_that_are_none(target: Target, request_: bytes) -> None:
    got = target.raw(request_)
    assert got.split(b" ")[1][:1] == b"4", got[:200]
    assert b"Traceback" not in got


def test_lengths_that_disagree_smuggle_nothing(target: Target) -> None:
    inner = b"GET /v1/me HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    both = target.head(
        b"POST", b"/v1/memories", b"Content-Length: 6", b"Transfer-Encoding: chunked", b"Connection: close"
    )
    got = target.raw(both + b"0\r\n\r\n" + inner)
    assert got.count(b"HTTP/1.1 ") == 1 and got.startswith(b"HTTP/1.1 4")


@pytest.mark.parametrize(
    "path",
    [
        "/assets/../../config.py",
        "/assets/%2e%2e/%2e%2e/config.py",
        "/assets/..%2f..%2fconfig.py",
        "/assets/..%5c..%5cconfig.py",
        "/assets/%00",
        "/assets//etc/passwd",
        "/v1/plots/..%2f..%2fpyproject.toml",
        "/v1/plots/%2fetc%2fpasswd",
        "//etc/passwd",
        "/v1/memories/..%2f..%2fkeys?user=ann",
        "/v1/rules/..%2fkeys%00",
    ],
)
def test_paths_lead_nowhere_else(target: Target, path: str) -> None:
    refused(target.ask("GET", path), 404, 405, 422)


@pytest.mark.parametrize(
    "name", ["../up", "a/b", "/tmp/x", "..", ".", "a\\b", "a\x00b", "", "x" * 101, "a\n", "~root", "%2e%2e"]
)
def test_a_backup_has_a_plain_name(target: Target, name: str, tmp_path: Path) -> None:
    refused(target.ask("POST", "/v1/backup", json.dumps({"name": name}), **HOW), 422)


@pytest.mark.parametrize(
    "name",
    [
        "../../up.txt",
        "..",
        "C:\\x\\y.txt",
        "/etc/passwd",
        ".bashrc",
        "漢" * 200,
        "𠀀" * 120,
        "a" * 500,
        "\u202egpj.txt",
    ],
)
def test_the_name_of_a_file_leads_nowhere(target: Target, name: str) -> None:
    from urllib.parse import quote

    path = f"/v1/ingest?user=carl&name={quote(name)}&source={quote('/etc/passwd')}"
    status, _, said = target.ask("POST", path, b"A line of text.", Accept="application/json")
    assert status == 200, said
    assert b"root:" not in target.ask("GET", "/v1/export?user=carl")[2]


def test_an_address_is_not_fetched_unless_its_host_is_named(target: Target) -> None:
    for url in (
        "http://127.0.0.1:1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://2130706433/",
        "file:///etc/passwd",
    ):
        body = json.dumps({"scope": {"user": "ann"}, "url": url})
        refused(target.ask("POST", "/v1/ingest/url", body, **HOW), 403, 422)


def test_what_an_address_takes_is_said_of_it_alone(target: Target) -> None:
    assert target.ask("OPTIONS", "/v1/memories/delete")[1]["allow"] == "POST"
    assert target.ask("PUT", "/v1/memories")[1]["allow"] == "GET, POST"


def test_every_answer_says_what_it_is(target: Target) -> None:
    """Nothing that a memory holds is ever sent as something that a browser would run."""
    script = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    scope = {"user": "eve"}
    status, _, said = target.ask("POST", "/v1/memories", json.dumps({"scope": scope, "content": script}), **HOW)
    assert status == 201
    one = json.loads(said)["ids"][0]
    for method, path, body in (
        ("GET", "/v1/memories?user=eve", None),
        ("GET", f"/v1/memories/{one}?user=eve", None),
        ("GET", f"/v1/memories/{one}/history?user=eve", None),
        ("POST", "/v1/search", {"scope": scope, "query": "script"}),
        ("POST", "/v1/context", {"scope": scope, "question": "script"}),
        ("GET", "/v1/export?user=eve", None),
        ("GET", "/v1/graph?user=eve", None),
        ("GET", "/v1/%3Cscript%3Ealert(1)%3C/script%3E", None),
        ("GET", "/v1/memories?user=eve&%3Cscript%3E=1", None),
        ("POST", "/v1/jobs", {"kind": script}),
    ):
        _, headers, _ = target.ask(method, path, None if body is None else json.dumps(body), **HOW)
        assert headers["content-type"].partition(";")[0] in (
            "application/json",
            "application/problem+json",
            "application/x-ndjson",
        ), path
        assert headers["x-content-type-options"] == "nosniff" and "default-src" in headers["content-security-policy"]
        if path.startswith("/v1/"):
            assert headers["cache-control"] == "no-store", path
        if path.startswith("/v1/export"):
            assert headers["content-disposition"].startswith("attachment")
    target.ask("POST", "/v1/forget-person", json.dumps({"scope": scope}), **HOW)


def test_no_key_is_shown_to_other_accounts_of_the_machine(target: Target) -> None:
    words = Path(f"/proc/{target.process.pid}/cmdline")
    if words.exists():
        assert target.key.encode() not in words.read_bytes()
    for path in ("/v1/me", "/v1/keys", "/v1/stats", "/metrics", "/openapi.json", "/v1/audit"):
        assert target.key.encode() not in target.ask("GET", path)[2]
