"""Fewer bits a number, and the distance that knows it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anamnos.errors import InvalidInput
from anamnos.evolve.forget.precision import BITS, first_variance, fisher_rao, frqad, inflated, quantised


def unit(rng: np.random.Generator, count: int, dim: int = 64) -> np.ndarray:
    rows = rng.standard_normal((count, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


# --- the quantiser


@pytest.mark.parametrize("bits", BITS)
@given(seed=st.integers(0, 1_000))
@settings(max_examples=20)
def test_each_number_is_off_by_half_a_step_at_most(bits: int, seed: int) -> None:
    vectors = unit(np.random.default_rng(seed), 5)
    found = quantised(vectors, bits)
    step = found.scale if bits < 32 else 0.0
    assert (np.abs(found.vectors() - vectors) <= step / 2 + 1e-6).all()
    assert np.array_equal(quantised(found.vectors(), bits).codes, found.codes)  # once more changes nothing


def test_codes_by_hand() -> None:
    found = quantised(np.array([[0.7, -0.35, 0.1, 0.0]], dtype=np.float32), 4)
    assert found.codes.tolist() == [[7, -4, 1, 0]]  # -3.5 goes to the even one
    assert np.allclose(found.vectors(), [[0.7, -0.4, 0.1, 0.0]])
    assert quantised(np.zeros((1, 3), dtype=np.float32), 2).vectors().tolist() == [[0, 0, 0]]


@pytest.mark.parametrize("bits", [0, 1, 16, 64, -8])
def test_other_bits_are_refused(bits: int) -> None:
    with pytest.raises(InvalidInput, match="bits"):
        quantised(np.zeros((1, 3), dtype=np.float32), bits)
    with pytest.raises(InvalidInput, match="bits"):
        inflated(np.ones(3), bits)


@pytest.mark.parametrize("vectors", [np.array([[np.nan]]), np.array([[np.inf]]), np.zeros(3)])
def test_what_are_no_vectors_is_refused(vectors: np.ndarray) -> None:
    with pytest.raises(InvalidInput, match="finite"):
        quantised(vectors, 8)


# --- the distance


def test_fisher_rao_is_a_metric() -> None:
    rng = np.random.default_rng(1)
    means = rng.standard_normal((3, 1_000, 16))
    variances = rng.uniform(0.05, 2, size=(3, 1_000, 16))
    pair = lambda i, j: fisher_rao(means[i], variances[i], means[j], variances[j])  # noqa: E731
    ab, bc, ac = pair(0, 1), pair(1, 2), pair(0, 2)
    assert np.allclose(ab, pair(1, 0), atol=1e-9)
    assert np.array_equal(pair(0, 0), np.zeros(1_000))
    assert (ab > 0).all()
    assert (ac <= ab + bc + 1e-9).all()


def test_fisher_rao_by_hand() -> None:
    # equal means, one dimension: sqrt(2) |ln(s / s')|
    assert np.isclose(fisher_rao([0.0], [1.0], [0.0], [4.0]), np.sqrt(2) * np.log(2))
    # equal deviations 1, means 2 apart: sqrt(2) arccosh(1 + 4 / 4)
    assert np.isclose(fisher_rao([0.0], [1.0], [2.0], [1.0]), np.sqrt(2) * np.arccosh(2))
    near = fisher_rao([0.0], [1.0], [1e-6], [1.0])  # where arccosh would lose all digits
    assert np.isclose(near, 1e-6, rtol=1e-6)


@pytest.mark.parametrize("variance", [0.0, -1.0, np.nan])
def test_a_variance_that_is_none_is_refused(variance: float) -> None:
    with pytest.raises(InvalidInput):
        fisher_rao([0.0], [variance], [0.0], [1.0])


def test_at_32_bits_it_is_fisher_rao() -> None:
    a, b = unit(np.random.default_rng(2), 2)
    plain = fisher_rao(a.astype(float), first_variance(a), b.astype(float), first_variance(b))
    assert np.isclose(frqad(a, 32, b, 32), plain, rtol=1e-5)


def test_variances_by_hand() -> None:
    assert np.allclose(first_variance(np.array([1.0, 0.5, 0.0])), [0.05, 1.025, 2.0])
    assert np.allclose(inflated(np.array([0.05, 1.0, 9.0]), 8), [0.1, 2.0, 10.0])


def test_it_always_prefers_the_whole_copy_to_a_rough_one_and_cosine_does_not() -> None:
    rng = np.random.default_rng(3)
    whole = unit(rng, 500)
    rough = quantised(whole, 4).vectors()
    cues = whole + 0.1 * rng.standard_normal(whole.shape).astype(np.float32)
    cues /= np.linalg.norm(cues, axis=1, keepdims=True)
    assert (frqad(cues, 32, whole, 32) < frqad(cues, 32, rough, 4)).all()
    by_cosine = (cues * whole).sum(axis=1) > (cues * rough).sum(axis=1) / np.linalg.norm(rough, axis=1)
    assert 0.5 < by_cosine.mean() < 0.99
