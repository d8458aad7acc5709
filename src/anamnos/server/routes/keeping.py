"""Moving and keeping the vault: export, import, backup, checks, another embedder."""

from __future__ import annotations

import asyncio
import re
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.background import BackgroundTask

from anamnos.cube import Scope
from anamnos.memory.core import Progress
from anamnos.server import streaming
from anamnos.server.answers import BackupOut, Done, ProblemsOut, ReceiptOut, StatsOut
from anamnos.server.dependencies import Asks, Operates, Scoped, Serves, maybe_scope_query
from anamnos.server.models import Backup, Reembed
from anamnos.server.route import Route
from anamnos.server.routes.evolving import LINES
from anamnos.server.streaming import NDJSON, Upload, naming

router = APIRouter(prefix="/v1", tags=["keep"], route_class=Route)

_FILE: dict[int | str, dict[str, Any]] = {
    200: {"content": {NDJSON: {"schema": {"type": "string"}}}, "description": "Every version, one a line."}
}
_BODY = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}, "required": True}


@router.get("/stats", response_model=StatsOut)
async def stats(scope: Annotated[Scope | None, Depends(maybe_scope_query)], who: Asks, served: Serves) -> JSONResponse:
    """Return how much is remembered; without a scope in the whole vault, which needs an operator."""
    memory = served.whole(who) if scope is None else served.memory(who, scope)
    return JSONResponse(await memory.stats(scope))


@router.get("/export", response_class=FileResponse, responses=_FILE)
async def export(
    scope: Scoped,
    who: Asks,
    served: Serves,
    redact: Annotated[bool, Query(description="Write labels in place of addresses, numbers and keys.")] = False,
) -> Response:
    """Download every version of every memory of a scope."""
    memory = served.memory(who, scope)
    # To a file first: whatever goes wrong is said before the first byte, and a slow reader holds no thread and no
    # look at the store. Its name stands in the record of copies.
    download = Upload(f"export-by-{re.sub(r'[^A-Za-z0-9]+', '-', who.name)}.jsonl")
    try:
        await memory.export(download.path, scope, redact=redact)
    except BaseException:
        await asyncio.to_thread(download.close)
        raise
    done = BackgroundTask(download.close)
    return FileResponse(download.path, media_type=NDJSON, filename="export.jsonl", background=done)


@router.post("/import", name="import", response_model=ReceiptOut, responses=LINES, openapi_extra={"requestBody": _BODY})
async def import_(request: Request, who: Operates, served: Serves) -> Response:
    """Read a file that export wrote, all or nothing."""
    upload = await Upload("import.jsonl").receive(request, served.settings.ingest_mb)
    memory = served.whole(who).memory

    def work(progress: Progress) -> dict[str, Any]:
        with naming(upload.path):
            try:
                return served.wrote(memory.import_(upload.path, progress=progress))
            finally:
                upload.close()

    return await streaming.answer(request, served, work, "receipt")


@router.post("/backup", response_model=BackupOut)
async def backup(body: Backup, who: Operates, served: Serves) -> JSONResponse:
    """Copy the vault to a folder of that name below the one of the setting `backups`, while others use it."""
    vault = served.pool.memory.vault.folder.absolute()
    folder = vault.parent / (served.settings.backups or f"{vault.name}-backups") / body.name
    report = await served.whole(who).backup(folder, incremental=body.incremental)
    parts = {part: getattr(report, part) for part in ("sequence", "size_bytes", "written_bytes")}
    return JSONResponse({"name": body.name, **parts})


@router.get("/verify", response_model=ProblemsOut)
async def verify(who: Operates, served: Serves) -> JSONResponse:
    """Check every part of the vault."""
    problems = await served.whole(who).verify()
    return JSONResponse({"ok": not problems, "problems": problems})


@router.post("/rebuild-index", response_model=Done)
async def rebuild_index(who: Operates, served: Serves) -> JSONResponse:
    """Make everything derived again from the texts."""
    await served.whole(who).rebuild_index()
    served.pool.forget()
    return JSONResponse({"done": True})


@router.post("/reembed", response_model=Done, responses=LINES)
async def reembed(request: Request, body: Reembed, who: Operates, served: Serves) -> Response:
    """Change the embedder of the vault. A stop loses nothing; the next run goes on from there."""
    memory = served.whole(who).memory

    def work(progress: Progress) -> dict[str, Any]:
        memory.reembed(body.embedder, progress=progress)
        served.pool.forget()
        return {"done": True}

    return await streaming.answer(request, served, work, "result")
