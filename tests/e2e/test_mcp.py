"""``anamnos mcp`` as assistants run it: a process of its own, over standard input and output, and over HTTP."""

import asyncio
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.types import TextContent

from anamnos import Memory, Scope

ANN = Scope(user="ann")
WORDS = [sys.executable, "-m", "anamnos", "mcp", "--embedder", "hashing"]
WAIT_S = 60


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    return tmp_path / "vault"


def parameters(vault: Path, *more: str, user: str = "ann") -> StdioServerParameters:
    return StdioServerParameters(command=WORDS[0], args=[*WORDS[1:], "--vault", str(vault), "--user", user, *more])


def test_an_assistant_remembers_over_standard_input_and_output(vault: Path) -> None:
    async def first() -> str:
        async with Client(parameters(vault)) as client:
            assert len((await client.list_tools()).tools) == 7
            told = await client.call_tool("remember", {"content": "The spare key is under the blue pot."})
            assert told.structured_content is not None
            return str(told.structured_content["id"])

    async def later(user: str) -> list[str]:
        async with Client(parameters(vault, user=user)) as client:
            found = await client.call_tool("recall", {"query": "Where is the spare key?"})
            assert found.structured_content is not None
            return [one["id"] for one in found.structured_content["memories"]]

    new = asyncio.run(first())
    assert asyncio.run(later("ann")) == [new]
    assert asyncio.run(later("bob")) == []


def test_two_assistants_on_one_vault_lose_nothing_of_each_other(vault: Path) -> None:
    """Both write to the same entity of the drop-in graph at once; the reference server keeps the last writer's file."""

    async def work() -> list[Any]:
        async with Client(parameters(vault, "--reference")) as one, Client(parameters(vault, "--reference")) as two:
            thing = {"name": "house", "entityType": "place", "observations": []}
            made = await asyncio.gather(*(c.call_tool("create_entities", {"entities": [thing]}) for c in (one, two)))
            assert sum(len((result.structured_content or {})["entities"]) for result in made) == 1
            calls = [
                client.call_tool("add_observations", {"observations": [{"entityName": "house", "contents": [text]}]})
                for number in range(8)
                for client, text in ((one, f"first saw {number}"), (two, f"second saw {number}"))
            ]
            assert not any(result.is_error for result in await asyncio.gather(*calls))
            graph = (await one.call_tool("read_graph")).structured_content
            assert graph == (await two.call_tool("read_graph")).structured_content
            assert graph is not None
            return list(graph["entities"][0]["observations"])

    seen = asyncio.run(work())
    assert sorted(seen) == sorted([f"{who} saw {number}" for who in ("first", "second") for number in range(8)])


def test_a_file_of_the_reference_server_is_imported(vault: Path, tmp_path: Path) -> None:
    file = tmp_path / "memory.jsonl"
    entity = {"type": "entity", "name": "Ada", "entityType": "person", "observations": ["Sails"]}
    file.write_text(json.dumps(entity) + "\n", "utf-8")
    done = subprocess.run(
        [*WORDS, "--vault", str(vault), "--user", "ann", "--import", str(file), "--json"],
        capture_output=True, text=True, timeout=WAIT_S, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout) == {"entities": 1, "relations": 0}

    async def look() -> None:
        async with Client(parameters(vault, "--reference")) as client:
            found = await client.call_tool("open_nodes", {"names": ["Ada"]})
            assert (found.structured_content or {})["entities"][0]["observations"] == ["Sails"]

    asyncio.run(look())


@contextmanager
def served(vault: Path, *more: str) -> Iterator[tuple[str, str]]:
    """Yield the address and the key of a server on a free port."""
    words = [*WORDS, "--vault", str(vault), "--http", "--port", "0", *more]
    with subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        timer = threading.Timer(WAIT_S, process.kill)
        timer.start()
        try:
            address = re.fullmatch(r"MCP at (http://\S+)\n", process.stderr.readline())
            key = re.search(r": (anm_\S+)\n", process.stderr.readline())
            assert address, "no address"
            assert key, "no key"
            yield address[1], key[1]
        finally:
            process.terminate()
            out, _ = process.communicate(timeout=WAIT_S)
            timer.cancel()
        assert out == ""


def test_an_assistant_remembers_over_http(vault: Path) -> None:
    with served(vault) as (address, key):

        async def work(user: str, content: str) -> list[str]:
            headers = {"Authorization": f"Bearer {key}"}
            async with (
                httpx2.AsyncClient(headers=headers, timeout=WAIT_S) as http,
                Client(streamable_http_client(f"{address}?user={user}", http_client=http)) as client,
            ):
                await client.call_tool("remember", {"content": content})
                prompt = (await client.get_prompt("recall_before_answering", {"question": "code word?"})).messages[0]
                assert isinstance(prompt.content, TextContent)
                assert content in prompt.content.text
                found = await client.call_tool("recall", {"query": "code word"})
                return [one["text"] for one in (found.structured_content or {})["memories"]]

        async def both() -> None:
            ann, bob = await asyncio.gather(work("ann", "Ann's code word."), work("bob", "Bob's code word."))
            assert (ann, bob) == (["Ann's code word."], ["Bob's code word."])

        asyncio.run(both())
        assert httpx2.post(f"{address}?user=ann", json={}).status_code == 401
    with Memory(vault, embedder="hashing") as memory:
        assert [cube.text for cube in memory.list(ANN)] == ["Ann's code word."]


def run(*words: str, vault: Path) -> subprocess.CompletedProcess[str]:
    line = [*WORDS, "--vault", str(vault), *words]
    return subprocess.run(line, capture_output=True, text=True, timeout=WAIT_S, stdin=subprocess.DEVNULL)


def test_a_public_address_needs_a_key(vault: Path) -> None:
    for words in (["--auth", "none"], []):
        done = run("--http", "--host", "0.0.0.0", "--port", "0", *words, vault=vault)
        assert done.returncode == 6
        assert "hint:" in done.stderr
        assert done.stdout == ""


def test_it_says_at_once_what_is_missing(vault: Path) -> None:
    for words, status, said in (
        ([], 2, "Nobody is named"),
        (["--user", "ann", "--port", "1"], 6, "--http"),
        (["--user", "ann", "--embedder", "nonsense"], 6, "nonsense"),
    ):
        done = run(*words, vault=vault)
        assert (done.returncode, done.stdout) == (status, "")
        assert said in done.stderr


# --- whatever is sent


class Wire:
    """A server, and its input and output byte by byte."""

    def __init__(self, vault: Path, *more: str) -> None:
        words = [*WORDS, "--vault", str(vault), "--user", "ann", *more]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.errors: list[bytes] = []
        threading.Thread(target=self._collect, daemon=True).start()
        self.pings = 0
        who = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "wire", "version": "1"}}
        self.ask("initialize", who)
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def send(self, message: Any) -> None:
        line = message if isinstance(message, bytes) else json.dumps(message).encode()
        assert self.process.stdin is not None
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def ask(self, method: str, params: Any = None) -> Any:
        """Return what is answered; everything that the server writes until then must be JSON-RPC."""
        self.pings += 1
        name = f"wire-{self.pings}"
        self.send({"jsonrpc": "2.0", "id": name, "method": method, **({"params": params} if params else {})})
        assert self.process.stdout is not None
        while True:
            line = self.process.stdout.readline()
            assert line, f"the server ended: {b''.join(self.errors).decode()}"
            answer = json.loads(line)
            assert answer["jsonrpc"] == "2.0"
            if answer.get("id") == name:
                return answer

    def count(self) -> str:
        return str(self.ask("resources/read", {"uri": "anamnos://stats"})["result"]["contents"][0]["text"])

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait(WAIT_S) == 0
        assert b"Traceback" not in b"".join(self.errors)

    def _collect(self) -> None:
        assert self.process.stderr is not None
        self.errors.extend(self.process.stderr)


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    vault = tmp_path_factory.mktemp("wire") / "vault"
    with Memory(vault, embedder="hashing") as memory:
        memory.add("The spare key is under the blue pot.", ANN)
        before = memory.list(ANN, limit=None)
    opened = Wire(vault)
    yield opened
    opened.close()
    with Memory(vault, embedder="hashing") as memory:
        assert memory.list(ANN, limit=None) == before  # nor has anything come later


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
METHODS = ["tools/call", "tools/list", "resources/read", "prompts/get", "initialize", "ping", "completion/complete"]
READERS = st.sampled_from(["recall", "context", "ask", "history", "nothing"])
WRITERS = st.sampled_from(["remember", "update", "forget"])
FIELDS = ["query", "question", "id", "ids", "limit", "tags", "since", "as_of", "token_budget", "x"]
calls = st.fixed_dictionaries(
    {"name": READERS | anything, "arguments": st.dictionaries(st.sampled_from(FIELDS), anything, max_size=4) | anything}
)
# what writes gets what it cannot take: no content, and no id of a memory
refused = st.fixed_dictionaries(
    {
        "name": WRITERS,
        "arguments": st.dictionaries(st.sampled_from(["id", "ids", "tags", "importance", "kind", "x"]), anything),
    }
)
messages = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.just("2.0") | anything,
        "id": st.integers() | st.text(max_size=5) | anything,
        "method": st.sampled_from(METHODS) | anything,
        "params": calls | refused | anything,
        "result": anything,
        "error": anything,
    },
)
sound = st.fixed_dictionaries(
    {
        "jsonrpc": st.just("2.0"),
        "id": st.integers(0, 10**6),
        "method": st.sampled_from(METHODS),
        "params": calls | refused,
    }
)


def unlike_a_line(raw: bytes) -> bytes:
    return raw.replace(b"\n", b" ")


@settings(max_examples=150)
@given(
    st.lists(
        st.binary(max_size=60).map(unlike_a_line)
        | anything.map(lambda value: json.dumps(value).encode())
        | messages.map(lambda value: json.dumps(value).encode())
        | sound.map(lambda value: json.dumps(value).encode()),
        max_size=5,
    )
)
def test_whatever_is_sent_the_server_answers_afterwards_and_nothing_has_changed(wire: Wire, lines: list[bytes]) -> None:
    before = wire.count()
    for line in lines:
        wire.send(line)
    assert wire.ask("ping")["result"] == {}
    assert wire.count() == before


DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize(
    "line",
    [
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"recall","arguments":{"query":'
        + DEEP
        + b"}}}",
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"recall","arguments":{"query":"'
        + b"x" * 5_000_000
        + b'"}}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"remember","arguments":{"content":"'
        + b"x" * 5_000_000
        + b'"}}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"forget","arguments":{"ids":'
        + json.dumps(["01890a5d-ac96-774b-bcce-b302099a8057"] * 100_000).encode()
        + b"}}}",
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"recall","arguments":{"query":"\xff\xfe"}}}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"remember","arguments":{"content":"\\ud800"}}}',
        b'{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"anamnos://memory/../../etc/passwd"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"anamnos://memory/\\u0000%2e%2e"}}',
        b'{"jsonrpc":"2.0","id":1e400,"method":"ping"}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"recall","arguments":{"query":"x","limit":1'
        + b"0" * 5_000
        + b"}}}",
        b"\x00" * 1_000,
    ],
    ids=lambda line: f"{len(line)} bytes",
)
def test_what_is_too_large_too_deep_or_no_text_is_survived(wire: Wire, line: bytes) -> None:
    before = wire.count()
    wire.send(line)
    assert wire.ask("ping")["result"] == {}
    assert wire.count() == before
