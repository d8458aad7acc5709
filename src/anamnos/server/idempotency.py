"""Requests that are sent twice are done once: what was answered under an ``Idempotency-Key`` is answered again.

It is kept among the settings of the vault, so that it is as durable as what was written, every process that serves
the vault knows it, and backups and encryption hold for it. A row tells nothing by itself: only receipts are kept
(ids, never words), and both its name and the mark of the body are hashes that need the client's key to be made again.
The write itself comes first and its row after it; a kill between the two costs nothing, since ``add`` is idempotent
by itself.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from anamnos.cube import Clock
from anamnos.errors import StoreError
from anamnos.server.callers import Caller
from anamnos.server.problems import Unmet
from anamnos.store.base import Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

log = logging.getLogger(__name__)

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
KEPT = timedelta(hours=24)
MOST = 10_000  # rows; of more, the oldest go
MAX_BYTES = 1 << 20  # of an answer; a longer one is not kept
_PREFIX = "once:"
_SWEEP = 500  # every so many new rows, those whose time is over go


class Once:
    """What was answered lately under which key.

    run  calls a function that reads or writes the vault in a thread
    """

    def __init__(self, store: Store, clock: Clock, run: Callable[..., Awaitable[Any]]) -> None:
        self._store, self._clock, self._run = store, clock, run
        self._busy: dict[str, tuple[asyncio.Lock, int]] = {}
        self._new = 0

    async def answer(
        self, request: Request, caller: Caller, handle: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        """Return what ``handle`` answers, or answered to the same request under the same key.

        Only successes are kept; whoever sends the key while the first is on waits for it.
        Raises: Unmet (422) if the key was used for another request.
        """
        key = request.headers[HEADER]
        whole = repr(caller)  # a name alone may be that of somebody else in another tenant
        name = _PREFIX + _hash(key, whole, request.method, request.url.path)
        mark = _hash(key, request.url.query, hashlib.sha256(await request.body()).hexdigest())
        async with self._alone(name):
            known = await self._run(self._known, name)
            if known is not None:
                if known["mark"] != mark:
                    raise Unmet(
                        422, f"This {HEADER} was used for another request.", "Make a new key for each new request."
                    )
                return JSONResponse(known["body"], known["status"], headers={REPLAYED: "true"})
            response = await handle(request)
            body = bytes(response.body)
            if 200 <= response.status_code < 300 and len(body) <= MAX_BYTES:
                row = {
                    "at": self._clock().isoformat(),
                    "mark": mark,
                    "status": response.status_code,
                    "body": json.loads(body),
                }
                try:
                    await self._run(self._keep, name, json.dumps(row))
                except StoreError as exc:  # what is written is written: the answer must not say otherwise
                    log.warning("an idempotency key was not kept: %s", type(exc).__name__)
            return response

    @asynccontextmanager
    async def _alone(self, name: str) -> AsyncIterator[None]:
        """Let one request at a time under a key."""
        lock, waiting = self._busy.get(name, (asyncio.Lock(), 0))
        self._busy[name] = lock, waiting + 1
        try:
            async with lock:
                yield
        finally:
            lock, waiting = self._busy[name]
            if waiting == 1:
                del self._busy[name]
            else:
                self._busy[name] = lock, waiting - 1

    def _known(self, name: str) -> dict[str, Any] | None:
        value = self._store.setting(name)
        row: dict[str, Any] | None = None if value is None else json.loads(value)
        return None if row is None or self._is_over(row) else row

    def _keep(self, name: str, value: str) -> None:
        gone = self._over() if self._new % _SWEEP == 0 else []
        self._new += 1
        with self._store.write() as tx:
            for old in gone:
                tx.set_setting(old, None)
            tx.set_setting(name, value)

    def _over(self) -> list[str]:
        """Return the names of rows whose time is over, and of the oldest where there are too many."""
        rows = {name: json.loads(value) for name, value in self._store.settings(_PREFIX).items()}
        over = [name for name, row in rows.items() if self._is_over(row)]
        left = sorted(set(rows) - set(over), key=lambda name: str(rows[name]["at"]))
        return over + left[: max(0, len(left) - MOST)]

    def _is_over(self, row: dict[str, Any]) -> bool:
        return self._clock() - datetime.fromisoformat(row["at"]) > KEPT


def _hash(key: str, *parts: str) -> str:
    """Return a hash of texts that nobody can make without the key."""
    return hashlib.blake2b(
        json.dumps(parts).encode(), key=hashlib.sha256(key.encode()).digest(), digest_size=24
    ).hexdigest()
