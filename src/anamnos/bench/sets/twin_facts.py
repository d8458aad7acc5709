"""Made-up numbered facts of which the latest holds. Source: MemoryAgentBench, arXiv:2507.05257.

Asked in two ways: are the facts found that hold, and does ``Memory.ask`` answer through the values that hold now? Its
answerer knows English grammar and nothing of these facts' words.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from anamnos.bench.cases import Case, DataSet, Doc, Query
from anamnos.bench.sets.made_up import made_up
from anamnos.bench.timing import Progress, quiet
from anamnos.cube import Scope
from anamnos.embed.base import Embedder
from anamnos.errors import InvalidInput
from anamnos.memory import Memory
from anamnos.recall.answer.base import Kind

_SYLLABLES = (
    "ka",
    "lo",
    "mi",
    "ren",
    "tas",
    "vo",
    "bel",
    "dri",
    "fen",
    "gul",
    "har",
    "jos",
    "nik",
    "pra",
    "sul",
    "tor",
    "wen",
    "yal",
    "zim",
    "oru",
)
_FOUND = ("recall_all@5", "recall_all@10", "hit@1", "mrr")
LEVEL = "current value"
_CHAIN = ("home town", "country", "currency")
_FACT = re.compile(r"(\d+)\. The ([a-z ]+) of (\w+) is (\w+)\.")


def facts_twin(seed: int = 0, *, subjects: int = 60, conflicts: float = 0.5, hops: int = 3) -> DataSet:
    """Return numbered facts, a share of them said again with another object, and questions of one to ``hops`` hops.

    The right documents are the facts that hold; ``answered@10`` resolves conflicts by number over what was found.
    """
    if not 0 <= conflicts <= 1 or not 1 <= hops <= len(_CHAIN) or subjects < 4:
        raise InvalidInput(f"conflicts in [0, 1], hops 1 to {len(_CHAIN)} and at least 4 subjects are needed.")
    rng = np.random.default_rng(seed)
    names = iter(_names(rng, 4 * subjects))
    layers = [[next(names) for _ in range(max(subjects // 2**depth, 2))] for depth in range(len(_CHAIN) + 1)]
    first = [(s, r, _one(rng, layers[n + 1])) for n, r in enumerate(_CHAIN) for s in layers[n]]
    again = [fact for fact in first if rng.random() < conflicts]
    changed = [(s, r, _one(rng, layers[_CHAIN.index(r) + 1], but=o)) for s, r, o in again]
    said = [first[int(n)] for n in rng.permutation(len(first))] + [
        changed[int(n)] for n in rng.permutation(len(changed))
    ]
    docs = [Doc(f"f{n}", f"{n}. The {r} of {s} is {o}.", speaker="user") for n, (s, r, o) in enumerate(said)]
    holds = {(s, r): (n, o) for n, (s, r, o) in enumerate(said)}
    queries = []
    for count in range(1, hops + 1):
        for subject in layers[0]:
            here, right = subject, []
            for relation in _CHAIN[:count]:
                number, here = holds[here, relation]
                right.append(f"f{number}")
            path = " of the ".join(reversed(_CHAIN[:count]))
            text = f"What is the {path} of {subject}?"
            kind = f"{count}-hop" if count > 1 else "single-hop"
            gold = {"fact": frozenset(right)}
            queries.append(Query(f"{kind}-{subject}", text, kind, gold, answer=here))
    made = made_up("facts", seed, [Case("facts", docs, queries)], "fact", None)
    return replace(made, headline=(*_FOUND, "answered@10", "answered", "silent"), reader=resolves)


def answered(data_set: DataSet, embedder: Embedder, progress: Progress = quiet) -> list[dict[str, Any]]:
    """Return a row per question: whether ``ask``, once the facts are enriched and resolved, gives just the answer.

    Each row has ``metrics`` at the level "current value": ``answered``, and ``silent`` if it was no looked-up value.
    """
    rows = []
    for case in data_set.cases:
        scope = Scope(user=case.id)
        said = [{"role": "user", "content": doc.text, "id": doc.id} for doc in case.docs]
        with (
            tempfile.TemporaryDirectory(prefix="anamnos-bench-") as folder,
            Memory(folder, embedder=embedder) as memory,
        ):
            memory.add(said, scope)
            memory.enrich(scope)
            memory.resolve(scope)
            for number, query in enumerate(case.queries, start=1):
                found = memory.ask(query.text, scope)
                is_value = found.kind is Kind.VALUE
                scores = {"answered": float(is_value and found.text == query.answer), "silent": float(not is_value)}
                rows.append({"kind": query.kind, "cluster": query.id, "metrics": {LEVEL: scores}})
                progress("asking through current values", number, len(case.queries))
    return rows


def resolves(query: Query, found: Sequence[str]) -> bool:
    """Return whether the facts found, of each subject the one of the highest number, lead to the answer."""
    holds: dict[tuple[str, str], tuple[int, str]] = {}
    for match in (match for text in found for match in _FACT.finditer(text)):
        number, relation, subject, value = int(match[1]), match[2], match[3], match[4]
        holds[subject, relation] = max(holds.get((subject, relation), (-1, "")), (number, value))
    here = query.text.rstrip("?").split()[-1]
    for relation in _CHAIN[: query.text.count(" of ")]:
        here = holds.get((here, relation), (-1, ""))[1]
    return bool(here) and here == query.answer


def _names(rng: np.random.Generator, count: int) -> list[str]:
    made: dict[str, None] = {}
    while len(made) < count:
        made["".join(_SYLLABLES[int(n)] for n in rng.integers(len(_SYLLABLES), size=3)).capitalize()] = None
    return list(made)


def _one(rng: np.random.Generator, among: Sequence[str], but: str = "") -> str:
    left = [name for name in among if name != but]
    return left[int(rng.integers(len(left)))]
