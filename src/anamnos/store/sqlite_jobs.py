"""The job queue of the SQLite store. See ``anamnos.store.jobs`` for its laws."""

from __future__ import annotations

import builtins
import json
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import apsw

from anamnos.cube import Scope, freeze_json, thaw_json
from anamnos.store.jobs import KEPT, Job, JobState, NewJob, QueueClock, Recurring, backoff
from anamnos.store.rows import from_micros, micros

if TYPE_CHECKING:
    from anamnos.store.sqlite_write import SqliteTransaction

_COLUMNS = (
    "j.job, j.kind, s.tenant, s.user, s.agent, s.session, j.payload, j.key, j.priority, j.state, j.attempts,"
    " j.max_attempts, j.run_after, j.leased_until, j.worker, j.error, j.created_at, j.started_at, j.finished_at,"
    " j.done, j.total"
)
_TABLES = "jobs j LEFT JOIN scopes s USING (scope)"
_DIED = "the worker died"
_CANCELLED = "cancelled"
# Of twins (same kind, scope and key) the one that was begun goes first, and then the oldest. Two queries, so that the
# index gives those that wait in their order and the rest of a long queue is not looked at.
_CLAIMABLE = (
    "SELECT priority, run_after, job FROM jobs j WHERE kind IN (SELECT value FROM json_each(?1))"
    " AND NOT EXISTS (SELECT 1 FROM paused_jobs p WHERE p.kind IN ('', j.kind))"
)
_TWIN = "SELECT 1 FROM jobs t WHERE t.key != '' AND t.key = j.key AND t.kind = j.kind AND t.scope IS j.scope"
_ORDER = "ORDER BY priority, run_after, job LIMIT ?3"
_LAPSED = (
    f"{_CLAIMABLE} AND state = 'running' AND leased_until <= ?2"
    f" AND NOT EXISTS ({_TWIN} AND t.state = 'running' AND t.job != j.job AND (t.leased_until > ?2 OR t.job < j.job))"
    f" {_ORDER}"
)
_DUE = (
    f"{_CLAIMABLE} AND state = 'waiting' AND run_after <= ?2 AND NOT EXISTS ({_TWIN}"
    " AND (t.state = 'running' OR t.state = 'waiting' AND t.run_after <= ?2 AND t.job < j.job))"
    f" {_ORDER}"
)
_FORGET_UNUSED_SCOPE = (
    "DELETE FROM scopes WHERE scope = ?1 AND NOT EXISTS (SELECT 1 FROM cubes WHERE scope = ?1)"
    " AND NOT EXISTS (SELECT 1 FROM working WHERE scope = ?1)"
)
_MICROSECOND = timedelta(microseconds=1)


class SqliteJobs:
    """The jobs in one SQLite file.

    write, reading  lend a transaction, and a connection to read with
    """

    def __init__(
        self,
        write: Callable[[], AbstractContextManager[SqliteTransaction]],
        reading: Callable[[], AbstractContextManager[apsw.Connection]],
    ) -> None:
        self._write = write
        self._reading = reading

    # --- adding and doing

    def add(self, job: NewJob, *, now: datetime) -> Job:
        with self._write() as tx:
            return tx.enqueue(job, now=now)

    def claim(
        self, worker: str, *, now: datetime, lease: timedelta, kinds: Collection[str], limit: int = 1
    ) -> builtins.list[Job]:
        if not self._anything_due(now, kinds):
            return []
        with self._write() as tx:
            db, time = tx.db, _told(tx.db, now)
            _add_recurring(db, time, now)
            _bury(db, time, now)
            values = (_array(kinds), time, limit)
            rows: Any = [*db.execute(_LAPSED, values), *db.execute(_DUE, values)]
            rows = [(job,) for _, _, job in sorted(rows)[:limit]]
            for row in rows:
                db.execute(
                    "UPDATE jobs SET state = 'running', attempts = attempts + 1, worker = ?, leased_until = ?,"
                    " started_at = ?, finished_at = NULL, done = 0, total = 0 WHERE job = ?",
                    (worker, time + lease // _MICROSECOND, micros(now), *row),
                )
            return [job for row in rows for job in _jobs(db, "j.job = ?", row)]

    def _anything_due(self, now: datetime, kinds: Collection[str]) -> bool:
        """Return whether a claim may find something: a look that writes nothing, since workers ask often."""
        with self._reading() as db:
            clock = _clock(db)
            if clock.at(now).ahead != clock.ahead:
                return True  # the clock was set back, which must be noted
            time = micros(clock.at(now).time)
            found = db.execute(
                "SELECT EXISTS (SELECT 1 FROM jobs j WHERE (state = 'waiting' AND run_after <= ?1"
                " OR state = 'running' AND leased_until <= ?1) AND kind IN (SELECT value FROM json_each(?2))"
                " AND NOT EXISTS (SELECT 1 FROM paused_jobs p WHERE p.kind IN ('', j.kind)))"
                " OR EXISTS (SELECT 1 FROM recurring_jobs WHERE run_after <= ?1)",
                (time, _array(kinds)),
            ).get
        return bool(found)

    def renew(self, job: Job, *, now: datetime, lease: timedelta, done: int = 0, total: int = 0) -> bool:
        return self._change(
            job, now, "leased_until = :until, done = :done, total = :total", lease=lease, done=done, total=total
        )

    def finish(self, job: Job, *, now: datetime) -> bool:
        all_of_it = "done = max(total, :total), total = max(total, :total)"
        return self._change(job, now, f"{_END} state = 'done', error = '', {all_of_it}", total=job.total)

    def fail(self, job: Job, error: str, *, now: datetime, final: bool = False) -> bool:
        if final or job.attempts >= job.max_attempts:
            return self._change(job, now, f"{_END} state = 'dead', error = :error", error=error)
        wait = backoff(job.id, job.attempts)
        return self._change(job, now, f"{_WAIT}, run_after = :until, error = :error", lease=wait, error=error)

    def release(self, job: Job, *, now: datetime) -> bool:
        # at its old place in the queue: others that wait as urgently are not older
        return self._change(job, now, f"{_WAIT}, attempts = attempts - 1")

    def _change(self, job: Job, now: datetime, change: str, *, lease: timedelta = timedelta(0), **values: Any) -> bool:
        """Change a job that its worker still holds, and return whether it does."""
        with self._write() as tx:
            values |= {"until": _told(tx.db, now) + lease // _MICROSECOND, "now": micros(now)}
            values |= {"job": job.id, "worker": job.worker, "attempts": job.attempts}
            tx.db.execute(
                f"UPDATE jobs SET {change} WHERE job = :job AND state = 'running' AND worker = :worker"
                " AND attempts = :attempts",
                values,
            )
            changed = tx.db.changes() > 0
            if changed and change.startswith(_END):
                _drop_oldest(tx.db)
            return changed

    # --- looking

    def get(self, number: int) -> Job | None:
        with self._reading() as db:
            return next(iter(_jobs(db, "j.job = ?", (number,))), None)

    def list(
        self, *, states: Collection[str] = (), kinds: Collection[str] = (), limit: int = 100
    ) -> builtins.list[Job]:
        with self._reading() as db:
            return _jobs(
                db,
                "(?1 = '[]' OR j.state IN (SELECT value FROM json_each(?1)))"
                " AND (?2 = '[]' OR j.kind IN (SELECT value FROM json_each(?2))) ORDER BY j.job DESC LIMIT ?3",
                (_array(states), _array(kinds), limit),
            )

    def counts(self) -> dict[tuple[str, str], int]:
        with self._reading() as db:
            rows: Any = db.execute("SELECT kind, state, count(*) FROM jobs GROUP BY kind, state ORDER BY kind, state")
            return {(kind, state): number for kind, state, number in rows}

    # --- steering

    def retry(self, number: int, *, now: datetime) -> bool:
        with self._write() as tx:
            tx.db.execute(
                "UPDATE jobs SET state = 'waiting', attempts = 0, run_after = ?, finished_at = NULL"
                " WHERE job = ? AND state IN ('dead', 'waiting')",
                (_told(tx.db, now), number),
            )
            return tx.db.changes() > 0

    def cancel(self, number: int, *, now: datetime) -> bool:
        with self._write() as tx:
            tx.db.execute(
                "UPDATE jobs SET state = 'dead', error = ?, finished_at = ?, worker = NULL, leased_until = NULL"
                " WHERE job = ? AND state IN ('running', 'waiting')",
                (_CANCELLED, micros(now), number),
            )
            return tx.db.changes() > 0

    def pause(self, kind: str | None = None) -> None:
        with self._write() as tx:
            tx.db.execute("INSERT OR IGNORE INTO paused_jobs VALUES (?)", (kind or "",))

    def resume(self, kind: str | None = None) -> None:
        with self._write() as tx:
            tx.db.execute("DELETE FROM paused_jobs WHERE ?1 = '' OR kind = ?1", (kind or "",))

    def paused(self) -> frozenset[str | None]:
        with self._reading() as db:
            return frozenset(str(row[0]) or None for row in db.execute("SELECT kind FROM paused_jobs"))

    def clean(self, *, before: datetime, states: Collection[str] = (JobState.DONE,)) -> int:
        with self._write() as tx:
            tx.db.execute(
                "DELETE FROM jobs WHERE finished_at < ? AND state IN ('done', 'dead')"
                " AND state IN (SELECT value FROM json_each(?))",
                (micros(before), _array(states)),
            )
            return tx.db.changes()

    def forget(self, scope: Scope) -> None:
        with self._write() as tx:
            rows: Any = tx.db.execute("SELECT scope, tenant, user, agent, session FROM scopes").fetchall()
            for number, *names in rows:
                if scope.covers(Scope(*names)):
                    for table in ("jobs", "recurring_jobs"):
                        tx.db.execute(f"DELETE FROM {table} WHERE scope = ?", (number,))
                    tx.db.execute(_FORGET_UNUSED_SCOPE, (number,))
            tx.erased = True

    # --- what recurs

    def repeat(self, job: NewJob, every: timedelta | None, *, now: datetime) -> None:
        with self._write() as tx:
            scope = None if job.scope is None else tx.scope_number(job.scope)
            tx.db.execute("DELETE FROM recurring_jobs WHERE kind = ? AND scope IS ?", (job.kind, scope))
            if every is not None:
                span = every // _MICROSECOND
                values = (job.kind, scope, _json(job), job.priority, span, _told(tx.db, now) + span)
                tx.db.execute("INSERT INTO recurring_jobs VALUES (?, ?, ?, ?, ?, ?)", values)

    def recurring(self) -> builtins.list[Recurring]:
        with self._reading() as db:
            ahead = _clock(db).ahead
            rows: Any = db.execute(
                "SELECT kind, tenant, user, agent, session, payload, priority, every, run_after"
                " FROM recurring_jobs LEFT JOIN scopes USING (scope)"
                " ORDER BY kind, tenant, user, agent, session"
            )
            return [
                Recurring(
                    kind,
                    _scope(scope),
                    freeze_json("payload", json.loads(payload)),
                    priority,
                    every * _MICROSECOND,
                    _wall(after, ahead),
                )
                for kind, *scope, payload, priority, every, after in rows
            ]

    def restore(self, jobs: Sequence[Job], recurring: Sequence[Recurring], paused: Collection[str | None]) -> None:
        with self._write() as tx:
            db, ahead = tx.db, _clock(tx.db).ahead
            held: Any = db.execute("SELECT scope FROM jobs UNION SELECT scope FROM recurring_jobs").fetchall()
            for table in ("jobs", "recurring_jobs", "paused_jobs"):
                db.execute(f"DELETE FROM {table}")
            db.executemany(_FORGET_UNUSED_SCOPE, held)

            def number(scope: Scope | None) -> int | None:
                return None if scope is None else tx.scope_number(scope)

            for job in jobs:
                until = None if job.leased_until is None else _queue_time(job.leased_until, ahead)
                ended = (micros(job.created_at), micros(job.started_at), micros(job.finished_at), job.done, job.total)
                db.execute(
                    "INSERT INTO jobs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        *(job.id, job.kind, number(job.scope), _json(job), job.key, job.priority, str(job.state)),
                        *(job.attempts, job.max_attempts, _queue_time(job.run_after, ahead), until),
                        *(job.worker, job.error, *ended),
                    ),
                )
            for one in recurring:
                span, after = one.every // _MICROSECOND, _queue_time(one.run_after, ahead)
                values = (one.kind, number(one.scope), _json(one), one.priority, span, after)
                db.execute("INSERT INTO recurring_jobs VALUES (?, ?, ?, ?, ?, ?)", values)
            db.executemany("INSERT INTO paused_jobs VALUES (?)", [(kind or "",) for kind in paused])
            tx.erased = True


_WAIT = "state = 'waiting', worker = NULL, leased_until = NULL"
_END = "worker = NULL, leased_until = NULL, finished_at = :now,"


def enqueue(db: apsw.Connection, job: NewJob, scope: int | None, now: datetime) -> Job:
    """Add a job inside a write, or return the one that waits under its key; ``scope`` is the number of its scope."""
    time = _told(db, now)
    known = None
    if job.key:
        known = db.execute(
            "SELECT job FROM jobs WHERE kind = ? AND scope IS ? AND key = ? AND state = 'waiting' ORDER BY job",
            (job.kind, scope, job.key),
        ).get
    if known is None:
        after = time if job.run_after is None else max(time, _queue_time(job.run_after, _clock(db).ahead))
        known = _insert(db, job, scope, after, now)
    return _jobs(db, "j.job = ?", (known,))[0]


def _insert(db: apsw.Connection, job: NewJob, scope: int | None, after: int, now: datetime) -> int:
    db.execute(
        "INSERT INTO jobs VALUES (NULL, ?, ?, ?, ?, ?, 'waiting', 0, ?, ?, NULL, NULL, '', ?, NULL, NULL, 0, 0)",
        (job.kind, scope, _json(job), job.key, job.priority, job.max_attempts, after, micros(now)),
    )
    return db.last_insert_rowid()


def _add_recurring(db: apsw.Connection, time: int, now: datetime) -> None:
    due: Any = db.execute(
        "SELECT rowid, kind, scope, payload, priority FROM recurring_jobs WHERE run_after <= ?", (time,)
    ).fetchall()
    for row, kind, scope, payload, priority in due:
        there = db.execute(
            "SELECT 1 FROM jobs WHERE kind = ? AND scope IS ? AND key = 'recurring' AND state = 'waiting'",
            (kind, scope),
        ).get
        if there is None:
            job = NewJob(kind, payload=json.loads(payload), key="recurring", priority=priority)
            _insert(db, job, scope, time, now)
        db.execute("UPDATE recurring_jobs SET run_after = ? + every WHERE rowid = ?", (time, row))


def _bury(db: apsw.Connection, time: int, now: datetime) -> None:
    """Make those dead whose worker died in their last attempt."""
    db.execute(
        "UPDATE jobs SET state = 'dead', error = ?, finished_at = ?, worker = NULL, leased_until = NULL"
        " WHERE state = 'running' AND leased_until <= ? AND attempts >= max_attempts",
        (_DIED, micros(now), time),
    )


def _drop_oldest(db: apsw.Connection) -> None:
    for state in ("done", "dead"):
        db.execute(
            "DELETE FROM jobs WHERE state = ?1 AND job <="
            " (SELECT job FROM jobs WHERE state = ?1 ORDER BY job DESC LIMIT 1 OFFSET ?2)",
            (state, KEPT),
        )


# --- the queue's clock


def _clock(db: apsw.Connection) -> QueueClock:
    row: Any = db.execute("SELECT seen, ahead FROM job_clock").fetchone()
    return QueueClock() if row is None else QueueClock(_time(row[0]), row[1] * _MICROSECOND)


def _told(db: apsw.Connection, now: datetime) -> int:
    """Tell the queue what the wall clock says, and return its own time in microseconds."""
    clock = _clock(db).at(now)
    db.execute("DELETE FROM job_clock")
    db.execute("INSERT INTO job_clock VALUES (?, ?)", (micros(clock.seen), clock.ahead // _MICROSECOND))
    return _number(clock.time)


def _queue_time(wall: datetime, ahead: timedelta) -> int:
    return _number(wall) + ahead // _MICROSECOND


def _wall(queue_time: int, ahead: timedelta) -> datetime:
    return _time(queue_time) - ahead


def _number(time: datetime) -> int:
    value = micros(time)
    assert value is not None  # noqa: S101  (of a time that is given)
    return value


def _time(value: int) -> datetime:
    time = from_micros(value)
    assert time is not None  # noqa: S101
    return time


# --- rows


def _jobs(db: apsw.Connection, condition: str, values: Any) -> builtins.list[Job]:
    ahead = _clock(db).ahead
    rows: Any = db.execute(f"SELECT {_COLUMNS} FROM {_TABLES} WHERE {condition}", values).fetchall()
    return [_job(row, ahead) for row in rows]


def _job(row: tuple[Any, ...], ahead: timedelta) -> Job:
    number, kind, *scope = row[:6]
    payload, key, priority, state, attempts, most, after, until, worker, error = row[6:16]
    created, started, finished, done, total = row[16:]
    return Job(
        id=number,
        kind=kind,
        scope=_scope(scope),
        payload=freeze_json("payload", json.loads(payload)),
        key=key,
        priority=priority,
        state=JobState(state),
        attempts=attempts,
        max_attempts=most,
        run_after=_wall(after, ahead),
        leased_until=None if until is None else _wall(until, ahead),
        worker=worker,
        error=error,
        created_at=_time(created),
        started_at=from_micros(started),
        finished_at=from_micros(finished),
        done=done,
        total=total,
    )


def _scope(parts: builtins.list[Any]) -> Scope | None:
    return None if parts[0] is None else Scope(*parts)


def _json(job: NewJob | Job | Recurring) -> str:
    return json.dumps(thaw_json(job.payload), separators=(",", ":"))


def _array(names: Collection[str]) -> str:
    return json.dumps([str(name) for name in names])
