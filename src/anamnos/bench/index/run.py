"""Indexes side by side: each step of each index in a process of its own, results kept in a file as they come."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anamnos.bench.child import run_child
from anamnos.bench.index.data import VectorSet, facts, vector_set
from anamnos.bench.peers.ann import ann_peer
from anamnos.bench.peers.setup import interpreter, own_code, pip_install
from anamnos.bench.surroundings import load_average, surroundings
from anamnos.bench.timing import Progress, quiet
from anamnos.errors import AnamnosError, ConfigError, InvalidInput

STEPS = ("build", "search", "cold", "filters", "churn")
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), "1")
_QUIET = {"LANCE_LOG": "error", "RUST_LOG": "error", "GRPC_VERBOSITY": "ERROR"}


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured.

    steps       of ``STEPS``; an index must be built before it is searched, unless ``work`` holds it
    queries     asked of each set, at most as many as it has
    rounds      times all are asked at each effort
    budget_s    seconds per effort after which no further query is asked, once 50 were
    churn_rows  rows of the set that churn works on: half of them are live
    """

    steps: Sequence[str] = STEPS
    queries: int = 500
    rounds: int = 3
    budget_s: float = 20.0
    churn_rows: int = 200_000
    seed: int = 0


def run_index(
    sets: Sequence[str],
    peers: Mapping[str, Path | None],
    plan: Plan,
    *,
    cache: Path,
    data: Path | None = None,
    sizes: Sequence[int] = (),
    results: Path | None = None,
    work: Path | None = None,
    progress: Progress = quiet,
) -> dict[str, Any]:
    """Measure each of ``peers`` on each of ``sets``, and return all results, with those that ``results`` held before.

    peers    name -> the environment that ``set_up`` made; None for one that needs none
    sizes    take so many of the first vectors of each set; all of them if empty
    cache    where sets are kept
    results  a JSON file that each figure is written to as soon as it is known
    work     where indexes are built and left; a folder for the time being if left out
    Raises: InvalidInput for an unknown set, index or step; ConfigError if an environment is not set up.
    What fails within an index does not end the run: its ``error`` is the result.
    """
    start = time.perf_counter()
    if wrong := [step for step in plan.steps if step not in STEPS]:
        raise InvalidInput(f"There is no step {wrong[0]!r}.", hint=f"Choose of: {', '.join(STEPS)}")
    commands = {name: _command(name, env) for name, env in peers.items()}
    result = load_results(results)
    around = surroundings()
    result.update({name: around[name] for name in ("date", "versions", "machine")})
    if commands:
        told = _child(commands={}, request={"step": "bandwidth"}, progress=progress)
        known = result.get("bandwidth", told)
        result["bandwidth"] = max(
            told, known, key=lambda found: float(found["gb_per_s"])
        )  # a busy machine reads slower
    for name in sets:
        for size in sizes or (None,):
            chosen = vector_set(name, cache, data, count=size, seed=plan.seed, progress=progress)
            result["sets"].setdefault(chosen.key, {"set": name, **facts(chosen)})
            for peer in commands:
                found = result["runs"].setdefault(chosen.key, {}).setdefault(peer, {})
                with tempfile.TemporaryDirectory(prefix="anamnos-bench-") as folder:
                    _measure(found, peer, commands, chosen, plan, work or Path(folder), progress)
                result["seconds"] = round(result["seconds"] + time.perf_counter() - start, 1)
                start = time.perf_counter()
                _save(results, result)
    return result


def load_results(path: Path | None) -> dict[str, Any]:
    """Return what a file of results holds, or a result without any. Raises: InvalidInput if it is no such file."""
    if path is None or not path.exists():
        return {"benchmark": "index", "limits": [], "sets": {}, "runs": {}, "seconds": 0.0}
    try:
        found = json.loads(path.read_text("utf-8"))
    except ValueError as exc:
        raise InvalidInput(f"{path} is not JSON: {exc}.", hint="Name a file that bench index wrote.") from exc
    if not isinstance(found, dict) or found.get("benchmark") != "index":
        raise InvalidInput(f"{path} holds no results of bench index.", hint="Name another file: --results FILE")
    return found


def set_up(folder: Path, peers: Sequence[str]) -> dict[str, str]:
    """Install indexes into one environment, from the network; return what went wrong, by name."""
    import venv

    if not interpreter(folder).exists():
        venv.create(folder, with_pip=True)
    pip_install(folder, ("numpy", "filelock", "platformdirs"))
    failed = {}
    for name in peers:
        if installs := ann_peer(name).installs:
            try:
                pip_install(folder, installs)
            except AnamnosError as exc:
                failed[name] = str(exc)
    return failed


def _command(name: str, env: Path | None) -> str:
    """Return the Python that runs an index."""
    if not ann_peer(name).installs:
        return sys.executable
    if env is None or not interpreter(env).exists():
        there = f"{env} is no environment" if env else "no environment was named"
        raise ConfigError(
            f"{name} runs in an environment of its own; {there}.", hint="Run: anamnos bench index --set-up --env DIR"
        )
    return str(interpreter(env))


def _measure(
    found: dict[str, Any],
    peer: str,
    commands: Mapping[str, str],
    chosen: VectorSet,
    plan: Plan,
    work: Path,
    progress: Progress,
) -> None:
    """Do the steps of one index on one set, and note what they say in ``found``."""
    request = {
        "peer": peer,
        "place": ann_peer(peer).place,
        **chosen.request(),
        "folder": str(work / chosen.key / peer),
        "asked": plan.queries,
        "rounds": plan.rounds,
        "budget_s": plan.budget_s,
        "seed": plan.seed,
        "rows": min(plan.churn_rows, chosen.count),
        "also": [step for step in plan.steps if step in ("cold", "filters")],
    }
    steps = list(dict.fromkeys("search" if step in ("cold", "filters") else step for step in plan.steps))
    if "build" not in steps and not (work / chosen.key / peer).exists() and "search" in steps:
        steps.insert(0, "build")
    for step in steps:
        folder = work / chosen.key / (f"{peer}-churn" if step == "churn" else peer)
        load = load_average()
        told = _child(commands, {**request, "step": step, "folder": str(folder)}, progress)
        found[step] = {**told, "load_average": load}
        if step == "build" and "error" in told:
            break


def _child(commands: Mapping[str, str], request: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    python = commands.get(request.get("peer", ""), sys.executable)
    command = [python, "-m", "anamnos.bench.index.measure"]
    try:
        return run_child(command, request, progress, environment={**own_code(), **_ONE_THREAD, **_QUIET})
    except AnamnosError as exc:
        return {"error": str(exc)}  # its process was killed, or could not start


def _save(path: Path | None, result: Mapping[str, Any]) -> None:
    if path is None:
        return
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(result, indent=1, ensure_ascii=False), "utf-8")
    partial.replace(path)
