"""The section and the chart of ``first-fact``: one row a system, seconds and megabytes, and where it came to a stop."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from anamnos.bench.plots import Panel, bar_chart
from anamnos.bench.report_parts import footer, table

Result = Mapping[str, Any]
_PARTS = {
    "installed": "pip install",
    "set up": "set-up",
    "imported": "import",
    "remembered": "first fact written",
    "recalled": "fact read back",
}
_LAST = "recalled"
_SOURCES = ("downloaded", "cached", "local")


def first_fact_section(result: Result) -> str:
    """Return the section: times, sizes, what each asked for, and how each was run."""
    systems = result["systems"]
    times = [(name, *_times(found)) for name, found in systems.items()]
    sizes = [
        (
            name,
            f"{found['packages']}",
            f"{found['mb_without_bytecode']:,.1f}",
            f"{found['mb']:,.1f}",
            f"{found['home_mb']:,.1f}",
            " + ".join(f"{found['fetched_mb'].get(where, 0):,.0f}" for where in _SOURCES),
            ", ".join(f"{part} {size:,.0f}" for part, size in list(found["largest_mb"].items())[:3] if size >= 1),
        )
        for name, found in systems.items()
    ]
    asked = [
        (
            name,
            found["version"],
            "; ".join(f"`{line}`" for line in _lines(found)),
            "; ".join(found["needs"]) or "nothing",
            _service(found["stand_in"]),
            "; ".join(found["notes"]),
        )
        for name, found in systems.items()
    ]
    chart = [f"![Seconds and megabytes]({result['chart']})"] if "chart" in result else []
    stopped = [
        f"- **{name}** came to a stop after “{_step(found)}”: {found['stopped'].replace('<', '&lt;')}"
        for name, found in systems.items()
        if found["stopped"]
    ]
    return "\n\n".join(
        [
            "## From pip install to the first remembered fact",
            "Each system goes into a fresh environment with a home folder of its own, with the line that its own"
            " instructions give to pip, and then follows its own quick-start to one fact that is written and asked for"
            f" again: “{result['fact']}” What is done otherwise stands in the notes. Where it needs a language model or"
            " an embedding service, a stand-in on this machine answered at once: the seconds are a lower bound, and say"
            " nothing of what a real one takes. One run, one system after the other.",
            "Seconds, each step by itself, and all of them until the fact has come back. Import is the start of the"
            " program for those that are commands. Load: how many processes wanted a CPU when its turn came:",
            table(("system", *_PARTS.values(), "all", "load"), times),
            "Packages and megabytes (10^6 bytes) at the end. Outside: what lies in the home folder, its data and what"
            " it fetched there. Pip: megabytes from the network + from pip's cache + from folders on this machine that"
            " pip looks in; the more of the former, the more the network says how long it takes:",
            table(("system", "packages", "without bytecode", "with", "outside", "pip", "largest parts"), sizes),
            "What each was told, and what a user must have:",
            table(("system", "version", "commands", "needs", "service", "notes"), asked),
            *(["\n".join(["Not all came to a fact:", "", *stopped])] if stopped else []),
            *chart,
            footer(result),
        ]
    )


def first_fact_chart(result: Result) -> str:
    """Return seconds by step and megabytes of each system as bars in one SVG document."""
    names = {name: name + (" (stopped)" if found["stopped"] else "") for name, found in result["systems"].items()}
    seconds, sizes = {}, {}
    for name, found in result["systems"].items():
        seconds[names[name]] = {_PARTS[step]: took for step, took in _steps(found).items()}
        sizes[names[name]] = {"program": found["mb_without_bytecode"], "outside": found["home_mb"]}
    return bar_chart(
        [
            Panel("seconds, pip install until the fact is read back", seconds, tuple(_PARTS.values())),
            Panel("megabytes on disk, without bytecode", sizes, ("program", "outside")),
        ],
        title="From pip install to the first remembered fact",
    )


def _steps(found: Result) -> dict[str, float]:
    """Return the seconds of each step that was reached by itself.

    >>> _steps({"at_s": {"installed": 5.0, "imported": 6.5}})
    {'installed': 5.0, 'imported': 1.5}
    """
    at = {"": 0.0, **found["at_s"]}
    return {step: round(at[step] - at[before], 2) for before, step in pairwise(at)}


def _times(found: Result) -> list[str]:
    steps = _steps(found)
    end = f"{found['at_s'][_LAST]:,.1f}" if _LAST in steps else "–"
    load = f"{found['load_average'][0]:.1f}" if found["load_average"] else "unknown"
    return [*(f"{steps[step]:,.2f}" if step in steps else "–" for step in _PARTS), end, load]


def _lines(found: Result) -> list[str]:
    return [*(f"pip install {line}" for line in found["installs"]), *found["set_up"]]


def _service(asked: Mapping[str, int] | None) -> str:
    """Return what was asked of the stand-in, in words.

    >>> _service(None), _service({"models": 1})
    ('not needed', 'not asked before it stopped')
    """
    if asked is None:
        return "not needed"
    if not {"chat", "embeddings"} & set(asked):
        return "not asked before it stopped"
    what = "a language model" if "chat" in asked else "an embedding service"
    told = ", ".join(f"{name} {times}" for name, times in sorted(asked.items()))
    return f"needs {what} (a stand-in answered at once: a lower bound); asked: {told}"


def _step(found: Result) -> str:
    reached = str(found["reached"])
    return _PARTS.get(reached, reached)
