"""Retrieval metrics over one ranked list and one set of right answers.

``ranked`` lists distinct ids, best first; ``gold`` is the set of ids that answer the query and is not empty: queries
without evidence are left out of every mean, and how many they were is printed.
Source: the usual definitions; recall_frac is the recall of LoCoMo (arXiv:2402.17753).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import log2

from anamnos.errors import InvalidInput


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


def ndcg_lme(ranked: Sequence[str], gold: Collection[str], k: int) -> float:
    """Return ``ndcg`` with the discount of LongMemEval, which spares ranks 1 and 2; for comparison with its figures.

    DCG = rel_1 + sum over ranks i from 2 of rel_i / log2(i); the ideal has min(k, |gold|) ones.
    Source: arXiv:2410.10813 and its released code.

    >>> ndcg_lme(["x", "a"], {"a"}, k=10), ndcg_lme(["x", "y", "z", "a"], {"a"}, k=10)
    (1.0, 0.5)
    """
    gain = sum(1 / max(log2(rank), 1) for rank, found in enumerate(ranked[:k], start=1) if found in gold)
    ideal = sum(1 / max(log2(rank), 1) for rank in range(1, min(k, len(gold)) + 1))
    return gain / ideal


def hit(ranked: Sequence[str], gold: Collection[str]) -> float:
    """Return 1 if the first answer is right, else 0: hit@1.

    >>> hit(["a", "x"], {"a", "b"})
    1.0
    """
    return recall_any(ranked, gold, 1)


def scores(
    ranked: Sequence[str],
    gold: Collection[str],
    depths: Sequence[int],
    *,
    ndcg_depths: Sequence[int] = (5, 10),
    lme: bool = False,
    where: str = "the query",
) -> dict[str, float]:
    """Return every metric of one ranking: recall_any, _all and _frac at each depth, mrr, hit@1 and ndcg.

    lme    also give ``ndcg_lme``
    where  names the query in error messages
    Raises: InvalidInput if there is no gold, an id is ranked twice, or a depth is below 1.

    >>> scores(["x", "a"], {"a"}, depths=[2], ndcg_depths=[])
    {'recall_any@2': 1.0, 'recall_all@2': 1.0, 'recall_frac@2': 1.0, 'mrr': 0.5, 'hit@1': 0.0}
    """
    if not gold:
        raise InvalidInput(f"There is no right answer to score {where} against.")
    if len(set(ranked)) < len(ranked):
        raise InvalidInput(f"An id stands twice in the ranking of {where}.")
    if min([*depths, *ndcg_depths], default=1) < 1:
        raise InvalidInput(f"The depths of {where} must be at least 1, got {sorted([*depths, *ndcg_depths])}.")
    kinds = {"recall_any": recall_any, "recall_all": recall_all, "recall_frac": recall_frac}
    found = {f"{name}@{k}": metric(ranked, gold, k) for name, metric in kinds.items() for k in depths}
    found |= {"mrr": reciprocal_rank(ranked, gold), "hit@1": hit(ranked, gold)}
    found |= {f"ndcg@{k}": ndcg(ranked, gold, k) for k in ndcg_depths}
    return found | ({f"ndcg_lme@{k}": ndcg_lme(ranked, gold, k) for k in ndcg_depths} if lme else {})


def _found(ranked: Sequence[str], gold: Collection[str], k: int) -> int:
    return sum(found in gold for found in ranked[:k])


def auroc(right: Sequence[float], wrong: Sequence[float]) -> float:
    """Return the area under the ROC curve: how often a score of ``right`` is above one of ``wrong``, ties counted half.

    Source: the statistic of Mann and Whitney (1947) over the number of pairs.

    >>> auroc([0.9, 0.5], [0.5, 0.1])
    0.875
    """
    import numpy as np

    low = np.sort(np.asarray(wrong, dtype=np.float64))
    below, upto = np.searchsorted(low, right, side="left"), np.searchsorted(low, right, side="right")
    return float((below + upto).sum() / 2 / (len(low) * len(right)))
