"""Statistical mechanics of Hebbian networks: known constants, and theory against simulation."""

import doctest
import math
from itertools import product

import numpy as np
import pytest

from anamnos.associative.hebbian import dynamics, examples, glass, multitask, replica
from anamnos.associative.hebbian.breaking import broken_retrieval
from anamnos.associative.hebbian.dynamics import RealNetwork, SignNetwork
from anamnos.errors import InvalidInput


@pytest.mark.parametrize("module", [dynamics, glass, multitask, replica])
def test_examples_in_docstrings(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("order", "diagonal", "load", "overlap"),
    [(2, False, 0.1379, 0.967), (4, False, 0.03298, 0.918), (6, False, 0.001314, 0.962), (4, True, 0.01319, 0.918)],
)
def test_critical_loads(order: int, diagonal: bool, load: float, overlap: float) -> None:
    found = replica.capacity(order, diagonal)
    assert found.load == pytest.approx(load, rel=1e-3)
    assert found.overlap == pytest.approx(overlap, abs=1e-3)
    assert replica.retrieval(order, 0.99 * load, diagonal=diagonal).overlap > 0.9
    assert replica.retrieval(order, 1.01 * load, diagonal=diagonal).overlap < 0.1


def test_noise_without_and_with_diagonal_terms() -> None:
    assert [replica.crosstalk(order) for order in (2, 4, 6)] == [1, 6, 120]  # (P-1)!
    assert [replica.crosstalk(order, diagonal=True) for order in (2, 4, 6)] == [1, 15, 945]  # (2P-3)!!


def test_at_low_temperature_the_equations_become_those_at_zero() -> None:
    for order, load in ((2, 0.1), (4, 0.028), (6, 0.001)):
        cold, none = replica.retrieval(order, load, 0.01), replica.retrieval(order, load)
        assert cold.overlap == pytest.approx(none.overlap, abs=2e-3)
        assert cold.noise == pytest.approx(none.noise, rel=0.02)


def test_the_phase_boundary() -> None:
    low, high = replica.capacity_at(2, [0.1, 0.9]).tolist()
    assert low == pytest.approx(0.135, abs=0.002)
    assert 0 < high < 0.01  # ends at T = 1
    dense = replica.capacity_at(4, [0.02, 0.9, 1.3]).tolist()
    assert dense[0] == pytest.approx(0.0332, abs=0.0005)
    assert dense[0] > dense[1] > dense[2] == 0
    assert replica.stability_limit(2, 0.05, 0.5) < 1 < replica.stability_limit(2, 0.137, 0.01)


@pytest.mark.parametrize(("order", "length"), [(2, 600), (4, 64)])
def test_simulations_agree_with_replica_symmetry_below_four_fifths_of_the_critical_load(
    order: int, length: int
) -> None:
    rng = np.random.default_rng(order)
    for share in (0.5, 0.8):
        load = share * replica.capacity(order).load
        count = round(load * replica.patterns_per_load(order, length))
        patterns = rng.choice(np.array([-1, 1], dtype=np.int8), size=(count, length))
        states = SignNetwork(patterns, order).relax(patterns[:20], rng=rng).states
        found = (states * patterns[:20]).mean()
        assert found == pytest.approx(replica.retrieval(order, load).overlap, abs=0.05)


def test_learning_with_a_teacher_agrees_with_theory() -> None:
    rng = np.random.default_rng(3)
    count, length, quality = 100, 100, 0.3
    for examples_each, expected in ((5, 0.53), (20, 0.82), (80, 0.99)):
        true = rng.choice([-1, 1], size=(count, length))
        votes = true * (examples_each - 2 * rng.binomial(examples_each, (1 - quality) / 2, size=(count, length)))
        made = RealNetwork(votes / np.sqrt((votes**2).mean(axis=1, keepdims=True)))
        start = true[:60] * np.where(rng.random((60, length)) < 0.1, -1, 1)
        found = (made.relax(start, rng=rng).states * true[:60]).mean()
        theory = examples.supervised(4, count / replica.patterns_per_load(4, length), quality, examples_each)
        assert theory.archetype == pytest.approx(expected, abs=0.02)
        assert found == pytest.approx(theory.archetype, abs=0.05)


def test_perfect_examples_are_as_patterns() -> None:
    for order, load in ((2, 0.1), (4, 0.025)):
        plain = replica.retrieval(order, load).overlap
        assert examples.supervised(order, load, 1.0, 1).archetype == pytest.approx(plain, abs=1e-6)
        assert examples.unsupervised(order, load, 1.0, 1).archetype == pytest.approx(plain, abs=1e-6)
    assert examples.entropy(0.5, 3) == pytest.approx(1.0)
    for quality, count in ((0.0, 3), (1.2, 3), (0.5, 0)):
        with pytest.raises(InvalidInput):
            examples.entropy(quality, count)


def test_constants_of_the_p_spin_glass() -> None:
    """Of the Ising 3-spin glass: static 0.651 and dynamic 0.682 temperature, and a ground state of -0.8135."""
    dynamic, static = glass.transitions(3)
    assert dynamic == pytest.approx(0.682, abs=0.002)
    assert static == pytest.approx(0.651, abs=0.002)
    assert glass.ground_energy(3) == pytest.approx(-0.8135, abs=0.0002)


def test_breaking_goes_with_temperature() -> None:
    static = glass.transitions(4)[1]
    found = [glass.broken(4, share * static) for share in (0.3, 0.6, 0.9)]
    assert [b.apart for b in found] == sorted(b.apart for b in found)
    assert all(0.9 < b.overlap < 1 and b.apart < 1 for b in found)
    assert glass.broken(4, 0.1).free_energy == pytest.approx(glass.ground_energy(4), abs=1e-3)
    phi, energy, complexity = glass.valleys(4, np.linspace(1, 3, 2_001))
    ground = int(np.argmax(phi))
    assert complexity[ground] == pytest.approx(0, abs=2e-3)  # the ground state is not many
    assert energy[ground] == pytest.approx(phi[ground], abs=1e-3)
    assert complexity[ground - 400] > 0.01


def test_breaking_moves_the_critical_load_at_low_temperature() -> None:
    warm, plain = broken_retrieval(4, 0.035, 0.5), replica.retrieval(4, 0.035, 0.5)
    assert warm.overlap == pytest.approx(plain.overlap, abs=1e-3)  # symmetric there: nothing is broken
    assert warm.within - warm.between < 1e-3
    assert replica.retrieval(4, 0.036, 0.1).overlap < 0.1
    cold = broken_retrieval(4, 0.036, 0.1)
    assert cold.overlap > 0.9
    assert cold.within - cold.between > 0.02
    assert broken_retrieval(4, 0.045, 0.1).overlap == 0
    with pytest.raises(InvalidInput, match="4 and 6"):
        broken_retrieval(2, 0.1, 0.1)


def test_counting_all_states_of_a_small_system() -> None:
    rng = np.random.default_rng(5)
    patterns = rng.choice(np.array([-1, 1], dtype=np.int8), size=(60, 8))
    made = SignNetwork(patterns)
    energies = glass.spectrum(patterns, 4)
    states = np.array([[1 - 2 * ((n >> i) & 1) for i in range(8)] for n in range(256)], dtype=np.int8)
    assert np.allclose(energies, made.energy(states))
    q, chance = glass.replica_overlaps(energies, 0.5)
    weights = np.exp(-(energies - energies.min()) / 0.5)
    weights /= weights.sum()
    expected = dict.fromkeys(q.round(9).tolist(), 0.0)
    for a, b in product(range(256), repeat=2):
        expected[round(float((states[a] * states[b]).mean()), 9)] += weights[a] * weights[b]
    assert np.allclose(chance, list(expected.values()))
    assert chance.sum() == pytest.approx(1)
    with pytest.raises(InvalidInput, match="too many"):
        glass.spectrum(np.ones((1, 30), dtype=np.int8), 4)


@pytest.mark.parametrize(
    ("dilution", "patterns", "expected"), [(0.2, 3, (0.8, 0.16, 0.032)), (0.5, 3, (0.5, 0.25, 0.125))]
)
def test_the_hierarchy_of_diluted_patterns(dilution: float, patterns: int, expected: tuple[float, ...]) -> None:
    assert np.allclose(multitask.hierarchy(dilution, patterns), expected)
    assert np.allclose(multitask.amplitudes(dilution, patterns), expected, atol=1e-3)
    rng = np.random.default_rng(6)
    found = []
    for _ in range(3):
        signs = rng.choice(np.array([-1, 1], dtype=np.int8), size=(patterns, 4_000))
        made = (signs * (rng.random(signs.shape) >= dilution)).astype(np.int8)
        start = made[0].copy()
        for pattern in made[1:]:
            start = np.where(start == 0, pattern, start)
        network = SignNetwork(made, 2)
        state = network.relax(network.completed(start, rng=rng), rng=rng).states[0]
        found.append(made @ state.astype(float) / 4_000)
    assert np.allclose(np.mean(found, axis=0), expected, atol=0.03)


def test_beyond_the_critical_dilution_the_hierarchy_breaks() -> None:
    assert [round(multitask.critical_dilution(k), 3) for k in (2, 3, 5)] == [1.0, 0.618, 0.519]
    for patterns in (3, 5):
        critical = multitask.critical_dilution(patterns)
        for dilution, stays in ((critical - 0.02, True), (critical + 0.05, False)):
            hierarchy = multitask.hierarchy(dilution, patterns)
            moved = np.abs(multitask.amplitudes(dilution, patterns) - hierarchy).max()
            assert (moved < 0.01) == stays
    parallel = multitask.amplitudes(0.9, 3)
    assert math.isclose(parallel[0], parallel[2], abs_tol=0.02)  # all alike
