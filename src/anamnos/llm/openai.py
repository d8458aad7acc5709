"""Any service with an OpenAI-compatible ``/chat/completions`` endpoint: OpenAI, vLLM, Ollama, llama.cpp …"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from threading import Lock
from typing import Any

from anamnos.errors import ConfigError, MissingExtra, ProviderError
from anamnos.llm.base import Ledger, Message, Schema, Usage, checked

FIRST_PAUSE_S = 0.5  # before the first retry; then twice as long each time
LONGEST_PAUSE_S = 60.0


class OpenAIModel:
    """A model on a server that speaks OpenAI's protocol; it gets to see the texts that are handed to it.

    base_url     such as ``http://localhost:11434/v1``
    model        the model's name on that server
    api_key      sent as a bearer token, and shown nowhere
    timeout_s    the longest wait for a reply
    retries      further attempts after a 429, a 5xx or a broken connection, with growing, jittered pauses
    max_tokens   the longest answer

    An answer that is no JSON, or does not fit, is sent back once with what is wrong with it. A server that does not
    know JSON schemas is told the schema in words.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        api_key: str | None = None,
        timeout_s: float = 120,
        retries: int = 3,
        max_tokens: int = 4_096,
    ) -> None:
        if not base_url.startswith(("http://", "https://")):
            raise ConfigError(f"llm_url must start with http:// or https://; got {base_url!r}.")
        if "@" in base_url:
            raise ConfigError(
                "The language model's address holds a user name or a password.",
                hint="Leave it out of the address and set ANAMNOS_LLM_API_KEY.",
            )
        if retries < 0 or timeout_s <= 0 or max_tokens < 1:
            raise ConfigError("timeout_s and max_tokens must be above 0, and retries at least 0.")
        self.base_url = base_url.rstrip("/")
        self.model = model
        self.timeout_s = timeout_s
        self.retries = retries
        self.max_tokens = max_tokens
        self.usage = Ledger()
        self._api_key = api_key
        self._knows_schemas = True
        self._client: Any = None
        self._lock = Lock()

    @property
    def id(self) -> str:
        """``openai:<model>``."""
        return f"openai:{self.model}"

    def ask(self, messages: Sequence[Message], schema: Schema, *, step: str) -> dict[str, Any]:
        """Return the answer to ``messages``, which fits ``schema``.

        Raises: ProviderError if the server fails, or answers wrongly twice.
        """
        written = self._complete(messages, schema, step)
        try:
            return checked(written, schema)
        except ProviderError as exc:
            again = [
                *messages,
                Message("assistant", written),
                Message("user", f"{exc.message} Answer again, with nothing but the JSON object."),
            ]
            return checked(self._complete(again, schema, step), schema)

    def close(self) -> None:
        """Close the connection; the next ``ask`` opens a new one."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _complete(self, messages: Sequence[Message], schema: Schema, step: str) -> str:
        """Return what the model writes, and note what it cost."""
        body: dict[str, Any] = {"model": self.model, "temperature": 0, "max_tokens": self.max_tokens}
        body["messages"] = [{"role": message.role, "content": message.content} for message in messages]
        if self._knows_schemas:
            named = {"name": step, "schema": schema, "strict": True}
            try:
                return self._read(
                    self._post({**body, "response_format": {"type": "json_schema", "json_schema": named}}), step
                )
            except _Refused:
                self._knows_schemas = False
        told = f"Answer with one JSON object that fits this JSON schema, and nothing else:\n{schema}"
        body["messages"] = [{"role": "system", "content": told}, *body["messages"]]
        return self._read(self._post(body), step)

    def _read(self, response: Any, step: str) -> str:
        """Return the text of a reply. Raises: ProviderError if it has none."""
        try:
            reply = response.json()
            text = reply["choices"][0]["message"]["content"]
            counted = reply.get("usage") or {}
            tokens = [int(counted.get(name) or 0) for name in ("prompt_tokens", "completion_tokens")]
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as exc:
            self.usage.add(step, Usage(1))
            raise self._failure(f"gave no answer: {type(exc).__name__} {exc}") from exc
        self.usage.add(step, Usage(1, *tokens))
        if not isinstance(text, str):
            raise self._failure(f"gave no text but {type(text).__name__}")
        return text

    def _post(self, body: dict[str, Any]) -> Any:
        """Return the response to ``body``, after as many retries as are needed and allowed."""
        httpx2 = _httpx2()
        for attempt in range(self.retries + 1):
            asked_pause = ""
            try:
                response = self._connect().post(f"{self.base_url}/chat/completions", json=body)
            except httpx2.TransportError as exc:  # no connection, or no reply in time
                failure = self._failure(f"did not answer: {type(exc).__name__} {exc}", retryable=True)
                failure.__cause__ = exc
            else:
                if response.is_success:
                    return response
                if response.status_code in (400, 422) and "response_format" in body:
                    raise _Refused
                busy = response.status_code == 429 or response.status_code >= 500
                failure = self._failure(f"said {response.status_code}: {response.text[:300]}", retryable=busy)
                asked_pause = response.headers.get("retry-after", "")
            if not failure.retryable or attempt == self.retries:
                raise failure
            pause = FIRST_PAUSE_S * 2**attempt * random.uniform(0.5, 1.5)  # noqa: S311  # jitter, no secret
            if asked_pause.isdecimal():
                pause = max(pause, float(asked_pause))
            time.sleep(min(pause, LONGEST_PAUSE_S))
        raise AssertionError("unreachable")

    def _connect(self) -> Any:
        """Return the one client, which keeps its connection between calls and may be used by many threads."""
        with self._lock:
            if self._client is None:
                headers = {"Authorization": f"Bearer {self._api_key}"} if self._api_key else {}
                self._client = _httpx2().Client(timeout=self.timeout_s, headers=headers)
            return self._client

    def _failure(self, what: str, *, retryable: bool = False) -> ProviderError:
        message = f"The language model at {self.base_url} {what}."
        if self._api_key:
            message = message.replace(self._api_key, "***")  # servers quote the key that they refuse
        hint = f"Check the URL, the key and the model {self.model}."
        return ProviderError(message, hint=hint, retryable=retryable)


class _Refused(Exception):
    """The server does not take ``response_format``."""


def _httpx2() -> Any:
    try:
        import httpx2
    except ImportError as exc:
        raise MissingExtra("A language model behind a URL", "server") from exc
    return httpx2
