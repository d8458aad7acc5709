"""A model that talks: any OpenAI-compatible ``/chat/completions``, word by word where the server streams."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator, Sequence
from typing import Any

from anamnos.errors import ConfigError
from anamnos.llm.base import Message
from anamnos.service import FIRST_PAUSE_S, LONGEST_PAUSE_S, Service

_PATH = "/chat/completions"
_STREAM = "text/event-stream"


class Talker(Service):
    """A client of one model that answers in words; it gets to see the messages that it is asked.

    Raises: ConfigError when it is made, for what is no address.
    """

    def __init__(self, base_url: str, model: str, *, api_key: str | None = None, timeout_s: float = 120) -> None:
        if "@" in base_url:
            raise ConfigError(
                "The language model's address holds a user name or a password.",
                hint="Leave it out of the address and set ANAMNOS_LLM_API_KEY.",
            )
        if not model:
            raise ConfigError("There is an address, but no model.", hint="Add --model, or set ANAMNOS_LLM_MODEL.")
        self.model = model
        super().__init__(
            "language model",
            base_url,
            setting="The address",
            model=model,
            api_key=api_key,
            timeout_s=timeout_s,
            retries=3,
        )

    def reply(self, messages: Sequence[Message]) -> Iterator[str]:
        """Yield the reply in pieces, as they come.

        A busy server is asked again as long as nothing has come. Raises: ProviderError, also for a reply that stops in
        the middle; MissingExtra without the package that connects.
        """
        httpx2 = self._httpx2()
        asked = [{"role": message.role, "content": message.content} for message in messages]
        body = {"model": self.model, "messages": asked, "stream": True}
        for attempt in range(self.retries + 1):
            began = False
            try:
                with self._connect().stream("POST", f"{self.base_url}{_PATH}", json=body) as response:
                    if response.is_success:
                        for piece in self._pieces(response):
                            began = True
                            yield piece
                        if not began:
                            raise self.failure("gave no answer")
                        return
                    response.read()
                    busy = response.status_code == 429 or response.status_code >= 500
                    failure = self.failure(f"said {response.status_code}: {response.text[:300]}", retryable=busy)
            except httpx2.TransportError as exc:
                failure = self.failure(f"did not answer: {type(exc).__name__} {exc}", retryable=not began)
                failure.__cause__ = exc
            if began or not failure.retryable or attempt == self.retries:
                raise failure
            pause = FIRST_PAUSE_S * 2**attempt * random.uniform(0.5, 1.5)  # noqa: S311  # jitter, no secret
            time.sleep(min(pause, LONGEST_PAUSE_S))

    def _pieces(self, response: Any) -> Iterator[str]:
        """Yield the texts of a response, streamed or whole. Raises: ProviderError for one that is neither."""
        try:
            if _STREAM not in response.headers.get("content-type", ""):
                response.read()
                text = response.json()["choices"][0]["message"]["content"]
                if not isinstance(text, str):
                    raise TypeError(f"content is {type(text).__name__}")
                if text:
                    yield text
                return
            for line in response.iter_lines():
                if not line.startswith("data:") or (data := line.removeprefix("data:").strip()) == "[DONE]":
                    continue
                event = json.loads(data)
                if "error" in event:
                    raise ValueError(str(event["error"])[:300])
                for choice in event.get("choices") or ():
                    if text := (choice.get("delta") or {}).get("content"):
                        yield str(text)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as exc:
            raise self.failure(f"gave no answer: {type(exc).__name__} {exc}") from exc
