"""Recognition, recall and retention of every memory that takes bits or signs, by one protocol.

Source: arXiv:2303.17557: recognition as a choice between an item and a foil, recall of the rest from a part, both again
after ever more has been written, and after more exposures.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from anamnos.associative import create
from anamnos.associative.base import AssociativeMemory, CapacityWarning
from anamnos.bench.associative.experiment import Experiment, Setting, Table
from anamnos.bench.limits import Limit
from anamnos.bench.plots import line_chart

Keys = NDArray[np.int8]
FOILS = ("random", "near-duplicate", "recombined")
_FURTHER, _EXPOSURES = (0, 1, 10, 30, 100, 150, 200, 250, 380, 1_000), (1, 2, 3, 10)
_SUCCESS = 0.95  # overlap of what was recalled with what was to be
_CHANGED = 0.1  # of a near-duplicate


@dataclass(frozen=True, slots=True)
class Adapter:
    """How a memory takes part.

    kind    of keys: ``sparse`` bits of which ``active`` are on, ``dense`` bits of 0 and 1, ``signs`` of -1 and +1
    items   that are asked for; fewer where the capacity is small
    scale   what keys are multiplied with, for memories of real vectors
    """

    system: str
    settings: Mapping[str, Any]
    kind: Literal["sparse", "dense", "signs"]
    length: int
    active: int = 0
    items: int = 100
    scale: float = 1.0

    def make(self, seed: int) -> AssociativeMemory:
        """Return an empty memory."""
        return create(self.system, seed=seed, **self.settings)

    def keys(self, rng: np.random.Generator, count: int) -> Keys:
        """Return random keys, (count, length); of sparse ones both halves have as many bits on."""
        if self.kind != "sparse":
            bits = rng.integers(0, 2, (count, self.length), dtype=np.int8)
            return bits if self.kind == "dense" else (2 * bits - 1).astype(np.int8)
        order = rng.random((2, count, self.length // 2)).argsort(axis=2)
        return np.concatenate(list((order < self.active // 2).astype(np.int8)), axis=1)

    def near(self, rng: np.random.Generator, keys: Keys) -> Keys:
        """Return keys of which a tenth is changed: of the bits that are on, or of all."""
        changed = keys.copy()
        for key in changed:
            if self.kind == "sparse":
                count = max(1, round(_CHANGED * self.active))
                off, on = (rng.choice(np.flatnonzero(key == bit), count, replace=False) for bit in (1, 0))
                key[off], key[on] = 0, 1
            else:
                places = rng.choice(self.length, round(_CHANGED * self.length), replace=False)
                key[places] = -key[places] if self.kind == "signs" else 1 - key[places]
        return changed

    def recombined(self, keys: Keys) -> Keys:
        """Return keys of the first half of one and the second half of the next."""
        half = self.length // 2
        return np.concatenate([keys[:, :half], np.roll(keys, -1, axis=0)[:, half:]], axis=1)

    def overlap(self, found: NDArray[Any], key: Keys) -> float:
        """Return how much of the second half came back: shared bits of all that are on in either, or equal signs."""
        half = self.length // 2
        if self.kind == "sparse":
            both, either = (found > 0)[half:] & (key > 0)[half:], (found > 0)[half:] | (key > 0)[half:]
            return float(both.sum() / max(1, either.sum()))
        return float(((found > 0)[half:] == (key > 0)[half:]).mean())


_SPARSEY = {"length": 400, "active": 20, "modules": 24, "units": 16, "share": 100.0, "gate": 0.99}
ADAPTERS: Mapping[str, Adapter] = {
    "exact slots (hopfield)": Adapter(
        "hopfield", {"dim": 256, "beta": 200.0, "slots": 2_000}, "signs", 256, scale=1 / 16
    ),
    "sdr-filter": Adapter("sdr-filter", {"length": 512, "active": 20, "unions": 1_000}, "sparse", 512, 20),
    "sparsey": Adapter("sparsey", _SPARSEY, "sparse", 400, 20),
    "sparsey that freezes": Adapter("sparsey", _SPARSEY | {"freeze_mac": 0.4}, "sparse", 400, 20),
    "sdm": Adapter("sdm", {"length": 256, "fraction": 0.003, "on_full": "grow"}, "dense", 256),
    "ca3": Adapter("ca3", {"cells": 400, "active": 8, "on_full": "grow"}, "sparse", 400, 8),
    "dense-hebbian, P = 2": Adapter(
        "dense-hebbian", {"length": 512, "order": 2, "on_full": "grow"}, "signs", 512, items=30
    ),
    "dense-hebbian, P = 4": Adapter("dense-hebbian", {"length": 40, "order": 4, "on_full": "grow"}, "signs", 40),
    "multitasking": Adapter(
        "multitasking", {"length": 1_024, "dilution": 0.0, "on_full": "grow"}, "signs", 1_024, items=8
    ),
}  # fmt: skip
_NOT_HERE = "feature-memory, key-value-bottleneck and sparsey-belief take real vectors and sparsey-sequence sequences"


def run(setting: Setting) -> Experiment:
    """Return recognition, recall and retention. Ten minutes for three seeds."""
    seeds = setting.seeds[:1] if setting.quick else setting.seeds
    chosen = {n: a for n, a in ADAPTERS.items() if not setting.quick or n in ("exact slots (hopfield)", "sparsey")}
    further, exposures = (_FURTHER[:3], (1, 3)) if setting.quick else (_FURTHER, _EXPOSURES)
    kept: dict[str, list[dict[str, float]]] = {}
    exposed: dict[str, list[dict[str, float]]] = {}
    for number, (name, adapter) in enumerate(chosen.items()):
        setting.progress(f"retention: {name}", number, len(chosen))
        items = min(adapter.items, 10) if setting.quick else adapter.items
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CapacityWarning)
            kept[name] = _mean([retention(adapter, items, further, seed) for seed in seeds])
            exposed[name] = _mean([[exposure(adapter, items, n, seed) for n in exposures] for seed in seeds])
    return Experiment(
        name="retention",
        title="Recognition, recall and retention",
        said=(
            "Items are written once, among as many others as the memory is then given. Recognition: which of an item"
            " and a foil is more familiar (one half for a tie); foils are random, near-duplicates (a tenth changed),"
            " and the first half of one item with the second of another. Recall: the first half is the cue, and the"
            f" second counts as recalled from an overlap of {_SUCCESS}.",
            f"{_NOT_HERE}: they do not take part. Sparsey is made for 481 items by its formula, which is"
            f" for whole cues; for half of one it gives {_room(10):.0f}.",
            "Recognition outlasts recall in every memory that loses anything, as it does in people.",
        ),
        tables=_tables(kept, exposed, further, exposures),
        figures={"retention": kept, "exposures": exposed},
        limits=_limits(kept),
        charts={} if setting.quick else _charts(kept),
    )


def retention(adapter: Adapter, items: int, further: tuple[int, ...], seed: int) -> list[dict[str, float]]:
    """Return recognition and recall of the items after each number of further writes."""
    rng = np.random.default_rng(seed)
    keys, others = adapter.keys(rng, items), adapter.keys(rng, max(further))
    memory, written = adapter.make(seed), 0
    _write(memory, adapter, keys)
    rows = []
    for count in further:
        _write(memory, adapter, others[written:count])
        written = count
        row = {"further": float(count), **_tested(memory, adapter, keys, rng)}
        newest = others[max(0, count - items) : count]
        row["newest"] = _recalled(memory, adapter, newest) if len(newest) else row["recall"]
        rows.append(row)
    return rows


def exposure(adapter: Adapter, items: int, times: int, seed: int) -> dict[str, float]:
    """Return recognition and recall right after the items were written so many times, in turns."""
    rng = np.random.default_rng(seed)
    keys, memory = adapter.keys(rng, items), adapter.make(seed)
    for _ in range(times):
        _write(memory, adapter, keys)
    return {"times": float(times), **_tested(memory, adapter, keys, rng)}


def _write(memory: AssociativeMemory, adapter: Adapter, keys: Keys) -> None:
    for key in keys:
        memory.write(key * adapter.scale)


def _tested(memory: AssociativeMemory, adapter: Adapter, keys: Keys, rng: np.random.Generator) -> dict[str, float]:
    known = np.array([memory.familiarity(key * adapter.scale) for key in keys])
    foils = (adapter.keys(rng, len(keys)), adapter.near(rng, keys), adapter.recombined(keys))
    told = {}
    for name, foil in zip(FOILS, foils, strict=True):
        new = np.array([memory.familiarity(key * adapter.scale) for key in foil])
        told[name] = float(((known > new) + 0.5 * (known == new)).mean())
    return {**told, "recall": _recalled(memory, adapter, keys)}


def _recalled(memory: AssociativeMemory, adapter: Adapter, keys: Keys) -> float:
    half = np.arange(adapter.length) < adapter.length // 2
    right = 0
    for key in keys:
        found = memory.read(key * adapter.scale, mask=half)
        right += bool(found) and adapter.overlap(found[0].code, key) >= _SUCCESS
    return right / len(keys)


def _mean(runs: list[list[dict[str, float]]]) -> list[dict[str, float]]:
    return [{name: fmean(run[at][name] for run in runs) for name in row} for at, row in enumerate(runs[0])]


def _tables(
    kept: Mapping[str, Any], exposed: Mapping[str, Any], further: tuple[int, ...], exposures: tuple[int, ...]
) -> list[Table]:
    def rows(found: Mapping[str, Any], cell: Callable[[dict[str, float]], str]) -> list[list[str]]:
        return [[name, *(cell(row) for row in each)] for name, each in found.items()]

    head = ("memory", *(f"+{count:,}" for count in further))
    times = ("memory", *(f"{count} times" for count in exposures))
    return [
        Table(head, rows(kept, lambda row: f"{row['recall']:.3f}"), "Recall of the first items after further writes."),
        Table(head, rows(kept, lambda row: f"{row['newest']:.3f}"), "Recall of the newest items."),
        Table(
            head,
            rows(kept, lambda row: " / ".join(f"{row[foil]:.2f}" for foil in FOILS)),
            f"Recognition of the first items among foils: {' / '.join(FOILS)}.",
        ),
        Table(
            times,
            rows(exposed, lambda row: " / ".join(f"{row[name]:.2f}" for name in (*FOILS, "recall"))),
            f"By exposures: recognition ({' / '.join(FOILS)}) / recall.",
        ),
    ]


def _limits(kept: Mapping[str, list[dict[str, float]]]) -> list[Limit]:
    slots = kept["exact slots (hopfield)"]
    worst = min(row[name] for row in slots for name in (*FOILS, "recall"))
    first = kept["sparsey"][0]
    limits = [
        Limit("exact slots: everywhere", "at least", 1.0, worst),
        Limit("Sparsey, far below its capacity: recognition", "at least", 1.0, min(first[foil] for foil in FOILS)),
        Limit("Sparsey, far below its capacity: recall", "at least", 0.95, first["recall"]),
    ]
    if frozen := kept.get("sparsey that freezes"):
        half, of_whole, of_half = _half_lost(kept["sparsey"], ADAPTERS["sparsey"].items), _room(20), _room(10)
        limits += [
            Limit(f"Sparsey: items at which half is lost, of {of_whole:.0f}", "at least", 1.0, half / of_whole,
                  why="an estimate; that formula is for whole cues"),
            Limit(f"Sparsey: items at which half is lost, of {of_half:.0f}", "at least", 0.9, half / of_half,
                  why="the same formula for cues of 10 of the 20 bits"),
            Limit("Sparsey that freezes: recall of the first lost", "at most", 0.05,
                  frozen[0]["recall"] - frozen[-1]["recall"]),
            Limit("Sparsey that freezes: recall of the newest", "at most", 0.5, frozen[-1]["newest"],
                  why="what it keeps costs what comes after"),
        ]  # fmt: skip
    return limits


def _room(cue: int) -> float:
    """Return how many items Sparsey holds so that a cue of so many bits has a tenth of its modules wrong, at most.

    Source: arXiv:1710.07829's codes; the formula as in ``anamnos.associative.sparsey.mac.capacity``, but for a cue that
    has fewer bits than what was written.
    """
    length, active, units = (int(_SPARSEY[name]) for name in ("length", "active", "units"))
    fill = (0.1 / (units - 1)) ** (1 / cue)
    return math.log1p(-fill) / math.log1p(-active / (length * units))


def _half_lost(rows: list[dict[str, float]], items: int) -> float:
    """Return at how many items, the first and the further ones, recall falls to one half."""
    for before, after in pairwise(rows):
        if before["recall"] >= 0.5 > after["recall"]:
            part = (before["recall"] - 0.5) / (before["recall"] - after["recall"])
            return items + before["further"] + part * (after["further"] - before["further"])
    return items + rows[-1]["further"]


def _charts(kept: Mapping[str, list[dict[str, float]]]) -> dict[str, str]:
    shown = {name: rows for name, rows in kept.items() if name != "multitasking"}
    return {
        f"retention_{what}": line_chart(
            {name: [(row["further"] + 1, row[column]) for row in rows] for name, rows in shown.items()},
            title=title,
            x_label="further writes, and one",
            y_label=label,
            log_x=True,
        )
        for what, column, title, label in (
            ("recall", "recall", "Recall from the first half, after further writes", "recalled"),
            ("recognition", "near-duplicate", "Told from near-duplicates, after further writes", "right choices"),
        )
    }
