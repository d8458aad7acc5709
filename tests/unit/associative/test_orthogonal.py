"""The subspace that a layer's inputs lie in, learnt by Hebbian and anti-Hebbian steps."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np
import pytest

from anamnos.associative.arrays import digest
from anamnos.associative.base import CapacityWarning
from anamnos.associative.orthogonal import OrthogonalGuard, Subspace
from anamnos.errors import Conflict, Corrupt, InvalidInput, LimitExceeded, MissingExtra


def inputs(seed: int = 0, count: int = 4_000) -> Any:
    """Return inputs of 64 numbers, 12 directions of which are strong."""
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(np.random.default_rng(100).normal(size=(64, 64)))[0]
    deviations = np.concatenate([np.linspace(3, 1.5, 12), np.full(52, 0.5)])
    return ((rng.normal(size=(count, 64)) * deviations) @ turn).astype(np.float32)


def largest_angle(first: Any, second: Any) -> float:
    """Return the largest principal angle of what the rows span, in degrees."""
    bases = [np.linalg.qr(np.asarray(rows, dtype=np.float64).T)[0] for rows in (first, second)]
    cosines = np.linalg.svd(bases[0].T @ bases[1])[1]
    return float(np.degrees(np.arccos(np.clip(cosines.min(), -1, 1))))


def learnt(subspace: Subspace, rows: Any, batches: int = 400) -> Subspace:
    rng = np.random.default_rng(1)
    for _ in range(batches):
        subspace.observe(rows[rng.integers(len(rows), size=64)])
    return subspace


def test_two_thousand_steps_find_the_principal_subspace() -> None:
    rows = inputs()
    subspace = Subspace(64)
    subspace.begin(12)
    learnt(subspace, rows)
    _, vectors = np.linalg.eigh(rows.T @ rows)
    assert largest_angle(subspace.new, vectors[:, -12:].T) < 5


def test_a_later_task_learns_what_is_new_and_leaves_the_old() -> None:
    rows, rng = inputs(), np.random.default_rng(5)
    subspace = Subspace(64)
    subspace.begin(12)
    learnt(subspace, rows).merge()
    old = subspace.old.copy()
    apart = np.linalg.qr(np.vstack([old, rng.normal(size=(6, 64))]).T)[0].T[12:]
    more = (rng.normal(size=(2_000, 6)) @ apart * 2 + rows[:2_000]).astype(np.float32)
    subspace.begin(6)
    learnt(subspace, more).merge()
    assert subspace.old[:12].tobytes() == old.tobytes()
    assert np.abs(subspace.old @ subspace.old.T - np.eye(18)).max() < 1e-5
    assert np.abs(subspace.free(old)).max() < 1e-5
    assert largest_angle(subspace.old[12:], apart) < 15


def test_there_are_only_so_many_directions() -> None:
    subspace = Subspace(10)
    subspace.begin(8)
    with pytest.raises(Conflict, match="already"):
        subspace.begin(1)
    subspace.merge()
    with pytest.warns(CapacityWarning, match="9 of 10"):
        subspace.begin(1)
    subspace.merge()
    with pytest.raises(LimitExceeded):
        subspace.begin(2)
    for wrong in (np.ones(10), np.ones((2, 9)), np.full((1, 10), np.nan)):
        with pytest.raises(InvalidInput):
            subspace.observe(wrong)


def test_the_state_comes_back() -> None:
    subspace = Subspace(64, seed=3)
    subspace.begin(5)
    learnt(subspace, inputs(), 20).merge()
    subspace.begin(5)
    learnt(subspace, inputs(), 20)
    again = Subspace.from_state(subspace.state_dict())
    assert digest(again.state_dict()) == digest(subspace.state_dict())
    assert digest(learnt(again, inputs(), 3).state_dict()) == digest(learnt(subspace, inputs(), 3).state_dict())
    state = subspace.state_dict()
    for name in state:
        with pytest.raises(Corrupt):
            Subspace.from_state({n: a for n, a in state.items() if n != name})
    with pytest.raises(Corrupt, match="fit together"):
        Subspace.from_state({**state, "momentum": state["momentum"][:1]})


def test_without_pytorch_a_guard_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def none(name: str, *rest: Any) -> Any:
        if name == "torch":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", none)
    with pytest.raises(MissingExtra, match="OrthogonalGuard"):
        OrthogonalGuard(object())
