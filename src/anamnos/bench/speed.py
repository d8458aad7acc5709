"""Speed at size: ingest, memory, opening, searching and disk of one user's many memories, against their limits.

Texts are made up and vectors come from a stand-in, so that a hundred thousand memories need no model; rates of ingest
are therefore those without embedding. Each step runs in a process of its own.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anamnos.bench.child import run_child
from anamnos.bench.disk import disk_use
from anamnos.bench.limits import Limit, limits_json
from anamnos.bench.speed_steps import SCOPE
from anamnos.bench.surroundings import load_average, surroundings
from anamnos.bench.synthetic import StandInEmbedder, cues, texts, write_messages
from anamnos.bench.timing import Progress, quiet
from anamnos.memory import Memory

WHOLE_SEARCH_MEMORIES = 10_000
_OPENINGS = 3


def run_speed(
    memories: int, *, embedder: str = "auto", searches: int = 100, seed: int = 0, progress: Progress = quiet
) -> dict[str, Any]:
    """Return the JSON of the benchmark.

    memories  how many, in one scope
    embedder  whose time for a cue the whole search is measured with, at 10,000 memories (or ``memories`` if fewer) and
              at ``memories``
    searches  cues measured
    """
    start, around = time.perf_counter(), surroundings()
    with tempfile.TemporaryDirectory(prefix="anamnos-bench-") as folder:
        base = Path(folder)
        turns = texts(memories, seed)
        messages = base / "messages.jsonl"
        write_messages(messages, turns)
        cue = cues(turns, 1)[0]
        common = {"vault": str(base / "large" / "vault"), "messages": str(messages)}
        (base / "large").mkdir()
        ingest = _run("ingest", progress, **common)
        disk = disk_use(base / "large" / "vault")
        opening = _opening(base, common["vault"], cue, progress)
        search = _run("search", progress, **common, count=searches)
        write = _run("write", progress, **common, count=min(100, memories))
        whole_large = _run("whole_search", progress, **common, count=searches, embedder=embedder)
        whole = _whole_search(base, turns, embedder, searches, progress)
    result: dict[str, Any] = {
        "benchmark": "speed",
        **around,
        "memories": memories,
        "text_bytes": sum(len(turn.encode()) for turn in turns),
        "seed": seed,
        "vectors": f"{StandInEmbedder.id}: clustered unit vectors made up from the text's checksum, no model",
        "ingest": ingest,
        "open": opening,
        "search": search,
        "whole_search": whole,
        "whole_search_large": whole_large,
        "write": write,
        "disk": disk,
        "disk_bytes_per_memory": round(disk["total"] / memories, 1),
    }
    result["limits"] = limits_json(_limits(result))
    result["machine"]["load_average_at_end"] = load_average()
    result["seconds"] = round(time.perf_counter() - start, 1)
    return result


def _opening(base: Path, vault: str, cue: str, progress: Progress) -> dict[str, Any]:
    empty = str(base / "empty" / "vault")
    Memory(empty, embedder=StandInEmbedder()).close()
    pairs = [
        (_run("open", progress, vault=empty, cue=cue), _run("open", progress, vault=vault, cue=cue))
        for _ in range(_OPENINGS)
    ]
    middle = statistics.median
    return {
        "n": _OPENINGS,
        "empty_s": middle(before["open_s"] for before, _ in pairs),
        "open_s": middle(after["open_s"] for _, after in pairs),
        "empty_first_search_s": middle(before["first_search_s"] for before, _ in pairs),
        "first_search_s": middle(after["first_search_s"] for _, after in pairs),
        "peak_rss_mb": max(after["peak_rss_mb"] for _, after in pairs),
    }


def _whole_search(base: Path, turns: list[str], embedder: str, searches: int, progress: Progress) -> dict[str, Any]:
    (base / "small").mkdir()
    messages = base / "small.jsonl"
    write_messages(messages, turns[:WHOLE_SEARCH_MEMORIES])
    vault = base / "small" / "vault"
    with Memory(vault, embedder=StandInEmbedder()) as memory:
        memory.ingest(messages, SCOPE)
    return _run("whole_search", progress, vault=str(vault), messages=str(messages), count=searches, embedder=embedder)


def _run(step: str, progress: Progress, **settings: Any) -> dict[str, Any]:
    """Return the result of a step, run in a process of its own."""
    command = [sys.executable, "-m", "anamnos.bench.speed_steps"]
    return run_child(command, {"step": step, **settings}, progress)


def _limits(result: Mapping[str, Any]) -> list[Limit]:
    memories, search, whole, opening = result["memories"], result["search"], result["whole_search"], result["open"]
    bare = search["bare_product_p50_ms"] + search["bare_fts_p50_ms"]
    raw = result["text_bytes"] / memories + 4 * StandInEmbedder.dim
    return [
        Limit("peak memory of ingest", "at most", 600, result["ingest"]["peak_rss_mb"], "MB"),
        Limit("opening", "at most", opening["empty_s"] + 1, opening["open_s"], "s", "opening an empty vault + 1 s"),
        Limit(
            "opening and first search",
            "at most",
            opening["empty_s"] + opening["empty_first_search_s"] + 1,
            opening["open_s"] + opening["first_search_s"],
            "s",
            "the same with an empty vault + 1 s",
        ),
        Limit(
            "search with a ready embedding, p50",
            "at most",
            1.5 * bare,
            search["p50_ms"],
            "ms",
            "1.5 x (bare matrix-vector product + bare FTS5 query), both p50, in turns with the search",
        ),
        Limit(
            f"whole search at {whole['memories']:,} memories, p95",
            "at most",
            3 * whole["embedding_p50_ms"] + 10,
            whole["p95_ms"],
            "ms",
            "3 x the cue's embedding, median, + 10 ms",
        ),
        Limit(
            f"whole search at {result['whole_search_large']['memories']:,} memories, p95",
            "at most",
            50 if memories <= WHOLE_SEARCH_MEMORIES else 150,
            result["whole_search_large"]["p95_ms"],
            "ms",
            "50 ms up to 10,000 memories, 150 ms up to 100,000",
        ),
        Limit(
            "disk per memory",
            "at most",
            2.5 * raw,
            result["disk_bytes_per_memory"],
            "bytes",
            f"2.5 x (text + {4 * StandInEmbedder.dim} bytes of vector)",
        ),
    ]
