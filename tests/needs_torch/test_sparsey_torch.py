"""The PyTorch form of a level of macs gives what ``SparseyNet`` gives, bit for bit."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from anamnos.associative.sparsey.net import MacGrid, SparseyNet
from anamnos.associative.sparsey.torch_form import TorchLevel
from anamnos.errors import InvalidInput

_SHAPE = (8, 8, 2)
_GRID = MacGrid(side=3, stride=2, modules=5, units=70, gate=0.7, freeze_unit=0.5)


def images(seed: int, count: int) -> Any:
    rng = np.random.default_rng(seed)
    kinds = rng.random((6, 128)) < 0.3
    return (kinds[rng.integers(6, size=count)] ^ (rng.random((count, 128)) < 0.08)).astype(np.uint8)


def net(grid: MacGrid = _GRID) -> SparseyNet:
    return SparseyNet(_SHAPE, (grid,), seed=3, compiled=False)


@pytest.mark.parametrize(
    "grid",
    [
        _GRID,
        MacGrid(side=3, stride=2, modules=3, units=9, freeze_unit=0.3),
        MacGrid(side=4, stride=2, modules=4, units=16, freeze_mac=0.1, least=8, most=11),
    ],
)
def test_it_learns_and_reads_as_numpy_does(grid: MacGrid) -> None:
    by_numpy = net(grid)
    level = by_numpy.grids[0]
    by_torch = TorchLevel(grid, level.fields)
    items, others = images(0, 80), images(1, 40)
    luck = np.random.default_rng(np.random.PCG64(3)).random((80, len(level.fields), grid.modules))
    learnt, expected = by_torch.learn(items, luck), by_numpy.learn(items)[0]
    assert np.array_equal(by_torch.weights, level.weights)
    assert 0 < level.fill.mean() < 0.5
    for found, wanted in ((learnt, expected), (by_torch.read(others), by_numpy.read(others)[0])):
        assert np.array_equal(found.winners, wanted.winners)
        assert np.array_equal(found.best, wanted.best)
        assert np.array_equal(found.familiarity, wanted.familiarity)


def test_what_was_learnt_elsewhere_is_read_and_not_changed() -> None:
    by_numpy = net()
    by_numpy.learn(images(2, 50))
    by_torch = TorchLevel.of(by_numpy.grids[0])
    assert np.array_equal(by_torch.read(images(4, 30)).winners, by_numpy.read(images(4, 30))[0].winners)
    assert np.array_equal(by_torch.weights, by_numpy.grids[0].weights)


def test_a_mac_that_sees_too_little_is_silent() -> None:
    level = TorchLevel.of(net().grids[0])
    blank = np.zeros((1, 128), dtype=np.uint8)
    for codes in (level.learn(blank, np.zeros((1, 9, 5))), level.read(blank)):
        assert (codes.winners == -1).all()
        assert (codes.familiarity == 0).all()
    assert level.read(blank[:0]).winners.shape == (0, 9, 5)


def test_what_cannot_be_is_refused() -> None:
    level = TorchLevel.of(net().grids[0])
    for items in (np.full((1, 128), 2), np.zeros((1, 10)), np.zeros(128)):
        with pytest.raises(InvalidInput, match="items"):
            level.read(items)
    with pytest.raises(InvalidInput, match="luck"):
        level.learn(np.zeros((2, 128)), np.zeros((1, 9, 5)))
    with pytest.raises(InvalidInput, match="weights"):
        level.weights = np.zeros((1, 1, 1), dtype=np.uint64)
    with pytest.raises(InvalidInput, match="fields"):
        TorchLevel(_GRID, np.zeros((2, 0), dtype=np.int64))
