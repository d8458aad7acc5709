"""What holds now, and questions that follow chains of relations to it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from anamnos.cube import Scope
from anamnos.evolve.current import Current, follow
from anamnos.memory import Memory
from anamnos.recall.answer.base import Kind
from anamnos.testing import FakeClock, FakeEmbedder, seeded_ids
from anamnos.types import where

ANN = Scope(user="ann")
WORLD = {
    ("Ren", "home town"): "Tas",
    ("Tas", "country"): "Vobel",
    ("Vobel", "currency"): "Zim",
    ("Ren", "date of birth"): "3 May",
    ("user", "favourite tea"): "oolong",
    ("Ren", "live in"): "Tas",
    ("Ren", "age"): "34",
    ("user", "live in"): "Nim",
}


def step(subject: str, relation: str) -> Current | None:
    found = {(s.casefold(), r): o for (s, r), o in WORLD.items()}.get((subject.casefold(), relation.casefold()))
    return None if found is None else Current(found, (None,), (), 0.7)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What is the home town of Ren?", "Tas"),
        ("What is Ren's home town?", "Tas"),
        ("what's the country of the home town of Ren", "Vobel"),
        ("What is the currency of the country of the home town of Ren?", "Zim"),
        ("What is Ren's home town's country's currency?", "Zim"),
        ("What is the currency of Ren's home town's country?", "Zim"),
        ("Which is the currency of the country of Ren’s home town now?", "Zim"),
        ("What is the date of birth of Ren?", "3 May"),
        ("What is my favourite tea?", "oolong"),
        ("Where does Ren live now?", "Tas"),
        ("Where do I live?", "Nim"),
        ("How old is Ren?", "34"),
        ("What is the mayor of Ren?", None),
        ("What is the currency of the mayor of Ren?", None),
        ("What was the home town of Ren?", None),
        ("What is Ren?", None),
        ("Tell me about Ren.", None),
        ("", None),
        ("What is " + "the country of " * 50 + "Ren?", None),
        ("What is of of of?", None),
    ],
)
def test_chains(question: str, answer: str | None) -> None:
    found = follow(question, step)
    assert (None if found is None else found.words) == answer


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory(tmp_path / "vault", embedder=FakeEmbedder(), clock=FakeClock(), new_id=seeded_ids(1)) as memory:
        memory._clock.advance(days=365)  # type: ignore[attr-defined]
        yield memory


def say(memory: Memory, text: str, day: int | None = None, name: str = "Ann") -> str:
    when = {} if day is None else {"created_at": (datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=day)).isoformat()}
    return memory.add([{"role": "user", "name": name, "content": text, "id": f"{day}{text}", **when}], ANN).ids[0]


def test_ask_gives_the_value_that_holds_and_cites_what_says_so(memory: Memory) -> None:
    say(memory, "I live in Rome.", 1)
    oslo = say(memory, "I live in Oslo.", 50)
    say(memory, "The country of Oslo is Norway.", 2)
    for prepare in (None, memory.enrich, memory.resolve):
        if prepare is not None:
            prepare(ANN)
        found = memory.ask("Where does Ann live?", ANN)
        assert (found.text, found.kind, found.not_in_memory) == ("Oslo", Kind.VALUE, False)
        assert [cube.id for cube in found.citations.values()] == [oslo]
        earlier = memory.ask("Where does Ann live?", ANN, asked_at=datetime(2024, 1, 9, tzinfo=UTC))
        assert earlier.text == "Rome"


def test_what_was_said_since_the_last_enrich_counts(memory: Memory) -> None:
    say(memory, "I live in Rome.", 1)
    memory.enrich(ANN)
    say(memory, "I live in Oslo.", 50)
    assert memory.ask("Where does Ann live?", ANN).text == "Oslo"


def test_i_am_who_the_memory_belongs_to(memory: Memory) -> None:
    say(memory, "I live in Rome.", 1)
    assert memory.ask("Where do I live?", ANN).text == "Rome", "the speaker has the user's name"
    memory.add("My favourite colour is now green.", ANN)
    assert memory.ask("What is my favourite colour?", ANN).text == "green", "a note is its user's"


def test_what_is_not_believed_is_no_value(memory: Memory) -> None:
    say(memory, "The home town of Ren is Tas.", 1)
    memory.add("The home town of Ren is Evil.", ANN, trust="web")
    assert memory.ask("What is the home town of Ren?", ANN).text == "Tas"


def test_several_hops_cite_each_of_them(memory: Memory) -> None:
    ids = [say(memory, text) for text in ("1. The home town of Ren is Tas.", "2. The country of Tas is Vobel.")]
    say(memory, "The country of Mil is Bari.")
    memory.enrich(ANN)
    found = memory.ask("What is the country of the home town of Ren?", ANN)
    assert (found.text, found.kind) == ("Vobel", Kind.VALUE)
    assert sorted(cube.id for cube in found.citations.values()) == sorted(ids)
    assert 0 < found.confidence <= 1


def test_what_is_deleted_or_filtered_out_is_not_answered_with(memory: Memory) -> None:
    say(memory, "The home town of Ren is Tas.", 1)
    newer = say(memory, "The home town of Ren is Mil.", 2, name="Bo")
    memory.enrich(ANN)
    memory.resolve(ANN)
    question = "What is the home town of Ren?"
    assert memory.ask(question, ANN).text == "Mil"
    assert memory.ask(question, ANN, filter=where(actor="Bo")).text == "Mil"
    assert memory.ask(question, ANN, filter=where(actor="Cy")).kind is not Kind.VALUE
    memory.delete(newer, ANN)
    memory.resolve(ANN)
    assert memory.ask(question, ANN).text == "Tas"
    assert memory.ask(question, Scope(user="bo")).kind is not Kind.VALUE


def test_as_of_answers_with_what_was_known_then(memory: Memory) -> None:
    say(memory, "The home town of Ren is Tas.", 1)
    memory.enrich(ANN)
    then = memory._clock()
    memory._clock.advance(days=30)  # type: ignore[attr-defined]
    say(memory, "The home town of Ren is Mil.", 2)
    memory.enrich(ANN)
    memory.resolve(ANN)
    question = "What is the home town of Ren?"
    assert memory.ask(question, ANN).text == "Mil"
    assert memory.ask(question, ANN, as_of=then).text == "Tas"


def test_as_of_cites_the_words_of_then(memory: Memory) -> None:
    turn = say(memory, "The home town of Ren is Tas.", 1)
    then = memory._clock()
    memory._clock.advance(days=30)  # type: ignore[attr-defined]
    memory.update(turn, ANN, content="The home town of Ren is Mil.")
    for enriched in (False, True):
        if enriched:
            memory.enrich(ANN)
        found = memory.ask("What is the home town of Ren?", ANN, as_of=then)
        assert "Mil" not in found.text
        assert [cube.text for cube in found.citations.values()] == ["The home town of Ren is Tas."]
        assert memory.ask("What is the home town of Ren?", ANN).text == "Mil"


def test_a_thing_with_several_values_is_not_answered_with_one(memory: Memory) -> None:
    say(memory, "My dog is Rex.", 1)
    say(memory, "My dog is Bella.", 5)
    memory.enrich(ANN)
    assert memory.ask("What is Ann's dog?", ANN).kind is not Kind.VALUE


def test_what_contradicts_itself_is_less_sure(memory: Memory) -> None:
    say(memory, "My boss is Maria.", 1)
    memory.enrich(ANN)
    sure = memory.ask("Who is Ann's boss?", ANN).confidence
    say(memory, "My boss is Peter.", 1)
    memory.enrich(ANN)
    assert memory.ask("Who is Ann's boss?", ANN).confidence == pytest.approx(sure / 2)
