"""A stand-in for OpenAI's service on this machine: answers at once, with words given beforehand and hashed vectors.

What a language model takes, in seconds and money, is not the doing of the system that asks it. With a stand-in the
system's own share is left: a lower bound of what a user waits. The stand-in knows nothing but what it is told: it gives
its reply only to a request that has the fact in it.
"""

from __future__ import annotations

import json
import threading
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_DIM = {"text-embedding-3-large": 3072}
_USUAL_DIM = 1536
MODEL = "stand-in"
_NOT_TOLD = "I was not told."


@dataclass
class StandIn:
    """The service while it runs.

    url    its base address, ending in ``/v1``
    asked  how often it was asked what: ``chat``, ``embeddings``, ``models``, or the path that it does not know
    """

    url: str
    asked: Counter[str] = field(default_factory=Counter)


@contextmanager
def stand_in(fact: str, reply: str, call: Mapping[str, Any] | None = None) -> Iterator[StandIn]:
    """Serve on a free port of the loopback address until the block ends.

    fact   what the language model must have been told to give its reply
    reply  what it then says
    call   the tool it calls first, if it is offered that one and the last thing said to it has the fact in it:
           ``{"name": ..., "arguments": {...}}``
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._note("models" if self.path.endswith("/models") else self.path)
            self._send({"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "nobody"}]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
            if self.path.endswith("/embeddings"):
                self._note("embeddings")
                self._send(_embeddings(body))
            elif self.path.endswith("/chat/completions"):
                self._note("chat")
                message = _message(body, fact, reply, call)
                if body.get("stream"):
                    self._stream(message)
                else:
                    self._send(_completion(message))
            else:
                self._note(self.path)
                self._send({"error": {"message": f"The stand-in does not know {self.path}."}}, 404)

        def log_message(self, *_: object) -> None:
            """Write nothing: what was asked is counted."""

        def _note(self, what: str) -> None:
            with lock:
                service.asked[what] += 1

        def _send(self, answer: Mapping[str, Any], status: int = 200) -> None:
            self._write(json.dumps(answer).encode(), "application/json", status)

        def _stream(self, message: Mapping[str, Any]) -> None:
            calls = [{"index": n, **call} for n, call in enumerate(message.get("tool_calls", ()))]
            delta = {**message, **({"tool_calls": calls} if calls else {})}
            parts = [_chunk(delta, None), {**_chunk({}, _finish(message)), "usage": _USAGE}]
            lines = "".join(f"data: {json.dumps(part)}\n\n" for part in parts) + "data: [DONE]\n\n"
            self._write(lines.encode(), "text/event-stream")

        def _write(self, answer: bytes, kind: str, status: int = 200) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    lock = threading.Lock()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        service = StandIn(f"http://127.0.0.1:{server.server_port}/v1")
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield service
        finally:
            server.shutdown()
            thread.join()


_USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}


def _message(body: Mapping[str, Any], fact: str, reply: str, call: Mapping[str, Any] | None) -> dict[str, Any]:
    said = body.get("messages") or [{}]
    offered = {tool["function"]["name"] for tool in body.get("tools") or ()}
    if call is not None and call["name"] in offered and said[-1].get("role") == "user" and _holds(said[-1], fact):
        function = {"name": call["name"], "arguments": json.dumps(call["arguments"])}
        calls = [{"id": "call_1", "type": "function", "function": function}]
        return {"role": "assistant", "content": None, "tool_calls": calls}
    return {"role": "assistant", "content": reply if _holds(said, fact) else _NOT_TOLD}


def _holds(said: object, fact: str) -> bool:
    return json.dumps(fact, ensure_ascii=False)[1:-1] in json.dumps(said, ensure_ascii=False)


def _finish(message: Mapping[str, Any]) -> str:
    return "tool_calls" if "tool_calls" in message else "stop"


def _completion(message: Mapping[str, Any]) -> dict[str, Any]:
    choice = {"index": 0, "message": message, "finish_reason": _finish(message)}
    return {"id": "c1", "object": "chat.completion", "created": 0, "model": MODEL, "choices": [choice], "usage": _USAGE}


def _chunk(delta: Mapping[str, Any], finish: str | None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 0, "model": MODEL, "choices": [choice]}


def _embeddings(body: Mapping[str, Any]) -> dict[str, Any]:
    given = body.get("input", "")
    texts = [given] if isinstance(given, str) or (given and isinstance(given[0], int)) else given
    dim = body.get("dimensions") or _DIM.get(body.get("model", ""), _USUAL_DIM)
    data = [{"object": "embedding", "index": n, "embedding": vector(str(text), dim)} for n, text in enumerate(texts)]
    return {"object": "list", "model": body.get("model", MODEL), "data": data, "usage": _USAGE}


def vector(text: str, dim: int) -> list[float]:
    """Return a unit vector that two texts share in so far as they share words: each word counts at a hashed place.

    >>> vector("the key", 8) == vector("key the", 8)
    True
    """
    counts = Counter(zlib.crc32(word.strip(".,?!").encode()) % dim for word in text.lower().split())
    length = sum(count * count for count in counts.values()) ** 0.5 or 1.0
    return [counts[place] / length for place in range(dim)]
