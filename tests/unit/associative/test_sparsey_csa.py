"""The code selection algorithm, step by step, against values worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anamnos.associative.sparsey.csa import (
    CAPACITY,
    EDGES,
    SIMILARITY,
    CsaParameters,
    activates,
    best,
    choose,
    correction,
    draw,
    expansivity,
    familiarity,
    hypotheses,
    local_support,
    normalised,
    probabilities,
    psi_table,
    raw_sums,
    win_weights,
)
from anamnos.errors import InvalidInput

PRESETS = [SIMILARITY, CAPACITY, EDGES]


def test_a_mac_runs_within_its_bounds() -> None:
    assert activates([1, 2, 5, 6], 2, 5).tolist() == [False, True, True, False]


def test_sums_are_normalised_by_what_is_on() -> None:
    weights = np.zeros((3, 1, 2), dtype=np.uint8)
    weights[0, 0, 0] = weights[1, 0, 0] = weights[1, 0, 1] = 1
    sums = raw_sums([1, 1, 0], weights)
    assert sums.tolist() == [[2, 1]]
    assert normalised(sums, 2).tolist() == [[1, 0.5]]
    assert raw_sums([1, 1, 0], weights, correction=2.0).tolist() == [[4, 2]]
    assert normalised(np.array([[16.0, 4.0]]), 2, modules=8).tolist() == [[1, 0.25]]
    assert raw_sums(np.ones((5, 3)), weights).shape == (5, 1, 2)


def test_support_is_the_product_of_what_speaks() -> None:
    u, h = np.array([[0.5, 1.0]]), np.array([[1.0, 0.25]])
    assert local_support((u, 1), (h, 1)).tolist() == [[0.5, 0.25]]
    assert local_support((u, 1), (h, 0.5)).tolist() == [[0.5, 0.5]]
    with pytest.raises(InvalidInput, match="source"):
        local_support()


def test_hypotheses_and_their_correction() -> None:
    v = np.array([[1.0, 0.96, 0.2], [1.0, 0.99, 0.0]])
    assert hypotheses(v) == 2
    assert correction([0, 1, 2, 6, 7]).tolist() == [0, 1, 2, 6, 0]
    assert correction(4, exponent=0.5) == 2


def test_familiarity_is_the_mean_of_the_best() -> None:
    assert familiarity(np.array([[0.1, 0.5], [1.0, 0.2]])) == 0.75


def test_noise_goes_as_familiarity_comes() -> None:
    assert expansivity([0.0, 0.4, 1.0], 8, CAPACITY).tolist() == [1, 1, 81]
    v = np.array([[1.0, 0.0]])
    high, low = win_weights(v, 1.0, 2, CAPACITY)[0]
    assert high == pytest.approx(1 + 20 / (1 + math.exp(-28 * 0.15)))
    assert low == pytest.approx(1, abs=1e-6)
    assert win_weights(v, 0.2, 2, CAPACITY).tolist() == [[1, 1]]


@pytest.mark.parametrize("parameters", PRESETS)
def test_the_table_holds_the_win_weights(parameters: CsaParameters) -> None:
    g = np.array([0.3, 0.9])
    v = np.broadcast_to(np.minimum(np.arange(21) / 20, 1.0), (2, 1, 21))
    assert np.allclose(psi_table(20, g, 16, parameters), win_weights(v, g, 16, parameters)[:, 0])
    assert psi_table(20, g, 16, parameters, count=np.array([5, 20])).shape == (2, 21)


def test_probabilities_sum_to_one() -> None:
    assert probabilities(np.array([[1.0, 3.0], [0.0, 0.0]])).tolist() == [[0.25, 0.75], [0, 0]]


@given(st.integers(0, 2**32 - 1), st.sampled_from(PRESETS))
def test_winners_are_units_and_the_known_win(seed: int, parameters: CsaParameters) -> None:
    rng = np.random.default_rng(seed)
    v = rng.random((3, 4, 8))
    winners = choose(v, parameters, rng)
    assert winners.shape == (3, 4)
    assert ((winners >= 0) & (winners < 8)).all()
    assert np.array_equal(best(v), v.argmax(axis=-1))
    assert np.array_equal(best(v, rng), v.argmax(axis=-1))


def test_only_plastic_units_are_recruited() -> None:
    rng = np.random.default_rng(0)
    v = rng.random((200, 2, 8))
    plastic = np.zeros(v.shape, dtype=np.bool_)
    plastic[:, 0, 3:5] = True
    winners = choose(v, CAPACITY, rng, plastic)
    assert set(winners[:, 0].tolist()) == {3, 4}
    assert np.array_equal(winners[:, 1], v[:, 1].argmax(axis=-1))  # none is plastic: the best stands for it


def test_units_are_drawn_by_their_weight_and_equals_at_random() -> None:
    rng = np.random.default_rng(1)
    weights = np.broadcast_to(np.array([1.0, 0.0, 3.0]), (4_000, 3))
    shares = np.bincount(draw(weights, rng.random(4_000)), minlength=3) / 4_000
    assert shares[1] == 0
    assert shares[2] == pytest.approx(0.75, abs=0.03)
    equal = best(np.broadcast_to(np.array([0.5, 1.0, 1.0]), (4_000, 1, 3)), rng)
    assert np.bincount(equal[:, 0], minlength=3)[1:] / 4_000 == pytest.approx([0.5, 0.5], abs=0.03)


@pytest.mark.parametrize("wrong", [{"g_minus": 1.0}, {"chi": -1.0}, {"gamma": 0.0}, {"sigma2": math.nan}])
def test_parameters_that_cannot_be(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidInput):
        CsaParameters(**wrong)
