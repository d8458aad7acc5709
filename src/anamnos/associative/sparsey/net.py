"""A hierarchy of grids of macs: each sees a square of the level below, all learn in one pass, item by item.

The first level sees cells of bits (places of an image, each with its edges), the next the winners of the macs below.
Macs of a level are independent of each other and are computed together; with numba the loops are compiled, without it
NumPy gives the same codes. Weights are kept in bits. Source: arXiv:1710.07829; gate and unit freezing: ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import ModuleType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from anamnos.associative.arrays import Array, from_json_array, json_array, need
from anamnos.associative.checks import check_positive, check_room, check_whole
from anamnos.associative.sparsey.csa import EDGES, CsaParameters, Reals, expansivity, sigmoid
from anamnos.errors import Corrupt, InvalidInput, MissingExtra

_AT_ONCE = 256
_MOST_ACTIVE = 2**15 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class MacGrid:
    """A level: macs over squares of cells.

    side, stride    of the squares, in cells of the level below
    modules, units  Q winner-take-all modules (CMs) of K units, per mac
    gate            familiarity from which a mac takes its input as known and learns nothing of it
    freeze_unit     share of a unit's weights that may be set before it learns no more; a unit of few patterns stays one
                    that knows them apart
    freeze_mac      share of a mac's weights from which the mac learns no more
    least, most     how many inputs must, and may (None: all), be on for a mac to run
    parameters      of the code selection
    """

    side: int = 6
    stride: int = 2
    modules: int = 8
    units: int = 1_024
    gate: float = 0.8
    freeze_unit: float = 0.12
    freeze_mac: float = 1.0
    least: int = 2
    most: int | None = None
    parameters: CsaParameters = EDGES

    def __post_init__(self) -> None:
        for name in ("side", "stride", "modules", "least"):
            check_whole(name, getattr(self, name))
        check_whole("units", self.units, least=2, most=2**15 - 1)
        if self.most is not None:
            check_whole("most", self.most, least=self.least)
        for name in ("gate", "freeze_unit", "freeze_mac"):
            check_positive(name, getattr(self, name), zero=name == "freeze_mac")


@dataclass(frozen=True, slots=True)
class Codes:
    """What a level made of items.

    winners      (n, macs, Q) int16, unit per CM, -1 where a mac did not run
    best         the same before learning: the units that knew it best
    familiarity  (n, macs) float32, G; 0 where a mac did not run
    """

    winners: NDArray[np.int16]
    best: NDArray[np.int16]
    familiarity: NDArray[np.float32]

    def units(self, per_module: int) -> NDArray[np.int64]:
        """Return the units that are on by their number in the level: (n, macs * Q), -1 for none."""
        count, macs, modules = self.winners.shape
        first = (np.arange(macs * modules) * per_module).reshape(macs, modules)
        return np.where(self.winners < 0, -1, self.winners + first).reshape(count, macs * modules)


class Level:
    """The macs of one grid and their weights. See ``MacGrid``."""

    def __init__(self, grid: MacGrid, shape: tuple[int, int, int], seed: int) -> None:
        rows, columns, _ = shape
        if grid.side > min(rows, columns):
            raise InvalidInput(f"Fields of {grid.side} x {grid.side} cells do not fit into {rows} x {columns}.")
        self.grid, self.is_open, self.presented = grid, True, 0
        self.fields = _fields(grid, shape)
        self.shape = (rows - grid.side) // grid.stride + 1, (columns - grid.side) // grid.stride + 1
        macs, inputs = self.fields.shape
        check_room(macs, inputs, grid.modules * -(-grid.units // 64))
        self.weights = np.zeros((macs, inputs, grid.modules * -(-grid.units // 64)), dtype=np.uint64)
        self.filled = np.zeros((macs, grid.modules, grid.units), dtype=np.int32)
        self._seed = seed

    @property
    def fill(self) -> NDArray[np.float64]:
        """Share of the weights that are set, of every mac."""
        return np.asarray(self.filled.mean(axis=(1, 2)) / self.fields.shape[1])

    def present(self, bits: NDArray[np.uint8], *, learn: bool, steps: ModuleType) -> Codes:
        """Return the codes of items (n, inputs), and learn them one by one if told to and not frozen."""
        grid, learn = self.grid, learn and self.is_open
        macs, modules, _ = self.filled.shape
        best = np.empty((len(bits), macs, modules), dtype=np.int16)
        winners, known = np.empty_like(best), np.empty((len(bits), macs), dtype=np.int32)
        counts = np.empty((len(bits), macs), dtype=np.int32)
        for start in range(0, len(bits), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            items = np.ascontiguousarray(bits[part])
            active = np.empty((len(items), *self._most_active(items)), dtype=np.int32)
            steps.active_inputs(items, self.fields, active, counts[part])
            steps.present(
                self.weights, self.filled, active, counts[part], self._luck(len(items), learn),
                *self._tables(int(counts[part].max(initial=0))), grid.gate, grid.freeze_unit * self.fields.shape[1],
                grid.freeze_mac * self.weights.shape[1] * modules * grid.units,
                (grid.least, grid.most or _MOST_ACTIVE), np.full(macs, learn), best[part], winners[part], known[part],
            )  # fmt: skip
        return Codes(winners, best, (known / np.maximum(counts * modules, 1)).astype(np.float32))

    def _most_active(self, items: NDArray[np.uint8]) -> tuple[int, int]:
        each = items.sum(axis=1, dtype=np.int64).max(initial=0)
        most = min(int(each), self.fields.shape[1])
        if most > _MOST_ACTIVE:
            raise InvalidInput(f"An item has {each} bits on; a mac takes at most {_MOST_ACTIVE}.")
        return len(self.fields), max(most, 1)

    def _luck(self, items: int, learn: bool) -> NDArray[np.float64]:
        """Return what decides between equals. A read takes the first of them: which unit stands where is chance."""
        macs, modules, _ = self.filled.shape
        if not learn:
            return np.zeros((items, macs, modules))
        random = np.random.Generator(np.random.PCG64(self._seed).advance(self.presented * macs * modules))
        self.presented += items
        return random.random((items, macs, modules))

    def _tables(self, most: int) -> tuple[Reals, Reals]:
        """Return the sigmoid by count and sum, and eta - 1 by count and sum of the best sums."""
        grid, count = self.grid, np.maximum(np.arange(most + 1), 1)[:, None]
        support = np.minimum(np.arange(most + 1) / count, 1.0)
        g = np.minimum(np.arange(grid.modules * most + 1) / (count * grid.modules), 1.0)
        return sigmoid(support, grid.parameters), expansivity(g, grid.units, grid.parameters) - 1


@dataclass(slots=True)
class SparseyNet:
    """Levels of macs over an input of ``shape`` (rows, columns, bits per cell); items are (n, rows * columns * bits).

    levels    lowest first
    seed      of every choice
    compiled  use numba; None: if it is installed. The codes are the same
    Raises: InvalidInput; MissingExtra if ``compiled`` is True and numba is not installed.
    """

    shape: tuple[int, int, int]
    levels: Sequence[MacGrid] = (MacGrid(),)
    seed: int = 0
    compiled: bool | None = None
    grids: list[Level] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if len(self.shape) != 3:
            raise InvalidInput(f"shape must be rows, columns and bits per cell, got {self.shape!r}.")
        for name, value in zip(("rows", "columns", "bits per cell"), self.shape, strict=True):
            check_whole(name, value)
        if not self.levels:
            raise InvalidInput("A net needs at least one level.")
        check_whole("seed", self.seed, least=0)
        shape, self.grids = self.shape, []
        for number, grid in enumerate(self.levels):
            level = Level(grid, shape, self.seed + 1_000_003 * number)
            self.grids.append(level)
            shape = (*level.shape, grid.modules * grid.units)

    def learn(self, items: NDArray[np.uint8]) -> list[Codes]:
        """Learn items (n, inputs) of 0 and 1 in their order, each once; return the codes of every level."""
        return self._present(items, learn=True)

    def read(self, items: NDArray[np.uint8]) -> list[Codes]:
        """Return the codes of items at every level. Changes nothing."""
        return self._present(items, learn=False)

    def freeze(self, level: int | None = None) -> None:
        """End the critical period of a level, or of all: from now on it only recognises."""
        for grid in self.grids if level is None else [self.grids[level]]:
            grid.is_open = False

    def units(self, codes: Sequence[Codes]) -> NDArray[np.int64]:
        """Return the units that are on in all levels by their number in the net: (n, units on), -1 for none."""
        found, first = [], 0
        for code, level in zip(codes, self.grids, strict=True):
            on = code.units(level.grid.units)
            found.append(np.where(on < 0, -1, on + first))
            first += level.filled.size
        return np.concatenate(found, axis=1)

    @property
    def size(self) -> int:
        """How many units there are."""
        return sum(level.filled.size for level in self.grids)

    def state_dict(self) -> dict[str, Array]:
        """Return the net as arrays; the weights in bits."""
        made = {"shape": list(self.shape), "levels": [asdict(grid) for grid in self.levels], "seed": self.seed}
        state: dict[str, Array] = {"net": json_array(made)}
        for number, level in enumerate(self.grids):
            state[f"weights_{number}"] = level.weights
            state[f"clock_{number}"] = np.array([level.presented, level.is_open], dtype=np.int64)
        return state

    @classmethod
    def from_state(cls, state: Mapping[str, Array], *, compiled: bool | None = None) -> Self:
        """Return the net that had this state. Raises: Corrupt."""
        made = from_json_array(need(state, "net"))
        try:
            levels = [MacGrid(**{**grid, "parameters": CsaParameters(**grid["parameters"])}) for grid in made["levels"]]
            net = cls(tuple(made["shape"]), tuple(levels), made["seed"], compiled)
        except (TypeError, KeyError, ValueError) as exc:
            raise Corrupt(f"The net of this state is none: {exc}.") from exc
        for number, level in enumerate(net.grids):
            weights = need(state, f"weights_{number}", level.weights.shape, np.uint64)
            level.weights = weights.copy()
            as_bytes = level.weights.astype("<u8").view(np.uint8).reshape(*weights.shape[:2], level.grid.modules, -1)
            for mac, filled in enumerate(level.filled):
                on = np.unpackbits(as_bytes[mac], axis=-1, count=level.grid.units, bitorder="little")
                filled[:] = on.sum(axis=0, dtype=np.int32)
            clock = need(state, f"clock_{number}", (2,), np.int64, least=0)
            level.presented, level.is_open = int(clock[0]), bool(clock[1])
        return net

    def _present(self, items: NDArray[np.uint8], *, learn: bool) -> list[Codes]:
        bits = np.asarray(items)
        if bits.ndim != 2 or bits.shape[1] != int(np.prod(self.shape)) or bits.dtype not in (np.uint8, np.bool_):
            found = f"{bits.dtype} of {bits.shape}"
            raise InvalidInput(f"items must be uint8 or bool of shape (n, {np.prod(self.shape)}), got {found}.")
        if bits.max(initial=0) > 1:
            raise InvalidInput("items must be bits of 0 and 1.", hint="Turn images into bits first.")
        steps = _steps(self.compiled)
        codes: list[list[Codes]] = [[] for _ in self.grids]
        for start in range(0, len(bits), _AT_ONCE):
            below = np.asarray(bits[start : start + _AT_ONCE], dtype=np.uint8)
            for level, parts in zip(self.grids, codes, strict=True):
                parts.append(level.present(below, learn=learn, steps=steps))
                if level is not self.grids[-1]:
                    below = _one_hot(parts[-1].winners, level.grid.units)
        return [_joined(parts, level) for parts, level in zip(codes, self.grids, strict=True)]


def _steps(compiled: bool | None) -> ModuleType:
    if compiled is not False:
        try:
            from anamnos.associative.sparsey import compiled as found
        except (ImportError, RuntimeError) as exc:  # numba is missing, or has nowhere to keep what it compiles
            if compiled:
                raise MissingExtra("The compiled loops of Sparsey", "associative") from exc
        else:
            return found
    from anamnos.associative.sparsey import steps

    return steps


def _fields(grid: MacGrid, shape: tuple[int, int, int]) -> NDArray[np.int64]:
    """Return the inputs of every mac: (macs, side * side * depth)."""
    rows, columns, depth = shape
    numbers = np.arange(rows * columns * depth).reshape(shape)
    windows = np.lib.stride_tricks.sliding_window_view(numbers, (grid.side, grid.side), axis=(0, 1))
    picked: NDArray[Any] = windows[:: grid.stride, :: grid.stride]
    return np.ascontiguousarray(picked.reshape(-1, depth * grid.side**2), dtype=np.int64)


def _one_hot(winners: NDArray[np.int16], units: int) -> NDArray[np.uint8]:
    """Return winners as bits: (n, macs, Q) -> (n, macs * Q * units)."""
    return np.asarray((winners[..., None] == np.arange(units)).reshape(len(winners), -1), dtype=np.uint8)


def _joined(parts: list[Codes], level: Level) -> Codes:
    if not parts:
        none = np.zeros((0, *level.filled.shape[:2]), dtype=np.int16)
        return Codes(none, none, np.zeros((0, len(level.filled)), dtype=np.float32))
    return Codes(
        np.concatenate([part.winners for part in parts]),
        np.concatenate([part.best for part in parts]),
        np.concatenate([part.familiarity for part in parts]),
    )
