"""Bodies that come and answers that go piece by piece: files to a temporary place, progress as lines of JSON."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.requests import ClientDisconnect

from anamnos.errors import AnamnosError, ConfigError, InvalidInput, LimitExceeded
from anamnos.memory.core import Progress
from anamnos.server import problems
from anamnos.server.serving import Serving
from anamnos.store.files import wipe

NDJSON = "application/x-ndjson"
_PIECE = 1 << 20  # so much of a body is gathered before it is written
_PLAIN = re.compile(r"[^\w.() -]+")

Work = Callable[[Progress], dict[str, Any]]
"""A verb with its arguments: returns its result as JSON data, and tells ``Progress`` how far it is."""


class Upload:
    """A body of a request as a file of a folder of its own, which ``close`` removes."""

    def __init__(self, name: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="anamnos-"))
        plain = _PLAIN.sub("_", Path(name.replace("\\", "/")).name).strip(". ")
        plain = plain.encode()[-100:].decode(errors="ignore")  # file systems count bytes
        self.path = self.folder / (plain or "upload")

    async def receive(self, request: Request, limit_mb: float) -> Upload:
        """Take the body of a request. Raises: LimitExceeded, InvalidInput if it breaks off; then nothing is left."""
        try:
            await self._write(request, int(limit_mb * 1_000_000))
        except BaseException:
            await asyncio.to_thread(self.close)
            raise
        return self

    def close(self) -> None:
        """Overwrite the file with zeros and remove it: what was erased from the vault must not stay in its copy."""
        with suppress(OSError):  # not there, or not to be written to; it is removed below
            wipe(self.path)
        shutil.rmtree(self.folder, ignore_errors=True)

    async def _write(self, request: Request, limit: int) -> None:
        gathered, total = bytearray(), 0
        with self.path.open("wb") as file:
            try:
                async for chunk in request.stream():
                    total += len(chunk)
                    if total > limit:
                        raise LimitExceeded(
                            f"The file has more than {limit:,} bytes, which is the limit of this server.",
                            hint="Send it in parts, or raise ingest_mb.",
                        )
                    gathered += chunk
                    if len(gathered) >= _PIECE:
                        await asyncio.to_thread(file.write, bytes(gathered))
                        gathered.clear()
            except ClientDisconnect as exc:
                raise InvalidInput("The body of the request broke off.") from exc
            await asyncio.to_thread(file.write, bytes(gathered))
        if not total:
            raise InvalidInput("The body of the request is empty.", hint="Send the file as the body.")


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let errors name a temporary file, and not where it lies."""
    try:
        yield
    except AnamnosError as exc:
        exc.message, exc.hint = (text.replace(str(path), path.name) for text in (exc.message, exc.hint))
        raise


def wants_lines(request: Request, *, default: bool) -> bool:
    """Return whether the client asks for progress, line by line."""
    accept = request.headers.get("accept", "")
    return NDJSON in accept or (default and "application/json" not in accept)


async def answer(request: Request, served: Serving, work: Work, name: str, *, lines: bool = False) -> Response:
    """Do long work in a thread and return its result as JSON, or line by line with its progress if that is asked for.

    name   of the result in the last line: ``{"receipt": …}``
    lines  whether lines are what comes unless JSON is asked for
    Work that has begun goes on to its end even if nobody waits for it any more.
    """

    def run(progress: Progress) -> dict[str, Any]:
        try:
            return work(progress)
        except ConfigError as exc:  # what was asked for is not set up here: no fault, and the caller may ask otherwise
            raise InvalidInput(exc.message, hint=exc.hint) from exc

    if not wants_lines(request, default=lines):
        return JSONResponse(await served.run(run, lambda done, total: None))
    return StreamingResponse(_lines(served, run, name), media_type=NDJSON)


async def _lines(served: Serving, work: Work, name: str) -> AsyncIterator[bytes]:
    loop, news = asyncio.get_running_loop(), asyncio.Event()
    latest: list[tuple[int, int]] = []  # only the latest counts, so a slow reader fills no memory

    def progress(done: int, total: int) -> None:
        latest[:] = [(done, total)]
        loop.call_soon_threadsafe(news.set)

    task = asyncio.ensure_future(served.run(work, progress))

    def ended(task: asyncio.Task[dict[str, Any]]) -> None:
        if not task.cancelled():
            task.exception()  # looked at, or the loop would log its words where nobody waits for it any more
        news.set()

    task.add_done_callback(ended)
    while not task.done():
        await news.wait()
        news.clear()
        for done, total in latest:
            yield _line({"done": done, "total": total})
        latest.clear()
    try:
        yield _line({name: task.result()})
    except Exception as exc:
        yield _line({"problem": problems.of_any(exc)})


def _line(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"
