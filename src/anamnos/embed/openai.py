"""Any service with an OpenAI-compatible ``/embeddings`` endpoint: OpenAI, vLLM, Ollama, llama.cpp …"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from anamnos.embed.base import Vectors
from anamnos.embed.checks import check_texts, unit_rows
from anamnos.errors import ConfigError
from anamnos.service import Service


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
        if batch_size < 1 or (dim is not None and dim < 1):
            raise ConfigError("batch_size and dim must be above 0.")
        self.model = model
        self.batch_size = batch_size
        self._wanted_dim = dim
        self._dim = dim
        self._service = Service(
            "embedding server",
            base_url,
            setting="base_url",
            model=model,
            api_key=api_key,
            timeout_s=timeout_s,
            retries=retries,
        )

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
        self._service.close()

    def _embed_batch(self, texts: list[str]) -> Vectors:
        body: dict[str, Any] = {"model": self.model, "encoding_format": "float"}
        body["input"] = [text or " " for text in texts]  # OpenAI refuses empty texts
        if self._wanted_dim:
            body["dimensions"] = self._wanted_dim
        return self._read(self._service.post("/embeddings", body), len(texts))

    def _read(self, response: Any, count: int) -> Vectors:
        """Return the unit vectors (count, dim) of a reply.

        Raises: ProviderError unless it holds ``count`` usable vectors of the right length.
        """
        try:
            items = sorted(response.json()["data"], key=lambda item: item.get("index", 0))
            rows = np.array([item["embedding"] for item in items], dtype=np.float32)
        except (ValueError, TypeError, KeyError, AttributeError) as exc:
            raise self._service.failure(f"gave no embeddings: {type(exc).__name__} {exc}") from exc
        if len(rows) != count or rows.ndim != 2:
            raise self._service.failure(f"gave vectors of shape {rows.shape} for {count} texts")
        if self._dim not in (None, rows.shape[1]):
            raise self._service.failure(f"gave vectors of length {rows.shape[1]} instead of {self._dim}")
        if not np.isfinite(rows).all() or not rows.any(axis=1).all():
            raise self._service.failure("gave a vector that is zero or not finite")
        self._dim = rows.shape[1]
        return unit_rows(rows)
