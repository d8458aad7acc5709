"""Vectors of single words: packed to be stored beside a memory, and compared with those of a cue.

Of the tokens of a text, those of words that count are kept (stop words and the speaker's name are not), each as
``dim`` numbers of one byte. A memory answers a cue as far as each word of the cue finds a word in it, or in the turns
around it, that means the same where it stands.
Source: late interaction by the best match, ColBERT, arXiv:2004.12832; weights by rarity and neighbours, ours.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from anamnos.index.terms import TermReader

SCALE = 127  # a number of a unit vector, times this, is what a byte holds


def content(starts: NDArray[np.int64], text: str, reader: TermReader, *, skip: int = 0) -> NDArray[np.int64]:
    """Return, per token, the term of the word it belongs to, or -1 if that word does not count: (k,) int64.

    starts  where the tokens begin, in characters of ``text``
    skip    so many characters at the beginning do not count: the speaker's name
    """
    words = np.array([span for span in reader.spans(text) if span[0] >= skip], dtype=np.int64).reshape(-1, 3)
    if not len(words):
        return np.full(len(starts), -1, dtype=np.int64)
    word = np.searchsorted(words[:, 0], starts, side="right") - 1
    inside = (word >= 0) & (starts < words[word, 1])
    return np.where(inside, words[word, 2], -1)


def packed(vectors: NDArray[np.int8], terms: NDArray[np.int64]) -> bytes:
    """Return the vectors of those tokens that belong to a word that counts, as bytes for the store."""
    return vectors[terms >= 0].tobytes()


def best_matches(cue: NDArray[np.float32], memories: Sequence[bytes]) -> NDArray[np.float32]:
    """Return, for each memory and each token of the cue, the highest cosine with any of the memory's tokens.

    cue       (q, dim) float32, rows of norm 1
    memories  as ``packed``; b"" matches nothing
    The result is (len(memories), q) float32, never below 0.
    """
    dim = cue.shape[1]
    counts = np.array([len(data) // dim for data in memories])
    matches = np.zeros((len(memories), len(cue)), dtype=np.float32)
    some = np.flatnonzero(counts)
    if len(some):
        tokens = np.frombuffer(b"".join(memories), dtype=np.int8).reshape(-1, dim).astype(np.float32)
        starts = np.concatenate([[0], np.cumsum(counts[some])[:-1]])
        matches[some] = np.maximum(np.maximum.reduceat(tokens @ (cue.T / SCALE), starts, axis=0), 0)
    return matches
