"""What the sections of the page of benchmarks are put together from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def interval(value: float, bounds: Sequence[float] | None) -> str:
    """Return a figure with the bounds of its interval, if it has one.

    >>> interval(0.5, [0.4, 0.6]), interval(0.5, None)
    ('0.500 [0.400, 0.600]', '0.500')
    """
    return f"{value:.3f}" if bounds is None else f"{value:.3f} [{bounds[0]:.3f}, {bounds[1]:.3f}]"


def latency(figures: Mapping[str, float], prefix: str = "") -> str:
    """Return median and 95th percentile in words."""
    return f"{figures[f'{prefix}p50_ms']:.1f} ms median, {figures[f'{prefix}p95_ms']:.1f} ms p95"


def footer(result: Mapping[str, Any]) -> str:
    """Return how, on what and where it was measured."""
    machine, versions, data = result["machine"], result["versions"], result.get("data")
    load = f"{machine['load_average'][0]:.1f}" if machine["load_average"] else "unknown"
    facts = [
        f"Command: `{result.get('command', '')}`",
        *([data_file(data)] if data else []),
        f"{result['date']}, {result['seconds']:,.0f} s",
        f"{machine['cpus']} CPUs ({machine['cpu']}), {machine['system']}, load {load} at the start",
        ", ".join(f"{name} {version}" for name, version in versions.items()),
    ]
    return ". ".join(facts) + "."


def data_file(data: Mapping[str, Any]) -> str:
    """Return the name and the checksum of what was measured on."""
    return f"data `{data['name']}`, SHA-256 `{data['sha256'][:16]}…`"
