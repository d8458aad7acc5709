"""Running the application in a process of its own, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from anamnos.config import ServerSettings
from anamnos.errors import ConfigError

GRACE_S = 30  # for requests in progress; verbs that have begun are brought to their end all the same


def _protocol(patience_s: float) -> type[asyncio.Protocol]:
    """Return a protocol that gives up connections on which, for so long, no request begins (slowloris): uvicorn waits
    for the head of a request for ever. It is the one of h11, which also ends heads that are too long."""

    class Patient(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self.loop.call_later(patience_s, self._look, self.cycle)

        def _look(self, before: object) -> None:
            if self.transport.is_closing():
                return
            waits = self.cycle is None or self.cycle.response_complete
            if waits and self.cycle is before:
                self.transport.close()
            else:
                self.loop.call_later(patience_s, self._look, self.cycle)

    return Patient


class _Server(uvicorn.Server):
    """Tells the application that it is to stop as soon as a signal says so: answers without an end wait for that."""

    def __init__(self, config: uvicorn.Config, stop: Callable[[], object]) -> None:
        super().__init__(config)
        self._stop = stop

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._stop()
        super().handle_exit(sig, frame)


def listen(settings: ServerSettings) -> socket.socket:
    """Return a socket that listens where the settings say. Raises: ConfigError if it cannot."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        at = socket.create_server((settings.host.strip("[]"), settings.port), family=family, backlog=2_048)
    except OSError as exc:
        raise ConfigError(
            f"The server cannot listen at {settings.host} port {settings.port}: {exc.strerror or exc}.",
            hint="Choose another with --host and --port; port 0 is any that is free.",
        ) from exc
    # an answer goes out in two pieces: else the second would wait for the first to be acknowledged, 40 ms
    at.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return at


def address(at: socket.socket) -> str:
    """Return the address of a listening socket, as a browser takes it."""
    host, port = at.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run(app: FastAPI, at: socket.socket, *, ready: Callable[[], None] = lambda: None) -> None:
    """Serve until SIGTERM or SIGINT: then nothing new is taken, and requests in progress are brought to their end.

    ready  called once requests are taken
    """
    served, loop = app.state.serving, asyncio.new_event_loop()

    whole_life = app.router.lifespan_context

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Any]:
        async with whole_life(app) as state:
            ready()
            yield state

    app.router.lifespan_context = lifespan
    config = uvicorn.Config(
        app,
        http=_protocol(served.settings.body_timeout_s),
        access_log=False,  # addresses hold what callers wrote
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
        lifespan="on",
    )
    server = _Server(config, lambda: loop.call_soon_threadsafe(served.stopping.set))
    with _no_end_by_signal(), at, asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(server.serve(sockets=[at]))


@contextlib.contextmanager
def _no_end_by_signal() -> Iterator[None]:
    """Let the process end as usual: the server, done with a signal, raises it once more."""
    before = {sig: signal.signal(sig, lambda *_: None) for sig in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for sig, handler in before.items():
            signal.signal(sig, handler)
