"""Workers: what is done, what is handed back, what fails, and what stops them."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from anamnos import Memory, Scope, where
from anamnos.errors import AccessDenied, ConfigError, InvalidInput, NotFound, ProviderError
from anamnos.store.jobs import Job, JobState
from anamnos.system.scheduler import Budget, Jobs, Progress, memory_mb, users_of, verb_handlers, wordless
from anamnos.testing import FakeClock, FakeEmbedder, ReferenceStore

ANN, BOB = Scope(user="ann"), Scope(user="bob")
SECRET = "the blue pot hides a key"


@pytest.fixture
def jobs(clock: FakeClock) -> Iterator[Jobs]:
    store = ReferenceStore().open()
    yield Jobs(store.jobs, clock)
    store.close()


def within(seconds: float, done: Callable[[], bool]) -> bool:
    """Wait until something is so; return whether it came to be."""
    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        time.sleep(0.005)
    return done()


def test_a_worker_does_what_is_due_and_ends_when_idle(jobs: Jobs, clock: FakeClock) -> None:
    done: list[tuple[Any, ...]] = []
    jobs.register("note", lambda job, progress: done.append((job.scope, dict(job.payload))))
    jobs.add("note", ANN, payload={"n": 1})
    jobs.add("note", run_after=clock() + timedelta(hours=1))
    jobs.add("unknown")
    assert jobs.run() == 1
    assert done == [(ANN, {"n": 1})]
    assert jobs.counts() == {("note", "done"): 1, ("note", "waiting"): 1, ("unknown", "waiting"): 1}


def test_progress_is_kept_and_completed(jobs: Jobs) -> None:
    jobs.register("count", lambda job, progress: [progress(n, 8) for n in range(5)] and None)
    number = jobs.add("count").id
    jobs.run()
    assert (jobs.get(number).done, jobs.get(number).total) == (8, 8)


def test_a_failure_is_noted_without_its_words_and_tried_again(
    jobs: Jobs, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(job: Job, progress: Progress) -> None:
        raise ProviderError(SECRET)

    jobs.register("note", fails)
    number = jobs.add("note", max_attempts=2).id
    with caplog.at_level(logging.WARNING):
        assert jobs.run() == 1
    assert SECRET in caplog.text, "the log says all of it"
    failed = jobs.get(number)
    assert failed.state is JobState.WAITING
    assert failed.error.startswith("ProviderError at test_scheduler.py:")
    assert SECRET not in str(failed)
    clock.advance(3)
    jobs.run()
    assert jobs.get(number).state is JobState.DEAD
    assert jobs.retry(number).state is JobState.WAITING


@pytest.mark.parametrize("hopeless", [InvalidInput("x"), ConfigError("x"), NotFound("x")])
def test_what_no_repetition_can_mend_is_dead_at_once(jobs: Jobs, hopeless: Exception) -> None:
    def fails(job: Job, progress: Progress) -> None:
        raise hopeless

    jobs.register("note", fails)
    number = jobs.add("note").id
    jobs.run()
    assert (jobs.get(number).state, jobs.get(number).attempts) == (JobState.DEAD, 1)


def test_a_failure_in_one_job_leaves_the_others_of_its_batch_alone(jobs: Jobs) -> None:
    def fails_for_ann(job: Job, progress: Progress) -> None:
        if job.scope == ANN:
            raise ValueError

    jobs.register("note", fails_for_ann)
    for scope in (BOB, ANN, None):
        jobs.add("note", scope)
    assert jobs.run(batch=3) == 3
    assert jobs.counts() == {("note", "done"): 2, ("note", "waiting"): 1}


def test_stopping_hands_the_job_back_and_those_not_begun(jobs: Jobs) -> None:
    worker = jobs.worker(batch=2)

    def stops(job: Job, progress: Progress) -> None:
        worker.stop(wait=False)
        progress(1, 2)
        pytest.fail("it goes on")

    jobs.register("note", stops)
    jobs.add("note", ANN)
    jobs.add("note", BOB)
    assert worker.run() == 1
    assert {(job.state, job.attempts, job.worker) for job in jobs.list()} == {(JobState.WAITING, 0, None)}


def test_a_job_that_says_no_progress_is_brought_to_its_end_when_stopped(jobs: Jobs) -> None:
    worker = jobs.worker()
    jobs.register("note", lambda job, progress: worker.stop(wait=False))
    number = jobs.add("note").id
    worker.run()
    assert jobs.get(number).state is JobState.DONE


def test_an_interruption_hands_the_job_back(jobs: Jobs) -> None:
    def interrupted(job: Job, progress: Progress) -> None:
        raise KeyboardInterrupt

    jobs.register("note", interrupted)
    number = jobs.add("note").id
    with pytest.raises(KeyboardInterrupt):
        jobs.run()
    assert jobs.get(number).state is JobState.WAITING


def test_a_job_that_takes_too_long_fails_visibly(jobs: Jobs) -> None:
    def slow(job: Job, progress: Progress) -> None:
        time.sleep(0.02)
        progress(1, 2)

    jobs.register("note", slow)
    number = jobs.add("note").id
    jobs.run(budget=Budget(job_s=0.01))
    assert jobs.get(number).error == "took longer than 0.01 s"
    assert (jobs.get(number).state, jobs.get(number).attempts) == (JobState.WAITING, 1)


def test_a_job_that_takes_too_much_memory_fails_and_the_worker_ends(jobs: Jobs) -> None:
    jobs.register("note", lambda job, progress: progress(1, 2))
    numbers = [jobs.add("note", scope).id for scope in (ANN, BOB)]
    assert memory_mb() > 10
    assert jobs.run(budget=Budget(memory_mb=10), batch=1) == 1
    assert jobs.get(numbers[0]).error == "the process took more than 10 MB"
    assert jobs.get(numbers[1]).attempts == 0


def test_a_worker_ends_after_its_time(jobs: Jobs) -> None:
    def busy(job: Job, progress: Progress) -> None:
        for n in range(10_000):
            time.sleep(0.005)
            progress(n, 10_000)

    jobs.register("note", busy)
    number = jobs.add("note").id
    began = time.monotonic()
    jobs.worker().run(max_s=0.05)
    assert time.monotonic() - began < 5
    assert jobs.get(number).state is JobState.WAITING


def test_a_cancelled_job_is_left_at_its_next_progress(jobs: Jobs) -> None:
    def cancelled(job: Job, progress: Progress) -> None:
        jobs.cancel(job.id)
        for n in range(1_000):
            time.sleep(0.005)
            progress(n, 1_000)
        pytest.fail("it goes on")

    jobs.register("note", cancelled)
    number = jobs.add("note").id
    jobs.run(lease_s=0.03)
    assert (jobs.get(number).state, jobs.get(number).error) == (JobState.DEAD, "cancelled")


def test_a_long_job_keeps_its_lease(tmp_path: Path) -> None:
    with Memory(tmp_path, embedder=FakeEmbedder()) as memory:
        memory.jobs.register("note", lambda job, progress: time.sleep(0.4))
        number = memory.jobs.add("note").id
        first = memory.jobs.worker(lease_s=0.15)
        first.start()
        assert within(5, lambda: memory.jobs.get(number).state is JobState.RUNNING)
        time.sleep(0.25)
        assert memory.jobs.run(lease_s=0.15) == 0, "nobody else may have it"
        first.stop()
        assert (memory.jobs.get(number).state, memory.jobs.get(number).attempts) == (JobState.DONE, 1)


@pytest.mark.parametrize("wrong", [{"lease_s": 0}, {"poll_s": -1}, {"batch": 0}, {"kinds": ["nothing"]}])
def test_a_worker_that_makes_no_sense_is_refused(jobs: Jobs, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        jobs.worker(**wrong)


def test_bad_requests_are_refused(jobs: Jobs) -> None:
    for refused in (
        lambda: Budget(job_s=0),
        lambda: jobs.every(timedelta(0), "note"),
        lambda: jobs.list(states=["asleep"]),
        lambda: jobs.register("two words", lambda job, progress: None),
        lambda: jobs.add("note", payload={"text": SECRET}),
    ):
        with pytest.raises(InvalidInput):
            refused()
    for missing in (jobs.get, jobs.retry, jobs.cancel):
        with pytest.raises(NotFound):
            missing(7)
    number = jobs.add("note").id
    jobs.cancel(number)
    with pytest.raises(InvalidInput, match="dead"):
        jobs.cancel(number)


def test_what_recurs_is_done_again_and_again(jobs: Jobs, clock: FakeClock) -> None:
    jobs.register("sleep", lambda job, progress: None)
    jobs.every(timedelta(hours=1), "sleep")
    assert jobs.run() == 0
    for _ in range(3):
        clock.advance(3_601)
        assert jobs.run() == 1
    assert jobs.clean(timedelta(hours=9)) == 0
    clock.advance(1)
    assert jobs.clean() == 3
    jobs.every(None, "sleep")
    clock.advance(days=2)
    assert jobs.run() == 0


def test_verbs_become_handlers_with_their_settings(jobs: Jobs) -> None:
    calls: list[tuple[Any, ...]] = []

    class Verbs:
        def enrich(self, scope: Scope, *, extractor: str = "rules", progress: Progress) -> None:
            progress(1, 1)
            calls.append(("enrich", scope, extractor))

        def rebuild_index(self) -> None:
            calls.append(("reindex",))

        def expire(self, scope: Scope | None = None) -> None:
            calls.append(("expire", scope))

    jobs.handlers = verb_handlers(Verbs(), lambda: [ANN, BOB])
    assert set(jobs.handlers) == {"enrich", "expire", "reindex"}
    jobs.add("enrich", ANN, payload={"extractor": "llm"})
    jobs.add("enrich")
    jobs.add("reindex")
    jobs.add("expire")
    wrong = jobs.add("enrich", ANN, payload={"colour": "red"}).id
    jobs.run()
    enriched = [("enrich", ANN, "llm"), ("enrich", ANN, "rules"), ("enrich", BOB, "rules")]
    assert calls == [*enriched, ("reindex",), ("expire", None)]
    assert jobs.get(wrong).state is JobState.DEAD


def test_everybody_is_a_scope_per_user() -> None:
    scopes = [Scope(user="ann", session="a"), Scope(user="ann"), Scope(agent="x", session="s"), Scope(session="s")]
    assert users_of(scopes) == [ANN, Scope(agent="x"), Scope(session="s")]


def test_an_error_that_was_never_raised_has_no_place() -> None:
    assert wordless(ValueError(SECRET)) == "ValueError"


# --- in a memory


def opened(folder: Path, **settings: Any) -> Memory:
    return Memory(folder, embedder=FakeEmbedder(), extract="rules", **settings)


def facts(memory: Memory) -> list[str]:
    return sorted(cube.text for cube in memory.list(ANN, filter=where(role="fact")))


SAID = "I moved to Oslo in 2019 and I love skiing."


def test_with_a_worker_a_write_leaves_a_job_that_another_process_does(tmp_path: Path) -> None:
    with opened(tmp_path / "now") as memory:
        memory.add(SAID, ANN)
        wanted = facts(memory)
        assert memory.jobs.counts() == {}
    with opened(tmp_path / "later", background="worker") as memory:
        memory.add(SAID, ANN)
        memory.add(SAID + " Really.", ANN)
        memory.add(SAID, ANN)
        assert facts(memory) == []
        assert memory.jobs.counts() == {("enrich", "waiting"): 1}, "one job for all that came since"
    with opened(tmp_path / "later", background="worker") as memory:
        assert memory.jobs.run() == 1
        assert set(wanted) <= set(facts(memory))
        assert memory.jobs.run() == 0
        assert memory.verify() == []


def test_a_write_that_changes_nothing_leaves_no_job(tmp_path: Path) -> None:
    with opened(tmp_path, background="worker") as memory:
        memory.add(SAID, ANN)
        memory.jobs.run()
        memory.add(SAID, ANN)
        assert memory.jobs.counts() == {("enrich", "done"): 1}


def test_with_background_on_a_thread_does_it_and_ends_with_the_memory(tmp_path: Path) -> None:
    with opened(tmp_path, background="on") as memory:
        memory.add(SAID, ANN)
        assert within(20, lambda: memory.jobs.counts() == {("enrich", "done"): 1})
        assert facts(memory) != []
        assert any(thread.name == "anamnos-worker" for thread in threading.enumerate())
    assert not any(thread.name == "anamnos-worker" for thread in threading.enumerate())


def test_without_background_there_is_no_thread(tmp_path: Path) -> None:
    with opened(tmp_path):
        assert not any(thread.name.startswith("anamnos-worker") for thread in threading.enumerate())


@pytest.mark.parametrize("name", ["background", "working"])
def test_a_setting_that_is_no_choice_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        opened(tmp_path, **{name: "perhaps"})


def test_only_who_governs_has_to_do_with_jobs(tmp_path: Path) -> None:
    with opened(tmp_path, background="worker") as memory:
        memory.policy.register("user:ann", rights=("read", "write"))
        waiting = memory.jobs.add("enrich", BOB).id
    with opened(tmp_path, background="worker", principal="user:ann") as memory:
        for refused in (
            lambda: memory.jobs.add("expire"),  # a worker would do it with all rights
            lambda: memory.jobs.every(timedelta(days=1), "consolidate", BOB),
            lambda: memory.jobs.run(),
            lambda: memory.jobs.cancel(waiting),
            memory.jobs.list,
        ):
            with pytest.raises(AccessDenied):
                refused()
        memory.add(SAID, ANN)
    with opened(tmp_path, background="worker") as memory:
        assert memory.jobs.counts() == {("enrich", "waiting"): 2}, "what a write brings with it is there all the same"
        memory.jobs.run()
        assert facts(memory) != []


def test_the_jobs_of_a_forgotten_user_are_gone_from_every_byte(tmp_path: Path) -> None:
    zoe = Scope(user="zoe-unusual-name")
    with opened(tmp_path, background="worker", working="on") as memory:
        memory.add(SAID, zoe)
        memory.search("Where did I move to?", zoe)
        memory.jobs.every(timedelta(days=1), "consolidate", zoe)
        memory.delete_all(zoe)
        assert memory.jobs.counts() == {}
        assert memory.jobs.recurring() == []
        assert memory.working(zoe) == []
        memory.jobs.every(timedelta(days=1), "consolidate", zoe)  # for when there is something again
        assert memory.forget_person("zoe-unusual-name").state == "erased"
        assert memory.jobs.recurring() == []
    held = [path for path in tmp_path.rglob("*") if path.is_file() and b"zoe-unusual" in path.read_bytes()]
    assert held == []
