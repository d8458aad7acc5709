"""The Monte-Carlo core of Hebbian networks: fields against brute force, energies, and both kernels alike."""

from itertools import combinations
from math import erfc, factorial, sqrt
from typing import Any

import numpy as np
import pytest

from anamnos.associative.hebbian import kernels
from anamnos.associative.hebbian.dynamics import (
    RealNetwork,
    SignNetwork,
    elementary,
    elementary_table,
    network,
)
from anamnos.errors import InvalidInput


def spins(rng: np.random.Generator, *shape: int) -> Any:
    return rng.choice(np.array([-1, 1], dtype=np.int8), size=shape)


@pytest.mark.parametrize("order", [2, 4, 6])
@pytest.mark.parametrize("kind", [SignNetwork, RealNetwork])
def test_fields_are_those_of_the_tensor(order: int, kind: type[SignNetwork] | type[RealNetwork]) -> None:
    rng = np.random.default_rng(order)
    patterns, states = spins(rng, 5, 8), spins(rng, 3, 8)
    made = kind(patterns, order)
    counted = made.fields(states) / made.scale
    for r, site in np.ndindex(3, 8):
        others = [j for j in range(8) if j != site]
        expected = 0
        for chosen in combinations(others, order - 1):
            coupling = sum(int(x[site]) * int(np.prod(x[list(chosen)])) for x in patterns)
            expected += coupling * int(np.prod(states[r, list(chosen)]))
        assert counted[r, site] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize("order", [2, 4, 6])
def test_a_field_is_half_of_what_the_energy_gains_by_a_flip(order: int, diagonal: bool) -> None:
    rng = np.random.default_rng(1)
    for patterns in (spins(rng, 7, 12), rng.normal(size=(7, 12))):
        made, states = network(patterns, order, diagonal), spins(rng, 4, 12)
        before, fields = made.energy(states), made.fields(states)
        for site in range(12):
            turned = states.copy()
            turned[:, site] *= -1
            assert np.allclose((made.energy(turned) - before) / 2, fields[:, site] * states[:, site])


def test_the_energy_counts_every_choice_of_sites_once() -> None:
    rng = np.random.default_rng(2)
    patterns, states = spins(rng, 3, 9), spins(rng, 2, 9)
    for order in (2, 4, 6):
        terms = [np.prod(patterns[:, None, c] * states[None][:, :, c], axis=-1).sum(axis=0)
                 for c in map(list, combinations(range(9), order))]  # fmt: skip
        expected = -factorial(order) / (2 * 9 ** (order - 1)) * np.sum(terms, axis=0)
        assert np.allclose(SignNetwork(patterns, order).energy(states), expected)


def test_without_temperature_the_energy_never_rises() -> None:
    rng = np.random.default_rng(3)
    for patterns in (spins(rng, 300, 24), rng.normal(size=(60, 24))):
        for order, diagonal in ((2, False), (4, False), (4, True), (6, False)):
            made, states = network(patterns, order, diagonal), spins(rng, 5, 24)
            before = made.energy(states)
            for _ in range(6):
                states = made.relax(states, sweeps=1, rng=rng).states
                after = made.energy(states)
                assert (after <= before + 1e-9).all()
                before = after


@pytest.mark.parametrize("temperature", [0.0, 0.4])
def test_compiled_and_plain_kernels_agree_bit_for_bit(temperature: float) -> None:
    pytest.importorskip("numba")
    rng = np.random.default_rng(4)
    for order in (2, 4, 6):
        patterns, states = spins(rng, 500, 32), spins(rng, 6, 32)
        fast, plain = SignNetwork(patterns, order), SignNetwork(patterns, order)
        plain.run = kernels.numpy_sweep
        first = fast.relax(states, sweeps=8, temperature=temperature, rng=np.random.default_rng(5))
        second = plain.relax(states, sweeps=8, temperature=temperature, rng=np.random.default_rng(5))
        assert np.array_equal(first.states, second.states)
        assert first.sweeps == second.sweeps


def test_real_patterns_move_as_whole_ones_do() -> None:
    rng = np.random.default_rng(6)
    patterns, states = spins(rng, 40, 20), spins(rng, 5, 20)
    for order in (2, 4, 6):
        for diagonal in (False, True):
            exact = SignNetwork(patterns, order, diagonal).relax(states, rng=np.random.default_rng(7))
            floats = RealNetwork(patterns, order, diagonal).relax(states, rng=np.random.default_rng(7))
            # where a field is 0 the floats may miss it by rounding: compare where it never was
            same = (exact.states == floats.states).mean()
            assert same > 0.9


def test_glauber_dynamics_reach_equilibrium() -> None:
    """One pattern, P = 2: m = tanh(m / T), here 0.957 at T = 1/2 in an endless network."""
    rng = np.random.default_rng(8)
    pattern = spins(rng, 1, 400)
    made = SignNetwork(pattern, 2)
    state, seen = pattern.copy(), []
    for sweep in range(60):
        state = made.relax(state, sweeps=1, temperature=0.5, rng=rng).states
        if sweep >= 10:
            seen.append(float((state * pattern).mean()))
    assert np.mean(seen) == pytest.approx(0.957, abs=0.01)


def test_unstable_spins_are_as_many_as_the_noise_says() -> None:
    """Phi(-1 / sqrt(C alpha)) with C = 6 without diagonal terms and 15 with them, at N = 96."""
    rng = np.random.default_rng(9)
    for diagonal, crosstalk, count in ((False, 6, 60_000), (True, 15, 25_000)):
        patterns = spins(rng, count, 96)
        made = SignNetwork(patterns, 4, diagonal)
        wrong = (made.fields(patterns[:8]) * patterns[:8] < 0).mean()
        load = count / 96**3
        assert wrong == pytest.approx(erfc(1 / sqrt(2 * crosstalk * load)) / 2, abs=0.02)


def test_elementary_polynomials_by_table_and_by_newton() -> None:
    rng = np.random.default_rng(10)
    signs = spins(rng, 13).astype(np.int64)
    for degree in range(1, 7):
        expected = sum(int(np.prod(c)) for c in combinations(signs.tolist(), degree))
        assert elementary_table(degree, 13)[int(signs.sum()) + 13] == expected
        assert elementary(np.array([float((signs**j).sum()) for j in range(1, degree + 1)])) == pytest.approx(expected)
    q, n = 5, 13
    assert elementary_table(3, n)[q + n] * 6 == q**3 - 3 * n * q + 2 * q


def test_a_state_with_holes_is_completed_by_its_other_spins() -> None:
    rng = np.random.default_rng(11)
    patterns = spins(rng, 30, 48)
    for made in (SignNetwork(patterns), RealNetwork(patterns.astype(float))):
        cue = np.where(np.arange(48) < 30, patterns[4], 0)
        assert np.array_equal(made.completed(cue, rng=rng), patterns[4])


def test_bad_networks_are_refused() -> None:
    rng = np.random.default_rng(12)
    with pytest.raises(InvalidInput, match="order"):
        SignNetwork(spins(rng, 3, 8), 3)
    with pytest.raises(InvalidInput, match="-1 or"):
        SignNetwork(np.zeros((3, 8), dtype=np.int8), 4)
    with pytest.raises(InvalidInput, match="64 bits"):
        SignNetwork(np.ones((1, 40_000), dtype=np.int8), 6)
    with pytest.raises(InvalidInput, match="at least as many"):
        SignNetwork(spins(rng, 2, 3), 4)
    with pytest.raises(InvalidInput, match="finite"):
        RealNetwork(np.full((2, 8), np.nan))
    with pytest.raises(InvalidInput, match="temperature"):
        SignNetwork(spins(rng, 3, 8)).relax(spins(rng, 1, 8), temperature=-1, rng=rng)
