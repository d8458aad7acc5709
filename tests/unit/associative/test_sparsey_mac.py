"""One mac of Sparsey: the laws of an associative memory, and what is said of its codes and its capacity."""

from copy import deepcopy
from typing import Any

import numpy as np
import pytest

from anamnos.associative.sparsey.csa import CAPACITY, SIMILARITY, CsaParameters
from anamnos.associative.sparsey.mac import SparseyMac, SparseySpec, capacity
from anamnos.errors import InvalidInput
from anamnos.testing.associative_contract import AssociativeContract

pytestmark = pytest.mark.filterwarnings("ignore::anamnos.associative.base.CapacityWarning")
LENGTH, ACTIVE = 144, 20


def patterns(rng: np.random.Generator, count: int, length: int = LENGTH, active: int = ACTIVE) -> Any:
    order = rng.random((count, length)).argsort(axis=1)
    return (order < active).astype(np.uint8)


def variant(rng: np.random.Generator, key: Any, shared: int) -> Any:
    """Return a pattern of as many bits that shares ``shared`` of them."""
    on, off = np.flatnonzero(key), np.flatnonzero(key == 0)
    bits = np.zeros_like(key)
    bits[rng.choice(on, shared, replace=False)] = 1
    bits[rng.choice(off, len(on) - shared, replace=False)] = 1
    return bits


def mac(parameters: CsaParameters = CAPACITY, **settings: Any) -> SparseyMac:
    csa = {name: getattr(parameters, name) for name in ("g_minus", "gamma", "chi", "sigma2", "sigma3")}
    return SparseyMac(SparseySpec(**{"length": LENGTH, "active": ACTIVE, "units": 8, "share": 1.0, **csa, **settings}))


class TestSparsey(AssociativeContract):
    system = "sparsey"
    settings = {"length": LENGTH, "active": ACTIVE}
    small = {"units": 4}

    def keys(self, rng: np.random.Generator, count: int) -> list[Any]:
        return list(patterns(rng, count))

    def noisy(self, rng: np.random.Generator, key: Any) -> Any:
        return variant(rng, key, 16)


class TestSparseyThatFreezes(TestSparsey):
    settings = {"length": LENGTH, "active": ACTIVE, "freeze_unit": 0.9, "freeze_mac": 0.5, "gate": 0.95}


class TestSparseyThatFades(TestSparsey):
    settings = {"length": LENGTH, "active": ACTIVE, "permanence": 1_000, "lasting": 3}


def test_the_capacity_formula() -> None:
    assert round(capacity(144, 20, 8)) == 94
    assert round(capacity(400, 20, 16)) == 481


def test_recall_is_exact_far_below_the_capacity() -> None:
    memory, keys = mac(), patterns(np.random.default_rng(0), 28)
    codes = [memory.write(key).code for key in keys]
    for number, (key, code) in enumerate(zip(keys, codes, strict=True)):
        assert memory.belief(key)[number] == 1
        assert memory.familiarity(key) == 1
        assert np.array_equal(memory.generate(code), memory.read(key)[0].code)


def test_one_exposure_makes_familiar() -> None:
    memory, keys = mac(), patterns(np.random.default_rng(1), 2)
    assert memory.write(keys[0]).familiarity == 0
    assert memory.familiarity(keys[0]) == 1
    again = memory.write(keys[0])
    assert (again.familiarity, again.reason) == (1, "familiar: nothing learnt")
    assert memory.familiarity(keys[1]) < 0.6


def test_known_and_new_are_told_apart_at_half_the_capacity() -> None:
    rng = np.random.default_rng(2)
    memory, keys = mac(), patterns(rng, 47)
    for key in keys:
        memory.write(key)
    known = [memory.familiarity(key) for key in keys]
    new = [memory.familiarity(key) for key in patterns(rng, 200)]
    assert min(known) > max(new)
    assert np.mean(known) > 0.99
    assert 0.7 < np.mean(new) < 0.9


@pytest.mark.parametrize(
    ("parameters", "measured"),
    [
        (SIMILARITY, (0.99, 0.99, 0.96, 0.94, 0.82, 0.73, 0.59, 0.39)),
        (CAPACITY, (0.89, 0.83, 0.68, 0.48, 0.26, 0.23, 0.14, 0.14)),
    ],
)
def test_like_inputs_get_codes_that_overlap(parameters: CsaParameters, measured: tuple[float, ...]) -> None:
    shared = (20, 18, 16, 14, 12, 10, 6, 2)
    seeds, reused = 20, np.zeros(len(shared))
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        memory, x = mac(parameters, seed=seed), patterns(rng, 31)
        for key in x[:30]:
            memory.write(key)
        x = x[30]
        code = memory.write(x).code
        for place, bits in enumerate(shared):
            after = deepcopy(memory)
            reused[place] += (after.write(variant(rng, x, bits)).code == code).mean() / seeds
    assert (np.diff(reused) <= 0.05).all()
    assert abs(reused - measured).max() < 0.2  # the table is of few runs
    assert reused[-1] < 0.5


def test_uniform_codes_come_back_as_the_formula_says() -> None:
    most, right = round(capacity(LENGTH, ACTIVE, 8)), []
    for load in (0.5, 1.0, 1.5):
        memory = mac(CsaParameters(chi=0), share=2.0)
        keys = patterns(np.random.default_rng(3), round(load * most))
        for key in keys:
            memory.write(key)
        right.append(np.mean([memory.belief(key)[number] for number, key in enumerate(keys)]))
    assert right[0] > 0.99
    assert 0.75 < right[1] < 0.95
    assert right[2] < 0.6


def test_old_weights_fade_and_those_used_twice_stay() -> None:
    memory, keys = mac(permanence=10, lasting=2, gate=1.0), patterns(np.random.default_rng(5), 30)
    for key in (keys[0], keys[0], *keys[1:16]):
        memory.write(key)
    assert memory.familiarity(keys[15]) == 1
    assert memory.familiarity(keys[1]) < 0.9
    assert memory.consolidate().changed > 0


def test_no_unit_is_filled_beyond_its_freezing() -> None:
    memory = mac(freeze_unit=0.3)
    for key in patterns(np.random.default_rng(6), 90):
        memory.write(key)
    assert memory._filled.max() < 0.3 * LENGTH + ACTIVE


def test_a_frozen_mac_only_recognises() -> None:
    memory, keys = mac(freeze_mac=0.1), patterns(np.random.default_rng(7), 40)
    reasons = [memory.write(key).reason for key in keys]
    fill = memory.load().fill
    assert reasons[0] == "stored"
    assert reasons[-1] == "frozen: nothing learnt"
    memory.write(patterns(np.random.default_rng(8), 1)[0])
    assert memory.load().fill == fill


def test_what_is_stored_often_is_frequent() -> None:
    memory, keys = mac(chi=100.0, g_minus=0.1, gamma=2.0), patterns(np.random.default_rng(9), 10)
    for key in keys:
        memory.write(key)
    for _ in range(8):
        memory.write(variant(np.random.default_rng(10), keys[0], 18))
    assert memory.frequency(keys[0]) > memory.frequency(keys[1])


@pytest.mark.parametrize(
    "wrong",
    [{"units": 1}, {"active": 0}, {"active": 145}, {"gate": 0}, {"share": 0}, {"g_minus": 1.0}, {"permanence": -1}],
)
def test_a_spec_that_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        mac(**wrong)


def test_a_key_without_a_bit_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no bit on"):
        mac().write(np.zeros(LENGTH, np.uint8))
