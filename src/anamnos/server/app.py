"""The application: every route over one memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.middleware import Middleware

from anamnos import __version__
from anamnos.config import ServerSettings
from anamnos.errors import MissingExtra
from anamnos.memory import Memory
from anamnos.server import openapi, problems, web
from anamnos.server.auth import Authenticator
from anamnos.server.limits import middlewares
from anamnos.server.pool import Pool
from anamnos.server.routes import (
    evolving,
    governing,
    ingesting,
    jobs,
    keeping,
    living,
    memories,
    probes,
    searching,
    views,
)
from anamnos.server.serving import Serving
from anamnos.server.telemetry import Watch, spans_of

ROUTERS = (
    memories.router,
    searching.router,
    ingesting.router,
    evolving.router,
    living.router,
    keeping.router,
    jobs.router,
    governing.router,
    views.router,
    probes.mine,
    probes.router,
)


def create_app(
    memory: Memory,
    settings: ServerSettings | None = None,
    *,
    session_key: str | None = None,
    tracing: Any = None,
) -> FastAPI:
    """Return the application that serves a memory, which it closes at its end.

    session_key  a key that may do everything as long as this application runs
    tracing      a provider of spans, instead of the one of the settings
    """
    settings = settings or ServerSettings()
    known = Authenticator(memory.keys, settings, session_key)
    spans = spans_of(settings, tracing)
    if spans is not None:
        spans.follow(memory)
    served = Serving(Pool(memory, threads=settings.threads), settings, known)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(served.pool.close)  # it waits for verbs in progress
        if spans is not None:
            spans.close()

    app = FastAPI(
        title="Anamnos",
        version=__version__,
        description="A memory for AI. See the reference of the verbs in docs/reference/python.md.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        generate_unique_id_function=_operation,
        middleware=[
            Middleware(Watch, measures=served.measures, spans=spans),
            *middlewares(settings, known),
            Middleware(problems.Unexpected),
        ],
        telemetry={"tracing": False, "metrics": False, "logs": False, "operation_spans": False},  # it would tell words
    )
    app.state.serving = served
    problems.install(app, [route for router in ROUTERS for route in router.routes])
    openapi.install(app)
    for router in ROUTERS:
        app.include_router(router)
    if settings.web == "on":
        web.mount(app)
    if settings.mcp == "on":
        try:
            from anamnos.server.mcp import http
        except ImportError as exc:
            raise MissingExtra("MCP", "mcp") from exc
        http.mount(app, served)
    return app


def _operation(route: APIRoute) -> str:
    return route.name
