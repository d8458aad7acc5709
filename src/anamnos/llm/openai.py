"""Any service with an OpenAI-compatible ``/chat/completions`` endpoint: OpenAI, vLLM, Ollama, llama.cpp …"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from anamnos.errors import ConfigError, ProviderError
from anamnos.llm.base import Ledger, Message, Schema, Usage, checked
from anamnos.service import Service

_PATH = "/chat/completions"
_NO_SCHEMAS = (400, 422)  # what servers say that do not know ``response_format``


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
        if "@" in base_url:
            raise ConfigError(
                "The language model's address holds a user name or a password.",
                hint="Leave it out of the address and set ANAMNOS_LLM_API_KEY.",
            )
        if max_tokens < 1:
            raise ConfigError("max_tokens must be above 0.")
        self.model = model
        self.max_tokens = max_tokens
        self.usage = Ledger()
        self._knows_schemas = True
        self._service = Service(
            "language model",
            base_url,
            setting="llm_url",
            model=model,
            api_key=api_key,
            timeout_s=timeout_s,
            retries=retries,
        )

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
        self._service.close()

    def _complete(self, messages: Sequence[Message], schema: Schema, step: str) -> str:
        """Return what the model writes, and note what it cost."""
        body: dict[str, Any] = {"model": self.model, "temperature": 0, "max_tokens": self.max_tokens}
        body["messages"] = [{"role": message.role, "content": message.content} for message in messages]
        if self._knows_schemas:
            named = {"name": step, "schema": schema, "strict": True}
            asked = {**body, "response_format": {"type": "json_schema", "json_schema": named}}
            response = self._service.post(_PATH, asked, accept=_NO_SCHEMAS)
            if response.is_success:
                return self._read(response, step)
            self._knows_schemas = False
        told = f"Answer with one JSON object that fits this JSON schema, and nothing else:\n{schema}"
        body["messages"] = [{"role": "system", "content": told}, *body["messages"]]
        return self._read(self._service.post(_PATH, body), step)

    def _read(self, response: Any, step: str) -> str:
        """Return the text of a reply. Raises: ProviderError if it has none."""
        try:
            reply = response.json()
            text = reply["choices"][0]["message"]["content"]
            counted = reply.get("usage") or {}
            tokens = [int(counted.get(name) or 0) for name in ("prompt_tokens", "completion_tokens")]
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as exc:
            self.usage.add(step, Usage(1))
            raise self._service.failure(f"gave no answer: {type(exc).__name__} {exc}") from exc
        self.usage.add(step, Usage(1, *tokens))
        if not isinstance(text, str):
            raise self._service.failure(f"gave no text but {type(text).__name__}")
        return text
