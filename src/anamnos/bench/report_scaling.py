"""The tables and the chart of the model of sizes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from anamnos.bench.plots import line_chart
from anamnos.bench.report_parts import table

Result = Mapping[str, Any]


def scaling_section(result: Result) -> str:
    """Return the section of ``run_scaling``."""
    a, rows = result["assumptions"], result["sizes"]
    sizes = [
        (
            f"{row['vectors']:,}",
            _bytes(row["ram_bytes"]),
            *(_bytes(row["disk_bytes"][part]) for part in ("lists", "exact rows", "everything else")),
            f"{row['machines']} {row['machine']}",
            row["bound_by"] if row["machines"] > 1 else "",
            f"{row['build_hours']:.2g} h",
            f"{row['usd_per_month']:,.0f}",
        )
        for row in rows
    ]
    queries = [
        (
            f"{row['vectors']:,}",
            recall,
            f"{found['lists'] * row['machines']:,.0f}",
            _bytes(found["scanned_bytes"] * row["machines"]),
            f"{found['cpu_us'] / 1e3:,.2f} ms",
            f"{row['latency'][recall]['reads']:,.0f}",
            f"{row['latency'][recall]['p50_ms']:,.1f} / {row['latency'][recall]['p99_ms']:,.1f} ms",
            f"{row['cold'][recall]['p50_ms']:,.1f} / {row['cold'][recall]['p99_ms']:,.1f} ms",
        )
        for row in rows
        for recall, found in row["search"].items()
    ]
    checks = [
        (
            f"{row['vectors']:,}",
            "fitted to" if row["fitted"] else "left out",
            f"{row['recall']:.2f}",
            _pair(row["cpu_us"], lambda us: f"{us:,.0f} µs"),
            _pair(row["scanned_bytes"], _bytes),
            _pair(row["disk_bytes"], _bytes),
        )
        for row in result["compared"]
    ]
    machines = [
        (each["name"], str(each["cores"]), f"{each['ram_gb']:g} GB", f"{each['disk_gb']:,g} GB", f"{each['usd']:,g}")
        for each in a["machines"]
    ]
    growth = ", ".join(f"{fit[0]:g} at recall {recall} (power {fit[1]:g})" for recall, fit in a["lists"].items())
    return "\n\n".join(
        [
            "## The model beside what was measured",
            "Each cell: measured by `anamnos bench index`, model (model / measured). The largest size was left out when"
            " the model was fitted.",
            table(("vectors", "the model was", "recall@10", "CPU per query", "bytes read", "lists and rows"), checks),
            "## Memory, disk, machines",
            "All above the largest measured size is **model only**. Memory: what the index itself holds. Dollars: a"
            f" month of all machines with {a['replicas']} copies of everything, at the prices below. *Bound by*: why"
            " one machine is not enough.",
            table(
                ("memories", "memory", "lists", "exact rows", "store", "machines", "bound by", "build", "USD/month"),
                sizes,
            ),
            "## One query",
            f"Lists and bytes over all machines; CPU of one core on each. Half warm: {a['cached']:.0%} of what is read"
            " is in memory. Cold: nothing is. p50 / p99 of simulated queries that wait for the slowest machine.",
            table(
                ("memories", "recall@10", "lists", "compared", "CPU", "reads", "half warm", "cold"),
                queries,
            ),
            "## Assumptions",
            f"{a['dim']} numbers per vector, {a['width']} bytes in the lists; a list per {a['per_head']:g} vectors,"
            f" {a['copies']:g} lists per vector; lists read at a million vectors: {growth};"
            f" {a['reranked']} vectors compared again ({a['exact_row']:,} bytes each);"
            f" {a['store_row']:,} bytes of text, versions, keywords and words' vectors per memory in SQLite."
            f" Disk: {a['read_ms']:g} ms a read, {a['depth']} at a time, {a['disk_gb_s']:g} GB/s."
            f" Building at most {a['build_hours']:g} h; {a['fill']:.0%} of memory and disk planned with. Embedding,"
            f" once: {a['texts_per_s']:g} texts/s a core, so {_hours(rows)}.",
            table(("machine", "cores", "memory", "disk", "USD/month"), machines),
            f"Command: `{result.get('command', 'anamnos bench scaling')}`. {result['date']}.",
        ]
    )


def scaling_chart(result: Result) -> str:
    """Return bytes compared per query by size, both as powers of ten, with what was measured."""
    dim = result["assumptions"]["dim"]
    counts = [row["vectors"] for row in result["sizes"]]
    series = {
        "all, int8": [(n, math.log10(n * dim)) for n in counts],
        "all, bits": [(n, math.log10(n * dim / 8)) for n in counts],
    }
    for recall in result["sizes"][0]["search"]:
        series[f"SPANN, {recall}"] = [
            (row["vectors"], math.log10(row["search"][recall]["scanned_bytes"] * row["machines"]))
            for row in result["sizes"]
        ]
        measured = [
            (row["vectors"], math.log10(row["scanned_bytes"][0]))
            for row in result["compared"]
            if row["scanned_bytes"] and f"{row['recall']:g}" == recall
        ]
        if measured:
            series[f"measured, {recall}"] = sorted(measured)
    return line_chart(
        series,
        title="Bytes compared per query, all machines together",
        x_label="memories",
        y_label="bytes, power of ten",
        log_x=True,
        y_range=None,
    )


def _pair(found: list[float] | None, shown: Any) -> str:
    return "" if found is None else f"{shown(found[0])}, {shown(found[1])} ({found[2]:.2f})"


def _hours(rows: list[Mapping[str, Any]]) -> str:
    last = rows[-1]
    return f"{last['embedding_core_hours']:,.0f} core hours for {last['vectors']:,}"


def _bytes(size: float) -> str:
    """Return a size in words.

    >>> _bytes(1_500), _bytes(3.9e9), _bytes(602e6)
    ('1.5 kB', '3.9 GB', '602 MB')
    """
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size:.0f} B"
