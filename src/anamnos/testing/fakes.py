"""Stand-ins that make tests exact: a clock that stands still, ids that repeat, vectors without a model."""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from anamnos.cube import IdSource, uuid7_source
from anamnos.errors import ProviderError


class FakeClock:
    """A Clock that only moves when told to.

    >>> clock = FakeClock(datetime(2024, 5, 1, tzinfo=UTC))
    >>> _ = clock.advance(days=1)
    >>> clock().isoformat()
    '2024-05-02T00:00:00+00:00'
    """

    def __init__(self, now: datetime = datetime(2024, 1, 1, tzinfo=UTC)) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float = 0.0, *, days: float = 0.0) -> datetime:
        """Move by that much (a negative amount sets the clock back) and return the new time."""
        self.now += timedelta(days=days, seconds=seconds)
        return self.now


def seeded_ids(seed: int) -> IdSource:
    """Return a source of cube ids that gives the same ids for the same seed and times."""
    return uuid7_source(random.Random(seed))  # noqa: S311  (repeatable on purpose)


class FakeEmbedder:
    """Unit vectors from the CRC-32 of the words: texts that share words are similar, nothing else is meant.

    dim        length of a vector
    fail_next  set it to make the next call raise ProviderError, once
    calls      how often ``embed`` was called

    >>> a, b, c = FakeEmbedder().embed(["red apples", "green apples", "a long walk"])
    >>> bool(a @ b > a @ c)
    True
    """

    def __init__(self, dim: int = 16) -> None:
        self.dim = dim
        self.fail_next = False
        self.calls = 0

    @property
    def id(self) -> str:
        return f"fake-crc32-{self.dim}"

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return (len(texts), dim) float32 unit vectors; an empty text gets the first axis."""
        self.calls += 1
        if self.fail_next:
            self.fail_next = False
            raise ProviderError("The fake embedder was told to fail.", retryable=True)
        vectors = np.zeros((len(texts), self.dim), dtype=np.float32)
        for vector, text in zip(vectors, texts, strict=True):
            for word in text.casefold().split():
                vector += self._signs(word)
            length = float(np.linalg.norm(vector))
            if length == 0.0:  # no words, or words that cancel out
                vector[0] = length = 1.0
            vector /= length
        return vectors

    def _signs(self, word: str) -> NDArray[np.float32]:
        data = word.encode()
        hashes = [zlib.crc32(data, block) for block in range(-(-self.dim // 32))]
        bits = np.unpackbits(np.array(hashes, dtype="<u4").view(np.uint8))[: self.dim]
        return bits.astype(np.float32) * 2 - 1
