"""Multitasking Hebbian networks: several diluted patterns in one state, and learning them from examples."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anamnos.associative.hebbian.dynamics import RealNetwork, SignNetwork
from anamnos.associative.hebbian.multitask import amplitudes, critical_dilution, hierarchy
from anamnos.bench.associative.experiment import Experiment, Setting, Table
from anamnos.bench.limits import Limit
from anamnos.bench.plots import line_chart

Spins = NDArray[np.int8]
_CASES = ((0.2, 3), (0.5, 3), (0.5, 5), (0.6, 5), (0.7, 5), (0.8, 3), (0.9, 3))  # dilution, patterns
_QUALITY = 0.3


def run(setting: Setting) -> Experiment:
    """Run it: about a minute on one core."""
    length = 300 if setting.quick else 2_000
    repeats = 1 if setting.quick else 4
    table = []
    worst, parallel = 0.0, 0.0
    for done, (dilution, patterns) in enumerate(_CASES[:2] if setting.quick else _CASES):
        setting.progress("amplitudes", done, len(_CASES))
        found = _mean(dilution, patterns, length, setting.seeds, repeats)
        theory = amplitudes(dilution, patterns)
        below = dilution < critical_dilution(patterns)
        if below:
            worst = max(worst, float(np.abs(found - hierarchy(dilution, patterns)).max()))
        else:
            parallel = max(parallel, float(np.abs(np.sort(found)[::-1] - theory).max()))
        regime = "hierarchy" if below else "beyond d_c"
        table.append(
            (f"{dilution}", f"{patterns}", regime, _text(found), _text(hierarchy(dilution, patterns)), _text(theory))
        )
    learnt = _learning(setting, 2 * length, max(1, repeats // 2))
    enough = [row for row in learnt if row["rho"] <= 1.02]
    gap = max(abs(a - b) for row in enough for a, b in zip(row["supervised"], row["unsupervised"], strict=True))
    grid = np.arange(0.1, 0.96, 0.85 if setting.quick else 0.05).round(3).tolist()
    series: dict[str, list[tuple[float, float]]] = {}
    for done, dilution in enumerate(grid):
        setting.progress("chart", done, len(grid))
        theory, found = amplitudes(dilution, 3), np.sort(_mean(dilution, 3, length, setting.seeds[:2], 1))[::-1]
        for number in range(3):
            series.setdefault(f"m{number + 1}, theory", []).append((dilution, float(theory[number])))
            series.setdefault(f"m{number + 1}, N = {length:,}", []).append((dilution, float(found[number])))
    return Experiment(
        "multitasking",
        "Multitasking Hebbian networks",
        [
            f"Patterns of {length:,} sites, blank at a share d of them; the state begins at the hierarchy and follows"
            f" the dynamics at temperature 0 ({len(setting.seeds)} seeds of {repeats} networks). Up to d_c(K) its"
            " amplitudes stay those of the theory, d^(k-1) (1 - d); beyond, they follow the flow"
            " dm/dt = E[xi sign(xi m)] - m to amplitudes that are nearer to each other, and at many blanks alike.",
            "d_c follows from m_1 > m_2 + ... + m_K: "
            + ", ".join(f"{critical_dilution(k):.3f} for K = {k}" for k in (2, 3, 5, 8))
            + ".",
            "Where rho, the dataset entropy, is above 1, little is learnt either way, and without a teacher the state"
            " falls to single examples; below, the curves with and without one come together.",
        ],
        [
            Table(("d", "K", "regime", "measured", "hierarchy", "theory of the flow"), table, "Amplitudes"),
            Table(
                ("examples M", "rho", "with a teacher", "without"),
                [
                    (f"{r['examples']}", f"{r['rho']:.2f}", _text(r["supervised"]), _text(r["unsupervised"]))
                    for r in learnt
                ],
                f"Amplitudes, largest first, of three archetypes from examples of quality r = {_QUALITY}, d = 0.2",
            ),
        ],
        {
            "amplitudes": [list(row) for row in table],
            "learning": learnt,
            "worst_hierarchy": worst,
            "worst_beyond": parallel,
            "gap": gap,
        },
        [
            Limit("multitasking: amplitudes of the hierarchy, largest distance from theory", "at most", 0.03, worst),
            Limit("multitasking: amplitudes beyond d_c, largest distance from the flow", "at most", 0.05, parallel),
            Limit(
                "multitasking: learning with and without a teacher, largest gap from rho = 1 on", "at most", 0.05, gap
            ),
        ],
        {
            "amplitudes": line_chart(
                series, title="Three patterns in one state", x_label="dilution d", y_label="amplitude"
            )
        },
    )


def _diluted(rng: np.random.Generator, count: int, length: int, dilution: float) -> Spins:
    signs = rng.choice(np.array([-1, 1], dtype=np.int8), size=(count, length))
    return np.asarray(np.where(rng.random(signs.shape) < dilution, 0, signs), dtype=np.int8)


def _first(patterns: Spins) -> Spins:
    """Return the hierarchical state: the first of the patterns that is not blank; 0 where all are."""
    state: Spins = patterns[0].copy()
    for pattern in patterns[1:]:
        blank = state == 0
        state[blank] = pattern[blank]
    return state


def _mean(dilution: float, patterns: int, length: int, seeds: tuple[int, ...], repeats: int) -> NDArray[np.float64]:
    found = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        for _ in range(repeats):
            made = _diluted(rng, patterns, length, dilution)
            network = SignNetwork(made, 2)
            state = network.relax(network.completed(_first(made), rng=rng), rng=rng).states[0]
            found.append(made @ state.astype(np.float64) / length)
    ranked = found if dilution < critical_dilution(patterns) else [np.sort(m)[::-1] for m in found]
    return np.asarray(np.mean(ranked, axis=0))


def _learning(setting: Setting, length: int, repeats: int) -> list[dict[str, Any]]:
    rows = []
    counts = (5, 80) if setting.quick else (2, 5, 10, 20, 40, 80)
    for done, examples in enumerate(counts):
        setting.progress("learning", done, len(counts))
        found: dict[str, list[NDArray[np.float64]]] = {"supervised": [], "unsupervised": []}
        for seed in setting.seeds:
            rng = np.random.default_rng(seed)
            for _ in range(repeats):
                archetypes = _diluted(rng, 3, length, 0.2)
                right = rng.random((3, examples, length)) < (1 + _QUALITY) / 2
                seen = np.where(right, archetypes[:, None], -archetypes[:, None]).astype(np.int8)
                start = _first(archetypes)
                networks = {
                    "supervised": RealNetwork(seen.sum(axis=1) / examples, 2),
                    "unsupervised": SignNetwork(seen.reshape(-1, length), 2),
                }
                for name, network in networks.items():
                    state = network.relax(network.completed(start, rng=rng), rng=rng).states[0]
                    found[name].append(np.sort(np.abs(archetypes @ state.astype(np.float64)))[::-1] / length)
        rho = (1 - _QUALITY**2) / (examples * _QUALITY**2)
        means = {name: np.mean(values, axis=0).tolist() for name, values in found.items()}
        rows.append({"examples": examples, "rho": rho, **means})
    return rows


def _text(values: Any) -> str:
    return " ".join(f"{v:.2f}" if math.fabs(v) >= 0.005 else "0" for v in values)
