"""One step of one index on one set, in a process of its own: ``python -m anamnos.bench.index.measure``.

The request names the index (``module:class``), the set's files, the folder of the index and the step:

build   index all rows; leaves the folder
search  open it; recall and time per effort, memory, cold reads, searches among labelled rows
churn   index half of some rows, then insert and delete half as many again while searching
bandwidth  no index: how fast one thread reads memory
"""

from __future__ import annotations

import importlib
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from anamnos.bench.child import serve, tell
from anamnos.bench.disk import disk_use
from anamnos.bench.index.data import nearest
from anamnos.bench.index.memory import cached_mb, cpu_s, files_of, forget, processes, resident
from anamnos.bench.peers.ann.base import AnnIndex, Counting, Filtered, Littered, Resting, Rows, Updated
from anamnos.bench.surroundings import installed, peak_rss_mb
from anamnos.bench.timing import significant
from anamnos.embed.base import Vectors

TOP_K = 10
_ENOUGH = 0.998  # recall at which more effort is not tried
_USUAL = 0.95  # recall at which cold reads and churn are measured
_LEAST = 50  # queries of each effort, however slow
_BATCH = 100  # rows inserted, then deleted, between searches of churn
_SEARCHES = 10  # between two batches
_COLD = 50


@dataclass(frozen=True, slots=True)
class Pace:
    """How often is asked.

    rounds    times all queries are asked
    budget_s  seconds per effort after which no further query is asked, once 50 were
    """

    rounds: int
    budget_s: float


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Do the step; what goes wrong is the result, as ``error``."""
    try:
        return _STEPS[request["step"]](request)
    except MemoryError:
        return {"error": "MemoryError"}
    except Exception as exc:  # whatever an index of others may raise is what is reported of it
        return {"error": f"{type(exc).__name__}: {exc}"[:500]}


def _index(request: dict[str, Any], folder: Path) -> AnnIndex:
    module, _, name = request["place"].partition(":")
    vectors = np.asarray(np.load(request["vectors"], mmap_mode="r"))[: request["count"]]
    with np.load(request["labels"]) as held:
        known = {label: held[label] for label in held.files}
    folder.mkdir(parents=True, exist_ok=True)
    made: AnnIndex = getattr(importlib.import_module(module), name)(folder, vectors, known)
    return made


def _build(request: dict[str, Any]) -> dict[str, Any]:
    folder = Path(request["folder"])
    shutil.rmtree(folder, ignore_errors=True)
    index = _index(request, folder)
    tell(f"{request['peer']}: building", 0, request["count"])
    start, cpu = time.perf_counter(), time.process_time()
    index.build(np.arange(request["count"]))
    wall, own = time.perf_counter() - start, time.process_time() - cpu
    served = cpu_s(processes(index.server()))
    index.close()
    tell(f"{request['peer']}: building", request["count"], request["count"])
    return {
        "wall_s": significant(wall),
        "cpu_s": significant(own + served),
        "peak_rss_mb": peak_rss_mb(),
        "disk_bytes": disk_use(folder, tables=False)["total"],
        "versions": installed(index.packages),
        "notes": list(index.notes),
    }


def _search(request: dict[str, Any]) -> dict[str, Any]:
    folder, pace = Path(request["folder"]), Pace(request["rounds"], request["budget_s"])
    rows = Path(request["vectors"])
    forget(files_of(folder, rows))
    index = _index(request, folder)
    queries = np.load(request["queries"])[: request["asked"]]
    truth = np.load(request["truth"])[: request["asked"], :TOP_K]
    idle = resident(processes(os.getpid()))
    index.open()
    for query in queries[:_LEAST]:
        index.search(query, TOP_K, max(index.efforts, default=0))  # what is read once is read before any clock starts
    curve = _curve(index, queries, truth, pace, request["peer"])
    everyone = processes(os.getpid(), index.server())
    result: dict[str, Any] = {
        "curve": curve,
        "memory": {
            **resident(everyone),
            "idle_mb": idle["anonymous_mb"],
            "cached_index_mb": cached_mb(files_of(folder)),
            "cached_rows_mb": cached_mb([rows]),
        },
    }
    effort = _usual(curve)
    if "cold" in request["also"]:
        result["cold"] = {"effort": effort, **_cold(index, queries, effort, (folder, rows), request["peer"])}
    if "filters" in request["also"] and isinstance(index, Filtered):
        result["filters"] = _filters(index, index, queries, effort, pace, request["peer"])
    index.close()
    return result


def _curve(
    index: AnnIndex, queries: Vectors, truth: Rows, pace: Pace, peer: str, efforts: Sequence[int] = ()
) -> list[dict[str, Any]]:
    """Return recall and time for each effort, up to where more effort cannot find more."""
    efforts = efforts or index.efforts or (0,)
    points = []
    for number, effort in enumerate(efforts, start=1):

        def search(query: Any, effort: int = effort) -> Rows:
            return index.search(query, TOP_K, effort)

        points.append({"effort": effort, **_asked(index, search, queries, truth, pace)})
        tell(f"{peer}: searching", number, len(efforts))
        if points[-1]["recall"] >= _ENOUGH:
            break
    tell(f"{peer}: searching", len(efforts), len(efforts))
    return points


def _asked(index: AnnIndex, search: Callable[[Any], Rows], queries: Vectors, truth: Rows, pace: Pace) -> dict[str, Any]:
    """Ask all queries some times; return recall, and the median times of one search in microseconds.

    ``cpu_us`` is of all threads here, and of the index's server, whose share is a mean.
    """
    walls: list[float] = []
    cpus: list[float] = []
    recalls: list[float] = []
    server = processes(index.server())
    served = cpu_s(server)
    compared = index.bytes_compared() if isinstance(index, Counting) else 0
    end = time.perf_counter() + pace.budget_s
    for turn in range(pace.rounds):
        for query, right in zip(queries, truth, strict=True):
            if len(walls) >= _LEAST and time.perf_counter() > end:
                break
            wall, cpu = time.perf_counter(), time.process_time()
            found = search(query)
            cpus.append(time.process_time() - cpu)
            walls.append(time.perf_counter() - wall)
            if turn == 0:
                recalls.append(len(np.intersect1d(found, right)) / max(len(right), 1))
    extra = (cpu_s(server) - served) / len(walls)
    result = {
        "recall": round(float(np.mean(recalls)), 4),
        "wall_us": significant(1e6 * float(np.median(walls))),
        "cpu_us": significant(1e6 * (float(np.median(cpus)) + extra)),
        "asked": len(recalls),
        "searches": len(walls),
    }
    if isinstance(index, Counting):
        result["bytes"] = round((index.bytes_compared() - compared) / len(walls))
    return result


def _usual(curve: Sequence[dict[str, Any]]) -> int:
    """Return the least effort that reaches the usual recall, else the one that reaches most."""
    reached = [point for point in curve if point["recall"] >= _USUAL]
    return int(reached[0]["effort"] if reached else max(curve, key=lambda point: point["recall"])["effort"])


def _cold(index: AnnIndex, queries: Vectors, effort: int, places: Sequence[Path], peer: str) -> dict[str, Any]:
    walls = []
    for number, query in enumerate(queries[:_COLD], start=1):
        if isinstance(index, Resting):
            index.rest()
        forget(files_of(*places))
        start = time.perf_counter()
        index.search(query, TOP_K, effort)
        walls.append(1e3 * (time.perf_counter() - start))
        tell(f"{peer}: cold reads", number, min(_COLD, len(queries)))
    return {
        "searches": len(walls),
        "p50_ms": significant(float(np.percentile(walls, 50))),
        "p95_ms": significant(float(np.percentile(walls, 95))),
    }


def _filters(
    index: AnnIndex, filtered: Filtered, queries: Vectors, usual: int, pace: Pace, peer: str
) -> dict[str, Any]:
    """Return recall and time of searches among the rows of each label.

    The effort is the least, from that of searches among all rows on, that reaches the usual recall, else the best.
    """
    result: dict[str, Any] = {}
    for number, (label, mask) in enumerate(index.labels.items(), start=1):
        rows = np.flatnonzero(mask)
        places, _ = nearest(index.vectors[rows], queries, TOP_K)
        points: list[dict[str, Any]] = []
        for effort in [effort for effort in index.efforts if effort >= usual] or [usual]:

            def search(query: Any, label: str = label, effort: int = effort) -> Rows:
                return filtered.search_among(label, query, TOP_K, effort)

            clock = time.perf_counter()
            points.append({"effort": effort, **_asked(index, search, queries, rows[places], pace)})
            if points[-1]["recall"] >= _USUAL or time.perf_counter() - clock > pace.budget_s:
                break
        result[label] = {"rows": len(rows), **max(points, key=lambda point: min(point["recall"], _USUAL))}
        tell(f"{peer}: filters", number, len(index.labels))
    return result


def _churn(request: dict[str, Any]) -> dict[str, Any]:
    """Half of the rows are live at first; then one half of them goes, and as many others come."""
    folder, pace = Path(request["folder"]), Pace(1, request["budget_s"])
    shutil.rmtree(folder, ignore_errors=True)
    index = _index(request, folder / "changed")
    if not isinstance(index, Updated):
        return {"error": "rows cannot be inserted and deleted"}
    rng = np.random.default_rng(request["seed"])
    rows = rng.permutation(request["count"])[: request["rows"]]
    live, coming = np.sort(rows[: len(rows) // 2]), rows[len(rows) // 2 :][: len(rows) // 4]
    going = rng.permutation(live)[: len(coming)]
    queries = np.load(request["queries"])[: request["asked"]]
    index.build(live)
    before = _curve(index, queries, _true(index, live, queries), pace, f"{request['peer']}, churn")
    effort = _usual(before)
    inserts, deletes, searches = _changed(index, index, coming, going, queries, effort, pace, request["peer"])
    coming, going = (rows[: len(searches) // _SEARCHES * _BATCH] for rows in (coming, going))
    left = np.sort(np.concatenate([np.setdiff1d(live, going), coming]))
    right = _true(index, left, queries)
    after = _curve(index, queries, right, pace, f"{request['peer']}, churn", [effort])[0]
    result = {
        "live": len(left),
        "changed": len(coming),
        "effort": effort,
        "inserts_per_s": significant(len(coming) / inserts),
        "deletes_per_s": significant(len(coming) / deletes),
        "search_meanwhile_us": significant(1e6 * float(np.median(searches))),
        "before": next(point for point in before if point["effort"] == effort),
        "after": after,
        "garbage": round(index.garbage(), 4) if isinstance(index, Littered) else None,
    }
    index.close()
    fresh = _index(request, folder / "fresh")
    fresh.build(left)
    result["fresh"] = _curve(fresh, queries, right, pace, f"{request['peer']}, churn", [effort])[0]
    fresh.close()
    return result


def _changed(
    index: AnnIndex, changed: Updated, coming: Rows, going: Rows, queries: Vectors, effort: int, pace: Pace, peer: str
) -> tuple[float, float, list[float]]:
    """Insert and delete in small batches with searches between; return the seconds of each kind.

    A slow index stops before all is done: after ten times the seconds that an effort is given.
    """
    inserting = deleting = 0.0
    searching: list[float] = []
    end = time.perf_counter() + 10 * pace.budget_s
    for start in range(0, len(coming), _BATCH):
        if time.perf_counter() > end:
            break
        clock = time.perf_counter()
        changed.insert(coming[start : start + _BATCH])
        inserting, clock = inserting + time.perf_counter() - clock, time.perf_counter()
        changed.delete(going[start : start + _BATCH])
        deleting += time.perf_counter() - clock
        for number in range(_SEARCHES):
            clock = time.perf_counter()
            index.search(queries[(start // _BATCH * _SEARCHES + number) % len(queries)], TOP_K, effort)
            searching.append(time.perf_counter() - clock)
        tell(f"{peer}: churn", min(start + _BATCH, len(coming)), len(coming))
    tell(f"{peer}: churn", len(coming), len(coming))
    return inserting, deleting, searching


def _true(index: AnnIndex, rows: Rows, queries: Vectors) -> Rows:
    places, _ = nearest(index.vectors[rows], queries, TOP_K)
    return np.asarray(rows[places])


def _bandwidth(request: dict[str, Any]) -> dict[str, Any]:
    """Return GB/s (10^9 bytes) of one thread that multiplies 400 MB with a vector: the best of five."""
    rows = np.ones((400_000_000 // (4 * 384), 384), dtype=np.float32)
    query = np.ones(384, dtype=np.float32)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        rows @ query
        seconds.append(time.perf_counter() - start)
    return {"gb_per_s": round(rows.nbytes / min(seconds) / 1e9, 2)}


_STEPS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "build": _build,
    "search": _search,
    "churn": _churn,
    "bandwidth": _bandwidth,
}

if __name__ == "__main__":
    serve(answer)
