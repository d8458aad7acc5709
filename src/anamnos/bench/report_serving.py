"""The section and the chart of the benchmark of the server."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from anamnos.bench.plots import line_chart
from anamnos.bench.report_parts import footer, table

Result = Mapping[str, Any]
_WHERE = {"process": "in process", "server": "REST over loopback"}


def serving_section(result: Result) -> str:
    """Return the section of ``run_serving``."""
    rows = [
        (
            verb,
            words,
            f"{found['calls_per_s']:,.0f}",
            f"{found['p50_ms']:,.1f} ms",
            f"{found['p95_ms']:,.1f} ms",
            *((f"{ratio['calls_per_s']:.2f}", f"{ratio['p95']:.2f}") if where == "server" else ("", "")),
        )
        for verb, ratio in result["ratios"].items()
        for where, words in _WHERE.items()
        for found in [result[where][verb]]
    ]
    parts = [
        "## The server" if rows else "## The server under load",
        f"{result['clients']} clients at once, {result['memories']:,} memories in one scope, embedder"
        f" `{result['embedder']}`. The clients of the server run in another process of the same machine.",
    ]
    if rows:
        parts += [
            f"Medians of {result['rounds']} rounds of {result['seconds_each']:g} s, which change between server and"
            " process:",
            table(("verb", "where", "calls/s", "median", "p95", "calls/s, ratio", "p95, ratio"), rows),
        ]
    if (mixed := result.get("mixed")) is not None:
        held = mixed["resident_mb"]
        parts.append(
            f"Mixed load, 8 searches to 1 add and 1 delete, for {mixed['seconds'] / 60:g} minutes:"
            f" {mixed['calls']:,} calls, {mixed['calls_per_s']:,.0f}/s, p95 {mixed['p95_ms']:,.1f} ms. The server's own"
            f" memory: {held[0]:,.0f} MB after {mixed['sampled_every_s']:g} s, {held[-1]:,.0f} MB at the end, at most"
            f" {max(held):,.0f} MB; from the second fifth of the time to the last it changed by"
            f" {mixed['growth']:+.1%}."
        )
        if result.get("chart"):
            parts.append(f"![Memory of the server under mixed load]({result['chart']})")
    return "\n\n".join([*parts, footer(result)])


def serving_chart(result: Result) -> str:
    """Return the chart of the server's memory under mixed load."""
    mixed, most = result["mixed"], 60
    step = -(-len(mixed["resident_mb"]) // most)
    minutes = mixed["sampled_every_s"] / 60
    points = [
        (round((start + step) * minutes, 2), statistics.median(mixed["resident_mb"][start : start + step]))
        for start in range(0, len(mixed["resident_mb"]), step)
    ]
    return line_chart(
        {"own memory": points},
        title="Memory of the server under mixed load",
        x_label="minutes",
        y_label="MB",
        y_range=(0.0, 1.2 * max(size for _, size in points)),
    )
