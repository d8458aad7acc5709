"""The sections and charts of ``compare`` and ``ablate``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from anamnos.bench.plots import MAX_SERIES, Point, line_chart
from anamnos.bench.report_parts import data_file, footer, interval, latency, table

Result = Mapping[str, Any]


def compare_section(result: Result) -> str:
    """Return the section of ``compare``: one row a system, one column a figure, then how each was set."""
    data, systems = result["data"], result["systems"]
    depths = [name for name in next(iter(systems.values()))["recall"]["all"] if name != "n"]
    groups = next(iter(systems.values()))["recall"]
    few = (
        " Of so few conversations it is little more than the range of what each says."
        if data["conversations"] < 5
        else ""
    )
    recall = [(name, *(f"{found['recall']['all'][depth]:.3f}" for depth in depths)) for name, found in systems.items()]
    ahead = [
        (name, *(_signed(found["anamnos_ahead"][depth]) for depth in depths))
        for name, found in systems.items()
        if "anamnos_ahead" in found
    ]
    by_group = [
        (name, *(f"{found['recall'][group]['recall_frac@10']:.3f}" for group in groups))
        for name, found in systems.items()
    ]
    speed = [
        (
            name,
            latency(found["search"]),
            f"{found['search']['embedding_share']:.0%}",
            _rate(found["add"]),
            f"{found['add']['p95_ms']:.1f} ms" if found["add"] else "–",
            _rate(found["bulk"]),
            f"{found['disk_bytes_per_memory']:,.0f}" if found["disk_bytes_per_memory"] else "–",
        )
        for name, found in systems.items()
    ]
    how = [
        (name, "; ".join(found["notes"]), ", ".join(f"{p} {v}" for p, v in found["versions"].items()))
        for name, found in systems.items()
    ]
    return "\n\n".join(
        [
            "## Anamnos and other systems, side by side",
            f"The first {data['conversations']} conversations of LoCoMo, {data['turns']:,} turns,"
            f" {data['questions']:,} questions with evidence; the same texts, embedder ({result['embedder']['id']}) and"
            f" machine, no language model, no network; run in turns, times in the median of {result['rounds']} runs.",
            "Turns that hold the evidence, all questions:",
            table(("system", *depths), recall),
            f"By how much Anamnos is ahead; in brackets the 95 % bootstrap interval over conversations.{few}",
            table(("than", *depths), ahead),
            "recall_frac@10 by category of question:",
            table(("system", *(f"{group} ({found['n']})" for group, found in groups.items())), by_group),
            f"Speed and size; search for the best {result['top_k']}, adds one by one:",
            table(
                ("system", "search", "of it embedding", "adds", "add, p95", "adds in bulk", "disk, bytes/memory"), speed
            ),
            table(("system", "how it was set", "versions"), how),
            *(f"![{name}]({path})" for name, path in result.get("charts", {}).items()),
            footer(result),
        ]
    )


def ablate_section(result: Result) -> str:
    """Return the section of ``ablate``: one table a data set, one row a channel left out or added."""
    parts = [
        f"## What each channel of {result['recipe']} is worth, {result['embedder']['id']}",
        "recall_frac@10 of turns where one channel is left out of the recipe, or one that it lacks is added with the"
        " weight that another recipe gives it (1 if none does). In brackets the 95 % bootstrap interval of the"
        " difference over conversations.",
    ]
    for name, found in result["sets"].items():
        rows = [
            (
                row["change"],
                f"{row['weight']:g}",
                f"{row['recall_frac@10']:.3f}",
                _signed({"mean": row["difference"], "interval": row["interval"]}),
            )
            for row in found["changes"]
        ]
        whole = ("the whole recipe", "", f"{found['recall_frac@10']:.3f}", "")
        parts += [
            f"{name}, {found['data']['conversations']} conversations, {found['n']:,} questions with evidence;"
            f" {data_file(found['data'])}:",
            table(("recipe", "weight", "recall_frac@10", "difference"), [whole, *rows]),
        ]
    return "\n\n".join([*parts, footer(result)])


def _rate(found: Mapping[str, float] | None) -> str:
    """Return how many a second.

    >>> _rate({"per_s": 1234.5}), _rate({"per_s": 0.214}), _rate(None)
    ('1,234/s', '0.21/s', '–')
    """
    if found is None:
        return "–"
    return f"{found['per_s']:,.0f}/s" if found["per_s"] >= 10 else f"{found['per_s']:.2g}/s"


def _signed(found: Mapping[str, Any]) -> str:
    """Return a difference with its sign and interval.

    >>> _signed({"mean": 0.5, "interval": [0.4, 0.6]})
    '+0.500 [0.400, 0.600]'
    """
    return f"{'+' if found['mean'] > 0 else ''}{interval(found['mean'], found['interval'])}"


SECTIONS: dict[str, Callable[[Result], str]] = {"compare": compare_section, "ablate": ablate_section}


def compare_charts(result: Result) -> dict[str, str]:
    """Return charts by name: recall against depth, length, latency and disk; eight systems at most, the first ones."""
    systems = dict(list(result["systems"].items())[:MAX_SERIES])
    curves: dict[str, list[Point]] = {
        name: [(float(k), float(recall)) for k, recall in enumerate(found["curve"], start=1)]
        for name, found in systems.items()
    }
    long: dict[str, list[Point]] = {
        name: list(zip(found["tokens"], found["curve"], strict=True)) for name, found in systems.items()
    }
    quick = {name: [(found["search"]["p50_ms"], _at_10(found))] for name, found in systems.items()}
    small = {
        name: [(found["disk_bytes_per_memory"], _at_10(found))]
        for name, found in systems.items()
        if found["disk_bytes_per_memory"]
    }
    at_10 = "recall_frac@10"
    some = f" (the first {MAX_SERIES} systems)" if len(result["systems"]) > MAX_SERIES else ""
    return {
        "compare-depth": line_chart(
            curves, title=f"LoCoMo: recall by depth{some}", x_label="turns looked at (k)", y_label="recall_frac"
        ),
        "compare-tokens": line_chart(
            long, title=f"LoCoMo: recall by length{some}", x_label="tokens of these turns", y_label="recall_frac"
        ),
        "compare-latency": line_chart(
            quick, title=f"LoCoMo: recall and time{some}", x_label="search, median ms", y_label=at_10, log_x=True
        ),
        "compare-size": line_chart(
            small, title=f"LoCoMo: recall and size{some}", x_label="disk, bytes per memory", y_label=at_10, log_x=True
        ),
    }


def _at_10(found: Mapping[str, Any]) -> float:
    return float(found["recall"]["all"]["recall_frac@10"])
