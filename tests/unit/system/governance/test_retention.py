"""What must go goes when it must, and nothing under a hold."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from anamnos import Memory, Scope, where
from anamnos.cube import Lifecycle, MemCube, State, Times
from anamnos.errors import InvalidInput, NotFound
from anamnos.system.governance.retention import Rule, due
from anamnos.testing import FakeClock, FakeEmbedder, seeded_ids
from anamnos.types import Comparison, Field, Not, Where

ANN = Scope(user="ann")
NOW = datetime(2024, 5, 1, tzinfo=UTC)
DAY = timedelta(days=1)
_new_id = seeded_ids(3)
ANY_STATE = Where(Field.STATE, Comparison.IN, tuple(State))


def cube(age_days: float | None = 0, **life: object) -> MemCube:
    said = None if age_days is None else NOW - age_days * DAY
    time = Times(created_at=said, recorded_at=NOW - 2 * DAY)
    return MemCube(id=_new_id(NOW), content="x", scope=ANN, time=time, lifecycle=Lifecycle(**life))  # type: ignore[arg-type]


def told(cubes: list[MemCube], *rules: Rule) -> list[tuple[State | None, str]]:
    return [(one.state, one.reason) for one in due(cubes, rules, NOW)]


NOTES = where(role="note")
assert NOTES is not None


def test_due_by_hand() -> None:
    week = Rule("week", NOTES, 7)
    assert told([cube(6.9), cube(7)], week) == [(State.EXPIRED, "week")]
    assert told([cube(None)], Rule("r", NOTES, 2)) == [(State.EXPIRED, "r")], "since it was written"
    assert told([cube(expires_at=NOW), cube(expires_at=NOW + DAY)]) == [(State.EXPIRED, "expires_at")]
    assert told([cube(9)], week, Rule("gone", NOTES, 8, "erase"), Rule("old", NOTES, 1, "archive")) == [(None, "gone")]
    assert told([cube(9)], Rule("old", NOTES, 1, "archive")) == [(State.ARCHIVED, "old")]
    assert told([cube(9, state=State.ARCHIVED)], Rule("old", NOTES, 1, "archive"), week) == [], "searched ones only"
    assert told([cube(9, state=State.EXPIRED)], Rule("purge", Where("state", "eq", "expired"), 8, "erase")) == [  # type: ignore[arg-type]
        (None, "purge")
    ]


def test_nothing_is_due_of_what_is_frozen() -> None:
    held = cube(900, state=State.FROZEN, expires_at=NOW - DAY)
    assert told([held], Rule("all", Not(Where(Field.TAG, Comparison.EQ, "x")), 0, "erase")) == []


def test_bad_rules_are_refused(tmp_path: Path) -> None:
    for bad in (
        lambda: Rule("", NOTES, 1),
        lambda: Rule("r", NOTES, -1),
        lambda: Rule("r", NOTES, float("nan")),
        lambda: Rule("r", NOTES, 1, "burn"),  # type: ignore[arg-type]
        lambda: Rule("r", "role=note", 1),  # type: ignore[arg-type]
    ):
        with pytest.raises(InvalidInput):
            bad()
    with Memory(tmp_path, embedder=FakeEmbedder()) as memory, pytest.raises(NotFound):
        memory.policy.remove_rule("never")


def test_rules_live_in_the_vault(tmp_path: Path) -> None:
    with Memory(tmp_path, embedder=FakeEmbedder()) as memory:
        rule = memory.policy.add_rule("week", NOTES, 7, "erase")
    with Memory(tmp_path, embedder=FakeEmbedder()) as memory:
        assert memory.policy.rules() == [rule]
        memory.policy.remove_rule("week")
        assert memory.policy.rules() == []


def test_what_has_expired_is_found_no_more_even_before_the_work_is_done(tmp_path: Path) -> None:
    clock = FakeClock(NOW)
    with Memory(tmp_path, embedder=FakeEmbedder(), clock=clock) as memory:
        with pytest.raises(InvalidInput, match="over already"):
            memory.add("one", ANN, expires_at=NOW)
        (short,) = memory.add("The code for today is 1234.", ANN, expires_at=NOW + DAY).ids
        (long,) = memory.add("The code of the door is 99.", ANN).ids
        (held,) = memory.add("The code of the safe is 77.", ANN, expires_at=NOW + DAY).ids
        memory.freeze(held, ANN)
        assert {hit.id for hit in memory.search("code", ANN)} == {short, long, held}
        clock.advance(days=1)
        for found in (
            memory.search("code", ANN),
            memory.list(ANN),
            memory.search("code", Scope(user="ann", agent=None)),
        ):
            assert {one.id for one in found} == {long, held}
        assert "1234" not in memory.answer_context("which code?", ANN).text
        assert memory.get(short, ANN).lifecycle.state is State.GENERATED
        assert memory.expire(ANN).ids == (short,)
        assert memory.get(short, ANN).lifecycle.state is State.EXPIRED
        assert memory.expire(ANN).ids == ()
        memory.update(long, ANN, expires_at=NOW + 3 * DAY)
        clock.advance(days=2)
        assert {one.id for one in memory.list(ANN)} == {held}


def test_expire_applies_rules_in_all_scopes_and_skips_what_is_held(tmp_path: Path) -> None:
    clock = FakeClock(NOW)
    with Memory(tmp_path, embedder=FakeEmbedder(), clock=clock) as memory:
        ids = {}
        for user in ("ann", "bob"):
            for tag in ("call", "note", "held"):
                ids[user, tag] = memory.add(f"{tag} of {user}", Scope(user=user), tags=[tag]).ids[0]
            memory.freeze(ids[user, "held"], Scope(user=user))
        memory.policy.add_rule("calls", Where(Field.TAG, Comparison.IN, ("call", "held")), 30, "erase")
        memory.policy.add_rule("notes", Where(Field.TAG, Comparison.EQ, "note"), 30, "archive")
        assert memory.expire().ids == ()
        clock.advance(days=30)
        receipt = memory.expire()
        assert receipt.count("deleted") == receipt.count("updated") == 2
        for user in ("ann", "bob"):
            left = {one.id: one.lifecycle.state for one in memory.list(Scope(user=user), filter=ANY_STATE)}
            assert left == {ids[user, "note"]: State.ARCHIVED, ids[user, "held"]: State.FROZEN}
