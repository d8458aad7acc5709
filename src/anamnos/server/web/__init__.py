"""The web page: plain files that talk to the REST face of the same server, and to nothing else."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope as Asked

from anamnos.server.routes import views

FOLDER = Path(__file__).parent
_FRESH = {"Cache-Control": "no-cache"}  # asked again each time, answered by 304 if nothing has changed
_POLICY = (
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'"
)


class _Assets(StaticFiles):
    async def get_response(self, path: str, scope: Asked) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(_FRESH)
        return response


async def _page(request: Request) -> Response:
    return FileResponse(FOLDER / "index.html", headers={**_FRESH, "Content-Security-Policy": _POLICY})


def mount(app: FastAPI) -> None:
    """Serve the page at ``/`` and its files at ``/assets``. They hold nothing of any memory: no key is asked for."""
    app.include_router(views.charts)
    app.router.routes.append(Route("/", _page, methods=["GET"], include_in_schema=False))
    app.router.routes.append(Mount("/assets", _Assets(directory=FOLDER / "assets"), name="assets"))
