"""Fetching for a caller: only what is allowed, from addresses that were checked, as much and as long as is allowed."""

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from anamnos.errors import AccessDenied, AnamnosError, ConfigError, InvalidInput, LimitExceeded, ProviderError
from anamnos.server import fetching
from anamnos.server.fetching import fetched, hosts_of, is_public

TEXT = b"The spare key is under the blue pot.\n"
PUBLIC = "93.184.215.14"


class Site:
    """A server on loopback; ``asked`` are the paths and headers of requests."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append((self.path, dict(self.headers)))
                getattr(site, self.path.partition("?")[0].rpartition("/")[2].partition(".")[0], site.note)(self)

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *args: None  # type: ignore[method-assign]  # whoever was cut off
        self.port = self.server.server_port
        self.stopped = threading.Event()
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.stopped.set()
        self.server.shutdown()
        self.server.server_close()

    def url(self, path: str = "/note.txt", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def note(self, to: BaseHTTPRequestHandler, body: bytes = TEXT, status: int = 200, **headers: str) -> None:
        to.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            to.send_header(name.replace("_", "-"), value)
        to.end_headers()
        to.wfile.write(body)

    def page(self, to: BaseHTTPRequestHandler) -> None:
        self.note(to, b"<p>Hello</p>", Content_Type="text/html; charset=utf-8")

    def gone(self, to: BaseHTTPRequestHandler) -> None:
        self.note(to, status=404)

    def moved(self, to: BaseHTTPRequestHandler) -> None:
        self.note(to, status=302, Location=self.url())

    def packed(self, to: BaseHTTPRequestHandler) -> None:
        self.note(to, Content_Encoding="gzip")

    def long(self, to: BaseHTTPRequestHandler) -> None:
        self.note(to, Content_Length=str(10**12))

    def torn(self, to: BaseHTTPRequestHandler) -> None:
        self.note(to, Content_Length="1000")

    def endless(self, to: BaseHTTPRequestHandler) -> None:
        to.send_response(200)
        to.end_headers()
        while not self.stopped.is_set():
            to.wfile.write(b"x" * 65_536)

    def dripping(self, to: BaseHTTPRequestHandler) -> None:
        to.send_response(200)
        to.end_headers()
        while not self.stopped.wait(0.02):
            to.wfile.write(b"x")

    def headers(self, to: BaseHTTPRequestHandler) -> None:
        to.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
        while not self.stopped.wait(0.02):
            to.wfile.write(b"x")

    def silent(self, to: BaseHTTPRequestHandler) -> None:
        self.stopped.wait(10)


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.close()


def resolving(*addresses: str, asked: list[str] | None = None) -> Any:
    """Return a resolver that knows one answer."""

    def resolve(host: str, port: int, **more: Any) -> Sequence[tuple[Any, ...]]:
        if asked is not None:
            asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    return resolve


def got(url: str, allowed: str, **more: Any) -> bytes:
    with fetched(url, hosts_of(allowed), **{"max_bytes": 1_000, "timeout_s": 5.0, **more}) as path:
        return path.read_bytes()


# --- what is fetched


def test_a_file_is_there_under_its_name_and_gone_afterwards(site: Site) -> None:
    with fetched(site.url("/a/b/note.txt?x=1"), hosts_of(f"127.0.0.1:{site.port}"), max_bytes=1_000) as path:
        assert (path.name, path.read_bytes()) == ("note.txt", TEXT)
    assert not path.parent.exists()
    ((asked, headers),) = site.asked
    assert asked == "/a/b/note.txt?x=1"
    assert headers["Host"] == f"127.0.0.1:{site.port}"
    assert not {"Authorization", "Cookie", "Referer"} & headers.keys()


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/page", "page.html"),
        ("/", "page.txt"),
        ("/x/..%2f..%2fetc%2fpasswd", "_.._etc_passwd"),
        ("/..%5c..%5cwindows", "_.._windows"),
        ("/%2e%2e", "page.txt"),
        ("/%00", "_.txt"),
        ("/.hidden.txt", "hidden.txt"),
        ("/a b.md", None),
        ("/" + "x" * 300 + ".txt", "x" * 96 + ".txt"),
    ],
)
def test_a_name_from_outside_stays_in_its_folder(site: Site, path: str, name: str | None) -> None:
    allowed = hosts_of(f"127.0.0.1:{site.port}")
    if name is None:
        with pytest.raises(InvalidInput), fetched(site.url(path), allowed, max_bytes=1_000):
            pass
        return
    with fetched(site.url(path), allowed, max_bytes=1_000) as found:
        assert found.name == name
        assert found.parent.name.startswith("anamnos-")


def test_words_outside_ascii_are_sent_quoted(site: Site) -> None:
    assert got(site.url("/käse/note.txt?q=ä%20b"), f"127.0.0.1:{site.port}") == TEXT
    assert site.asked[0][0] == "/k%C3%A4se/note.txt?q=%C3%A4%20b"


def test_no_proxy_of_the_environment_is_asked(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert got(site.url(), f"127.0.0.1:{site.port}") == TEXT


# --- who is asked


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://docs.example.org/a", ""),
        ("https://docs.example.org/a", "example.org"),
        ("https://example.org/a", "*.example.org"),
        ("https://evilexample.org/a", "*.example.org, example.org"),
        ("https://example.org.evil.example/", "example.org, *.example.org"),
        ("https://example.org:8443/", "example.org"),
        ("http://127.0.0.1:6379/", "127.0.0.1"),
        ("http://2130706433/", "127.0.0.1, example.org"),
        ("http://0x7f.1/", "127.0.0.1, example.org"),
        ("http://[::ffff:127.0.0.1]/", "127.0.0.1"),
    ],
)
def test_hosts_that_are_not_allowed_are_not_even_resolved(url: str, allowed: str) -> None:
    asked: list[str] = []
    with pytest.raises(AccessDenied) as caught:
        got(url, allowed, resolve=resolving(PUBLIC, asked=asked))
    assert (asked, caught.value.http_status) == ([], 403)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.org/a",
        "gopher://example.org/",
        "data:text/plain,hello",
        "//example.org/a",
        "example.org/a",
        "",
        "http://",
        "http:///a",
        "http://example.org:99999/",
        "http://ann:secret@example.org/",
        "http://ann@example.org/",
        "http://example.org\\@evil.example/",
        "http://example.org /",
        "http://exam\nple.org/",
        "http://example.org/a\r\nX-Injected: 1",
        "http://example.org/\x00",
        "http://exämple.org/",
        "http://[::1/",
        "http://%31%32%37.0.0.1/",
        "http://example.org/" + "x" * 5_000,
    ],
)
def test_what_is_no_plain_url_is_refused(url: str) -> None:
    asked: list[str] = []
    with pytest.raises(InvalidInput) as caught:
        got(url, "example.org", resolve=resolving(PUBLIC, asked=asked))
    assert asked == []
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "198.18.0.1",
        "192.0.2.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a00:1",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::1",
        "2001:0:4136:e378:8000:63bf:f5ff:fffe",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "2001:db8::1",
    ],
)
def test_a_host_with_an_address_that_is_not_public_is_refused(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address.partition("%")[0]))
    for found in ((address,), (PUBLIC, address), (address, PUBLIC)):
        with pytest.raises(AccessDenied) as caught:
            got("http://example.org/", "example.org", resolve=resolving(*found))
        assert address not in str(caught.value)  # what a name means inside is not told


@pytest.mark.parametrize("address", [PUBLIC, "1.1.1.1", "2606:4700:4700::1111", "64:ff9b::101:101", "::ffff:1.1.1.1"])
def test_public_addresses(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


def test_a_name_is_resolved_once_and_the_address_that_was_checked_is_asked(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: the name means a public address when it is checked, and this machine a moment later."""
    asked: list[str] = []
    connected: list[Any] = []
    answers = iter([PUBLIC, "127.0.0.1", "127.0.0.1"])

    def resolve(host: str, port: int, **more: Any) -> Any:
        return resolving(next(answers), asked=asked)(host, port)

    def connect(where: tuple[str, int], **more: Any) -> socket.socket:
        connected.append(where)
        raise ConnectionRefusedError

    monkeypatch.setattr(fetching.socket, "getaddrinfo", lambda host, *rest, **more: pytest.fail(f"resolved {host}"))
    with monkeypatch.context() as only:
        only.setattr(fetching.socket, "create_connection", connect)
        with pytest.raises(ProviderError):
            got(site.url(host="rebind.example"), f"rebind.example:{site.port}", resolve=resolve)
    assert asked == ["rebind.example"]
    assert connected == [(PUBLIC, site.port)]
    with pytest.raises(AccessDenied):  # and asked anew, it is refused
        got(site.url(host="rebind.example"), f"rebind.example:{site.port}", resolve=resolve)
    assert site.asked == []


def test_a_private_host_may_be_asked_where_its_network_is_named(site: Site) -> None:
    asked: list[str] = []
    allowed = f"wiki.internal:{site.port}=127.0.0.0/8"
    assert got(site.url(host="wiki.internal"), allowed, resolve=resolving("127.0.0.1", asked=asked)) == TEXT
    assert asked == ["wiki.internal"]
    assert site.asked[0][1]["Host"] == f"wiki.internal:{site.port}"
    for elsewhere in ("10.0.0.1", PUBLIC, "::1"):
        with pytest.raises(AccessDenied):
            got(site.url(host="wiki.internal"), allowed, resolve=resolving("127.0.0.1", elsewhere))
    with pytest.raises(AccessDenied):
        got(site.url(host="wiki.internal"), f"wiki.internal:{site.port}", resolve=resolving("127.0.0.1"))


def test_a_name_that_means_nothing(site: Site) -> None:
    def fails(*args: Any, **more: Any) -> Any:
        raise socket.gaierror(-2, "unknown")

    for resolve in (fails, resolving()):
        with pytest.raises(ProviderError):
            got("http://example.org/", "example.org", resolve=resolve)


@pytest.mark.parametrize(
    "setting",
    ["a b", "exa*mple.org", "*", "user@host", "host/path", "host=10.0.0.1/8", "host=net", "host:port", "=10.0.0.0/8"],
)
def test_entries_that_cannot_be_read_are_refused(setting: str) -> None:
    with pytest.raises(ConfigError, match="ingest_hosts"):
        hosts_of(setting)


# --- how much and how long


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/gone.txt", ProviderError),
        ("/moved.txt", AccessDenied),
        ("/packed.txt", ProviderError),
        ("/torn.txt", ProviderError),
        ("/long.txt", LimitExceeded),
        ("/endless.txt", LimitExceeded),
    ],
)
def test_an_answer_that_is_not_the_file_is_refused(site: Site, path: str, error: type[AnamnosError]) -> None:
    with pytest.raises(error):
        got(site.url(path), f"127.0.0.1:{site.port}")
    assert len(site.asked) == 1  # nothing else is asked, wherever the answer leads


@pytest.mark.parametrize("path", ["/dripping.txt", "/headers.txt", "/silent.txt"])
def test_a_server_that_takes_its_time_is_cut_off(site: Site, path: str) -> None:
    begun = time.monotonic()
    with pytest.raises(LimitExceeded, match="within"):
        got(site.url(path), f"127.0.0.1:{site.port}", timeout_s=0.3)
    assert time.monotonic() - begun < 3


def test_nothing_is_left_of_what_failed(site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(fetching.tempfile, "tempdir", str(tmp_path))
    for path in ("/endless.txt", "/torn.txt", "/gone.txt"):
        with pytest.raises(AnamnosError):
            got(site.url(path), f"127.0.0.1:{site.port}")
    assert list(tmp_path.iterdir()) == []


def test_a_certificate_must_be_of_the_host_and_the_host_is_told_by_name(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem = certificate("good.example", tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    site.server.socket = context.wrap_socket(site.server.socket, server_side=True)
    allowed = f"good.example:{site.port}=127.0.0.0/8, bad.example:{site.port}=127.0.0.0/8"
    ask = {"resolve": resolving("127.0.0.1")}
    with pytest.raises(ProviderError, match="SSLCertVerificationError"):
        got(f"https://good.example:{site.port}/note.txt", allowed, **ask)  # nobody vouches for it
    trusting = ssl.create_default_context(cafile=str(pem))
    monkeypatch.setattr(fetching.ssl, "create_default_context", lambda: trusting)
    assert got(f"https://good.example:{site.port}/note.txt", allowed, **ask) == TEXT
    with pytest.raises(ProviderError, match="SSLCertVerificationError"):
        got(f"https://bad.example:{site.port}/note.txt", allowed, **ask)


def certificate(name: str, folder: Path) -> Path:
    """Write a certificate of a host, signed by itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    named = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(named)
        .issuer_name(named)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "server.pem"
    path.write_bytes(made.public_bytes(pem) + private)
    return path
