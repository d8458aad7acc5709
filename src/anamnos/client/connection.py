"""The connection to a server, and the verbs over it: ``Client`` and ``AsyncClient``.

A call is sent again after a broken connection, a 429 or a 503, if doing it twice is doing it once: reads, and writes
with an ``Idempotency-Key`` or of a file, which are recognised.
"""

from __future__ import annotations

import asyncio
import functools
import json
import random
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Concatenate, ParamSpec, Self, TypeVar, cast
from urllib.parse import urlsplit

from anamnos.client import calls, reading
from anamnos.client.calls import Call
from anamnos.errors import AnamnosError, InvalidInput, MissingExtra, ProviderError

try:
    import httpx2
except ImportError as exc:
    raise MissingExtra("The client of the REST face", "server") from exc

P = ParamSpec("P")
R = TypeVar("R")

_CHUNK = 1 << 20
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 30.0
_AGAIN = (429, 503)


class _Connected:
    """What both clients share.

    url        such as ``http://127.0.0.1:8787``
    key        sent as a bearer token, and shown nowhere
    timeout_s  the longest wait for a reply
    retries    further attempts, with growing, jittered pauses
    """

    def __init__(self, url: str, key: str | None = None, *, timeout_s: float = 60.0, retries: int = 3) -> None:
        if urlsplit(url).scheme not in ("http", "https"):
            raise InvalidInput(f"url must start with http:// or https://, got {url!r}.")
        self.url = url.rstrip("/")
        self.retries = retries
        self._options: dict[str, Any] = {
            "base_url": self.url,
            "timeout": timeout_s,
            "headers": {"Authorization": f"Bearer {key}"} if key else {},
        }

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    def _pause(self, attempt: int, call: Call[Any], status: int | None, asked: str = "") -> float | None:
        """Return how many seconds to wait before the next attempt; None if there is to be none."""
        safe = call.method in ("GET", "PUT") or call.source is not None or "Idempotency-Key" in call.headers
        if attempt >= self.retries or not (safe or status == 429) or (status is not None and status not in _AGAIN):
            return None
        pause: float = _FIRST_PAUSE_S * 2**attempt * random.uniform(0.5, 1.5)  # noqa: S311  # jitter, no secret
        return min(max(pause, float(asked) if asked.isdecimal() else 0.0), _LONGEST_PAUSE_S)

    def _unreachable(self, exc: Exception) -> ProviderError:
        return ProviderError(
            f"The server at {self.url} did not answer: {type(exc).__name__}.",
            hint="Check the address, and that anamnos serve is running there.",
            retryable=True,
        )


def _request(call: Call[Any]) -> dict[str, Any]:
    query = {name: value for name, value in call.query.items() if value is not None}
    body = {} if call.body is None else {"json": call.body}
    return {"method": call.method, "url": call.path, "params": query, "headers": dict(call.headers), **body}


def _failure(status: int, body: bytes) -> AnamnosError:
    try:
        return reading.error(status, json.loads(body))
    except ValueError:
        return reading.error(status, None)


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as exc:
        raise InvalidInput(f"{path} cannot be read: {exc.strerror}.", hint="Check the path.") from exc


def _partial(target: Path) -> Path:
    return target.with_name(f"{target.name}.part")


# --- one call at a time ----------------------------------------------------------------------------------------------


def _sent(verb: Callable[P, Call[R]]) -> Callable[Concatenate[Client, P], R]:
    def call(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.send(verb(*args, **kwargs))

    functools.update_wrapper(call, verb)
    return call


class Client(_Connected):
    """The verbs of a server's memory. Thread-safe; close it, or use it as a context manager.

    url        such as ``http://127.0.0.1:8787``
    key        of the server; see ``anamnos keys create``
    timeout_s  the longest wait for a reply
    retries    further attempts where doing it twice is doing it once, with growing, jittered pauses
    Errors are those of the library (NotFound, Conflict …); ProviderError if there is no answer.
    """

    def __init__(self, url: str, key: str | None = None, *, timeout_s: float = 60.0, retries: int = 3) -> None:
        super().__init__(url, key, timeout_s=timeout_s, retries=retries)
        self._http = httpx2.Client(**self._options)

    def send(self, call: Call[R]) -> R:
        """Send a request, and return what its answer stands for."""
        attempt = 0
        while True:
            try:
                done, value = self._attempt(call)
            except httpx2.TransportError as exc:
                if (pause := self._pause(attempt, call, None)) is None:
                    raise self._unreachable(exc) from exc
            else:
                if done:
                    return cast(R, value)
                status, body, asked = value
                if (pause := self._pause(attempt, call, status, asked)) is None:
                    raise _failure(status, body)
            attempt += 1
            time.sleep(pause)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _attempt(self, call: Call[Any]) -> tuple[bool, Any]:
        asked = _request(call)
        if call.source is not None:
            asked["content"] = _chunks(call.source)
        with self._http.stream(**asked) as response:
            if not response.is_success:
                return False, (response.status_code, response.read(), response.headers.get("retry-after", ""))
            if call.target is None:
                return True, call.read(json.loads(response.read()))
            part = _partial(call.target)
            with part.open("wb") as file:
                for chunk in response.iter_bytes():
                    file.write(chunk)
            found = call.read(part)
            part.replace(call.target)
            return True, found

    add = _sent(calls.add)
    ingest = _sent(calls.ingest)
    ingest_url = _sent(calls.ingest_url)
    update = _sent(calls.update)
    delete = _sent(calls.delete)
    delete_all = _sent(calls.delete_all)
    search = _sent(calls.search)
    explain = _sent(calls.explain)
    answer_context = _sent(calls.answer_context)
    ask = _sent(calls.ask)
    suggest_tags = _sent(calls.suggest_tags)
    route = _sent(calls.route)
    get = _sent(calls.get)
    list = _sent(calls.list_)
    history = _sent(calls.history)
    working = _sent(calls.working)
    stats = _sent(calls.stats)
    enrich = _sent(calls.enrich)
    resolve = _sent(calls.resolve)
    correct = _sent(calls.correct)
    consolidate = _sent(calls.consolidate)
    merge = _sent(calls.merge)
    unmerge = _sent(calls.unmerge)
    freeze = _sent(calls.freeze)
    unfreeze = _sent(calls.unfreeze)
    archive = _sent(calls.archive)
    reactivate = _sent(calls.reactivate)
    used = _sent(calls.used)
    rollback = _sent(calls.rollback)
    share = _sent(calls.share)
    unshare = _sent(calls.unshare)
    expire = _sent(calls.expire)
    forget_person = _sent(calls.forget_person)
    export = _sent(calls.export)
    import_ = _sent(calls.import_)
    verify = _sent(calls.verify)
    me = _sent(calls.me)
    request = _sent(calls.request)


def _chunks(path: Path) -> Iterator[bytes]:
    with _opened(path) as file:
        while chunk := file.read(_CHUNK):
            yield chunk


# --- awaited ---------------------------------------------------------------------------------------------------------


def _awaited(verb: Callable[P, Call[R]]) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, R]]:
    async def call(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await self.send(verb(*args, **kwargs))

    functools.update_wrapper(call, verb)
    return call


class AsyncClient(_Connected):
    """The verbs of ``Client``, to be awaited."""

    def __init__(self, url: str, key: str | None = None, *, timeout_s: float = 60.0, retries: int = 3) -> None:
        super().__init__(url, key, timeout_s=timeout_s, retries=retries)
        self._http = httpx2.AsyncClient(**self._options)

    async def send(self, call: Call[R]) -> R:
        """Send a request, and return what its answer stands for."""
        attempt = 0
        while True:
            try:
                done, value = await self._attempt(call)
            except httpx2.TransportError as exc:
                if (pause := self._pause(attempt, call, None)) is None:
                    raise self._unreachable(exc) from exc
            else:
                if done:
                    return cast(R, value)
                status, body, asked = value
                if (pause := self._pause(attempt, call, status, asked)) is None:
                    raise _failure(status, body)
            attempt += 1
            await asyncio.sleep(pause)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def _attempt(self, call: Call[Any]) -> tuple[bool, Any]:
        asked = _request(call)
        if call.source is not None:
            asked["content"] = _awaited_chunks(call.source)
        async with self._http.stream(**asked) as response:
            if not response.is_success:
                return False, (response.status_code, await response.aread(), response.headers.get("retry-after", ""))
            if call.target is None:
                return True, call.read(json.loads(await response.aread()))
            part = _partial(call.target)
            with await asyncio.to_thread(part.open, "wb") as file:
                async for chunk in response.aiter_bytes():
                    await asyncio.to_thread(file.write, chunk)
            found = await asyncio.to_thread(call.read, part)
            await asyncio.to_thread(part.replace, call.target)
            return True, found

    add = _awaited(calls.add)
    ingest = _awaited(calls.ingest)
    ingest_url = _awaited(calls.ingest_url)
    update = _awaited(calls.update)
    delete = _awaited(calls.delete)
    delete_all = _awaited(calls.delete_all)
    search = _awaited(calls.search)
    explain = _awaited(calls.explain)
    answer_context = _awaited(calls.answer_context)
    ask = _awaited(calls.ask)
    suggest_tags = _awaited(calls.suggest_tags)
    route = _awaited(calls.route)
    get = _awaited(calls.get)
    list = _awaited(calls.list_)
    history = _awaited(calls.history)
    working = _awaited(calls.working)
    stats = _awaited(calls.stats)
    enrich = _awaited(calls.enrich)
    resolve = _awaited(calls.resolve)
    correct = _awaited(calls.correct)
    consolidate = _awaited(calls.consolidate)
    merge = _awaited(calls.merge)
    unmerge = _awaited(calls.unmerge)
    freeze = _awaited(calls.freeze)
    unfreeze = _awaited(calls.unfreeze)
    archive = _awaited(calls.archive)
    reactivate = _awaited(calls.reactivate)
    used = _awaited(calls.used)
    rollback = _awaited(calls.rollback)
    share = _awaited(calls.share)
    unshare = _awaited(calls.unshare)
    expire = _awaited(calls.expire)
    forget_person = _awaited(calls.forget_person)
    export = _awaited(calls.export)
    import_ = _awaited(calls.import_)
    verify = _awaited(calls.verify)
    me = _awaited(calls.me)
    request = _awaited(calls.request)


async def _awaited_chunks(path: Path) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(_opened, path) as file:
        while chunk := await asyncio.to_thread(file.read, _CHUNK):
            yield chunk
