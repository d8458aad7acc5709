"""Answers: dates resolved, numbers, lists, yes and no, word for word, or not in memory; and a scripted model's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from math import exp
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anamnos import Memory, Scope
from anamnos.llm.base import Ledger, Message, Schema
from anamnos.recall.answer.base import NOT_IN_MEMORY, Kind
from anamnos.recall.answer.extract import confidence, written
from anamnos.recall.evidence import Sentence
from anamnos.times import find_times

ANN = Scope(user="ann")
CHAT = [
    ("Ann", "2024-05-06T18:00:00Z", "I adopted a grey cat named Tom yesterday."),
    ("Bo", "2024-05-06T18:01:00Z", "How sweet! My sister Eva plays the cello."),
    ("Ann", "2024-05-20T18:00:00Z", "We moved to Porto last week."),
    ("Bo", "2024-05-20T18:01:00Z", "I have three brothers in Ghent."),
    ("Ann", "2024-06-03T09:00:00Z", "I have been painting for seven years now."),
    ("Ann", "2024-06-10T09:00:00Z", "I went swimming in the lake with Mia."),
    ("Bo", "2024-06-10T09:01:00Z", "Is the water cold?"),
]


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory(tmp_path, embedder="hashing") as memory:
        messages = [
            {"role": "user", "name": who, "at": at, "content": text, "session": at[:10]} for who, at, text in CHAT
        ]
        memory.add(messages, ANN)
        yield memory


@pytest.mark.parametrize(
    ("question", "kind", "said"),
    [
        ("When did Ann adopt the grey cat?", Kind.DATE, "5 May 2024"),
        ("When did Ann move to Porto?", Kind.DATE, "the week before 20 May 2024"),
        ("How many brothers does Bo have in Ghent?", Kind.COUNT, "three"),
        ("How long has Ann been painting?", Kind.DURATION, "seven years now"),
        ("What is the grey cat of Ann named?", Kind.SENTENCE, "Tom"),
        ("Who plays the cello?", Kind.SENTENCE, "Eva"),
    ],
)
def test_an_answer_is_of_the_kind_that_is_asked_for(memory: Memory, question: str, kind: Kind, said: str) -> None:
    answer = memory.ask(question, ANN)
    assert not answer.not_in_memory
    assert answer.kind == kind
    assert said in answer.text
    assert answer.citations
    for number, cube in answer.citations.items():
        assert answer.context.citations[number].id == cube.id


def test_what_was_never_said_is_not_in_memory(memory: Memory) -> None:
    answer = memory.ask("Which chess opening does Ann prefer?", ANN)
    assert answer.not_in_memory
    assert answer.text == NOT_IN_MEMORY
    assert answer.kind == Kind.NONE
    assert not answer.citations
    assert memory.ask("anything", Scope(user="bob")).not_in_memory


def test_an_answer_is_as_sure_as_its_search_and_its_sentences(memory: Memory) -> None:
    cue = memory._recaller.cue("What is the cat named?", memory._recaller.space(ANN), ANN)
    cube = memory.list(ANN)[0]
    said = [Sentence(cube.text, cube, 0, 0.5, 1.0, 0.0)]  # similarity .5, coverage 1; share 1, for nobody is named
    odds = exp(-4.4 + 3.7 * 0.5 + 1.7 + 2.7)
    assert confidence(cue, said, 0.5) == pytest.approx(odds / (1 + odds))
    assert confidence(cue, said, 0.75) == pytest.approx(3 * odds / (1 + 3 * odds))
    assert confidence(cue, said, 0.0) == confidence(cue, [], 0.5) == 0.0
    assert 0.999 < confidence(cue, said, 1.0) <= 1.0


def test_a_question_asked_back_is_no_answer(memory: Memory) -> None:
    assert not memory.ask("Is the water in the lake cold?", ANN).text.endswith("?")


@given(st.text(min_size=1, max_size=80).filter(lambda text: bool(text.strip())))
@settings(max_examples=30, deadline=None)
def test_any_question_gets_some_answer(text: str) -> None:
    with Memory(_shared(), embedder="hashing") as memory:
        answer = memory.ask(text, ANN)
        assert 0 <= answer.confidence <= 1
        assert answer.text
        assert memory.ask(text, ANN).to_dict() == answer.to_dict()


_folders: list[str] = []


def _shared() -> str:
    """Return a vault that all examples share."""
    if not _folders:
        from tempfile import mkdtemp

        _folders.append(mkdtemp())
        with Memory(_folders[0], embedder="hashing") as memory:
            memory.add([{"role": "user", "name": who, "at": at, "content": text} for who, at, text in CHAT], ANN)
    return _folders[0]


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("in May 2023", "May 2023"),
        ("in 2022", "2022"),
        ("yesterday", "9 June 2024"),
        ("on 3 March 2024", "3 March 2024"),
        ("last month", "May 2024"),
    ],
)
def test_times_are_written_as_exactly_as_they_were_said(text: str, want: str) -> None:
    said = datetime(2024, 6, 10, 12, tzinfo=UTC)
    (span,) = find_times(text, said)
    assert written(span, said) == want


class Scripted:
    """A language model that always answers the same."""

    id = "scripted"

    def __init__(self, reply: dict[str, object]) -> None:
        self.reply = reply
        self.usage = Ledger()
        self.asked: list[Message] = []

    def ask(self, messages: Sequence[Message], schema: Schema, *, step: str) -> dict[str, object]:
        self.asked = list(messages)
        return self.reply


@pytest.mark.parametrize(
    ("reply", "kind", "text"),
    [
        ({"answer": "Tom", "citations": [1], "not_in_memory": False}, Kind.GENERATED, "Tom [1]"),
        # cites what it was not given: the rules answer
        ({"answer": "Felix", "citations": [99], "not_in_memory": False}, Kind.SENTENCE, "My cat is named Tom."),
        ({"answer": "", "citations": [], "not_in_memory": True}, Kind.NONE, NOT_IN_MEMORY),
    ],
)
def test_a_model_answers_only_with_what_it_can_cite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reply: dict[str, object], kind: Kind, text: str
) -> None:
    model = Scripted(reply)
    monkeypatch.setattr("anamnos.memory.core.resolve_llm", lambda settings: model)
    with Memory(tmp_path, embedder="hashing") as memory:
        memory.add([{"role": "user", "name": "Ann", "content": "My cat is named Tom."}], ANN)
        answer = memory.ask("What is the cat of Ann named?", ANN)
    assert (answer.kind, answer.text) == (kind, text)
    system, user = model.asked
    assert "Tom" in user.content
    assert "Tom" not in system.content  # what memory holds is data
