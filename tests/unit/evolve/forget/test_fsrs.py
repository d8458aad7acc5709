"""FSRS-4.5: its identities, and what it is good for."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anamnos.errors import InvalidInput
from anamnos.evolve.forget.base import Grade
from anamnos.evolve.forget.fsrs import WEIGHTS, Fsrs, Trace, interval_days, retrievability

from .made import cube, day

traces = st.builds(Trace, st.floats(0.01, 36_500), st.floats(1, 10))
days = st.floats(0, 10_000)


@pytest.mark.parametrize("stability", [0.5, 3.7145, 400.0])
def test_nine_tenths_are_left_after_one_stability(stability: float) -> None:
    assert math.isclose(retrievability(stability, stability), 0.9)
    assert math.isclose(interval_days(stability, 0.9), stability)


@given(stability=st.floats(0.01, 36_500), retention=st.floats(0.05, 1))
def test_the_interval_is_the_inverse_of_the_curve(stability: float, retention: float) -> None:
    assert math.isclose(retrievability(interval_days(stability, retention), stability), retention, rel_tol=1e-9)


@pytest.mark.parametrize("retention", [0.0, -1.0, 1.1, math.nan])
def test_an_impossible_retention_is_refused(retention: float) -> None:
    with pytest.raises(InvalidInput, match="retention"):
        interval_days(1.0, retention)


def test_a_time_before_the_last_use_is_refused() -> None:
    with pytest.raises(InvalidInput, match="elapsed_days"):
        Trace.first().after(-1.0, Grade.USED)


def test_something_new_by_hand() -> None:
    assert [Trace.first(grade).stability for grade in Grade] == list(WEIGHTS[:4])
    assert [round(Trace.first(grade).difficulty, 4) for grade in Grade] == [7.6214, 6.3916, 5.1618, 3.932]


def test_one_use_by_hand() -> None:
    after = Trace(3.7145, 5.1618).after(3.7145, Grade.USED)
    gain = math.exp(1.6474) * (11 - 5.1618) * 3.7145**-0.1367 * (math.exp(1.0461 * 0.1) - 1)
    assert math.isclose(after.stability, 3.7145 * (1 + gain))
    assert math.isclose(after.difficulty, 5.1618)


@given(trace=traces, elapsed=days, grade=st.sampled_from(Grade))
def test_difficulty_stays_within_1_and_10_and_stability_above_0(trace: Trace, elapsed: float, grade: Grade) -> None:
    after = trace.after(elapsed, grade)
    assert 1 <= after.difficulty <= 10 and 0 < after.stability <= 36_500


@given(trace=traces, elapsed=days)
def test_a_lapse_never_makes_it_last_longer_and_a_success_never_shorter(trace: Trace, elapsed: float) -> None:
    assert trace.after(elapsed, Grade.CONTRADICTED).stability <= trace.stability
    for grade in (Grade.UNUSED, Grade.USED, Grade.CONFIRMED):
        assert trace.after(elapsed, grade).stability >= trace.stability * (1 - 1e-12)


@given(trace=st.builds(Trace, st.floats(0.5, 300), st.floats(1, 9.9)), elapsed=st.floats(0.1, 900))
def test_the_less_was_left_the_more_it_gains(trace: Trace, elapsed: float) -> None:
    early, late = (trace.after(when, Grade.USED).stability for when in (elapsed, 2 * elapsed))
    assert late > early


@given(trace=traces, elapsed=days)
def test_better_grades_give_more(trace: Trace, elapsed: float) -> None:
    by_grade = [trace.after(elapsed, grade).stability for grade in (Grade.UNUSED, Grade.USED, Grade.CONFIRMED)]
    assert by_grade == sorted(by_grade)


def test_the_rule_keeps_the_difficulty_in_its_own_corner() -> None:
    rule, new = Fsrs(), cube()
    assert math.isclose(rule.retention(new, day(3.7145)), 0.9)  # a new one, although its stability field says 1
    after = rule.reviewed(new, day(3.7145), Grade.CONTRADICTED)
    expected = Trace.first().after(3.7145, Grade.CONTRADICTED)
    assert math.isclose(after.lifecycle.stability, expected.stability)
    assert math.isclose(after.annotations.data["fsrs"]["difficulty"], expected.difficulty)
    again = rule.reviewed(after, day(3.7145), Grade.USED)
    assert again.annotations.data["fsrs"]["difficulty"] < after.annotations.data["fsrs"]["difficulty"]


# --- simulated users

Needs = Callable[[np.random.Generator, float], np.ndarray]
END, LATER = 180.0, 240.0  # days


def kept_by(seed: int, needs: Needs, *, items: int = 1_000, keep: int = 100) -> tuple[int, int]:
    """Return how many items needed in the 60 days to come are among those that FSRS and that LRU keep.

    needs  the days on which an item is needed that came up on some day of half a year
    """
    rng = np.random.default_rng(seed)
    worth, recent, needed = [], [], []
    for _ in range(items):
        born = rng.uniform(0, END)
        times = np.sort(needs(rng, born))
        trace, last = Trace.first(), born
        for time in times[times <= END]:
            trace, last = trace.after(time - last, Grade.USED), time
        worth.append(retrievability(END - last, trace.stability))
        recent.append(last)
        needed.append(bool(((times > END) & (times <= LATER)).any()))

    def best(scores: list[float]) -> int:
        return int(np.array(needed)[np.argsort(scores)[::-1][:keep]].sum())

    return best(worth), best(recent)


def passing_or_lasting(rng: np.random.Generator, born: float) -> np.ndarray:
    """Nine of ten: three times within two days, then never. One of ten: again and again, two to six weeks apart."""
    if rng.random() < 0.9:
        return born + rng.uniform(0, 2, size=3)
    return born + np.cumsum(rng.exponential(rng.uniform(14, 42), size=60))


def dying_away(rng: np.random.Generator, born: float) -> np.ndarray:
    """Six times in all on the average, ever more rarely, with a half-life of its own around two weeks."""
    half_life = np.exp(rng.normal(np.log(14), 1.5))
    return born + rng.exponential(half_life / np.log(2), size=rng.poisson(6))


@pytest.mark.parametrize("seed", range(3))
def test_of_what_mostly_passes_fsrs_keeps_more_that_is_needed_later_than_lru(seed: int) -> None:
    by_fsrs, by_lru = kept_by(seed, passing_or_lasting)
    assert by_fsrs >= 1.3 * by_lru


@pytest.mark.parametrize("seed", range(3))
def test_where_interest_just_dies_away_lru_is_the_better_guide(seed: int) -> None:
    """Why FSRS decides what leaves, late, and does not rank."""
    by_fsrs, by_lru = kept_by(seed, dying_away)
    assert by_fsrs < by_lru
