"""The simulations of ``dense_hebbian``: each returns plain numbers."""

from __future__ import annotations

import math
from itertools import combinations, permutations
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anamnos.associative.hebbian import glass
from anamnos.associative.hebbian.dynamics import Network, RealNetwork, SignNetwork
from anamnos.associative.hebbian.replica import patterns_per_load
from anamnos.bench.associative.images import Images

Real = NDArray[np.float64]
Spins = NDArray[np.int8]
HELD = (
    0.65  # an overlap above says that a pattern is held: between those of recall (> 0.85) and of what is left (< 0.45)
)


def spins(rng: np.random.Generator, *shape: int) -> Spins:
    return rng.choice(np.array([-1, 1], dtype=np.int8), size=shape)


def count_at(order: int, length: int, load: float) -> int:
    return max(1, round(load * patterns_per_load(order, length)))


def held(
    order: int, length: int, load: float, seed: int, *, temperature: float = 0.0, sweeps: int = 100, runs: int = 16
) -> Real:
    """Return the overlaps with their patterns of states that began there, cooled at the end if there was heat."""
    rng = np.random.default_rng(seed)
    patterns = spins(rng, count_at(order, length, load), length)
    network, start = SignNetwork(patterns, order), patterns[:runs]
    states = network.relax(start, sweeps=sweeps, temperature=temperature, rng=rng).states
    if temperature:
        states = network.relax(states, rng=rng).states
    return np.asarray((states * start).mean(axis=1), dtype=np.float64)


def half_load(loads: list[float], shares: list[float]) -> float:
    """Return where a straight line through the shares that are not near 0 or 1 passes one half; 0 if it rises."""
    told = [(x, y) for x, y in zip(loads, shares, strict=True) if 0.03 < y < 0.97]
    if len(told) < 2:  # a step: between the last share above a half and the next
        above = [x for x, y in zip(loads, shares, strict=True) if y >= 0.5]
        below = [x for x, y in zip(loads, shares, strict=True) if y < 0.5]
        return ((above or loads)[-1] + (below or loads[-1:])[0]) / 2
    slope, level = np.polyfit([x for x, _ in told], [y for _, y in told], 1)
    return float((0.5 - level) / slope) if slope < 0 else 0.0


def stable_share(order: int, length: int, load: float, seed: int, runs: int = 60) -> float:
    """Return the share of patterns all of whose spins are the signs of their fields."""
    rng = np.random.default_rng(seed)
    patterns = spins(rng, count_at(order, length, load), length)
    first = patterns[:runs]
    return float((SignNetwork(patterns, order).fields(first) * first > 0).all(axis=1).mean())


def half_stable(order: int, length: int) -> float:
    """Return the load at which theory expects half of the patterns stable: Phi(1 / sqrt(C alpha))^N = 1/2."""
    return float(1 / (math.factorial(order - 1) * NormalDist().inv_cdf(0.5 ** (1 / length)) ** 2))


def learnt(
    order: int, count: int, length: int, quality: float, examples: int, teacher: bool, seeds: tuple[int, ...]
) -> float:
    """Return the mean overlap with the archetype, from 10 % flips of it."""
    found = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        true = spins(rng, count, length)
        right = rng.random((count, examples, length)) < (1 + quality) / 2
        seen = np.where(right, true[:, None], -true[:, None]).astype(np.int8)
        network: Network = SignNetwork(seen.reshape(-1, length), order)
        if teacher:
            votes = seen.sum(axis=1, dtype=np.float64)
            network = RealNetwork(votes / np.sqrt((votes**2).mean(axis=1, keepdims=True)), order)
        first = true[:20]
        start = np.where(rng.random(first.shape) < 0.1, -first, first)
        found.append(float((network.relax(start, rng=rng).states * first).mean()))
    return float(np.mean(found))


def under_noise(order: int, length: int, count: int, noise: float, seed: int, runs: int = 4) -> float:
    """Return the overlap that is left when every pattern's every coupling carries normal noise of this size."""
    rng = np.random.default_rng(seed)
    patterns = spins(rng, count, length).astype(np.float64)
    chosen = np.array(list(combinations(range(length), order)))
    values = np.prod(patterns[:, chosen], axis=2).sum(axis=0)
    values += noise * math.sqrt(count) * rng.standard_normal(len(chosen))
    tensor = np.zeros((length,) * order, dtype=np.float32)
    for places in permutations(range(order)):
        tensor[tuple(chosen[:, list(places)].T)] = values
    found = []
    for pattern in patterns[: min(runs, count)]:
        state = pattern.astype(np.float32)
        for _ in range(30):
            before = state.copy()
            for site in rng.permutation(length):
                field = tensor[site]
                for _ in range(order - 1):
                    field = field @ state
                state[site] = np.sign(field) or state[site]
            if np.array_equal(before, state):
                break
        found.append(float((state * pattern).mean()))
    return float(np.mean(found))


def small_glass(
    order: int, length: int, load: float, temperatures: list[float], seeds: range
) -> tuple[float, list[float], list[float]]:
    """Return the ground energy and, per temperature, the shares |q| > 0.5 and 0.3 < |q| < 0.6, in units of J."""
    # a finite size has (N-1)(N-2)... couplings of a spin where N^(P-1) are meant
    unit = glass.coupling(order, load) * patterns_per_load(order, length) / length ** (order - 1)
    ground, shared, between = [], [], []
    for seed in seeds:
        patterns = spins(np.random.default_rng(1_000 + seed), count_at(order, length, load), length)
        energies = glass.spectrum(patterns, order) / unit
        ground.append(float(energies.min()) / length)
        for temperature in temperatures:
            q, chance = glass.replica_overlaps(energies, temperature)
            shared.append(float(chance[np.abs(q) > 0.5].sum()))
            between.append(float(chance[(np.abs(q) > 0.3) & (np.abs(q) < 0.6)].sum()))
    several = (-1, len(temperatures))
    means = [np.mean(np.reshape(values, several), axis=0).tolist() for values in (shared, between)]
    return float(np.mean(ground)), means[0], means[1]


# --- images


def structured(found: Images, asked: slice) -> dict[str, dict[str, float]]:
    """Return, per rule, how often an image leads to the archetype of its class, and the overlap with that.

    Archetypes are the signs of the classes' mean images. The decorrelated rule puts C^-1 m for the overlaps m, C those
    of the archetypes with each other: for P = 2 that is the projection (pseudo-inverse) rule.

    asked  which of the images to learn from are kept for asking
    """
    signs = np.where(found.train > 0.5, 1, -1).astype(np.int8)
    cues, wanted, length = signs[asked], found.train_labels[asked], signs.shape[1]
    learn, classes = signs[: asked.start], found.train_labels[: asked.start]
    means = np.stack([learn[classes == c].mean(axis=0) for c in range(10)])
    archetypes = np.where(means >= 0, 1, -1).astype(np.int8)
    distances = _distances(cues, means)
    out = {"nearest class mean": {"accuracy": float((distances.argmin(axis=1) == wanted).mean())}}
    overlap = cues.astype(np.float64) @ archetypes.T / length
    out["nearest archetype"] = _told(overlap, wanted)
    inverse = np.linalg.inv(archetypes.astype(np.float64) @ archetypes.T / length)
    for order in (2, 4, 6):
        for name, mixed in (("plain", np.eye(10)), ("decorrelated", inverse)):
            states = cues.astype(np.float64)
            for _ in range(30):
                before = states
                fields = ((states @ archetypes.T / length) @ mixed) ** (order - 1) @ archetypes
                states = np.where(fields > 0, 1.0, np.where(fields < 0, -1.0, states))
                if np.array_equal(before, states):
                    break
            out[f"P = {order}, {name}"] = _told(states @ archetypes.T / length, wanted)
    return out


def _distances(cues: Spins, means: Real) -> Real:
    return np.asarray((means**2).sum(axis=1) - 2 * cues.astype(np.float64) @ means.T)


def _told(overlaps: Real, wanted: Any) -> dict[str, float]:
    right = overlaps[np.arange(len(wanted)), wanted]
    return {"accuracy": float((overlaps.argmax(axis=1) == wanted).mean()), "overlap": float(right.mean())}
