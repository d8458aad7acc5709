"""The newest first: which of two memories supersedes the other, and when a query wants that to count."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from anamnos import Memory, Scope
from anamnos.cube import Link, LinkKind, MemCube, Provenance, Times
from anamnos.index.terms import TermReader
from anamnos.recall.rerank import NewestFirst
from anamnos.recall.rerank.updates import superseded
from anamnos.testing import FakeEmbedder, seeded_ids
from anamnos.types import Hit

MAY = datetime(2024, 5, 1, tzinfo=UTC)
ANN = Scope(user="ann")
_new_id = seeded_ids(9)


def said(text: str, day: int = 0, actor: str | None = "Ann", **parts: object) -> MemCube:
    parts.setdefault("time", Times(created_at=MAY + timedelta(days=day)))
    return MemCube(_new_id(MAY), text, ANN, provenance=Provenance(actor=actor), **parts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("I live in Lyon.", "I moved to Oslo!"),
        ("We're based in New York.", "Guess what: I'm living in Rome now."),
        ("I work at Siemens.", "I just started at Bosch."),
        ("I'm working as a nurse.", "I now work as a flight attendant, it is fun."),
        ("I'm married.", "I am divorced."),
        ("I'm 29 years old.", "I just turned 30 years old."),
        ("The spare key is under the blue pot.", "Oh, the spare key is in the shed now. Be careful."),
        ("My favourite tea is green.", "My favourite tea is black."),
        ("The staging password is hunter2.", "The staging password is swordfish."),
        ("My boss is Carla.", "My boss is Dan."),
        ("Our launch date is 3 May 2024.", "Our launch date is 10 June 2024."),
        ("My hair is brown.", "My hair is now blue."),
        ("Ann's cat is in Paris.", "Ann's cat is at home."),
        ("My commute takes 25 minutes.", "My commute takes 40 minutes now."),
        ("My landlord's name is Okafor.", "My landlord's name is Moreau."),
    ],
)
def test_what_is_surely_another_value(old: str, new: str) -> None:
    first, second = said(old), said(new, 30)
    assert superseded([first, second]) == {first.id: second}
    assert superseded([second, first]) == {first.id: second}, "in whatever order they were found"
    assert superseded([said(old), said(new)]) == {}, "said at the same time"
    assert superseded([said(old), said(new, 30, actor="Bob")]) == {}, "by another"
    assert superseded([said(old, time=Times()), said(new, 30)]) == {}, "nobody knows when"
    assert superseded([first, said(old, 30)]) == {}, "the same again"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("I live in Lyon.", "I want to live in Oslo."),
        ("I live in Lyon.", "Do you think I live in Oslo?"),
        ("I live in Lyon.", "I don't live in Oslo."),
        ("I live in Lyon.", "I lived in Oslo."),
        ("I live in Lyon.", "I moved to Oslo in 2009."),
        ("I live in Lyon.", "I moved to Oslo when I was five."),
        ("I live in Lyon.", "I work at Lyon Station."),
        ("I live in Lyon.", "My sister moved to Oslo."),
        ("My dog is cute.", "My dog is brown."),
        ("The party is on Saturday.", "The party is on Sunday."),
        ("My flight is at 7 pm.", "My flight is at 9 pm."),
        ("The film is 3 hours long.", "The film is 90 minutes long."),
        ("The key is under the blue pot.", "The key is under the pot."),
        ("I went to Paris.", "I went to Rome."),
        ("I like tea.", "I like coffee."),
        ("My hair is now brown.", "My hair is blue."),
    ],
)
def test_what_is_not_sure_is_left_alone(old: str, new: str) -> None:
    assert superseded([said(old), said(new, 30)]) == {}


def test_long_memories_and_later_versions_are_left_alone() -> None:
    long = "I live in Lyon. " + "It is quite nice here. " * 20
    assert superseded([said(long), said("I moved to Oslo.", 30)]) == {}
    assert superseded([said("I live in Lyon."), said("I moved to Oslo.", 30, version=2)]) == {}


def test_a_link_decides_without_any_rule() -> None:
    old = said("Tea at four.")
    new = said("Coffee.", links=(Link(LinkKind.SUPERSEDES, old.id), Link(LinkKind.SUPERSEDES, _new_id(MAY))))
    assert superseded([old, new]) == {old.id: new}


# --- the order of hits

HOME = ["I live in Lyon.", "It rains a lot.", "I moved to Oslo.", "I'm living in Rome now."]


def order(query: str, cubes: list[MemCube]) -> list[int]:
    hits = [Hit(cube, 0.5, float(-n)) for n, cube in enumerate(cubes)]
    out = NewestFirst(TermReader()).rerank(query, hits, lambda hits: pytest.fail("no vectors are needed"))
    return [[cube.id for cube in cubes].index(hit.id) for hit in out]


def test_the_newest_goes_to_the_place_of_the_first() -> None:
    cubes = [said(text, day) for day, text in enumerate(HOME)]
    for query in ("Where does Ann live?", "In which city is Ann based now?", "Ann's current address"):
        assert order(query, cubes) == [3, 1, 2, 0]
    assert order("Where does Ann live?", cubes[::-1]) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "query",
    [
        "Where did Ann live?",
        "Where was Ann's home before Oslo?",
        "When did Ann move?",
        "Which cities has Ann lived in?",
        "How many homes does Ann have?",
        "Where does Ann work?",
        "What is the weather like?",
        "Did Ann live in Lyon in 2023?",
    ],
)
def test_a_query_about_the_past_or_about_something_else_changes_nothing(query: str) -> None:
    assert order(query, [said(text, day) for day, text in enumerate(HOME)]) == [0, 1, 2, 3]


def test_questions_of_any_kind_about_the_present_count() -> None:
    for old, new, query in (
        ("My favourite tea is green.", "My favourite tea is black.", "What is my favourite tea?"),
        ("My commute takes 25 minutes.", "My commute takes 40 minutes.", "How long is my commute?"),
        ("My landlord's name is Okafor.", "My landlord's name is Moreau.", "What is my landlord called?"),
    ):
        assert order(query, [said(old), said(new, 3)]) == [1, 0]


def test_a_thing_must_be_asked_for_by_its_whole_name() -> None:
    cubes = [said("The spare key is under the pot."), said("The spare key is in the shed.", 3)]
    assert order("Where is the spare key?", cubes) == [1, 0]
    assert order("Where is the key of the car?", cubes) == [0, 1]


def test_a_chain_of_links_and_a_circle_come_to_an_end() -> None:
    a = said("one")
    b = said("two", 1, links=(Link(LinkKind.SUPERSEDES, a.id),))
    c = said("three", 2, links=(Link(LinkKind.SUPERSEDES, b.id),))
    assert order("what is it now?", [a, b, c]) == [2, 1, 0]
    x = said("x")
    y = said("y", links=(Link(LinkKind.SUPERSEDES, x.id),))
    x = MemCube(x.id, "x", ANN, links=(Link(LinkKind.SUPERSEDES, y.id),))
    assert sorted(order("what is it now?", [x, y])) == [0, 1]


def test_a_search_puts_the_present_value_above_the_old_one(tmp_path: Path) -> None:
    with Memory(tmp_path / "v", embedder=FakeEmbedder(64)) as memory:
        for day, text in enumerate(["I live in Lyon, and I live well.", "I moved to Oslo."]):
            at = MAY + timedelta(days=30 * day)
            memory.add({"role": "user", "name": "Ann", "content": text, "at": at}, ANN)
        plain = memory.search("Where does Ann live?", ANN, rerank=[])
        assert plain[0].content == "I live in Lyon, and I live well."
        first, second = memory.search("Where does Ann live?", ANN)
        assert first.content == "I moved to Oslo."
        assert first.reason.startswith("says how it is now; ")
        assert first.rank_score == plain[0].rank_score > second.rank_score == plain[1].rank_score
        assert [h.content for h in memory.search("Where did Ann live?", ANN)] == [h.content for h in plain]
        text = memory.answer_context("Where does Ann live?", ANN).text
        assert "[1] Ann: I live in Lyon, and I live well. [superseded: see 2]" in text
