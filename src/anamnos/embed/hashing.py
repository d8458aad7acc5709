"""Vectors from the spelling of words alone: needs no model, no download and no package but NumPy."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from math import log, sqrt

import numpy as np
from numpy.typing import NDArray

from anamnos.embed.base import Vectors
from anamnos.embed.checks import check_texts, unit_rows
from anamnos.errors import ConfigError

# Words in pieces of at most 64 characters, and signs such as emoji; punctuation says nothing.
_WORD = re.compile(r"\w{1,64}|[^\w\s\x00-\x7f\u2000-\u206f\u3000-\u303f\ufe0f]")


class HashingEmbedder:
    """Texts that share words, or parts of words, have similar vectors. Nothing here knows what a word means.

    It finds names, terms and inflected forms ("hike", "hiking"); it misses synonyms, paraphrases, word order.
    Recall is below that of a trained model (recall@10 on LoCoMo's questions: 0.42; all-MiniLM-L6-v2: 0.51).
    Use it to start, to test, or where nothing may be installed.

    dim   the length of a vector, >= 8; the fewer, the more words share a place

    Source: signed feature hashing, arXiv:0902.2206; character n-grams of words, arXiv:1607.04606 (untrained).
    """

    def __init__(self, dim: int = 384) -> None:
        if dim < 8:
            raise ConfigError(f"dim must be at least 8; got {dim}.")
        self.dim = dim

    @property
    def id(self) -> str:
        """``hashing-<dim>-v1``; the version grows with every change to the vectors."""
        return f"hashing-{self.dim}-v1"

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors of ``texts``: shape (len(texts), dim), float32, rows of L2 norm 1.

        Raises: InvalidInput for what is not text.
        """
        texts = check_texts(texts)
        rows = np.zeros((len(texts), self.dim), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            row[:] = self._sum_of_words(text)
        rows[~rows.any(axis=1), 0] = 1.0  # a text without words still needs a unit vector
        return unit_rows(rows)

    def _sum_of_words(self, text: str) -> NDArray[np.float64]:
        """Return the sum of the words' vectors (dim,), each times 1 + ln(how often the word occurs)."""
        counts = Counter(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))
        if not counts:
            return np.zeros(self.dim)
        places, values = zip(*(_word_vector(word, self.dim) for word in counts), strict=True)
        times = np.repeat([1 + log(n) for n in counts.values()], [len(p) for p in places])
        total = np.bincount(np.concatenate(places), np.concatenate(values) * times, minlength=self.dim)
        return total.astype(np.float64)


@lru_cache(maxsize=32_768)
def _word_vector(word: str, dim: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return a word's vector as places and signed values: 1 for the word, and as much for all its n-grams.

    Words of less than six characters weigh less, as most of them are grammar: on the questions of LoCoMo this
    alone lifts recall@10 from 0.31 to 0.42.
    """
    grams = list(_grams(word))
    places, signs = zip(*(_hash(feature, dim) for feature in (f"word {word}", *grams)), strict=True)
    values = np.array(signs, dtype=np.float64)
    values[1:] /= sqrt(len(grams))
    return np.array(places, dtype=np.int64), values * min(len(word), 6) / 6


def _grams(word: str) -> Iterator[str]:
    """Return the runs of 3 to 5 characters of ``<word>``, whose brackets mark its start and end.

    >>> list(_grams("cat"))
    ['<ca', 'cat', 'at>', '<cat', 'cat>', '<cat>']
    """
    marked = f"<{word}>"
    return (marked[i : i + n] for n in (3, 4, 5) for i in range(len(marked) - n + 1))


def _hash(feature: str, dim: int) -> tuple[int, int]:
    """Return the place and the sign of a feature: the same on every machine, unlike ``hash``."""
    number = int.from_bytes(blake2b(feature.encode(), digest_size=8).digest(), "little")
    return (number >> 1) % dim, 1 if number & 1 else -1
