"""CA3: cycles of learning, recalling and forgetting, and how many patterns it holds."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from anamnos.associative.spiking import CA3Memory, CA3Spec, Operation, ca3_capacity, wrong_cells
from anamnos.bench.associative.experiment import Experiment, Setting, Table
from anamnos.bench.limits import Limit
from anamnos.bench.plots import line_chart

_CELLS, _ACTIVE, _CUE = 200, 8, 4
_SIZES = (10, 25, 50, 75, 100, 140, 180, 240)


def run(setting: Setting) -> Experiment:
    """Return cycles and capacity. Ten seconds for three seeds."""
    seeds = setting.seeds[:1] if setting.quick else setting.seeds
    count, rounds = (10, 1) if setting.quick else (50, 3)
    cycles = {
        "orthogonal": [_cycles(_orthogonal(), rounds, seed) for seed in seeds],
        "sharing cells": [_cycles(_random(count, seed), rounds, seed) for seed in seeds],
    }
    totals = {name: {what: sum(run[what] for run in runs) for what in runs[0]} for name, runs in cycles.items()}
    sizes = (10, 50) if setting.quick else _SIZES
    rows = [_capacity(items, seeds, setting) for items in sizes]
    both = _ambiguous(seeds, 10 if setting.quick else 100)
    known = ca3_capacity(_CELLS, _ACTIVE)
    return Experiment(
        name="ca3",
        title="CA3: a spiking content-addressable memory",
        said=(
            f"{_CELLS} leaky integrate-and-fire cells, patterns of {_ACTIVE}, fragments of {_CUE} chosen at random. A"
            " cycle learns all patterns, recalls each from a fragment, and then forgets them one by one, recalling"
            " forgotten and remaining ones in between; a recall counts if the cells that fire are just the pattern.",
            "The law counts the wrong cells of the first volley; the next volleys, in which a cell needs links to most"
            f" of the whole pattern, silence most of them. The memory reports a capacity of {known} patterns.",
        ),
        tables=(
            Table(
                ("patterns", "recalled", "of", "remaining recalled", "of", "forgotten recalled", "of"),
                [[name, *(f"{value:,}" for value in total.values())] for name, total in totals.items()],
                f"{rounds} cycles, {len(seeds)} seeds: {len(_orthogonal())} orthogonal patterns, {count} at random.",
            ),
            Table(
                ("patterns", "just the pattern", "the right item", "no wrong cell in the first volley", "law",
                 "wrong cells", "law", "independent links"),
                [[f"{row['items']:.0f}", f"{row['exact']:.3f}", f"{row['named']:.3f}", f"{row['clean']:.3f}",
                  f"{row['law_clean']:.3f}", f"{row['wrong']:.3f}", f"{row['law_wrong']:.3f}",
                  f"{row['independent']:.3f}"] for row in rows],
                "Random patterns, recalled from half.",
            ),
        ),
        figures={"cycles": totals, "capacity": rows, "ambiguous": both},
        limits=_limits(totals, rows, both),
        charts={} if setting.quick else {"ca3_capacity": _chart(rows)},
    )  # fmt: skip


def _limits(totals: dict[str, dict[str, int]], rows: list[dict[str, float]], both: float) -> list[Limit]:
    limits = []
    for name, total in totals.items():
        right = total["right"] + total["right_left"] + total["asked_gone"] - total["wrong_gone"]
        asked = total["asked"] + total["asked_left"] + total["asked_gone"]
        limits.append(Limit(f"learn, recall and forget: {name}", "at least", 1.0, right / asked))
    limits.append(Limit("fragments of two patterns that bring just both", "at least", 0.99, both))
    half = next(row for row in rows if row["items"] == 50)
    limits.append(Limit("50 random patterns, just the pattern from half", "at least", 0.95, half["exact"]))
    return limits


def _cycles(patterns: NDArray[np.uint8], rounds: int, seed: int) -> dict[str, int]:
    """Learn, recall and forget all patterns, ``rounds`` times; return how many recalls were right."""
    rng = np.random.default_rng(seed)
    memory = CA3Memory(CA3Spec(cells=_CELLS, active=_ACTIVE, seed=seed))
    told = dict.fromkeys(("right", "asked", "right_left", "asked_left", "wrong_gone", "asked_gone"), 0)
    for _ in range(rounds):
        for pattern in patterns:
            memory.write(pattern)
        for pattern in patterns:
            told["right"] += _recalled(memory, pattern, rng)
            told["asked"] += 1
        order = rng.permutation(len(patterns))
        for gone in range(1, len(order) + 1):
            memory.forget(key=patterns[order[gone - 1]])
            told["wrong_gone"] += _recalled(memory, patterns[order[rng.integers(gone)]], rng)
            told["asked_gone"] += 1
            for number in order[gone : gone + 5]:
                told["right_left"] += _recalled(memory, patterns[number], rng)
                told["asked_left"] += 1
    return told


def _recalled(memory: CA3Memory, pattern: NDArray[np.uint8], rng: np.random.Generator) -> bool:
    found = memory.read(_part(pattern, rng))
    return bool(found) and np.array_equal(found[0].code, pattern)


def _capacity(items: int, seeds: tuple[int, ...], setting: Setting) -> dict[str, float]:
    setting.progress("CA3: capacity", items, _SIZES[-1])
    exact, named, wrong = [], [], []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        patterns, memory = _random(items, seed), CA3Memory(CA3Spec(cells=_CELLS, active=_ACTIVE, on_full="grow"))
        for number, pattern in enumerate(patterns):
            memory.write(pattern, number)
        for number in rng.permutation(items)[:50].tolist():
            cue = _part(patterns[number], rng)
            found = memory.read(cue)
            exact.append(bool(found) and np.array_equal(found[0].code, patterns[number]))
            named.append(bool(found) and found[0].value == number)
            first = memory.network.run(Operation.RECALL, cue > 0, steps=2)[1]
            wrong.append(int((first & (patterns[number] == 0)).sum()))
    law = wrong_cells(_CELLS, _ACTIVE, items, _CUE)
    linked = 1 - (1 - (_ACTIVE / _CELLS) ** 2) ** items
    return {
        "items": float(items),
        "exact": float(np.mean(exact)),
        "named": float(np.mean(named)),
        "clean": float((np.array(wrong) == 0).mean()),
        "law_clean": float(np.exp(-law)),
        "wrong": float(np.mean(wrong)),
        "law_wrong": law,
        "independent": _CELLS * linked**_CUE,
    }


def _ambiguous(seeds: tuple[int, ...], pairs: int) -> float:
    """Return how often a fragment that two patterns share brings just both of them, with the same score."""
    right = 0
    for seed in seeds:
        rng = np.random.default_rng(seed)
        for _ in range(pairs):
            cells, two = rng.permutation(_CELLS), np.zeros((2, _CELLS), dtype=np.uint8)
            two[:, cells[:3]] = 1
            two[0, cells[3:8]] = two[1, cells[8:13]] = 1
            memory = CA3Memory(CA3Spec(cells=_CELLS, active=_ACTIVE))
            for pattern in (*two, *_random(10, seed)):
                memory.write(pattern)
            found = memory.read(two[0] & two[1])
            codes = {recall.code.tobytes() for recall in found}
            right += codes == {code.tobytes() for code in two} and len({recall.score for recall in found}) == 1
    return right / (pairs * len(seeds))


def _orthogonal() -> NDArray[np.uint8]:
    return np.repeat(np.eye(_CELLS // _ACTIVE, dtype=np.uint8), _ACTIVE, axis=1)


def _random(count: int, seed: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(1_000 + seed)
    patterns = np.zeros((count, _CELLS), dtype=np.uint8)
    for pattern in patterns:
        pattern[rng.choice(_CELLS, _ACTIVE, replace=False)] = 1
    return patterns


def _part(pattern: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    cue = np.zeros_like(pattern)
    cue[rng.choice(np.flatnonzero(pattern), _CUE, replace=False)] = 1
    return cue


def _chart(rows: list[dict[str, Any]]) -> str:
    return line_chart(
        {
            "the right item": [(row["items"], row["named"]) for row in rows],
            "just the pattern": [(row["items"], row["exact"]) for row in rows],
            "clean first volley": [(row["items"], row["clean"]) for row in rows],
            "law of it": [(row["items"], row["law_clean"]) for row in rows],
        },
        title=f"Recall from {_CUE} of {_ACTIVE} cells, {_CELLS} cells in all",
        x_label="patterns",
        y_label="share of recalls",
    )
