"""Any service with an OpenAI-compatible ``/embeddings`` endpoint: OpenAI, vLLM, Ollama, llama.cpp …"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from threading import Lock
from typing import Any

import numpy as np

from anamnos.embed.base import Vectors
from anamnos.embed.checks import check_texts, unit_rows
from anamnos.errors import ConfigError, MissingExtra, ProviderError

FIRST_PAUSE_S = 0.5  # before the first retry; then twice as long each time
LONGEST_PAUSE_S = 60.0


class OpenAIEmbedder:
    """Vectors from a server that speaks OpenAI's protocol; it gets to see the texts.

    base_url     such as ``http://localhost:11434/v1``
    model        the model's name on that server
    api_key      sent as a bearer token, and shown nowhere
    dim          a vector length to ask the server for; by default the model's own, seen in the first reply
    batch_size   texts per request
    timeout_s    the longest wait for a reply
    retries      further attempts after a 429, a 5xx or a broken connection, with growing, jittered pauses
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        api_key: str | None = None,
        dim: int | None = None,
        batch_size: int = 64,
        timeout_s: float = 30,
        retries: int = 3,
    ) -> None:
        if not base_url.startswith(("http://", "https://")):
            raise ConfigError(f"base_url must start with http:// or https://; got {base_url!r}.")
        if batch_size < 1 or retries < 0 or timeout_s <= 0 or (dim is not None and dim < 1):
            raise ConfigError("batch_size, timeout_s and dim must be above 0, and retries at least 0.")
        self.base_url = base_url.rstrip("/")
        self.model = model
        self.batch_size = batch_size
        self.timeout_s = timeout_s
        self.retries = retries
        self._api_key = api_key
        self._wanted_dim = dim
        self._dim = dim
        self._client: Any = None
        self._lock = Lock()

    @property
    def id(self) -> str:
        """``openai:<model>``, and ``:<dim>`` if a length was asked for."""
        return f"openai:{self.model}" + (f":{self._wanted_dim}" if self._wanted_dim else "")

    @property
    def dim(self) -> int:
        """The length of a vector; if it is not known yet, one short text is embedded to learn it."""
        if self._dim is None:
            self.embed(["dimension"])
        assert self._dim is not None  # noqa: S101  # embed sets it or raises
        return self._dim

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors of ``texts``: shape (len(texts), dim), float32, rows of L2 norm 1.

        Raises: InvalidInput for what is not text; ProviderError if the server fails or answers wrongly.
        """
        texts = check_texts(texts)
        if not texts:
            return np.empty((0, self.dim), dtype=np.float32)
        starts = range(0, len(texts), self.batch_size)
        return np.concatenate([self._embed_batch(texts[i : i + self.batch_size]) for i in starts])

    def close(self) -> None:
        """Close the connection; the next ``embed`` opens a new one."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _embed_batch(self, texts: list[str]) -> Vectors:
        body: dict[str, Any] = {"model": self.model, "encoding_format": "float"}
        body["input"] = [text or " " for text in texts]  # OpenAI refuses empty texts
        if self._wanted_dim:
            body["dimensions"] = self._wanted_dim
        return self._read(self._post(body), len(texts))

    def _post(self, body: dict[str, Any]) -> Any:
        """Return the response to ``body``, after as many retries as are needed and allowed."""
        httpx2 = _httpx2()
        for attempt in range(self.retries + 1):
            asked_pause = ""
            try:
                response = self._connect().post(f"{self.base_url}/embeddings", json=body)
            except httpx2.TransportError as exc:  # no connection, or no reply in time
                failure = self._failure(f"did not answer: {type(exc).__name__} {exc}", retryable=True)
                failure.__cause__ = exc
            else:
                if response.is_success:
                    return response
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

    def _read(self, response: Any, count: int) -> Vectors:
        """Return the unit vectors (count, dim) of a reply.

        Raises: ProviderError unless it holds ``count`` usable vectors of the right length.
        """
        try:
            items = sorted(response.json()["data"], key=lambda item: item.get("index", 0))
            rows = np.array([item["embedding"] for item in items], dtype=np.float32)
        except (ValueError, TypeError, KeyError, AttributeError) as exc:
            raise self._failure(f"gave no embeddings: {type(exc).__name__} {exc}") from exc
        if len(rows) != count or rows.ndim != 2:
            raise self._failure(f"gave vectors of shape {rows.shape} for {count} texts")
        if self._dim not in (None, rows.shape[1]):
            raise self._failure(f"gave vectors of length {rows.shape[1]} instead of {self._dim}")
        if not np.isfinite(rows).all() or not rows.any(axis=1).all():
            raise self._failure("gave a vector that is zero or not finite")
        self._dim = rows.shape[1]
        return unit_rows(rows)

    def _connect(self) -> Any:
        """Return the one client, which keeps its connection between calls and may be used by many threads."""
        with self._lock:
            if self._client is None:
                headers = {"Authorization": f"Bearer {self._api_key}"} if self._api_key else {}
                self._client = _httpx2().Client(timeout=self.timeout_s, headers=headers)
            return self._client

    def _failure(self, what: str, *, retryable: bool = False) -> ProviderError:
        message = f"The embedding server at {self.base_url} {what}."
        if self._api_key:
            message = message.replace(self._api_key, "***")  # servers quote the key that they refuse
        hint = f"Check the URL, the key and the model {self.model}."
        return ProviderError(message, hint=hint, retryable=retryable)


def _httpx2() -> Any:
    try:
        import httpx2
    except ImportError as exc:
        raise MissingExtra("An embedder behind a URL", "server") from exc
    return httpx2
