"""What the routes of a server share."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec, TypeVar

from fastapi.responses import JSONResponse

from anamnos.config import ServerSettings
from anamnos.cube import MemCube, Scope, utc_now
from anamnos.errors import AccessDenied
from anamnos.memory import AsyncMemory
from anamnos.server.auth import Authenticator
from anamnos.server.callers import Caller
from anamnos.server.idempotency import Once
from anamnos.server.pool import Pool
from anamnos.server.telemetry import Measures
from anamnos.types import Receipt

P = ParamSpec("P")
R = TypeVar("R")


class Serving:
    """A memory that is served.

    pool           the memory as each caller may use it
    settings       how it is served
    authenticator  says who sends a request
    measures       counts what is done
    once           what was answered under an ``Idempotency-Key``
    stopping       set when the server was told to stop: answers without an end must end
    """

    def __init__(self, pool: Pool, settings: ServerSettings, authenticator: Authenticator) -> None:
        self.pool = pool
        self.settings = settings
        self.authenticator = authenticator
        self.measures = Measures(pool.memory.jobs.counts)
        self.once = Once(pool.memory.vault.store, utc_now, self.run)
        self.stopping = asyncio.Event()

    def memory(self, caller: Caller, scope: Scope) -> AsyncMemory:
        """Return the memory as a caller may use it in the tenant of a scope. Raises: AccessDenied."""
        return self.pool.view(caller.principal(scope.tenant))

    def whole(self, caller: Caller) -> AsyncMemory:
        """Return the memory as the application has it. Raises: AccessDenied unless the caller is an operator."""
        if not caller.operator:
            raise AccessDenied(f"{caller.name} is no operator, which this needs.", hint="Use a key of an operator.")
        return self.pool.view(None)

    async def run(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return what a function gives that reads or writes the vault, called in a thread of the pool."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.pool.executor, functools.partial(function, *args, **kwargs))

    def wrote(self, receipt: Receipt) -> dict[str, Any]:
        """Return a receipt as JSON data, and count it."""
        self.measures.wrote(receipt)
        return receipt.to_dict()

    def receipt(self, receipt: Receipt, status: int = 200) -> JSONResponse:
        """Return the answer to a write, and count it."""
        return JSONResponse(self.wrote(receipt), status)

    @staticmethod
    def cubes(cubes: Iterable[MemCube]) -> JSONResponse:
        """Return the answer that holds some memories."""
        return JSONResponse({"items": [cube.to_dict() for cube in cubes]})
