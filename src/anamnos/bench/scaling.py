"""What memories take at sizes that nobody here has measured: bytes, reads, machines, money.

A model of SPANN (arXiv 2111.08566), worked out from counts: heads, entries per list, lists read per recall, rows
compared again. Its few free numbers are fitted to points that ``anamnos bench index`` measured, all but those of the
largest size, with which it is compared. Beyond, it is a model, and says so. The simulation
draws the lists of single queries, which of their bytes are in memory, and how long a disk takes; the slowest machine of
those that share the memories answers last.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, cast

import numpy as np

from anamnos.bench.surroundings import surroundings
from anamnos.errors import InvalidInput

SIZES = (10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000)
RECALLS = (0.90, 0.95, 0.98)
_PAGE = 4_096
_SEED = 1


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine that can be rented. usd  per month. An assumption, as are its numbers."""

    name: str
    cores: int
    ram_gb: float
    disk_gb: float
    usd: float


@dataclass(frozen=True, slots=True)
class Assumptions:
    """Every number that the model does not work out. Those marked * are fitted to measured points, and stand here as
    they came out on 2026-11-21; prices and machines are assumptions, and yours will differ.

    dim               numbers per vector
    width             bytes of a vector in a list
    per_head          vectors per list
    copies            lists that a vector stands in, mean; the rule of closure stops below 1.75
    entry_overhead    bytes per entry beside: its row
    row_ram           bytes in memory per vector: in which lists it is
    exact_row         bytes of a vector that is compared again: 4 per number, or 2 as half floats
    reranked          vectors compared again per query
    store_row         bytes of everything else per memory, in SQLite: docs/benchmarks.md, less the exact row
    cells             cells of heads that are looked into, of as many as the root of their number
    lists             recall -> lists read at a million vectors, and the power of the size with which that grows *
    spread            standard deviation of list sizes, by their mean
    head_ns, list_us  time per head compared, per list opened
    entry_ns, query_us  time per entry compared, and for the rest of a query *
    build_s, heads_s  CPU seconds to build a million: assigning and coding; and the heads, which grows by the power 1.5
    read_ms, depth, disk_gb_s              of the disk: one read, reads at a time, bandwidth
    cached            share of the bytes read that is found in memory, if there is room for so much of the files
    fill              share of memory and disk that is planned with
    build_hours       longest acceptable build of one machine's share
    texts_per_s       of the embedder MiniLM on one core, as measured on conversations
    replicas          copies of everything, so that a machine may fail
    """

    dim: int = 384
    width: int = 224
    per_head: float = 80.0
    copies: float = 1.72
    entry_overhead: int = 8
    row_ram: int = 8
    exact_row: int = 1_536
    reranked: int = 35
    store_row: int = 2_200
    cells: int = 24
    lists: Mapping[float, tuple[float, float]] = None  # type: ignore[assignment]  # set below
    spread: float = 0.35
    head_ns: float = 10.0
    entry_ns: float = 17.7
    list_us: float = 1.0
    query_us: float = 143.6
    build_s: float = 55.0
    heads_s: float = 11.0
    read_ms: float = 0.2
    depth: int = 32
    disk_gb_s: float = 1.5
    cached: float = 0.5
    fill: float = 0.8
    build_hours: float = 12.0
    texts_per_s: float = 220.0
    replicas: int = 2
    machines: tuple[Machine, ...] = (
        Machine("small", 2, 8, 200, 70),
        Machine("medium", 8, 32, 1_000, 300),
        Machine("large", 16, 128, 3_750, 1_000),
    )

    def __post_init__(self) -> None:
        if self.lists is None:
            object.__setattr__(self, "lists", {0.90: (27.3, 0.233), 0.95: (66.5, 0.349), 0.98: (215.7, 0.519)})


@dataclass(frozen=True, slots=True)
class Point:
    """Something measured. None is what was not."""

    source: str
    vectors: int
    recall: float
    cpu_us: float | None = None
    scanned_bytes: float | None = None
    disk_bytes: float | None = None


@dataclass(frozen=True, slots=True)
class Search:
    """What one query takes on one machine that holds ``vectors`` of them.

    heads       compared, of all there are
    entries     compared in the lists read
    list_bytes, row_bytes  read for them and for the vectors compared again, whole pages of the disk
    cpu_us      of one core, files cached
    """

    vectors: int
    recall: float
    heads: float
    lists: float
    entries: float
    scanned_bytes: float
    list_bytes: float
    row_bytes: float
    cpu_us: float


def search(vectors: int, recall: float, a: Assumptions) -> Search:
    """Return what a query takes at a size and recall.

    >>> found = search(1_000_000, 0.95, Assumptions())
    >>> round(found.heads)
    2795
    """
    if recall not in a.lists:
        known = ", ".join(map(str, a.lists))
        raise InvalidInput(f"The model knows no recall {recall}.", hint=f"Use: {known}.")
    count = max(1.0, vectors / a.per_head)
    heads = _heads(vectors, a)
    lists = min(count, max(1.0, _lists(vectors, recall, a)))
    mean = a.copies * a.per_head
    entries = lists * mean
    entry_bytes = a.width + a.entry_overhead
    cpu_us = (heads * a.head_ns + entries * a.entry_ns) / 1e3 + lists * a.list_us + a.query_us
    return Search(
        vectors,
        recall,
        heads,
        lists,
        entries,
        entries * entry_bytes + a.reranked * a.exact_row,
        lists * _pages(mean * entry_bytes),
        a.reranked * _pages(a.exact_row),
        cpu_us,
    )


def _heads(vectors: int, a: Assumptions) -> float:
    """Return how many heads a query is compared with: centres of cells, and those in the nearest cells."""
    count = max(1.0, vectors / a.per_head)
    return math.sqrt(count) + min(count, a.cells * math.sqrt(count))


def _lists(vectors: int, recall: float, a: Assumptions) -> float:
    at_a_million, power = a.lists[recall]
    return float(at_a_million * (vectors / 1e6) ** power)


def _pages(size: float) -> float:
    """Return the bytes of the pages that ``size`` bytes somewhere in a file lie in, on average."""
    return float(size + _PAGE)


def disk_bytes(vectors: int, a: Assumptions) -> dict[str, float]:
    """Return the bytes on disk of each part."""
    return {
        "lists": vectors * a.copies * (a.width + a.entry_overhead),
        "exact rows": float(vectors * a.exact_row),
        "everything else": float(vectors * a.store_row),
    }


def ram_bytes(vectors: int, a: Assumptions) -> float:
    """Return the bytes that SPANN holds in memory, without what the system caches of its files."""
    return vectors / a.per_head * (5 * a.width + 32) + vectors * a.row_ram


def build_hours(vectors: int, cores: int, a: Assumptions) -> float:
    """Return how long the lists of so many vectors take to build."""
    millions = vectors / 1e6
    return float(a.build_s * millions + a.heads_s * millions**1.5) / cores / 3_600


@dataclass(frozen=True, slots=True)
class Plan:
    """The cheapest machines that hold so many memories, all alike, without replicas."""

    machine: Machine
    count: int
    bound_by: str


def plan(vectors: int, a: Assumptions) -> Plan:
    """Return the cheapest machines that hold the memories within the limits of memory, disk and building."""
    found = []
    for machine in a.machines:
        needs = {
            "memory": ram_bytes(vectors, a) / (a.fill * machine.ram_gb * 1e9),
            "disk": sum(disk_bytes(vectors, a).values()) / (a.fill * machine.disk_gb * 1e9),
            "building": vectors / _buildable(machine.cores, a),
        }
        bound = max(needs, key=lambda name: needs[name])
        found.append(Plan(machine, max(1, math.ceil(needs[bound])), bound))
    return min(found, key=lambda each: (each.count * each.machine.usd, each.count))


def _buildable(cores: int, a: Assumptions) -> float:
    low, high = 1.0, 1e12
    while high / low > 1.001:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if build_hours(int(middle), cores, a) <= a.build_hours else (low, middle)
    return low


# --- the simulation


def simulate(
    vectors: int, recall: float, a: Assumptions, *, machines: int = 1, queries: int = 2_000, cold: bool = False
) -> dict[str, float]:
    """Return p50 and p99 in milliseconds of queries that wait for all machines, each with its share of the vectors.

    The lists of a query have sizes of their own; each list and each row is in memory, or costs the disk a read, of
    which ``depth`` go on at a time and of which some take longer. The same every time.

    cold  nothing is in memory
    """
    random = np.random.default_rng(_SEED)
    one = search(math.ceil(vectors / machines), recall, a)
    lists = max(1, round(one.lists))
    sizes = random.lognormal(0, math.sqrt(math.log(1 + a.spread**2)), (queries, machines, lists))
    sizes *= one.entries / lists / sizes.mean()
    missed = 1.0 if cold else 1.0 - a.cached
    away = random.random((queries, machines, lists)) < missed
    rows_away = random.binomial(a.reranked, missed, (queries, machines))
    entry = a.width + a.entry_overhead
    bytes_read = (np.where(away, sizes, 0) * entry + away * _PAGE).sum(axis=2) + rows_away * _pages(a.exact_row)
    waves = np.ceil(away.sum(axis=2) / a.depth) + np.ceil(rows_away / a.depth)  # rows are known once lists are read
    slow = random.lognormal(0, 0.5, (queries, machines))  # of a disk that others use too
    disk_ms = waves * a.read_ms * slow + bytes_read / (a.disk_gb_s * 1e6)
    cpu_ms = (one.cpu_us + (sizes.sum(axis=2) - one.entries) * a.entry_ns / 1e3) / 1e3
    took = (disk_ms + cpu_ms).max(axis=1)
    return {
        "p50_ms": float(np.percentile(took, 50)),
        "p99_ms": float(np.percentile(took, 99)),
        "mb_read": float(bytes_read.sum(axis=1).mean() / 1e6),
        "reads": float((away.sum(axis=2) + rows_away).sum(axis=1).mean()),
    }


# --- measured points


def read_points(result: Mapping[str, Any], index: str = "spann", vectors: str = "million") -> list[Point]:
    """Return the points of an index in what ``anamnos bench index`` wrote: for each recall, by interpolation.

    vectors  the set of which it measured several sizes; those of other sets are not comparable

    Raises: InvalidInput if it is something else, or has no points of that index.
    """
    if result.get("benchmark") != "index":
        raise InvalidInput("That is no result of anamnos bench index.", hint="Name the file of its --json output.")
    points: list[Point] = []
    for name, runs in result["runs"].items():
        if not name.startswith(f"{vectors}-"):
            continue
        for peer, found in runs.items():
            curve = found.get("search", {}).get("curve", [])
            if index not in peer or not curve:
                continue
            disk = found.get("build", {}).get("disk_bytes")
            for recall in RECALLS:
                at = _at(curve, recall)
                if at is not None:
                    count = int(result["sets"][name]["count"])
                    points.append(Point(name, count, recall, at["cpu_us"], at.get("bytes"), disk))
    if not points:
        raise InvalidInput(f"There are no points of {index} in it.", hint="Measure that index: anamnos bench index")
    return points


def _at(curve: Sequence[Mapping[str, float]], recall: float) -> dict[str, float] | None:
    """Return a curve's figures at a recall, between the two points around it; None if it does not reach that far."""
    known = sorted(curve, key=lambda point: point["recall"])
    if not known[0]["recall"] <= recall <= known[-1]["recall"]:
        return None
    recalls = [point["recall"] for point in known]
    names = [name for name in ("cpu_us", "bytes") if all(name in point for point in known)]
    return {name: float(np.interp(recall, recalls, [point[name] for point in known])) for name in names}


def fitted(points: Sequence[Point], a: Assumptions) -> Assumptions:
    """Return the assumptions with what is fitted to points: how many lists are read at a recall, and time per entry and
    per query. The largest size is left out, to compare with.

    Raises: InvalidInput if fewer than three sizes were measured.
    """
    sizes = sorted({point.vectors for point in points})
    if len(sizes) < 3:
        raise InvalidInput(
            "The model is fitted to at least three sizes.", hint="Measure more: anamnos bench index --size"
        )
    known = [p for p in points if p.vectors < sizes[-1] and p.scanned_bytes is not None and p.cpu_us is not None]
    per_list = a.copies * a.per_head * (a.width + a.entry_overhead)
    lists = dict(a.lists)
    for recall in a.lists:
        own = [p for p in known if p.recall == recall]
        if len(own) < 2:
            continue
        read = [(cast(float, p.scanned_bytes) - a.reranked * a.exact_row) / per_list for p in own]
        power, at_one = np.polyfit(np.log([p.vectors / 1e6 for p in own]), np.log(read), 1)
        lists[recall] = (round(float(np.exp(at_one)), 1), round(float(power), 3))
    a = replace(a, lists=lists)
    counts = [(p, search(p.vectors, p.recall, a)) for p in known]
    rest = [cast(float, p.cpu_us) - s.heads * a.head_ns / 1e3 - s.lists * a.list_us for p, s in counts]
    matrix = np.array([[s.entries / 1e3, 1.0] for _, s in counts])
    (entry_ns, query_us), *_ = np.linalg.lstsq(matrix, np.array(rest), rcond=None)
    return replace(a, entry_ns=round(float(entry_ns), 1), query_us=round(float(query_us), 1))


def compared(points: Sequence[Point], a: Assumptions) -> list[dict[str, Any]]:
    """Return what was measured beside what the model says, and the ratio of the model to it."""
    rows = []
    largest = max((point.vectors for point in points), default=0)
    for point in points:
        said = search(point.vectors, point.recall, a)
        parts = disk_bytes(point.vectors, a)
        row: dict[str, Any] = {
            "source": point.source,
            "vectors": point.vectors,
            "recall": point.recall,
            "fitted": point.vectors < largest,
        }
        pairs = {
            "cpu_us": (point.cpu_us, said.cpu_us),
            "scanned_bytes": (point.scanned_bytes, said.scanned_bytes),
            "disk_bytes": (point.disk_bytes, parts["lists"] + parts["exact rows"]),
        }
        for name, (measured, model) in pairs.items():
            row[name] = None if measured is None else [measured, model, model / measured]
        rows.append(row)
    return rows


# --- the whole


def run_scaling(
    points: Sequence[Point] = (), a: Assumptions | None = None, *, sizes: Sequence[int] = SIZES
) -> dict[str, Any]:
    """Return the model at each size, the cheapest machines for it, and how it compares with what was measured.

    points  what it is fitted to, but for those of the largest size; none: it is as it was fitted last
    """
    a = a or Assumptions()
    if points:
        a = fitted(points, a)
    around = surroundings()
    rows = []
    for count in sizes:
        chosen = plan(count, a)
        machine, shards = chosen.machine, chosen.count
        share = math.ceil(count / shards)
        rows.append(
            {
                "vectors": count,
                "disk_bytes": disk_bytes(count, a),
                "ram_bytes": ram_bytes(count, a),
                "search": {str(recall): asdict(search(share, recall, a)) for recall in RECALLS},
                "latency": {str(recall): simulate(count, recall, a, machines=shards) for recall in RECALLS},
                "cold": {str(recall): simulate(count, recall, a, machines=shards, cold=True) for recall in RECALLS},
                "machine": machine.name,
                "machines": shards,
                "bound_by": chosen.bound_by,
                "queries_per_s": 1e6 * machine.cores * a.fill / search(share, 0.95, a).cpu_us,
                "build_hours": build_hours(share, machine.cores, a),
                "usd_per_month": shards * machine.usd * a.replicas,
                "embedding_core_hours": count / a.texts_per_s / 3_600,
            }
        )
    return {
        "benchmark": "scaling",
        **{name: around[name] for name in ("date", "versions", "machine")},
        "assumptions": asdict(a) | {"lists": {str(recall): list(fit) for recall, fit in a.lists.items()}},
        "sizes": rows,
        "compared": compared(points, a),
    }
