"""Working memory: when a cue replaces it, by what, and that the same cues always come to the same."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anamnos import Memory, Scope, where
from anamnos.cube import CubeId
from anamnos.errors import Busy, InvalidInput
from anamnos.store.working import Kept
from anamnos.system.working import RULES, WorkingRules, importance, missing, noticed, replaced
from anamnos.testing import FakeClock, FakeEmbedder, seeded_ids

ANN, MONDAY = Scope(user="ann"), Scope(user="ann", session="monday")


def terms(*words: int) -> Any:
    return np.array(words, dtype=np.uint32)


def ids(*names: str) -> list[CubeId]:
    return [CubeId(name) for name in names]


# --- the policy


def test_importance_is_the_sources_formula() -> None:
    assert importance(Kept(CubeId("a"), 0.5, 20, 10)) == pytest.approx(0.9 * 0.5 + 0.05 * 1.0 + 0.05 * 0.5)
    most = importance(Kept(CubeId("a"), 1.0, 1_000, 1_000))
    assert most == pytest.approx(0.9 + 0.05 * 5 + 0.05 * 2), "hits count up to 5, recordings up to 2"


@pytest.mark.parametrize("wrong", [{"weights": (0.9, 0.1, 0.1)}, {"weights": (1.2, -0.1, -0.1)}, {"capacity": 0}])
def test_rules_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        WorkingRules(**wrong)


@pytest.mark.parametrize(
    ("entities", "cosines", "covered"),
    [
        ([], [0.2, 0.55], True),
        ([], [0.2, 0.54], False),
        ([], [], False),
        (["Oslo"], [0.9], True),
        (["oslo"], [0.9], True),
        (["Oslo", "Rome"], [0.9], False),
    ],
)
def test_a_cue_is_covered_if_it_is_near_and_names_nobody_new(
    entities: list[str], cosines: list[float], covered: bool
) -> None:
    wanted = missing("Where is it?", entities, cosines, ["Ann moved to Oslo."])
    assert wanted == (() if covered else ("Where is it?",))


def test_what_is_missing_is_the_cue_and_its_clauses() -> None:
    cue = "Where did Ann live, and what did she say about the trams? Well, yes"
    assert missing(cue, [], [], []) == (cue, "Where did Ann live", "what did she say about the trams")


def test_what_is_found_takes_the_places_and_the_best_two_of_the_rest_stay() -> None:
    old = [Kept(CubeId(name), score, hits) for name, score, hits in [("a", 0.9, 0), ("b", 0.5, 2), ("c", 0.7, 0)]]
    old.append(Kept(CubeId("d"), 0.2, 7, 1))
    known = {CubeId(name): terms(number) for number, name in enumerate("abcdef", start=20)}
    new = replaced(old, [ids("d", "e"), ids("f", "e", "gone")], known)
    assert new == (
        Kept(CubeId("d"), 1.0, 7, 2),
        Kept(CubeId("f"), 1.0),
        Kept(CubeId("e"), 1 - 1 / 3),  # second of three; first of two would be 1/2
        Kept(CubeId("a"), 0.0),
        Kept(CubeId("c"), 0.0),
    )


def test_of_near_duplicates_the_first_is_kept() -> None:
    known = {
        CubeId("a"): terms(20, 21, 22, 23),
        CubeId("b"): terms(20, 21, 22, 23),
        CubeId("c"): terms(20, 21, 22, 99),
        CubeId("d"): terms(50, 51),
    }
    assert [item.id for item in replaced([], [ids("a", "b", "c", "d")], known)] == ids("a", "c", "d")
    strict = WorkingRules(near=0.5)
    assert [item.id for item in replaced([], [ids("a", "b", "c", "d")], known, strict)] == ids("a", "d")


def test_a_cue_that_is_covered_is_noted_by_those_that_share_its_words() -> None:
    items = [Kept(CubeId("a"), 1.0, 1), Kept(CubeId("b"))]
    known = {CubeId("a"): terms(20, 21), CubeId("b"): terms(30)}
    assert noticed(items, terms(21, 40), known) == (Kept(CubeId("a"), 1.0, 2), Kept(CubeId("b")))


@given(
    st.lists(st.sampled_from("abcdefghij"), unique=True, max_size=8),
    st.lists(st.lists(st.sampled_from("abcdefghijklmnop"), unique=True, max_size=30), max_size=4),
    st.integers(1, 6),
)
def test_it_never_outgrows_its_capacity_or_doubles(before: list[str], runs: list[list[str]], capacity: int) -> None:
    rules = WorkingRules(capacity=capacity)
    known = {CubeId(name): terms(ord(name)) for name in "abcdefghijklmno"}  # of p nothing is known
    new = replaced([Kept(CubeId(n), 0.5) for n in before], [ids(*run) for run in runs], known, rules)
    assert len(new) <= capacity
    assert len({item.id for item in new}) == len(new)
    assert {item.id for item in new} <= set(ids(*before, *(n for run in runs for n in run))) - {"p"}
    assert [importance(i) for i in new] == sorted((importance(i) for i in new), reverse=True)
    kept = [item for item in new if not any(item.id in run for run in runs)]
    assert len(kept) <= RULES.kept
    assert all(item.sorting == 0 for item in kept)


# --- in a memory

PLACES = ["Oslo", "Lisbon", "Cairo", "Quito", "Hanoi", "Accra"]
THINGS = ["trams", "bread", "rain", "music", "chess", "tea", "boats"]


def opened(folder: Path, **settings: Any) -> Memory:
    settings = {"working": "on", **settings}
    return Memory(folder, embedder=FakeEmbedder(64), clock=FakeClock(), new_id=seeded_ids(1), **settings)


def filled(memory: Memory) -> Memory:
    for place in PLACES:
        for thing in THINGS:
            memory.add(f"In {place} I liked the {thing}.", ANN)
    return memory


def test_searches_fill_it_and_a_cue_that_it_covers_leaves_it(tmp_path: Path) -> None:
    with filled(opened(tmp_path)) as memory:
        assert memory.working(ANN) == []
        memory.search("What did I like in Oslo?", ANN, top_k=3)
        first = memory.working(ANN)
        assert 0 < len(first) <= 20
        assert {cube.text for cube in first} >= {f"In Oslo I liked the {thing}." for thing in THINGS}
        memory.search("In Oslo I liked the trams.", ANN)
        assert {cube.id for cube in memory.working(ANN)} == {cube.id for cube in first}
        memory.search("What was it like in Cairo?", ANN)
        texts = [cube.text for cube in memory.working(ANN)]
        assert sum("Cairo" in text for text in texts) >= 5, "Cairo was named by none"


def test_it_belongs_to_one_scope(tmp_path: Path) -> None:
    with filled(opened(tmp_path)) as memory:
        memory.search("What did I like in Oslo?", ANN)
        assert memory.working(MONDAY) == memory.working(Scope(user="bob")) == []
        with pytest.raises(InvalidInput):
            memory.working("ann")  # type: ignore[arg-type]


def test_without_the_setting_and_for_the_past_nothing_is_kept(tmp_path: Path) -> None:
    with filled(opened(tmp_path, working="off")) as memory:
        memory.search("What did I like in Oslo?", ANN)
        assert memory.working(ANN) == []
    with opened(tmp_path) as memory:
        memory.search("What did I like in Oslo?", ANN, as_of=FakeClock()())
        assert memory.working(ANN) == []


def test_what_a_filter_keeps_out_does_not_come_in(tmp_path: Path) -> None:
    with filled(opened(tmp_path)) as memory:
        memory.search("What did I like, in Oslo or in Cairo?", ANN, top_k=1, filter=where(contains="tea"))
        assert [cube.text for cube in memory.working(ANN) if "tea" not in cube.text] == []


def test_it_outlives_the_process_as_ids(tmp_path: Path) -> None:
    with filled(opened(tmp_path)) as memory:
        memory.search("What did I like in Oslo?", ANN)
        before = memory.working(ANN)
    with opened(tmp_path) as memory:
        assert memory.working(ANN) == before
        assert memory.verify() == []


def test_what_was_erased_or_archived_leaves_it_at_once(tmp_path: Path) -> None:
    with filled(opened(tmp_path)) as memory:
        memory.search("What did I like in Oslo?", ANN)
        one, two, *rest = [cube.id for cube in memory.working(ANN)]
        memory.delete(one, ANN)
        memory.archive(two, ANN)
        assert [cube.id for cube in memory.working(ANN)] == rest
        memory.search("In Oslo I liked the trams.", ANN)
        assert not {one, two} & {cube.id for cube in memory.working(ANN)}
    with opened(tmp_path) as memory:
        assert [cube.id for cube in memory.working(ANN)] != []
        assert not {one, two} & {kept.id for kept in memory.vault.store.working.load(ANN)} - {two}


def test_a_search_does_not_fail_because_working_memory_cannot_be_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("anamnos.system.working._IN_RAM", 1)
    with filled(opened(tmp_path)) as memory:

        def busy(scope: Scope, items: Any) -> None:
            raise Busy("Somebody else writes.")

        monkeypatch.setattr(memory.vault.store.working, "save", busy)
        for _ in range(3):
            for scope in (ANN, MONDAY):
                memory.search("What did I like in Oslo?", scope)
        assert memory.working(MONDAY) == [], "it was pushed out before it was saved"
    assert "working memory was not saved" in caplog.text


def replay(folder: Path, seed: int) -> list[list[str]]:
    """Play a log of 60 searches and deletions; return working memory, by text, after each."""
    rng, seen = random.Random(seed), []
    with filled(opened(folder)) as memory:
        for _ in range(60):
            cue = (
                f"What {rng.choice(THINGS)} was there in {rng.choice(PLACES)}, and did I like the {rng.choice(THINGS)}?"
            )
            scope = rng.choice([ANN, MONDAY])
            memory.search(cue, scope, top_k=rng.choice([1, 5, 20]))
            if rng.random() < 0.1 and (there := memory.working(ANN)):
                memory.delete(rng.choice(there).id, ANN)
            seen.append([cube.text for cube in memory.working(ANN)])
    return seen


def test_the_same_log_twice_is_the_same_working_memory(tmp_path: Path) -> None:
    """Check (7) of the specification, section 1.9."""
    first = replay(tmp_path / "first", 1)
    assert first == replay(tmp_path / "second", 1)
    assert any(len(step) > 5 for step in first)
    assert first != replay(tmp_path / "other", 2)
