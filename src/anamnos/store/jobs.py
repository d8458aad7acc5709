"""What a job queue is: work that is written down beside the memories, so that no kill loses it.

Laws (``anamnos.testing.JobQueueContract`` checks them on every engine, ``ReferenceJobs`` is the oracle):
 1. What ``Transaction.enqueue`` adds is there if and only if that write is: a memory without its job cannot be.
 2. Every job that was added is done at least once, or ends ``dead`` where people see it; none is lost by a kill.
 3. At most one worker holds a job: a lease that ran out goes to the next who asks, and whoever held it before can no
    longer finish, fail, release or renew it.
 4. Of jobs with the same kind, scope and key, at most one waits and at most one runs; adding one that waits gives that
    one. A key of "" is none. (A job that failed or was given back may wait beside one that came after it.)
 5. ``claim`` gives those whose time has come, priority 1 before 3, then the longest due, then the oldest; none of a
    kind that is paused, or that the worker does not know.
 6. A job whose last attempt failed, or whose worker died in it, is dead; ``retry`` gives it all its attempts again.
 7. A clock that is set back makes no lease longer and delays no job by more than it was to wait (up to
    ``CLOCK_SLACK``), and one that jumps ahead gives no job to two who can both finish it.
 8. Rows hold no words: ids, numbers and settings only. The jobs of a scope go with its last memory.
Errors are those of the store.
"""

from __future__ import annotations

import builtins
import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

from anamnos.cube import Scope, check_name, freeze_json, thaw_json, to_iso
from anamnos.errors import InvalidInput

KEPT = 1_000
"""So many jobs that are done, and so many dead ones, are kept to be looked at; older ones go by themselves."""

MAX_ATTEMPTS = 10
CLOCK_SLACK = timedelta(seconds=60)
"""A clock that goes back by less is taken to stand still: a writer may have waited that long with its time in hand."""

_BACKOFF = timedelta(seconds=2)
_LONGEST_BACKOFF = timedelta(hours=1)
_WORD = re.compile(r"[\w.:/+@-]{0,128}")


class JobState(StrEnum):
    """Where a job is: ``waiting`` for its time or a worker, ``running``, ``done``, or ``dead``: given up."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class NewJob:
    """Work to be done.

    kind          what to do: the name of a handler
    scope         whose memories; None: the vault as a whole
    payload       arguments of the handler: ids, numbers and settings. Words with spaces are refused, since a job must
                  not keep what a memory said beyond its deletion
    key           names the work itself: while a job of the same kind, scope and key waits, no other is added
    priority      1 (first) to 3
    run_after     not before; None: at once
    max_attempts  after so many that failed it is dead
    """

    kind: str
    scope: Scope | None = None
    payload: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""
    priority: int = 3
    run_after: datetime | None = None
    max_attempts: int = MAX_ATTEMPTS

    def __post_init__(self) -> None:
        check_kind(self.kind)
        if self.scope is not None and not isinstance(self.scope, Scope):
            raise InvalidInput(f"The scope of a job must be a Scope or None, got {type(self.scope).__name__}.")
        if not isinstance(self.payload, Mapping):
            raise InvalidInput(f"The payload of a job must be a JSON object, got {type(self.payload).__name__}.")
        object.__setattr__(self, "payload", freeze_json("payload", self.payload))
        _check_wordless("payload", thaw_json(self.payload))
        _check_wordless("key", self.key)
        for name, least, most in (("priority", 1, 3), ("max_attempts", 1, 100)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                raise InvalidInput(f"{name} of a job must be a whole number from {least} to {most}, got {value!r}.")


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it stood when it was read.

    attempts       how often a worker has begun it
    leased_until   when it may be given to another worker, if its own does not renew the lease
    error          of the last attempt that failed: the kind of the error and its place, never its words
    done, total    progress in units of the handler; 0 of 0 if it says nothing
    Times are those of the clock on the wall.
    """

    id: int
    kind: str
    scope: Scope | None
    payload: Mapping[str, Any]
    key: str
    priority: int
    state: JobState
    attempts: int
    max_attempts: int
    run_after: datetime
    leased_until: datetime | None
    worker: str | None
    error: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    done: int = 0
    total: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the job as JSON data."""
        data = {name: getattr(self, name) for name in self.__slots__}
        data |= {"state": str(self.state), "payload": thaw_json(self.payload)}
        data["scope"] = None if self.scope is None else self.scope.to_dict()
        return {name: to_iso(value) if isinstance(value, datetime) else value for name, value in data.items()}


@dataclass(frozen=True, slots=True)
class Recurring:
    """A job that is added again and again: the next time at ``run_after``. Its kind and scope name it."""

    kind: str
    scope: Scope | None
    payload: Mapping[str, Any]
    priority: int
    every: timedelta
    run_after: datetime


@dataclass(frozen=True, slots=True)
class QueueClock:
    """The time of a queue, which never goes back: the wall clock plus all that it was ever set back.

    seen   the latest time of the wall clock that the queue was told
    ahead  how much the wall clock was set back so far
    """

    seen: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    ahead: timedelta = timedelta(0)

    def at(self, now: datetime) -> QueueClock:
        """Return the clock after it was told the wall clock's ``now``."""
        if now < self.seen - CLOCK_SLACK:
            return QueueClock(now, self.ahead + (self.seen - now))
        return replace(self, seen=max(self.seen, now))

    @property
    def time(self) -> datetime:
        return self.seen + self.ahead


class JobQueue(Protocol):
    """The jobs of one store. Every method may be called from any thread and process, but from inside no write."""

    def add(self, job: NewJob, *, now: datetime) -> Job:
        """Add a job, or return the one that waits under its key."""

    def claim(
        self, worker: str, *, now: datetime, lease: timedelta, kinds: Collection[str], limit: int = 1
    ) -> builtins.list[Job]:
        """Give up to ``limit`` jobs of ``kinds`` to a worker until the lease ends, adding first what recurs by now."""

    def renew(self, job: Job, *, now: datetime, lease: timedelta, done: int = 0, total: int = 0) -> bool:
        """Hold a job for longer and note how far it is; return False if it is no longer the worker's."""

    def finish(self, job: Job, *, now: datetime) -> bool:
        """Mark a job that was claimed as done, all ``job.total`` of it; False if it is no longer the worker's."""

    def fail(self, job: Job, error: str, *, now: datetime, final: bool = False) -> bool:
        """Let a job that was claimed wait for its next attempt, or make it dead if there is none or it is ``final``.

        Returns False if it is no longer the worker's.
        """

    def release(self, job: Job, *, now: datetime) -> bool:
        """Give a job back as if it had not been begun; return False if it is no longer the worker's."""

    def get(self, number: int) -> Job | None:
        """Return a job, or None."""

    def list(
        self, *, states: Collection[str] = (), kinds: Collection[str] = (), limit: int = 100
    ) -> builtins.list[Job]:
        """Return jobs in these states and of these kinds (none named: of any), the newest first."""

    def counts(self) -> dict[tuple[str, str], int]:
        """Return how many jobs there are per (kind, state)."""

    def retry(self, number: int, *, now: datetime) -> bool:
        """Let a dead or waiting job run as soon as may be, with all its attempts; False if it is in no such state."""

    def cancel(self, number: int, *, now: datetime) -> bool:
        """Make a waiting or running job dead; its worker learns it at its next renewal. False if it is in no such
        state."""

    def pause(self, kind: str | None = None) -> None:
        """Let no job of a kind (None: of any kind) be claimed until ``resume``. Those that run go on."""

    def resume(self, kind: str | None = None) -> None:
        """Undo ``pause`` for a kind; None: all pauses."""

    def paused(self) -> frozenset[str | None]:
        """Return the kinds that are paused; None among them stands for all."""

    def clean(self, *, before: datetime, states: Collection[str] = (JobState.DONE,)) -> int:
        """Remove done (or dead) jobs that ended before then, and return how many."""

    def forget(self, scope: Scope) -> None:
        """Remove all jobs of the scopes that ``scope`` covers, and what recurs for them."""

    def repeat(self, job: NewJob, every: timedelta | None, *, now: datetime) -> None:
        """Add a job each time that ``every`` has passed, once however long nobody asked; None: no more."""

    def recurring(self) -> builtins.list[Recurring]:
        """Return what recurs, by kind and scope; that of the whole vault first."""

    def restore(self, jobs: Sequence[Job], recurring: Sequence[Recurring], paused: Collection[str | None]) -> None:
        """Hold what another queue shows, and nothing else: its jobs with their numbers and states, what recurs and
        what is paused there."""


def backoff(number: int, attempts: int) -> timedelta:
    """Return how long job ``number`` waits after so many attempts: 2 s, doubled each time, at most an hour, and up to
    a quarter more so that jobs that failed together do not come back together. The same for the same numbers."""
    longest = min(_BACKOFF * (1 << min(attempts - 1, 20)), _LONGEST_BACKOFF)
    digest = hashlib.blake2b(f"{number}:{attempts}".encode(), digest_size=2).digest()
    return longest * (1 + int.from_bytes(digest) / 65_536 / 4)


def check_kind(kind: object) -> str:
    """Return ``kind`` if it can name a kind of job."""
    text = check_name("kind", kind)
    _check_wordless("kind", text)
    return text


def _check_wordless(name: str, value: Any) -> None:
    if isinstance(value, str) and not _WORD.fullmatch(value):
        raise InvalidInput(
            f"{name} of a job may hold ids, numbers and settings, but no text: {value[:40]!r}.",
            hint="Write the text as a memory and name its id.",
        )
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        _check_wordless(name, key)
        _check_wordless(name, part)


__all__ = [
    "CLOCK_SLACK",
    "KEPT",
    "MAX_ATTEMPTS",
    "Job",
    "JobQueue",
    "JobState",
    "NewJob",
    "QueueClock",
    "Recurring",
    "backoff",
    "check_kind",
]
