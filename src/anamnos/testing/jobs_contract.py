"""The laws of a job queue, and of saved working memories, as tests: subclass and give it ``make_store``.

class TestMyJobs(JobQueueContract):
    def make_store(self, folder: Path) -> Store:
        return MyStore(folder)
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anamnos.cube import CubeId, MemCube, Scope
from anamnos.errors import InvalidInput
from anamnos.store.apply import apply
from anamnos.store.base import Store
from anamnos.store.jobs import CLOCK_SLACK, Job, JobState, NewJob, Recurring, backoff
from anamnos.store.working import Kept
from anamnos.testing.fakes import FakeClock, seeded_ids
from anamnos.testing.reference_store import ReferenceStore
from anamnos.types import Op, OpKind

ANN, BOB = Scope(user="ann"), Scope(user="bob")
JUNE = Scope(user="ann", session="june")
KINDS = ("enrich", "sleep", "tidy")
LEASE = timedelta(seconds=30)
MINUTE = timedelta(minutes=1)


class JobQueueContract:
    """Subclass it and provide ``make_store``."""

    def make_store(self, folder: Path) -> Store:
        """Return a new store, not opened."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        store = self.make_store(tmp_path).open()
        yield store
        store.close()

    # --- one job

    def test_a_job_is_done_once(self, store: Store) -> None:
        clock, jobs = FakeClock(), store.jobs
        added = jobs.add(
            NewJob("enrich", ANN, {"extractor": "rules", "ids": ["a-1", 2, None]}, priority=2), now=clock()
        )
        assert (added.state, added.attempts, added.scope, added.created_at) == (JobState.WAITING, 0, ANN, clock())
        assert _plain(jobs.get(added.id)) == _plain(added)
        (held,) = self.claim(store, clock)
        assert (held.id, held.state, held.attempts, held.worker) == (added.id, JobState.RUNNING, 1, "w1")
        assert held.leased_until == clock() + LEASE
        assert dict(held.payload) == {"extractor": "rules", "ids": ("a-1", 2, None)}
        assert self.claim(store, clock, "w2") == []
        clock.advance(10)
        assert jobs.renew(held, now=clock(), lease=LEASE, done=3, total=8)
        running = jobs.get(held.id)
        assert running is not None
        assert (running.done, running.total, running.leased_until) == (3, 8, clock() + LEASE)
        assert jobs.finish(held, now=clock())
        done = jobs.get(held.id)
        assert done is not None
        assert (done.state, done.worker, done.leased_until, done.finished_at) == (JobState.DONE, None, None, clock())
        assert done.to_dict()["state"] == "done"
        assert self.claim(store, clock) == []
        assert jobs.counts() == {("enrich", "done"): 1}

    def test_a_job_without_a_scope_is_about_the_whole(self, store: Store) -> None:
        clock = FakeClock()
        assert store.jobs.add(NewJob("tidy"), now=clock()).scope is None
        assert [job.scope for job in self.claim(store, clock)] == [None]

    def test_what_does_not_exist_is_not_found(self, store: Store) -> None:
        jobs, now = store.jobs, FakeClock()()
        assert jobs.get(7) is None
        assert not jobs.retry(7, now=now)
        assert not jobs.cancel(7, now=now)
        assert jobs.list() == []
        assert jobs.recurring() == []
        assert jobs.counts() == {}

    @pytest.mark.parametrize(
        "wrong",
        [
            {"kind": ""},
            {"kind": "two words"},
            {"payload": {"text": "Ann lives in Oslo."}},
            {"payload": {"deep": [{"a": "x y"}]}},
            {"payload": {"two words": 1}},
            {"payload": ["no object"]},
            {"key": "a b"},
            {"priority": 0},
            {"priority": 4},
            {"priority": True},
            {"max_attempts": 0},
            {"scope": "ann"},
        ],
    )
    def test_a_job_that_makes_no_sense_or_holds_text_is_refused(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(InvalidInput):
            NewJob(**{"kind": "enrich", **wrong})

    # --- together with memories

    def test_a_job_is_there_if_and_only_if_its_write_is(self, store: Store) -> None:
        clock, cube = FakeClock(), self.cube(1)
        with pytest.raises(RuntimeError), store.write() as tx:
            apply(Op(OpKind.ADD, cube=cube), tx, now=clock())
            tx.enqueue(NewJob("enrich", ANN), now=clock())
            raise RuntimeError
        assert store.jobs.list() == []
        with store.write() as tx:
            apply(Op(OpKind.ADD, cube=cube), tx, now=clock())
            first = tx.enqueue(NewJob("enrich", ANN, key="rules"), now=clock())
            assert tx.enqueue(NewJob("enrich", ANN, key="rules"), now=clock()).id == first.id
        assert [job.id for job in store.jobs.list()] == [first.id]
        assert store.get(cube.id) is not None

    def test_the_jobs_of_a_scope_go_with_its_last_memory(self, store: Store) -> None:
        clock = FakeClock()
        with store.write() as tx:
            for number, scope in enumerate((ANN, JUNE, BOB)):
                apply(Op(OpKind.ADD, cube=self.cube(number, scope)), tx, now=clock())
        for whose in (ANN, JUNE, BOB, None):
            store.jobs.add(NewJob("enrich", whose), now=clock())
            store.jobs.repeat(NewJob("sleep", whose), MINUTE, now=clock())
        self.erase(store, self.cube(0).id)
        assert self.scopes(store) == {ANN, JUNE, BOB, None}, "ann has a memory left, in june"
        self.erase(store, self.cube(1).id)
        assert self.scopes(store) == {BOB, None}
        assert {one.scope for one in store.jobs.recurring()} == {BOB, None}

    def test_the_jobs_of_a_scope_can_be_forgotten_though_it_never_had_a_memory(self, store: Store) -> None:
        clock = FakeClock()
        for whose in (ANN, JUNE, BOB, None):
            store.jobs.add(NewJob("enrich", whose), now=clock())
            store.jobs.repeat(NewJob("sleep", whose), MINUTE, now=clock())
        store.jobs.forget(JUNE)
        assert self.scopes(store) == {ANN, BOB, None}
        store.jobs.forget(ANN)
        assert self.scopes(store) == {BOB, None}
        assert {one.scope for one in store.jobs.recurring()} == {BOB, None}

    def test_a_running_job_of_a_forgotten_scope_can_no_longer_finish(self, store: Store) -> None:
        clock = FakeClock()
        with store.write() as tx:
            apply(Op(OpKind.ADD, cube=self.cube(1)), tx, now=clock())
        store.jobs.add(NewJob("enrich", ANN), now=clock())
        (held,) = self.claim(store, clock)
        self.erase(store, self.cube(1).id)
        assert not store.jobs.renew(held, now=clock(), lease=LEASE)
        assert not store.jobs.finish(held, now=clock())

    # --- whose turn it is

    def test_the_most_urgent_then_the_longest_due_then_the_oldest(self, store: Store) -> None:
        clock, jobs = FakeClock(), store.jobs
        late = clock() + MINUTE
        wanted = [NewJob("tidy", priority=3), NewJob("tidy", priority=3), NewJob("tidy", priority=1, run_after=late)]
        numbers = [jobs.add(job, now=clock()).id for job in wanted]
        clock.advance(1)
        numbers.append(jobs.add(NewJob("tidy", priority=2), now=clock()).id)
        first, second, soon, middle = numbers
        assert [job.id for job in self.claim(store, clock, limit=3)] == [middle, first, second]
        assert self.claim(store, clock) == [], "its time has not come"
        clock.advance(60)
        assert [job.id for job in self.claim(store, clock, limit=9) if job.id == soon] == [soon]

    def test_only_kinds_that_the_worker_knows_and_that_are_not_paused(self, store: Store) -> None:
        clock, jobs = FakeClock(), store.jobs
        for kind in KINDS:
            jobs.add(NewJob(kind), now=clock())
        jobs.pause("sleep")
        assert jobs.paused() == {"sleep"}
        claimed = jobs.claim("w1", now=clock(), lease=LEASE, kinds=("sleep", "tidy"), limit=5)
        assert [job.kind for job in claimed] == ["tidy"]
        jobs.pause()
        assert jobs.paused() == {"sleep", None}
        assert self.claim(store, clock, limit=5) == []
        jobs.resume("sleep")
        assert self.claim(store, clock, limit=5) == []
        jobs.resume()
        assert jobs.paused() == frozenset()
        assert {job.kind for job in self.claim(store, clock, limit=5)} == {"sleep", "enrich"}

    def test_of_jobs_with_one_key_one_waits_and_one_runs(self, store: Store) -> None:
        clock, jobs = FakeClock(), store.jobs
        first = jobs.add(NewJob("enrich", ANN, key="rules"), now=clock())
        assert jobs.add(NewJob("enrich", ANN, key="rules", priority=1), now=clock()).id == first.id
        others = [NewJob("enrich", BOB, key="rules"), NewJob("tidy", ANN, key="rules"), NewJob("enrich", ANN)]
        assert len({first.id, *(jobs.add(job, now=clock()).id for job in others)}) == 4
        held = self.claim(store, clock, limit=9)
        assert len(held) == 4
        after = jobs.add(NewJob("enrich", ANN, key="rules"), now=clock())
        assert after.id != first.id, "what was written since the other one began is not lost"
        assert self.claim(store, clock, "w2") == [], "while the other one runs it waits"
        clock.advance(31)
        again = self.claim(store, clock, "w2", limit=9)
        assert {job.id for job in again} == {job.id for job in held}, "nor does it pass one whose worker died"
        assert all(jobs.finish(job, now=clock()) for job in again)
        assert [job.id for job in self.claim(store, clock)] == [after.id]

    # --- leases

    def test_a_lease_that_ran_out_goes_to_the_next_and_the_first_is_locked_out(self, store: Store) -> None:
        clock, jobs = FakeClock(), store.jobs
        jobs.add(NewJob("enrich", ANN), now=clock())
        (first,) = self.claim(store, clock)
        clock.advance(29)
        assert self.claim(store, clock, "w2") == []
        clock.advance(2)
        (second,) = self.claim(store, clock, "w2")
        assert (second.id, second.attempts) == (first.id, 2)
        assert not jobs.renew(first, now=clock(), lease=LEASE)
        assert not jobs.finish(first, now=clock())
        assert not jobs.fail(first, "late", now=clock())
        assert not jobs.release(first, now=clock())
        assert jobs.finish(second, now=clock())

    def test_the_same_worker_is_locked_out_of_its_own_past_attempt(self, store: Store) -> None:
        clock, jobs = FakeClock(), store.jobs
        jobs.add(NewJob("enrich", ANN), now=clock())
        (first,) = self.claim(store, clock)
        clock.advance(31)
        (second,) = self.claim(store, clock)
        assert not jobs.finish(first, now=clock())
        assert jobs.finish(second, now=clock())

    def test_a_late_worker_may_finish_while_nobody_else_has_begun(self, store: Store) -> None:
        clock = FakeClock()
        store.jobs.add(NewJob("enrich", ANN), now=clock())
        (held,) = self.claim(store, clock)
        clock.advance(3_600)
        assert store.jobs.finish(held, now=clock())

    def test_a_job_given_back_is_as_if_it_had_not_been_begun(self, store: Store) -> None:
        clock, jobs = FakeClock(), store.jobs
        added = jobs.add(NewJob("enrich", ANN), now=clock())
        (held,) = self.claim(store, clock)
        assert jobs.release(held, now=clock())
        back = jobs.get(added.id)
        assert back is not None
        assert (back.state, back.attempts, back.worker) == (JobState.WAITING, 0, None)
        assert [job.id for job in self.claim(store, clock, "w2")] == [added.id]

    # --- failures

    def test_a_job_that_fails_waits_longer_each_time_and_is_dead_in_the_end(self, store: Store) -> None:
        clock, jobs = FakeClock(), store.jobs
        number = jobs.add(NewJob("enrich", ANN, max_attempts=3), now=clock()).id
        for attempt in (1, 2, 3):
            (held,) = self.claim(store, clock)
            assert held.attempts == attempt
            assert jobs.fail(held, "Busy", now=clock())
            failed = jobs.get(number)
            assert failed is not None
            assert failed.error == "Busy"
            if attempt < 3:
                assert failed.state is JobState.WAITING
                assert failed.run_after == clock() + backoff(number, attempt)
                clock.now = failed.run_after - timedelta(milliseconds=1)
                assert self.claim(store, clock) == []
                clock.advance(1)
        assert failed is not None
        assert (failed.state, failed.finished_at) == (JobState.DEAD, clock())
        clock.advance(days=9)
        assert self.claim(store, clock) == []
        assert jobs.retry(number, now=clock())
        (held,) = self.claim(store, clock)
        assert (held.id, held.attempts) == (number, 1)
        assert jobs.finish(held, now=clock())
        assert not jobs.retry(number, now=clock()), "what is done is not to be done again"

    def test_a_failure_can_be_final(self, store: Store) -> None:
        clock = FakeClock()
        number = store.jobs.add(NewJob("enrich", ANN), now=clock()).id
        (held,) = self.claim(store, clock)
        assert store.jobs.fail(held, "InvalidInput", now=clock(), final=True)
        assert [job.id for job in store.jobs.list(states=["dead"])] == [number]

    def test_a_job_that_kills_its_workers_is_dead_in_the_end(self, store: Store) -> None:
        clock, jobs = FakeClock(), store.jobs
        number = jobs.add(NewJob("enrich", ANN, max_attempts=2), now=clock()).id
        for _ in range(2):
            assert len(self.claim(store, clock)) == 1
            clock.advance(31)
        assert self.claim(store, clock) == []
        dead = jobs.get(number)
        assert dead is not None
        assert (dead.state, dead.error, dead.worker) == (JobState.DEAD, "the worker died", None)

    def test_backing_off_doubles_up_to_an_hour_with_a_jitter_that_repeats(self) -> None:
        seconds = [backoff(7, attempt).total_seconds() for attempt in range(1, 30)]
        for attempt, wait in enumerate(seconds):
            base = min(2 * 2**attempt, 3_600)
            assert base <= wait < base * 1.25
        assert seconds == [backoff(7, attempt).total_seconds() for attempt in range(1, 30)]
        assert backoff(8, 3) != backoff(7, 3)

    # --- steering

    def test_cancelling_takes_a_job_from_whoever_has_it(self, store: Store) -> None:
        clock, jobs = FakeClock(), store.jobs
        waiting, running = (jobs.add(NewJob("enrich", who), now=clock()).id for who in (ANN, BOB))
        (first,) = self.claim(store, clock)
        assert first.id == waiting
        assert jobs.cancel(waiting, now=clock())
        assert not jobs.renew(first, now=clock(), lease=LEASE)
        assert jobs.cancel(running, now=clock())
        assert not jobs.cancel(running, now=clock())
        assert self.claim(store, clock) == []
        assert {(job.state, job.error) for job in jobs.list()} == {(JobState.DEAD, "cancelled")}

    def test_retrying_lets_a_waiting_job_run_at_once(self, store: Store) -> None:
        clock = FakeClock()
        number = store.jobs.add(NewJob("tidy", run_after=clock() + MINUTE), now=clock()).id
        assert store.jobs.retry(number, now=clock())
        assert [job.id for job in self.claim(store, clock)] == [number]
        assert not store.jobs.retry(number, now=clock()), "it runs"

    def test_lists_and_counts(self, store: Store) -> None:
        clock, jobs = FakeClock(), store.jobs
        numbers = [jobs.add(NewJob(kind), now=clock()).id for kind in (*KINDS, *KINDS)]
        self.claim(store, clock)
        assert [job.id for job in jobs.list()] == numbers[::-1]
        assert [job.id for job in jobs.list(limit=2)] == numbers[:-3:-1]
        assert [job.id for job in jobs.list(kinds=["tidy"], states=["waiting", "dead"])] == [numbers[5], numbers[2]]
        assert jobs.counts() == {
            ("enrich", "running"): 1,
            ("enrich", "waiting"): 1,
            ("sleep", "waiting"): 2,
            ("tidy", "waiting"): 2,
        }

    def test_cleaning_takes_what_ended_long_ago(self, store: Store) -> None:
        clock, jobs = FakeClock(), store.jobs
        numbers = [jobs.add(NewJob("tidy"), now=clock()).id for _ in range(4)]
        done, dead, _, _ = self.claim(store, clock, limit=4)
        jobs.finish(done, now=clock())
        jobs.fail(dead, "x", now=clock(), final=True)
        assert jobs.clean(before=clock()) == 0
        clock.advance(1)
        assert jobs.clean(before=clock()) == 1
        assert jobs.clean(before=clock(), states=["dead", "waiting", "running"]) == 1
        assert {job.id for job in jobs.list()} == set(numbers[2:])

    # --- what recurs

    def test_what_recurs_is_added_when_its_time_has_come_once_however_late(self, store: Store) -> None:
        clock, jobs = FakeClock(), store.jobs
        jobs.repeat(NewJob("sleep", None, {"budget": 5}, priority=2), MINUTE, now=clock())
        (one,) = jobs.recurring()
        assert (one.kind, one.every, one.run_after, dict(one.payload)) == (
            "sleep",
            MINUTE,
            clock() + MINUTE,
            {"budget": 5},
        )
        assert self.claim(store, clock) == []
        clock.advance(600)
        (held,) = self.claim(store, clock, limit=9)
        assert (held.kind, dict(held.payload), held.priority) == ("sleep", {"budget": 5}, 2)
        clock.advance(61)
        assert [job.id for job in self.claim(store, clock, limit=9)] == [held.id], "the lapsed one, not a second one"
        jobs.repeat(NewJob("sleep"), timedelta(days=1), now=clock())
        assert [one.every for one in jobs.recurring()] == [timedelta(days=1)]
        jobs.repeat(NewJob("sleep"), None, now=clock())
        assert jobs.recurring() == []

    # --- taken over from another queue

    def test_a_queue_becomes_what_another_shows(self, store: Store) -> None:
        clock, other = FakeClock(), ReferenceStore().open().jobs
        first = other.add(NewJob("enrich", ANN, {"n": [1, {"a": None}]}, key="k"), now=clock())
        other.add(NewJob("sleep", None, priority=1), now=clock())
        clock.advance(seconds=-3_600)  # its queue is an hour ahead of the wall clock from here on
        other.claim("w", now=clock(), lease=LEASE, kinds=["sleep"])
        other.add(NewJob("tidy", JUNE, run_after=clock() + MINUTE), now=clock())
        other.cancel(first.id, now=clock())
        other.repeat(NewJob("tidy", BOB, {"x": 1}, priority=2), MINUTE, now=clock())
        other.pause()
        other.pause("sleep")
        store.jobs.add(NewJob("enrich", BOB), now=clock())
        for _ in range(2):
            store.jobs.restore(other.list(), other.recurring(), other.paused())
            assert _plain(store.jobs.list()) == _plain(other.list())
            assert _plain(store.jobs.recurring()) == _plain(other.recurring())
            assert store.jobs.paused() == other.paused() == {None, "sleep"}
        added = store.jobs.add(NewJob("enrich", BOB), now=clock())
        assert added.id == other.list()[0].id + 1
        store.jobs.resume()
        clock.advance(seconds=31)
        assert [job.kind for job in store.jobs.claim("v", now=clock(), lease=LEASE, kinds=KINDS)] == ["sleep"]

    # --- clocks

    def test_a_clock_that_is_set_back_stalls_nothing(self, store: Store) -> None:
        clock, jobs = FakeClock(), store.jobs
        jobs.add(NewJob("enrich", ANN), now=clock())
        (held,) = self.claim(store, clock)
        jobs.add(NewJob("tidy", run_after=clock() + MINUTE), now=clock())
        jobs.repeat(NewJob("sleep"), MINUTE, now=clock())
        clock.advance(days=-400)
        assert self.claim(store, clock, "w2") == [], "nobody takes what its worker still holds"
        assert jobs.renew(held, now=clock(), lease=LEASE)
        clock.advance(31)
        assert [job.id for job in self.claim(store, clock, "w2")] == [held.id]
        clock.advance(31)
        assert {job.kind for job in self.claim(store, clock, "w3", limit=9)} == {"enrich", "tidy", "sleep"}
        shown = jobs.get(held.id)
        assert shown is not None
        assert shown.leased_until == clock() + LEASE, "times are those of the wall"

    def test_writers_that_hand_in_their_times_late_do_not_speed_the_queue_up(self, store: Store) -> None:
        clock, jobs = FakeClock(), store.jobs
        jobs.add(NewJob("enrich", ANN), now=clock())
        (held,) = self.claim(store, clock)
        for _ in range(50):
            clock.advance(0.1)
            jobs.add(NewJob("tidy"), now=clock())
            jobs.add(NewJob("tidy"), now=clock() - CLOCK_SLACK / 2)
        assert self.claim(store, clock, "w2", kinds=("enrich",)) == []
        assert jobs.finish(held, now=clock())

    # --- many at once

    def test_threads_that_claim_at_once_never_get_the_same_job(self, store: Store) -> None:
        clock = FakeClock()
        with store.write() as tx:
            numbers = [tx.enqueue(NewJob("tidy"), now=clock()).id for _ in range(60)]
        got: list[int] = []

        def work(name: str) -> None:
            while jobs := store.jobs.claim(name, now=clock(), lease=LEASE, kinds=KINDS, limit=2):
                got.extend(job.id for job in jobs)
                assert all(store.jobs.finish(job, now=clock()) for job in jobs)

        threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(got) == numbers
        assert store.jobs.counts() == {("tidy", "done"): 60}

    def test_any_life_is_that_of_the_reference(self) -> None:
        @settings(deadline=None)
        @given(st.data())
        def check(data: st.DataObject) -> None:
            clock, held = FakeClock(), list[Job]()
            with tempfile.TemporaryDirectory() as folder:
                stores = [self.make_store(Path(folder)).open(), ReferenceStore().open()]
                try:
                    for _ in range(data.draw(st.integers(1, 25))):
                        self._step(data, stores, clock, held)
                        tables = [(s.jobs.list(), s.jobs.counts(), s.jobs.recurring()) for s in stores]
                        assert _plain(tables[0]) == _plain(tables[1])
                finally:
                    for store in stores:
                        store.close()

        check()

    def _step(self, data: st.DataObject, stores: list[Store], clock: FakeClock, held: list[Job]) -> None:
        clock.advance(data.draw(st.sampled_from([0, 0, 1, 5, 31, 4_000, -3, -90, -100_000])))
        now: datetime = clock()
        number = data.draw(st.integers(1, 8))
        kind = data.draw(st.sampled_from(KINDS))
        new = NewJob(
            kind,
            data.draw(st.sampled_from([None, ANN, JUNE])),
            {"n": number},
            data.draw(st.sampled_from(["", "k"])),
            data.draw(st.integers(1, 3)),
            data.draw(st.sampled_from([None, now + MINUTE])),
            data.draw(st.integers(1, 3)),
        )
        actions = ["add", "add", "claim", "claim", "retry", "cancel", "pause", "resume", "clean", "repeat"]
        action = data.draw(st.sampled_from(actions + ["renew", "finish", "fail", "release"] * bool(held)))
        job = data.draw(st.sampled_from(held)) if held else None
        results: list[Any] = []
        for store in stores:
            jobs = store.jobs
            if action == "add":
                results.append(jobs.add(new, now=now))
            elif action == "claim":
                results.append(jobs.claim(f"w{number % 2}", now=now, lease=LEASE, kinds=KINDS[: number % 4], limit=2))
            elif action in ("retry", "cancel"):
                results.append(getattr(jobs, action)(number, now=now))
            elif action in ("pause", "resume"):
                results.append(getattr(jobs, action)(kind if number % 2 else None))
            elif action == "clean":
                results.append(jobs.clean(before=now, states=("done", "dead")))
            elif action == "repeat":
                jobs.repeat(new, MINUTE if number % 3 else None, now=now)
                results.append(jobs.recurring())
            elif job is not None:
                arguments: dict[str, Any] = {"renew": {"lease": LEASE, "done": number, "total": 8}}.get(action, {})
                name = ("Busy",) if action == "fail" else ()
                results.append(getattr(jobs, action)(job, *name, now=now, **arguments))
        assert _plain(results[0]) == _plain(results[1])
        if action == "claim":
            held += results[0]

    # --- working memory

    def test_a_working_memory_is_kept_by_scope_and_without_what_was_erased(self, store: Store) -> None:
        now = FakeClock()()
        with store.write() as tx:
            for number in range(4):
                apply(Op(OpKind.ADD, cube=self.cube(number, JUNE if number else BOB)), tx, now=now)
        one, two, three = (self.cube(number).id for number in (1, 2, 3))
        assert store.working.load(JUNE) == []
        kept = [Kept(two, 0.5, 3, 1), Kept(one, 0.25), Kept(three)]
        store.working.save(JUNE, kept)
        store.working.save(ANN, kept[1:])
        assert store.working.load(JUNE) == kept
        assert store.working.scopes() == [ANN, JUNE]
        self.erase(store, one)
        assert store.working.load(JUNE) == [kept[0], kept[2]]
        assert store.working.load(ANN) == [kept[2]]
        store.working.save(JUNE, [*kept, Kept(self.cube(9).id)])
        assert store.working.load(JUNE) == [kept[0], kept[2]], "what is not there cannot come back"
        store.working.save(ANN, [])
        assert store.working.scopes() == [JUNE]
        self.erase(store, two)
        self.erase(store, three)
        assert store.working.scopes() == []
        assert [text for text in store.verify() if "working" in text] == []

    def test_the_hottest_are_those_used_most(self, store: Store) -> None:
        now = FakeClock()()
        uses = {1: 3, 2: 7, 3: 0, 4: 3, 5: 9}
        with store.write() as tx:
            for number, count in uses.items():
                cube = self.cube(number, BOB if number == 5 else JUNE)
                apply(Op(OpKind.ADD, cube=cube), tx, now=now)
                used = replace(cube, lifecycle=replace(cube.lifecycle, uses=count))
                apply(Op(OpKind.TOUCH, target=cube.id, cube=used), tx, now=now)
        assert [cube.id for cube in store.hottest()] == [self.cube(number).id for number in (5, 2, 1, 4)]
        assert [cube.id for cube in store.hottest(ANN, limit=2)] == [self.cube(number).id for number in (2, 1)]

    # --- helpers

    def claim(self, store: Store, clock: FakeClock, worker: str = "w1", **more: Any) -> list[Job]:
        wanted: dict[str, Any] = {"kinds": KINDS, **more}
        return store.jobs.claim(worker, now=clock(), lease=LEASE, **wanted)

    def cube(self, number: int, scope: Scope = ANN) -> MemCube:
        new_id = seeded_ids(number)
        return MemCube(id=CubeId(new_id(FakeClock()())), version=1, content=f"memory {number}", scope=scope)

    def erase(self, store: Store, cube_id: CubeId) -> None:
        with store.write() as tx:
            apply(Op(OpKind.DELETE, target=cube_id), tx, now=FakeClock()())

    def scopes(self, store: Store) -> set[Scope | None]:
        return {job.scope for job in store.jobs.list()}


def _plain(value: Any) -> Any:
    """Return jobs as plain data, since two read-only mappings are never equal."""
    if isinstance(value, Job):
        return value.to_dict()
    if isinstance(value, Recurring):
        return (value.kind, value.scope, dict(value.payload), value.priority, value.every, value.run_after)
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value
