"""Files: streamed in, or fetched from an address that the settings allow."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from anamnos.cube import Scope
from anamnos.memory import Memory
from anamnos.memory.core import Progress
from anamnos.server import streaming
from anamnos.server.answers import ReceiptOut
from anamnos.server.dependencies import Asks, Scoped, Serves
from anamnos.server.fetching import fetched, hosts_of
from anamnos.server.limits import MB
from anamnos.server.models import IngestUrl, Name, ReaderName, Source
from anamnos.server.route import Route
from anamnos.server.serving import Serving
from anamnos.server.streaming import NDJSON, Upload, naming

router = APIRouter(prefix="/v1", tags=["ingest"], route_class=Route)

_LINES = {"schema": {"type": "string"}, "examples": {"all": {"value": '{"done": 1, "total": 1}\n{"receipt": {}}\n'}}}
_ANSWERS: dict[int | str, dict[str, Any]] = {200: {"content": {NDJSON: _LINES}}}
_BODY = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}, "required": True}


@router.post("/ingest", response_model=ReceiptOut, responses=_ANSWERS, openapi_extra={"requestBody": _BODY})
async def ingest(
    request: Request,
    scope: Scoped,
    who: Asks,
    served: Serves,
    name: Annotated[Name, Query(description="The name of the file: its end says the format.")] = "upload.txt",
    reader: Annotated[
        ReaderName | None, Query(description="The format; found by looking at the file if left out.")
    ] = None,
    source: Annotated[
        Source | None, Query(description="What it is called in provenance; its name if left out.")
    ] = None,
    tag: Annotated[list[Name] | None, Query()] = None,
) -> Response:
    """Remember a file: a chat export, notes, a document. Its bytes are the body of the request.

    The answer comes line by line: `{"done": 64, "total": 900}` …, then `{"receipt": {…}}` or `{"problem": {…}}`; with
    `Accept: application/json` just the receipt. What was written before a fault stays, and sending the file again
    goes on from there.
    """
    memory = served.memory(who, scope).memory
    upload = await Upload(name).receive(request, served.settings.ingest_mb)
    how = {"reader": reader, "source": source or name, "tags": tag or []}
    return await _remembered(request, served, memory, upload.path, upload.close, scope, how)


@router.post("/ingest/url", response_model=ReceiptOut, responses=_ANSWERS)
async def ingest_url(request: Request, body: IngestUrl, who: Asks, served: Serves) -> Response:
    """Remember what is behind an address, if its host is one of the setting `ingest_hosts`."""
    scope = body.scope.scope()
    memory, settings = served.memory(who, scope).memory, served.settings
    kept = ExitStack()  # fetched before the first byte of the answer, so that a refusal has its status
    there = fetched(body.url, hosts_of(settings.ingest_hosts), max_bytes=int(settings.ingest_mb * MB))
    path = await served.run(kept.enter_context, there)
    how = {"reader": body.reader, "source": body.source or body.url, "tags": body.tags}
    return await _remembered(request, served, memory, path, kept.close, scope, how)


async def _remembered(
    request: Request,
    served: Serving,
    memory: Memory,
    path: Path,
    close: Callable[[], None],
    scope: Scope,
    how: dict[str, Any],
) -> Response:
    def work(progress: Progress) -> dict[str, Any]:
        with naming(path):
            try:
                return served.wrote(memory.ingest(path, scope, progress=progress, **how))
            finally:
                close()

    return await streaming.answer(request, served, work, "receipt", lines=True)
