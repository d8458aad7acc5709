"""What the crash tests start in a process of its own, to kill it: ``python child.py <work> <vault> …``.

Every acknowledged fact is one line of JSON on standard output, flushed before the child goes on.
"""

import json
import random
import sys
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from anamnos import Memory, Scope
from anamnos.cube import MemCube, uuid7_source
from anamnos.embed.hashing import HashingEmbedder
from anamnos.index.spann import index as index_module
from anamnos.index.spann import lists as lists_module
from anamnos.index.spann.index import SpannIndex
from anamnos.index.terms import TermReader
from anamnos.ingest.extract import resolve_extractor
from anamnos.store.apply import apply
from anamnos.store.base import EmbedderInfo
from anamnos.store.jobs import Job
from anamnos.store.sqlite import SqliteStore
from anamnos.system.scheduler import Handler, Progress
from anamnos.types import Derived, Op, OpKind

ANN = Scope(user="ann")
START = datetime(2024, 1, 1, 9, tzinfo=UTC)


def say(**fact: Any) -> None:
    print(json.dumps(fact), flush=True)


def texts_of(number: int) -> list[str]:
    """Return the 40 turns of file ``number``; every fifth of an odd one repeats its words."""
    return [
        "the same words again" if number % 2 and n % 5 == 4 else f"file{number} turn{n} says word{number}x{n}"
        for n in range(40)
    ]


def write_file(folder: Path, number: int) -> Path:
    """Write file ``number``: even ones are messages with ids, odd ones a document."""
    texts = texts_of(number)
    if number % 2:
        path = folder / f"notes{number}.txt"
        path.write_text("\n\n".join(texts))
        return path
    path = folder / f"chat{number}.jsonl"
    lines = [
        {"role": "user", "content": text, "id": f"m{n}", "at": (START + timedelta(minutes=n)).isoformat()}
        for n, text in enumerate(texts)
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def ingest(vault: str, folder: str, first: str) -> None:
    """Ingest one file after the other; a batch is acknowledged when ``progress`` is called behind it."""
    with Memory(vault, embedder="hashing", batch_size=5) as memory:
        say(ready=True)
        for number in range(int(first), int(first) + 50):
            path = write_file(Path(folder), number)
            say(began=number)
            memory.ingest(path, ANN, progress=lambda done, _, number=number: say(file=number, done=done))


def change(vault: str, seed: str) -> None:
    """Add, update and delete at random; say what will be tried, then what was acknowledged."""
    rng = random.Random(int(seed))
    with Memory(vault, embedder="hashing", batch_size=3) as memory:
        say(ready=True)
        mine = [cube.id for cube in memory.list(ANN, limit=None)]
        for n in range(10_000):
            word = f"w{rng.getrandbits(64):016x}"
            kind = rng.choice(("add", "add", "update", "delete")) if len(mine) > 3 else "add"
            if kind == "add":
                say(trying="add", text=f"remember {word} number {n}")
                (cube_id,) = memory.add(f"remember {word} number {n}", ANN).ids
                mine.append(cube_id)
            else:
                cube_id = rng.choice(mine)
                say(trying=kind, id=cube_id, text=f"changed {word} number {n}")
                if kind == "update":
                    memory.update(cube_id, ANN, content=f"changed {word} number {n}")
                else:
                    receipt = memory.delete(cube_id, ANN)
                    assert receipt.state == "erased"
                    mine.remove(cube_id)
            say(did=kind, id=cube_id)


def maintain(vault: str, seed: str) -> None:
    """Reembed, rebuild the index and back up, over and over."""
    rng = random.Random(int(seed))
    store = SqliteStore(Path(vault) / "anamnos.db").open()
    held = store.embedder()
    store.close()
    assert held is not None
    with Memory(vault, embedder=HashingEmbedder(held.dim), batch_size=8) as memory:
        say(ready=True)
        for n in range(10_000):
            kind = rng.choice(("reembed", "rebuild", "backup"))
            if kind == "reembed":
                memory.reembed(HashingEmbedder(64 if memory.embedder.dim == 384 else 384))
            elif kind == "rebuild":
                memory.rebuild_index()
            else:
                memory.backup(f"{vault}.backup.{seed}.{n}")
            say(did=kind)


def write(vault: str, worker: str, count: str) -> None:
    """Add unique texts one by one."""
    with Memory(vault, embedder="hashing") as memory:
        for n in range(int(count)):
            receipt = memory.add(f"worker{worker} wrote item{worker}x{n}", Scope(user="ann", session=f"s{n % 3}"))
            say(id=receipt.ids[0], outcome=receipt.outcomes[0], sequence=receipt.sequence)


def read(vault: str, flag: str) -> None:
    """Search and list until the file ``flag`` is there."""
    searches = 0
    with Memory(vault, embedder="hashing") as memory:
        while not Path(flag).exists():
            hits = memory.search(f"what did worker1 write as item1x{searches % 60}", ANN, top_k=5)
            assert [h.rank_score for h in hits] == sorted((h.rank_score for h in hits), reverse=True)
            assert len(memory.list(ANN, limit=5)) <= 5
            searches += 1
    say(searches=searches)


def hold(vault: str, flag: str) -> None:
    """Keep the vault open and search for ``secretive`` until the file ``flag`` is there."""
    with Memory(vault, embedder="hashing") as memory:
        say(ready=True)
        while not Path(flag).exists():
            memory.search("anything secretive", ANN)
            memory.search("anything else", Scope(user="bob"))
            time.sleep(0.002)
    say(done=True)


def work(vault: str) -> None:
    """Do background jobs for ever, with a lease that soon runs out after a kill; say when one begins and ends."""
    with Memory(vault, embedder="hashing", background="worker", batch_size=4) as memory:
        resolve_extractor("rules", TermReader(), None)  # its patterns take longer to compile than most children live
        for kind, handler in list(memory.jobs.handlers.items()):
            memory.jobs.register(kind, partial(told, handler))
        say(ready=True)
        worker = memory.jobs.worker(lease_s=0.3, poll_s=0.01)
        while True:
            worker.run(until_idle=True)
            time.sleep(0.01)


def told(handler: Handler, job: Job, progress: Progress) -> None:
    say(began=job.kind)
    handler(job, progress)
    say(ended=job.kind)


def small_lists(vault: str) -> tuple[SqliteStore, SpannIndex]:
    """Return a store and its SPANN with lists so short that they are split and written anew all the time."""
    index_module.MEAN = lists_module.MEAN = 8
    lists_module.LONGEST, lists_module.SHORTEST = 24, 1
    index_module.FEW, index_module.QUERIES = 5, 10
    index_module._MUCH = 1 << 12
    store = SqliteStore(Path(vault) / "anamnos.db", busy_timeout_s=20).open()
    info = EmbedderInfo("crash", 16)
    store.use_embedder(info)
    return store, SpannIndex(Path(vault) / "index", store, info, worth_it=100)


def index_lists(vault: str, seed: str) -> None:
    """Write, change and erase memories, following with the index, splitting lists and writing them anew."""
    rng = np.random.default_rng(int(seed))
    store, index = small_lists(vault)
    new_id = uuid7_source()
    while True:
        vectors = rng.normal(size=(40, 16)) + 3 * rng.normal(size=16)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        with store.write() as tx:
            for vector in vectors.astype(np.float32):
                cube = MemCube(id=new_id(START), content="some words", scope=ANN)
                derived = Derived(np.empty(0, np.uint32), vector)
                apply(Op(OpKind.ADD, cube=cube, derived=derived), tx, now=START)
        index.catch_up()
        known = [cube.id for cube in store.list(ANN, limit=None)]
        if len(known) > 400:
            with store.write() as tx:
                for place in rng.permutation(len(known))[:60].tolist():
                    apply(Op(OpKind.DELETE, target=known[place]), tx, now=START)
            index.catch_up()
        wrote_anew = index.maintain()
        if index._open is not None:  # from here on it is worth a kill
            say(lists=len(index._open.lists), wrote_anew=wrote_anew)


if __name__ == "__main__":
    kinds = {"ingest": ingest, "change": change, "maintain": maintain, "write": write, "read": read, "hold": hold}
    kinds |= {"work": work, "lists": index_lists}
    kinds[sys.argv[1]](*sys.argv[2:])
