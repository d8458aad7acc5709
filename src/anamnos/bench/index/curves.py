"""Figures read off a curve of recall against time, and the promises that rest on them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from anamnos.bench.limits import Limit, limits_json
from anamnos.bench.timing import significant

TARGETS = (0.90, 0.95, 0.98)
OURS = "spann"
_RIVAL = "usearch"
Run = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reading:
    """A figure at a recall.

    value    at that recall, between two measured points by the figure's logarithm
    at_most  whether already the least effort finds more than asked, so that less would do
    """

    value: float
    at_most: bool = False


def reading(curve: Sequence[Mapping[str, Any]], target: float, name: str = "wall_us") -> Reading | None:
    """Return a figure of a curve at a recall; None if no effort reaches it, or the figure is not known.

    >>> points = [{"recall": 0.9, "wall_us": 100.0}, {"recall": 1.0, "wall_us": 400.0}]
    >>> reading(points, 0.95), reading(points, 0.8), reading(points[:1], 0.95)
    (Reading(value=200.0, at_most=False), Reading(value=100.0, at_most=True), None)
    """
    last: Mapping[str, Any] | None = None
    for point in curve:
        if name not in point:
            return None
        if point["recall"] >= target:
            if last is None or point["recall"] == target:
                return Reading(float(point[name]), at_most=last is None and point["recall"] > target)
            part = (target - last["recall"]) / (point["recall"] - last["recall"])
            low, high = math.log(max(last[name], 1e-9)), math.log(max(point[name], 1e-9))
            return Reading(significant(math.exp(low + part * (high - low))))
        if last is None or point["recall"] > last["recall"]:
            last = point
    return None


def curve_of(run: Run) -> Sequence[Mapping[str, Any]]:
    """Return the points of an index on a set, none if it failed."""
    found: Sequence[Mapping[str, Any]] = run.get("search", {}).get("curve", ())
    return found


def held_mb(run: Run) -> float | None:
    """Return the memory that an index itself takes: what cannot be dropped, less the idle process."""
    memory = run.get("search", {}).get("memory")
    return None if memory is None else max(memory["anonymous_mb"] - memory["idle_mb"], 0.0) + memory["shared_mb"]


def of_limit(run: Run, gb_per_s: float, target: float) -> float | None:
    """Return the time that reading so many bytes takes at best, as a share of the time of a search."""
    curve = curve_of(run)
    read, took = reading(curve, target, "bytes"), reading(curve, target)
    return None if read is None or took is None else read.value / (gb_per_s * 1e3) / took.value


def promises(runs: Mapping[str, Mapping[str, Run]]) -> list[dict[str, Any]]:
    """Return what our index is to reach beside usearch on the large set and alone on the hard one, as JSON."""
    found: list[Limit] = []
    for key, systems in runs.items():
        if OURS not in systems:
            continue
        if key == "million-1000000":
            found += _beside(systems)
            found += _filters(systems[OURS])
        if key.startswith("hard-"):
            best = max((point["recall"] for point in curve_of(systems[OURS])), default=0.0)
            found.append(Limit("recall on the clustered set", "at least", 0.98, best))
        if "live" in (churn := systems[OURS].get("churn", {})):
            lost = churn["fresh"]["recall"] - churn["after"]["recall"]
            found.append(Limit(f"recall lost by churn, {key}", "at most", 0.005, lost, why="against a fresh build"))
            if churn["garbage"] is not None:
                found.append(Limit(f"garbage after churn, {key}", "at most", 0.1, churn["garbage"]))
    return limits_json(found)


def _beside(systems: Mapping[str, Run]) -> list[Limit]:
    ours, rival = systems[OURS], systems.get(_RIVAL, {})
    found = []
    for target, factor in ((0.95, 1.5), (0.98, 1.2)):
        own, other = reading(curve_of(ours), target), reading(curve_of(rival), target)
        if own and other:
            name, why = f"search at recall {target}, a million", f"{factor} x {_RIVAL}"
            found.append(Limit(name, "at most", factor * other.value, own.value, "µs", why))
    memory, theirs = held_mb(ours), held_mb(rival)
    if memory is not None and theirs is not None:
        found.append(Limit("memory, a million", "at most", theirs / 7, memory, "MB", f"1/7 of {_RIVAL}"))
    if "cpu_s" in (own_build := ours.get("build", {})) and "cpu_s" in (build := rival.get("build", {})):
        found.append(
            Limit("build, a million", "at most", build["cpu_s"] / 5, own_build["cpu_s"], "CPU s", f"1/5 of {_RIVAL}")
        )
    return found


def _filters(run: Run) -> list[Limit]:
    labels = run.get("search", {}).get("filters", {})
    return [
        Limit(f"recall among {found['rows']:,} rows, {label.partition('_')[0]}", "at least", 0.95, found["recall"])
        for label, found in labels.items()
    ]
