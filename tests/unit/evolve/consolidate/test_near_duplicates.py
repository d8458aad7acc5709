"""What may leave the search as a repetition, and what only looks like one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anamnos.cube import Annotations, Link, LinkKind, MemCube, Policy, Role, Scope, State, Times
from anamnos.evolve.consolidate.near_duplicates import (
    after_a_question,
    covered,
    guard,
    near_pairs,
    repeats,
    same_words,
    signature,
)
from anamnos.index.terms import TermReader
from anamnos.store.base import Outline

from .made import said

READER = TermReader()
PILLS = "Please remind me to take the blue pills."


def test_of_the_same_words_the_first_and_the_last_stay() -> None:
    cubes = [said(PILLS, day) for day in (3, 1, 2, 4)]
    found = repeats(cubes)
    assert {(r.id, r.of, r.similarity) for r in found} == {(cubes[n].id, cubes[1].id, 1.0) for n in (0, 2)}
    assert repeats(cubes[:2]) == []  # that it was said again is knowledge


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Meet me at 7 by the river gate.", "Meet me at 8 by the river gate."),
        ("The rent is due on Monday as always.", "The rent is due on Friday as always."),
        ("I take two sugars in my coffee.", "I take three sugars in my coffee."),
        ("I can eat nuts with my cake.", "I can't eat nuts with my cake."),
        ("I like the new kitchen floor.", "I no longer like the new kitchen floor."),
        ("I hold the old shares of Acme.", "I sold the old shares of Acme."),
        ("You like the new kitchen floor.", "You like the new kitchen floor?"),
    ],
)
def test_other_numbers_dates_or_negations_are_no_repetition(one: str, other: str) -> None:
    assert repeats([said(one, 1), said(other, 2), said(one, 3)]) == []
    same_guard = guard(one) == guard(other)
    assert not same_guard or "?" in other


def test_punctuation_and_case_are_no_difference() -> None:
    assert len(repeats([said(PILLS, 1), said(PILLS.upper().rstrip("."), 2), said(PILLS, 3)])) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"actor": "Bo"},
        {"scope": Scope(user="ann", agent="coach")},
        {"policy": Policy(sensitivity=("health",))},
        {"origin": {"trust": 0.4}},
        {"annotations": Annotations(tags=("doctor",))},
        {"life": {"state": State.FROZEN}},
        {"life": {"importance": 1.0}},
        {"links": (Link(LinkKind.SUPPORTS, said("x").id),)},
        {"role": Role.NOTE},
    ],
)
def test_what_differs_in_more_than_words_stays(changes: dict[str, object]) -> None:
    assert repeats([said(PILLS, 1), said(PILLS, 2, **changes), said(PILLS, 3)]) == []


def test_what_ceases_to_be_true_stays() -> None:
    middle = said(PILLS, 2)
    middle = replace(middle, time=Times(created_at=middle.time.created_at, valid_to=middle.time.created_at))
    assert repeats([said(PILLS, 1), middle, said(PILLS, 3)]) == []


# --- candidates by terms


def outline(cubes: list[MemCube]) -> Outline:
    scopes = {scope: number for number, scope in enumerate(dict.fromkeys(cube.scope for cube in cubes))}
    return Outline(
        rows=np.arange(1, len(cubes) + 1),
        order=np.array([[n, 0] for n in range(len(cubes))], dtype=np.uint64).reshape(-1, 2),
        created=np.array([round(c.time.created_at.timestamp() * 1e6) if c.time.created_at else 0 for c in cubes]),
        scopes=np.array([scopes[cube.scope] for cube in cubes]),
        names={number: scope for scope, number in scopes.items()},
        actors=[cube.provenance.actor for cube in cubes],
        terms=[READER.terms(cube.text).astype("<u4").tobytes() for cube in cubes],
    )


def test_candidates_have_the_same_terms_three_times_and_enough_of_them() -> None:
    texts = [PILLS, "Good morning dear.", PILLS, "Good morning dear.", PILLS, "Good morning dear.", "Something else."]
    cubes = [said(text, day) for day, text in enumerate(texts)]
    assert [rows.tolist() for rows in same_words(outline(cubes))] == [[1, 3, 5]]
    assert list(same_words(outline(cubes), np.array([2, 4]))) == []  # none of them is new
    assert [rows.tolist() for rows in same_words(outline(cubes), np.array([5]))] == [[1, 3, 5]]


def test_what_answers_a_question_is_no_candidate() -> None:
    """ "I take the blue pills after breakfast": what it says depends on what was asked."""
    monday = Scope(user="ann", session="monday")
    talk = [said("Which ones do you take now?", 1, scope=monday), said(PILLS, 1.1, scope=monday)]
    others = [said(PILLS, day, scope=Scope(user="ann", session=f"s{day}")) for day in (2, 3)]
    view = outline(talk + others)
    assert after_a_question(view).tolist() == [False, True, False, False]
    assert list(same_words(view)) == []
    assert [rows.tolist() for rows in same_words(view, answers=True)] == [[2, 3, 4]]


def test_nothing_is_no_candidate() -> None:
    assert list(same_words(outline([]))) == []


# --- near pairs


@given(seed=st.integers(0, 10_000), count=st.integers(0, 40), share=st.floats(0, 1))
def test_near_pairs_are_those_of_the_whole_product(seed: int, count: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((count, 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    signatures = rng.integers(0, 3, size=count).astype(np.uint64)
    fresh = rng.random(count) < share
    found = list(near_pairs(signatures, fresh, lambda places: vectors[places], threshold=0.8))
    cosines = vectors @ vectors.T
    expected = {
        (i, j)
        for i in range(count)
        for j in range(i + 1, count)
        if signatures[i] == signatures[j] and (fresh[i] or fresh[j]) and cosines[i, j] >= 0.8
    }
    assert {(i, j) for i, j, _ in found} == expected
    assert len(found) == len(expected)


def test_near_pairs_of_more_than_a_block_touch_few_vectors_at_a_time() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((5_000, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[4_999] = vectors[0]
    largest = 0

    def gather(places: np.ndarray) -> np.ndarray:
        nonlocal largest
        largest = max(largest, len(places))
        return vectors[places]

    found = list(near_pairs(np.zeros(5_000, dtype=np.uint64), np.ones(5_000, dtype=bool), gather, threshold=0.9999))
    assert (0, 4_999) in {(i, j) for i, j, _ in found}
    assert largest <= 2_048


def cover(cubes: list[MemCube]) -> list[tuple[int, int]]:
    pairs = [(i, j, 0.95) for i in range(len(cubes)) for j in range(i + 1, len(cubes))]
    place = {cube.id: number for number, cube in enumerate(cubes)}
    return [(place[r.id], place[r.of]) for r in covered(cubes, pairs, READER.words)]


def test_of_near_ones_goes_what_says_no_word_of_its_own() -> None:
    longer = "Ann likes green tea with mint in the garden."
    assert cover([said(longer, 1), said("Ann likes green tea with mint.", 2), said(longer, 3)]) == [(1, 0)]
    assert cover([said("Ann likes green tea.", 1), said(longer, 2), said("Ann likes green tea.", 3)]) == []
    assert cover([said(longer, 1), said("Ann likes green tea.", 2)]) == []  # nobody says it later
    assert cover([said(longer, 1), said("Ann hates green tea.", 2), said(longer, 3)]) == []


def test_what_covers_is_never_lost_itself() -> None:
    """Whatever goes, all its words are in something that stays."""
    texts = ["a tea garden mint", "a tea garden", "a tea garden", "a tea", "a tea garden mint"]
    cubes = [said(text, day) for day, text in enumerate(texts)]
    gone = {place for place, _ in cover(cubes)}
    stay = [set(READER.words(texts[n])) for n in range(len(texts)) if n not in gone]
    assert gone == {1, 2, 3}
    assert all(any(set(READER.words(texts[n])) <= words for words in stay) for n in gone)


def test_signatures_tell_owners_apart() -> None:
    assert signature(said(PILLS)) == signature(said(PILLS, 5, scope=Scope(user="ann", session="x")))
    assert signature(said(PILLS)) != signature(said(PILLS, scope=Scope(user="bo")))
