"""Clocks for benchmarks: durations and their percentiles, and how long an embedder was busy."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar, cast

import numpy as np

from anamnos.embed.base import Embedder, TokenEmbedder, Tokens, Vectors, gives_tokens

T = TypeVar("T")
Progress = Callable[[str, int, int], None]
"""Called with (what is being done, how much of it is done, how much there is)."""


def quiet(what: str, done: int, total: int) -> None:
    """Show no progress."""


def timed(call: Callable[[], T]) -> tuple[T, float]:
    """Return what ``call`` returns and how many seconds it took."""
    start = time.perf_counter()
    result = call()
    return result, time.perf_counter() - start


@dataclass
class Durations:
    """Durations in seconds of the same thing done many times."""

    seconds: list[float] = field(default_factory=list)

    def time(self, call: Callable[[], T]) -> T:
        """Return what ``call`` returns and note how long it took."""
        result, seconds = timed(call)
        self.seconds.append(seconds)
        return result

    def percentile_ms(self, share: float) -> float:
        """Return the duration in ms that ``share`` per cent of all do not exceed, interpolated.

        >>> Durations([0.001, 0.002, 0.003]).percentile_ms(50)
        2.0
        """
        return round(1000 * float(np.percentile(self.seconds, share)), 3)

    def summary(self, prefix: str = "") -> dict[str, float]:
        """Return median and 95th percentile in ms."""
        return {f"{prefix}p50_ms": self.percentile_ms(50), f"{prefix}p95_ms": self.percentile_ms(95)}


@dataclass
class TimedEmbedder:
    """Another embedder with a stop watch: how long it was busy and with how many texts."""

    inner: Embedder
    seconds: float = 0.0
    texts: int = 0

    @property
    def id(self) -> str:
        return self.inner.id

    @property
    def dim(self) -> int:
        return self.inner.dim

    def embed(self, texts: Sequence[str]) -> Vectors:
        return self._watched(texts, lambda: self.inner.embed(texts))

    @property
    def token_dim(self) -> int:
        return self.inner.token_dim if gives_tokens(self.inner) else 0

    def embed_tokens(self, texts: Sequence[str]) -> tuple[Vectors, list[Tokens]]:
        return self._watched(texts, lambda: cast(TokenEmbedder, self.inner).embed_tokens(texts))

    def _watched(self, texts: Sequence[str], embed: Callable[[], T]) -> T:
        result, seconds = timed(embed)
        self.seconds += seconds
        self.texts += len(texts)
        return result


@dataclass
class PairedEmbedder:
    """Another embedder that does everything twice: once for its caller, once bare, to compare the two.

    Whichever comes first alternates, so that whatever else the machine does in the meantime slows both alike.

    inside_s  seconds of the embedding that the caller got
    bare_s    seconds of the same texts embedded for nobody
    """

    inner: Embedder
    inside_s: float = 0.0
    bare_s: float = 0.0
    _bare_first: bool = False

    @property
    def id(self) -> str:
        return self.inner.id

    @property
    def dim(self) -> int:
        return self.inner.dim

    def embed(self, texts: Sequence[str]) -> Vectors:
        return self._paired(texts, lambda: self.inner.embed(texts))

    @property
    def token_dim(self) -> int:
        return self.inner.token_dim if gives_tokens(self.inner) else 0

    def embed_tokens(self, texts: Sequence[str]) -> tuple[Vectors, list[Tokens]]:
        return self._paired(texts, lambda: cast(TokenEmbedder, self.inner).embed_tokens(texts))

    def _paired(self, texts: Sequence[str], embed: Callable[[], T]) -> T:
        if self._bare_first:
            self.bare_s += timed(lambda: self.inner.embed(texts))[1]
        result, seconds = timed(embed)
        self.inside_s += seconds
        if not self._bare_first:
            self.bare_s += timed(lambda: self.inner.embed(texts))[1]
        self._bare_first = not self._bare_first
        return result


def median(values: Sequence[float]) -> float:
    """Return the median, rounded to four digits that count."""
    return significant(statistics.median(values))


def significant(value: float, digits: int = 4) -> float:
    """Return ``value`` rounded to that many digits that count.

    >>> significant(1234.567), significant(0.00123456)
    (1235.0, 0.001235)
    """
    return float(f"{value:.{digits}g}")
