"""What several facts come to: counted and listed, never concluded."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from anamnos.cube import Times
from anamnos.evolve.consolidate.reflections import MAX_FACTS, MIN_FACTS, SlotFact, reflections, slot_fact

from .made import fact, said


def of(*facts: object) -> list[SlotFact]:
    found = [slot_fact(cube) for cube in facts]  # type: ignore[arg-type]
    assert all(found)
    return [one for one in found if one is not None]


def test_what_was_said_three_times_is_counted() -> None:
    cubes = [fact("Ann", "go", "hiking", day) for day in (0, 7, 14)]
    (found,) = reflections(of(*cubes))
    assert found.wording.text == "Ann: go\nAnn go hiking: said 3 times, from 2024-01-01 to 2024-01-15."
    assert found.sources == tuple(sorted(cube.id for cube in cubes))
    assert found.slot == ("ann", "go")


def test_a_slot_with_several_values_is_a_list_with_days() -> None:
    cubes = [fact("Ann", "visit", place, day) for day, place in enumerate(["Oslo", "Rome", "oslo"])]
    (found,) = reflections(of(*cubes))
    assert found.wording.lines == ("Ann, visit: oslo (2024-01-03); Rome (2024-01-02).",)


def test_two_facts_are_no_pattern() -> None:
    assert MIN_FACTS == 3
    assert reflections(of(fact("Ann", "go", "hiking"), fact("ann", "Go", "hiking", 1))) == []


def test_slots_are_kept_apart() -> None:
    cubes = [fact(who, "like", "tea", day) for who in ("Ann", "Bo") for day in range(3)]
    assert [r.slot for r in reflections(of(*cubes))] == [("ann", "like"), ("bo", "like")]


def test_of_many_facts_the_latest_are_looked_at() -> None:
    cubes = [fact("Ann", "drink", "tea", day) for day in range(MAX_FACTS + 5)]
    (found,) = reflections(of(*cubes))
    assert found.sources == tuple(sorted(cube.id for cube in cubes[5:]))
    assert found.wording.lines[0] == f"The latest {MAX_FACTS}:"
    assert f"said {MAX_FACTS} times, from 2024-01-06" in found.wording.lines[1]


def test_without_days_none_are_named() -> None:
    cubes = [replace(fact("Ann", "like", "tea"), time=Times()) for _ in range(3)]
    assert reflections(of(*cubes))[0].wording.lines == ("Ann like tea: said 3 times.",)


def test_what_has_no_slot_is_left_out() -> None:
    assert slot_fact(said("Ann likes tea.")) is None
    assert slot_fact(fact("Ann", "", "tea")) is None
    only_said = fact("Ann", "say", "tea")
    note = {**only_said.annotations.data["extract"], "kind": "said"}
    assert slot_fact(replace(only_said, annotations=replace(only_said.annotations, data={"extract": note}))) is None
    broken = replace(only_said, annotations=replace(only_said.annotations, data={"extract": "x"}))
    assert slot_fact(broken) is None


names = st.sampled_from(["Ann", "Bo", "tea", "river walks", "Oslo"])


@given(st.lists(st.tuples(names, names, names, st.integers(0, 400)), max_size=60))
def test_nothing_is_invented_and_all_sources_are_given(made: list[tuple[str, str, str, int]]) -> None:
    facts = of(*(fact(*parts) for parts in made))
    by_id = {one.id: one for one in facts}
    found = reflections(facts)
    assert found == reflections(reversed(facts))  # in whatever order they come
    for reflection in found:
        sources = [by_id[cube_id] for cube_id in reflection.sources]
        assert all((s.subject.casefold(), s.predicate.casefold()) == reflection.slot for s in sources)
        known = {word for s in sources for word in f"{s.subject} {s.predicate} {s.object}".split()}
        known |= {s.said_at.date().isoformat() for s in sources if s.said_at}
        template = {"said", "times", "from", "to", "The", "latest", str(MAX_FACTS)}
        words = (
            reflection.wording.text.replace("(", " ").replace(")", " ").translate(str.maketrans(":;,.", "    ")).split()
        )
        assert {w for w in words if not w.isdigit() or len(w) > 3} <= known | template
