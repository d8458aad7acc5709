"""MCP over streamable HTTP, beside the REST routes or alone: callers with keys, each in the scope that it may reach.

Each request stands alone: there are no sessions that a stranger could take over, and nothing is held for clients that
never come back. So there is no stream from the server either, and GET is answered with 405, as the protocol allows.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

from fastapi import FastAPI, Request, Response
from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from starlette.middleware import Middleware

from anamnos.config import ServerSettings
from anamnos.cube import Scope
from anamnos.errors import AccessDenied, InvalidInput
from anamnos.memory import Memory
from anamnos.server import problems
from anamnos.server.auth import Authenticator
from anamnos.server.callers import Caller
from anamnos.server.dependencies import Asks
from anamnos.server.limits import middlewares
from anamnos.server.mcp.server import Place, make_server
from anamnos.server.pool import Pool
from anamnos.server.serving import Serving

PATH = "/mcp"
MAX_REQUEST_BYTES = 16 * 1024 * 1024


def mount(app: FastAPI, serving: Serving, *, within: Scope | None = None, reference: bool = False) -> None:
    """Serve MCP at ``/mcp`` of an application.

    within     no caller leaves this scope, and who names none works in it; None: all that its key reaches
    reference  as of ``make_server``
    """
    server = make_server(lambda request: request.state.place, reference=reference)
    whole_life = app.router.lifespan_context

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Any]:
        async with whole_life(app) as state, _answering(server) as app.state.mcp:
            yield state

    async def answer(request: Request, caller: Asks) -> Response:
        scope = scope_of(caller, request.query_params, within)
        request.state.place = Place(serving.memory(caller, scope), scope)
        return _Answer(request.app.state.mcp)

    app.router.lifespan_context = lifespan
    app.add_api_route(PATH, answer, methods=["POST"], include_in_schema=False, response_model=None)


def create_app(
    memory: Memory,
    settings: ServerSettings,
    *,
    within: Scope | None = None,
    reference: bool = False,
    session_key: str | None = None,
) -> FastAPI:
    """Return an application that serves a memory over MCP and nothing else, and closes the memory at its end.

    within, reference  as of ``mount``
    session_key        a key that may do everything as long as this application runs
    """
    known = Authenticator(memory.keys, settings, session_key)
    served = Serving(Pool(memory, threads=settings.threads), settings, known)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(served.pool.close)  # it waits for verbs in progress

    app = FastAPI(
        title="Anamnos",
        openapi_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        middleware=[*middlewares(settings, known), Middleware(problems.Unexpected)],
        telemetry={"tracing": False, "metrics": False, "logs": False, "operation_spans": False},  # it would tell words
    )
    app.state.serving = served
    problems.install(app)
    mount(app, served, within=within, reference=reference)
    return app


def scope_of(caller: Caller, query: Mapping[str, str], within: Scope | None = None) -> Scope:
    """Return the scope in which a caller works: its owner's, else what the address names, else ``within``.

    query  of the address of the server, as in ``/mcp?user=ann&session=monday``
    Raises: InvalidInput if nothing says whose memory it is; AccessDenied for what is not the caller's, or not inside
    ``within``.
    """
    kind, _, name = caller.owner.partition(":")
    owned = {kind: name} if kind in ("user", "agent") else {}
    asked = {part: query[part] for part in ("tenant", "user", "agent", "session") if query.get(part)}
    if any(asked.get(part, name) != name for part, name in owned.items()):
        raise AccessDenied(f"{caller.name} is a key of {caller.owner} only.", hint="Leave the user out of the address.")
    only = caller.tenants[0] if caller.tenants is not None and len(caller.tenants) == 1 else None
    given = {} if within is None else within.to_dict()
    parts = {**({"tenant": only} if only else {}), **given, **asked, **owned}
    if not parts.keys() - {"tenant"}:
        raise InvalidInput(
            "Nothing says whose memory this is about.", hint=f"Name somebody in the address: {PATH}?user=NAME"
        )
    scope = Scope(**parts)
    if within is not None and not within.covers(scope):
        raise AccessDenied(f"This server serves the scope {within}, not {scope}.")
    return scope


@contextlib.asynccontextmanager
async def _answering(server: MCPServer[Any]) -> AsyncIterator[Any]:
    """Yield what answers requests, an ASGI application, for one life of the server."""
    server.streamable_http_app(
        json_response=True,
        stateless_http=True,
        max_request_body_size=MAX_REQUEST_BYTES,
        # the names that a server may be reached by are checked before, for all routes
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )
    manager = server.session_manager
    async with manager.run():
        yield manager.asgi_app


class _Answer(Response):
    """What another ASGI application answers."""

    def __init__(self, application: Any) -> None:
        super().__init__()
        self._application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._application(scope, receive, send)
