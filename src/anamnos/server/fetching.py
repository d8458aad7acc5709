"""Fetches a file from elsewhere for a caller, without becoming the caller's hand in the server's own network (SSRF).

Only hosts that the setting ``ingest_hosts`` names are asked. The name is resolved once, every address that it has is
checked, and the connection goes to one of those that were: what the name means a moment later (DNS rebinding) plays no
part. No redirect is followed, no proxy of the environment used, and nothing is unpacked.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import re
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import SplitResult, quote, unquote, urlsplit

from anamnos import __version__
from anamnos.config import listed
from anamnos.errors import AccessDenied, ConfigError, InvalidInput, LimitExceeded, ProviderError

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolve: TypeAlias = Callable[..., Sequence[tuple[Any, ...]]]

PORTS = {"http": 80, "https": 443}
CONNECT_S = 10.0
_CHUNK = 65_536
_MAX_URL = 4_096
_NAME = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")  # of a host, or an address
_SUFFIXES = {"text/html": ".html", "text/markdown": ".md", "application/json": ".json"}
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Host:
    """One entry of ``ingest_hosts``.

    name     ``docs.example.org``, ``*.example.org`` or an address
    port     None: the usual one of the scheme
    network  in which all its addresses must lie; None: they must be public
    """

    name: str
    port: int | None
    network: Network | None

    def fits(self, host: str, port: int, scheme: str) -> bool:
        """Return whether it is the host, at that port."""
        named = host == self.name or (self.name.startswith("*.") and host.endswith(self.name[1:]))
        return named and port == (self.port or PORTS[scheme])


def hosts_of(setting: str) -> list[Host]:
    """Return the entries of ``ingest_hosts``. Raises: ConfigError for what is none."""
    found = []
    for entry in listed(setting):
        named, _, within = entry.partition("=")
        try:
            parts = urlsplit(f"//{named.strip()}")
            name, port = (parts.hostname or "").rstrip("."), parts.port
            network = ipaddress.ip_network(within.strip()) if within else _own_network(name)
        except ValueError as exc:
            raise ConfigError(f"ingest_hosts has an entry that cannot be read: {entry!r}: {exc}.") from exc
        if not _NAME.fullmatch(name.removeprefix("*.")) or parts.path or parts.username is not None:
            raise ConfigError(
                f"ingest_hosts has an entry that cannot be read: {entry!r}.",
                hint="Write docs.example.org, *.example.org, example.org:8443, or wiki=10.0.0.0/8.",
            )
        found.append(Host(name, port, network))
    return found


@contextlib.contextmanager
def fetched(
    url: str,
    hosts: Sequence[Host],
    *,
    max_bytes: int,
    timeout_s: float = 60.0,
    resolve: Resolve = socket.getaddrinfo,
) -> Iterator[Path]:
    """Yield a temporary file with what is at ``url``, under the name that it has there; it is gone afterwards.

    hosts      that may be asked: ``hosts_of(settings.ingest_hosts)``
    timeout_s  for all of it but the name, whose resolver has its own
    resolve    as ``socket.getaddrinfo``
    Raises: InvalidInput for what is no such URL; AccessDenied for a host or an address that may not be asked, or an
    answer that leads elsewhere; LimitExceeded if it is too long or takes too long; ProviderError if it fails.
    """
    parts = _checked(url)
    scheme, host = parts.scheme, (parts.hostname or "").rstrip(".")
    port = parts.port or PORTS[scheme]
    entry = next((one for one in hosts if one.fits(host, port, scheme)), None)
    if entry is None:
        raise AccessDenied(f"Nothing may be fetched from {host}:{port}.", hint="The setting ingest_hosts names hosts.")
    address = _address(entry, host, port, resolve)
    with tempfile.TemporaryDirectory(prefix="anamnos-") as folder:
        yield _load(parts, host, port, address, Path(folder), max_bytes, timeout_s)


def is_public(address: Address) -> bool:
    """Return whether an address is of the open internet, also where it is wrapped into one of IPv6."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo and address.teredo[1])
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(inner)
        if address.is_site_local:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _checked(url: str) -> SplitResult:
    """Return the parts of a URL that every reader takes apart in the same way. Raises: InvalidInput."""
    try:
        parts = urlsplit(url)
        plain = url.isprintable() and not re.search(r"[\s\\]", url) and len(url) <= _MAX_URL
        _ = parts.port  # raises if it is none
    except ValueError as exc:
        raise InvalidInput(f"The URL cannot be read: {exc}.") from exc
    host = parts.hostname or ""
    if not plain or parts.scheme not in PORTS or not _NAME.fullmatch(host):
        raise InvalidInput("The URL is not one of http or https.", hint="Write it like https://docs.example.org/page.")
    if parts.username is not None or parts.password is not None:
        raise InvalidInput("The URL holds a name or password.", hint="Leave them out.")
    return parts


def _own_network(name: str) -> Network | None:
    """Return the network of a host that is written as an address: just that one."""
    try:
        return ipaddress.ip_network(name)
    except ValueError:
        return None


def _address(entry: Host, host: str, port: int, resolve: Resolve) -> str:
    """Return an address of a host to connect to. Raises: AccessDenied if one of them may not be asked."""
    try:
        found = resolve(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        raise ProviderError(f"The name {host} could not be resolved.", retryable=True) from exc
    addresses = [str(one[4][0]) for one in found]
    for text in addresses:
        address = ipaddress.ip_address(text.partition("%")[0])
        if not (address in entry.network if entry.network is not None else is_public(address)):
            raise AccessDenied(
                f"{host} has an address that may not be asked.",
                hint="If it is meant to be in a private network, name that in ingest_hosts: NAME=NETWORK.",
            )
    if not addresses:
        raise ProviderError(f"The name {host} has no address.", retryable=True)
    return addresses[0]


def _load(
    parts: SplitResult, host: str, port: int, address: str, folder: Path, max_bytes: int, timeout_s: float
) -> Path:
    end = time.monotonic() + timeout_s
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(host, port, timeout=timeout_s)
    wires: list[socket.socket] = []  # the connection, and what is wrapped around it
    late = threading.Event()

    def cut() -> None:  # a server may send a byte now and then for ever: no time limit of a socket sees that
        late.set()
        with contextlib.suppress(OSError):
            socket.socket.shutdown(wires[-1], socket.SHUT_RDWR)

    watch = threading.Timer(timeout_s, cut)
    watch.daemon = True
    try:
        wires.append(socket.create_connection((address, port), timeout=min(CONNECT_S, timeout_s)))
        watch.interval = max(0.0, end - time.monotonic())
        watch.start()
        wires[0].settimeout(timeout_s)
        if parts.scheme == "https":
            context = ssl.create_default_context()
            wires.append(context.wrap_socket(wires[0], server_hostname=host, do_handshake_on_connect=False))
            if late.is_set():  # it cut what was being wrapped
                raise TimeoutError
            wires[1].do_handshake()  # type: ignore[attr-defined]
        connection.sock = wires[-1]
        target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
        query = f"?{quote(parts.query, safe='/%:@!$&()*+,;=~-._?')}" if parts.query else ""
        agent = {"User-Agent": f"anamnos/{__version__}", "Accept-Encoding": "identity", "Connection": "close"}
        connection.request("GET", target + query, headers=agent)
        return _saved(connection.getresponse(), parts, folder, max_bytes, late)
    except (OSError, http.client.HTTPException) as exc:
        if late.is_set() or isinstance(exc, TimeoutError):
            raise _too_slow(host, timeout_s) from exc
        raise ProviderError(f"{host} did not answer: {type(exc).__name__}.", retryable=True) from exc
    finally:
        watch.cancel()
        connection.close()
        for wire in wires:
            wire.close()


def _saved(
    response: http.client.HTTPResponse, parts: SplitResult, folder: Path, max_bytes: int, late: threading.Event
) -> Path:
    """Write what came to a file and return that. Raises: as ``fetched``; TimeoutError if it was cut off."""
    host = parts.hostname
    if 300 <= response.status < 400:
        raise AccessDenied(
            f"{host} leads elsewhere, which is not followed.", hint="Give the address of the file itself."
        )
    if response.status != 200:
        raise ProviderError(f"{host} said {response.status}.", retryable=response.status in (429, 502, 503, 504))
    if response.getheader("Content-Encoding", "identity").lower() != "identity":
        raise ProviderError(f"{host} sent it packed, though that was not asked for.")
    if (response.length or 0) > max_bytes:
        raise _too_long(max_bytes)
    path, size = folder / _name(parts, response), 0
    with path.open("wb") as file:
        while part := response.read1(_CHUNK):
            size += len(part)
            if size > max_bytes:
                raise _too_long(max_bytes)
            file.write(part)
    if late.is_set():
        raise TimeoutError
    if response.length:
        raise http.client.IncompleteRead(b"", response.length)
    return path


def _name(parts: SplitResult, response: http.client.HTTPResponse) -> str:
    """Return a file's name from its URL, with the suffix that says its format."""
    plain = re.sub(r"[^\w.-]+", "_", unquote(parts.path.rpartition("/")[2])).encode()[-100:].decode(errors="ignore")
    name = plain.lstrip(".-") or "page"
    if Path(name).suffix:
        return name
    return name + _SUFFIXES.get(response.headers.get_content_type(), ".txt")


def _too_long(max_bytes: int) -> LimitExceeded:
    return LimitExceeded(f"The file is longer than {max_bytes:,} bytes.", hint="Raise ingest_mb.")


def _too_slow(host: str, timeout_s: float) -> LimitExceeded:
    return LimitExceeded(f"{host} did not send it within {timeout_s:g} seconds.", hint="Try again later.")
