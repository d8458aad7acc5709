"""A level of macs in PyTorch, on any device: what was learnt elsewhere read in batches, or learnt here.

Sums of bits are whole numbers, which float32 holds exactly up to 2^24 in any order of adding, and win weights come from
the tables of the NumPy form; so on a CPU winners and weights are those of ``SparseyNet``, bit for bit.
Source: arXiv:1611.04023, steps 1 to 12, U only.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anamnos.associative.sparsey.csa import expansivity, sigmoid
from anamnos.associative.sparsey.net import Codes, Level, MacGrid
from anamnos.errors import InvalidInput, MissingExtra

if TYPE_CHECKING:
    import torch
else:
    try:
        import torch
    except ImportError as exc:
        raise MissingExtra("The PyTorch form of Sparsey", "torch") from exc

Words = NDArray[np.uint64]
_CELLS = 1 << 25  # sums held at once by a read


class TorchLevel:
    """Macs side by side, each over some of the inputs.

    grid    what the macs are, as for ``SparseyNet``
    fields  (M, L), which inputs each mac sees
    device  as PyTorch names it
    """

    def __init__(self, grid: MacGrid, fields: NDArray[np.integer], *, device: str = "cpu") -> None:
        if fields.ndim != 2 or not fields.size or fields.min() < 0:
            raise InvalidInput(f"fields must be places of inputs, (macs, inputs), got {fields.dtype} {fields.shape}.")
        self.grid, self.device = grid, torch.device(device)
        self._fields = torch.as_tensor(fields.astype(np.int64), device=self.device)
        self._weights = torch.zeros(*fields.shape, grid.modules * grid.units, device=self.device)
        self._set = torch.zeros(len(fields), grid.modules * grid.units, device=self.device)
        self._backwards = torch.arange(grid.units - 1, -1, -1, dtype=torch.int32, device=self.device)
        self._first = torch.arange(grid.modules, device=self.device) * grid.units

    @classmethod
    def of(cls, level: Level, *, device: str = "cpu") -> Self:
        """Return the macs of a level of a ``SparseyNet``, with what they have learnt."""
        made = cls(level.grid, level.fields, device=device)
        made.weights = level.weights
        return made

    @property
    def weights(self) -> Words:
        """The weights as a level holds them, (M, L, Q * words) uint64; may be set. Raises: InvalidInput."""
        macs, inputs, _ = self._weights.shape
        held = self._weights.to(torch.uint8).cpu().numpy().reshape(macs, inputs, self.grid.modules, self.grid.units)
        spare = np.zeros((*held.shape[:3], -self.grid.units % 64), dtype=np.uint8)
        packed = np.packbits(np.concatenate([held, spare], axis=3), axis=3, bitorder="little")
        return np.asarray(packed.view("<u8").astype(np.uint64).reshape(macs, inputs, -1), dtype=np.uint64)

    @weights.setter
    def weights(self, given: Words) -> None:
        macs, inputs, _ = self._weights.shape
        shape = (macs, inputs, self.grid.modules * -(-self.grid.units // 64))
        if given.shape != shape or given.dtype != np.uint64:
            raise InvalidInput(f"weights must be uint64 of shape {shape}, got {given.dtype} of {given.shape}.")
        as_bytes = np.ascontiguousarray(given).astype("<u8").view(np.uint8).reshape(macs, inputs, self.grid.modules, -1)
        bits = np.unpackbits(as_bytes, axis=3, count=self.grid.units, bitorder="little").reshape(macs, inputs, -1)
        self._weights = torch.as_tensor(bits, device=self.device).to(torch.float32)
        self._set = self._weights.sum(dim=1)

    def read(self, items: ArrayLike) -> Codes:
        """Return the codes of items (n, inputs) of 0 and 1: the first of the best units of each module."""
        inputs = self._inputs(items)
        size = max(1, _CELLS // (self._weights.shape[0] * self._weights.shape[2]))
        with torch.inference_mode():
            return _codes([self._read(inputs[start : start + size]) for start in range(0, max(len(inputs), 1), size)])

    def learn(self, items: ArrayLike, luck: NDArray[np.float64]) -> Codes:
        """Learn items one after the other, all macs at once, and return their codes.

        luck  (n, M, Q) in [0, 1), decides between equals and who is recruited: ``rng.random``
        """
        inputs = self._inputs(items)
        wanted = (len(inputs), len(self._fields), self.grid.modules)
        if luck.shape != wanted:
            raise InvalidInput(f"luck must be of shape {wanted}, got {luck.shape}.")
        with torch.inference_mode():
            tables = self._tables(int(inputs[:, self._fields].sum(dim=2).max()) if len(inputs) else 1)
            chance = torch.as_tensor(luck, device=self.device)
            steps = [self._learn(item, by, tables) for item, by in zip(inputs, chance, strict=True)]
            return _codes(steps) if steps else self.read(inputs.cpu().numpy())

    def _inputs(self, items: ArrayLike) -> Any:
        given, most = np.asarray(items), int(self._fields.max())
        if given.ndim != 2 or given.shape[1] <= most or not ((given == 0) | (given == 1)).all():
            raise InvalidInput(f"items must be 0 and 1 of shape (n, more than {most}), got {given.shape}.")
        return torch.as_tensor(given.astype(np.uint8), device=self.device)

    def _sums(self, inputs: Any) -> tuple[Any, Any, Any, Any]:
        """Return what each mac sees (M, n, L), how much of it is on, whether it runs, and the sums (M, n, Q, K)."""
        seen = inputs[:, self._fields].transpose(0, 1).to(torch.float32)
        count = seen.sum(dim=2).to(torch.int64)
        runs = (count >= self.grid.least) & (count <= (self.grid.most or sys.maxsize))
        sums = torch.bmm(seen, self._weights).unflatten(2, (self.grid.modules, self.grid.units)).to(torch.int32)
        return seen, count, runs, sums

    def _read(self, inputs: Any) -> tuple[Any, Any, Any]:
        _, count, runs, sums = self._sums(inputs)
        top = (sums * self.grid.units + self._backwards).amax(dim=3)  # sum and place in one: no ties
        winners = self.grid.units - 1 - top % self.grid.units
        known = (top // self.grid.units).sum(dim=2) / (self.grid.modules * count.clamp(min=1))
        codes = torch.where(runs[..., None], winners, -1).transpose(0, 1)
        return codes, codes, torch.where(runs, known, 0.0).transpose(0, 1)

    def _learn(self, item: Any, luck: Any, tables: tuple[Any, Any]) -> tuple[Any, Any, Any]:
        grid = self.grid
        seen, count, runs, sums = (found[:, 0] for found in self._sums(item[None]))
        most = sums.amax(dim=2)
        equal = torch.cumsum(sums == most[..., None], dim=2)
        best = (equal <= (luck * equal[..., -1]).long()[..., None]).sum(dim=2)
        total = most.sum(dim=1)
        plastic = (self._set < grid.freeze_unit * seen.shape[1]).unflatten(1, (grid.modules, grid.units))
        held = self._set.sum(dim=1, dtype=torch.float64) <= grid.freeze_mac * self._weights[0].numel()
        new = runs & held & (total < grid.gate * (grid.modules * count).double())
        fresh = new[:, None] & plastic.any(dim=2)
        shares, extra = tables
        weight = 1.0 + extra[count, total][:, None, None] * shares[count[:, None, None], sums.long()]
        running = torch.cumsum(weight * plastic, dim=2)
        drawn = (running <= (luck * running[..., -1])[..., None]).sum(dim=2).clamp(max=grid.units - 1)
        winners = torch.where(fresh, drawn, best)
        self._bind(seen, winners + self._first, fresh)
        known = torch.where(runs, total / (grid.modules * count.clamp(min=1)), 0.0)
        return tuple(
            x[None] for x in (torch.where(runs[:, None], winners, -1), torch.where(runs[:, None], best, -1), known)
        )

    def _bind(self, seen: Any, units: Any, fresh: Any) -> None:
        """Set the weights from the inputs that are on, (M, L), to the units (M, Q) that are fresh."""
        places = units[:, None].expand(-1, seen.shape[1], -1)
        held = self._weights.gather(2, places)
        wanted = torch.maximum(held, seen[:, :, None] * fresh[:, None])
        self._weights.scatter_(2, places, wanted)
        self._set.scatter_add_(1, units, (wanted - held).sum(dim=1))

    def _tables(self, most: int) -> tuple[Any, Any]:
        """Return the sigmoid by count and sum, and eta - 1 by count and sum of the best sums."""
        grid, count = self.grid, np.maximum(np.arange(most + 1), 1)[:, None]
        support = np.minimum(np.arange(most + 1) / count, 1.0)
        g = np.minimum(np.arange(grid.modules * most + 1) / (count * grid.modules), 1.0)
        made = sigmoid(support, grid.parameters), expansivity(g, grid.units, grid.parameters) - 1
        return torch.as_tensor(made[0], device=self.device), torch.as_tensor(made[1], device=self.device)


def _codes(parts: list[tuple[Any, Any, Any]]) -> Codes:
    winners, best, known = (torch.cat(column).cpu().numpy() for column in zip(*parts, strict=True))
    return Codes(winners.astype(np.int16), best.astype(np.int16), known.astype(np.float32))
