"""The section of ``anamnos bench consolidate`` on the page of benchmarks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anamnos.bench.report_parts import footer, latency, table


def consolidate_section(result: Mapping[str, Any], limits: str) -> str:
    """Return a result as Markdown; ``limits`` is the table of promises."""
    turns, before, after = result["turns"], result["recall_before"], result["recall_after"]
    grown = result["disk_after"] - result["disk_before"]
    steps = [
        (
            step["name"],
            ", ".join(f"{count:,} {what}" for what, count in step["changed"].items() if count) or "nothing",
            f"{step['seconds']:,.1f} s",
        )
        for step in result["report"]["steps"]
    ]
    found = [
        ("questions", f"{before['n']:,}", f"{after['n']:,}"),
        (
            "answer among ten, in any turn that says it",
            f"{before['recall_frac@10']:.3f}",
            f"{after['recall_frac@10']:.3f}",
        ),
        (
            f"recall_frac@10 of turns, the {before['n_once']:,} facts said once",
            f"{before['once_recall_frac@10']:.3f}",
            f"{after['once_recall_frac@10']:.3f}",
        ),
        ("memories that plain search looks at", f"{result['searched_before']:,}", f"{result['searched_after']:,}"),
        ("disk", _mb(result["disk_before"]), f"{_mb(result['disk_after'])} ({grown / turns:+,.0f} bytes per turn)"),
    ]
    precise = result["precision"]
    bits = [
        (
            f"{row['bits']}",
            f"{row['cosine_overlap@10']:.3f}",
            f"{row['frqad_overlap@10']:.3f}",
            "–" if row["bits"] == 32 else f"{row['cosine_prefers_whole']:.2f}",
            "–" if row["bits"] == 32 else f"{row['frqad_prefers_whole']:.2f}",
            f"{row['cosine_ms_per_cue']:.2f} ms",
            f"{row['frqad_ms_per_cue']:.2f} ms",
        )
        for row in precise["rows"]
    ]
    return "\n\n".join(
        [
            f"## Sleep after a year of {turns:,} turns, {result['embedder']['id']}",
            f"Made-up daily chats over {result['days']} days, {result['prepare']['facts']:,} facts found in them before"
            f" by rules. Consolidated in {result['consolidate_s']:,.0f} s; once more, with nothing new, in"
            f" {result['second_run']['seconds']:,.1f} s. Peak memory {result['peak_rss_mb']:,.0f} MB, of which"
            f" {result['rss_before_mb']:,.0f} MB before.",
            limits,
            table(("step", "what changed", "time"), steps),
            table(("what", "before", "after"), found),
            f"Somebody searches all the time in the same process: {latency(result['idle'])} before"
            f" ({result['idle']['n']:,} searches), {latency(result['busy'])} meanwhile ({result['busy']['n']:,}).",
            f"Embeddings of fewer bits, {precise['vectors']:,} vectors, {precise['cues']:,} cues: share of the ten"
            " nearest that stay; how often a whole copy is nearer to a cue near it than its rough copy; time per cue:",
            table(
                ("bits", "cosine", "FRQAD", "cosine, whole first", "FRQAD, whole first", "cosine", "FRQAD"),
                bits,
            ),
            footer(result),
        ]
    )


def _mb(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
