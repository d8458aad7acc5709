"""Needles in haystacks of made-up talk: one odd fact among many turns, at every depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from anamnos.bench.cases import Case, DataSet, Doc, Query
from anamnos.bench.sets.kv import says_the_answer
from anamnos.bench.sets.made_up import made_up
from anamnos.bench.synthetic import texts

_THINGS = ("lantern", "cabinet", "gate", "locker", "boat", "tower", "archive", "cellar", "kiosk", "vault")
_COLOURS = ("amber", "crimson", "jade", "ivory", "cobalt", "ochre", "violet", "pearl", "copper", "slate")


def needle_twin(seed: int = 0, *, lengths: Sequence[int] = (1_000, 8_000, 32_000)) -> DataSet:
    """Return haystacks of made-up talk with ten needles each, one at every tenth of the way; kinds are the lengths.

    lengths  in tokens, at 30 a turn. Each needle is asked for in its words and in others; the rest distract
    """
    cases = []
    talk = texts(max(max(lengths) // 30, 10), seed=seed)
    for length in lengths:
        rng = np.random.default_rng([seed, length])
        hay = talk[: max(length // 30, 10)]
        docs = [Doc(f"h{n}", text, f"s{n // 20}", "user") for n, text in enumerate(hay)]
        queries = []
        for depth in range(9, -1, -1):  # from the end, so that places hold
            thing = f"{_COLOURS[(depth + int(rng.integers(3))) % 10]} {_THINGS[depth]}"
            code = str(rng.integers(100_000, 999_999))
            place = round(depth / 9 * len(hay))
            needle = Doc(
                f"n{depth}", f"The pass code of the {thing} is {code}.", f"s{min(place, len(hay) - 1) // 20}", "user"
            )
            docs.insert(place, needle)
            gold = {"turn": frozenset([needle.id])}
            for way, text in (
                ("asked", f"What is the pass code of the {thing}?"),
                ("reworded", f"Which number opens the {thing}?"),
            ):
                kind = f"{way} {length // 1000}k"
                queries.append(Query(f"{way}-{length}-{depth}", text, kind, gold, answer=code))
        cases.append(Case(f"haystack-{length}", docs, queries))
    made = made_up("needle", seed, cases, "turn", None)
    return replace(
        made, headline=("hit@1", "recall_any@5", "recall_any@10", "mrr", "answered@10"), reader=says_the_answer
    )
