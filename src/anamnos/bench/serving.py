"""What the REST face costs: the same calls over loopback and in process, by many clients at once; memory under load.

Both sides run on a vault of their own, made alike. The clients of both are threads; those of the server are in another
process than it, on the same machine, so that what they take is not the server's but is missing to it.
"""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from anamnos.bench.child import run_child
from anamnos.bench.limits import Limit, limits_json
from anamnos.bench.serving_steps import VERBS
from anamnos.bench.surroundings import load_average, surroundings
from anamnos.bench.synthetic import texts, write_messages
from anamnos.bench.timing import Progress, quiet
from anamnos.errors import AnamnosError

_START_S = 60.0
_GROWTH = 0.05  # of memory that may pass for noise, between the second fifth of the load and the last


def run_serving(
    memories: int = 10_000,
    *,
    clients: int = 16,
    seconds: float = 20.0,
    rounds: int = 3,
    mixed_minutes: float = 0.0,
    embedder: str = "auto",
    seed: int = 0,
    progress: Progress = quiet,
) -> dict[str, Any]:
    """Return the JSON of the benchmark.

    memories       how many the vault holds before, in one scope
    seconds        how long each verb is called, in each round; rounds change between server and process
    rounds         0: only the mixed load
    mixed_minutes  how long the load lasts under which memory is watched, 8 searches to 1 add and 1 delete; 0: none
    Raises: AnamnosError if the server does not start, or a call fails.
    """
    start, around = time.perf_counter(), surroundings()
    with tempfile.TemporaryDirectory(prefix="anamnos-bench-") as folder:
        base = Path(folder)
        turns = texts(memories, seed)
        write_messages(base / "messages.jsonl", turns)
        made = _step(
            "prepare", progress, vault=str(base / "made"), messages=str(base / "messages.jsonl"), name=embedder
        )
        found: dict[str, dict[str, list[dict[str, float]]]] = {
            where: {verb: [] for verb in VERBS} for where in ("server", "process")
        }
        common = {"clients": clients, "seconds": seconds}
        for where in found:
            shutil.copytree(base / "made", base / where)
        for number in range(rounds):
            progress("rounds", number, rounds)
            lot = f"{seed}.{number}"
            with _server(base / "server", embedder) as (url, _):
                for verb in VERBS:
                    step = _step("over_http", progress, url=url, key=made["key"], verb=verb, lot=lot, **common)
                    found["server"][verb].append(step)
            for verb in VERBS:
                step = _step(
                    "in_process", progress, vault=str(base / "process"), name=embedder, verb=verb, lot=lot, **common
                )
                found["process"][verb].append(step)
        progress("rounds", rounds, rounds)
        mixed = None
        if mixed_minutes:
            with _server(base / "server", embedder) as (url, pid):
                more = {**common, "seconds": 60 * mixed_minutes, "watched": pid}
                mixed = _step("mixed", progress, url=url, key=made["key"], lot=f"{seed}.mixed", **more)
    measured = found if rounds else {}
    medians = {where: {verb: _median(runs) for verb, runs in verbs.items()} for where, verbs in measured.items()}
    ratios = {
        verb: {
            "calls_per_s": round(medians["server"][verb]["calls_per_s"] / medians["process"][verb]["calls_per_s"], 3),
            "p95": round(medians["server"][verb]["p95_ms"] / medians["process"][verb]["p95_ms"], 3),
        }
        for verb in (VERBS if rounds else ())
    }
    result: dict[str, Any] = {
        "benchmark": "serve",
        **around,
        "memories": memories,
        "clients": clients,
        "rounds": rounds,
        "seconds_each": seconds,
        "embedder": made["embedder"],
        "seed": seed,
        **medians,
        "ratios": ratios,
    }
    if mixed is not None:
        result["mixed"] = {**mixed, "growth": growth(mixed["resident_mb"])}
        limit = Limit("growth of memory under mixed load", "at most", _GROWTH, result["mixed"]["growth"], "of it")
        result["limits"] = limits_json([limit])
    result["machine"]["load_average_at_end"] = load_average()
    result["seconds"] = round(time.perf_counter() - start, 1)
    return result


def growth(resident_mb: Sequence[float]) -> float:
    """Return by which share memory has grown from the second fifth of the samples to the last.

    The first fifth fills caches. Medians, so that one sample in the middle of a collection does not count.

    >>> growth([50, 100, 100, 100, 110])
    0.1
    """
    fifth = max(len(resident_mb) // 5, 1)
    before = statistics.median(resident_mb[fifth : 2 * fifth] or resident_mb)
    return round(statistics.median(resident_mb[-fifth:]) / before - 1, 4)


def _median(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: round(statistics.median(run[name] for run in runs), 3) for name in runs[0]}


def _step(step: str, progress: Progress, **request: Any) -> dict[str, Any]:
    command = [sys.executable, "-m", "anamnos.bench.serving_steps"]
    return run_child(command, {"step": step, **request}, progress)


@contextmanager
def _server(vault: Path, embedder: str) -> Iterator[tuple[str, int]]:
    """Serve a vault by ``anamnos serve`` in a process of its own; give its address and its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "anamnos", "serve", "--vault", str(vault), "--embedder", embedder]
    unlimited = {**os.environ, "ANAMNOS_SERVER_RATE_PER_MINUTE": "0"}
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(  # noqa: S603  (our own command)
        [*command, "--port", str(port), "--no-web"], stdout=subprocess.DEVNULL, env=unlimited
    )
    try:
        give_up = time.monotonic() + _START_S
        while not _ready(url):
            if process.poll() is not None or time.monotonic() > give_up:
                raise AnamnosError("The server did not start.", hint="What it said is above.")
            time.sleep(0.1)
        yield url, process.pid
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=5) as response:  # noqa: S310  (our own server)
            return bool(response.status == 200)
    except OSError:
        return False
