"""Dense Hebbian networks beside their statistical mechanics: capacity, phases, glass, noisy examples, images."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from anamnos.associative.hebbian import examples, glass
from anamnos.associative.hebbian.breaking import broken_retrieval
from anamnos.associative.hebbian.replica import capacity, capacity_at, patterns_per_load, retrieval, stability_limit
from anamnos.bench.associative import hebbian_runs as runs
from anamnos.bench.associative import images
from anamnos.bench.associative.drawing import heat_map
from anamnos.bench.associative.experiment import Experiment, Setting, Table
from anamnos.bench.limits import Limit
from anamnos.bench.plots import line_chart

Figures = dict[str, Any]


def run(setting: Setting) -> Experiment:
    """Run it: about two minutes on one core with Numba; without, some ten."""
    parts = (_stable, _overlaps, _falling, _phases, _glass, _noisy, _ultra, _images)
    tables: list[Table] = []
    figures: Figures = {}
    limits: list[Limit] = []
    charts: dict[str, str] = {}
    for done, part in enumerate(parts):
        setting.progress(part.__name__.strip("_"), done, len(parts))
        found, table, promised, drawn = part(setting)
        figures[part.__name__.strip("_")] = found
        tables += table
        limits += promised
        charts |= drawn
    return Experiment(
        "dense_hebbian",
        "Dense Hebbian networks",
        [
            "K random patterns of N spins; a load of 1 is N^(P-1) patterns, counted at a finite size as (N-1)...(N-P+1)"
            " (what signal and noise sum over), which takes most of the size out of the comparison.",
            "Replica symmetry puts the critical load of P = 4 at .0330 at temperature 0, but lets it rise with heat to"
            " .0383; that is a sign that it is broken there. With one step of breaking the line is upright, at .0383"
            " for all low temperatures. Dynamics at temperature 0 hold patterns well beyond it, since they stay in the"
            " nearest valley; P = 4 is therefore asked with heat too. At T = 0.3 the glass has valleys to stay in, at"
            " T = 0.5 it has none. In both, small networks lose patterns sooner, and these points still grow with N,"
            " past the line at T = 0.3: where large networks of P = 4 lose them is not settled by these sizes. The firm"
            " points are those at which half of the patterns are stable.",
            "Small glasses of P = 4, every state counted, have the ground energy of one step of breaking and not that"
            " of replica symmetry, and two replicas in them are near or far and seldom between.",
        ],
        tables,
        json.loads(json.dumps(figures)),
        limits,
        charts,
    )


Part = tuple[Figures, list[Table], list[Limit], dict[str, str]]


def _stable(setting: Setting) -> Part:
    """The load at which half of the patterns have all spins stable: no dynamics, so an exact test of the fields."""
    sizes = ((2, 100), (4, 24)) if setting.quick else ((2, 200), (2, 500), (4, 48), (4, 96), (6, 28))
    rows, worst = [], {2: 0.0, 4: 0.0, 6: 0.0}
    for order, length in sizes:
        theory = runs.half_stable(order, length)
        loads = [theory * share for share in (0.7, 0.85, 1.0, 1.15, 1.3)]
        shares = [
            float(np.mean([runs.stable_share(order, length, load, seed) for seed in setting.seeds])) for load in loads
        ]
        found = runs.half_load(loads, shares)
        worst[order] = abs(found / theory - 1)  # of the largest size
        rows.append(
            (f"{order}", f"{length}", f"{runs.count_at(order, length, theory):,}", f"{theory:.4g}", f"{found:.4g}")
        )
    limits = [
        Limit(
            f"dense Hebbian, P = {order}: load of half stable patterns, distance from theory",
            "at most",
            0.1,
            worst[order],
        )
        for order in (2, 4)
    ]
    table = Table(("P", "N", "K", "load by theory", "measured"), rows, "Load at which half of the patterns are stable")
    return {"rows": rows, "worst": worst}, [table], limits, {}


def _overlaps(setting: Setting) -> Part:
    """Overlaps at temperature 0 against replica symmetry, below and above the critical load."""
    shares = (0.4, 0.8, 1.2) if setting.quick else (0.2, 0.4, 0.6, 0.8, 0.9, 1.0, 1.1, 1.3, 1.5)
    series: dict[str, list[tuple[float, float]]] = {}
    worst = 0.0
    for order, length in ((2, 100), (4, 24)) if setting.quick else ((2, 1_000), (4, 64)):
        critical = capacity(order).load
        for share in shares:
            found = float(np.mean([runs.held(order, length, share * critical, seed).mean() for seed in setting.seeds]))
            theory = retrieval(order, share * critical).overlap
            series.setdefault(f"P = {order}, N = {length}", []).append((share, found))
            series.setdefault(f"P = {order}, theory", []).append((share, theory))
            if share <= 0.8:
                worst = max(worst, abs(found - theory))
    limit = Limit("dense Hebbian: overlap up to 0.8 of the critical load, distance from theory", "at most", 0.05, worst)
    chart = line_chart(
        series, title="Overlap with the pattern, T = 0", x_label="load / critical load (RS)", y_label="overlap m"
    )
    return {"series": series, "worst": worst}, [], [limit], {"overlap": chart}


def _falling(setting: Setting) -> Part:
    """Where half of the patterns are lost, by size.

    P = 2 at temperature 0, and where that goes with size (a spinodal's shift falls as N^(-2/3)). P = 4 with heat: at
    T = 0.3 below the temperature at which its glass has valleys (.46 at this load), at 0.5 above, where what leaves a
    pattern can go.
    """
    quick = setting.quick
    plans: tuple[tuple[int, float, int, tuple[int, ...], tuple[float, ...]], ...] = (
        # order, temperature, sweeps, sizes, loads in critical ones
        (2, 0.0, 100, (60, 100) if quick else (500, 1_000, 2_000), (0.9, 1.0, 1.1, 1.2, 1.3, 1.45)),
        (4, 0.3, 20 if quick else 150, (16,) if quick else (32, 48, 64), (0.7, 0.9, 1.1, 1.3, 1.5)),
        (4, 0.5, 20 if quick else 60, (16, 20) if quick else (48, 64, 96), (0.3, 0.5, 0.7, 0.9, 1.1, 1.3)),
    )
    rows, limits, figures = [], [], {}
    for order, heat, sweeps, sizes, shares in plans:
        theory = capacity_at(4, [heat]).item() if heat else capacity(order).load
        loads, halves = [share * theory for share in shares], []
        for length in sizes:
            kept = []
            for load in loads:
                found = [
                    runs.held(
                        order, length, load, seed, temperature=heat, sweeps=sweeps, runs=16 if length != 96 else 8
                    )
                    for seed in setting.seeds
                ]
                kept.append(float((np.concatenate(found) > runs.HELD).mean()))
            halves.append(runs.half_load(loads, kept))
            held = " ".join(f"{share:g}:{k:.2f}" for share, k in zip(shares, kept, strict=True))
            rows.append((f"{order}", f"{heat}", f"{length:,}", f"{theory:.4f}", f"{halves[-1]:.4f}", held))
        end, what = halves[-1], f"N = {sizes[-1]}, T = {heat}"
        if order == 2:
            end = float(np.polyfit(np.array(sizes, dtype=float) ** (-2 / 3), halves, 1)[1])
            what = "N to infinity, T = 0"
            rows.append(("2", "0.0", "endless", f"{theory:.4f}", f"{end:.4f}", ""))
        figures[f"P={order}, T={heat}"] = {"theory": theory, "sizes": sizes, "halves": halves, "end": end}
        if heat != 0.3:
            name = f"dense Hebbian, P = {order}: critical load ({what}), distance from theory"
            limits.append(Limit(name, "at most", 0.1, abs(end / theory - 1)))
    head = ("P", "T", "N", "critical load", "half are lost at", "load in critical loads: share held")
    return figures, [Table(head, rows, "Patterns that are held from their own state")], limits, {}


def _phases(setting: Setting) -> Part:
    """Overlaps over the plane of load and temperature, and the lines of the theory."""
    charts, lines_of = {}, {}
    steps = 3 if setting.quick else 9
    plans = (
        ((2, 100, 0.16, 1.35), (4, 16, 0.045, 1.0)) if setting.quick else ((2, 500, 0.16, 1.35), (4, 48, 0.045, 1.0))
    )
    for order, length, most, hottest in plans:
        cells = {}
        for load in np.linspace(most / steps, most, steps).tolist():
            for heat in np.linspace(0.05, hottest, steps).tolist():
                found = runs.held(order, length, load, 0, temperature=heat, sweeps=10 if setting.quick else 60, runs=8)
                cells[(load, heat)] = float(np.clip(found.mean(), 0, 1))
        heats = np.linspace(0.05, 0.98, 3 if setting.quick else 16)
        loads = capacity_at(order, heats, halvings=4 if setting.quick else 12)
        lines = {"recall (symmetric)": list(zip(loads.tolist(), heats.tolist(), strict=True))}
        grid = np.linspace(0.0005, most, 30)
        if order == 2:
            lines["glass, 1 + sqrt(load)"] = [(a, 1 + math.sqrt(a)) for a in grid.tolist()]
        else:
            dynamic, static = glass.transitions(4)
            lines["glass, valleys appear"] = [(a, dynamic * glass.coupling(4, a)) for a in grid.tolist()]
            lines["glass, valleys win"] = [(a, static * glass.coupling(4, a)) for a in grid.tolist()]
            cold = (0.3,) if setting.quick else (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35)
            lines["recall (one step)"] = [(_broken_capacity(heat, 2 if setting.quick else 6), heat) for heat in cold]
        lines["recall is broken below"] = _broken_below(order, loads.tolist(), heats.tolist())
        lines_of[f"P={order}"] = {name: list(map(list, points)) for name, points in lines.items()}
        charts[f"phases_p{order}"] = heat_map(
            cells,
            lines,
            title=f"Phases, P = {order}: simulation (N = {length}) and theory",
            x_label=f"load K / N^{order - 1}",
            y_label="temperature T",
            value_label="overlap",
        )
    broken = lines_of["P=4"]["recall (one step)"]
    symmetric = capacity_at(4, [heat for _, heat in broken]).tolist()
    rows = [(f"{h:.2f}", f"{s:.4f}", f"{b:.4f}") for (b, h), s in zip(broken, symmetric, strict=True)]
    table = Table(("T", "replica symmetry", "one step of breaking"), rows, "Critical load of P = 4 at low temperature")
    return lines_of, [table], [], charts


def _broken_capacity(heat: float, halvings: int) -> float:
    low, high = 0.03, 0.045
    for _ in range(halvings):
        middle = (low + high) / 2
        low, high = (middle, high) if broken_retrieval(4, middle, heat).overlap > 0 else (low, middle)
    return (low + high) / 2


def _broken_below(order: int, loads: list[float], heats: list[float]) -> list[tuple[float, float]]:
    """Return, just inside the line of recall, up to which temperature replica symmetry is unstable, per load."""
    points = []
    for share in (0.6, 0.7, 0.8, 0.9, 0.97):
        load = share * max(loads)
        inside = np.array([h for a, h in zip(loads, heats, strict=True) if a > load])
        if len(inside):
            broken = inside[stability_limit(order, load, inside) > 1]
            points.append((load, float(broken.max()) if len(broken) else 0.0))
    return points


def _glass(setting: Setting) -> Part:
    """Small glasses, every state counted, against one step of replica symmetry breaking."""
    sizes = (8, 10) if setting.quick else (10, 12, 14, 16, 18)
    samples = range(3 if setting.quick else 20)
    shares = (0.3, 0.5, 0.7)
    static = glass.transitions(4)[1]
    rows, last = [], 0.0
    for order, load, critical in ((4, 2.0, static), (2, 50.0, 1.0)):
        for length in sizes if order == 4 else sizes[-1:]:
            ground, near, between = runs.small_glass(order, length, load, [s * critical for s in shares], samples)
            rows.append((f"{order}", f"{length}", f"{ground:.3f}", _text(near), _text(between)))
            last = ground if order == 4 else last
    energy = glass.ground_energy(4)
    together = [1 - glass.broken(4, share * static).apart for share in shares]
    rows.append(("4", "one step", f"{energy:.3f}", _text(together), "0 0 0"))
    symmetric = -math.sqrt(4 / math.pi)
    rows.append(("4", "symmetric", f"{symmetric:.3f}", "", ""))
    head = ("P", "N", "ground energy / (N J)", "|q| > 0.5 at .3 .5 .7 of the glass temperature", "0.3 < |q| < 0.6")
    limit = Limit(
        f"dense Hebbian, P = 4: ground energy of all states (N = {sizes[-1]}), distance from one step of breaking",
        "at most", 0.1, abs(last / energy - 1),
    )  # fmt: skip
    return {"rows": rows, "one_step": energy, "symmetric": symmetric}, [Table(head, rows, "Small glasses")], [limit], {}


def _noisy(setting: Setting) -> Part:
    """Learning archetypes from noisy examples, with a teacher and without."""
    counts = (10, 80) if setting.quick else (5, 10, 20, 40, 80, 160, 320)
    plans = ((4, 30, 10),) if setting.quick else ((4, 100, 20), (2, 400, 8))
    series: dict[str, list[tuple[float, float]]] = {}
    worst = 0.0
    for order, length, archetypes in plans:
        load = archetypes / patterns_per_load(order, length)
        for teacher, name in ((True, "teacher"), (False, "none")):
            for count in counts:
                found = runs.learnt(order, archetypes, length, 0.3, count, teacher, setting.seeds)
                theory = (
                    examples.supervised(order, load, 0.3, count)
                    if teacher
                    else examples.unsupervised(order, load, 0.3, count, length=length)
                ).archetype
                series.setdefault(f"P = {order}, {name}", []).append((count, found))
                series.setdefault(f"P = {order}, {name}, theory", []).append((count, theory))
                if order == 4 and teacher:
                    worst = max(worst, abs(found - theory))
    chart = line_chart(
        series, title="Archetypes from examples of quality 0.3", x_label="examples M", y_label="overlap", log_x=True
    )
    rows = [(name, _text([y for _, y in points])) for name, points in series.items()]
    table = Table(("", "M = " + " ".join(map(str, counts))), rows, "Overlap with the archetype, from 10 % flips of it")
    limit = Limit("dense Hebbian, P = 4 with a teacher: overlap, largest distance from theory", "at most", 0.05, worst)
    return {"series": series, "worst": worst}, [table], [limit], {"examples": chart}


def _ultra(setting: Setting) -> Part:
    """Few patterns, and noise on every coupling: it adds to the load as noise^2 times the patterns."""
    length, count = (12, 2) if setting.quick else (36, 3)
    noises = (1.0, 8.0) if setting.quick else (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
    found = {
        order: [
            float(np.mean([runs.under_noise(order, length, count, noise, seed) for seed in setting.seeds]))
            for noise in noises
        ]
        for order in (2, 4)
    }
    limits_of = {p: math.sqrt(max(capacity(p).load * patterns_per_load(p, length) / count - 1, 0)) for p in (2, 4)}
    rows = [(f"{p}", f"{limits_of[p]:.1f}", _text(found[p])) for p in (2, 4)]
    head = ("P", "noise borne by theory", "overlap at noise " + " ".join(f"{n:g}" for n in noises))
    table = Table(head, rows, f"Ultra-detection: N = {length}, K = {count}")
    # from the last noise that P = 2 bears to the last that P = 4 does
    borne = {
        p: max((n for n, m in zip(noises, found[p], strict=True) if m > 0.9), default=noises[0] / 2) for p in (2, 4)
    }
    limit = Limit("dense Hebbian: noise borne by P = 4 over that by P = 2", "at least", 4.0, borne[4] / borne[2])
    return {"noise": noises, "overlap": found, "theory": limits_of}, [table], [limit], {}


def _images(setting: Setting) -> Part:
    """Handwritten digits: archetypes are the classes' mean images, cues single images."""
    if setting.data is None or setting.quick:
        found, name = runs.structured(images.digits(0), slice(1_000, 1_200)), "the 8 x 8 digits"
    else:
        found, name = runs.structured(images.mnist(setting.data), slice(50_000, 52_000)), "MNIST, images 50,000 on"
    rows = [
        (rule, f"{told['accuracy']:.3f}", f"{told['overlap']:.3f}" if "overlap" in told else "")
        for rule, told in found.items()
    ]
    head = ("rule", "class right", "overlap with the own archetype")
    return found, [Table(head, rows, f"Archetypes of {name}, of the part to learn from")], [], {}


def _text(values: list[float]) -> str:
    return " ".join(f"{value:.2f}" for value in values)
