"""One opened memory, as each of many principals may use it, in a bounded number of threads."""

from __future__ import annotations

import contextvars
import functools
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from anamnos.memory import AsyncMemory, Memory
from anamnos.system.governance.access import Principal

KEPT = 256  # principals whose view of the memory is kept
P = ParamSpec("P")
R = TypeVar("R")


class _Threads(ThreadPoolExecutor):
    """Threads in which the context of whoever asks holds, so that a span of a trace finds its parent."""

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        return super().submit(functools.partial(contextvars.copy_context().run, fn, *args, **kwargs))


class Pool:
    """The memory of a server, seen by its callers.

    memory   the application's own; the pool closes it
    threads  how many verbs may run at once, whoever asks
    """

    def __init__(self, memory: Memory, *, threads: int = 8) -> None:
        self.memory = memory
        self.executor = _Threads(threads, thread_name_prefix="anamnos")
        self._own = AsyncMemory(memory, executor=self.executor)
        self._views: OrderedDict[tuple[Principal, str | None], AsyncMemory] = OrderedDict()
        self._lock = threading.Lock()

    def view(self, principal: Principal | None, purpose: str | None = None) -> AsyncMemory:
        """Return the memory as a principal may use it; None: as the application itself. It belongs to the pool."""
        if principal is None:
            return self._own
        key = principal, purpose
        with self._lock:
            found = self._views.get(key)
            if found is None:
                made = self.memory.as_principal(principal, purpose=purpose)
                found = self._views[key] = AsyncMemory(made, executor=self.executor)
            self._views.move_to_end(key)
            while len(self._views) > KEPT:
                self._views.popitem(last=False)[1].memory.close()  # a view; verbs in progress go on
        return found

    def forget(self) -> None:
        """Drop all views, after what changes the memory as a whole: another embedder, other weights."""
        with self._lock:
            while self._views:
                self._views.popitem()[1].memory.close()

    def close(self) -> None:
        """Wait for the verbs in progress, then let go of the vault."""
        self.executor.shutdown()
        self.forget()
        self.memory.close()
