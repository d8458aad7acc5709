"""A year of daily chats put to sleep: time, memory, disk, what is still found, and how long others wait meanwhile.

The chats are made up (``anamnos.bench.daily``). Each step runs in a process of its own; the one that consolidates also
searches all the time, in a thread of the same process, and is compared with the same searches before.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from anamnos.bench.child import run_child
from anamnos.bench.daily import DAYS
from anamnos.bench.limits import Limit, limits_json
from anamnos.bench.surroundings import load_average, surroundings
from anamnos.bench.timing import Progress, quiet
from anamnos.config import Settings

_MAX_RECALL_LOSS = 0.01
_MAX_SLOWER = 2.0
_MAX_EXTRA_MB = 600.0


def run_consolidate(
    turns: int, *, embedder: str = "hashing", seed: int = 0, progress: Progress = quiet
) -> dict[str, Any]:
    """Return the JSON of the benchmark.

    turns     over 365 days, in one scope
    embedder  as in the settings; hashing needs no model, so that a hundred thousand turns take minutes
    """
    start, around = time.perf_counter(), surroundings()
    with tempfile.TemporaryDirectory(prefix="anamnos-bench-") as folder:
        common = {"vault": str(Path(folder) / "vault"), "turns": turns, "embedder": embedder, "seed": seed}

        def step(name: str, **settings: Any) -> dict[str, Any]:
            command = [sys.executable, "-m", "anamnos.bench.consolidate_steps"]
            return run_child(command, {"step": name, **settings}, progress)

        prepared = step("prepare", **common)
        before = step("disk", vault=common["vault"])
        slept = step("consolidate", **common)
        after = step("disk", vault=common["vault"])
        precise = step("precision", **common)
    result: dict[str, Any] = {
        "benchmark": "consolidate",
        **around,
        "turns": turns,
        "days": DAYS,
        "seed": seed,
        "part": str(turns),
        "embedder": {"id": precise["embedder"]},
        "recipe": Settings().recipe,
        "prepare": prepared,
        **slept,
        "disk_before": before["total"],
        "disk_after": after["total"],
        "precision": precise,
    }
    result["limits"] = limits_json(_limits(result))
    result["machine"]["load_average_at_end"] = load_average()
    result["seconds"] = round(time.perf_counter() - start, 1)
    return result


def _limits(result: dict[str, Any]) -> list[Limit]:
    lost = result["recall_before"]["recall_frac@10"] - result["recall_after"]["recall_frac@10"]
    idle = result["idle"]["p95_ms"]
    again = sum(sum(step["changed"].values()) for step in result["second_run"]["report"]["steps"])
    extra = result["peak_rss_mb"] - result["rss_before_mb"]
    return [
        Limit("recall_frac@10 lost", "at most", _MAX_RECALL_LOSS, lost),
        Limit(
            "search while it runs, p95",
            "at most",
            _MAX_SLOWER * idle,
            result["busy"]["p95_ms"],
            "ms",
            "2 x the same searches before, p95, same process",
        ),
        Limit("memory that it takes", "at most", _MAX_EXTRA_MB, extra, "MB", "peak while it runs less peak before"),
        Limit("changes of a second run", "at most", 0, again),
        Limit("problems that verify finds", "at most", 0, len(result["problems"])),
    ]
