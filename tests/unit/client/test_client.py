"""The client does over HTTP what ``Memory`` does: the same values, the same errors; nothing is sent twice by chance."""

import asyncio
import inspect
import json
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from anamnos import Memory, Scope, where
from anamnos.client import AsyncClient, Client, calls
from anamnos.config import ServerSettings
from anamnos.errors import (
    AccessDenied,
    AnamnosError,
    Conflict,
    Corrupt,
    InvalidInput,
    NotFound,
    ProviderError,
    RateLimited,
    Unauthenticated,
)
from anamnos.server.app import create_app
from anamnos.system.tagging import Suggestion
from anamnos.testing import FakeEmbedder

ANN, BOB = Scope(user="ann"), Scope(user="bob")


class Served:
    """A real server over a small vault."""

    def __init__(self, folder: Path) -> None:
        self.memory = Memory(folder / "vault", embedder=FakeEmbedder())
        self.operator = self.memory.keys.create("root", operator=True).text
        self.of_ann = self.memory.keys.create("ann", owner="user:ann").text
        settings = ServerSettings(port=0, web="off", backups=str(folder / "backups"))
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._server = uvicorn.Server(uvicorn.Config(create_app(self.memory, settings), log_level="warning"))
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],))

    def __enter__(self) -> "Served":
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.should_exit = True
        self._thread.join()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("served")) as found:
        yield found


@pytest.fixture
def client(served: Served) -> Iterator[Client]:
    with Client(served.url, served.operator) as found:
        yield found
        found.delete_all(ANN)


def test_what_it_returns_is_what_the_memory_returns(client: Client, served: Served) -> None:
    told = datetime(2024, 5, 1, 12, tzinfo=UTC)
    receipt = client.add("The spare key is under the blue pot.", ANN, tags=["home"], created_at=told, importance=0.9)
    again = client.add("The spare key is under the blue pot.", ANN, tags=["home"], created_at=told, importance=0.9)
    assert (receipt.outcomes, again.outcomes, again.ids) == (("added",), ("unchanged",), receipt.ids)
    key = receipt.ids[0]
    assert client.get(key, ANN) == served.memory.get(key, ANN)
    assert client.update(key, ANN, content="It is in the shed.", data={"a": 1}, expected_version=1).ids == (key,)
    assert client.history(key, ANN) == served.memory.history(key, ANN)
    assert client.list(ANN, filter=where(tags="home")) == served.memory.list(ANN)
    client.add([{"role": "user", "content": "I moved to Oslo."}, {"role": "assistant", "content": "Nice!"}], ANN)
    mine, theirs = (each.search("where is the key?", ANN, top_k=3) for each in (client, served.memory))
    assert [(hit.id, hit.content, hit.reason) for hit in mine] == [(h.id, h.content, h.reason) for h in theirs]
    assert mine[0].cube.provenance == theirs[0].cube.provenance
    assert mine.confidence == pytest.approx(theirs.confidence)
    packed, packed_here = (each.answer_context("where is the key?", ANN) for each in (client, served.memory))
    assert packed.text == packed_here.text
    assert packed.citations == {number: cube.id for number, cube in packed_here.citations.items()}
    answer, answer_here = (each.ask("where is the key?", ANN) for each in (client, served.memory))
    assert (answer.text, answer.not_in_memory) == (answer_here.text, answer_here.not_in_memory)
    assert client.stats(ANN) | {"sequence": 0, "bytes": {}, "vault": ""} == served.memory.stats(ANN) | {
        "sequence": 0, "bytes": {}, "vault": ""
    }  # fmt: skip
    assert client.verify() == []
    assert client.delete(key, ANN).state == "erased"


def _suggested(memory: Client | Memory) -> tuple[list[Suggestion], list[Suggestion]]:
    """Return the tags and the places that a memory has for a text."""
    places = {"oslo": where(contains="Oslo"), "rome": Scope(user="ann", session="rome")}
    return memory.suggest_tags("Where do I live?", ANN, k=3), memory.route("Where do I live?", ANN, places)


def test_every_other_verb_reaches_its_route(client: Client, served: Served) -> None:
    one, two = (client.add(text, ANN).ids[0] for text in ("I live in Oslo.", "I live in Rome."))
    assert client.enrich(ANN).count("added")
    client.resolve(ANN)
    client.correct("it's Bergen, not Oslo", ANN, ids=[one])
    for do, undo in ((client.freeze, client.unfreeze), (client.archive, client.reactivate)):
        assert do(one, ANN).ids == undo([one], ANN).ids == (one,)
    client.update(one, ANN, tags=["home"])
    merged = client.merge([one, two], ANN).ids[0]
    client.unmerge(merged, ANN)
    client.used(one, ANN)
    client.share(one, ANN, to="project")
    client.unshare(one, ANN)
    client.rollback(ANN, id=one, version=1)
    assert client.get(one, ANN).content == "I live in Oslo."
    assert client.consolidate(ANN)["finished"]
    assert client.explain("Oslo", ANN)["recipe"]["name"]
    assert client.working(ANN) == []
    for mine, theirs in zip(*(_suggested(memory) for memory in (client, served.memory)), strict=True):
        assert [(each.tag, each.because) for each in mine] == [(each.tag, each.because) for each in theirs]
        assert [each.score for each in mine] == pytest.approx([each.score for each in theirs], abs=1e-4)
        assert mine and all(type(each) is Suggestion for each in mine)
    client.expire(ANN)
    assert client.request("GET", "/v1/jobs", query={"limit": 5})["items"] == []
    assert client.me()["operator"] is True
    client.add("Mine too.", Scope(user="eve"))
    assert client.forget_person(Scope(user="eve"))["own"] == 1


def test_files_go_there_and_back(client: Client, tmp_path: Path) -> None:
    notes, copy = tmp_path / "notes.md", tmp_path / "ann.jsonl"
    notes.write_text("# Home\n\nThe spare key is under the blue pot.\n")
    assert client.ingest(notes, ANN, tags=["home"]).count("added") == 1
    assert client.list(ANN)[0].provenance.source == "notes.md"
    before = client.list(ANN)
    assert client.export(copy, ANN) == 1
    assert not list(tmp_path.glob("*.part"))
    client.delete_all(ANN)
    assert client.import_(copy).outcomes == ("added",)
    assert client.list(ANN) == before
    with pytest.raises(InvalidInput, match=r"nothing\.md"):
        client.ingest(tmp_path / "nothing.md", ANN)


def test_errors_are_those_of_the_library(client: Client, served: Served) -> None:
    key = client.add("Mine.", ANN).ids[0]
    with pytest.raises(NotFound, match=key):
        client.get(key, BOB)
    client.update(key, ANN, content="Still mine.")
    with pytest.raises(Conflict) as conflict:
        client.update(key, ANN, content="No.", expected_version=1)
    assert conflict.value.current_version == 2
    with pytest.raises(InvalidInput):
        client.search("x", ANN, top_k=0)
    with pytest.raises(InvalidInput, match="zone"):
        client.get(key, ANN, as_of=datetime(2024, 1, 1))  # noqa: DTZ001  # that is the point
    with Client(served.url, key="x" * 20) as stranger, pytest.raises(Unauthenticated):
        stranger.me()
    with Client(served.url, served.of_ann) as ann:
        assert ann.get(key, ANN).content == "Still mine."
        with pytest.raises(AccessDenied):
            ann.verify()
        with pytest.raises(NotFound):
            ann.get(key, BOB)
    assert served.operator not in repr(client)


def test_awaited_it_is_the_same(served: Served, tmp_path: Path) -> None:
    async def work() -> None:
        async with AsyncClient(served.url, served.operator) as memory:
            ids = [r.ids[0] for r in await asyncio.gather(*(memory.add(f"Note {n}.", BOB) for n in range(8)))]
            assert {cube.id for cube in await memory.list(BOB)} == set(ids)
            assert await memory.export(tmp_path / "bob.jsonl", BOB) == 8
            assert (await memory.import_(tmp_path / "bob.jsonl")).count("unchanged") == 8
            with pytest.raises(NotFound):
                await memory.get(ids[0], ANN)
            await memory.delete_all(BOB)

    asyncio.run(work())


def test_both_clients_have_each_call_with_its_words() -> None:
    known = {name: each for name, each in vars(calls).items() if inspect.isfunction(each) and not name.startswith("_")}
    known = {
        {"list_": "list"}.get(name, name): each for name, each in known.items() if each.__module__ == calls.__name__
    }
    for kind in (Client, AsyncClient):
        verbs = {name: each for name, each in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_")}
        assert set(verbs) == set(known) | {"send", "close"}
        assert all(verbs[name].__doc__ == each.__doc__ for name, each in known.items())


def test_its_verbs_take_what_those_of_memory_take() -> None:
    other = {"idempotency_key", "path", "ids"}
    verbs = "add update search answer_context ask suggest_tags route get list history delete share"
    for name in verbs.split():
        mine = set(inspect.signature(getattr(Client, name)).parameters) - other
        assert mine <= set(inspect.signature(getattr(Memory, name)).parameters), name


class Flaky(BaseHTTPRequestHandler):
    """Says what it is told to, one answer after the other, and notes what it was asked."""

    script: list[tuple[int, dict[str, str], bytes]] = []
    asked: list[tuple[str, str, str]] = []

    def do(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.asked.append((self.command, self.path, self.headers.get("idempotency-key", "")))
        status, headers, body = self.script.pop(0)
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PATCH = do  # as the library calls them

    def log_message(self, *args: object) -> None:
        """Keep quiet."""


@pytest.fixture
def flaky() -> Iterator[str]:
    Flaky.asked.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Flaky)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def problem(status: int, code: str, **more: Any) -> tuple[int, dict[str, str], bytes]:
    return status, {}, json.dumps({"code": code, "detail": "No.", "hint": "", "status": status, **more}).encode()


RECEIPT = (201, {}, b'{"ids": [], "outcomes": [], "sequence": 1, "state": "indexed"}')


def test_what_may_be_done_twice_is_tried_again_under_one_key(flaky: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with Client(flaky) as client:
        Flaky.script = [problem(503, "busy", retryable=True), problem(503, "busy", retryable=True), RECEIPT]
        assert client.add("x", ANN).sequence == 1
        assert len(Flaky.asked) == 3
        assert len({key for _, _, key in Flaky.asked}) == 1 != Flaky.asked[0][2]
        Flaky.script = [problem(503, "busy", retryable=True)]
        with pytest.raises(AnamnosError) as busy:
            client.update("x", ANN, content="y")
        assert busy.value.retryable
        Flaky.script = [problem(429, "rate_limited", retryable=True)] * 4
        with pytest.raises(RateLimited):
            client.me()
        Flaky.script = [(500, {}, b"<html>")]
        with pytest.raises(AnamnosError, match="500"):
            client.me()


def test_a_cut_off_export_leaves_nothing_in_its_place(flaky: str, tmp_path: Path) -> None:
    there = tmp_path / "ann.jsonl"
    there.write_text("what was there")
    Flaky.script = [(200, {}, b'{"anamnos_export": 1}\n{"cube": {}}\n')]
    with Client(flaky, retries=0) as client, pytest.raises(Corrupt):
        client.export(there, ANN)
    assert there.read_text() == "what was there"


def test_nobody_there_and_no_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with Client(f"http://127.0.0.1:{port}", retries=0) as client, pytest.raises(ProviderError, match="did not answer"):
        client.me()
    with pytest.raises(InvalidInput, match="http"):
        Client("localhost:8787")
