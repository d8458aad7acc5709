"""A request that is sent twice under one key is done once."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import Request
from fastapi.responses import JSONResponse
from rest import ANN, memory_of, served
from starlette.testclient import TestClient

from anamnos.server import idempotency
from anamnos.server.callers import Caller
from anamnos.server.idempotency import HEADER, REPLAYED, Once
from anamnos.server.problems import Unmet
from anamnos.testing import ReferenceStore

WHO = Caller("key:app", ("default",), ("read", "write", "all"))


def test_the_same_request_gets_the_same_answer(client: TestClient) -> None:
    body = {"content": "The key is under the pot.", "scope": ANN}
    first, second = (client.post("/v1/memories", json=body, headers={HEADER: "k1"}) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json() and second.headers[REPLAYED] == "true"
    assert REPLAYED not in first.headers
    for key, uses in (("k2", 1), ("k2", 1), ("k3", 2)):
        client.post("/v1/used", json={"scope": ANN, "ids": first.json()["ids"]}, headers={HEADER: key})
        (cube,) = client.get("/v1/memories", params=ANN).json()["items"]
        assert cube["lifecycle"]["uses"] == uses


def test_a_key_of_another_tenant_with_the_same_name_gets_nothing_of_it(tmp_path: Path) -> None:
    with served(tmp_path, auth="keys") as client:
        keys = [memory_of(client).keys.create("same", tenants=[tenant]).text for tenant in ("a", "b")]
        body = {"content": "The key is under the pot.", "scope": {"tenant": "a", **ANN}}
        answers = [
            client.post("/v1/memories", json=body, headers={HEADER: "k1", "Authorization": f"Bearer {key}"})
            for key in keys
        ]
    assert [answer.status_code for answer in answers] == [201, 403]


def test_another_request_under_the_same_key_is_refused(client: TestClient) -> None:
    client.post("/v1/memories", json={"content": "One.", "scope": ANN}, headers={HEADER: "k1"})
    other = client.post("/v1/memories", json={"content": "Two.", "scope": ANN}, headers={HEADER: "k1"})
    assert other.status_code == 422 and HEADER in other.json()["detail"]
    assert len(client.get("/v1/memories", params=ANN).json()["items"]) == 1
    assert (
        client.post("/v1/memories", json={"content": "Two.", "scope": ANN}, headers={HEADER: "k" * 256}).status_code
        == 422
    )


def test_it_outlives_the_server_and_is_of_its_caller(tmp_path: Path) -> None:
    body = {"content": "The key is under the pot.", "scope": ANN}
    with served(tmp_path / "vault", auth="keys") as client:
        keys = [{"Authorization": f"Bearer {memory_of(client).keys.create(name).text}"} for name in ("one", "two")]
        first = client.post("/v1/memories", json=body, headers={HEADER: "k1", **keys[0]})
    with served(tmp_path / "vault", auth="keys") as client:
        again = client.post("/v1/memories", json=body, headers={HEADER: "k1", **keys[0]})
        other = client.post("/v1/memories", json={"content": "Other.", "scope": ANN}, headers={HEADER: "k1", **keys[1]})
    assert again.json() == first.json() and REPLAYED in again.headers
    assert other.status_code == 201


def test_no_words_are_kept(client: TestClient) -> None:
    client.post("/v1/memories", json={"content": "Zanzibar", "scope": ANN}, headers={HEADER: "k1"})
    kept = memory_of(client).vault.store.settings("once:")
    assert len(kept) == 1
    assert "Zanzibar" not in str(kept) and "k1" not in {name.removeprefix("once:") for name in kept}


def request(key: str, body: bytes = b"{}") -> Request:
    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    head = [(HEADER.lower().encode(), key.encode())]
    return Request(
        {"type": "http", "method": "POST", "path": "/v1/memories", "query_string": b"", "headers": head}, receive
    )


def opened() -> ReferenceStore:
    store = ReferenceStore()
    store.open()
    return store


async def plainly(function: Any, *args: Any) -> Any:
    return function(*args)


def test_who_comes_meanwhile_waits_for_the_first() -> None:
    done = 0

    async def handle(request: Request) -> JSONResponse:
        nonlocal done
        done += 1
        await asyncio.sleep(0.01)
        return JSONResponse({"done": done}, 201)

    async def both() -> list[Any]:
        once = Once(opened(), lambda: datetime.now(UTC), plainly)
        return await asyncio.gather(*(once.answer(request("k"), WHO, handle) for _ in range(5)))

    assert {bytes(answer.body) for answer in asyncio.run(both())} == {b'{"done":1}'}
    assert done == 1


def test_a_failure_is_not_kept() -> None:
    async def broken(request: Request) -> JSONResponse:
        raise Unmet(409, "no")

    async def refused(request: Request) -> JSONResponse:
        return JSONResponse({}, 404)

    async def fine(request: Request) -> JSONResponse:
        return JSONResponse({"done": 1})

    async def all_three() -> Any:
        once = Once(opened(), lambda: datetime.now(UTC), plainly)
        with pytest.raises(Unmet):
            await once.answer(request("k"), WHO, broken)
        await once.answer(request("k"), WHO, refused)
        return await once.answer(request("k"), WHO, fine)

    assert asyncio.run(all_three()).status_code == 200


def test_a_day_later_it_is_forgotten_and_there_are_never_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "MOST", 3)
    monkeypatch.setattr(idempotency, "_SWEEP", 1)
    now, store, done = datetime(2025, 1, 1, tzinfo=UTC), opened(), []

    async def handle(request: Request) -> JSONResponse:
        done.append(1)
        return JSONResponse({})

    async def go() -> None:
        nonlocal now
        once = Once(store, lambda: now, plainly)
        for n in range(6):
            now += timedelta(seconds=1)
            await once.answer(request(f"k{n}"), WHO, handle)
        assert len(store.settings("once:")) == 4  # three that were there, and the new one
        await once.answer(request("k5"), WHO, handle)
        assert len(done) == 6
        now += timedelta(hours=25)
        await once.answer(request("k5"), WHO, handle)
        assert len(done) == 7
        assert len(store.settings("once:")) == 1

    asyncio.run(go())
