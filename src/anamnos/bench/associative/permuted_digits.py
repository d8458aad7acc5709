"""Tasks of digits whose pixels are shuffled anew for each: how much a small network forgets of the earlier ones."""

from __future__ import annotations

import contextlib
import warnings
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anamnos.associative.base import CapacityWarning
from anamnos.associative.orthogonal import Subspace

Guarding = Literal["none", "hebbian", "exact"]


@dataclass(frozen=True, slots=True)
class Forgetting:
    """Accuracy on task t after having learnt task s: ``table[s][t]`` for t <= s."""

    table: Sequence[Sequence[float]]

    @property
    def at_once(self) -> list[float]:
        """Accuracy on each task right after it was learnt."""
        return [row[-1] for row in self.table]

    @property
    def after(self) -> list[float]:
        """Mean accuracy on the tasks so far, after each task."""
        return [float(np.mean(row)) for row in self.table]

    @property
    def mean_forgetting(self) -> float:
        """How much accuracy the earlier tasks have lost at the end, on average."""
        last = self.table[-1]
        return float(np.mean([row[-1] - last[task] for task, row in enumerate(self.table[:-1])]))


def forgetting(
    images: NDArray[np.floating],
    labels: NDArray[np.integer],
    *,
    guard: Guarding,
    seed: int,
    train: int,
    tasks: int = 5,
    hidden: int = 100,
    epochs: int = 20,
    rate: float = 0.1,
    directions: tuple[int, int] = (12, 18),
) -> Forgetting:
    """Train an MLP n-hidden-10 on the tasks one after the other, by SGD with batches of 32, and test it after each.

    images      (count, n) from 0 to 1, the first ``train`` to train with, the others to test with
    guard       ``none``; ``hebbian``: subspaces learnt as they come; ``exact``: their principal components, worked out
    directions  per task, of the input and of the hidden layer, if it is guarded
    """
    import torch

    from anamnos.associative.orthogonal import OrthogonalGuard

    rng = np.random.default_rng(seed)
    x, y = torch.tensor(images, dtype=torch.float32), torch.tensor(labels, dtype=torch.int64)
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(x.shape[1], hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, 10))
    guards = [OrthogonalGuard(model[n], seed=seed) for n in (0, 2)] if guard != "none" else []
    if guard == "exact":
        for made in guards:
            made.subspace = ExactSubspace(made.subspace.dim)
    shuffles = [torch.tensor(rng.permutation(x.shape[1])) for _ in range(tasks)]
    table: list[list[float]] = []
    for number, shuffle in enumerate(shuffles):
        with contextlib.ExitStack() as stack, warnings.catch_warnings():
            warnings.simplefilter("ignore", CapacityWarning)
            for made, count in zip(guards, directions, strict=False):
                stack.enter_context(made.task(count))
            _train(model, x[:train, shuffle], y[:train], epochs, rate, rng)
        model.eval()
        with torch.no_grad():
            found = [model(x[train:, s]).argmax(dim=1) for s in shuffles[: number + 1]]
        table.append([(labels == y[train:]).float().mean().item() for labels in found])
        model.train()
    return Forgetting(table)


class ExactSubspace(Subspace):
    """Principal components of the last inputs of a task, worked out instead of learnt: the best that a rule can do."""

    def begin(self, directions: int) -> None:
        super().begin(directions)
        self._seen: deque[NDArray[np.float32]] = deque(maxlen=100)  # batches

    def observe(self, inputs: ArrayLike, *, steps: int = 5) -> None:
        if len(self.new):
            self._seen.append(np.array(inputs, dtype=np.float32))

    def merge(self) -> None:
        rows = self.free(np.concatenate(self._seen)).astype(np.float64)
        _, vectors = np.linalg.eigh(rows.T @ rows)
        self.new = vectors[:, -len(self.new) :].T.astype(np.float32)
        super().merge()


def _train(model: Any, x: Any, y: Any, epochs: int, rate: float, rng: np.random.Generator) -> None:
    import torch

    optimiser = torch.optim.SGD(model.parameters(), lr=rate)
    for _ in range(epochs):
        order = torch.tensor(rng.permutation(len(x)))
        for start in range(0, len(x), 32):
            batch = order[start : start + 32]
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
            optimiser.step()
