"""Resolve from end to end: what changed is ended, what is repeated merged, and both are taken back with their cause."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from anamnos.cube import LinkKind, MemCube, Role, Scope, State
from anamnos.errors import ConfigError, InvalidInput
from anamnos.llm.base import Ledger, Message, Schema
from anamnos.memory import Memory
from anamnos.testing import FakeClock, FakeEmbedder, ReferenceStore, seeded_ids
from anamnos.types import And, Comparison, Field, Where

ANN = Scope(user="ann")
ANY_FACT = And((Where(Field.ROLE, Comparison.EQ, "fact"), Where(Field.STATE, Comparison.IN, tuple(State))))


@pytest.fixture(params=["sqlite", "reference"])
def memory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Memory]:
    store = ReferenceStore() if request.param == "reference" else None
    options: dict[str, Any] = {"embedder": FakeEmbedder(64), "clock": FakeClock(), "new_id": seeded_ids(1)}
    with Memory(tmp_path / "vault", store=store, **options) as memory:
        yield memory


def say(memory: Memory, text: str, day: int | None, speaker: str = "Ann", scope: Scope = ANN) -> str:
    when = {} if day is None else {"created_at": datetime(2024, 1, day, tzinfo=UTC).isoformat()}
    message = {"role": "user", "name": speaker, "content": text, "id": f"{speaker}{day}{text}", **when}
    return memory.add([message], scope).ids[0]


def in_order(memory: Memory, scope: Scope = ANN) -> list[str]:
    """Enrich and resolve, and see that a second run does nothing."""
    memory.enrich(scope)
    changed = list(memory.resolve(scope).ids)
    sequence = memory.vault.store.sequence()
    assert memory.resolve(scope).ids == ()
    assert memory.vault.store.sequence() == sequence
    return changed


def facts(memory: Memory, scope: Scope = ANN) -> dict[str, MemCube]:
    return {cube.text: cube for cube in memory.list(scope, filter=ANY_FACT)}


def spans(memory: Memory) -> dict[str, tuple[int | None, int | None]]:
    """Return the text of each fact that is found -> the days between which it is true."""
    shown = {}
    for text, cube in facts(memory).items():
        if cube.lifecycle.state is not State.MERGED:
            edges = (cube.time.valid_from, cube.time.valid_to)
            shown[text] = tuple(None if edge is None else edge.day for edge in edges)
    return shown  # type: ignore[return-value]


def linked(memory: Memory, kind: LinkKind) -> set[tuple[str, str]]:
    texts = {cube.id: cube.text for cube in facts(memory).values()}
    return {(c.text, texts[ln.target]) for c in facts(memory).values() for ln in c.links if ln.kind is kind}


def test_a_value_ends_when_the_next_begins(memory: Memory) -> None:
    say(memory, "I live in Rome.", 1)
    say(memory, "I live in Oslo.", 5)
    in_order(memory)
    assert spans(memory) == {"Ann lives in Rome.": (1, 5), "Ann lives in Oslo.": (5, None)}
    assert linked(memory, LinkKind.SUPERSEDES) == {("Ann lives in Oslo.", "Ann lives in Rome.")}
    old = facts(memory)["Ann lives in Rome."]
    assert [version.time.valid_to for version in memory.history(old.id, ANN)] == [None, old.time.valid_to]


def test_as_of_a_moment_only_what_was_true_then_is_read(memory: Memory) -> None:
    say(memory, "I live in Rome.", 1)
    say(memory, "I live in Oslo.", 5)
    in_order(memory)
    now = {cube.text for cube in memory.list(ANN, filter=ANY_FACT, as_of=datetime(2024, 6, 1, tzinfo=UTC))}
    assert now == {"Ann lives in Rome."}, "the clock stands at 1 January: nobody may look into the future"
    assert isinstance(memory._clock, FakeClock)
    memory._clock.advance(days=90)
    now = {cube.text for cube in memory.list(ANN, filter=ANY_FACT, as_of=datetime(2024, 3, 1, tzinfo=UTC))}
    assert now == {"Ann lives in Oslo."}


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_the_order_of_learning_and_of_resolving_plays_no_part(tmp_path: Path, order: tuple[int, ...]) -> None:
    told = [
        ("I live in Rome.", 1),
        ("I live in Oslo.", 5),
        ("I live in Rome now.", 9),
        ("I no longer live in Rome.", 12),
    ]
    options: dict[str, Any] = {"embedder": FakeEmbedder(64), "clock": FakeClock(), "new_id": seeded_ids(1)}
    with Memory(tmp_path / "vault", store=ReferenceStore(), **options) as memory:
        for place in order:
            say(memory, *told[place])
            in_order(memory)
        assert spans(memory) == {
            "Ann lives in Rome.": (1, 5),
            "Ann lives in Oslo.": (5, 9),
            "Ann lives in Rome now.": (9, 12),
            "Ann no longer lives in Rome.": (12, None),
        }


def test_what_is_said_again_is_merged_into_what_was_said_first(memory: Memory) -> None:
    first, again = say(memory, "I live in Oslo.", 1), say(memory, "I live in Oslo now.", 5)
    in_order(memory)
    found = facts(memory)
    kept, merged = found["Ann lives in Oslo."], found["Ann lives in Oslo now."]
    assert (kept.lifecycle.state, merged.lifecycle.state) == (State.GENERATED, State.MERGED)
    assert linked(memory, LinkKind.DERIVED_FROM) == {(kept.text, merged.text)}
    assert linked(memory, LinkKind.SUPPORTS) == {(merged.text, kept.text)}
    assert (kept.provenance.derived_from, merged.provenance.derived_from) == ((first,), (again,))


def test_a_merged_fact_stands_for_itself_once_the_other_is_deleted(memory: Memory) -> None:
    first = say(memory, "I live in Oslo.", 1)
    say(memory, "I live in Oslo now.", 5)
    in_order(memory)
    memory.delete(first, ANN)
    in_order(memory)
    (left,) = facts(memory).values()
    assert (left.text, left.lifecycle.state, left.links) == ("Ann lives in Oslo now.", State.ACTIVATED, ())


def test_deleting_what_superseded_gives_the_old_value_back(memory: Memory) -> None:
    say(memory, "I live in Rome.", 1)
    oslo = say(memory, "I live in Oslo.", 5)
    in_order(memory)
    memory.delete(oslo, ANN)
    in_order(memory)
    assert spans(memory) == {"Ann lives in Rome.": (1, None)}
    assert not facts(memory)["Ann lives in Rome."].annotations.data.get("resolve")


def test_rolling_a_superseding_back_gives_the_old_value_back(memory: Memory) -> None:
    say(memory, "I live in Rome.", 1)
    memory.enrich(ANN)
    (rome,) = facts(memory).values()
    say(memory, "I live in Oslo.", 5)
    in_order(memory)
    memory.rollback(ANN, id=rome.id, version=1)
    assert spans(memory)["Ann lives in Rome."] == (1, None)
    in_order(memory)
    assert spans(memory)["Ann lives in Rome."] == (1, 5), "until it is resolved again"


def test_two_values_at_one_time_both_stay_and_the_one_not_believed_is_doubted(memory: Memory) -> None:
    say(memory, "My boss is Maria.", 4)
    say(memory, "My boss is Peter.", 4)
    in_order(memory)
    assert all(cube.lifecycle.state is State.GENERATED for cube in facts(memory).values())
    pairs = linked(memory, LinkKind.CONTRADICTS)
    assert pairs == {("Ann's boss is Maria.", "Ann's boss is Peter."), ("Ann's boss is Peter.", "Ann's boss is Maria.")}
    notes = [cube.annotations.data["resolve"]["slot"] for cube in facts(memory).values()]
    assert sorted(note.get("confidence", 1.0) for note in notes) == [0.35, 1.0]


def test_a_told_end_is_never_taken_away(memory: Memory) -> None:
    say(memory, "I live in Rome.", 1)
    memory.enrich(ANN)
    (rome,) = facts(memory).values()
    memory.update(rome.id, ANN, valid_to=datetime(2024, 1, 3, tzinfo=UTC))
    say(memory, "I live in Oslo.", 5)
    in_order(memory)
    assert spans(memory) == {"Ann lives in Rome.": (1, 3), "Ann lives in Oslo.": (5, None)}


def test_what_is_frozen_stays_as_it_is(memory: Memory) -> None:
    say(memory, "I live in Rome.", 1)
    memory.enrich(ANN)
    (rome,) = facts(memory).values()
    memory.freeze(rome.id, ANN)
    say(memory, "I live in Oslo.", 5)
    in_order(memory)
    assert memory.get(rome.id, ANN).time.valid_to is None
    assert linked(memory, LinkKind.SUPERSEDES) == {("Ann lives in Oslo.", "Ann lives in Rome.")}


def test_archiving_what_holds_does_not_bring_the_old_value_back(memory: Memory) -> None:
    say(memory, "I live in Rome.", 1)
    say(memory, "I live in Oslo.", 5)
    in_order(memory)
    memory.archive(facts(memory)["Ann lives in Oslo."].id, ANN)
    in_order(memory)
    assert spans(memory)["Ann lives in Rome."] == (1, 5)


def test_a_scope_is_a_wall(memory: Memory) -> None:
    bo = Scope(user="bo")
    say(memory, "I live in Rome.", 1)
    say(memory, "I live in Oslo.", 5, scope=bo)
    memory.enrich(bo)
    in_order(memory)
    assert in_order(memory, bo) == []
    assert spans(memory) == {"Ann lives in Rome.": (1, None)}


def test_numbered_facts_without_a_time_are_ordered_by_their_numbers(memory: Memory) -> None:
    for text in ("17. The mayor of Ren is Tas.", "3. The mayor of Ren is Vob.", "8. The mayor of Ren is Mil."):
        say(memory, text, None)
    in_order(memory)
    assert linked(memory, LinkKind.SUPERSEDES) == {
        ("The mayor of Ren is Tas.", "The mayor of Ren is Vob."),
        ("The mayor of Ren is Tas.", "The mayor of Ren is Mil."),
    }


def test_what_no_slot_decides_is_judged_by_likeness(memory: Memory) -> None:
    for text in ("Bo slept 4 hours in the blue tent.", "Bo slept 7 hours in the blue tent."):
        memory.add(text, ANN, role="fact", created_at=datetime(2024, 1, 3, tzinfo=UTC))
    in_order(memory)
    assert len(linked(memory, LinkKind.CONTRADICTS)) == 2
    for cube in facts(memory).values():
        note = cube.annotations.data["resolve"]["judged"]
        assert (note["how"], note["confidence"]) == ("resolve-rules/1", 0.5)


def test_an_interrupted_run_comes_to_the_same_end(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    for day, town in enumerate(("Rome", "Oslo", "Bari", "Lima"), start=1):
        say(memory, f"I live in {town}.", day)
        say(memory, f"My favourite town is {town}.", day)
    memory.enrich(ANN)
    memory.settings = replace(memory.settings, batch_size=2)
    write, left = memory._write_moved, iter((True, False))

    def broken(cubes: Any) -> Any:
        if not next(left, True):
            raise KeyboardInterrupt
        return write(cubes)

    monkeypatch.setattr(memory, "_write_moved", broken)
    with pytest.raises(KeyboardInterrupt):
        memory.resolve(ANN)
    monkeypatch.undo()
    in_order(memory)
    towns = {text: days for text, days in spans(memory).items() if "live" in text}
    assert towns == {
        "Ann lives in Rome.": (1, 2),
        "Ann lives in Oslo.": (2, 3),
        "Ann lives in Bari.": (3, 4),
        "Ann lives in Lima.": (4, None),
    }


class Judge:
    """A language model that says what the table has for two statements, and nothing of others."""

    id = "judge"
    usage = Ledger()

    def __init__(self, table: dict[tuple[str, str], str]) -> None:
        self.table = table
        self.asked = 0

    def ask(self, messages: Sequence[Message], schema: Schema, *, step: str) -> dict[str, Any]:
        self.asked += 1
        question = json.loads(messages[1].content)
        pairs = [(known["id"], (known["text"], question["new"]["text"])) for known in question["known"]]
        said = [(number, self.table[pair]) for number, pair in pairs if pair in self.table]
        return {"ops": [{"event": event, "id": number, "reason": "so"} for number, event in said]}


def test_a_life_of_twelve_turns_with_a_language_model(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A move, a correction, a repetition and a detail: what is found afterwards, and what was known before."""
    told = """I live in Rome.|I work at Acme.|I visited a tower in Pisa.|I have a cat.|I love the sea.
        |I saw a tower in Pisa, the leaning one.|I live in Oslo.|I live in Oslo.|My boss is Maria.
        |I quit my job at Acme.|I finished my thesis.|Bo took my bike to Pisa."""
    judge = Judge({("Ann visited a tower in Pisa.", "Ann saw a tower in Pisa, the leaning one."): "UPDATE"})
    monkeypatch.setattr("anamnos.memory.core.resolve_llm", lambda settings: judge)
    for day, text in enumerate((" ".join(part.split()) for part in told.split("|")), start=1):
        say(memory, text, day)
    memory.enrich(ANN)
    memory.resolve(ANN, resolver="llm")
    found = facts(memory)
    merged = [c for c in memory.list(ANN, filter=ANY_FACT) if c.lifecycle.state is State.MERGED]
    assert sorted(cube.text for cube in merged) == ["Ann lives in Oslo.", "Ann visited a tower in Pisa."]
    ended = {text for text, cube in found.items() if cube.time.valid_to is not None}
    assert ended == {"Ann lives in Rome.", "Ann works at Acme."}
    asked = judge.asked
    assert memory.resolve(ANN, resolver="llm").ids == ()
    assert judge.asked == asked, "a second run asks nothing"


def test_refusals(memory: Memory) -> None:
    with pytest.raises(ConfigError, match="no resolver"):
        memory.resolve(ANN, resolver="magic")
    with pytest.raises(ConfigError, match="needs a language model"):
        memory.resolve(ANN, resolver="llm")
    with pytest.raises(InvalidInput, match="scope must be a Scope"):
        memory.resolve("ann")  # type: ignore[arg-type]
    assert memory.resolve(ANN).ids == ()


def test_progress_counts_new_facts(memory: Memory) -> None:
    say(memory, "I live in Rome. I play the cello.", 1)
    memory.enrich(ANN)
    seen: list[tuple[int, int]] = []
    memory.resolve(ANN, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]
    assert Role.FACT in {cube.role for cube in facts(memory).values()}
