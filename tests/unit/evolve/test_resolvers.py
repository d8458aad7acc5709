"""What resolvers decide: rules on a table of pairs, their laws on any text, and a language model that is scripted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from resolve_cases import CASES, Case

from anamnos.cube import MemCube, Provenance, Role, Scope, State, Times
from anamnos.errors import ConfigError, ProviderError
from anamnos.evolve.resolve import resolve_resolver
from anamnos.evolve.resolve.base import Candidate, Decision, Kind
from anamnos.evolve.resolve.llm import LlmResolver
from anamnos.evolve.resolve.rules import RuleResolver, combined
from anamnos.index.terms import TermReader
from anamnos.ingest.enrich import plan_derived
from anamnos.ingest.extract import RuleExtractor
from anamnos.llm.base import Ledger, Message, Schema
from anamnos.testing import seeded_ids

ANN = Scope(user="ann")
START = datetime(2024, 1, 1, tzinfo=UTC)
NEW_ID = seeded_ids(5)


def fact(text: str, day: int | None = 0) -> MemCube:
    """Return what extraction makes of a turn of Ann's; a plain fact if it finds nothing."""
    when = None if day is None else START + timedelta(days=day)
    turn = MemCube(
        id=NEW_ID(START),
        content=text,
        scope=ANN,
        role=Role.TURN,
        provenance=Provenance(actor="Ann"),
        time=Times(created_at=when),
    )
    extractor = RuleExtractor(TermReader())
    made = [p.cube for p in plan_derived(extractor.extract([turn]), [turn], "x/1", NEW_ID, START) if p.cube]
    facts = [cube for cube in made if cube.annotations.tags == ("fact",)]
    return (facts or made or [replace(turn, role=Role.FACT)])[0]


def decide(case: Case) -> Decision:
    _, old, old_day, new, new_day, cosine = case
    (decision,) = RuleResolver().decide(fact(new, new_day), [Candidate(fact(old, old_day), cosine)])
    return decision


def test_rules_decide_nine_of_ten_pairs_as_a_person_would() -> None:
    wrong = [(case, decide(case)) for case in CASES if decide(case).kind != case[0]]
    assert len(wrong) <= len(CASES) / 10, wrong
    assert {case[0] for case in CASES} == {"noop", "update", "supersede", "contradict", "link", "add"}


def test_an_old_fact_that_comes_late_is_superseded_by_the_known_one() -> None:
    known = fact("I live in Oslo.", 9)
    (decision,) = RuleResolver().decide(fact("I live in Rome.", 1), [Candidate(known, 0.8)])
    assert (decision.kind, decision.target, decision.reverse) == (Kind.SUPERSEDE, known.id, True)


def test_likeness_alone_never_supersedes() -> None:
    """Two nights of one kind are two nights, however alike the words are; without times, nobody knows."""
    alike = ("Ann slept four hours at the Ritz.", "Ann slept seven hours at the Ritz.")
    for cosine in (0.9, 0.97, 0.9999):
        (dated,) = RuleResolver().decide(fact(alike[1], 5), [Candidate(fact(alike[0], 1), cosine)])
        assert dated.kind is Kind.LINK
        (undated,) = RuleResolver().decide(fact(alike[1], None), [Candidate(fact(alike[0], None), cosine)])
        assert undated.kind is Kind.CONTRADICT


def test_a_negation_of_what_both_name_supersedes() -> None:
    old, new = (
        fact("Bo sees a doctor in Oslo for the knee.", 1),
        fact("Bo never sees a doctor in Oslo for the knee.", 5),
    )
    (decision,) = RuleResolver().decide(new, [Candidate(old, 0.93)])
    assert decision.kind is Kind.SUPERSEDE


def test_who_says_all_of_it_and_more_is_an_update() -> None:
    old, new = fact("Bo painted the fence.", 1), fact("Bo painted the wooden fence with green paint.", 2)
    (decision,) = RuleResolver().decide(new, [Candidate(old, 0.9)])
    assert decision.kind is Kind.UPDATE


def test_likeness_is_cosine_and_shared_names() -> None:
    ann, bo = fact("Bo met Tom in Oslo."), fact("Bo met Tom in Oslo.")
    assert combined(ann, Candidate(bo, 0.5)) == pytest.approx(0.6 * 0.5 + 0.4)
    plain = replace(fact("it was late"), role=Role.FACT)
    assert combined(plain, Candidate(fact("it is late"), 0.5)) == pytest.approx(0.5)


VOCABULARY = ["Ann", "Bo", "Oslo", "not", "5", "cello", "Monday", "never", "lives", "in", "my", "car", "is", "red"]
WORDS = st.lists(st.sampled_from(VOCABULARY), max_size=9)


@given(WORDS, st.lists(st.tuples(WORDS, st.floats(-1, 1)), max_size=5))
def test_laws_of_the_rules(new: list[str], others: list[tuple[list[str], float]]) -> None:
    cube = fact(" ".join(["So", *new, "."]), 3)
    candidates = [Candidate(fact(" ".join(["So", *words, "."]), 1), cosine) for words, cosine in others]
    decisions = RuleResolver().decide(cube, candidates)
    known = {candidate.cube.id for candidate in candidates}
    assert decisions and decisions == RuleResolver().decide(cube, candidates)
    for decision in decisions:
        assert decision.kind is not Kind.DELETE
        assert decision.target in known or (decision.target is None and decision.kind is Kind.ADD)
        assert 0 <= decision.weight <= 1


# --- a language model


class Scripted:
    """Gives the answers of a list, one after the other, and keeps what it was asked."""

    id = "scripted"

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, Any]] = []
        self.usage = Ledger()

    def ask(self, messages: Sequence[Message], schema: Schema, *, step: str) -> dict[str, Any]:
        assert step == "resolve"
        assert "data" in messages[0].content
        self.asked.append(json.loads(messages[1].content))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return {"ops": [{"event": event, "id": number, "reason": "so"} for event, number in answer]}


def pair() -> tuple[MemCube, list[Candidate]]:
    return fact("I live in Oslo.", 9), [
        Candidate(fact("I live in Rome.", 1), 0.8),
        Candidate(fact("I own a cat."), 0.9),
    ]


def test_a_model_sees_numbers_and_never_ids() -> None:
    new, candidates = pair()
    model = Scripted([("SUPERSEDE", 2)])
    (decision,) = LlmResolver(model, RuleResolver()).decide(new, candidates)
    assert (decision.kind, decision.target) == (Kind.SUPERSEDE, candidates[0].cube.id)
    (asked,) = model.asked
    assert [known["id"] for known in asked["known"]] == [1, 2]
    assert candidates[0].cube.id not in json.dumps(asked)


def test_what_a_model_invents_is_dropped() -> None:
    new, candidates = pair()
    model = Scripted([("FORGET", 1), ("NOOP", 7), ("NOOP", 0), ("ADD", 1), ("LINK", 1), ("NOOP", 1)], [("NOOP", 9)])
    resolver = LlmResolver(model, RuleResolver())
    assert [d.kind for d in resolver.decide(new, candidates)] == [Kind.LINK]
    assert [d.kind for d in resolver.decide(new, candidates)] == [Kind.ADD]


def test_a_model_cannot_delete() -> None:
    new, candidates = pair()
    (decision,) = LlmResolver(Scripted([("DELETE", 2)]), RuleResolver()).decide(new, candidates)
    assert decision.kind is Kind.SUPERSEDE


def test_where_the_model_fails_the_rules_decide_and_it_is_not_asked_for_ever() -> None:
    new, candidates = pair()
    model = Scripted(*(ProviderError("It is down.") for _ in range(9)))
    resolver = LlmResolver(model, RuleResolver())
    for _ in range(6):
        assert Kind.SUPERSEDE in {d.kind for d in resolver.decide(new, candidates)}
    assert len(model.asked) == 3


def test_nothing_alike_needs_no_model() -> None:
    assert LlmResolver(Scripted(), RuleResolver()).decide(fact("I own a cat."), []) == [
        Decision(Kind.ADD, None, "nothing is alike")
    ]


def test_resolvers_by_name() -> None:
    assert resolve_resolver("rules", None).operator == "resolve-rules/1"
    assert resolve_resolver("llm", Scripted()).operator == "resolve-llm/1"
    with pytest.raises(ConfigError, match="no resolver"):
        resolve_resolver("magic", None)
    with pytest.raises(ConfigError, match="needs a language model"):
        resolve_resolver("llm", None)


def test_what_no_longer_counts_makes_no_claim() -> None:
    cube = fact("I live in Rome.", 1)
    gone = replace(cube, lifecycle=replace(cube.lifecycle, state=State.EXPIRED))
    (decision,) = RuleResolver().decide(fact("I live in Oslo.", 9), [Candidate(gone, 0.5)])
    assert decision.kind is not Kind.SUPERSEDE
