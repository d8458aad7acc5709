"""The modern Hopfield network: its formulas, and the laws of an associative memory."""

from typing import Any

import numpy as np
import pytest

from anamnos.associative.hopfield import HopfieldSlots, HopfieldSpec
from anamnos.testing.associative_contract import AssociativeContract


def units(rng: np.random.Generator, count: int, dim: int) -> Any:
    vectors = rng.normal(size=(count, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class TestHopfield(AssociativeContract):
    system = "hopfield"
    settings = {"dim": 64, "beta": 40.0}
    small = {"slots": 20}

    def keys(self, rng: np.random.Generator, count: int) -> list[Any]:
        return list(units(rng, count, 64))

    def noisy(self, rng: np.random.Generator, key: Any) -> Any:
        return key + rng.normal(scale=0.3 / 8, size=64).astype(np.float32)


def filled(vectors: Any, **settings: Any) -> HopfieldSlots:
    memory = HopfieldSlots(HopfieldSpec(dim=vectors.shape[1], **settings))
    for number, vector in enumerate(vectors):
        memory.write(vector, number)
    return memory


def test_one_step_is_softmax_attention() -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        slots, cue = units(rng, 30, 16), rng.normal(size=16).astype(np.float32)
        scores = 20.0 * (slots.astype(np.float64) @ cue)
        weights = np.exp(scores - scores.max())
        expected = (weights / weights.sum()) @ slots
        assert np.allclose(filled(slots).read(cue, steps=1)[0].code, expected, atol=1e-6)


def test_the_energy_never_rises() -> None:
    rng = np.random.default_rng(1)
    memory = filled(units(rng, 200, 16), beta=8.0)
    for _ in range(20):
        state = rng.normal(size=16).astype(np.float32)
        before = memory.energy(state)
        for _ in range(5):
            state = memory.read(state, steps=1)[0].code
            after = memory.energy(state)
            assert after <= before + 1e-5
            before = after


def test_noisy_cues_come_back_from_ten_thousand() -> None:
    rng = np.random.default_rng(2)
    vectors = units(rng, 10_000, 32)
    memory = filled(vectors, beta=20.0, slots=20_000)
    right = 0
    for number in range(100):
        cue = vectors[number] + rng.normal(scale=0.3 / np.sqrt(32), size=32).astype(np.float32)
        right += memory.read(cue, steps=1)[0].value == number
    assert right == 100


@pytest.mark.parametrize(("beta", "expected"), [(0.0, "mean"), (2_000.0, "nearest")])
def test_beta_goes_from_the_mean_to_the_nearest(beta: float, expected: str) -> None:
    vectors = units(np.random.default_rng(3), 5, 8)
    read = filled(vectors, beta=beta).read(vectors[1], steps=1)[0].code
    assert np.allclose(read, vectors.mean(axis=0) if expected == "mean" else vectors[1], atol=1e-5)


def test_half_of_a_pattern_brings_back_the_rest() -> None:
    vectors = units(np.random.default_rng(4), 50, 64)
    known = np.arange(64) < 32
    found = filled(vectors, beta=60.0).read(np.where(known, vectors[7], 0), mask=known)[0]
    assert found.value == 7
    assert np.dot(found.code, vectors[7]) > 0.99
