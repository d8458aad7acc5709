"""What stands before every route: how often, how much and how slowly somebody may send, and from which pages.

Each is plain ASGI, so that bodies and answers stream through. ``middlewares`` puts them in order.
"""

from __future__ import annotations

import asyncio
import ipaddress
import math
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from anamnos.config import ServerSettings, is_loopback, listed
from anamnos.errors import AccessDenied, AnamnosError, InvalidInput, LimitExceeded, RateLimited, Unauthenticated
from anamnos.server.auth import Authenticator
from anamnos.server.problems import MEDIA_TYPE, of_error

MB = 1_000_000
STEADY = 32_768  # bytes a second: a body that comes as fast as this is waited for, however long it is
PROBES = ("/healthz", "/readyz")  # asked often, from an address that may be everybody's: a proxy's
LONG = ("/v1/ingest", "/v1/import")  # whose body is a file
_BUCKETS = 10_000  # callers that are told apart
_MAX_ADDRESS = 64  # characters that are kept of one that is none: a proxy's header says what it likes
_CHANGES = frozenset(("POST", "PUT", "PATCH", "DELETE"))
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?")
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none';"
    " form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def middlewares(settings: ServerSettings, authenticator: Authenticator) -> list[Middleware]:
    """Return what every request goes through, the outermost first."""
    origins = listed(settings.cors)
    cors = Middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=("GET", "POST", "PUT", "PATCH", "DELETE"),
        allow_headers=("authorization", "content-type", "idempotency-key", "if-match", "if-none-match"),
        expose_headers=("etag", "link", "retry-after", "ratelimit-limit", "ratelimit-remaining"),
    )
    return [
        Middleware(SecurityHeaders),
        Middleware(HostCheck, bound=settings.host, hosts=listed(settings.hosts)),
        *([cors] if origins else []),
        Middleware(OriginCheck, origins=origins),
        Middleware(RateLimit, authenticator=authenticator, per_minute=settings.rate_per_minute),
        Middleware(
            BodyLimit,
            max_bytes=int(settings.body_mb * MB),
            max_file_bytes=int(settings.ingest_mb * MB),
            timeout_s=settings.body_timeout_s,
        ),
    ]


def refusal(error: AnamnosError, *, close: bool = False) -> JSONResponse:
    """Return the answer to a request that goes no further; with ``close`` nothing more is read of its connection."""
    headers = {**getattr(error, "headers", {}), **({"Connection": "close"} if close else {})}
    return JSONResponse(of_error(error), error.http_status, headers=headers, media_type=MEDIA_TYPE)


class SecurityHeaders:
    """Tells browsers to run nothing but the files of this server, to show it in no frame, and to keep no answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if scope["path"].startswith("/v1/"):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, told)


class HostCheck:
    """Takes requests only that name this server, so that no page can reach it under a name of its own (DNS rebinding).

    bound  the address that the server listens at; if it is every one, addresses in digits are taken, which no page owns
    hosts  further names
    """

    def __init__(self, app: ASGIApp, *, bound: str, hosts: Sequence[str] = ()) -> None:
        self._app = app
        self._names = {name.lower().rstrip(".") for name in (bound, *hosts) if name}
        self._any_address = bound in ("", "0.0.0.0", "::")  # noqa: S104  # compared, not bound

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and not self._is_own(Headers(scope=scope).getlist("host")):
            error = AccessDenied("The request names another server.", hint="Put the name into the setting hosts.")
            await refusal(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _is_own(self, named: Sequence[str]) -> bool:
        form = _HOST.fullmatch(named[0].lower()) if len(named) == 1 else None
        if form is None:
            return False
        name = form[1].strip("[]").rstrip(".")
        return name in self._names or is_loopback(name) or (self._any_address and _is_address(name))


class OriginCheck:
    """Takes nothing that changes something from a page of elsewhere (CSRF).

    origins  that may, such as ``https://notes.example.org``; ``*``: all
    """

    def __init__(self, app: ASGIApp, *, origins: Sequence[str] = ()) -> None:
        self._app = app
        self._origins = frozenset(origin.lower().rstrip("/") for origin in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        changes = scope["type"] == "websocket" or (scope["type"] == "http" and scope["method"] in _CHANGES)
        if changes and not self._may(Headers(scope=scope)):
            error = AccessDenied("A page of another origin may not do this.", hint="Put it into the setting cors.")
            await refusal(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _may(self, headers: Headers) -> bool:
        if "*" in self._origins:
            return True
        origin = headers.get("origin")
        if origin is None:  # no browser, or one that says it otherwise
            return headers.get("sec-fetch-site", "none") in ("none", "same-origin")
        try:
            named = urlsplit(origin.lower()).netloc
        except ValueError:  # no origin that a browser would send
            return False
        return origin.lower() in self._origins or named == headers.get("host", "").lower()


class RateLimit:
    """Lets each caller send so many requests in a minute; who shows no key that counts is told by the address.

    Who shows one is found out here, once, and is ``request.state.caller`` from then on.
    per_minute  also how many may come at once; 0: any number
    clock       seconds that only grow
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        authenticator: Authenticator,
        per_minute: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._authenticator = authenticator
        self._per_minute = per_minute
        self._clock = clock
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()  # what is left, and when that was so

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self._app(scope, receive, send)
            return
        headers, refused = Headers(scope=scope), None
        who: Hashable = _network(scope)
        if "authorization" in headers:
            try:
                if len(headers.getlist("authorization")) > 1:
                    raise Unauthenticated("The request shows more than one key.")
                # it may read the vault or ask a provider
                who = await asyncio.to_thread(self._authenticator.authenticate, headers)
                scope.setdefault("state", {})["caller"] = who
            except AnamnosError as exc:
                refused = exc
        left, wait = self._take(who)
        if wait:
            limit = f"{self._per_minute} requests a minute are taken of one caller."
            refused = RateLimited(limit, hint=f"Try again in {wait} seconds.", retry_after_s=wait)

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start" and self._per_minute:
                of = MutableHeaders(scope=message)
                of["RateLimit-Limit"], of["RateLimit-Remaining"] = str(self._per_minute), str(left)
                of["RateLimit-Reset"] = str(math.ceil((self._per_minute - left) * 60 / self._per_minute))
            await send(message)

        await (self._app if refused is None else refusal(refused))(scope, receive, told)

    def _take(self, who: Hashable) -> tuple[int, int]:
        """Return how many requests are left, and the seconds to wait if this one is too many."""
        if not self._per_minute:
            return 0, 0
        now, rate = self._clock(), self._per_minute / 60
        had, at = self._buckets.pop(who, (float(self._per_minute), now))
        have = min(float(self._per_minute), had + (now - at) * rate)
        taken = have >= 1
        self._buckets[who] = have - taken, now
        while len(self._buckets) > _BUCKETS:
            self._buckets.popitem(last=False)
        return int(have - taken), 0 if taken else max(1, math.ceil((1 - have) / rate))


class BodyLimit:
    """Ends requests whose body is too long, or comes too slowly, or packed: what it would unpack to, nobody knows.

    max_bytes       of a body
    max_file_bytes  of one that is a file
    timeout_s       how long is waited for a body, and a second more for each 32 KiB of it that came
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int, max_file_bytes: int, timeout_s: float) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._max_file_bytes = max_file_bytes
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = self._max_file_bytes if scope["path"].rstrip("/") in LONG else self._max_bytes
        headers = Headers(scope=scope)
        if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
            await refusal(_packed(), close=True)(scope, receive, send)
            return
        said = headers.get("content-length", "")
        if said.isascii() and said.isdigit() and int(said[:20]) > most:
            await refusal(_too_long(most), close=True)(scope, receive, send)
            return
        body = _Body(receive, send, most, self._timeout_s)
        try:
            await self._app(scope, body.receive, body.send)
        except LimitExceeded as exc:
            if exc is not body.error or body.started:
                raise
        if body.error is not None and not body.started:
            await refusal(body.error, close=True)(scope, receive, send)


class _Body:
    """A body that is counted as it comes. ``error`` says why no more is taken; ``started``: an answer is on its way."""

    def __init__(self, receive: Receive, send: Send, most: int, timeout_s: float) -> None:
        self._receive, self._send = receive, send
        self._most, self._left_s = most, timeout_s
        self._got = 0
        self._whole = False
        self.error: LimitExceeded | None = None
        self.started = False

    async def receive(self) -> Message:
        if self.error is not None:
            raise self.error
        if self._whole:  # from here on only the end of the connection is waited for
            return await self._receive()
        begun = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(self._left_s):
                message = await self._receive()
        except TimeoutError:
            self.error = _too_slow()
            raise self.error from None
        size = len(message.get("body", b""))
        self._left_s += size / STEADY - (asyncio.get_running_loop().time() - begun)
        self._got += size
        self._whole = not message.get("more_body", False)
        if self._got > self._most:
            self.error = _too_long(self._most)
            raise self.error
        return message

    async def send(self, message: Message) -> None:
        if self.error is not None and not self.started:
            return  # whatever the application makes of it: the request ends with what was wrong
        self.started = True
        await self._send(message)


def _too_long(most: int) -> LimitExceeded:
    return LimitExceeded(
        f"The body is longer than {most:,} bytes.", hint="Send less at once, or raise body_mb or ingest_mb."
    )


def _packed() -> InvalidInput:
    error = InvalidInput("The body is packed, which is not taken.", hint="Send it without Content-Encoding.")
    error.http_status = 415  # type: ignore[misc]  # of this one
    return error


def _too_slow() -> LimitExceeded:
    error = LimitExceeded("The body did not come in time.", hint="Try again, or raise body_timeout_s.")
    error.http_status = 408  # type: ignore[misc]  # of this one
    error.retryable = True  # type: ignore[misc]
    return error


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _network(scope: Scope) -> str:
    """Return the address of a request, and of an IPv6 one the part that one customer has."""
    host = (scope.get("client") or ("",))[0]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return str(host)[:_MAX_ADDRESS]
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))
    return str(address)
