"""Grids of macs: compiled and NumPy alike, frozen and open, one level and two."""

from dataclasses import replace

import numpy as np
import pytest

from anamnos.associative.sparsey.csa import CsaParameters, familiarity, normalised, raw_sums
from anamnos.associative.sparsey.net import MacGrid, SparseyNet
from anamnos.errors import Corrupt, InvalidInput

SHAPE = (6, 6, 3)
GRID = MacGrid(side=3, stride=1, modules=3, units=70, gate=0.8, freeze_unit=0.4)
TWO = (GRID, MacGrid(side=2, stride=2, modules=4, units=20, gate=0.8, freeze_unit=0.02))


def items(seed: int, count: int) -> np.ndarray:
    """Return noisy views of ten patterns."""
    rng = np.random.default_rng(seed)
    patterns = np.random.default_rng(7).random((10, 108)) < 0.2
    return (patterns[rng.integers(10, size=count)] ^ (rng.random((count, 108)) < 0.03)).astype(np.uint8)


def weights(net: SparseyNet, level: int = 0) -> np.ndarray:
    """Return the weights as bits: (macs, inputs, Q, K)."""
    found, grid = net.grids[level].weights, net.levels[level]
    as_bytes = found.astype("<u8").view(np.uint8).reshape(*found.shape[:2], grid.modules, -1)
    return np.unpackbits(as_bytes, axis=-1, count=grid.units, bitorder="little")


@pytest.mark.parametrize("chi", [0.0, 10.0])
@pytest.mark.parametrize("levels", [(GRID,), TWO, (replace(GRID, units=64, most=8, freeze_mac=0.05),)])
def test_numpy_gives_what_is_compiled(levels: tuple[MacGrid, ...], chi: float) -> None:
    pytest.importorskip("numba")
    levels = tuple(replace(grid, parameters=CsaParameters(g_minus=0.1, gamma=1.0, chi=chi)) for grid in levels)
    nets = [SparseyNet(SHAPE, levels, 3, compiled) for compiled in (True, False)]
    for seed, learn in ((0, True), (1, False), (2, True)):
        first, second = ((net.learn if learn else net.read)(items(seed, 300)) for net in nets)
        for one, other in zip(first, second, strict=True):
            assert np.array_equal(one.winners, other.winners)
            assert np.array_equal(one.best, other.best)
            assert np.array_equal(one.familiarity, other.familiarity)
    for one, other in zip(nets[0].grids, nets[1].grids, strict=True):
        assert np.array_equal(one.weights, other.weights)
        assert np.array_equal(one.filled, other.filled)


@pytest.mark.parametrize("compiled", [None, False])
def test_a_net_does_what_its_weights_say(compiled: bool | None) -> None:
    net = SparseyNet(SHAPE, (GRID,), compiled=compiled)
    net.learn(items(0, 60))
    bits, dense, level = items(1, 20), weights(net), net.grids[0]
    codes = net.read(bits)[0]
    for mac, inputs in enumerate(level.fields):
        active = bits[:, inputs]
        count = active.sum(axis=1)
        v = normalised(raw_sums(active, dense[mac]), count)
        runs = count >= GRID.least
        assert np.array_equal(codes.winners[runs, mac], v[runs].argmax(axis=-1))
        assert np.allclose(codes.familiarity[runs, mac], familiarity(v[runs]))
        assert (codes.winners[~runs, mac] == -1).all()
    assert np.array_equal(level.filled, dense.sum(axis=1))


def test_batches_and_single_items_are_alike() -> None:
    bits, whole, parts = items(0, 300), SparseyNet(SHAPE, TWO), SparseyNet(SHAPE, TWO)
    one = whole.learn(bits)
    for item in bits:
        last = parts.learn(item[None])
    assert np.array_equal(whole.grids[1].weights, parts.grids[1].weights)
    assert np.array_equal(one[1].winners[-1], last[1].winners[0])


def test_reading_changes_nothing_and_what_is_familiar_is_not_written() -> None:
    net = SparseyNet(SHAPE, (GRID,))
    net.learn(items(0, 5))
    before = net.grids[0].weights.copy()
    net.read(items(1, 50))
    assert np.array_equal(net.grids[0].weights, before)
    again = net.learn(items(0, 5))[0]
    assert np.array_equal(net.grids[0].weights, before)
    assert again.familiarity[again.winners[..., 0] >= 0].min() >= GRID.gate
    net.freeze()
    net.learn(items(2, 50))
    assert np.array_equal(net.grids[0].weights, before)


def test_frozen_units_stay_near_their_limit_and_frozen_macs_too() -> None:
    net = SparseyNet(SHAPE, (replace(GRID, freeze_unit=0.3, units=8, gate=1.0),))
    net.learn(items(0, 300))
    assert net.grids[0].filled.max() < 0.3 * 27 + 27 * 0.8
    stopped = SparseyNet(SHAPE, (replace(GRID, freeze_mac=0.05, gate=1.0),))
    stopped.learn(items(0, 300))
    assert stopped.grids[0].fill.max() < 0.06 < net.grids[0].fill.min()


def test_the_second_level_sees_the_winners_of_the_first() -> None:
    net = SparseyNet(SHAPE, TWO)
    assert net.grids[0].shape == (4, 4)
    assert net.grids[1].shape == (2, 2)
    assert net.grids[1].fields.shape == (4, 2 * 2 * 3 * 70)
    codes = net.learn(items(0, 200))
    assert net.grids[1].filled.max() > 0
    new = (np.random.default_rng(5).random((200, 108)) < 0.2).astype(np.uint8)
    assert net.read(items(0, 200))[1].familiarity.mean() > net.read(new)[1].familiarity.mean() + 0.1
    units = net.units(codes)
    assert units.shape == (200, 16 * 3 + 4 * 4)
    assert units.max() < net.size


def test_a_state_comes_back() -> None:
    net = SparseyNet(SHAPE, TWO, seed=4)
    net.learn(items(0, 100))
    net.freeze(0)
    again = SparseyNet.from_state(net.state_dict())
    assert again.levels == net.levels
    assert np.array_equal(again.grids[1].filled, net.grids[1].filled)
    assert np.array_equal(again.learn(items(1, 50))[1].winners, net.learn(items(1, 50))[1].winners)
    assert np.array_equal(again.grids[1].weights, net.grids[1].weights)
    state = net.state_dict()
    with pytest.raises(Corrupt):
        SparseyNet.from_state({**state, "weights_1": state["weights_1"][:1]})
    with pytest.raises(Corrupt):
        SparseyNet.from_state({**state, "weights_0": state["weights_0"].astype(np.int64)})


def test_bad_input() -> None:
    net = SparseyNet(SHAPE)
    twos = np.full((2, 108), 2, np.uint8)
    for wrong in (np.zeros((2, 5), np.uint8), twos, np.zeros((2, 108)), np.zeros(108, np.uint8)):
        with pytest.raises(InvalidInput):
            net.read(wrong)
    with pytest.raises(InvalidInput, match="fit"):
        SparseyNet((4, 4, 1), (MacGrid(side=5),))
    with pytest.raises(InvalidInput, match="level"):
        SparseyNet(SHAPE, ())
    with pytest.raises(InvalidInput):
        SparseyNet((0, 4, 1))
    with pytest.raises(InvalidInput):
        MacGrid(units=1)
    assert net.read(np.zeros((0, 108), np.uint8))[0].winners.shape == (0, 1, 8)
