"""What an embedder is: text in, unit vectors out.

Laws (``anamnos.testing.EmbedderContract`` checks them):
 1. ``embed(texts)`` returns a float32 array of shape ``(len(texts), dim)`` in the order of ``texts``.
 2. Every row has L2 norm 1 (to 1e-3), so that a dot product is a cosine.
 3. The same text gives the same vector, alone or in any batch (to 1e-4), now and in another process.
 4. ``id`` names everything that changes the vectors (model, precision, pooling): equal ids, equal vectors.
 5. An empty list gives an array of shape ``(0, dim)``.

A ``TokenEmbedder`` can also say what each single token means where it stands:
 6. ``embed_tokens(texts)`` gives the vectors of ``embed(texts)``, and tokens in the order of each text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeGuard, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


@runtime_checkable
class Embedder(Protocol):
    """Turns texts into unit vectors."""

    @property
    def id(self) -> str:
        """A stable name such as ``all-minilm-l6-v2``: equal ids give equal vectors."""

    @property
    def dim(self) -> int:
        """The length of a vector."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors of ``texts``: shape (len(texts), dim), float32, rows of L2 norm 1.

        Raises: ProviderError if the model fails.
        """


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of one text, those of no text (start and end marks) left out.

    starts   (k,) int64: where each begins, in characters of the text, ascending
    vectors  (k, token_dim) int8: unit vectors times 127
    """

    starts: NDArray[np.int64]
    vectors: NDArray[np.int8]


@runtime_checkable
class TokenEmbedder(Embedder, Protocol):
    """An embedder that also gives a small vector per token, read in its context: for late interaction."""

    @property
    def token_dim(self) -> int:
        """The length of a token's vector; 0 if there is none after all."""

    def embed_tokens(self, texts: Sequence[str]) -> tuple[Vectors, list[Tokens]]:
        """Return what ``embed`` returns, and the tokens of each text.

        Source: late interaction, ColBERT, arXiv:2004.12832.
        """


def gives_tokens(embedder: Embedder) -> TypeGuard[TokenEmbedder]:
    """Return whether an embedder has vectors of tokens."""
    return isinstance(embedder, TokenEmbedder) and embedder.token_dim > 0
