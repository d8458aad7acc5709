"""What an embedder is: text in, unit vectors out.

Laws (``anamnos.testing.EmbedderContract`` checks them):
 1. ``embed(texts)`` returns a float32 array of shape ``(len(texts), dim)`` in the order of ``texts``.
 2. Every row has L2 norm 1 (to 1e-3), so that a dot product is a cosine.
 3. The same text gives the same vector, alone or in any batch (to 1e-4), now and in another process.
 4. ``id`` names everything that changes the vectors (model, precision, pooling): equal ids, equal vectors.
 5. An empty list gives an array of shape ``(0, dim)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

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
