"""AsyncMemory is Memory, awaited: the same verbs, results and errors; bounded threads; nothing is cut off."""

import asyncio
import inspect
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from anamnos import AsyncMemory, Memory, Scope
from anamnos.associative import create
from anamnos.errors import AnamnosError, InvalidInput, NotFound, StoreError
from anamnos.testing import FakeClock, FakeEmbedder, seeded_ids

ANN = Scope(user="ann")


def opened(folder: Path) -> Memory:
    return Memory(folder, embedder=FakeEmbedder(), clock=FakeClock(), new_id=seeded_ids(1))


def verbs(kind: type) -> dict[str, Any]:
    found = inspect.getmembers(kind, inspect.isfunction)
    return {name: verb for name, verb in found if not name.startswith("_") and name != "as_principal"}


def test_it_has_exactly_the_verbs_of_memory() -> None:
    assert set(verbs(AsyncMemory)) == set(verbs(Memory))


@pytest.mark.parametrize("name", sorted(verbs(Memory)))
def test_a_verb_has_the_same_parameters_and_words(name: str) -> None:
    sync, awaited = verbs(Memory)[name], verbs(AsyncMemory)[name]
    assert inspect.iscoroutinefunction(awaited)
    if name != "close":
        assert inspect.signature(sync) == inspect.signature(awaited)
        assert sync.__doc__ == awaited.__doc__


def run(work: Callable[[AsyncMemory], Coroutine[Any, Any, Any]], memory: Memory, threads: int = 4) -> Any:
    async def main() -> Any:
        async with AsyncMemory(memory, threads) as memory_:
            return await work(memory_)

    return asyncio.run(main())


def life(tmp_path: Path) -> list[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    """Return calls of every verb; "$0" stands for the id of the first memory."""
    notes = tmp_path / "notes.txt"
    notes.write_text("one\n\ntwo")
    return [
        ("add", ("The key is under the pot.", ANN), {"tags": ["home"]}),
        ("add", ([{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}], ANN), {}),
        ("ingest", (notes, ANN), {}),
        ("ingest_all", ([notes, tmp_path / "nothing.txt"], ANN), {}),
        ("add", ("I moved to Oslo in 2019.", ANN), {}),
        ("enrich", (ANN,), {}),
        ("resolve", (ANN,), {}),
        ("consolidate", (ANN,), {"decay": "memorybank"}),
        ("consolidate_all", (), {}),
        ("retention", (ANN,), {"turns": True}),
        ("update", ("$0", ANN), {"content": "The key is in the shed."}),
        ("correct", ("it's the barn, not the shed", ANN), {"ids": ["$0"]}),
        ("correct", ("I play the cello.", ANN), {}),
        ("search", ("where is the key?", ANN), {"top_k": 3}),
        ("working", (ANN,), {}),
        ("explain", ("where is the key?", ANN), {}),
        ("answer_context", ("where is the key?", ANN), {"token_budget": 100}),
        ("ask", ("where is the key?", ANN), {}),
        ("get", ("$0", ANN), {}),
        ("history", ("$0", ANN), {}),
        ("list", (ANN,), {"limit": 2}),
        ("used", ("$0", ANN), {}),
        ("archive", ("$0", ANN), {}),
        ("reactivate", ("$0", ANN), {}),
        ("freeze", ("$0", ANN), {}),
        ("update", ("$0", ANN), {"content": "It is held."}),
        ("unfreeze", ("$0", ANN), {}),
        ("rollback", (ANN,), {"id": "$0", "version": 1}),
        ("migrate", ("$0", ANN), {"role": "fact"}),
        ("migrate_back", ("$0", ANN), {}),
        ("advise", (ANN,), {}),
        ("rebuild_index", (), {}),
        ("save_state", ("axes", create("hopfield", dim=4), ANN), {}),
        ("reembed", (FakeEmbedder(8),), {}),
        ("export", ("$folder/export.jsonl",), {}),
        ("import_", ("$folder/export.jsonl",), {}),
        ("backup", ("$folder/backup",), {}),
        ("verify", (), {}),
        ("share", ("$0", ANN), {"to": "project"}),
        ("unshare", ("$0", ANN), {}),
        ("expire", (ANN,), {}),
        ("forget_person", ("nobody",), {}),
        ("delete", ("$0", ANN), {}),
        ("delete_all", (ANN,), {}),
        ("list", (ANN,), {}),
        # refused
        ("share", ("$0", ANN), {"to": "user:nobody"}),
        ("suggest_tags", ("the blue pot", ANN), {}),
        ("route", ("the blue pot", ANN, {"all": ANN}), {}),
        ("migrate", ("$0", ANN), {"to": "activation"}),
        ("get", ("$0", ANN), {}),
        ("add", ("", ANN), {}),
        ("search", ("x", ANN), {"top_k": 0}),
        ("search", ("x", None), {}),
        ("ingest", (tmp_path / "nothing.txt", ANN), {}),
        ("enrich", (ANN,), {"extractor": "llm"}),
        ("load_state", ("nothing", ANN), {}),
        ("resolve", (ANN,), {"resolver": "llm"}),
        ("consolidate", (ANN,), {"steps": ["dream"]}),
        ("merge", (["$0"], ANN), {}),
        ("unmerge", ("$0", ANN), {}),
        ("calibrate", ([("where is the key?", ["$0"])], ANN), {}),
        ("import_", (notes,), {}),
    ]


def filled_in(value: Any, first: str, folder: Path) -> Any:
    if value == "$0":
        return first
    return value.replace("$folder", str(folder)) if isinstance(value, str) else value


def plain(result: Any, folder: Path) -> str:
    if isinstance(result, AnamnosError):
        result = (type(result), result.message, result.hint)
    return repr(result).replace(str(folder), "")


def test_every_verb_gives_the_same_and_fails_the_same(tmp_path: Path) -> None:
    calls = life(tmp_path)
    assert {name for name, _, _ in calls} == set(verbs(Memory)) - {"close", "stats"}
    for folder in ("sync", "async"):
        (tmp_path / folder).mkdir()

    def sync(memory: Memory) -> list[str]:
        first, results = "", []
        for name, args, kwargs in calls:
            try:
                result = getattr(memory, name)(*(filled_in(a, first, tmp_path / "sync") for a in args), **kwargs)
                first = first or result.ids[0]
            except AnamnosError as exc:
                result = exc
            results.append(plain(result, tmp_path / "sync"))
        return results

    async def awaited(memory: AsyncMemory) -> list[str]:
        first, results = "", []
        for name, args, kwargs in calls:
            try:
                result = await getattr(memory, name)(*(filled_in(a, first, tmp_path / "async") for a in args), **kwargs)
                first = first or result.ids[0]
            except AnamnosError as exc:
                result = exc
            results.append(plain(result, tmp_path / "async"))
        assert (await memory.stats())["memories"] == 0
        return results

    with opened(tmp_path / "sync" / "vault") as memory:
        want = sync(memory)
    assert run(awaited, opened(tmp_path / "async" / "vault")) == want


def test_errors_pass_through(tmp_path: Path) -> None:
    async def work(memory: AsyncMemory) -> None:
        with pytest.raises(InvalidInput, match="empty"):
            await memory.add(" ", ANN)
        with pytest.raises(NotFound):
            await memory.get("00000000-0000-7000-8000-000000000000", ANN)

    run(work, opened(tmp_path))


class Slow(FakeEmbedder):
    """Waits in every call and counts how many are in one at once."""

    def __init__(self, wait_s: float) -> None:
        super().__init__()
        self.wait_s = wait_s
        self.now = self.most = 0
        self.guard = threading.Lock()

    def embed(self, texts: Any) -> Any:
        with self.guard:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(self.wait_s)
        with self.guard:
            self.now -= 1
        return super().embed(texts)


@pytest.mark.parametrize("threads", [1, 3])
def test_so_many_verbs_run_at_once_and_no_more(tmp_path: Path, threads: int) -> None:
    embedder = Slow(0.01)

    async def work(memory: AsyncMemory) -> list[str]:
        await asyncio.gather(*(memory.add(f"number {n}", ANN) for n in range(20)))
        return [cube.text for cube in await memory.list(ANN)]

    texts = run(work, Memory(tmp_path, embedder=embedder), threads)
    assert sorted(texts) == sorted(f"number {n}" for n in range(20))
    assert 1 <= embedder.most <= threads
    names = [thread.name for thread in threading.enumerate()]
    assert not any(name.startswith("anamnos") for name in names), "its threads end with it"


def test_the_loop_goes_on_while_a_verb_works(tmp_path: Path) -> None:
    async def work(memory: AsyncMemory) -> int:
        task = asyncio.ensure_future(memory.add("slow", ANN))
        ticks = 0
        while not task.done():
            ticks += 1
            await asyncio.sleep(0.005)
        return ticks

    assert run(work, Memory(tmp_path, embedder=Slow(0.1))) > 3


def test_a_cancelled_verb_is_done_or_not_done(tmp_path: Path) -> None:
    async def work(memory: AsyncMemory) -> None:
        tasks = [asyncio.ensure_future(memory.add(f"number {n}", ANN)) for n in range(12)]
        await asyncio.sleep(0.03)
        for task in tasks:
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert any(isinstance(result, asyncio.CancelledError) for result in done)
        await memory.add("after it", ANN)

    run(work, Memory(tmp_path, embedder=Slow(0.02)), threads=2)
    with Memory(tmp_path, embedder=FakeEmbedder()) as memory:
        texts = [cube.text for cube in memory.list(ANN)]
        assert "after it" in texts
        assert len(texts) == len(set(texts)) == memory.stats()["sequence"]
        assert memory.verify() == []


def test_close_waits_for_what_is_going_on(tmp_path: Path) -> None:
    async def main() -> Any:
        memory = AsyncMemory(Memory(tmp_path, embedder=Slow(0.1)))
        task = asyncio.ensure_future(memory.add("written before the end", ANN))
        await asyncio.sleep(0.01)
        await memory.close()
        return await task

    assert asyncio.run(main()).outcomes == ("added",)
    with Memory(tmp_path, embedder=FakeEmbedder()) as memory:
        assert [cube.text for cube in memory.list(ANN)] == ["written before the end"]


def test_after_close_a_verb_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with AsyncMemory(opened(tmp_path)) as memory:
            await memory.add("one", ANN)
        with pytest.raises((StoreError, RuntimeError)):
            await memory.add("two", ANN)

    asyncio.run(main())


def test_many_searches_and_writes_at_once(tmp_path: Path) -> None:
    async def work(memory: AsyncMemory) -> None:
        async def talk(user: int) -> None:
            scope = Scope(user=f"user {user}")
            for n in range(8):
                (cube_id,) = (await memory.add(f"user {user} says {n}", scope)).ids
                hits = await memory.search(f"what was said as {n}", scope, top_k=50)
                assert cube_id in [hit.id for hit in hits], "read your writes"
                assert len(hits) == n + 1
                assert {hit.cube.scope for hit in hits} == {scope}

        await asyncio.gather(*(talk(user) for user in range(8)))

    run(work, opened(tmp_path))
