"""The steps of the benchmark of the server, each in a process of its own: ``python -m anamnos.bench.serving_steps``."""

from __future__ import annotations

import functools
import http.client
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from anamnos.bench.child import serve, tell
from anamnos.bench.index.memory import processes, resident
from anamnos.bench.synthetic import cues, texts
from anamnos.bench.timing import Durations
from anamnos.cube import Scope
from anamnos.errors import AnamnosError
from anamnos.memory import Memory

SCOPE = Scope(user="bench")
VERBS = ("search", "add")
_TOP_K = 10
_TEXTS = 20_000
_WATCH_S = 5.0
_WARM_UP_S = 2.0

Call = Callable[[int], object]
"""Does a verb once; the number says with which text."""


def prepare(vault: str, messages: str, name: str) -> dict[str, Any]:
    """Make a vault with memories in it, and a key for its server."""
    with Memory(vault, embedder=name) as memory:
        memory.ingest(messages, SCOPE, progress=lambda done, total: tell("ingest", done, total))
        key = memory.keys.create("bench", tenants=(SCOPE.tenant,), rights=("read", "write", "share", "all"))
        return {"key": key.text, "embedder": memory.embedder.id}


def in_process(vault: str, name: str, verb: str, lot: str, clients: int, seconds: float) -> dict[str, float]:
    """Call a verb of one opened memory from many threads."""
    with Memory(vault, embedder=name) as memory:

        def search(cue: str) -> object:
            return memory.search(cue, SCOPE, top_k=_TOP_K)

        def add(text: str) -> object:
            return memory.add(text, SCOPE)

        call = _calls(verb, lot, {"search": search, "add": add}[verb])
        return _by_many(lambda: call, clients, seconds, f"{verb} in process")


def over_http(url: str, key: str, verb: str, lot: str, clients: int, seconds: float) -> dict[str, float]:
    """Call a verb of a server, each client over a connection that it keeps."""

    def client() -> Call:
        post = Connection(url, key).ask
        routes: dict[str, Callable[[str], object]] = {
            "search": lambda cue: post("POST", "/v1/search", {"query": cue, "scope": _scope(), "top_k": _TOP_K}),
            "add": lambda text: post("POST", "/v1/memories", {"content": text, "scope": _scope()}),
        }
        return _calls(verb, lot, routes[verb])

    return _by_many(client, clients, seconds, f"{verb} over HTTP")


def mixed(url: str, key: str, lot: str, clients: int, seconds: float, watched: int) -> dict[str, Any]:
    """Search, add and delete, eight to one to one, and watch what the server's process holds."""
    asked, told = cues(texts(_TEXTS, 1), _TEXTS), texts(_TEXTS, 2)
    held: list[float] = []
    end = threading.Event()

    def watch() -> None:
        while not end.wait(_WATCH_S):
            held.append(resident(processes(watched))["anonymous_mb"])
            tell("mixed load", min(len(held) * int(_WATCH_S), int(seconds)), int(seconds))

    def client() -> Call:
        connection, last = Connection(url, key), ""

        def one(number: int, of_all: int) -> object:
            nonlocal last
            if number % 10 == 8:
                content = f"{told[of_all % _TEXTS]} {lot}.{of_all}"
                last = connection.ask("POST", "/v1/memories", {"content": content, "scope": _scope()})["ids"][0]
            elif number % 10 == 9 and last:
                connection.ask("DELETE", f"/v1/memories/{last}?user={SCOPE.user}", None)
                last = ""
            else:
                cue = asked[of_all % _TEXTS]
                connection.ask("POST", "/v1/search", {"query": cue, "scope": _scope(), "top_k": _TOP_K})
            return None

        mine = itertools.count()  # so that each client deletes what it has added
        return lambda of_all: one(next(mine), of_all)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        figures = _by_many(client, clients, seconds, "")
    finally:
        end.set()
        watcher.join()
    return {**figures, "seconds": seconds, "sampled_every_s": _WATCH_S, "resident_mb": held}


class Connection:
    """A connection to the server that is kept. It asks with little work of its own, for it shares the machine."""

    def __init__(self, url: str, key: str) -> None:
        at = urlsplit(url)
        self._connection = http.client.HTTPConnection(at.hostname or "", at.port, timeout=60)
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def ask(self, method: str, path: str, body: Any) -> Any:
        """Return the JSON of the answer. Raises: AnamnosError for any but a good one."""
        self._connection.request(method, path, None if body is None else json.dumps(body), self._headers)
        response = self._connection.getresponse()
        said = response.read()
        if response.status >= 300:
            raise AnamnosError(f"{method} {path.partition('?')[0]} gave {response.status}: {said[:300]!r}")
        return json.loads(said)


def _scope() -> dict[str, Any]:
    return {"user": SCOPE.user}


def _calls(verb: str, lot: str, do: Callable[[str], object]) -> Call:
    if verb == "search":
        asked = cues(texts(_TEXTS, 1), _TEXTS)
        return lambda number: do(asked[number % _TEXTS])
    told = texts(_TEXTS, 2)
    return lambda number: do(f"{told[number % _TEXTS]} {lot}.{number}")  # else it would be known already


def _by_many(client: Callable[[], Call], clients: int, seconds: float, what: str) -> dict[str, float]:
    """Have clients call at once for a while, and return how often they got through and how long it took."""
    numbers: Iterator[int] = itertools.count()
    durations, failures = [Durations() for _ in range(clients)], list[BaseException]()
    calls = [client() for _ in range(clients)]
    first = time.monotonic() + (_WARM_UP_S if seconds > _WARM_UP_S else 0)
    last = first + seconds

    def work(call: Call, mine: Durations) -> None:
        try:
            while (now := time.monotonic()) < last:
                number = next(numbers)
                mine.time(functools.partial(call, number))
                if now < first:
                    mine.seconds.clear()
        except BaseException as exc:
            failures.append(exc)

    threads = [threading.Thread(target=work, args=pair) for pair in zip(calls, durations, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            thread.join(1.0)
            if what:
                tell(what, min(int(seconds), max(0, int(time.monotonic() - first))), int(seconds))
    if failures:
        raise failures[0]
    all_ = Durations([each for mine in durations for each in mine.seconds])
    return {"calls": len(all_.seconds), "calls_per_s": round(len(all_.seconds) / seconds, 2), **all_.summary()}


_STEPS: dict[str, Callable[..., dict[str, Any]]] = {
    step.__name__: step for step in (prepare, in_process, over_http, mixed)
}

if __name__ == "__main__":
    serve(lambda request: _STEPS[request.pop("step")](**request))
