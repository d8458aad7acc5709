"""The OpenAI-compatible language model against a scripted server on this machine."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from anamnos import service
from anamnos.config import Settings
from anamnos.errors import ConfigError, ProviderError
from anamnos.llm import resolve_llm
from anamnos.llm.base import Message, Usage
from anamnos.llm.openai import OpenAIModel

pytest.importorskip("httpx2", reason="needs the extra server")
KEY = "sk-very-secret"
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
ASKED = [Message("system", "Count."), Message("user", "Three dogs")]


class Script:
    """A server that answers with the next of ``replies`` (status, text or JSON), and then with a good answer."""

    def __init__(self) -> None:
        self.replies: list[tuple[int, Any]] = []
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.stall_s = 0.0
        script = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                script.requests.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                script.keys.append(self.headers["Authorization"])
                time.sleep(script.stall_s)
                status, body = script.replies.pop(0) if script.replies else (200, reply('{"n": 3}'))
                data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # a client that hangs up is part of the script
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"

    def model(self, **options: Any) -> OpenAIModel:
        return OpenAIModel(self.url, "small", **options)


def reply(text: Any, usage: Any = None) -> dict[str, Any]:
    counted = {"prompt_tokens": 10, "completion_tokens": 2} if usage is None else usage
    return {"choices": [{"message": {"role": "assistant", "content": text}}], "usage": counted}


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    monkeypatch.setattr(service, "FIRST_PAUSE_S", 0.001)
    script = Script()
    Thread(target=script.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield script
    script.server.shutdown()
    script.server.server_close()


def test_an_answer_is_what_the_schema_says(script: Script) -> None:
    model = script.model(api_key=KEY)
    assert model.ask(ASKED, SCHEMA, step="count") == {"n": 3}
    (request,) = script.requests
    assert request["messages"] == [{"role": "system", "content": "Count."}, {"role": "user", "content": "Three dogs"}]
    assert request["response_format"]["json_schema"]["schema"] == SCHEMA
    assert request["temperature"] == 0
    assert script.keys == [f"Bearer {KEY}"]
    assert model.usage.steps == {"count": Usage(1, 10, 2)}
    assert model.id == "openai:small"
    model.close()


@pytest.mark.parametrize("bad", ["I would say three.", '{"n": "three"}', '{"n": 3'])
def test_a_bad_answer_is_sent_back_once(script: Script, bad: str) -> None:
    script.replies = [(200, reply(bad))]
    model = script.model()
    assert model.ask(ASKED, SCHEMA, step="count") == {"n": 3}
    assert [message["role"] for message in script.requests[1]["messages"]] == ["system", "user", "assistant", "user"]
    assert script.requests[1]["messages"][2]["content"] == bad
    assert model.usage.total() == Usage(2, 20, 4)


def test_a_second_bad_answer_is_an_error(script: Script) -> None:
    script.replies = [(200, reply("no")), (200, reply("no"))]
    with pytest.raises(ProviderError, match="gave no JSON"):
        script.model().ask(ASKED, SCHEMA, step="count")
    assert len(script.requests) == 2


def test_a_server_without_schemas_is_told_in_words(script: Script) -> None:
    script.replies = [(400, "response_format is unknown")]
    model = script.model()
    assert model.ask(ASKED, SCHEMA, step="count") == model.ask(ASKED, SCHEMA, step="count") == {"n": 3}
    first, second, third = script.requests
    assert "response_format" in first
    assert "response_format" not in second | third
    assert "JSON schema" in second["messages"][0]["content"]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_passing_failure_is_retried(script: Script, status: int) -> None:
    script.replies = [(status, "busy"), (status, "busy")]
    assert script.model().ask(ASKED, SCHEMA, step="count") == {"n": 3}
    assert len(script.requests) == 3


def test_a_lasting_failure_is_raised_after_the_retries(script: Script) -> None:
    script.replies = [(500, "down")] * 9
    with pytest.raises(ProviderError, match="said 500: down") as caught:
        script.model(retries=2).ask(ASKED, SCHEMA, step="count")
    assert caught.value.retryable
    assert len(script.requests) == 3


def test_a_refused_key_is_not_retried_and_not_shown(script: Script) -> None:
    script.replies = [(401, f"Incorrect API key: {KEY}")]
    model = script.model(api_key=KEY)
    with pytest.raises(ProviderError, match="said 401") as caught:
        model.ask(ASKED, SCHEMA, step="count")
    assert not caught.value.retryable
    assert len(script.requests) == 1
    assert KEY not in f"{caught.value} {caught.value!r} {model!r}"


@pytest.mark.parametrize("body", ["<html>", {}, {"choices": []}, {"choices": [{"message": None}]}, reply(None), []])
def test_a_wrong_reply_is_an_error(script: Script, body: Any) -> None:
    script.replies = [(200, body)]
    with pytest.raises(ProviderError, match="gave no"):
        script.model().ask(ASKED, SCHEMA, step="count")


def test_tokens_that_are_not_counted_are_none(script: Script) -> None:
    script.replies = [(200, reply('{"n": 1}', usage={}))]
    model = script.model()
    assert model.ask(ASKED, SCHEMA, step="count") == {"n": 1}
    assert model.usage.total() == Usage(1, 0, 0)


def test_a_slow_server_is_a_retryable_error(script: Script) -> None:
    script.stall_s = 0.3
    with pytest.raises(ProviderError, match="did not answer") as caught:
        script.model(timeout_s=0.05, retries=1).ask(ASKED, SCHEMA, step="count")
    assert caught.value.retryable
    assert len(script.requests) == 2


def test_settings_name_the_model(script: Script) -> None:
    assert resolve_llm(Settings()) is None
    model = resolve_llm(Settings(llm_url=script.url, llm_model="small", llm_api_key=KEY))
    assert model is not None
    assert model.ask(ASKED, SCHEMA, step="count") == {"n": 3}
    assert script.keys == [f"Bearer {KEY}"]
    with pytest.raises(ConfigError, match="llm_model is not"):
        resolve_llm(Settings(llm_url=script.url))


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ConfigError, match="must start with http"):
        OpenAIModel("localhost:8080", "small")
    with pytest.raises(ConfigError, match="user name or a password"):
        OpenAIModel("http://me:secret@localhost", "small")
    with pytest.raises(ConfigError, match="must be above 0"):
        OpenAIModel("http://localhost", "small", timeout_s=0)
