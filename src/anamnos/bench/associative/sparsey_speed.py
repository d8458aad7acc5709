"""Sparsey's time per write and per read, by how much is stored: it must not grow."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anamnos.associative.readouts import ClassField
from anamnos.associative.sparsey.mac import SparseyMac, SparseySpec
from anamnos.associative.sparsey.net import MacGrid, SparseyNet
from anamnos.bench.associative.experiment import Experiment, Setting, Table
from anamnos.bench.limits import Limit
from anamnos.bench.plots import line_chart

_SHAPE = (14, 14, 12)
_ON = 122 / 2_352  # bits of an image of a digit
_STORED = (1_000, 2_000, 5_000, 10_000, 20_000, 60_000)
_TIMED, _GROUP = 600, 50
_FLAT = 1.2


def run(setting: Setting) -> Experiment:
    """Time the grid of the MNIST experiment while it learns, and one flat mac."""
    stored = (100, 200) if setting.quick else _STORED
    grid = MacGrid(units=128, stride=4) if setting.quick else MacGrid()
    timed = _GROUP if setting.quick else _TIMED
    rows = _while_learning(setting, grid, stored, timed)
    small = _ways(grid, 20 if setting.quick else 200)
    flat = _flat_mac(20 if setting.quick else 200)
    first, last = rows[0], rows[-1]
    ratios = {what: last[what] / first[what] for what in ("write_ms", "read_ms")}
    return Experiment(
        "sparsey_speed",
        "Sparsey: time per write and read",
        [
            f"A grid of macs as for MNIST ({grid.modules} modules of {grid.units} units each) learns noisy views of"
            " 2,000 patterns of edge bits, and links them to ten classes. Processor time of one thread, median over"
            f" groups of {_GROUP} items; a read gives codes, familiarity and evidence for every class. What is stored"
            " plays no part in either; early writes take longer, since more of them recruit units.",
            "The belief of the flat mac compares a code with every stored one, so it grows with their number, slowly.",
        ],
        [
            Table(
                ("Stored", "ms per write", "ms per read", "macs that learnt"),
                [
                    [f"{r['stored']:,}", f"{r['write_ms']:.3f}", f"{r['read_ms']:.3f}", f"{r['learnt']:.0%}"]
                    for r in rows
                ],
                "Grid of macs",
            ),
            Table(("Way", "ms per write", "ms per read"), small, "The first items, by way of computing"),
            Table(("Stored", "ms per write", "ms per belief"), flat, "One flat mac: L 2,048, Q 25, K 64"),
        ],
        {"grid": rows, "ratios": ratios},
        []
        if setting.quick
        else [
            Limit("a write after 60,000 items, to one after 1,000", "at most", _FLAT, ratios["write_ms"]),
            Limit("a read after 60,000 items, to one after 1,000", "at most", _FLAT, ratios["read_ms"]),
        ],
        {} if setting.quick else {"sparsey_speed": _chart(rows)},
    )


def _chart(rows: Sequence[dict[str, float]]) -> str:
    lines = {name: [(r["stored"], r[f"{name}_ms"]) for r in rows] for name in ("write", "read")}
    return line_chart(
        lines, title="Time per item by what is stored", x_label="items stored", y_label="ms", log_x=True,
        y_range=(0.0, 1.2 * max(ms for line in lines.values() for _, ms in line)),
    )  # fmt: skip


def _views(rng: np.random.Generator, count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return noisy views of 2,000 patterns, and their classes."""
    patterns = np.random.default_rng(0).random((2_000, int(np.prod(_SHAPE))), dtype=np.float32) < _ON
    which = rng.integers(len(patterns), size=count)
    keep = rng.random((count, patterns.shape[1]), dtype=np.float32)
    seen = np.where(patterns[which], keep > 0.15, keep < 0.15 * _ON)
    return seen.astype(np.uint8), which % 10


def _while_learning(setting: Setting, grid: MacGrid, stored: Sequence[int], timed: int) -> list[dict[str, float]]:
    rng, net = np.random.default_rng(1), SparseyNet(_SHAPE, (grid,))
    field, done, rows = ClassField(net.size, 10), 0, []

    def write(bits: NDArray[np.uint8], labels: NDArray[np.int64]) -> Any:
        codes = net.learn(bits)
        field.observe(net.units(codes), labels)
        return codes[0]

    def read(bits: NDArray[np.uint8], _: NDArray[np.int64]) -> Any:
        return field.evidence(net.units(net.read(bits)))

    write(*_views(rng, 2))  # compiles
    for goal in stored:
        setting.progress("stored", goal, stored[-1])
        while done < goal - timed:
            step = min(500, goal - timed - done)
            write(*_views(rng, step))
            done += step
        write_ms, learnt = _timed(write, rng, timed)
        done += timed
        read_ms, _ = _timed(read, rng, timed)
        rows.append({"stored": done, "write_ms": write_ms, "read_ms": read_ms, "learnt": learnt})
    return rows


def _timed(call: Callable[..., Any], rng: np.random.Generator, count: int) -> tuple[float, float]:
    """Return milliseconds per item, and the share of macs whose code changed by learning."""
    took, changed = [], []
    for _ in range(0, count, _GROUP):
        bits, labels = _views(rng, _GROUP)
        start = time.process_time()
        codes = call(bits, labels)
        took.append(1e3 * (time.process_time() - start) / _GROUP)
        if hasattr(codes, "best"):
            changed.append(float((codes.best != codes.winners).any(axis=2).mean()))
    return float(np.median(took)), float(np.mean(changed)) if changed else 0.0


def _ways(grid: MacGrid, count: int) -> list[list[str]]:
    rows = []
    for name, compiled in (("compiled (numba)", True), ("NumPy", False)):
        if compiled and find_spec("numba") is None:
            continue
        net, (bits, _) = SparseyNet(_SHAPE, (grid,), 0, compiled), _views(np.random.default_rng(2), 2 * count)
        net.read(bits[:1])
        start = time.process_time()
        net.learn(bits[:count])
        middle = time.process_time()
        net.read(bits[count:])
        rows.append([name, *(f"{1e3 * s / count:.2f}" for s in (middle - start, time.process_time() - middle))])
    return rows


def _flat_mac(group: int) -> list[list[str]]:
    rng, rows = np.random.default_rng(3), []
    mac = SparseyMac(SparseySpec(length=2_048, active=40, modules=25, units=64, share=1.0))
    for _ in range(3):
        keys = (rng.random((group, 2_048)).argsort(axis=1) < 40).astype(np.uint8)
        start = time.process_time()
        for key in keys:
            mac.write(key)
        middle = time.process_time()
        for key in keys:
            mac.belief(key)
        took = (middle - start, time.process_time() - middle)
        rows.append([f"{mac.load().items:,}", *(f"{1e3 * s / group:.3f}" for s in took)])
    return rows
