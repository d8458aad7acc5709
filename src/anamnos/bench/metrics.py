"""Retrieval metrics over one ranked list and one set of right answers.

``ranked`` lists distinct ids, best first; ``gold`` is the set of ids that answer the query and is not empty: queries
without evidence are left out of every mean, and how many they were is printed.
Source: the usual definitions; recall_frac is the recall of LoCoMo (arXiv:2402.17753).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import log2


def recall_frac(ranked: Sequence[str], gold: Collection[str], k: int) -> float:
    """Return the share of ``gold`` that is among the first ``k``.

    >>> recall_frac(["a", "x", "b"], {"a", "b"}, k=2)
    0.5
    """
    return _found(ranked, gold, k) / len(gold)


def recall_any(ranked: Sequence[str], gold: Collection[str], k: int) -> float:
    """Return 1 if any of ``gold`` is among the first ``k``, else 0.

    >>> recall_any(["x", "b"], {"a", "b"}, k=2), recall_any(["x", "b"], {"a", "b"}, k=1)
    (1.0, 0.0)
    """
    return float(_found(ranked, gold, k) > 0)


def recall_all(ranked: Sequence[str], gold: Collection[str], k: int) -> float:
    """Return 1 if all of ``gold`` are among the first ``k``, else 0.

    >>> recall_all(["a", "x", "b"], {"a", "b"}, k=3), recall_all(["a", "x", "b"], {"a", "b"}, k=2)
    (1.0, 0.0)
    """
    return float(_found(ranked, gold, k) == len(gold))


def reciprocal_rank(ranked: Sequence[str], gold: Collection[str]) -> float:
    """Return 1 / rank of the first right answer, 0 if there is none; its mean is the MRR.

    >>> reciprocal_rank(["x", "a", "b"], {"a", "b"}), reciprocal_rank(["x"], {"a"})
    (0.5, 0.0)
    """
    return next((1 / rank for rank, found in enumerate(ranked, start=1) if found in gold), 0.0)


def ndcg(ranked: Sequence[str], gold: Collection[str], k: int) -> float:
    """Return the discounted gain of the first ``k`` over that of a perfect order.

    DCG = sum over ranks i from 1 of rel_i / log2(i + 1); the ideal has min(k, |gold|) ones.

    >>> round(ndcg(["x", "a"], {"a"}, k=10), 3)
    0.631
    """
    gain = sum(1 / log2(rank + 1) for rank, found in enumerate(ranked[:k], start=1) if found in gold)
    ideal = sum(1 / log2(rank + 1) for rank in range(1, min(k, len(gold)) + 1))
    return gain / ideal


def hit(ranked: Sequence[str], gold: Collection[str]) -> float:
    """Return 1 if the first answer is right, else 0: hit@1.

    >>> hit(["a", "x"], {"a", "b"})
    1.0
    """
    return recall_any(ranked, gold, 1)


def _found(ranked: Sequence[str], gold: Collection[str], k: int) -> int:
    return sum(found in gold for found in ranked[:k])
