"""The section on planted memories in the page of benchmarks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anamnos.bench.report_parts import footer, latency, table


def poisoning_section(result: Mapping[str, Any]) -> str:
    """Return the section of ``run_poisoning``."""
    attack, cost = result["attack"], result["cost"]
    names = list(attack["off"])
    rows = [(name, f"{attack['off'][name]:.3f}", f"{attack['capped'][name]:.3f}") for name in names]
    kinds = {"plain": "as they are", "mixed": f"{result['honest_share']:.0%} of the turns as from the web"}
    costs = [
        (what, name, f"{cost[part]['off'][name]:.3f}", f"{cost[part]['capped'][name]:.3f}")
        for part, what in kinds.items()
        for name in cost[part]["off"]
    ]
    return "\n\n".join(
        [
            f"## Planted memories, {result['embedder']['id']}, recipe {result['recipe']}",
            f"{result['planted']:,} memories planted for {result['questions']:,} questions, from pages and tools."
            " planted@k: a planted memory is among the first k; in the answer: it rests on one.",
            table(("under attack", "cap off", "cap on"), rows),
            "Without an attack, what the cap costs:",
            table(("memories", "metric", "cap off", "cap on"), costs),
            f"Search: {latency(result['search'])}.",
            footer(result),
        ]
    )
