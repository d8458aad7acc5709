"""What the page is drawn from: scopes, timeline, graph, charts, news; and the files of the page."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anamnos import Memory, Scope
from anamnos.cube import Annotations, Link, LinkKind, MemCube, Provenance, Role, Times, from_iso
from anamnos.testing import FakeEmbedder, seeded_ids

pytest.importorskip("fastapi", reason="the server is an extra")

from rest import added, memory_of, served
from starlette.testclient import TestClient

from anamnos.server import web
from anamnos.server.callers import Caller
from anamnos.server.pool import Pool
from anamnos.server.routes import views
from anamnos.server.serving import Serving

ANN, BOB = Scope(user="ann"), Scope(user="bob")
NEW_ID = seeded_ids(5)
PAGE = web.FOLDER / "assets"


def cube(text: str, *, at: datetime | None = None, actor: str | None = None, **more: Any) -> MemCube:
    more.setdefault("provenance", Provenance(actor=actor))
    return MemCube(NEW_ID(datetime(2024, 1, 1, tzinfo=UTC)), text, ANN, time=Times(created_at=at), **more)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with served(tmp_path / "vault", web="on") as opened:
        yield opened


# --- scopes


def test_scopes_are_listed_with_the_user_as_a_whole(client: TestClient) -> None:
    added(client, "One.", scope={"user": "ann", "session": "monday"})
    added(client, "Two.", "Three.", scope={"user": "ann", "session": "tuesday"})
    added(client, "Four.", scope={"agent": "tutor"})
    items = client.get("/v1/scopes").json()["items"]
    found = {(one["user"], one["agent"], one["session"]): one["memories"] for one in items}
    assert found == {
        (None, "tutor", None): 1, ("ann", None, None): 3, ("ann", None, "monday"): 1, ("ann", None, "tuesday"): 2,
    }  # fmt: skip


def test_a_caller_is_told_of_its_own_scopes_only(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "vault", embedder=FakeEmbedder())
    for scope in (ANN, BOB, Scope("other", user="ann")):
        memory.add("The key is under the pot.", scope)
    pool = Pool(memory, threads=1)
    try:
        serving = Serving(pool, None, None)  # type: ignore[arg-type]

        def told(
            *rights: str, tenants: tuple[str, ...] | None = ("default",), owner: str = ""
        ) -> list[tuple[str, str]]:
            items = views.scopes_of(serving, Caller("key:app", tenants, rights, owner))
            return [(one["tenant"], one["user"]) for one in items]

        assert told("read", owner="user:ann") == [("default", "ann")]
        assert told("read", "all") == [("default", "ann"), ("default", "bob")]
        assert told("read") == []
        assert told("read", "all", tenants=None) == [("default", "ann"), ("default", "bob"), ("other", "ann")]
        assert told("read", owner="user:ann", tenants=None) == [("default", "ann"), ("other", "ann")]
    finally:
        pool.close()


# --- timeline


def test_periods_are_counted_in_utc() -> None:
    cubes = [
        cube("a", at=datetime(2023, 12, 31, 23, 59, tzinfo=UTC)),
        cube("b", at=datetime(2024, 1, 1, tzinfo=UTC), role=Role.TURN),
        cube("c", at=datetime(2024, 2, 29, 12, tzinfo=UTC)),
        cube("d"),
    ]
    items, undated = views.timeline_of(cubes, "month")
    assert undated == 1
    assert [(one["from"][:10], one["to"][:10], one["count"]) for one in items] == [
        ("2023-12-01", "2024-01-01", 1), ("2024-01-01", "2024-02-01", 1), ("2024-02-01", "2024-03-01", 1),
    ]  # fmt: skip
    assert items[1]["roles"] == {"turn": 1}
    assert [one["from"][:10] for one in views.timeline_of(cubes, "week")[0]] == [
        "2023-12-25",
        "2024-01-01",
        "2024-02-26",
    ]


@given(st.datetimes(timezones=st.just(UTC)), st.sampled_from(["day", "week", "month", "year"]))
def test_every_moment_lies_in_its_period(moment: datetime, by: views.By) -> None:
    (item,), _ = views.timeline_of([cube("a", at=moment)], by)
    begin, end = from_iso("from", item["from"]), from_iso("to", item["to"])
    assert begin is not None and begin <= moment
    assert end is None or moment < end


def test_a_timeline_counts_the_newest_where_there_are_too_many(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "MOST_READ", 3)
    for year in range(2001, 2006):
        memory_of(client).add(f"In {year}.", ANN, created_at=datetime(year, 6, 1, tzinfo=UTC))
    answer = client.get("/v1/timeline?user=ann&by=year").json()
    assert [one["from"][:4] for one in answer["items"]] == ["2003", "2004", "2005"]
    assert (answer["read"], answer["memories"]) == (3, 5)
    narrowed = client.get("/v1/timeline?user=ann&by=year&since=2002-01-01T00:00:00Z&until=2004-01-01T00:00:00Z").json()
    assert [one["from"][:4] for one in narrowed["items"]] == ["2002", "2003"]


# --- graph


def test_names_of_one_memory_stand_together() -> None:
    cubes = [
        cube("We flew to Lisbon with Sarah Chen.", actor="Ann"),
        cube("Chen likes it there. Lisbon is warm.", actor="Ann"),
        cube("nothing here", annotations=Annotations(entities=("Lisbon",), keywords=("warm", "ann"))),
    ]
    drawn = views.graph_of(cubes)
    counts = {node["label"]: node["count"] for node in drawn["nodes"]}
    assert counts == {"Ann": 3, "Lisbon": 3, "Sarah Chen": 2}
    weights = {(edge["source"], edge["target"]): edge["weight"] for edge in drawn["edges"]}
    assert weights[("name:ann", "name:lisbon")] == 3
    assert weights[("name:lisbon", "name:sarah chen")] == 2


def test_around_a_name_its_memories_are_shown_with_what_ties_them() -> None:
    source = cube("Ann met Elena in Lisbon.", actor="Ann")
    fact = cube("Elena lives in Lisbon.", provenance=Provenance(derived_from=(source.id,)), role=Role.FACT)
    linked = cube("Bread with Bob.", links=(Link(LinkKind.SIMILAR, source.id),))
    drawn = views.graph_of([source, fact, linked], focus="elena")
    assert {node["id"] for node in drawn["nodes"] if node["kind"] == "memory"} == {source.id, fact.id}
    assert {"source": fact.id, "target": source.id, "kind": "derived_from", "weight": 1} in drawn["edges"]
    around = views.graph_of([source, fact, linked], focus=linked.id)
    assert {"source": linked.id, "target": source.id, "kind": "similar", "weight": 1} in around["edges"]
    assert views.graph_of([source], focus="nobody") == {"nodes": [], "edges": []}


@given(
    st.lists(st.text(max_size=60).filter(str.strip), max_size=6), st.integers(1, 20), st.none() | st.text(min_size=1)
)
def test_a_graph_of_anything_holds_together(texts: list[str], limit: int, focus: str | None) -> None:
    drawn = views.graph_of([cube(text, actor="Ann") for text in texts], limit, focus)
    ids = [node["id"] for node in drawn["nodes"]]
    assert len(ids) == len(set(ids))
    assert sum(node["kind"] == "entity" for node in drawn["nodes"]) <= limit
    assert all(edge["source"] in ids and edge["target"] in ids for edge in drawn["edges"])


def test_pictures_show_a_caller_nothing_of_others(tmp_path: Path) -> None:
    with served(tmp_path / "vault", auth="keys", web="on") as client:
        memory = memory_of(client)
        memory.add("Elena hid the money in Zermatt.", ANN, tags=["secret"])
        memory.add("A letter to jo@example.org was sent from Oslo.", BOB)
        key = memory.keys.create("bobs", owner="user:bob").text
        headers = {"Authorization": f"Bearer {key}"}
        for path in ("scopes", "timeline?user=ann", "graph?user=ann", "graph?user=ann&focus=Elena"):
            assert client.get(f"/v1/{path}").status_code == 401
            answer = client.get(f"/v1/{path}", headers=headers)
            assert answer.status_code == 200
            assert "Elena" not in answer.text and "Zermatt" not in answer.text and '"count":1' not in answer.text
        own = client.get("/v1/graph?user=bob&focus=Oslo", headers=headers).text
        assert "Oslo" in own and "jo@example.org" not in own  # delicate, and the key has no such right
        assert client.get("/v1/graph?user=bob&tenant=other", headers=headers).status_code == 403
        assert client.get("/v1/events?user=bob").status_code == 401


# --- charts


def test_charts_are_served_by_known_names_only(client: TestClient) -> None:
    items = client.get("/v1/plots").json()["items"]
    assert {"name": "scaling", "title": views.charts_found()["scaling"][1]} in items
    answer = client.get("/v1/plots/scaling")
    assert answer.headers["content-type"] == "image/svg+xml"
    assert "sandbox" in answer.headers["content-security-policy"]
    for name in ("none", "..%2F..%2Fpyproject.toml", "%2Fetc%2Fpasswd", "scaling.svg", "..", "a%00b"):
        assert client.get(f"/v1/plots/{name}").status_code in (404, 422), name


# --- news


def test_news_tell_what_was_written_in_the_scope_and_no_more(tmp_path: Path) -> None:
    with Memory(tmp_path / "vault", embedder=FakeEmbedder(), working="on") as memory:
        news = views.News(memory, ANN, memory)
        assert news.since() == [("working", {"items": []}), ("jobs", {"counts": {}})]
        own = memory.add("Mine.", ANN).ids[0]
        memory.add("His.", BOB)
        assert news.since() == [("change", {"ids": [own]})]
        assert news.since() == []
        memory.delete(own, ANN)
        assert news.since() == []
        memory.jobs.add("consolidate", ANN)
        assert news.since() == [("jobs", {"counts": {"waiting": 1}})]


def test_a_stream_begins_with_what_is_and_ends_when_the_server_does(tmp_path: Path) -> None:
    with Memory(tmp_path / "vault", embedder=FakeEmbedder(), working="on") as memory:
        serving = Serving(Pool(memory, threads=1), None, None)  # type: ignore[arg-type]

        async def read() -> list[str]:
            pieces = []
            async for piece in views._told(views.News(memory, ANN, None), serving):
                pieces.append(piece)
                if len(pieces) == 2:
                    serving.stopping.set()
            return pieces

        hello, working = asyncio.run(read())
        assert hello.startswith(":")
        event, data, *_ = working.split("\n")
        assert event == "event: working" and json.loads(data.removeprefix("data: ")) == {"items": []}
        assert views._streams[id(serving)] == 0


# --- the files of the page


def test_the_page_and_its_files_are_served_without_a_key(tmp_path: Path) -> None:
    with served(tmp_path / "vault", auth="keys", web="on") as client:
        answer = client.get("/")
        assert answer.status_code == 200 and "text/html" in answer.headers["content-type"]
        policy = answer.headers["content-security-policy"]
        assert "default-src 'self'" in policy and "unsafe" not in policy
        for path in re.findall(r'(?:src|href)="(/assets/[^"]+)"', answer.text):
            assert client.get(path).status_code == 200, path
        assert client.get("/assets/..%2F__init__.py").status_code == 404
        assert client.get("/assets/../__init__.py").status_code == 404


def test_without_the_setting_there_is_no_page(tmp_path: Path) -> None:
    with served(tmp_path / "vault", web="off") as client:
        assert client.get("/").status_code == 404
        assert client.get("/assets/page.css").status_code == 404


def test_the_scripts_are_small() -> None:
    assert sum(path.stat().st_size for path in PAGE.rglob("*.js")) <= 300_000


def test_code_of_others_is_as_it_was_bundled() -> None:
    sums = dict(
        re.findall(r"\| `([\w.]+)` \|.*`([0-9a-f]{64})` \|", (PAGE / "vendor" / "README.md").read_text("utf-8"))
    )
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (PAGE / "vendor").glob("*.js")}
    assert sums == files
    axe = Path(__file__).parents[2] / "e2e" / "vendor"
    known = re.search(r"[0-9a-f]{64}", (axe / "README.md").read_text("utf-8"))
    assert known is not None and hashlib.sha256((axe / "axe.min.js").read_bytes()).hexdigest() == known[0]


def test_no_own_script_parses_text_as_markup_or_loads_from_elsewhere() -> None:
    parsing = re.compile(
        r"dangerouslySetInnerHTML|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|srcdoc"
    )
    own = [
        path
        for path in [*PAGE.rglob("*.js"), *PAGE.rglob("*.css"), web.FOLDER / "index.html"]
        if "vendor" not in path.parts
    ]
    assert len(own) > 10
    for path in own:
        text = path.read_text("utf-8")
        assert not parsing.search(text), path
        assert not re.search(r"https?://|@import", text.replace("http://www.w3.org/", "")), path
    page = (web.FOLDER / "index.html").read_text("utf-8")
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\son\w+=|\sstyle=", page)
