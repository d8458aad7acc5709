"""Turns to derived memories, from end to end: tied to their turn, made once, gone with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anamnos.cube import Provenance, Role, Scope
from anamnos.errors import ConfigError, ProviderError
from anamnos.index.terms import TermReader
from anamnos.ingest.extract import RuleExtractor, resolve_extractor
from anamnos.ingest.extract.llm import LlmExtractor, find_quote
from anamnos.llm.base import Ledger, Message, Schema, Usage
from anamnos.memory import Memory
from anamnos.store.base import Store
from anamnos.testing import FakeClock, FakeEmbedder, ReferenceStore, seeded_ids
from anamnos.types import Comparison, Field, Where

ANN = Scope(user="ann")
MONDAY = Scope(user="ann", session="monday")
SAID = datetime(2024, 5, 15, 10, tzinfo=UTC)


def said(text: str, message_id: str, speaker: str = "Ann") -> dict[str, Any]:
    return {
        "role": "user",
        "name": speaker,
        "content": text,
        "id": message_id,
        "session": "monday",
        "created_at": SAID.isoformat(),
    }


TALK = [
    said("I love hiking in the mountains! Yesterday I went to a concert in Oslo.", "1"),
    said("Wow, that's great, Ann!", "2", "Bo"),
    said("I adopted a dog named Rex last month.", "3", "Bo"),
]


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory(tmp_path / "vault", embedder=FakeEmbedder(), clock=FakeClock(), new_id=seeded_ids(1)) as memory:
        yield memory


def facts(memory: Memory, scope: Scope = ANN) -> dict[str, Any]:
    return {cube.text: cube for cube in memory.list(scope, filter=Where(Field.ROLE, Comparison.EQ, "fact"))}


def test_what_turns_say_is_remembered_beside_them(memory: Memory) -> None:
    turns = memory.add(TALK, ANN, source="chat").ids
    receipt = memory.enrich(ANN)
    found = facts(memory)
    assert set(found) == {
        "Ann has mentioned: love hiking in the mountains",
        "Yesterday Ann went to a concert in Oslo.",
        "Bo adopted a dog named Rex last month.",
    }
    assert receipt.count("added") == 3
    cube = found["Yesterday Ann went to a concert in Oslo."]
    note = cube.annotations.data["extract"]
    assert cube.provenance.derived_from == (turns[0],)
    assert (cube.provenance.operator, cube.provenance.actor, cube.provenance.source) == (
        "extract-rules/1",
        "Ann",
        "chat",
    )
    assert cube.scope == MONDAY
    assert cube.time.created_at == SAID
    assert cube.time.valid_from == datetime(2024, 5, 14, tzinfo=UTC)
    assert (note["subject"], note["predicate"], note["object"]) == ("Ann", "go to", "a concert in Oslo")
    assert note["when"]["phrase"] == "Yesterday"
    assert note["quote"] in TALK[0]["content"]
    assert cube.annotations.tags == ("fact",)
    assert cube.annotations.entities == ("Oslo",)
    assert memory.verify() == []


def test_twice_adds_nothing_and_reads_only_what_is_new(memory: Memory) -> None:
    memory.add(TALK, ANN, source="chat")
    memory.enrich(ANN)
    seen: list[tuple[int, int]] = []
    assert memory.enrich(ANN, progress=lambda done, total: seen.append((done, total))).ids == ()
    assert seen == []  # no turn was read
    memory.add([said("I play the cello.", "4")], ANN, source="chat")
    assert memory.enrich(ANN, progress=lambda done, total: seen.append((done, total))).count("added") == 1
    assert seen == [(1, 1)]
    assert memory.enrich(MONDAY).ids == ()  # another scope has its own mark, and finds all done


def test_a_turn_that_goes_takes_what_it_said_along(memory: Memory, tmp_path: Path) -> None:
    turns = memory.add(TALK, ANN, source="chat").ids
    memory.enrich(ANN)
    memory.delete(turns[2], ANN)
    assert all("Rex" not in text for text in facts(memory))
    assert len(facts(memory)) == 2
    assert not any(b"Rex" in file.read_bytes() for file in (tmp_path / "vault").rglob("*") if file.is_file())


def test_an_edited_turn_says_its_new_words_only(memory: Memory) -> None:
    memory.add(TALK, ANN, source="chat")
    memory.enrich(ANN)
    memory.add([said("I adopted a cat named Tom last month.", "3", "Bo")], ANN, source="chat")
    receipt = memory.enrich(ANN)
    assert (receipt.count("added"), receipt.count("deleted")) == (1, 1)
    assert [text for text in facts(memory) if text.startswith("Bo")] == ["Bo adopted a cat named Tom last month."]


def test_a_correction_by_hand_stays(memory: Memory) -> None:
    memory.add(TALK, ANN, source="chat")
    memory.enrich(ANN)
    wrong = facts(memory)["Bo adopted a dog named Rex last month."]
    memory.update(wrong.id, ANN, content="Bo adopted a dog named Max last month.")
    memory.enrich(MONDAY)
    assert sorted(text for text in facts(memory) if text.startswith("Bo")) == ["Bo adopted a dog named Max last month."]


def test_what_an_assistant_says_is_no_fact_of_the_user(memory: Memory) -> None:
    messages = [
        {"role": "user", "content": "I moved to Berlin in 2019."},
        {"role": "assistant", "content": "I love Berlin! I moved to Paris."},
    ]
    memory.add(messages, ANN)
    memory.enrich(ANN)
    assert set(facts(memory)) == {"User moved to Berlin in 2019."}


def test_extraction_can_be_part_of_writing(tmp_path: Path) -> None:
    with Memory(tmp_path / "v", embedder=FakeEmbedder(), clock=FakeClock(), extract="rules") as memory:
        receipt = memory.add(TALK, ANN)
        assert receipt.count("added") == 3
        assert len(facts(memory)) == 3
        memory.add("I play the cello.", ANN)
        assert len(facts(memory)) == 4


def test_settings_that_cannot_be_are_refused(memory: Memory, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="extract cannot be 'magic'"):
        Memory(tmp_path / "a", embedder=FakeEmbedder(), extract="magic")
    with pytest.raises(ConfigError, match="there is no language model"):
        Memory(tmp_path / "b", embedder=FakeEmbedder(), extract="llm")
    with pytest.raises(ConfigError, match="needs a language model"):
        memory.enrich(ANN, extractor="llm")


@pytest.mark.parametrize("kind", ["sqlite", "reference"])
def test_stores_tell_derived_memories_apart(kind: str, tmp_path: Path) -> None:
    store: Store | None = ReferenceStore() if kind == "reference" else None
    with Memory(tmp_path / "v", embedder=FakeEmbedder(), clock=FakeClock(), store=store) as memory:
        turns = memory.add(TALK, ANN).ids
        memory.enrich(ANN)
        rows = {d: memory.vault.store.outline(ANN, derived=d).rows.tolist() for d in (None, True, False)}
        assert sorted(rows[True] + rows[False]) == rows[None]
        assert [cube.id for cube in memory.vault.store.at(rows[False])] == list(turns)
        of_first = memory.list(ANN, filter=Where(Field.DERIVED_FROM, Comparison.EQ, turns[0]))
        assert {cube.provenance.derived_from for cube in of_first} == {(turns[0],)}
        assert len(of_first) == 2


# --- laws


class Answers:
    """A model that gives the answers of a list; an exception among them is raised."""

    id = "answers"

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[Any] = []
        self.usage = Ledger()

    def ask(self, messages: Any, schema: Schema, *, step: str) -> dict[str, Any]:
        self.asked.append((messages, schema, step))
        self.usage.add(step, Usage(1))
        answer = self.answers.pop(0) if self.answers else ProviderError("It is down.")
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]


def fact(**changes: Any) -> dict[str, Any]:
    whole = {
        "text": "Bo has a dog named Rex.",
        "kind": "fact",
        "subject": "Bo",
        "predicate": "has",
        "object": "dog Rex",
        "entities": ["Rex", "Nobody"],
        "when": "last month",
        "confidence": 0.9,
        "source": 3,
        "quote": "I adopted a dog named Rex",
    }
    return {**whole, **changes}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(texts=st.lists(st.text(min_size=1, max_size=80).filter(str.strip), min_size=1, max_size=4))
def test_rules_take_any_text_and_quote_it(memory: Memory, texts: list[str]) -> None:
    memory.add([{"role": "user", "content": text} for text in texts], ANN)
    turns = memory.list(ANN, limit=None)
    rules = RuleExtractor(TermReader())
    found = rules.extract(turns)
    assert found == rules.extract(turns)
    by_id = {cube.id: cube.text for cube in turns}
    for item in found:
        assert item.quote in by_id[item.sources[0]]
        assert item.text.strip()
        assert 0 <= item.importance <= 1
    memory.enrich(ANN)


# --- by a language model


def enriched(memory: Memory, llm: Answers, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr("anamnos.memory.core.resolve_llm", lambda settings: llm)
    memory.add(TALK, ANN, source="chat")
    memory.enrich(ANN, extractor="llm")
    return facts(memory)


def test_a_model_finds_what_stands_in_the_turns(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    llm = Answers({"facts": [fact(), fact(text="Bo is rich.", quote="I am very rich"), fact(source=9)]})
    (cube,) = enriched(memory, llm, monkeypatch).values()
    note = cube.annotations.data["extract"]
    assert cube.text == "Bo has a dog named Rex."
    assert cube.provenance.operator == note["extractor"] == note["asked"] == "extract-llm/1"
    assert cube.annotations.entities == ("Rex",)
    assert note["when"]["phrase"] == "last month"
    assert cube.time.valid_from == datetime(2024, 4, 1, tzinfo=UTC)
    assert "reason" not in note
    ((messages, _schema, step),) = llm.asked
    assert [message.role for message in messages] == ["system", "user"]
    assert "Oslo" not in messages[0].content
    assert [turn["number"] for turn in json.loads(messages[1].content)] == [1, 2, 3]
    assert step == "extract"
    assert memory.enrich(ANN, extractor="llm").ids == ()
    assert len(llm.asked) == 1


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (ProviderError("It is down."), "It is down."),
        ({"facts": [fact(quote="something else altogether")]}, "None of 1 facts stands in the messages"),
    ],
)
def test_where_a_model_fails_the_rules_do_its_work(
    memory: Memory, monkeypatch: pytest.MonkeyPatch, answer: Any, reason: str
) -> None:
    found = enriched(memory, Answers(answer), monkeypatch)
    assert len(found) == 3
    for cube in found.values():
        note = cube.annotations.data["extract"]
        assert (note["asked"], note["extractor"]) == ("extract-llm/1", "extract-rules/1")
        assert reason in note["reason"]


def test_a_model_that_fails_again_and_again_is_asked_no_more(memory: Memory) -> None:
    memory.add([said(f"I moved to Oslo in {2000 + n}. " + "So it was. " * 20, str(n)) for n in range(120)], ANN)
    llm = Answers()
    extractor = resolve_extractor("llm", TermReader(), llm)
    assert isinstance(extractor, LlmExtractor)
    found = extractor.extract(memory.list(ANN, limit=None))
    assert len(llm.asked) == 3
    assert len(found) == 120
    assert "failed 3 times" in found[-1].reason


def test_another_extractor_takes_the_place_of_the_first(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    memory.add(TALK, ANN, source="chat")
    memory.enrich(ANN)
    monkeypatch.setattr("anamnos.memory.core.resolve_llm", lambda settings: Answers({"facts": [fact()]}))
    memory.enrich(ANN, extractor="llm")
    assert set(facts(memory)) == {"Bo has a dog named Rex."}


@pytest.mark.parametrize(
    ("quote", "text", "found"),
    [
        ("my dog", "I love My Dog.", "My Dog"),
        ("I love my  dog", "I love my dog.", "I love my dog"),
        ("I adoptd a dog named Rex", "Well, I adopted a dog named Rex last month.", "adopted a dog named Rex"),
        ("I own a yacht", "I adopted a dog named Rex.", ""),
        ("", "text", ""),
    ],
)
def test_a_quote_is_found_up_to_a_letter_here_and_there(quote: str, text: str, found: str) -> None:
    assert find_quote(quote, text) == found
    assert found in text


def test_policy_and_trust_go_with_the_words(memory: Memory) -> None:
    memory.add("I moved to Oslo in 2019.", ANN, trust=0.4)
    memory.enrich(ANN)
    (cube,) = facts(memory).values()
    (turn,) = (c for c in memory.list(ANN) if c.role is Role.NOTE)
    assert cube.provenance.trust == turn.provenance.trust == 0.4
    assert replace(cube.policy) == turn.policy
    assert isinstance(cube.provenance, Provenance)
    assert Message("user", cube.text).content == cube.text


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "words", ["last ", "I love ", "my x ", '"A', "and a I ", "between 2019 and ", "http://", " \t"]
)
def test_long_odd_texts_do_not_take_long(memory: Memory, words: str) -> None:
    memory.add("x" + words * (20_000 // len(words)), ANN)
    memory.enrich(ANN)
