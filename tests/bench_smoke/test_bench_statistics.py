"""Intervals and tests of differences against numbers worked out by hand."""

import math

import numpy as np
import pytest

from anamnos.bench.statistics import bootstrap_interval, holm, mcnemar_exact, paired_difference, wilson
from anamnos.errors import InvalidInput


def test_two_clusters_of_one_query_each_are_drawn_together_or_twice() -> None:
    """The mean of a resample is 0, 1/2 or 1, each with a share well above 2.5 %."""
    assert bootstrap_interval([[0.0], [1.0]], ["a", "b"]).tolist() == [[0.0, 1.0]]


def test_equal_values_have_no_width() -> None:
    assert bootstrap_interval([[0.5, 1.0]] * 4, list("aabb")).tolist() == [[0.5, 0.5], [1.0, 1.0]]


def test_the_interval_of_independent_queries_is_about_two_standard_errors_wide() -> None:
    values = np.array([[0.0], [1.0]] * 200)
    low, high = bootstrap_interval(values, [str(n) for n in range(400)])[0]
    error = 0.5 / math.sqrt(400)
    assert low == pytest.approx(0.5 - 1.96 * error, abs=0.004)
    assert high == pytest.approx(0.5 + 1.96 * error, abs=0.004)


def test_queries_of_a_cluster_count_as_one() -> None:
    """Ten clusters of 40 equal queries are no surer than ten queries; taken as 400 they would be."""
    right = [float(n < 5) for n in range(10)]
    ten = bootstrap_interval([[value] for value in right], [str(n) for n in range(10)])[0]
    rows = [[value] for value in right for _ in range(40)]
    clustered = bootstrap_interval(rows, [str(n // 40) for n in range(400)])[0]
    single = bootstrap_interval(rows, [str(n) for n in range(400)])[0]
    assert clustered.tolist() == ten.tolist()
    assert single[1] - single[0] < (clustered[1] - clustered[0]) / 4


def test_clusters_weigh_by_their_queries() -> None:
    """Drawn twice, drawn once each: means 0, 3/4 and 1, not 1/2."""
    draws = bootstrap_interval([[0.0], [1.0], [1.0], [1.0]], ["a", "b", "b", "b"])
    assert draws.tolist() == [[0.0, 1.0]]
    gain = paired_difference([0, 0, 0, 0], [0, 1, 1, 1], ["a", "b", "b", "b"])
    assert gain.mean == 0.75


def test_one_cluster_has_no_interval() -> None:
    assert np.isnan(bootstrap_interval([[0.0], [1.0]], ["a", "a"])).all()
    gain = paired_difference([0, 0], [1, 0], ["a", "a"])
    assert (gain.mean, gain.p) == (0.5, 1.0)
    assert math.isnan(gain.low)


def test_a_difference_in_pairs_is_surer_than_its_sides() -> None:
    rng = np.random.default_rng(0)
    first = rng.random(100)
    gain = paired_difference(first, first + 0.01, [str(n) for n in range(100)])
    assert gain.mean == pytest.approx(0.01)
    assert (gain.low, gain.high) == (pytest.approx(0.01), pytest.approx(0.01))
    assert gain.p == 1e-4
    same = paired_difference(first, first, [str(n) for n in range(100)])
    assert (same.mean, same.low, same.high, same.p) == (0, 0, 0, 1)


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [(0, 0, 1.0), (5, 5, 1.0), (1, 9, 22 / 1024), (9, 1, 22 / 1024), (0, 6, 2 / 64), (0, 2_000, 0.0)],
)
def test_mcnemar_is_the_exact_binomial(first: int, second: int, p: float) -> None:
    assert mcnemar_exact(first, second) == pytest.approx(p)


def test_holm_corrects_step_by_step_and_keeps_the_order() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_wilson() -> None:
    assert wilson(8, 10) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))
    assert wilson(0, 10)[0] == pytest.approx(0.0)
    assert wilson(10, 10)[1] == pytest.approx(1.0)
    with pytest.raises(InvalidInput, match="no trials"):
        wilson(0, 0)


@pytest.mark.parametrize("values", [[], [[np.nan]], [0.5], [[0.1], [0.2]]])
def test_bad_values_are_refused(values: list[object]) -> None:
    with pytest.raises(InvalidInput):
        bootstrap_interval(values, ["a"])
