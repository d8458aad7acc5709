"""Sleep from end to end: what it does to a vault, in pieces, again, interrupted, and beside others."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from anamnos.cube import LinkKind, MemCube, Policy, Role, Scope, State, Visibility
from anamnos.errors import Busy, ConfigError, InvalidInput
from anamnos.evolve.sleep import STEPS
from anamnos.memory import Memory
from anamnos.testing import FakeClock, FakeEmbedder, seeded_ids
from anamnos.types import Comparison, Field, Op, OpKind, Where, where

ANN = Scope(user="ann")
BO = Scope(user="bo")
EVERY = Where(Field.STATE, Comparison.IN, tuple(State))
PILLS = "Please remind me to take the blue pills."
TALK = {
    "sailing": "The sailing club met at the harbour on the {n} pier with {m}.",
    "baking": "Sourdough baking needs a hot oven and {n} flour from {m}.",
    "chess": "The chess tournament ended with {n} gambits against {m}.",
    "pottery": "The pottery kiln broke while the {n} vase of {m} was in.",
}
NUMBERS = ("amber", "birch", "cedar", "dune", "ember", "fern", "grove", "heath", "iris", "jade")


def messages(count: int = 40) -> list[dict[str, Any]]:
    """Return talk of four themes over as many days, with the same reminder on every second of them."""
    texts = []
    for day in range(count):
        theme = list(TALK.values())[day % 4]
        texts.append((day, theme.format(n=NUMBERS[day % 10], m=NUMBERS[day * 7 % 10].capitalize())))
        if day % 2:
            texts.append((day, PILLS))
    return [
        {
            "role": "user",
            "name": "Ann",
            "content": text,
            "id": f"m{number}",
            "session": f"day{day}",
            "created_at": f"2024-01-{1 + day // 24:02d}T{day % 24:02d}:{number % 60:02d}:00Z",
        }
        for number, (day, text) in enumerate(texts)
    ]


def chat(texts: Sequence[str], name: str, first_day: int = 1) -> list[dict[str, Any]]:
    """Return a message a day, each in a session of its own."""
    days = enumerate(texts, start=first_day)
    return [
        {
            "role": "user",
            "name": "Ann",
            "content": text,
            "id": f"{name}{day}",
            "session": f"{name}{day}",
            "created_at": (datetime(2024, 1, 31, 9, tzinfo=UTC) + timedelta(days=day)).isoformat(),
        }
        for day, text in days
    ]


def opened(folder: Path, clock: FakeClock | None = None, *, seed: int = 1) -> Memory:
    return Memory(folder, embedder=FakeEmbedder(64), clock=clock or FakeClock(), new_id=seeded_ids(seed))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def memory(tmp_path: Path, clock: FakeClock) -> Iterator[Memory]:
    with opened(tmp_path / "vault", clock) as memory:
        memory.add(messages(), ANN)
        yield memory


def by_role(memory: Memory, role: str, scope: Scope = ANN) -> list[MemCube]:
    return memory.list(scope, filter=where(role=role), limit=None)


def said(memory: Memory, text: str, state: str = "generated", scope: Scope = ANN) -> list[MemCube]:
    return [c for c in memory.list(scope, filter=where(state=state), limit=None) if c.text == text]


def picture(memory: Memory, scope: Scope = ANN) -> set[tuple[object, ...]]:
    """Return what there is, without ids and times of writing."""
    cubes = {cube.id: cube for cube in memory.list(scope, filter=EVERY, limit=None)}
    name = {cube_id: (str(cube.role), cube.text, cube.time.created_at) for cube_id, cube in cubes.items()}
    return {
        (
            name[cube.id],
            cube.lifecycle.state,
            tuple(sorted(map(str, (name[source] for source in cube.provenance.derived_from)))),
            tuple(sorted(str((link.kind, name[link.target])) for link in cube.links)),
        )
        for cube in cubes.values()
    }


# --- repetitions


def test_of_what_was_said_again_and_again_the_first_and_the_last_stay(memory: Memory) -> None:
    report = memory.consolidate(ANN, steps=["duplicates"])
    assert report.finished and report.count("archived") == 18
    kept, gone = said(memory, PILLS), said(memory, PILLS, "archived")
    assert [cube.provenance.message_ids for cube in kept] == [("m2",), ("m59",)]
    assert len(gone) == 18
    assert all([(link.kind, link.target) for link in cube.links] == [(LinkKind.SIMILAR, kept[0].id)] for cube in gone)
    assert all(cube.annotations.data["consolidate"] == {"reason": "repeat"} for cube in gone)
    assert memory.search(PILLS, ANN, top_k=1)[0].id in {cube.id for cube in kept}
    assert memory.verify() == []


def test_one_more_repetition_sends_only_the_former_last_away(memory: Memory) -> None:
    memory.consolidate(ANN)
    before = {cube.id for cube in said(memory, PILLS)}
    memory.add([{**messages()[2], "id": "new", "session": "later", "created_at": "2024-03-01T08:00:00Z"}], ANN)
    assert memory.consolidate(ANN).count("archived") == 1
    after = said(memory, PILLS)
    assert len(after) == 2 and len({cube.id for cube in after} & before) == 1


def test_a_repetition_comes_back_when_what_it_repeats_is_deleted(memory: Memory) -> None:
    memory.consolidate(ANN)
    first = said(memory, PILLS)[0]
    memory.delete(first.id, ANN)
    report = memory.consolidate(ANN)
    assert report.count("brought back") == 18
    assert memory.consolidate(ANN).count("archived") == 17  # the first of them and the last stay
    assert len(said(memory, PILLS, "activated")) == 1 and len(said(memory, PILLS)) == 1


def test_a_user_s_repetitions_are_no_business_of_another_s(memory: Memory) -> None:
    memory.add(messages()[1:4], BO)
    before = picture(memory, BO)
    memory.consolidate(ANN)
    assert picture(memory, BO) == before
    assert memory.consolidate(BO).count("archived") == 0  # said twice is no repetition in between


def test_merged_facts_lead_to_the_one_that_stays(memory: Memory) -> None:
    dog = "I adopted an old brown dog named Rex from the small crowded shelter behind the harbour"
    memory.add(chat([f"{dog} gladly.", f"{dog}.", f"{dog} gladly."], "f"), ANN)
    memory.enrich(ANN)
    report = memory.consolidate(ANN, steps=["duplicates"])
    merged = memory.list(ANN, filter=where(state="merged", role="fact"))
    assert report.count("merged") == len(merged) == 1
    (link,) = merged[0].links
    assert link.kind is LinkKind.SIMILAR and memory.get(link.target, ANN).lifecycle.state is State.GENERATED
    assert memory.enrich(ANN).ids == ()  # they are known, merged or not


# --- topics


def test_what_belongs_together_gets_a_topic_that_plain_search_does_not_see(memory: Memory) -> None:
    before = {hit.id for hit in memory.search("sailing harbour", ANN, top_k=60)}
    memory.consolidate(ANN, steps=["topics"])
    topics = by_role(memory, "concept")
    low = [cube for cube in topics if cube.annotations.data["consolidate"]["level"] == 1]
    assert len(low) >= 4
    members = [source for cube in low for source in cube.provenance.derived_from]
    assert len(members) == len(set(members))  # each belongs to one topic
    for cube in low:
        texts = " ".join(memory.get(source, ANN).text for source in cube.provenance.derived_from).casefold()
        assert all(line.casefold() in texts for line in cube.text.splitlines()[1:])
        assert all(phrase in texts for phrase in cube.annotations.keywords)
    assert {hit.id for hit in memory.search("sailing harbour", ANN, top_k=60)} == before
    assert memory.search("sailing harbour", ANN, filter=where(role="concept"))[0].cube.role is Role.CONCEPT


def test_topics_of_topics_hold_their_parts_together(memory: Memory) -> None:
    words = [f"{one} {other}" for one in NUMBERS for other in NUMBERS]
    memory.add(chat([f"The village sailing club met at the old harbour for {pair}." for pair in words], "s"), ANN)
    memory.consolidate(ANN, steps=["topics"])
    cubes = {cube.id: cube for cube in by_role(memory, "concept")}
    tops = [cube for cube in cubes.values() if cube.annotations.data["consolidate"]["level"] == 2]
    assert tops
    for top in tops:
        assert len(top.provenance.derived_from) >= 4
        for part in top.provenance.derived_from:
            assert [(link.kind, link.target) for link in cubes[part].links] == [(LinkKind.PART_OF, top.id)]


def test_a_topic_goes_with_any_of_its_members_and_is_made_anew(memory: Memory) -> None:
    memory.consolidate(ANN, steps=["topics"])
    topic = next(c for c in by_role(memory, "concept") if c.annotations.data["consolidate"]["level"] == 1)
    gone, *left = topic.provenance.derived_from
    memory.delete(gone, ANN)
    assert topic.id not in {cube.id for cube in by_role(memory, "concept")}
    memory.consolidate(ANN, steps=["topics"])
    sources = {source for cube in by_role(memory, "concept") for source in cube.provenance.derived_from}
    assert gone not in sources
    assert len(left) < 4 or sources & set(left) or len(left) < 20


def test_fewer_than_twenty_wait_for_more(tmp_path: Path) -> None:
    with opened(tmp_path / "v") as memory:
        memory.add(messages(12), ANN)
        assert memory.consolidate(ANN, steps=["topics"]).count("topics") == 0
        memory.add(messages(40), ANN)
        assert memory.consolidate(ANN, steps=["topics"]).count("topics") > 0


def test_what_is_derived_has_the_owner_policy_and_trust_of_its_sources(tmp_path: Path) -> None:
    with opened(tmp_path / "v") as memory:
        for agent, trust in (("tutor", 1.0), ("tutor", 0.3), ("coach", 1.0)):
            chat = [{**m, "id": f"{agent}{trust}{m['id']}"} for m in messages(40)]
            memory.add(chat, Scope(user="ann", agent=agent), trust=trust, source=f"{agent}{trust}")
        memory.consolidate(ANN, steps=["topics"])
        topics = by_role(memory, "concept")
        assert {(cube.scope.agent, cube.provenance.trust) for cube in topics} == {
            ("tutor", 1.0),
            ("tutor", 0.3),
            ("coach", 1.0),
        }
        for cube in topics:
            for source in cube.provenance.derived_from:
                member = memory.get(source, ANN)
                assert (member.scope.agent, member.provenance.trust) == (cube.scope.agent, cube.provenance.trust)
                assert member.policy == cube.policy


def test_what_only_a_session_may_see_is_not_mixed_with_other_sessions(memory: Memory) -> None:
    store, open_only = memory.vault.store, Policy(visibility=Visibility.SESSION)
    from dataclasses import replace

    cubes = [cube for cube in memory.list(ANN, limit=None) if cube.text != PILLS][:24]
    memory._write([Op(OpKind.TRANSITION, target=c.id, cube=replace(c.next_version(), policy=open_only)) for c in cubes])
    memory.consolidate(ANN, steps=["topics"])
    hidden = {cube.id for cube in cubes}
    for topic in by_role(memory, "concept"):
        assert not hidden & set(topic.provenance.derived_from)  # alone in their sessions, they are too few
    assert store.verify() == []


# --- reflections


def hiking(memory: Memory, days: Sequence[int]) -> None:
    for day in days:
        memory.add(chat(["I went hiking with Sam."], "h", day), ANN)
    memory.enrich(ANN)


def test_facts_of_a_slot_are_counted_and_the_count_follows_them(memory: Memory) -> None:
    hiking(memory, [1, 2])
    assert memory.consolidate(ANN).count("reflections") == 0
    hiking(memory, [9])
    memory.consolidate(ANN)
    (first,) = by_role(memory, "reflection")
    assert first.text == "Ann: go\nAnn go hiking with Sam: said 3 times, from 2024-02-01 to 2024-02-09."
    hiking(memory, [20])
    memory.consolidate(ANN)
    (second,) = by_role(memory, "reflection")
    assert (second.id, second.version) == (first.id, 2)
    assert "said 4 times, from 2024-02-01 to 2024-02-20" in second.text
    assert memory.search("hiking", ANN, filter=where(role="reflection"))[0].id == first.id


def test_a_reflection_goes_with_its_facts_and_comes_back_of_what_is_left(memory: Memory) -> None:
    hiking(memory, [1, 2, 3, 4])
    memory.consolidate(ANN)
    turn = next(c for c in memory.list(ANN, filter=EVERY, limit=None) if c.provenance.message_ids == ("h2",))
    memory.delete(turn.id, ANN)
    assert by_role(memory, "reflection") == []
    memory.consolidate(ANN)
    assert "said 3 times" in by_role(memory, "reflection")[0].text


def test_what_somebody_corrected_by_hand_stays(memory: Memory) -> None:
    hiking(memory, [1, 2, 3])
    memory.consolidate(ANN)
    (cube,) = by_role(memory, "reflection")
    memory.update(cube.id, ANN, content="Ann hikes a lot.")
    hiking(memory, [4])
    memory.consolidate(ANN)
    assert [cube.text for cube in by_role(memory, "reflection")] == ["Ann hikes a lot."]


# --- forgetting


def test_what_was_derived_and_never_used_is_archived_and_what_was_said_is_not(memory: Memory, clock: FakeClock) -> None:
    hiking(memory, [1])
    facts = by_role(memory, "fact")
    clock.advance(days=300)
    assert memory.consolidate(ANN, steps=["archive"]).count("archived") == 0
    clock.advance(days=90)  # 390 days: (1 + 19/81 * 390 / 3.7145) ^ -.5 = .197
    assert memory.consolidate(ANN, steps=["archive"]).count("archived") == len(facts) > 0
    gone = memory.get(facts[0].id, ANN)
    assert gone.lifecycle.state is State.ARCHIVED
    assert gone.annotations.data["consolidate"] == {"reason": "faded", "decay": "fsrs"}
    assert all(cube.lifecycle.state is State.GENERATED for cube in by_role(memory, "turn"))
    assert memory.consolidate(ANN, steps=["archive"], turns=True).count("archived") > 40


def test_what_was_used_lasts_longer(memory: Memory, clock: FakeClock) -> None:
    hiking(memory, [1, 2])
    used, unused = by_role(memory, "fact")[:2]
    clock.advance(days=30)
    memory.used(used.id, ANN)
    assert memory.consolidate(ANN).count("strengthened") == 1
    assert memory.get(used.id, ANN).lifecycle.stability > 10
    clock.advance(days=390)
    memory.consolidate(ANN)
    states = [memory.get(cube.id, ANN).lifecycle.state for cube in (used, unused)]
    assert states == [State.ACTIVATED, State.ARCHIVED]


def test_the_frozen_and_the_pinned_are_left_alone(memory: Memory, clock: FakeClock) -> None:
    hiking(memory, [1, 2])
    held, pinned = (cube.id for cube in by_role(memory, "fact")[:2])
    memory.freeze(held, ANN)
    memory.update(pinned, ANN, importance=1.0)
    clock.advance(days=9_999)
    memory.consolidate(ANN, decay="memorybank", turns=True)
    assert [memory.get(i, ANN).lifecycle.state for i in (held, pinned)] == [State.FROZEN, State.GENERATED]


def test_nothing_ever_expires_by_fading(memory: Memory, clock: FakeClock) -> None:
    hiking(memory, [1])
    for _ in range(4):
        clock.advance(days=3_000)
        report = memory.consolidate(ANN, decay="memorybank", steps=["archive"])
    assert report.count("expiry candidates") > 0
    assert "expired" not in memory.stats(ANN)["states"]


def test_a_clock_that_was_set_back_archives_nothing(memory: Memory, clock: FakeClock) -> None:
    hiking(memory, [1])
    clock.advance(days=-5_000)
    assert memory.consolidate(ANN, decay="memorybank", turns=True).count("archived") <= 18  # the repetitions
    assert all(fading.retention == 1.0 for fading in memory.retention(ANN, decay="memorybank", turns=True))


def test_retention_says_what_would_happen(memory: Memory, clock: FakeClock) -> None:
    hiking(memory, [1])
    clock.advance(days=2)
    found = {each.cube.id: each for each in memory.retention(ANN, decay="memorybank")}
    assert len(found) == memory.stats(ANN)["memories"]
    fact = by_role(memory, "fact")[0]
    assert round(found[fact.id].retention, 4) == 0.1353 and found[fact.id].becomes is State.ARCHIVED
    assert memory.get(fact.id, ANN).lifecycle.state is State.GENERATED  # looking changes nothing


# --- runs


def test_a_second_run_changes_nothing(memory: Memory) -> None:
    hiking(memory, [1, 2, 3, 4])
    first = memory.consolidate(ANN)
    assert {name for step in first.steps for name in step.changed} >= {"archived", "merged", "topics", "reflections"}
    sequence, before = memory.vault.store.sequence(), picture(memory)
    second = memory.consolidate(ANN)
    assert second.finished and not any(any(step.changed.values()) for step in second.steps)
    assert (memory.vault.store.sequence(), picture(memory)) == (sequence, before)


class Killed(BaseException):
    """The process ends here."""


def test_a_run_that_was_killed_at_any_write_ends_where_another_does(tmp_path: Path) -> None:
    """Repetitions, reflections and what faded are the very same; topics may be cut otherwise, and are never doubled."""

    def filled(name: str) -> Memory:
        memory = opened(tmp_path / name)
        memory.add(messages(), ANN)
        hiking(memory, [1, 2, 3, 4])
        return memory

    def told(memory: Memory) -> set[tuple[object, ...]]:
        return {row for row in picture(memory) if row[0][0] != "concept"}  # type: ignore[index]

    with filled("whole") as memory:
        writes = _count_writes(memory)
        memory.consolidate(ANN)
        expected, total = told(memory), len(writes)
    assert total >= 4
    for number in range(total):
        with filled(f"killed{number}") as memory:
            _kill_at(memory, number)
            with pytest.raises(Killed):
                memory.consolidate(ANN)
        with opened(tmp_path / f"killed{number}", seed=2) as memory:
            while not memory.consolidate(ANN).finished:
                pass
            assert told(memory) == expected, number
            members = [
                source
                for cube in by_role(memory, "concept")
                if cube.annotations.data["consolidate"]["level"] == 1
                for source in cube.provenance.derived_from
            ]
            assert len(members) == len(set(members)), number
            assert memory.verify() == []


def _count_writes(memory: Memory) -> list[int]:
    calls: list[int] = []
    write = memory._write

    def counted(ops: Sequence[Op], **options: Any) -> Any:
        calls.append(len(ops))
        return write(ops, **options)

    memory._write = counted  # type: ignore[method-assign]
    return calls


def _kill_at(memory: Memory, number: int) -> None:
    """End the process, as it were, right before or after one of the writes."""
    calls = 0
    write = memory._write

    def killed(ops: Sequence[Op], **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > number:
            if number % 2:
                write(ops, **options)
            raise Killed
        return write(ops, **options)

    memory._write = killed  # type: ignore[method-assign]


def test_it_stops_when_its_time_is_over_and_goes_on_next_time(memory: Memory) -> None:
    hiking(memory, [1, 2, 3, 4])
    runs = 0
    finished = False
    while not finished:
        finished = memory.consolidate(ANN, budget_s=1e-9).finished
        runs += 1
        assert runs < 100
    assert runs > 3
    assert len(said(memory, PILLS)) == 2 and by_role(memory, "concept") and by_role(memory, "reflection")


def test_progress_grows_to_its_end(memory: Memory) -> None:
    seen: list[tuple[int, int]] = []
    memory.consolidate(ANN, progress=lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen) and seen[-1] == (5_000, 5_000)


def test_what_changes_while_it_looks_is_left_as_the_others_made_it(memory: Memory) -> None:
    """Between reading and writing somebody deletes one memory and uses another."""
    repeats = said(memory, PILLS)
    write = memory._write
    done: list[bool] = []

    def meddled(ops: Sequence[Op], **options: Any) -> Any:
        if not done:
            done.append(True)
            memory.delete(repeats[5].id, ANN)
            memory.used(repeats[6].id, ANN)
        return write(ops, **options)

    memory._write = meddled  # type: ignore[method-assign]
    report = memory.consolidate(ANN, steps=["duplicates"])
    memory._write = write  # type: ignore[method-assign]
    assert report.count("archived") == 16
    assert memory.get(repeats[6].id, ANN).lifecycle.uses == 1
    assert memory.verify() == []


def test_a_topic_is_not_made_of_what_was_deleted_in_the_meantime(memory: Memory) -> None:
    write, gone = memory._write, []

    def meddled(ops: Sequence[Op], **options: Any) -> Any:
        if not gone:
            gone.append(next(op.cube for op in ops if op.cube).provenance.derived_from[0])
            memory.delete(gone[0], ANN)
        return write(ops, **options)

    memory._write = meddled  # type: ignore[method-assign]
    memory.consolidate(ANN, steps=["topics"])
    assert gone[0] not in {source for cube in by_role(memory, "concept") for source in cube.provenance.derived_from}


def test_one_at_a_time(memory: Memory) -> None:
    with FileLock(memory.vault.folder / "consolidate.lock"), pytest.raises(Busy, match="Another consolidation"):
        memory.consolidate(ANN)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"steps": ["dream"]}, InvalidInput),
        ({"decay": "rust"}, ConfigError),
        ({"wording": "verse"}, ConfigError),
        ({"wording": "llm"}, ConfigError),
        ({"budget_s": 0}, InvalidInput),
        ({"budget_s": float("nan")}, InvalidInput),
    ],
)
def test_bad_input_changes_nothing(memory: Memory, wrong: dict[str, Any], error: type[Exception]) -> None:
    before = memory.vault.store.sequence()
    with pytest.raises(error):
        memory.consolidate(ANN, **wrong)
    assert memory.vault.store.sequence() == before
    with pytest.raises(InvalidInput, match="scope"):
        memory.consolidate("ann")  # type: ignore[arg-type]


def test_an_empty_scope_is_soon_done(memory: Memory) -> None:
    report = memory.consolidate(Scope(user="nobody"))
    assert report.finished and [step.name for step in report.steps] == list(STEPS)
    assert json.loads(json.dumps(report.to_dict()))["finished"] is True


def test_a_principal_sleeps_over_what_it_may_see_and_takes_nothing_from_others(memory: Memory) -> None:
    """What bob may not see is neither in his topics nor marked as seen for the application."""
    memory.policy.register("user:bob")
    memory.policy.register("user:ann")
    folder, before = memory.vault.folder, picture(memory)
    for principal, seen in (("user:bob", False), ("user:ann", True)):
        with Memory(folder, embedder=FakeEmbedder(64), clock=FakeClock(), principal=principal) as own:
            assert own.retention(ANN) == [] or seen
            assert bool(own.consolidate(ANN, steps=["duplicates"]).count("archived")) is seen
            if not seen:
                assert picture(memory) == before
    memory.add(messages(), ANN)
    assert memory.consolidate(ANN, steps=["topics"]).count("topics") > 0


def test_what_one_may_read_but_not_change_stays_as_it_is(memory: Memory) -> None:
    memory.policy.register("user:bob")
    memory.share([cube.id for cube in said(memory, PILLS)], ANN, to="user:bob", rights=["read"])
    before = picture(memory)
    with Memory(memory.vault.folder, embedder=FakeEmbedder(64), clock=FakeClock(), principal="user:bob") as bobs:
        assert len(bobs.retention(ANN)) == 20
        report = bobs.consolidate(ANN, steps=["duplicates", "archive"], decay="memorybank", turns=True)
        assert report.finished and report.count("archived") == 0
    assert picture(memory) == before


def test_notes_of_sleep_hold_no_words(memory: Memory, clock: FakeClock) -> None:
    """Names and texts of a user who is deleted must not stay in the settings of the store."""
    memory.consolidate(ANN)
    clock.advance(timedelta(days=1).total_seconds())
    memory.delete_all(ANN)
    assert by_role(memory, "concept") == []
    memory.close()
    data = b"".join(path.read_bytes() for path in memory.vault.folder.rglob("*") if path.is_file())
    assert b"sailing" not in data and b"blue pills" not in data
