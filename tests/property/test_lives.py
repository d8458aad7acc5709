"""All verbs and all jobs of one vault in any order, with restarts, workers that die, and a clock that jumps.

After each step, every version of every memory is compared with those before it: what a verb may not touch, stays.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from anamnos import Memory, Scope
from anamnos.cube import CubeId, MemCube, Role, State
from anamnos.errors import AnamnosError
from anamnos.evolve.sleeper import Sleeper
from anamnos.lifecycle import may_become
from anamnos.system.scheduler import Budget
from anamnos.testing import FakeClock, FakeEmbedder, seeded_ids
from anamnos.types import Comparison, Field, Where

ANN, MONDAY, BOB = Scope(user="ann"), Scope(user="ann", session="monday"), Scope(user="bob", session="monday")
USERS = [ANN, Scope(user="bob")]
SCOPES = st.sampled_from([ANN, MONDAY, BOB])
ALL = Where(Field.STATE, Comparison.IN, tuple(State))
PLACES, THINGS = ["Oslo", "Rome", "Cairo"], ["tea", "chess", "boats"]
TEXTS = st.builds(
    str.format,
    st.sampled_from(["I live in {0}.", "I moved to {0} in 2019 and I love {1}.", "My favourite drink is {1}.", "{1}"]),
    st.sampled_from(PLACES),
    st.sampled_from(THINGS),
)
KINDS = ["enrich", "resolve", "consolidate", "expire", "reindex"]
IDS = st.lists(st.integers(0, 60), min_size=1, max_size=3)
SAID = (Role.TURN, Role.NOTE)
Versions = dict[CubeId, list[MemCube]]


class Lives(RuleBasedStateMachine):
    """One vault. ``expected``: what plain verbs made of a memory, until another verb may have touched it."""

    @initialize()
    def open(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="anamnos-lives-"))
        self.clock, self.ids = FakeClock(), seeded_ids(1)
        self.memory = self.opened()
        self.before: Versions = {}
        self.held: set[CubeId] = set()
        self.changed = False
        self.expected: dict[CubeId, tuple[Any, ...]] = {}
        self.files: list[str] = ["the first passage", "I live in Rome."]

    def opened(self) -> Memory:
        return Memory(
            self.folder / "vault",
            embedder=FakeEmbedder(),
            clock=self.clock,
            new_id=self.ids,
            extract="rules",
            background="worker",
            batch_size=4,
        )

    def teardown(self) -> None:
        if not hasattr(self, "memory"):
            return
        try:
            self.end()
        finally:
            self.memory.close()
            shutil.rmtree(self.folder)

    def end(self) -> None:
        """What is left is done; then nothing is left to do."""
        jobs = self.memory.jobs
        jobs.resume()
        for job in jobs.list(states=["dead"], limit=1_000):
            jobs.retry(job.id)
        for _ in range(15):  # a job that was to fail waits for at most an hour, a lease a minute
            jobs.run()
            if {state for _, state in jobs.counts()} <= {"done"}:
                break
            self.clock.advance(seconds=4_000)
        assert {state for _, state in jobs.counts()} <= {"done"}, jobs.list(states=["waiting", "running", "dead"])
        sequences = []
        for _ in range(2):
            for kind in ("enrich", "resolve", "consolidate"):
                jobs.add(kind)
                jobs.run()
            sequences.append(self.memory.vault.store.sequence())
        assert sequences[0] == sequences[1], "jobs that are done twice change nothing the second time"
        assert self.memory.verify() == []

    # --- what is checked after each step

    def step(
        self,
        call: Callable[[], Any],
        users: Iterable[Scope],
        *,
        erases: bool = False,
        rewords: bool = False,
        lifts: Iterable[CubeId] = (),
        in_parts: bool = False,
    ) -> Any:
        """Do something, check all memories, and return what came of it; the name of the error if one was raised.

        users     whose memories may change, or come
        erases    whether some may go
        rewords   whether somebody says something else now
        lifts     which frozen ones may change
        in_parts  whether some of it may be done though it failed
        """
        try:
            outcome = call()
        except AnamnosError as exc:
            outcome = type(exc).__name__
        before, self.before = self.before, self.lives()
        self.changed = self.changed or self.before != before
        self.held = {i for i, cubes in before.items() if cubes[-1].lifecycle.state is State.FROZEN}
        mine = {(scope.tenant, scope.user) for scope in users}
        if isinstance(outcome, str) and not in_parts:
            assert self.before == before, f"it raised {outcome}, and yet did something"
        for cube_id in {*before, *self.before}:
            old, new = before.get(cube_id, []), self.before.get(cube_id, [])
            if old == new:
                continue
            scope = (new or old)[-1].scope
            assert (scope.tenant, scope.user) in mine, "it reached over the wall"
            if not new:
                assert erases and old[-1].lifecycle.state is not State.FROZEN
                self.expected.pop(cube_id, None)
                continue
            assert [cube.version for cube in new] == list(range(1, len(new) + 1))
            if old:
                old = [replace(c, links=tuple(k for k in c.links if k.target in self.before)) for c in old]
                assert new[: len(old) - 1] == old[:-1], "history was rewritten"
                assert settled(new[len(old) - 1]) == settled(old[-1]), "a version was rewritten"
                if old[-1].lifecycle.state is State.FROZEN:
                    assert cube_id in lifts, "something frozen was changed"
                if new[-1].role in SAID and not rewords:
                    assert new[-1].content == old[-1].content, "it put words into somebody's mouth"
            for number, (one, two) in enumerate(pairwise(new), start=1):
                assert one.time.superseded_at == two.time.recorded_at >= one.time.recorded_at
                states = one.lifecycle.state, two.lifecycle.state
                if states[0] is State.FROZEN is not states[1]:
                    held = [cube.lifecycle.state for cube in new[:number] if cube.lifecycle.state is not State.FROZEN]
                    assert states[1] is (held[-1] if held else State.GENERATED)
                else:
                    assert states[0] is states[1] or may_become(*states)
        return outcome

    def lives(self) -> Versions:
        """Return all versions of all memories."""
        found: Versions = {}
        for cube, _, _ in self.memory.vault.store.export():
            found.setdefault(cube.id, []).append(cube)
        return {cube_id: sorted(cubes, key=lambda cube: cube.version) for cube_id, cubes in found.items()}

    def some(self, which: list[int]) -> list[CubeId]:
        known = sorted(self.before)
        return list(dict.fromkeys(known[n % len(known)] for n in which))

    def touched(self, scope: Scope | None) -> None:
        """Expect nothing any more of what was not frozen in a scope."""
        for cube_id in [*self.expected]:
            gone = cube_id not in self.before
            if gone or (cube_id not in self.held and (not scope or scope.covers(self.before[cube_id][-1].scope))):
                del self.expected[cube_id]

    @invariant()
    def all_is_well(self) -> None:
        if not hasattr(self, "memory"):
            return
        for job in self.memory.jobs.list():
            assert not job.error or job.error.startswith(("took longer", "cancelled", "the worker died")), job
        if self.changed:
            self.changed = False
            there = [cube for user in USERS for cube in self.memory.list(user, filter=ALL, limit=None)]
            assert {cube.id: [cube] for cube in there} == {i: cubes[-1:] for i, cubes in self.before.items()}
            assert {cube.id: plain(cube) for cube in there if cube.id in self.expected} == self.expected
            assert self.memory.verify() == []
            assert self.memory.audit.verify() == []

    # --- plain verbs

    @rule(scope=SCOPES, text=TEXTS, importance=st.sampled_from([0.0, 0.5, 1.0]), ends=st.sampled_from([None, 1, 90]))
    def add(self, scope: Scope, text: str, importance: float, ends: int | None) -> None:
        expires = None if ends is None else self.clock() + timedelta(days=ends)
        known = set(self.before)
        made = self.step(lambda: self.memory.add(text, scope, importance=importance, expires_at=expires), [scope])
        for cube_id in made.ids:
            if cube_id not in known:
                self.expected[cube_id] = (text, importance, State.GENERATED)
            elif self.before[cube_id][-1].lifecycle.state is State.ACTIVATED:
                self.expected.pop(cube_id, None)  # what is said again is brought back from the archive

    @rule(scope=SCOPES, texts=st.lists(TEXTS, min_size=8, max_size=12), first=st.integers(0, 20))
    def add_messages(self, scope: Scope, texts: list[str], first: int) -> None:
        said = [{"role": "user", "name": "Ann", "content": t, "id": f"m{first + n}"} for n, t in enumerate(texts)]
        self.step(lambda: self.memory.add(said, scope, source="chat"), [scope], rewords=True)
        self.touched(scope)

    @rule(scope=SCOPES, place=st.integers(0, 5), text=TEXTS, gone=st.booleans())
    def ingest(self, scope: Scope, place: int, text: str, gone: bool) -> None:
        self.files[place:place] = [text]
        if gone:
            del self.files[min(place, len(self.files) - 1)]
        path = self.folder / "notes.txt"
        path.write_text("\n\n".join(self.files))
        self.step(lambda: self.memory.ingest(path, scope), [scope], rewords=True)
        self.touched(scope)

    @precondition(lambda self: self.before)
    @rule(which=IDS, scope=SCOPES, text=TEXTS, importance=st.none() | st.just(0.7))
    def update(self, which: list[int], scope: Scope, text: str, importance: float | None) -> None:
        cube_id = self.some(which)[0]
        made = self.step(
            lambda: self.memory.update(cube_id, scope, content=text, importance=importance), [scope], rewords=True
        )
        if not isinstance(made, str):
            now = self.before[cube_id][-1]
            assert now.content == text and importance in (None, now.lifecycle.importance)
            self.expected[cube_id] = plain(now)

    @precondition(lambda self: self.before)
    @rule(
        verb=st.sampled_from(["freeze", "freeze", "unfreeze", "archive", "reactivate", "used"]),
        which=IDS,
        scope=SCOPES,
    )
    def move(self, verb: str, which: list[int], scope: Scope) -> None:
        ids = self.some(which)
        lifts = ids if verb == "unfreeze" else ()
        made = self.step(lambda: getattr(self.memory, verb)(ids, scope), [scope], lifts=lifts)
        state = {"freeze": State.FROZEN, "archive": State.ARCHIVED, "reactivate": State.ACTIVATED}.get(verb)
        for cube_id in ids if not isinstance(made, str) else ():
            now = self.before[cube_id][-1]
            assert state in (None, now.lifecycle.state)
            self.expected[cube_id] = plain(now)

    @precondition(lambda self: self.before)
    @rule(which=IDS, scope=SCOPES)
    def delete(self, which: list[int], scope: Scope) -> None:
        ids = self.some(which)
        made = self.step(lambda: self.memory.delete(ids, scope), [scope], erases=True)
        if not isinstance(made, str):
            assert not set(made.ids) & set(self.before)
            assert set(ids) <= set(made.ids)

    # --- verbs that decide for themselves what they touch

    @precondition(lambda self: self.before)
    @rule(which=IDS, scope=SCOPES, version=st.none() | st.integers(1, 3), minutes=st.integers(0, 60))
    def rollback(self, which: list[int], scope: Scope, version: int | None, minutes: int) -> None:
        to: dict[str, Any] = {"to": self.clock() - timedelta(minutes=minutes)}
        if version is not None:
            to = {"id": self.some(which)[0], "version": version}
        self.step(lambda: self.memory.rollback(scope, **to), [scope], rewords=True)
        self.touched(scope)

    @rule(scope=SCOPES, text=TEXTS, start=st.sampled_from(["No, ", "Thanks! ", "It's Oslo, not Rome. "]))
    def correct(self, scope: Scope, text: str, start: str) -> None:
        self.step(lambda: self.memory.correct(start + text, scope), [scope], rewords=True)
        self.touched(scope)

    @precondition(lambda self: self.before)
    @rule(verb=st.sampled_from(["merge", "unmerge"]), which=IDS, scope=SCOPES)
    def merge(self, verb: str, which: list[int], scope: Scope) -> None:
        ids = self.some(which)
        self.step(lambda: getattr(self.memory, verb)(ids if verb == "merge" else ids[0], scope), [scope])
        self.touched(scope)

    @precondition(lambda self: self.before)
    @rule(which=IDS, scope=SCOPES, role=st.sampled_from([None, "note", "fact"]), text=TEXTS, back=st.booleans())
    def migrate(self, which: list[int], scope: Scope, role: str | None, text: str, back: bool) -> None:
        ids = self.some(which)
        said = {ids[0]: text}
        call = lambda: self.memory.migrate(ids, scope, role=role, words=said)  # noqa: E731
        if back:
            call = lambda: self.memory.migrate_back(ids[0], scope)  # noqa: E731
        self.step(call, [scope], rewords=True)
        self.touched(scope)

    @rule(verb=st.sampled_from(["resolve", "consolidate", "enrich", "expire"]), scope=SCOPES)
    def tidy(self, verb: str, scope: Scope) -> None:
        erases = verb in ("enrich", "expire")
        made = self.step(lambda: getattr(self.memory, verb)(scope), [scope], erases=erases, in_parts=True)
        assert not isinstance(made, str), made
        self.touched(scope)

    @rule(whose=st.sampled_from(["ann", "bob"]), really=st.integers(0, 3))
    def forget_person(self, whose: str, really: int) -> None:
        if really:  # else all would be gone all the time
            return
        person = Scope(user=whose)
        frozen = {i for i, cubes in self.before.items() if cubes[-1].lifecycle.state is State.FROZEN}
        report = self.step(lambda: self.memory.forget_person(whose), [person], erases=True)
        mine = {i for i, cubes in self.before.items() if person.covers(cubes[-1].scope)}
        if report.state == "blocked":
            assert set(report.blocked) <= frozen & mine
        else:
            assert not mine and report.residue == ()
            assert [job for job in self.memory.jobs.list() if job.scope and job.scope.user == whose] == []

    # --- jobs, and what may befall them

    @rule(kind=st.sampled_from(KINDS), scope=st.none() | SCOPES, again=st.booleans())
    def add_job(self, kind: str, scope: Scope | None, again: bool) -> None:
        if kind == "reindex":
            scope = None
        if again:
            self.memory.jobs.every(timedelta(hours=1), kind, scope)
        else:
            self.memory.jobs.add(kind, scope, key="k", priority=1)

    @rule(kinds=st.none() | st.sampled_from(KINDS), slow=st.booleans())
    def run_jobs(self, kinds: str | None, slow: bool) -> None:
        budget = Budget(job_s=1e-9) if slow else None
        only = None if kinds is None else [kinds]
        paused = self.memory.jobs.paused()
        ran = self.step(lambda: self.memory.jobs.run(kinds=only, budget=budget), [ANN, BOB], erases=True)
        assert not ran or None not in paused
        self.touched(None)

    @rule(what=st.sampled_from(["die", "die", "cancel", "pause", "resume"]), kind=st.none() | st.sampled_from(KINDS))
    def trouble(self, what: str, kind: str | None) -> None:
        jobs = self.memory.jobs
        if what == "die":
            jobs.queue.claim("dead", now=self.clock(), lease=timedelta(seconds=60), kinds=KINDS, limit=2)
        elif what == "cancel":
            for job in jobs.list(states=["waiting", "running"], limit=1):
                jobs.cancel(job.id)
        else:
            getattr(jobs, what)(kind)

    @rule(
        span=st.sampled_from(
            [timedelta(0), timedelta(minutes=1), timedelta(hours=2), timedelta(days=40), timedelta(days=200)]
        ),
        back=st.booleans(),
    )
    def time_passes(self, span: timedelta, back: bool) -> None:
        self.clock.now += -span if back else span

    @rule()
    def restart(self) -> None:
        self.memory.close()
        self.memory = self.opened()
        assert self.lives() == self.before


def settled(cube: MemCube) -> MemCube:
    """Return a version without what changes in place: since when it is past, and how it was used."""
    life = cube.lifecycle
    used = State.GENERATED if life.state is State.ACTIVATED else life.state
    life = replace(life, state=used, uses=0, last_used_at=None, strength=1.0, stability=1.0)
    return replace(cube, time=replace(cube.time, superseded_at=None), lifecycle=life)


def plain(cube: MemCube) -> tuple[Any, ...]:
    return cube.content, cube.lifecycle.importance, cube.lifecycle.state


@pytest.fixture(autouse=True)
def restless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Consolidation leaves the processor to others now and then; here there are none."""
    monkeypatch.setattr(Sleeper, "_rest", lambda self: None)


def test_a_hold_is_not_undone_by_going_back() -> None:
    """Found by the machine: to go back to before ``freeze`` lifted the hold, whatever else was changed with it."""
    lives = Lives()
    lives.open()
    lives.add(ANN, "I love tea.", 0.5, None)
    lives.migrate([0], ANN, "fact", "I love tea.", back=False)
    lives.move("freeze", [0], ANN)
    lives.migrate([0], ANN, None, "", back=True)
    lives.rollback([0], ANN, 1, 0)
    lives.rollback([0], ANN, 2, 0)
    lives.rollback([0], ANN, None, 60)
    lives.all_is_well()
    lives.teardown()


FEW = settings(max_examples=12, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
TestLives = Lives.TestCase
TestLives.settings = FEW


class ManyLives(Lives):
    """The same, for longer."""


TestManyLives = pytest.mark.slow(pytest.mark.timeout(1800)(ManyLives.TestCase))
TestManyLives.settings = settings(FEW, max_examples=300, stateful_step_count=50)
