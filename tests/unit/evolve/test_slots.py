"""The timeline of a slot against a brute-force replay of its events, whatever the order in which they are learned."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from anamnos.evolve.resolve.slots import Claim, Slot, Span, timeline

START = datetime(2024, 1, 1, tzinfo=UTC)
LIVES = Slot("ann", "live in")


def day(number: int) -> datetime:
    return START + timedelta(days=number)


def claim(name: str, value: str, since: int, *, until: int | None = None, **other: object) -> Claim:
    end = None if until is None else day(until)
    return Claim(name, LIVES, value, day(since), end, words=value, **other)  # type: ignore[arg-type]


def shown(spans: tuple[Span, ...]) -> list[tuple[str, int, int | None]]:
    return [(s.claim.value, (s.since - START).days, None if s.until is None else (s.until - START).days) for s in spans]


def test_a_later_value_ends_the_earlier_one() -> None:
    line = timeline([claim("a", "rome", 1), claim("b", "oslo", 5)])
    assert shown(line.spans) == [("rome", 1, 5), ("oslo", 5, None)]
    assert line.spans[0].ended_by is not None and line.spans[0].ended_by.id == "b"


def test_an_old_value_that_is_learned_late_ends_where_the_known_one_begins() -> None:
    known = [claim("b", "oslo", 5)]
    assert shown(timeline([*known, claim("z", "rome", 1)]).spans) == [("rome", 1, 5), ("oslo", 5, None)]


def test_who_says_the_same_again_confirms_and_begins_no_span() -> None:
    line = timeline([claim("b", "oslo", 5), claim("a", "oslo", 1), claim("c", "oslo", 9)])
    assert shown(line.spans) == [("oslo", 1, None)]
    assert [again.id for again in line.spans[0].again] == ["b", "c"]


def test_a_value_between_two_of_the_same_parts_them() -> None:
    line = timeline([claim("a", "oslo", 1), claim("c", "oslo", 9), claim("b", "rome", 5)])
    assert shown(line.spans) == [("oslo", 1, 5), ("rome", 5, 9), ("oslo", 9, None)]


@pytest.mark.parametrize(
    ("first", "second", "believed"),
    [
        ({"authority": 3}, {"authority": 2}, "a"),
        ({"confidence": 0.4}, {"confidence": 0.9}, "b"),
        ({}, {}, "b"),  # the later learned
    ],
)
def test_of_two_values_at_one_moment_one_is_believed_and_the_other_kept(
    first: dict[str, object], second: dict[str, object], believed: str
) -> None:
    line = timeline([claim("a", "rome", 1, **first), claim("b", "oslo", 1, **second)])
    (span,) = line.spans
    assert span.claim.id == believed
    (loser,) = line.lost
    assert {loser, believed} == {"a", "b"}
    assert line.lost[loser].id == believed


def test_a_denial_ends_the_value_that_it_names_and_no_other() -> None:
    rome = claim("a", "rome", 1)
    assert shown(timeline([rome, claim("d", "rome", 4, denies=True)]).spans) == [("rome", 1, 4)]
    assert shown(timeline([rome, claim("d", "oslo", 4, denies=True)]).spans) == [("rome", 1, None)]
    assert shown(timeline([rome, claim("d", "", 4, denies=True)]).spans) == [("rome", 1, 4)]


def test_leaving_one_for_the_other_at_one_moment() -> None:
    line = timeline([claim("a", "rome", 1), claim("d", "rome", 4, denies=True), claim("b", "oslo", 4)])
    assert shown(line.spans) == [("rome", 1, 4), ("oslo", 4, None)]


def test_a_claim_may_say_until_when() -> None:
    line = timeline([claim("a", "rome", 1, until=3), claim("b", "oslo", 5)])
    assert shown(line.spans) == [("rome", 1, 3), ("oslo", 5, None)]
    assert shown(timeline([claim("a", "rome", 3, until=3)]).spans) == []


def test_in_a_numbered_list_the_numbers_decide_and_nothing_contradicts() -> None:
    numbered = [("c", "oslo", 9, 3), ("a", "rome", 2, 17), ("b", "bari", 5, 8)]  # learned on days 9, 2 and 5
    claims = [claim(name, value, since, succession=(n, name)) for name, value, since, n in numbered]
    line = timeline(claims)
    assert shown(line.spans) == [("rome", 2, None)]
    assert not line.lost
    assert {name: by.id for name, by in line.replaced.items()} == {"b": "a", "c": "a"}


# --- against brute force


def events(rng: random.Random, count: int) -> list[tuple[str, Claim, int]]:
    """Return (slot, claim, day of learning) in the order of learning, out of the world's order."""
    made = []
    for n in range(count):
        slot, value = f"s{rng.randrange(20)}", f"v{rng.randrange(4)}"
        denies = rng.random() < 0.15
        until = None if denies or rng.random() < 0.9 else rng.randrange(1, 60)
        since = rng.randrange(365)
        found = claim(
            f"{n:05}",
            "" if denies and rng.random() < 0.3 else value,
            since,
            until=None if until is None else since + until,
            denies=denies,
            authority=rng.choice((1, 2, 3)),
            confidence=rng.choice((0.5, 0.7)),
        )
        made.append((slot, found, n))
    return made


def holds(claims: list[Claim], moment: datetime) -> str | None:
    """Return what holds at a moment by going through all events up to it, one after the other."""
    happened: list[tuple[datetime, int, tuple[object, ...], str, Claim]] = []
    for each in claims:
        if each.until is not None and each.until <= each.since:
            continue
        happened.append((each.since, 0 if each.denies else 1, each.rank, "no" if each.denies else "yes", each))
        if each.until is not None:
            happened.append((each.until, 0, each.rank, "no", each))
    value: str | None = None
    for at in sorted({event[0] for event in happened if event[0] <= moment}):
        now = [event for event in happened if event[0] == at]
        denied = [(event[2], event[4]) for event in now if event[3] == "no"]
        for _, no in denied:
            if no.value in ("", value):
                value = None
        said = sorted((event for event in now if event[3] == "yes"), key=lambda event: event[2], reverse=True)
        for _, _, rank, _, yes in said:
            if not any(no.value == yes.value and r > rank and no.id != yes.id for r, no in denied):
                value = yes.value
                break
    return value


@pytest.mark.parametrize("seed", range(3))
def test_as_of_any_pair_of_moments_is_what_replaying_the_events_gives(seed: int) -> None:
    rng = random.Random(seed)
    learned = events(rng, 2_000)
    for _ in range(500):
        known_at, moment, slot = rng.randrange(2_000), day(rng.randrange(-5, 400)), f"s{rng.randrange(20)}"
        claims = [found for name, found, when in learned if name == slot and when <= known_at]
        span = timeline(claims).at(moment)
        assert (None if span is None else span.claim.value) == holds(claims, moment)


def test_the_order_of_learning_plays_no_part() -> None:
    rng = random.Random(7)
    learned = events(rng, 2_000)
    for slot in {name for name, _, _ in learned}:
        claims = [found for name, found, _ in learned if name == slot]
        once = timeline(claims)
        rng.shuffle(claims)
        assert timeline(claims) == once


def test_after_each_claim_no_two_spans_of_a_slot_overlap_and_each_claim_has_its_place() -> None:
    learned = events(random.Random(11), 400)
    slots: dict[str, list[Claim]] = {}
    for name, found, _ in learned:
        claims = slots.setdefault(name, [])
        claims.append(found)
        line = timeline(claims)
        for before, after in zip(line.spans, line.spans[1:], strict=False):
            assert before.since < after.since
            assert before.until is not None and before.until <= after.since
        placed = [c.id for span in line.spans for c in (span.claim, *span.again)] + [*line.lost, *line.replaced]
        assert sorted(placed) == sorted(c.id for c in claims if not c.denies and (c.until is None or c.since < c.until))


def test_taking_a_claim_away_gives_back_what_it_had_ended() -> None:
    claims = [claim("a", "rome", 1), claim("b", "oslo", 5)]
    assert timeline(claims[:1]) == timeline([c for c in claims if c.id != "b"])
    at = timeline(claims[:1]).at(day(9))
    assert at is not None and at.claim.value == "rome"
