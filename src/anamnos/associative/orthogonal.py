"""Learning that leaves what was learnt before alone: a layer's updates are kept off the subspace its inputs lay in.

A lateral module H (m x n, one direction a row) learns the principal subspace of a layer's inputs x by a Hebbian and an
anti-Hebbian term, Delta H = y^T (x - y H) / B with y = x H^T. Later tasks change the weight by x less its part in the
directions of earlier tasks, so that W x stays for every x that lies in these. Source: arXiv:2402.11984, section 4.

``Subspace`` needs NumPy only; ``OrthogonalGuard`` keeps one for a layer of PyTorch.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anamnos.associative.arrays import Array, from_json_array, json_array, need
from anamnos.associative.base import CapacityWarning
from anamnos.associative.checks import LARGEST, check_whole
from anamnos.errors import Conflict, Corrupt, InvalidInput, LimitExceeded, MissingExtra

Floats = NDArray[np.float32]
_CLAMP, _MOMENTUM, _RATE = 10.0, 0.9, 0.01
_SCALE = 8.0  # length of inputs, root mean square: with it the rate suits every layer
_SETTLING = 25  # batches after which the rate is half of what it was, a quarter after three times as many
_WARN_FULL = 0.9  # of the directions that there are
_MOST_ROWS = 2_048  # inputs of a batch that the subspace learns from; patches of images are many


class Subspace:
    """Directions of an n-dimensional input that are in use: those of earlier tasks, fixed, and those being learnt.

    dim   n
    seed  of the directions that learning begins with
    """

    def __init__(self, dim: int, *, seed: int = 0) -> None:
        check_whole("dim", dim)
        check_whole("seed", seed, least=0)
        self.dim = dim
        self._seed = seed
        self.old: Floats = np.zeros((0, dim), dtype=np.float32)
        self.new: Floats = np.zeros((0, dim), dtype=np.float32)
        self._momentum: Floats = np.zeros((0, dim), dtype=np.float32)
        self._batches = 0  # seen by the task that is being learnt

    def begin(self, directions: int) -> None:
        """Add directions, orthogonal to all that there are, for a task to learn.

        Raises: LimitExceeded if the input has not so many free ones; Conflict while another task learns. Warns from
        nine tenths of them on: then hardly anything can be learnt any more.
        """
        check_whole("directions", directions)
        if len(self.new):
            raise Conflict("A task is being learnt already.", hint="Call merge first.")
        used = len(self.old) + directions
        if used > self.dim:
            raise LimitExceeded(
                f"{directions} more directions and {len(self.old)} in use are more than the {self.dim} of the input.",
                hint="Give each task fewer, or the layer more inputs.",
            )
        if used >= _WARN_FULL * self.dim:
            warnings.warn(
                f"{used} of {self.dim} directions will be in use: little is left to learn with.",
                CapacityWarning,
                stacklevel=2,
            )
        random = np.random.Generator(np.random.PCG64([self._seed, len(self.old)]))
        drawn = random.standard_normal((directions, self.dim))
        self.new = _orthonormal(drawn, self.old)
        self._momentum = np.zeros_like(self.new)
        self._batches = 0

    def observe(self, inputs: ArrayLike, *, steps: int = 5) -> None:
        """Learn from inputs (B, n) by ``steps`` steps of the rule, with momentum and a falling rate."""
        rows = np.asarray(inputs, dtype=np.float32)
        if rows.ndim != 2 or rows.shape[1] != self.dim or not np.isfinite(rows).all():
            raise InvalidInput(f"inputs must be finite, of shape (B, {self.dim}), got {rows.shape}.")
        if not len(rows) or not len(self.new):
            return
        rows = self.free(rows)
        strength = float(np.sqrt((rows**2).sum(axis=1).mean()))
        if strength < 1e-8:
            return
        rows = rows * (_SCALE / strength)
        rate = _RATE / (1 + self._batches / _SETTLING)
        self._batches += 1
        for _ in range(steps):
            out = rows @ self.new.T
            change = out.T @ (rows - out @ self.new) / len(rows)
            self._momentum = _MOMENTUM * self._momentum + np.clip(change, -_CLAMP, _CLAMP)
            self.new = self.new + rate * self._momentum

    def merge(self) -> None:
        """Fix the directions of the task that was learnt, made orthonormal; from now on they are old."""
        self.old = np.concatenate([self.old, _orthonormal(self.new, self.old)])
        self.new = np.zeros((0, self.dim), dtype=np.float32)
        self._momentum = self.new

    def free(self, inputs: ArrayLike) -> Floats:
        """Return the part of inputs (…, n) that is in no old direction."""
        rows = np.asarray(inputs, dtype=np.float32)
        return np.asarray(rows - (rows @ self.old.T) @ self.old)

    def state_dict(self) -> dict[str, Array]:
        """Return the state as plain arrays."""
        return {
            "spec": json_array({"system": "orthogonal-subspace", "version": 1, "dim": self.dim, "seed": self._seed}),
            "old": self.old,
            "new": self.new,
            "momentum": self._momentum,
            "batches": np.array(self._batches),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Array]) -> Self:
        """Return the subspace that had this state. Raises: InvalidInput if it is of something else, Corrupt."""
        spec = from_json_array(need(state, "spec"))
        if not isinstance(spec, dict) or (spec.get("system"), spec.get("version")) != ("orthogonal-subspace", 1):
            raise InvalidInput("This is no state of a subspace.")
        made = cls(spec.get("dim", 0), seed=spec.get("seed", -1))
        made.old, made.new, made._momentum = (
            need(state, name, None, np.float32, least=-LARGEST, most=LARGEST).copy()
            for name in ("old", "new", "momentum")
        )
        made._batches = int(need(state, "batches", (), np.int64, least=0))
        if any(a.ndim != 2 or a.shape[1] != made.dim for a in (made.old, made.new)):
            raise Corrupt(f"The directions of this state are not of {made.dim} numbers.")
        if made._momentum.shape != made.new.shape:
            raise Corrupt("The parts of this state do not fit together.")
        return made


class OrthogonalGuard:
    """Keeps a layer's weight as it is for the inputs of earlier tasks, while new ones are learnt.

    layer  ``torch.nn.Linear``, or ``torch.nn.Conv2d`` of one group, whose inputs are its patches
    seed   of the subspace

    with guard.task(80):  # once per task: 80 directions for it
        train(model)

    While a task trains, each forward pass in training mode teaches the subspace, and gradients of the weight lose their
    part in the directions of earlier tasks, as if they had been made from x less that part; a bias is learnt with the
    first task only. Plain SGD, with or without momentum, keeps the promise; weight decay and optimisers that scale each
    weight by itself (Adam) do not. Raises: MissingExtra without PyTorch.
    """

    def __init__(self, layer: Any, *, seed: int = 0) -> None:
        torch = _torch()
        if isinstance(layer, torch.nn.Conv2d) and layer.groups == 1:
            if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
                raise InvalidInput("Of Conv2d only padding with zeros by a number is known.")
        elif not isinstance(layer, torch.nn.Linear):
            raise InvalidInput(f"layer must be Linear, or Conv2d of one group, got {type(layer).__name__}.")
        self.layer = layer
        self.subspace = Subspace(int(layer.weight[0].numel()), seed=seed)
        self._hooks = [layer.register_forward_pre_hook(self._observe), layer.weight.register_hook(self._projected)]
        if layer.bias is not None:
            self._hooks.append(layer.bias.register_hook(lambda grad: grad * (0 if len(self.subspace.old) else 1)))

    @contextmanager
    def task(self, directions: int) -> Iterator[None]:
        """Learn a task with so many new directions; they are fixed when it ends. Raises: as ``Subspace.begin``."""
        self.subspace.begin(directions)
        yield
        self.subspace.merge()

    def remove(self) -> None:
        """Let the layer go: its gradients are what they would be."""
        for hook in self._hooks:
            hook.remove()

    def state_dict(self) -> dict[str, Array]:
        """Return the subspace as plain arrays; the weight is the layer's own."""
        return self.subspace.state_dict()

    @classmethod
    def from_state(cls, layer: Any, state: Mapping[str, Array]) -> Self:
        """Return the guard of a layer that had this state. Raises: InvalidInput if the layer has other inputs."""
        guard = cls(layer)
        subspace = Subspace.from_state(state)
        if subspace.dim != guard.subspace.dim:
            guard.remove()
            raise InvalidInput(f"The state is of {subspace.dim} inputs, the layer has {guard.subspace.dim}.")
        guard.subspace = subspace
        return guard

    def _observe(self, layer: Any, inputs: tuple[Any, ...]) -> None:
        if not layer.training or not len(self.subspace.new):
            return
        torch, given = _torch(), inputs[0].detach()
        if isinstance(layer, torch.nn.Conv2d):
            patches = torch.nn.functional.unfold(
                given, layer.kernel_size, dilation=layer.dilation, padding=layer.padding, stride=layer.stride
            )
            rows = patches.transpose(1, 2).reshape(-1, self.subspace.dim)
        else:
            rows = given.reshape(-1, self.subspace.dim)
        every = -(-len(rows) // _MOST_ROWS)
        self.subspace.observe(rows[::every].float().cpu().numpy())

    def _projected(self, gradient: Any) -> Any:
        """Return delta^T x_free, which is (delta^T x) less its part in the old directions."""
        old = self.subspace.old
        if not len(old):
            return gradient
        directions = _torch().as_tensor(old).to(gradient)
        flat = gradient.reshape(len(gradient), -1)
        return (flat - (flat @ directions.T) @ directions).reshape(gradient.shape)


def _orthonormal(rows: NDArray[np.floating], old: Floats) -> Floats:
    """Return an orthonormal basis of what rows span beside ``old``."""
    if not len(rows):
        return np.zeros((0, old.shape[1]), dtype=np.float32)
    basis, exact = old.astype(np.float64), rows.astype(np.float64)
    for _ in range(2):  # once more against rounding
        exact = exact - (exact @ basis.T) @ basis
    return np.asarray(np.linalg.qr(exact.T)[0].T, dtype=np.float32)


def _torch() -> Any:
    try:
        import torch
    except ImportError as exc:
        raise MissingExtra("OrthogonalGuard", "torch") from exc
    return torch
