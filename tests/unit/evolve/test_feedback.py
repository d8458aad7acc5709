"""Corrections in words: what kind they are, and what they change."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anamnos.cube import MemCube, Scope
from anamnos.errors import InvalidInput
from anamnos.evolve.resolve.feedback import Correction, classify, corrections, named_ids
from anamnos.memory import Memory
from anamnos.testing import FakeClock, FakeEmbedder, seeded_ids

ANN = Scope(user="ann")
TABLE: list[tuple[str, str, str, str]] = [  # text, kind, original, target
    ("replace Bob with Robert", "replace", "Bob", "Robert"),
    ("Please change 'Acme' to 'Initech' everywhere.", "replace", "Acme", "Initech"),
    ("Rename Rex to Max!", "replace", "Rex", "Max"),
    ("please replace all Monday with Tuesday", "replace", "Monday", "Tuesday"),
    ("it's Ren, not Wren", "correction", "Wren", "Ren"),
    ("No, it's Oslo, not Rome.", "correction", "Rome", "Oslo"),
    ("Actually it's Friday not Thursday", "correction", "Thursday", "Friday"),
    ("not Monday but Tuesday", "correction", "Monday", "Tuesday"),
    ("I meant Lisbon instead of Porto.", "correction", "Porto", "Lisbon"),
    ("The key is not under the pot but in the shed.", "correction", "under the pot", "in the shed"),
    ("No, I live in Oslo.", "correction", "", ""),
    ("Actually, my dog is called Rex", "correction", "", ""),
    ("That's wrong: the meeting is on Friday", "correction", "", ""),
    ("Correction: the rent is 900 euros.", "correction", "", ""),
    ("You're wrong, I never liked tea.", "correction", "", ""),
    ("I also play the cello.", "addition", "", ""),
    ("My sister moved to Bari.", "addition", "", ""),
    ("I do not like tea, not coffee", "addition", "", ""),
    ("Nothing beats a swim in the sea.", "addition", "", ""),
    ("thanks!", "irrelevant", "", ""),
    ("Ok, great, thank you", "irrelevant", "", ""),
    ("Who told you that?", "irrelevant", "", ""),
    ("no", "irrelevant", "", ""),
    ("That's wrong.", "irrelevant", "", ""),
]


@pytest.mark.parametrize(("text", "kind", "original", "target"), TABLE)
def test_kinds_of_feedback(text: str, kind: str, original: str, target: str) -> None:
    found = classify(text)
    assert (found.kind, found.original, found.target) == (kind, original, target)
    assert bool(found.statement) == (not original and kind in ("correction", "addition"))


@given(st.text(min_size=1))
def test_any_text_is_of_some_kind(text: str) -> None:
    found = classify(text)
    assert found == classify(text)
    assert not (found.original and found.statement)


def test_an_id_that_is_mistyped_stands_for_the_one_it_is_most_like(memory: Memory) -> None:
    one, two = (memory.add(text, ANN).ids[0] for text in ("one", "two"))
    assert named_ids([one[:-1] + "x", "nonsense", two], [one, two]) == [one, two]


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory(tmp_path / "vault", embedder=FakeEmbedder(64), clock=FakeClock(), new_id=seeded_ids(1)) as memory:
        yield memory


def texts(memory: Memory) -> list[str]:
    return [cube.text for cube in memory.list(ANN)]


def test_replacing_changes_every_memory_that_has_the_words_and_keeps_the_old_ones(memory: Memory) -> None:
    ids = [memory.add(text, ANN).ids[0] for text in ("Bob likes tea.", "I met bob's cat.", "Bobby is tall.")]
    at = datetime(2024, 5, 1, tzinfo=UTC)
    assert memory.correct("replace Bob with Robert", ANN, at=at).outcomes == ("updated", "updated")
    assert texts(memory) == ["Robert likes tea.", "I met Robert's cat.", "Bobby is tall."]
    assert [version.text for version in memory.history(ids[0], ANN)] == ["Bob likes tea.", "Robert likes tea."]
    note = memory.get(ids[0], ANN).annotations.data["feedback"]
    assert dict(note) == {"update_type": "feedback", "kind": "replace", "at": "2024-05-01T00:00:00Z"}


def test_this_not_that_changes_the_one_memory_that_comes_nearest(memory: Memory) -> None:
    memory.add("The meeting is in Rome.", ANN)
    memory.add("Rome was founded long ago.", ANN)
    assert memory.correct("no, it's Oslo, not Rome", ANN).count("updated") == 1
    assert sum("Oslo" in text for text in texts(memory)) == 1


def test_a_corrected_statement_replaces_what_is_named_or_very_like_it(memory: Memory) -> None:
    cube_id = memory.add("The rent is 800 euros.", ANN).ids[0]
    memory.correct("Actually, the rent is 900 euros.", ANN)
    assert texts(memory) == ["The rent is 900 euros."]
    memory.correct("No, I pay nothing at all.", ANN, ids=[cube_id])
    assert texts(memory) == ["I pay nothing at all."]
    assert len(memory.history(cube_id, ANN)) == 3


def test_what_only_adds_or_is_like_nothing_becomes_a_memory(memory: Memory) -> None:
    memory.add("The rent is 800 euros.", ANN)
    assert memory.correct("I play the cello.", ANN).outcomes == ("added",)
    assert memory.correct("No, my aunt lives far away.", ANN).outcomes == ("added",)
    assert len(texts(memory)) == 3


def test_thanks_and_a_correction_of_nothing_change_nothing(memory: Memory) -> None:
    memory.add("The rent is 800 euros.", ANN)
    before = memory.vault.store.sequence()
    for text in ("thanks!", "What is the rent?", "replace Bob with Robert"):
        assert memory.correct(text, ANN).ids == ()
    assert memory.vault.store.sequence() == before
    with pytest.raises(InvalidInput, match="empty"):
        memory.correct("  ", ANN)


def test_what_is_frozen_is_not_corrected(memory: Memory) -> None:
    cube_id = memory.add("Bob likes tea.", ANN).ids[0]
    memory.freeze(cube_id, ANN)
    assert memory.correct("replace Bob with Robert", ANN).ids == ()


def test_a_long_text_is_not_overwritten_by_a_short_one(memory: Memory) -> None:
    long = " ".join(f"word{n}" for n in range(300))
    cube_id = memory.add(long, ANN).ids[0]
    assert memory.correct("No, it was all different.", ANN, ids=[cube_id]).outcomes == ("added",)
    assert memory.get(cube_id, ANN).text == long
    memory.correct("replace word7 with seven", ANN, ids=[cube_id])
    assert "seven" in memory.get(cube_id, ANN).text


def test_nothing_is_corrected_without_candidates() -> None:
    assert corrections(classify("No, I live in Oslo."), [], given=False) == []
    cube = MemCube("01890a5d-ac96-774b-bcce-b302099a8057", "I live in Rome.", ANN)  # type: ignore[arg-type]
    assert corrections(classify("I live in Oslo."), [(cube, 0.99)], given=False) == [], "it only adds"
    assert corrections(classify("No, I live in Oslo."), [(cube, 0.3)], given=False) == []
    assert corrections(classify("No, I live in Oslo."), [(cube, 0.3)], given=True) == [
        Correction(cube, "I live in Oslo.")
    ]
