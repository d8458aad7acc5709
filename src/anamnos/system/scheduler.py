"""Who does the jobs of the queue: handlers by kind, and workers that run them within limits and stop when asked.

A worker is a thread of the process (``background = on``) or a process of its own (``anamnos worker``). The clock part
is a table of what recurs, which every claim looks at, so there is no second scheduler to keep alive.
"""

from __future__ import annotations

import builtins
import inspect
import logging
import math
import os
import secrets
import threading
import time
import traceback
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

from anamnos.cube import Clock, Scope, thaw_json
from anamnos.errors import AnamnosError, ConfigError, InvalidInput, NotFound, StoreError
from anamnos.store.jobs import Job, JobQueue, JobState, NewJob, Recurring, check_kind

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]

VERBS = {
    "enrich": "enrich",
    "resolve": "resolve",
    "consolidate": "consolidate",
    "expire": "expire",
    "reindex": "rebuild_index",
}
"""Kinds of jobs that are verbs of ``Memory``, where it has them; their payload holds the verb's settings."""


class Handler(Protocol):
    """Does the jobs of one kind.

    Doing a job twice, or half and then again, must come to the same as doing it once. ``progress(done, total)`` is to
    be called now and then, where stopping harms nothing: it raises ``Stopped`` when the job is to be left.
    """

    def __call__(self, job: Job, progress: Progress) -> None: ...


class Stopped(Exception):
    """A job is to be left as it stands. A handler lets this through."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What a job may take; one that takes more has failed this time, and waits for its next attempt.

    job_s      seconds
    memory_mb  of the whole process, as far as the system tells; a worker that is above it after a job ends
    """

    job_s: float = 600.0
    memory_mb: float = math.inf

    def __post_init__(self) -> None:
        for name in ("job_s", "memory_mb"):
            if not getattr(self, name) > 0:
                raise InvalidInput(f"{name} of a budget must be above 0, got {getattr(self, name)!r}.")


@dataclass
class _Held:
    """A job in a worker's hands."""

    job: Job
    lost: bool = False
    too_much: str = ""
    done: int = 0
    total: int = 0
    deadline: float = math.inf


class Worker:
    """Runs jobs one after the other until it is stopped.

    lease_s  a job is the worker's for so long; it renews that thrice in this time, and a kill frees the job after it
    poll_s   how long it sleeps when there is nothing to do
    batch    how many jobs it takes at a time; a kill costs each of them an attempt, even those not begun
    kinds    which it does; None: all that there are handlers for
    """

    def __init__(
        self,
        queue: JobQueue,
        handlers: Mapping[str, Handler],
        clock: Clock,
        *,
        lease_s: float = 60.0,
        poll_s: float = 0.5,
        batch: int = 1,
        kinds: Collection[str] | None = None,
        budget: Budget | None = None,
    ) -> None:
        for name, value in (("lease_s", lease_s), ("poll_s", poll_s), ("batch", batch)):
            if not value > 0:
                raise InvalidInput(f"{name} of a worker must be above 0, got {value!r}.")
        if unknown := set(kinds or ()) - set(handlers):
            raise InvalidInput(f"Nothing does jobs of kind {min(unknown)!r}.", hint=f"Use: {', '.join(handlers)}.")
        self.queue = queue
        self.handlers = handlers
        self.clock = clock
        self.name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self.lease = timedelta(seconds=lease_s)
        self.poll_s = poll_s
        self.batch = batch
        self.kinds = kinds
        self.budget = budget or Budget()
        self._held: dict[int, _Held] = {}
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._until = math.inf
        self._thread: threading.Thread | None = None

    def run(self, *, until_idle: bool = False, max_s: float = math.inf) -> int:
        """Do jobs until ``stop``, and return how many were begun.

        until_idle  or until none is due
        max_s       or until so many seconds have passed; what is going on then is handed back
        """
        begun, self._until = 0, time.monotonic() + max_s
        beating = threading.Event()
        heart = threading.Thread(target=self._beat, args=(beating,), name="anamnos-lease", daemon=True)
        heart.start()
        try:
            while not self._stop.is_set() and time.monotonic() < self._until:
                begun_before = begun
                for held in self._claim():
                    begun += self._do(held)
                if memory_mb() > self.budget.memory_mb:
                    log.warning("the worker ends: it is above its memory budget", extra={"mb": round(memory_mb())})
                    break
                if begun == begun_before:
                    if until_idle:
                        break
                    self._wake.wait(min(self.poll_s, max(0.0, self._until - time.monotonic())))
                    self._wake.clear()
        finally:
            beating.set()
            heart.join()
            for held in list(self._held.values()):
                self._settle(held, self.queue.release)
        return begun

    def start(self) -> None:
        """Run in a thread of this process."""
        self._thread = threading.Thread(target=self._run_in_thread, name="anamnos-worker", daemon=True)
        self._thread.start()

    def stop(self, *, wait: bool = True) -> None:
        """End: a job that says its progress is handed back there, one that does not is brought to its end."""
        self._stop.set()
        self._wake.set()
        if wait and self._thread is not None:
            self._thread.join()
            self._thread = None

    def wake(self) -> None:
        """Look for jobs now, not only at the next poll."""
        self._wake.set()

    def _run_in_thread(self) -> None:
        self._wake.wait(self.poll_s)  # a process that does one thing and ends need not begin others
        while not self._stop.is_set():
            try:
                self.run()
                return
            except Exception:  # the border of the thread: whatever it was, the next poll tries again
                log.exception("the worker failed")
                self._stop.wait(self.poll_s)

    def _claim(self) -> builtins.list[_Held]:
        kinds = [kind for kind in self.handlers if self.kinds is None or kind in self.kinds]
        try:
            jobs = self.queue.claim(self.name, now=self.clock(), lease=self.lease, kinds=kinds, limit=self.batch)
        except StoreError as exc:
            if not exc.retryable:
                raise
            return []
        self._held |= {job.id: _Held(job) for job in jobs}
        return [self._held[job.id] for job in jobs]

    def _do(self, held: _Held) -> int:
        """Do one job and settle it; return 0 if it was not begun."""
        if self._stop.is_set() or held.lost or time.monotonic() >= self._until:
            self._settle(held, self.queue.release)
            return 0
        job = held.job
        held.deadline = time.monotonic() + self.budget.job_s
        began = time.monotonic()
        try:
            self.handlers[job.kind](job, lambda done, total: self._check(held, done, total))
        except Stopped:
            if held.too_much:
                self._settle(held, lambda j, *, now: self.queue.fail(j, held.too_much, now=now))
            else:
                self._settle(held, self.queue.release)
        except Exception as exc:  # the border of the job: a failure is noted and tried again
            hopeless = isinstance(exc, InvalidInput | ConfigError | NotFound)
            log.warning("job failed", exc_info=exc, extra={"job": job.id, "kind": job.kind, "attempt": job.attempts})
            error = wordless(exc)
            self._settle(held, lambda j, *, now: self.queue.fail(j, error, now=now, final=hopeless))
        except BaseException:
            self._settle(held, self.queue.release)
            raise
        else:
            seconds = time.monotonic() - began
            log.info("job done", extra={"job": job.id, "kind": job.kind, "ms": round(1000 * seconds)})
            self._settle(held, lambda j, *, now: self.queue.finish(replace(j, total=held.total), now=now))
        return 1

    def _settle(self, held: _Held, how: Callable[..., bool]) -> None:
        """Tell the queue what became of a job; if it cannot be told, the lease runs out and another worker has it."""
        self._held.pop(held.job.id, None)
        try:
            if not held.lost:
                how(held.job, now=self.clock())
        except StoreError as exc:
            log.warning("a job could not be settled", exc_info=exc, extra={"job": held.job.id})

    def _check(self, held: _Held, done: int, total: int) -> None:
        """Note how far a job is. Raises: Stopped if it is to be left."""
        held.done, held.total = done, total
        if time.monotonic() > held.deadline:
            held.too_much = f"took longer than {self.budget.job_s:g} s"
        elif memory_mb() > self.budget.memory_mb:
            held.too_much = f"the process took more than {self.budget.memory_mb:g} MB"
        if held.lost or held.too_much or self._stop.is_set() or time.monotonic() >= self._until:
            raise Stopped

    def _beat(self, end: threading.Event) -> None:
        """Renew the leases of all jobs in hand, and note which were taken away."""
        while not end.wait(self.lease.total_seconds() / 3):
            for held in list(self._held.values()):
                with suppress(AnamnosError):  # busy: the next beat is still in time
                    held.lost = held.lost or not self.queue.renew(
                        held.job, now=self.clock(), lease=self.lease, done=held.done, total=held.total
                    )


@dataclass
class Jobs:
    """The jobs of a vault: ``memory.jobs``.

    queue     where they are written down
    clock     which says what is due
    handlers  what does each kind; add your own with ``register``
    require   raises AccessDenied unless whoever asks may govern: a worker does with the rights of the application what
              others have added
    """

    _queue: JobQueue
    clock: Clock
    handlers: dict[str, Handler] = field(default_factory=dict)
    require: Callable[[str], None] = lambda _: None
    _worker: Worker | None = None

    @property
    def queue(self) -> JobQueue:
        self.require("jobs")
        return self._queue

    def register(self, kind: str, handler: Handler) -> None:
        """Let ``handler`` do the jobs of a kind, in this process."""
        self.handlers[check_kind(kind)] = handler

    def add(self, kind: str, scope: Scope | None = None, **more: Any) -> Job:
        """Add a job, or return the one that waits under its key. ``more``: see ``anamnos.store.jobs.NewJob``."""
        job = self.queue.add(NewJob(kind, scope, **more), now=self.clock())
        self.wake()
        return job

    def every(self, interval: timedelta | None, kind: str, scope: Scope | None = None, **more: Any) -> None:
        """Add a job each time that so much time has passed; None: no more. A scope of None is everybody."""
        if interval is not None and not interval >= timedelta(seconds=1):
            raise InvalidInput(f"A job may recur every second at most, not every {interval}.")
        self.queue.repeat(NewJob(kind, scope, **more), interval, now=self.clock())

    def recurring(self) -> builtins.list[Recurring]:
        """Return what recurs."""
        return self.queue.recurring()

    def get(self, number: int) -> Job:
        """Return a job. Raises: NotFound."""
        job = self.queue.get(number)
        if job is None:
            raise NotFound(f"There is no job {number}.", hint="See: anamnos jobs list")
        return job

    def list(self, *, states: Sequence[str] = (), kinds: Sequence[str] = (), limit: int = 100) -> builtins.list[Job]:
        """Return jobs, the newest first. Raises: InvalidInput for a state that there is not."""
        for state in states:
            if state not in tuple(JobState):
                raise InvalidInput(f"There is no state {state!r} of a job.", hint=f"Use: {', '.join(JobState)}.")
        return self.queue.list(states=states, kinds=kinds, limit=limit)

    def counts(self) -> dict[tuple[str, str], int]:
        """Return how many jobs there are per (kind, state)."""
        return self.queue.counts()

    def retry(self, number: int) -> Job:
        """Let a dead or waiting job run as soon as may be. Raises: NotFound; InvalidInput if it runs or is done."""
        self._must(self.queue.retry(number, now=self.clock()), number, "retried")
        self.wake()
        return self.get(number)

    def cancel(self, number: int) -> Job:
        """Give a waiting or running job up. Raises: NotFound; InvalidInput if it is done or dead."""
        self._must(self.queue.cancel(number, now=self.clock()), number, "cancelled")
        return self.get(number)

    def pause(self, kind: str | None = None) -> None:
        """Begin no job of a kind (None: of any) until ``resume``, in no process."""
        self.queue.pause(None if kind is None else check_kind(kind))

    def resume(self, kind: str | None = None) -> None:
        """Undo ``pause`` for a kind; None: all pauses."""
        self.queue.resume(None if kind is None else check_kind(kind))
        self.wake()

    def paused(self) -> frozenset[str | None]:
        """Return the kinds that are paused; None among them stands for all."""
        return self.queue.paused()

    def clean(self, older_than: timedelta = timedelta(0), *, dead: bool = False) -> int:
        """Remove jobs that were done (and ``dead`` ones) that long ago, and return how many."""
        states = (JobState.DONE, *((JobState.DEAD,) if dead else ()))
        return self.queue.clean(before=self.clock() - older_than, states=states)

    def worker(self, **options: Any) -> Worker:
        """Return a worker for these jobs; the options are those of ``Worker``."""
        return Worker(self.queue, self.handlers, self.clock, **options)

    def run(self, **options: Any) -> int:
        """Do all that is due, here and now, and return how many jobs were begun."""
        return self.worker(**options).run(until_idle=True)

    def start(self) -> None:
        """Do jobs in a thread of this process from now on."""
        if self._worker is None:
            self._worker = self.worker()
            self._worker.start()

    def wake(self) -> None:
        """Let the thread of this process, if there is one, look for jobs now."""
        if self._worker is not None:
            self._worker.wake()

    def close(self) -> None:
        """Stop the thread; what it was doing is handed back."""
        if self._worker is not None:
            self._worker.stop()
            self._worker = None

    def _must(self, done: bool, number: int, what: str) -> None:
        if not done:
            state = self.get(number).state
            raise InvalidInput(f"Job {number} is {state}: it cannot be {what}.", hint="See: anamnos jobs list")


def verb_handlers(memory: object, users: Callable[[], Iterable[Scope]]) -> dict[str, Handler]:
    """Return handlers for those of ``VERBS`` that an object has; ``users`` are the scopes that None stands for."""
    verbs = {kind: getattr(memory, name, None) for kind, name in VERBS.items()}
    return {kind: _handler(kind, verb, users) for kind, verb in verbs.items() if callable(verb)}


def _handler(kind: str, verb: Callable[..., Any], users: Callable[[], Iterable[Scope]]) -> Handler:
    parameters = inspect.signature(verb).parameters
    takes = set(parameters)
    everybody_at_once = "scope" in takes and parameters["scope"].default is None

    def run(job: Job, progress: Progress) -> None:
        settings = dict(thaw_json(job.payload))
        if unknown := set(settings) - takes:
            known = ", ".join(sorted(takes))
            raise InvalidInput(f"A job {kind} has no setting {min(unknown)!r}.", hint=f"It has: {known}.")
        if "progress" in takes:
            settings["progress"] = progress
        if "scope" not in takes:
            verb(**settings)
            return
        scopes = list(users()) if job.scope is None and not everybody_at_once else [job.scope]
        for place, scope in enumerate(scopes):
            if place:
                progress(place, len(scopes))
            verb(scope, **settings)

    return run


def users_of(scopes: Iterable[Scope]) -> builtins.list[Scope]:
    """Return a scope per tenant and user (or agent, where there is no user) that covers these scopes."""

    def widest(scope: Scope) -> Scope:
        if scope.user is not None:
            return Scope(scope.tenant, scope.user)
        return Scope(scope.tenant, agent=scope.agent, session=None if scope.agent else scope.session)

    return list(dict.fromkeys(map(widest, scopes)))


def wordless(exc: BaseException) -> str:
    """Return the kind of an error and where it came from, without its message, which may quote a memory."""
    frames = traceback.extract_tb(exc.__traceback__)
    return type(exc).__name__ + (f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "")


def memory_mb() -> float:
    """Return how much memory this process holds, in MB; where the system does not tell, the most that it ever held."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    except (OSError, ValueError, AttributeError, IndexError):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


__all__ = ["VERBS", "Budget", "Handler", "Jobs", "Stopped", "Worker", "users_of", "verb_handlers"]
