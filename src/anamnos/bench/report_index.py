"""The section on vector indexes in the page of benchmarks, and its charts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from anamnos.bench.index.curves import OURS, TARGETS, Reading, Run, curve_of, held_mb, of_limit, reading
from anamnos.bench.plots import MAX_SERIES, Point, line_chart
from anamnos.bench.report_parts import footer, table

_USUAL = 0.95
_NONE = "–"
_EXACT = ("numpy", "int8")
_LABELS = {"random": "drawn at random", "topic": "one topic"}


def index_section(result: Mapping[str, Any], limits: str) -> str:
    """Return the section of ``run_index``."""
    parts = [
        "## Vector indexes side by side",
        "recall@10 against the exact nearest by float32, time of one search in µs (median; one thread, files cached)"
        " read off between two measured efforts; ≤ where the least effort finds more than asked, – where none reaches"
        " it. Memory: what an index holds besides an idle process and cannot drop; page cache: what the system holds of"
        " its files and of the vectors that it compares again, which it may drop. Of the limit: the time that reading"
        f" as many bytes takes at {result['bandwidth']['gb_per_s']:.0f} GB/s, the most that one thread reads.",
        limits,
    ]
    for key in _shown(result):
        systems = result["runs"][key]
        parts += _set(key, result["sets"][key], systems, result["bandwidth"]["gb_per_s"])
    parts += _growth(result)
    notes = {
        name: run["build"] for systems in result["runs"].values() for name, run in systems.items() if "build" in run
    }
    rows = [
        (name, "; ".join(build["notes"]), ", ".join(f"{n} {v}" for n, v in build["versions"].items()))
        for name, build in notes.items()
        if "notes" in build
    ]
    charts = [f"![{name}]({path})" for name, path in result.get("charts", {}).items()]
    return "\n\n".join([*parts, table(("index", "how it was set", "versions"), rows), *charts, footer(result)])


def _set(key: str, about: Mapping[str, Any], systems: Mapping[str, Run], gb_per_s: float) -> list[str]:
    said = (
        f"{about['count']:,} x {about['dim']}; cosine of the 10th nearest {about['cosine_of_10th']:.3f}, local"
        f" dimension {about['local_dimension']:.1f} (medians)."
    )
    if "euclidean_shared" in about:
        said += (
            " Its vectors are made unit length, as our index knows the cosine only:"
            f" {about['euclidean_shared']:.1%} of the 10 nearest are those by Euclidean distance before."
        )
    rows = [_figures(name, run, gb_per_s) for name, run in systems.items() if curve_of(run)]
    head = ("index", "best recall", *(f"µs at {target:.2f}" for target in TARGETS), "CPU µs at 0.95", "kB read at 0.95")
    more = ("of the limit", "cold, ms", "build, CPU s", "build, s", "memory, MB", "page cache, MB", "disk, MB")
    parts = [f"### {about['set']}, {about['count']:,}", said, table((*head, *more), rows)]
    failed = [
        f"{name}, {step}: {found['error']}"
        for name, run in systems.items()
        for step, found in run.items()
        if "error" in found
    ]
    if failed:
        parts.append("Not measured: " + "; ".join(failed) + ".")
    return [*parts, *_filters(systems), *_churn(systems)]


def _figures(name: str, run: Run, gb_per_s: float) -> tuple[str, ...]:
    curve, search, build = curve_of(run), run["search"], run.get("build", {})
    cold, memory, read = search.get("cold"), search["memory"], reading(curve, _USUAL, "bytes")
    held, share = held_mb(run), of_limit(run, gb_per_s, _USUAL)
    return (
        name,
        f"{max(point['recall'] for point in curve):.3f}",
        *(_read(reading(curve, target)) for target in TARGETS),
        _read(reading(curve, _USUAL, "cpu_us")),
        _NONE if read is None else f"{read.value / 1e3:,.0f}",
        _NONE if share is None else f"{share:.2f}",
        f"{cold['p50_ms']:,.1f}" if cold else _NONE,
        f"{build['cpu_s']:,.1f}" if "cpu_s" in build else _NONE,
        f"{build['wall_s']:,.1f}" if "wall_s" in build else _NONE,
        _NONE if held is None else f"{held:,.0f}",
        f"{memory['cached_index_mb']:,.0f} + {memory['cached_rows_mb']:,.0f}",
        f"{build['disk_bytes'] / 1e6:,.0f}" if "disk_bytes" in build else _NONE,
    )


def _read(found: Reading | None) -> str:
    """Return a reading in words.

    >>> _read(Reading(1234.4)), _read(Reading(56.7, at_most=True)), _read(None)
    ('1,234', '≤ 57', '–')
    """
    return _NONE if found is None else f"{'≤ ' if found.at_most else ''}{found.value:,.0f}"


def _filters(systems: Mapping[str, Run]) -> list[str]:
    measured = {name: run["search"]["filters"] for name, run in systems.items() if "filters" in run.get("search", {})}
    if not measured:
        return []
    labels = next(iter(measured.values()))
    head = [f"{labels[label]['rows']:,}, {_LABELS[label.partition('_')[0]]}" for label in labels]
    rows = [
        (name, *(f"{found[label]['recall']:.3f}, {found[label]['wall_us']:,.0f} µs" for label in labels))
        for name, found in measured.items()
    ]
    return [
        "Searches among some rows only, at the least effort that finds 0.95 of them, else at the best:",
        table(("index", *head), rows),
    ]


def _churn(systems: Mapping[str, Run]) -> list[str]:
    rows = [
        (
            name,
            f"{found['changed']:,} of {found['live']:,}",
            f"{found['inserts_per_s']:,.0f}",
            f"{found['deletes_per_s']:,.0f}",
            f"{found['search_meanwhile_us']:,.0f}",
            *(
                f"{found[when]['recall']:.3f}, {found[when]['wall_us']:,.0f} µs"
                for when in ("before", "after", "fresh")
            ),
            _NONE if found["garbage"] is None else f"{found['garbage']:.1%}",
        )
        for name, found in ((name, run["churn"]) for name, run in systems.items() if "live" in run.get("churn", {}))
    ]
    head = (
        "index",
        "changed",
        "inserts/s",
        "deletes/s",
        "search meanwhile, µs",
        "before",
        "after",
        "built anew",
        "garbage",
    )
    said = "Rows exchanged for others, 100 by 100, with searches between; then the same rows in an index built anew:"
    return [said, table(head, rows)] if rows else []


def _by_size(result: Mapping[str, Any]) -> dict[str, dict[int, Run]]:
    """Return index -> size -> what was measured, of the set that was taken in most sizes."""
    found: dict[str, dict[int, Run]] = {}
    for key in _growing(result):
        for name, run in result["runs"].get(key, {}).items():
            found.setdefault(name, {})[int(result["sets"][key]["count"])] = run
    return found


def _growing(result: Mapping[str, Any]) -> list[str]:
    """Return the sizes of the set that was taken in most of them, smallest first."""
    sizes: dict[str, list[str]] = {}
    for key, about in result["sets"].items():
        sizes.setdefault(about["set"], []).append(key)
    most = max(sizes.values(), key=lambda keys: len(keys)) if sizes else []
    return sorted(most, key=lambda key: int(result["sets"][key]["count"]))


def _shown(result: Mapping[str, Any]) -> list[str]:
    """Return which sets and sizes have a table of their own: of those that show growth, the largest."""
    smaller = set(_growing(result)[:-1])
    return [key for key in result["runs"] if key not in smaller]


def _growth(result: Mapping[str, Any]) -> list[str]:
    """Return the times of each index by size, and which of ours is the quickest at each."""
    found = _by_size(result)
    sizes = sorted({size for runs in found.values() for size in runs})
    if len(sizes) < 2:
        return []
    parts = ["### Growth"]
    for target in (0.95, 0.98):
        readings = {
            name: {size: reading(curve_of(run), target) for size, run in runs.items()} for name, runs in found.items()
        }
        rows = [(name, *(_read(own.get(size)) for size in sizes)) for name, own in readings.items()]
        quickest = []
        for size in sizes:
            own = {
                name: read.value for name in (*_EXACT, OURS) if (read := readings.get(name, {}).get(size)) is not None
            }
            quickest.append(f"**{min(own, key=lambda name: own[name])}**" if own else _NONE)
        rows.append(("quickest of ours", *quickest))
        parts += [f"µs at recall {target}, by size:", table(("index", *(f"{size:,}" for size in sizes)), rows)]
    return parts


def index_charts(result: Mapping[str, Any]) -> dict[str, str]:
    """Return charts by name: recall against time for each set, and time against size; eight indexes at most."""
    charts = {}
    for key in _shown(result):
        systems = result["runs"][key]
        curves: dict[str, list[Point]] = {
            name: [(float(point["wall_us"]), float(point["recall"])) for point in curve_of(run)]
            for name, run in systems.items()
            if len(curve_of(run)) > 1
        }
        if curves:
            about = result["sets"][key]
            low = min(max(min(recall for _, recall in line) for line in curves.values()), 0.9)
            curves = {name: [point for point in line if point[1] >= low] or line[-1:] for name, line in curves.items()}
            charts[f"index-{key}"] = line_chart(
                dict(list(curves.items())[:MAX_SERIES]),
                title=f"{about['set']}, {about['count']:,}: recall and time",
                x_label="µs of a search",
                y_label="recall@10",
                log_x=True,
                y_range=(min(y for line in curves.values() for _, y in line), 1.0),
            )
    lines: dict[str, list[Point]] = {}
    for name, runs in _by_size(result).items():
        read = [(size, reading(curve_of(run), _USUAL)) for size, run in runs.items()]
        points = [(float(size), math.log10(found.value)) for size, found in read if found is not None]
        if len(points) > 1:
            lines[name] = points
    if lines:
        charts["index-growth"] = line_chart(
            dict(sorted(lines.items(), key=lambda item: item[0] != OURS)[:MAX_SERIES]),
            title="Time of a search at recall 0.95, by size",
            x_label="vectors",
            y_label="µs, as a power of ten",
            log_x=True,
            y_range=None,
        )
    return charts
