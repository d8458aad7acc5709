"""The obvious job queue and the obvious table of working memories: lists in memory, oracles for every engine."""

from __future__ import annotations

import builtins
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from anamnos.cube import Scope
from anamnos.store.jobs import KEPT, Job, JobState, NewJob, QueueClock, Recurring, backoff
from anamnos.store.working import Kept

if TYPE_CHECKING:
    from anamnos.testing.reference_store import ReferenceTransaction

_OPEN = (JobState.WAITING, JobState.RUNNING)


@dataclass
class JobTable:
    """All jobs, with ``run_after`` and ``leased_until`` in the queue's own time."""

    jobs: dict[int, Job] = field(default_factory=dict)
    recurring: dict[tuple[str, Scope | None], Recurring] = field(default_factory=dict)
    paused: set[str | None] = field(default_factory=set)
    clock: QueueClock = field(default_factory=QueueClock)
    last: int = 0

    def copy(self) -> JobTable:
        return replace(self, jobs=dict(self.jobs), recurring=dict(self.recurring), paused=set(self.paused))

    def told(self, now: datetime) -> datetime:
        """Tell the clock what the wall clock says and return the queue's time."""
        self.clock = self.clock.at(now)
        return self.clock.time

    def anything_due(self, now: datetime, kinds: Collection[str]) -> bool:
        """Return whether a worker of these kinds may find something to do, or the clock was set back."""
        clock = self.clock.at(now)
        return (
            clock.ahead != self.clock.ahead
            or any(one.run_after <= clock.time for one in self.recurring.values())
            or any(
                (job.state is JobState.WAITING and job.run_after <= clock.time) or _lapsed(job, clock.time)
                for job in self.jobs.values()
                if job.kind in kinds and not self.paused & {None, job.kind}
            )
        )

    def shown(self, job: Job) -> Job:
        """Return a job with the times of the wall clock."""
        until = None if job.leased_until is None else job.leased_until - self.clock.ahead
        return replace(job, run_after=job.run_after - self.clock.ahead, leased_until=until)

    def enqueue(self, new: NewJob, now: datetime) -> Job:
        time = self.told(now)
        for job in self.jobs.values():
            if new.key and job.state is JobState.WAITING and _twins(job, new):
                return self.shown(job)
        after = time if new.run_after is None else max(time, new.run_after + self.clock.ahead)
        self.last += 1
        self.jobs[self.last] = Job(
            id=self.last,
            kind=new.kind,
            scope=new.scope,
            payload=new.payload,
            key=new.key,
            priority=new.priority,
            state=JobState.WAITING,
            attempts=0,
            max_attempts=new.max_attempts,
            run_after=after,
            leased_until=None,
            worker=None,
            error="",
            created_at=now,
            started_at=None,
            finished_at=None,
        )
        return self.shown(self.jobs[self.last])

    def drop(self, keep: Callable[[Scope | None], bool]) -> None:
        """Forget the jobs of scopes that are not to be kept."""
        self.jobs = {number: job for number, job in self.jobs.items() if keep(job.scope)}
        self.recurring = {name: one for name, one in self.recurring.items() if keep(one.scope)}


class ReferenceJobs:
    """A job queue without files. ``write`` lends a transaction, ``now`` the table as it stands."""

    def __init__(
        self, write: Callable[[], AbstractContextManager[ReferenceTransaction]], now: Callable[[], JobTable]
    ) -> None:
        self._write = write
        self._now = now

    def add(self, job: NewJob, *, now: datetime) -> Job:
        with self._write() as tx:
            return tx.enqueue(job, now=now)

    def claim(
        self, worker: str, *, now: datetime, lease: timedelta, kinds: Collection[str], limit: int = 1
    ) -> builtins.list[Job]:
        with self._write() as tx:
            table = tx.contents.jobs
            if not table.anything_due(now, kinds):
                return []  # nor is the clock told anything
            time = table.told(now)
            for name, one in table.recurring.items():
                if one.run_after <= time:
                    table.enqueue(NewJob(one.kind, one.scope, one.payload, "recurring", one.priority), now)
                    table.recurring[name] = replace(one, run_after=time + one.every)
            for job in list(table.jobs.values()):
                if _lapsed(job, time) and job.attempts >= job.max_attempts:
                    table.jobs[job.id] = _ended(job, JobState.DEAD, now, "the worker died")
            claimed: builtins.list[int] = []
            due = [
                job
                for job in table.jobs.values()
                if job.kind in kinds
                and not table.paused & {None, job.kind}
                and (_lapsed(job, time) or (job.state is JobState.WAITING and job.run_after <= time))
            ]
            for job in sorted(due, key=lambda job: (job.priority, job.run_after, job.id)):
                twins = [t for t in table.jobs.values() if t.id != job.id and job.key and _twins(t, job)]
                waits = job.state is JobState.WAITING
                held = any(
                    t.state is JobState.RUNNING and (waits or not _lapsed(t, time) or t.id < job.id) for t in twins
                )
                second = waits and any(
                    t.state is JobState.WAITING and t.run_after <= time and t.id < job.id for t in twins
                )
                if not held and not second and len(claimed) < limit:
                    claimed.append(job.id)
            for number in claimed:
                job = table.jobs[number]
                table.jobs[number] = replace(
                    job,
                    state=JobState.RUNNING,
                    attempts=job.attempts + 1,
                    worker=worker,
                    leased_until=time + lease,
                    started_at=now,
                    finished_at=None,
                    done=0,
                    total=0,
                )
            return [table.shown(table.jobs[number]) for number in claimed]

    def renew(self, job: Job, *, now: datetime, lease: timedelta, done: int = 0, total: int = 0) -> bool:
        return self._change(job, now, lambda j, time: replace(j, leased_until=time + lease, done=done, total=total))

    def finish(self, job: Job, *, now: datetime) -> bool:
        def finished(held: Job, _: datetime) -> Job:
            total = max(held.total, job.total)
            return replace(_ended(held, JobState.DONE, now, ""), done=total, total=total)

        return self._change(job, now, finished)

    def fail(self, job: Job, error: str, *, now: datetime, final: bool = False) -> bool:
        if final or job.attempts >= job.max_attempts:
            return self._change(job, now, lambda j, _: _ended(j, JobState.DEAD, now, error))
        wait = backoff(job.id, job.attempts)
        return self._change(job, now, lambda j, time: replace(_waiting(j), run_after=time + wait, error=error))

    def release(self, job: Job, *, now: datetime) -> bool:
        return self._change(job, now, lambda j, _: replace(_waiting(j), attempts=j.attempts - 1))

    def _change(self, job: Job, now: datetime, change: Callable[[Job, datetime], Job]) -> bool:
        with self._write() as tx:
            table = tx.contents.jobs
            time = table.told(now)
            held = table.jobs.get(job.id)
            if held is None or held.state is not JobState.RUNNING:
                return False
            if (held.worker, held.attempts) != (job.worker, job.attempts):
                return False
            table.jobs[job.id] = change(held, time)
            for state in (JobState.DONE, JobState.DEAD):
                ended = sorted(j.id for j in table.jobs.values() if j.state is state)
                for number in ended[:-KEPT]:
                    del table.jobs[number]
            return True

    def get(self, number: int) -> Job | None:
        table = self._now()
        return table.shown(table.jobs[number]) if number in table.jobs else None

    def counts(self) -> dict[tuple[str, str], int]:
        return dict(sorted(Counter((job.kind, str(job.state)) for job in self._now().jobs.values()).items()))

    def retry(self, number: int, *, now: datetime) -> bool:
        with self._write() as tx:
            table = tx.contents.jobs
            time, job = table.told(now), table.jobs.get(number)
            if job is None or job.state not in (JobState.DEAD, JobState.WAITING):
                return False
            table.jobs[number] = replace(_waiting(job), attempts=0, run_after=time, finished_at=None)
            return True

    def cancel(self, number: int, *, now: datetime) -> bool:
        with self._write() as tx:
            job = tx.contents.jobs.jobs.get(number)
            if job is None or job.state not in _OPEN:
                return False
            tx.contents.jobs.jobs[number] = _ended(job, JobState.DEAD, now, "cancelled")
            return True

    def pause(self, kind: str | None = None) -> None:
        with self._write() as tx:
            tx.contents.jobs.paused.add(kind)

    def resume(self, kind: str | None = None) -> None:
        with self._write() as tx:
            tx.contents.jobs.paused -= {kind} if kind else set(tx.contents.jobs.paused)

    def paused(self) -> frozenset[str | None]:
        return frozenset(self._now().paused)

    def clean(self, *, before: datetime, states: Collection[str] = (JobState.DONE,)) -> int:
        with self._write() as tx:
            jobs = tx.contents.jobs.jobs
            old = [
                job.id
                for job in jobs.values()
                if job.state in states
                and job.state not in _OPEN
                and job.finished_at is not None
                and job.finished_at < before
            ]
            for number in old:
                del jobs[number]
            return len(old)

    def forget(self, scope: Scope) -> None:
        with self._write() as tx:
            tx.contents.jobs.drop(lambda whose: whose is None or not scope.covers(whose))

    def repeat(self, job: NewJob, every: timedelta | None, *, now: datetime) -> None:
        with self._write() as tx:
            table = tx.contents.jobs
            table.recurring.pop((job.kind, job.scope), None)
            if every is not None:
                first = table.told(now) + every
                new = Recurring(job.kind, job.scope, job.payload, job.priority, every, first)
                table.recurring[job.kind, job.scope] = new

    def recurring(self) -> builtins.list[Recurring]:
        table = self._now()
        shown = [replace(one, run_after=one.run_after - table.clock.ahead) for one in table.recurring.values()]
        return sorted(shown, key=lambda one: (one.kind, _names(one.scope)))

    def restore(self, jobs: Sequence[Job], recurring: Sequence[Recurring], paused: Collection[str | None]) -> None:
        with self._write() as tx:
            table = tx.contents.jobs
            ahead = table.clock.ahead
            table.jobs = {
                job.id: replace(
                    job,
                    run_after=job.run_after + ahead,
                    leased_until=None if job.leased_until is None else job.leased_until + ahead,
                )
                for job in sorted(jobs, key=lambda job: job.id)
            }
            table.recurring = {(o.kind, o.scope): replace(o, run_after=o.run_after + ahead) for o in recurring}
            table.paused = set(paused)
            table.last = max([table.last, *table.jobs])

    def list(  # the last one, since from here on its name hides the type
        self, *, states: Collection[str] = (), kinds: Collection[str] = (), limit: int = 100
    ) -> builtins.list[Job]:
        table = self._now()
        found = [
            table.shown(job)
            for job in table.jobs.values()
            if (not states or job.state in states) and (not kinds or job.kind in kinds)
        ]
        return sorted(found, key=lambda job: -job.id)[:limit]


def _names(scope: Scope | None) -> list[str]:
    """Return what a scope sorts by: what is not named comes first."""
    return [] if scope is None else [scope.tenant, scope.user or "", scope.agent or "", scope.session or ""]


def _twins(a: Job | NewJob, b: Job | NewJob) -> bool:
    return (a.kind, a.scope, a.key) == (b.kind, b.scope, b.key)


def _lapsed(job: Job, time: datetime) -> bool:
    return job.state is JobState.RUNNING and job.leased_until is not None and job.leased_until <= time


def _waiting(job: Job) -> Job:
    return replace(job, state=JobState.WAITING, worker=None, leased_until=None)


def _ended(job: Job, state: JobState, now: datetime, error: str) -> Job:
    return replace(job, state=state, worker=None, leased_until=None, error=error, finished_at=now)


class ReferenceWorking:
    """Saved working memories without files."""

    def __init__(
        self,
        write: Callable[[], AbstractContextManager[ReferenceTransaction]],
        now: Callable[[], dict[Scope, tuple[Kept, ...]]],
    ) -> None:
        self._write = write
        self._now = now

    def load(self, scope: Scope) -> list[Kept]:
        return list(self._now().get(scope, ()))

    def save(self, scope: Scope, items: Sequence[Kept]) -> None:
        with self._write() as tx:
            there = tuple(item for item in items if tx.current(item.id) is not None)
            tx.contents.working.pop(scope, None)
            if there:
                tx.contents.working[scope] = there

    def scopes(self) -> list[Scope]:
        return sorted(self._now(), key=str)
