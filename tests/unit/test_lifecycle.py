"""The state machine of a memory's life, and the verbs that move memories through it."""

from dataclasses import replace
from datetime import timedelta
from itertools import product
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anamnos import Memory, Scope, where
from anamnos.cube import Lifecycle, MemCube, State, Times
from anamnos.errors import AccessDenied, IllegalTransition, InvalidInput, NotFound
from anamnos.lifecycle import DELETED, RESOLVING, STATES, TRANSITIONS, check_transition, may_become
from anamnos.system.lifecycle import due, used
from anamnos.testing import FakeClock, FakeEmbedder, ReferenceStore, seeded_ids

ANN = Scope(user="ann")
START = FakeClock().now
ALLOWED = """
    generated  activated resolving archived expired deleted frozen
    activated  generated resolving archived expired deleted frozen
    resolving  merged generated activated frozen
    merged     activated archived deleted frozen
    archived   activated expired deleted frozen
    expired    activated deleted frozen
    frozen     generated activated resolving merged archived expired
    deleted
"""


def open_memory(folder: Path) -> tuple[Memory, FakeClock]:
    clock = FakeClock()
    memory = Memory(folder, embedder=FakeEmbedder(), clock=clock, new_id=seeded_ids(3), store=ReferenceStore())
    return memory, clock


def states(memory: Memory) -> list[str]:
    return [str(cube.lifecycle.state) for cube in memory.list(ANN, filter=where(state=list(State)), limit=None)]


# --- the machine


def test_all_pairs_of_states_are_as_the_table_says() -> None:
    allowed = {(line.split()[0], after) for line in ALLOWED.strip().splitlines() for after in line.split()[1:]}
    assert {(a, b) for a, b in product(STATES, STATES) if b in TRANSITIONS[a]} == allowed
    assert len(STATES) == 8
    assert all(reason for followers in TRANSITIONS.values() for reason in followers.values())


def test_a_stored_memory_may_pass_through_resolving() -> None:
    assert may_become(State.GENERATED, State.MERGED) and may_become(State.ACTIVATED, State.MERGED)
    assert not may_become(State.ARCHIVED, State.MERGED) and not may_become(State.EXPIRED, State.MERGED)
    for before, after in product(State, State):
        direct = after in TRANSITIONS[before]
        passing = RESOLVING in TRANSITIONS[before] and after is State.MERGED
        assert may_become(before, after) == (direct or passing)


def test_an_illegal_transition_names_both_states_and_the_legal_ones() -> None:
    with pytest.raises(IllegalTransition, match="Memory 7 is merged; it cannot become expired") as caught:
        check_transition("Memory 7", State.MERGED, State.EXPIRED)
    assert "activated, archived, frozen" in caught.value.hint
    assert DELETED not in State.__members__.values()


# --- what time brings


def aged(state: State = State.ACTIVATED, **life: object) -> MemCube:
    return MemCube(
        seeded_ids(1)(START),
        "x",
        ANN,
        time=Times(recorded_at=START),
        lifecycle=Lifecycle(state=state, **life),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("cube", "days", "becomes"),
    [
        (aged(), 29, None),
        (aged(), 30, State.GENERATED),
        (aged(uses=1, last_used_at=START + timedelta(days=10)), 39, None),
        (aged(uses=1, last_used_at=START + timedelta(days=10)), 40, State.GENERATED),
        (aged(importance=1.0), 400, None),
        (aged(State.GENERATED), 400, None),
        (aged(State.ARCHIVED), 179, None),
        (aged(State.ARCHIVED), 180, State.EXPIRED),
        (aged(State.ARCHIVED, uses=1), 400, None),
        (aged(State.MERGED), 400, None),
        (aged(State.GENERATED, expires_at=START + timedelta(days=1)), 1, State.EXPIRED),
        (aged(State.GENERATED, importance=1.0, expires_at=START + timedelta(days=1)), 1, State.EXPIRED),
        (aged(State.FROZEN, expires_at=START), 1, None),  # a hold is stronger than any date
        (aged(State.EXPIRED, expires_at=START), 1, None),
    ],
)
def test_what_a_memory_comes_to_by_time(cube: MemCube, days: int, becomes: State | None) -> None:
    assert due(cube, START + timedelta(days=days)) == becomes


def test_use_counts_and_a_clock_set_back_does_not_age() -> None:
    once = used(Lifecycle(), START)
    assert (once.uses, once.last_used_at, once.state) == (1, START, State.ACTIVATED)
    again = used(once, START - timedelta(days=1))
    assert (again.uses, again.last_used_at) == (2, START)
    assert used(Lifecycle(state=State.ARCHIVED), START).state is State.ARCHIVED


# --- the verbs


def test_what_is_frozen_is_found_and_neither_changed_nor_deleted(tmp_path: Path) -> None:
    memory, _ = open_memory(tmp_path)
    one, two = (memory.add(text, ANN).ids[0] for text in ("the pear", "the boat"))
    assert memory.freeze([one, two], ANN).outcomes == ("updated", "updated")
    assert memory.freeze(one, ANN).outcomes == ("unchanged",)
    assert len(memory.search("pear", ANN)) == 2
    for forbidden in (
        lambda: memory.update(one, ANN, content="apple"),
        lambda: memory.delete(one, ANN),
        lambda: memory.archive(one, ANN),
        lambda: memory.delete_all(ANN),
    ):
        with pytest.raises(AccessDenied):
            forbidden()
    assert memory.unfreeze([one, two], ANN).outcomes == ("updated", "updated")
    assert memory.unfreeze(one, ANN).outcomes == ("unchanged",)
    assert [cube.lifecycle.state for cube in memory.history(one, ANN)] == ["generated", "frozen", "generated"]
    memory.delete(one, ANN)


def test_one_wrong_id_changes_none(tmp_path: Path) -> None:
    memory, _ = open_memory(tmp_path)
    one = memory.add("the pear", ANN).ids[0]
    with pytest.raises(NotFound):
        memory.archive([one, seeded_ids(9)(START)], ANN)
    with pytest.raises(NotFound):
        memory.archive(one, Scope(user="bob"))
    assert states(memory) == ["generated"]


def test_the_archive_gives_back(tmp_path: Path) -> None:
    memory, _ = open_memory(tmp_path)
    one = memory.add("the pear", ANN).ids[0]
    memory.archive(one, ANN)
    assert memory.search("pear", ANN) == []
    assert memory.reactivate(one, ANN).outcomes == ("updated",)
    assert [hit.content for hit in memory.search("pear", ANN)] == ["the pear"]
    assert states(memory) == ["activated"]


def test_what_is_said_again_comes_back_from_the_archive(tmp_path: Path) -> None:
    memory, _ = open_memory(tmp_path)
    one = memory.add("the pear", ANN).ids[0]
    memory.archive(one, ANN)
    again = memory.add("the pear", ANN)
    assert (again.ids, again.outcomes) == ((one,), ("updated",))
    assert [hit.id for hit in memory.search("pear", ANN)] == [one]


def test_reading_a_file_again_leaves_the_archive_alone(tmp_path: Path) -> None:
    memory, _ = open_memory(tmp_path / "vault")
    chat = tmp_path / "chat.json"
    chat.write_text(
        '[{"role": "user", "content": "the pear", "id": "1"}, {"role": "user", "content": "boat", "id": "2"}]'
    )
    one = memory.ingest(chat, ANN).ids[0]
    memory.archive(one, ANN)
    assert memory.ingest(chat, ANN).outcomes == ("unchanged", "unchanged")
    assert states(memory) == ["archived", "generated"]


def test_use_is_counted_without_a_version(tmp_path: Path) -> None:
    memory, clock = open_memory(tmp_path)
    one = memory.add("the pear", ANN).ids[0]
    clock.advance(days=1)
    memory.used(one, ANN)
    (cube,) = memory.history(one, ANN)
    assert (cube.lifecycle.uses, cube.lifecycle.state, cube.version) == (1, "activated", 1)
    assert cube.lifecycle.last_used_at == clock()


def test_a_memory_goes_back_to_a_version_in_a_new_one(tmp_path: Path) -> None:
    memory, clock = open_memory(tmp_path)
    one = memory.add("the pear", ANN, tags=["red"]).ids[0]
    clock.advance(days=1)
    memory.update(one, ANN, content="the apple", tags=[], importance=0.9)
    memory.archive(one, ANN)
    assert memory.rollback(ANN, id=one, version=1).outcomes == ("updated",)
    now = memory.get(one, ANN)
    assert (now.version, now.text, now.annotations.tags, now.lifecycle.importance) == (4, "the pear", ("red",), 0.5)
    assert now.lifecycle.state is State.ACTIVATED, "generated cannot follow archived"
    assert [cube.content for cube in memory.history(one, ANN)][:2] == ["the pear", "the apple"]
    assert memory.search("pear", ANN)[0].id == one
    assert memory.rollback(ANN, id=one, version=4).ids == ()


@pytest.mark.parametrize("arguments", [{}, {"version": 1}, {"id": "x", "version": 1, "to": START}])
def test_rollback_must_know_where_to(tmp_path: Path, arguments: dict[str, object]) -> None:
    memory, _ = open_memory(tmp_path)
    with pytest.raises(InvalidInput):
        memory.rollback(ANN, **arguments)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="naive"):
        memory.rollback(ANN, to=START.replace(tzinfo=None))


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "update", "archive", "reactivate", "used", "tag", "freeze", "unfreeze"]),
        st.integers(0, 9),
        st.sampled_from(["pear", "apple", "boat", "river"]),
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(before=STEPS, after=STEPS)
def test_rolling_a_scope_back_shows_what_was_shown(
    tmp_path_factory: pytest.TempPathFactory, before: list[tuple[str, int, str]], after: list[tuple[str, int, str]]
) -> None:
    """Any changes, rolled back, leave what searches and lists see as it was, but for version numbers."""
    memory, clock = open_memory(tmp_path_factory.mktemp("vault"))
    for step in before:
        do(memory, *step)
        clock.advance(seconds=1)
    snapshot, moment = seen(memory), clock()
    held = {cube.id for cube in memory.list(ANN, limit=None) if cube.lifecycle.state is State.FROZEN}
    clock.advance(seconds=1)
    for step in after:
        do(memory, *step, but=held)
        clock.advance(seconds=1)
    frozen = [c.id for c in memory.list(ANN, limit=None) if c.lifecycle.state is State.FROZEN and c.id not in held]
    memory.unfreeze(frozen, ANN)
    clock.advance(seconds=1)
    versions = {cube.id: cube.version for cube in every(memory)}
    memory.rollback(ANN, to=moment)
    assert seen(memory) == snapshot
    assert all(cube.version >= versions[cube.id] for cube in every(memory)), "history is not rewritten"
    clock.advance(seconds=1)
    assert memory.rollback(ANN, to=moment).ids == (), "it is so already"


def test_a_hundred_random_operations_are_rolled_back(tmp_path: Path) -> None:
    memory, clock = open_memory(tmp_path)
    rng = Random(7)
    for number in range(20):
        memory.add(f"the pear {number}", ANN)
    snapshot, moment = seen(memory), clock()
    for _ in range(100):
        clock.advance(seconds=1)
        verb = rng.choice(["add", "update", "archive", "reactivate", "used", "tag"])
        do(memory, verb, rng.randrange(30), rng.choice(["pear", "apple", "boat"]))
    assert seen(memory) != snapshot
    clock.advance(seconds=1)
    memory.rollback(ANN, to=moment)
    assert seen(memory) == snapshot


def do(memory: Memory, verb: str, which: int, word: str, but: frozenset[str] | set[str] = frozenset()) -> None:
    cubes = [cube for cube in every(memory) if cube.id not in but]
    if verb == "add" or not cubes:
        memory.add(f"the {word} {len(every(memory))}", ANN)
        return
    cube = cubes[which % len(cubes)]
    try:
        if verb == "update":
            memory.update(cube.id, ANN, content=f"another {word}")
        elif verb == "tag":
            memory.update(cube.id, ANN, tags=[word])
        else:
            getattr(memory, verb)(cube.id, ANN)
    except (IllegalTransition, AccessDenied):
        pass


def every(memory: Memory) -> list[MemCube]:
    return memory.list(ANN, filter=where(state=list(State)), limit=None)


def seen(memory: Memory) -> list[object]:
    shown = memory.list(ANN, limit=None)
    hits = memory.search("pear boat", ANN, top_k=50)
    found = sorted((-round(hit.rank_score, 3), hit.id) for hit in hits)  # of equals, the last is first
    return [
        [(cube.id, cube.content, cube.annotations, cube.policy, cube.lifecycle.importance) for cube in shown],
        found,
    ]


def test_rollback_stops_at_a_hold_and_changes_nothing(tmp_path: Path) -> None:
    memory, clock = open_memory(tmp_path)
    one, two = (memory.add(text, ANN).ids[0] for text in ("the pear", "the boat"))
    moment = clock()
    clock.advance(days=1)
    for cube_id in (one, two):
        memory.update(cube_id, ANN, content="changed " + cube_id)
    memory.freeze(two, ANN)
    before = [replace(cube) for cube in every(memory)]
    with pytest.raises(AccessDenied):
        memory.rollback(ANN, to=moment)
    assert every(memory) == before


def test_a_rollback_lifts_no_hold(tmp_path: Path) -> None:
    """Not even to what the memory was before it was frozen, which only ``unfreeze`` may do."""
    clock = FakeClock()
    with Memory(tmp_path / "vault", embedder=FakeEmbedder(), clock=clock) as memory:
        (kept,) = memory.add("the will", ANN).ids
        memory.archive(kept, ANN)
        memory.freeze(kept, ANN)
        with pytest.raises(AccessDenied, match="frozen"):
            memory.rollback(ANN, to=clock() - timedelta(minutes=2))  # when it was not there
        memory.rollback(ANN, id=kept, version=2)  # but for the hold, it is what it was
        assert memory.get(kept, ANN).lifecycle.state is State.FROZEN
