"""Whether the server is well, what it counts, and who asks it."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST

from anamnos import __version__
from anamnos.errors import AnamnosError
from anamnos.server import problems
from anamnos.server.answers import MeOut, StatusOut
from anamnos.server.dependencies import Asks, Serves, caller, serving
from anamnos.server.route import Route

router = APIRouter(tags=["server"])
mine = APIRouter(prefix="/v1", tags=["server"], route_class=Route)


@router.get("/healthz", response_model=StatusOut)
async def healthz() -> JSONResponse:
    """Say that the process is alive."""
    return JSONResponse({"status": "ok"})


@router.get("/readyz", response_model=StatusOut, responses={503: {"description": "The store does not answer."}})
async def readyz(served: Serves) -> JSONResponse:
    """Say whether the store answers and requests are taken."""
    try:
        await served.run(served.pool.memory.vault.store.sequence)
    except (AnamnosError, RuntimeError):  # closed, or being closed
        return problems.problem(503, "busy", "The store does not answer.", retryable=True)
    if served.stopping.is_set():
        return problems.problem(503, "busy", "The server is being stopped.", retryable=True)
    return JSONResponse({"status": "ok"})


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(request: Request) -> Response:
    """Return counts and times for Prometheus. It needs an operator, unless the setting `metrics_open` is on."""
    served = serving(request)
    if served.settings.metrics_open != "on":
        served.whole(await caller(request))
    return Response(await served.run(served.measures.text), media_type=CONTENT_TYPE_LATEST)


@mine.get("/me", response_model=MeOut)
async def me(who: Asks, served: Serves) -> JSONResponse:
    """Say who asks, what they may do, and what is asked."""
    memory = served.pool.memory
    return JSONResponse(
        {
            "name": who.name,
            "tenants": None if who.tenants is None else list(who.tenants),
            "rights": list(who.rights),
            "owner": who.owner,
            "operator": who.operator,
            "version": __version__,
            "recipe": memory.settings.recipe,
            "embedder": memory.embedder.id,
        }
    )
