"""Any model of sentence-transformers that is on this machine. Needs torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from anamnos.embed.base import Vectors
from anamnos.embed.checks import check_texts, unit_rows
from anamnos.errors import ConfigError, MissingExtra, ProviderError


class SentenceTransformersEmbedder:
    """Vectors of a local sentence-transformers model, which is loaded at the first use and never downloaded.

    model    the model's folder, or the name of a model in the local cache of Hugging Face
    device   "cpu", "cuda", "mps" …; by default what sentence-transformers chooses
    """

    def __init__(self, model: str | Path, device: str | None = None) -> None:
        self.model = str(model)
        self.device = device
        self._model: Any = None
        self._lock = Lock()

    @property
    def id(self) -> str:
        """``st:<model>``, as given."""
        return f"st:{self.model}"

    @property
    def dim(self) -> int:
        """The length of a vector; asks the model, and so loads it."""
        return len(self._encode([""])[0])

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors of ``texts``: shape (len(texts), dim), float32, rows of L2 norm 1.

        Raises: InvalidInput for what is not text; ConfigError, MissingExtra if the model cannot be loaded;
        ProviderError if it fails.
        """
        texts = check_texts(texts)
        if not texts:
            return np.empty((0, self.dim), dtype=np.float32)
        return unit_rows(self._encode(texts))

    def _encode(self, texts: list[str]) -> Vectors:
        with self._lock:  # a tokeniser of transformers is not safe for several threads
            if self._model is None:
                self._model = self._load()
            try:
                rows = self._model.encode(texts, convert_to_numpy=True, show_progress_bar=False)
            except (RuntimeError, ValueError) as exc:  # torch reports lack of memory and bad devices so
                raise ProviderError(f"The model {self.model} failed: {exc}") from exc
        return np.asarray(rows, dtype=np.float32)

    def _load(self) -> Any:
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as exc:
            raise MissingExtra("The embedder st:", "torch") from exc
        try:
            return SentenceTransformer(self.model, device=self.device, local_files_only=True)
        except (OSError, ValueError, RuntimeError) as exc:
            raise ConfigError(
                f"The sentence-transformers model {self.model} cannot be loaded: {exc}",
                hint="Name a folder that holds a complete model; nothing is downloaded.",
            ) from exc
