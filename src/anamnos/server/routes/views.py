"""What the page shows beside the verbs: scopes, a timeline, the graph of names, charts, and news as it comes.

Everything but the charts, which come with the package, is seen through the caller's view of the memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import html
import json
import re
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired

from fastapi import APIRouter, Query
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from typing_extensions import TypedDict

from anamnos.cube import MemCube, Scope, to_iso
from anamnos.errors import NotFound, RateLimited
from anamnos.ingest.extract.entities import Mention, canonical, find_entities, full_names
from anamnos.memory import Memory
from anamnos.server.callers import Caller
from anamnos.server.dependencies import Asks, Scoped, Serves
from anamnos.server.models import Name, Time
from anamnos.server.route import Route
from anamnos.server.serving import Serving
from anamnos.system.governance.guard import ANY_STATE
from anamnos.types import where

router = APIRouter(prefix="/v1", tags=["views"], route_class=Route)
charts = APIRouter(prefix="/v1", tags=["views"])
"""The charts of the benchmarks, without a key: an image in a page cannot send one, and they are no secret."""

By = Literal["day", "week", "month", "year"]

MOST_READ = 20_000  # memories behind one picture: the newest; it says so if there are more
MOST_NAMED = 5_000  # of them, in whose words names are looked for
MOST_SCANNED = 10_000  # characters of one memory
MOST_JOINED = 400  # names among which longer forms of others are looked for: each with each
NAMES_IN_ONE = 12  # names of one memory that are taken to belong together
SHOWN_AROUND = 30  # memories beside a name that is looked at
LABEL_CHARS = 80
POLL_S, BEAT_S, LIFE_S = 1.0, 15.0, 600.0  # of a stream of news; then the page asks anew, and its key is checked again
MOST_STREAMS = 64
_PACKAGED = Path(__file__).parents[1] / "web" / "plots"
_CHECKOUT = Path(__file__).parents[4] / "docs" / "plots"


# --- what the answers hold; they describe and are not run -----------------------------------------------------------


class ScopeOut(TypedDict):
    """A scope, and how many memories a read of it covers."""

    tenant: str
    user: str | None
    agent: str | None
    session: str | None
    memories: int


class ScopesOut(TypedDict):
    """Scopes, by name."""

    items: list[ScopeOut]


# ``from`` is a word of Python, so this one cannot be written as a class
PeriodOut = TypedDict("PeriodOut", {"from": str, "to": str | None, "count": int, "roles": dict[str, int]})


class TimelineOut(TypedDict):
    """Periods in order of time; ``undated`` memories are in none. Of ``memories``, the newest were ``read``."""

    items: list[PeriodOut]
    undated: int
    read: int
    memories: int


class Node(TypedDict):
    """A name (``type``: person, place …) or a memory (``type``: its role); ``count`` memories hold it."""

    id: str
    label: str
    kind: Literal["entity", "memory"]
    type: str
    count: int
    created_at: NotRequired[str | None]


class Edge(TypedDict):
    """Two nodes that stand together, or one that names, is made of or is linked to the other."""

    source: str
    target: str
    kind: str
    weight: int


class Drawn(TypedDict):
    """A graph."""

    nodes: list[Node]
    edges: list[Edge]


class GraphOut(Drawn):
    """A graph; of ``memories``, the newest were ``read`` for it."""

    read: int
    memories: int


class PlotOut(TypedDict):
    """A chart."""

    name: str
    title: str


class PlotsOut(TypedDict):
    """Charts, by name."""

    items: list[PlotOut]


# --- scopes ----------------------------------------------------------------------------------------------------------


@router.get("/scopes", response_model=ScopesOut)
async def scopes(who: Asks, served: Serves, tenant: Name | None = None) -> JSONResponse:
    """List the scopes that the caller sees something in, with how many memories a read of each covers."""
    return JSONResponse({"items": await served.run(scopes_of, served, who, tenant)})


def scopes_of(served: Serving, who: Caller, tenant: str | None = None) -> list[dict[str, Any]]:
    """Return what ``/v1/scopes`` lists; beside a user's sessions and agents there is the user as a whole."""
    if tenant is not None:
        tenants: Iterable[str] = [tenant]
    elif who.tenants is not None:
        tenants = who.tenants
    else:
        tenants = {scope.tenant for scope in served.pool.memory.vault.store.scopes()}
    items = []
    for name in sorted(tenants):
        store = served.pool.view(who.principal(name)).memory.vault.store
        there = {scope for scope in store.scopes() if scope.tenant == name}
        there |= {Scope(name, user=scope.user) for scope in there if scope.user is not None}
        for scope in sorted(there, key=lambda one: (one.user or "", one.agent or "", one.session or "")):
            parts = {part: getattr(scope, part) for part in ("tenant", "user", "agent", "session")}
            items.append({**parts, "memories": len(store.select(scope, ANY_STATE))})
    return items


# --- what several pictures are drawn from ----------------------------------------------------------------------------


def newest(memory: Memory, scope: Scope, most: int, **wanted: Any) -> tuple[list[MemCube], int]:
    """Return the last ``most`` memories of a scope as the caller is shown them, and how many there are in all."""
    tree = where(**wanted)
    rows = memory.vault.store.select(scope, tree)
    after = None
    if len(rows) > most:
        before = memory.vault.store.at([int(rows[-most - 1])])
        after = before[0].id if before else None
    return memory.list(scope, filter=tree, limit=most, after=after), len(rows)


# --- timeline --------------------------------------------------------------------------------------------------------


@router.get("/timeline", response_model=TimelineOut)
async def timeline(
    scope: Scoped, who: Asks, served: Serves, by: By = "month", since: Time | None = None, until: Time | None = None
) -> JSONResponse:
    """Count memories per day, week, month or year (UTC) of when they were said; empty ones are left out."""
    memory = served.memory(who, scope).memory
    cubes, there = await served.run(newest, memory, scope, MOST_READ, since=since, until=until)
    items, undated = await served.run(timeline_of, cubes, by)
    return JSONResponse({"items": items, "undated": undated, "read": len(cubes), "memories": there})


def timeline_of(cubes: Iterable[MemCube], by: By) -> tuple[list[dict[str, Any]], int]:
    """Return the periods in which memories were said, in order of time, and how many have no time."""
    roles: dict[datetime, Counter[str]] = defaultdict(Counter)
    undated = 0
    for cube in cubes:
        if cube.time.created_at is None:
            undated += 1
        else:
            roles[_begin(cube.time.created_at, by)][str(cube.role)] += 1
    items = [
        {"from": to_iso(begin), "to": _end(begin, by), "count": counts.total(), "roles": dict(sorted(counts.items()))}
        for begin, counts in sorted(roles.items())
    ]
    return items, undated


def _begin(moment: datetime, by: By) -> datetime:
    """Return when the period began that a moment is in."""
    midnight = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if by == "week":
        return midnight - timedelta(days=min(midnight.weekday(), (midnight - datetime.min.replace(tzinfo=UTC)).days))
    return midnight.replace(day=1 if by != "day" else midnight.day, month=1 if by == "year" else midnight.month)


def _end(begin: datetime, by: By) -> str | None:
    """Return when the next period begins; None at the end of the calendar."""
    try:
        if by in ("day", "week"):
            return to_iso(begin + timedelta(days=1 if by == "day" else 7))
        months = 1 if by == "month" else 12
        return to_iso(_begin(begin + timedelta(days=31 * months), by))
    except OverflowError:
        return None


# --- graph -----------------------------------------------------------------------------------------------------------


@router.get("/graph", response_model=GraphOut)
async def graph(
    scope: Scoped,
    who: Asks,
    served: Serves,
    limit: Annotated[int, Query(ge=1, le=300)] = 80,
    focus: Annotated[str | None, Query(min_length=1, max_length=512)] = None,
) -> JSONResponse:
    """Return which names the memories hold, and which stand together in one; around ``focus``, a name or the id of a
    memory, also the memories themselves."""
    memory = served.memory(who, scope).memory
    cubes, there = await served.run(newest, memory, scope, MOST_NAMED)
    drawn = await served.run(graph_of, cubes, limit, focus)
    return JSONResponse({**drawn, "read": len(cubes), "memories": there})


def names_of(cubes: Sequence[MemCube]) -> tuple[list[tuple[str, ...]], dict[str, str]]:
    """Return the names in each memory, the speaker's first, and of which type each name is.

    They are the speakers, what ``enrich`` has noted, and what is written like a name in the words themselves.
    """
    types: dict[str, str] = {canonical(cube.provenance.actor): "person" for cube in cubes if cube.provenance.actor}
    speakers = set(types)
    for cube in cubes:
        types |= {canonical(name): "name" for name in cube.annotations.entities if canonical(name) not in types}
    for cube in cubes:  # once to learn the names, then once more: a known one is seen at the start of a sentence too
        for mention in _mentions(cube, speakers):
            if types.get(canonical(mention.name), "name") == "name":
                types[canonical(mention.name)] = mention.type
    known = {name for name, kind in types.items() if kind not in ("title", "email", "url", "handle")}
    found: list[list[str]] = []
    for cube in cubes:
        names = [cube.provenance.actor] if cube.provenance.actor else []
        names += [*cube.annotations.entities, *(mention.name for mention in _mentions(cube, known))]
        for name in names:
            types.setdefault(canonical(name), "name")
        for word in cube.annotations.keywords:
            types.setdefault(canonical(word), "keyword")
        found.append([canonical(name) for name in (*names, *cube.annotations.keywords)])
    often = Counter(name for names in found for name in names if types[name] in ("person", "name"))
    whole = full_names(name for name, _ in often.most_common(MOST_JOINED))
    return [tuple(dict.fromkeys(whole.get(name, name) for name in names)) for names in found], types


def _mentions(cube: MemCube, known: Collection[str]) -> list[Mention]:
    return find_entities(cube.content[:MOST_SCANNED], known) if isinstance(cube.content, str) else []


def graph_of(cubes: Sequence[MemCube], limit: int = 80, focus: str | None = None) -> Drawn:
    """Return the nodes and edges of the graph of some memories.

    limit  how many names at most: those that most memories hold
    focus  a name or the id of a memory; then its neighbours, and up to SHOWN_AROUND memories that hold it
    """
    named, types = names_of(cubes)
    ids = {name: name.casefold() for names in named for name in names}
    label: dict[str, str] = {}
    for name, key in ids.items():
        label.setdefault(key, name)
    keys = [tuple(dict.fromkeys(ids[name] for name in names)) for names in named]
    near = _around(cubes, keys, focus) if focus is not None else list(range(len(cubes)))
    counts = Counter(key for place in near for key in keys[place])
    common = [key for key, count in counts.most_common() if _worth_showing(types.get(label[key], "name"), count, focus)]
    kept = set(common[:limit])
    together = Counter(
        pair
        for place in near
        for pair in combinations(sorted([key for key in keys[place] if key in kept][:NAMES_IN_ONE]), 2)
    )
    nodes: list[Node] = [
        {
            "id": f"name:{key}",
            "label": label[key][:LABEL_CHARS],
            "kind": "entity",
            "type": types.get(label[key], "name"),
            "count": counts[key],
        }
        for key in common[:limit]
    ]
    edges = [_edge(f"name:{a}", f"name:{b}", "together", weight) for (a, b), weight in together.most_common(4 * limit)]
    if focus is not None:
        shown = [(cubes[place], keys[place]) for place in near[-SHOWN_AROUND:]]
        nodes += [_memory_node(cube) for cube, _ in shown]
        edges += [_edge(cube.id, f"name:{key}", "names", 1) for cube, mine in shown for key in mine if key in kept]
        there = {cube.id for cube, _ in shown}
        for cube, _ in shown:
            linked = [(link.target, str(link.kind)) for link in cube.links]
            linked += [(source, "derived_from") for source in cube.provenance.derived_from]
            edges += [_edge(cube.id, target, kind, 1) for target, kind in dict(linked).items() if target in there]
    return {"nodes": nodes, "edges": edges}


def _around(cubes: Sequence[MemCube], keys: Sequence[Sequence[str]], focus: str) -> list[int]:
    """Return the places of the memories that a name stands in, or of one memory and those that it is tied to."""
    tied: set[str] = set()
    for cube in cubes:
        ends = {*(link.target for link in cube.links), *cube.provenance.derived_from}
        if cube.id == focus:
            tied |= {cube.id, *ends}
        elif focus in ends:
            tied.add(cube.id)
    wanted = canonical(focus).casefold()
    return [place for place, cube in enumerate(cubes) if cube.id in tied or wanted in keys[place]]


def _worth_showing(kind: str, count: int, focus: str | None) -> bool:
    """Return whether a name is drawn: single keywords would bury the names, where nothing is looked at closely."""
    return kind != "keyword" or (focus is None and count > 2)


def _memory_node(cube: MemCube) -> Node:
    text = " ".join(cube.content.split()) if isinstance(cube.content, str) else str(cube.substrate)
    short = text if len(text) <= LABEL_CHARS else f"{text[: LABEL_CHARS - 1]}…"
    said = to_iso(cube.time.created_at)
    return {"id": cube.id, "label": short, "kind": "memory", "type": str(cube.role), "count": 1, "created_at": said}


def _edge(source: str, target: str, kind: str, weight: int) -> Edge:
    return {"source": source, "target": target, "kind": kind, "weight": weight}


# --- charts ----------------------------------------------------------------------------------------------------------


@functools.cache
def charts_found() -> Mapping[str, tuple[Path, str]]:
    """Return the charts that come with this installation: name -> (file, title)."""
    folder = _PACKAGED if _PACKAGED.is_dir() else _CHECKOUT
    found = {}
    for path in sorted(folder.glob("*.svg")):
        title = re.search(r"<title[^>]*>(.*?)</title>", path.read_text("utf-8"), re.DOTALL)
        found[path.stem] = path, html.unescape(title[1]).strip() if title else path.stem
    return found


@charts.get("/plots", response_model=PlotsOut)
async def plots() -> JSONResponse:
    """List the charts of this version's benchmarks; they hold nothing of any memory, so no key is asked for."""
    return JSONResponse({"items": [{"name": name, "title": title} for name, (_, title) in charts_found().items()]})


@charts.get("/plots/{name}", response_class=FileResponse, responses={200: {"content": {"image/svg+xml": {}}}})
async def plot(name: Name) -> FileResponse:
    """Return one chart."""
    if name not in charts_found():
        raise NotFound(f"There is no chart {name!r}.", hint="GET /v1/plots lists them.")
    policy = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
    return FileResponse(
        charts_found()[name][0], media_type="image/svg+xml", headers={"Content-Security-Policy": policy}
    )


# --- news ------------------------------------------------------------------------------------------------------------


class News:
    """What has happened since the last look, as one caller may know it.

    memory  the caller's view
    whole   whether the caller may know about jobs: the application's memory, else None
    """

    def __init__(self, memory: Memory, scope: Scope, whole: Memory | None) -> None:
        self.memory, self.scope, self.whole = memory, scope, whole
        self.seen = memory.vault.store.sequence()
        self.working: Sequence[str] | None = None
        self.jobs: dict[str, int] | None = None

    def since(self) -> list[tuple[str, dict[str, Any]]]:
        """Return (event, data) of what is new."""
        out: list[tuple[str, dict[str, Any]]] = []
        store = self.memory.vault.store
        if changes := store.changes(self.seen):
            self.seen = changes[-1].seq
            written = dict.fromkeys(change.cube_id for change in changes if change.kind == "written")
            cubes = [cube for cube_id in [*written][-100:] if (cube := store.get(cube_id)) is not None]
            if ids := [cube.id for cube in cubes if self.scope.covers(cube.scope)]:
                out.append(("change", {"ids": ids}))
        if self.memory.settings.working == "on":
            saved = store.working.load(self.scope)  # the verb is a read, which may be audited
            held = [kept.id for kept in saved if store.get(kept.id) is not None]
            if held != self.working:
                self.working = held
                out.append(("working", {"items": [cube.to_dict() for cube in self.memory.working(self.scope)]}))
        if self.whole is not None:
            counts: Counter[str] = Counter()
            for (_, state), many in self.whole.jobs.counts().items():
                counts[str(state)] += many
            if (jobs := dict(sorted(counts.items()))) != self.jobs:
                self.jobs = jobs
                out.append(("jobs", {"counts": jobs}))
        return out


_streams: Counter[int] = Counter()  # of which server -> how many are open


@router.get(
    "/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def events(scope: Scoped, who: Asks, served: Serves) -> StreamingResponse:
    """Stream what happens in a scope: ``change`` (ids), ``working`` (memories) and, to operators, ``jobs`` (counts).

    It ends after ten minutes; ask again, then.
    """
    memory = served.memory(who, scope).memory
    whole = served.pool.memory if who.operator else None
    if _streams[id(served)] >= MOST_STREAMS:
        raise RateLimited("Too many streams of news are open.", hint="Close some pages.", retry_after_s=30)
    news = await served.run(News, memory, scope, whole)
    return StreamingResponse(_told(news, served), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def _told(news: News, served: Serving) -> AsyncIterator[str]:
    end = beat = time.monotonic()
    end += LIFE_S
    _streams[id(served)] += 1
    try:
        yield ": hello\n\n"
        while time.monotonic() < end and not served.stopping.is_set():
            for event, data in await served.run(news.since):
                yield f"event: {event}\ndata: {json.dumps(data)}\n\n"
            if time.monotonic() - beat >= BEAT_S:
                beat = time.monotonic()
                yield ": still here\n\n"
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(served.stopping.wait(), POLL_S)
    finally:
        _streams[id(served)] -= 1
