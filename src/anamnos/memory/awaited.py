"""The verbs of ``Memory``, to be awaited."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from anamnos.errors import StoreError
from anamnos.memory.opened import Memory

P = ParamSpec("P")
R = TypeVar("R")


def _awaited(
    verb: Callable[Concatenate[Memory, P], R],
) -> Callable[Concatenate[AsyncMemory, P], Coroutine[Any, Any, R]]:
    async def call(self: AsyncMemory, /, *args: P.args, **kwargs: P.kwargs) -> R:
        loop = asyncio.get_running_loop()
        if self._closed:
            raise StoreError("The memory is closed.", hint="Open the vault again.")
        return await loop.run_in_executor(self._executor, functools.partial(verb, self.memory, *args, **kwargs))

    functools.update_wrapper(call, verb)
    return call


@dataclass
class AsyncMemory:
    """The verbs of ``Memory``, to be awaited; they run in a few threads that belong to this object.

    >>> async with AsyncMemory(Memory("my-vault")) as memory:  # doctest: +SKIP
    ...     await memory.add("The spare key is under the blue pot.", Scope(user="ann"))

    memory   opened; closed with this object
    threads  how many verbs may run at once
    executor  other threads to run them in, which outlive this object
    """

    memory: Memory
    threads: int = 4
    executor: ThreadPoolExecutor | None = None
    _executor: ThreadPoolExecutor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._closed = False
        self._executor = self.executor or ThreadPoolExecutor(self.threads, thread_name_prefix="anamnos")

    async def close(self) -> None:
        """Wait for the verbs in progress, then let go of the vault."""
        self._closed = True
        if self.executor is None:
            await asyncio.get_running_loop().run_in_executor(None, self._executor.shutdown)
        self.memory.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    add = _awaited(Memory.add)
    ingest = _awaited(Memory.ingest)
    ingest_all = _awaited(Memory.ingest_all)
    update = _awaited(Memory.update)
    suggest_tags = _awaited(Memory.suggest_tags)
    route = _awaited(Memory.route)
    enrich = _awaited(Memory.enrich)
    resolve = _awaited(Memory.resolve)
    correct = _awaited(Memory.correct)
    merge = _awaited(Memory.merge)
    unmerge = _awaited(Memory.unmerge)
    consolidate = _awaited(Memory.consolidate)
    consolidate_all = _awaited(Memory.consolidate_all)
    retention = _awaited(Memory.retention)
    freeze = _awaited(Memory.freeze)
    unfreeze = _awaited(Memory.unfreeze)
    archive = _awaited(Memory.archive)
    reactivate = _awaited(Memory.reactivate)
    used = _awaited(Memory.used)
    rollback = _awaited(Memory.rollback)
    migrate = _awaited(Memory.migrate)
    migrate_back = _awaited(Memory.migrate_back)
    advise = _awaited(Memory.advise)
    share = _awaited(Memory.share)
    unshare = _awaited(Memory.unshare)
    expire = _awaited(Memory.expire)
    forget_person = _awaited(Memory.forget_person)
    delete = _awaited(Memory.delete)
    delete_all = _awaited(Memory.delete_all)
    search = _awaited(Memory.search)
    working = _awaited(Memory.working)
    explain = _awaited(Memory.explain)
    calibrate = _awaited(Memory.calibrate)
    answer_context = _awaited(Memory.answer_context)
    ask = _awaited(Memory.ask)
    get = _awaited(Memory.get)
    list = _awaited(Memory.list)
    history = _awaited(Memory.history)
    stats = _awaited(Memory.stats)
    export = _awaited(Memory.export)
    import_ = _awaited(Memory.import_)
    backup = _awaited(Memory.backup)
    verify = _awaited(Memory.verify)
    rebuild_index = _awaited(Memory.rebuild_index)
    save_state = _awaited(Memory.save_state)
    load_state = _awaited(Memory.load_state)
    reembed = _awaited(Memory.reembed)
