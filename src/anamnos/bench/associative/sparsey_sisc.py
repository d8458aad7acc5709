"""Sparsey's codes: like inputs get codes that overlap, and how many items a mac holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from anamnos.associative.sparsey.csa import CAPACITY, SIMILARITY, CsaParameters
from anamnos.associative.sparsey.mac import SparseyMac, SparseySpec, capacity
from anamnos.bench.associative.experiment import Experiment, Setting, Table
from anamnos.bench.limits import Limit
from anamnos.bench.plots import line_chart

_LENGTH, _ACTIVE, _MODULES = 144, 20, 24
_SETS = {"similarity": SIMILARITY, "capacity": CAPACITY, "uniform": CsaParameters(chi=0)}
_SHARED = (20, 18, 16, 14, 12, 10, 6, 2)
_MEASURED = {  # in the specification, of few runs
    "similarity": (0.99, 0.99, 0.96, 0.94, 0.82, 0.73, 0.59, 0.39),
    "capacity": (0.89, 0.83, 0.68, 0.48, 0.26, 0.23, 0.14, 0.14),
}
_SIZES = ((144, 20, 8), (400, 20, 16))
_LOADS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
_NOISE = 0.2
Bits = NDArray[np.uint8]
_Row = tuple[tuple[int, int, int], str, float, int, float, float, float]
"""Size, choice, load, items, right winners expected and found, noisy cues whose item is found."""


def run(setting: Setting) -> Experiment:
    """Measure the overlap of codes by that of inputs, and recall by load beside the formula."""
    repeats = 1 if setting.quick else 10 * len(setting.seeds)
    loads = _LOADS[1:4:2] if setting.quick else _LOADS
    seeds = setting.seeds[:1] if setting.quick else setting.seeds
    overlap = {name: _overlap(parameters, repeats) for name, parameters in _SETS.items()}
    rows: list[_Row] = []
    for size in _SIZES[:1] if setting.quick else _SIZES:
        for name in ("uniform", "capacity"):
            setting.progress(f"{size}, {name}", len(rows), 2 * len(_SIZES) * len(loads))
            for load in loads:
                found = np.mean([_recall(size, _SETS[name], load, seed) for seed in seeds], axis=0)
                items = round(load * capacity(*size))
                right, noisy = found.tolist()
                rows.append((size, name, load, items, expected_right(*size, items), right, noisy))
    known = np.array([_familiarity(seed) for seed in range(repeats)])
    return Experiment(
        "sparsey_sisc",
        "Sparsey: codes and capacity",
        [
            f"Codes of {_MODULES} winners. 30 random items of {_ACTIVE} of {_LENGTH} bits are stored, then X, then an"
            " item that shares some of its bits with X: the share of X's winners that it is given. Chance is 1/8. The"
            " uniform choice takes no notice of likeness; the other two trade it against capacity.",
            "Capacity M*: a wrong unit ties with the right one in a tenth of the modules by the mean fill. Expected:"
            " the same by the fill of each single unit, which differs, with the winner drawn among equals. Noisy: a"
            " fifth of the bits of the cue replaced; right if the stored item of the best belief is the one.",
        ],
        [_overlap_table(overlap), _recall_table(rows)],
        {
            "overlap": overlap,
            "recall": [
                {"size": size, "set": name, "load": load, "items": n, "expected": e, "right": r, "noisy": b}
                for size, name, load, n, e, r, b in rows
            ],
            "auc at half the capacity": float(known[:, 2].min()),
        },
        [] if setting.quick else _limits(overlap, rows, known),
        {} if setting.quick else _charts(overlap, rows),
    )  # fmt: skip


def expected_right(length: int, active: int, units: int, items: int) -> float:
    """Return the expected share of right winners at a load, codes chosen uniformly.

    A unit has n of the M - 1 other items with a binomial chance; all S inputs of the cue are set in it with chance
    (1 - (1 - S/L)^n)^S = x, so of the K - 1 wrong ones T tie, and one of 1 + T is drawn: (1 - (1 - x)^K) / (K x).
    Source: ours.
    """
    n = np.arange(items)
    steps = np.log(np.maximum(items - 1 - n[:-1], 1)) - np.log(n[:-1] + 1) - np.log(units - 1)
    log_chance = np.concatenate([[(items - 1) * np.log1p(-1 / units)], steps]).cumsum()
    x = float((np.exp(log_chance) * (1 - (1 - active / length) ** n) ** active).sum())
    return (1 - (1 - x) ** units) / (units * x) if x > 0 else 1.0


def _mac(size: tuple[int, int, int], parameters: CsaParameters, seed: int) -> SparseyMac:
    length, active, units = size
    return SparseyMac(
        SparseySpec(
            length=length, active=active, units=units, modules=_MODULES, seed=seed, share=4.0, **asdict(parameters)
        )
    )  # fmt: skip


def _patterns(rng: np.random.Generator, count: int, length: int = _LENGTH, active: int = _ACTIVE) -> Bits:
    return (rng.random((count, length)).argsort(axis=1) < active).astype(np.uint8)


def _sharing(rng: np.random.Generator, key: Bits, shared: int) -> Bits:
    on, off = np.flatnonzero(key), np.flatnonzero(key == 0)
    bits = np.zeros_like(key)
    bits[rng.choice(on, shared, replace=False)] = 1
    bits[rng.choice(off, len(on) - shared, replace=False)] = 1
    return bits


def _overlap(parameters: CsaParameters, repeats: int) -> list[float]:
    found = np.zeros((repeats, len(_SHARED)))
    for seed in range(repeats):
        rng, mac = np.random.default_rng(seed), _mac((_LENGTH, _ACTIVE, 8), parameters, seed)
        keys = _patterns(rng, 31)
        codes = [mac.write(key).code for key in keys]
        for place, shared in enumerate(_SHARED):
            found[seed, place] = (deepcopy(mac).write(_sharing(rng, keys[30], shared)).code == codes[30]).mean()
    return [float(value) for value in found.mean(axis=0)]


def _recall(size: tuple[int, int, int], parameters: CsaParameters, load: float, seed: int) -> tuple[float, float]:
    """Return the share of right winners of the items themselves, and of noisy cues whose item is found."""
    rng, mac = np.random.default_rng(seed), _mac(size, parameters, seed)
    keys = _patterns(rng, round(load * capacity(*size)), size[0], size[1])
    for key in keys:
        mac.write(key)
    right = np.mean([mac.belief(key)[number] for number, key in enumerate(keys)])
    some = rng.choice(len(keys), min(100, len(keys)), replace=False)
    noisy = [_sharing(rng, keys[number], round((1 - _NOISE) * size[1])) for number in some]
    best = [int(mac.belief(cue).argmax()) for cue in noisy]
    return float(right), float(np.mean(np.array(best) == some))


def _familiarity(seed: int) -> tuple[float, float, float]:
    """Return G of stored and of new items, and how well it tells them apart (AUC), at half the capacity."""
    rng, mac = np.random.default_rng(seed), _mac((_LENGTH, _ACTIVE, 8), CAPACITY, seed)
    keys = _patterns(rng, round(capacity(_LENGTH, _ACTIVE, 8) / 2))
    for key in keys:
        mac.write(key)
    known = np.array([mac.familiarity(key) for key in keys])
    new = np.array([mac.familiarity(key) for key in _patterns(rng, 100)])
    over = (known[:, None] > new).mean() + (known[:, None] == new).mean() / 2
    return float(known.mean()), float(new.mean()), float(over)


def _overlap_table(overlap: Mapping[str, Sequence[float]]) -> Table:
    rows = [[name, *(f"{value:.2f}" for value in values)] for name, values in overlap.items()]
    head = ("Choice", *(f"{shared} of {_ACTIVE}" for shared in _SHARED))
    return Table(head, rows, "Share of X's winners given to an item that shares so many bits with X")


def _recall_table(rows: Sequence[_Row]) -> Table:
    return Table(
        ("L, S, K", "choice", "load", "items", "expected", "right winners", "noisy cue finds its item"),
        [
            [f"{size}", name, f"{load:g} M*", f"{items}", f"{expected:.3f}" if name == "uniform" else "",
             f"{right:.3f}", f"{noisy:.3f}"]
            for size, name, load, items, expected, right, noisy in rows
        ],
        "Recall by load",
    )  # fmt: skip


def _limits(
    overlap: Mapping[str, Sequence[float]],
    rows: Sequence[_Row],
    known: NDArray[np.float64],
) -> list[Limit]:
    rise = max(max(b - a for a, b in pairwise(v)) for v in overlap.values())
    far = max(abs(a - b) for name, told in _MEASURED.items() for a, b in zip(told, overlap[name], strict=True))
    uniform = [row for row in rows if row[1] == "uniform"]
    half = [row[5] for row in rows if row[2] == 0.5]
    return [
        Limit("codes by likeness: largest rise where inputs share less", "at most", 0.05, rise),
        Limit("codes by likeness: farthest from the table", "at most", 0.2, far, why="the table is of few runs"),
        Limit("right winners at half of M*, any choice", "at least", 0.98, min(half)),
        Limit("right winners, farthest from what is expected", "at most", 0.05, max(abs(r[5] - r[4]) for r in uniform)),
        Limit("known from new by G at half of M*, worst AUC", "at least", 1.0, float(known[:, 2].min())),
    ]


def _charts(
    overlap: Mapping[str, Sequence[float]],
    rows: Sequence[_Row],
) -> dict[str, str]:
    curves = {
        name: [(shared / _ACTIVE, value) for shared, value in reversed(list(zip(_SHARED, values, strict=True)))]
        for name, values in overlap.items()
    }
    recall: dict[str, list[tuple[float, float]]] = {}
    for size, name, load, _, expected, right, _ in rows:
        recall.setdefault(f"K {size[2]}, {name}", []).append((load, right))
        if name == "uniform":
            recall.setdefault(f"K {size[2]}, expected", []).append((load, expected))
    return {
        "sparsey_sisc": line_chart(
            curves, title="Overlap of codes by overlap of inputs", x_label="share of bits in common",
            y_label="share of winners in common",
        ),
        "sparsey_capacity": line_chart(
            recall, title="Recall by load", x_label="items / M*", y_label="share of right winners"
        ),
    }  # fmt: skip
