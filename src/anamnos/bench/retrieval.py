"""Does search find what answers the question? One runner for every data set that says which documents do.

A data set is a list of cases; a case has documents, which are remembered in a scope of its own, and queries with
the ids of the right documents. A hit counts for a document if that document is among the hit's sources, so facts and
summaries made from documents are scored as fairly as the documents; a hit with several sources takes as many ranks.
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from anamnos.bench import metrics
from anamnos.bench.bm25 import Bm25
from anamnos.bench.cases import Case, DataSet, Doc, Found, Query, System
from anamnos.bench.statistics import bootstrap_interval
from anamnos.bench.surroundings import load_average, surroundings
from anamnos.bench.timing import Durations, Progress, TimedEmbedder, quiet, significant, timed
from anamnos.cube import Scope, to_iso
from anamnos.embed.base import Embedder
from anamnos.errors import InvalidInput
from anamnos.memory import Memory
from anamnos.memory.searching import MAX_TOP_K
from anamnos.types import Hit

TIMED_TOP_K = 10
MAX_SOURCES = 8
"""A hit that cites more is taken at its first eight: citing everything must not win."""
ALL = "all"
SYSTEMS = ("anamnos", "bm25")
_ROLES = ("user", "assistant", "system")
_BATCH = 256
_FIRST_DEPTH = 200  # documents asked for first, to see enough groups


@dataclass
class MemorySystem:
    """Anamnos: ``add`` for what was said, ``ingest`` of a corpus file for passages, ``search``.

    folder  for the corpus files
    """

    memory: Memory
    folder: Path

    def remember(self, case: str, docs: Sequence[Doc]) -> None:
        scope = Scope(user=case)
        said = [_message(doc) for doc in docs if doc.speaker is not None]
        for start in range(0, len(said), _BATCH):
            self.memory.add(said[start : start + _BATCH], scope)
        passages = [doc for doc in docs if doc.speaker is None]
        if passages:
            path = self.folder / "corpus.jsonl"
            lines = (json.dumps({"_id": doc.id, "title": doc.title, "text": doc.text}) for doc in passages)
            path.write_text("\n".join(lines), "utf-8")
            self.memory.ingest(path, scope, reader="corpus", source=f"{case}:{passages[0].id}"[:500])

    def search(self, case: str, text: str, top_k: int) -> list[Found]:
        scope = Scope(user=case)
        hits = self.memory.search(text, scope, top_k=top_k)
        return [Found(self._sources(hit, scope), hit.cube.text) for hit in hits]

    def _sources(self, hit: Hit, scope: Scope) -> tuple[str, ...]:
        origin = hit.cube.provenance
        made_from = (self.memory.get(parent, scope).provenance.message_ids for parent in origin.derived_from)
        return tuple(dict.fromkeys([*origin.message_ids, *(name for ids in made_from for name in ids)]))


def _message(doc: Doc) -> dict[str, Any]:
    named = {"role": doc.speaker} if doc.speaker in _ROLES else {"role": "user", "name": doc.speaker}
    when = {} if doc.said_at is None else {"created_at": to_iso(doc.said_at)}
    return {**named, **when, "content": doc.text, "id": doc.id, "session": doc.group}


def run_retrieval(
    data_set: DataSet,
    embedder: Embedder,
    *,
    system: str = "anamnos",
    recipe: str | None = None,
    limit: int | None = None,
    rows: Path | None = None,
    progress: Progress = quiet,
) -> dict[str, Any]:
    """Return the JSON of the benchmark: per level and group of questions n, means and 95 % intervals.

    system  ``anamnos``, or ``bm25`` for the plain baseline
    recipe  how to recall; None: as the settings say
    limit   ask only so many questions, spread evenly over all
    rows    write one JSON line per question to this file, for ``anamnos bench versus``
    Raises: InvalidInput if no question is left.
    """
    if system not in SYSTEMS:
        raise InvalidInput(f"There is no system {system!r}.", hint=f"Systems: {', '.join(SYSTEMS)}.")
    start, around = time.perf_counter(), surroundings()
    data_set = data_set if limit is None else replace(data_set, cases=spread(data_set.cases, limit))
    embedding: TimedEmbedder | None = None
    who: dict[str, Any]
    if system == "bm25":
        who = {"embedder": {"id": "none"}, "recipe": "bm25"}
        found, taken_s = ask(data_set, Bm25(), progress)
    else:
        embedder.embed(["The model is loaded before any clock starts."])
        embedding = TimedEmbedder(embedder)
        with tempfile.TemporaryDirectory(prefix="anamnos-bench-") as name:
            folder = Path(name)
            with Memory(folder / "vault", embedder=embedding, recipe=recipe) as memory:
                found, taken_s = ask(data_set, MemorySystem(memory, folder), progress, embedding)
                who = {
                    "embedder": {"id": embedder.id, "dim": embedder.dim},
                    "recipe": memory.settings.recipe,
                }
    if rows is not None:
        rows.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found.rows), "utf-8")
    documents = sum(len(case.docs) for case in data_set.cases)
    result = {
        "benchmark": data_set.name,
        "part": data_set.part,
        "title": data_set.title,
        "system": system,
        **around,
        "data": {
            **data_set.data,
            "cases": len(data_set.cases),
            "documents": documents,
            "questions": len(found.rows),
            "excluded": {name: n for name, n in {**data_set.excluded, **found.excluded}.items() if n},
        },
        **who,
        "limit": limit,
        "unit": data_set.unit,
        "headline": list(data_set.headline),
        "notes": list(data_set.notes),
        "levels": {level: summary(found.rows, level) for level in data_set.levels},
        "sources_per_hit": significant(found.sources_per_hit),
        "ingest": {"documents_per_s": significant(documents / taken_s)},
        "search": found.latency,
    }
    result["machine"]["load_average_at_end"] = load_average()
    result["seconds"] = round(time.perf_counter() - start, 1)
    return result


# --- asking


@dataclass
class Asked:
    """What came of asking: a row per question, questions left out, hits' sources, and how long a search takes."""

    rows: list[dict[str, Any]]
    excluded: dict[str, int]
    sources_per_hit: float
    latency: dict[str, float]


def ask(
    data_set: DataSet, system: System, progress: Progress = quiet, embedding: TimedEmbedder | None = None
) -> tuple[Asked, float]:
    """Return what came of asking ``system`` every question, and the seconds that remembering took.

    embedding  the embedder that the system uses, to say how much of a search it takes
    """
    asked = Asked([], {}, 0.0, {})
    whole, embedded = Durations(), Durations()
    cited: list[int] = []
    taken_s, done = 0.0, 0
    total = sum(len(case.docs) + len(case.queries) for case in data_set.cases)
    levels = [name for name in data_set.levels if any(q.gold.get(name) for c in data_set.cases for q in c.queries)]
    for case in data_set.cases:
        known = _known(data_set, case)
        remembered = 0
        for query, upto in ((q, len(case.docs) if q.after is None else q.after) for q in case.queries):
            taken_s += timed(lambda c=case, a=remembered, b=upto: system.remember(c.id, c.docs[a:b]))[1]  # type: ignore[misc]
            done += max(upto - remembered, 0) + 1
            remembered = max(upto, remembered)
            progress("remembering and asking", min(done, total), total)
            gold = _usable(query, known, asked.excluded, levels)
            if not gold:
                continue
            before = 0.0 if embedding is None else embedding.seconds
            short = whole.time(lambda c=case, q=query: system.search(c.id, q.text, TIMED_TOP_K))  # type: ignore[misc]
            if embedding is not None:
                embedded.seconds.append(embedding.seconds - before)
            ranked = _ranked(data_set, case, query, system)
            cited += [len(hit.sources) for hit in short]
            asked.rows.append(_row(data_set, case, query, gold, ranked, short, 1000 * whole.seconds[-1]))
    progress("remembering and asking", total, total)
    if not asked.rows:
        raise InvalidInput(f"{data_set.title} has no question that can be scored.", hint="Is it the right file?")
    asked.sources_per_hit = float(np.mean(cited)) if cited else 0.0
    asked.latency = {"n": len(whole.seconds), "top_k": TIMED_TOP_K, **whole.summary()}
    if embedding is not None:
        asked.latency |= embedded.summary("embedding_")
    return asked, max(taken_s, 1e-9)


def _known(data_set: DataSet, case: Case) -> dict[str, set[str]]:
    """Return, per level, the ids that the case has."""
    ids = [doc.id for doc in case.docs]
    if len(set(ids)) < len(ids):
        raise InvalidInput(f"Two documents of {case.id} of {data_set.title} have the same id.")
    known = {data_set.unit: set(ids)}
    if data_set.group is not None:
        known[data_set.group] = {doc.group for doc in case.docs if doc.group is not None}
    return known


def _usable(
    query: Query, known: Mapping[str, set[str]], excluded: dict[str, int], levels: Sequence[str]
) -> dict[str, frozenset[str]]:
    """Return the gold that the case has, and count what is missing."""
    usable = {}
    for level in levels:
        gold = query.gold.get(level, frozenset())
        there = gold & known[level]
        missing = f"evidence of {level} that is not in the documents"
        excluded[missing] = excluded.get(missing, 0) + len(gold - there)
        if there:
            usable[level] = there
        else:
            without = f"questions without {level} evidence"
            excluded[without] = excluded.get(without, 0) + 1
    return usable


def _ranked(data_set: DataSet, case: Case, query: Query, system: System) -> dict[str, list[str]]:
    """Return the ranking of each level, as deep as the deepest metric; a group stands where its best document does."""
    wanted = max(data_set.depths)
    groups = {doc.id: doc.group for doc in case.docs}
    depth = wanted if data_set.group is None else max(wanted, _FIRST_DEPTH)
    while True:
        hits = system.search(case.id, query.text, min(depth, MAX_TOP_K))
        documents = list(dict.fromkeys(name for hit in hits for name in hit.sources[:MAX_SOURCES]))
        ranked = {data_set.unit: documents[:wanted]}
        if data_set.group is None:
            return ranked
        found = list(dict.fromkeys(group for name in documents if (group := groups.get(name)) is not None))
        if len(found) >= wanted or len(hits) < depth or depth >= MAX_TOP_K:
            return {**ranked, data_set.group: found[:wanted]}
        depth *= 2


def _row(
    data_set: DataSet,
    case: Case,
    query: Query,
    gold: Mapping[str, frozenset[str]],
    ranked: Mapping[str, list[str]],
    short: Sequence[Found],
    ms: float,
) -> dict[str, Any]:
    where = f"question {query.id!r}"
    scored = {
        level: metrics.scores(ranked[level], right, data_set.depths, lme=data_set.official, where=where)
        for level, right in gold.items()
    }
    if data_set.reader is not None and data_set.unit in scored:
        scored[data_set.unit]["answered@10"] = float(data_set.reader(query, [hit.text for hit in short]))
    return {
        "bench": data_set.name,
        "part": data_set.part,
        "case": case.id,
        "cluster": query.cluster or (case.id if len(data_set.cases) > 1 else query.id),
        "query": query.id,
        "kind": query.kind,
        "gold": {level: sorted(right) for level, right in gold.items()},
        "ranked": dict(ranked),
        "metrics": scored,
        "ms": round(ms, 3),
    }


# --- summing up


def summary(rows: Iterable[Mapping[str, Any]], level: str) -> dict[str, Any]:
    """Return, for all questions and for each kind, ``n``, the means and their ``interval``s (null where there is but
    one cluster); empty if no question has evidence at this level."""
    scored = [row for row in rows if level in row["metrics"]]
    kinds = sorted({row["kind"] for row in scored}, key=_by_number)
    groups = {ALL: scored}
    if len(kinds) > 1:
        groups |= {kind: [row for row in scored if row["kind"] == kind] for kind in kinds}
    return {name: _means(members, level) for name, members in groups.items() if members}


def _means(rows: Sequence[Mapping[str, Any]], level: str) -> dict[str, Any]:
    names = list(rows[0]["metrics"][level])
    table = np.array([[row["metrics"][level][name] for name in names] for row in rows])
    bounds = bootstrap_interval(table, [row["cluster"] for row in rows])
    return {
        "n": len(rows),
        **{name: round(float(mean), 4) for name, mean in zip(names, table.mean(axis=0), strict=True)},
        "interval": {
            name: None if np.isnan(pair).any() else [round(float(bound), 4) for bound in pair]
            for name, pair in zip(names, bounds, strict=True)
        },
    }


def _by_number(kind: str) -> list[str | int]:
    """Return what sorts "qa2" before "qa10".

    >>> sorted(["qa10", "qa2"], key=_by_number)
    ['qa2', 'qa10']
    """
    return [int(part) if part.isdecimal() else part for part in re.split(r"([0-9]+)", kind)]


def spread(cases: Sequence[Case], limit: int) -> list[Case]:
    """Return the cases with ``limit`` of their questions, spread evenly; cases without any are left out."""
    places = [(number, query) for number, case in enumerate(cases) for query in case.queries]
    if limit >= len(places):
        return list(cases)
    kept = [places[int(place)] for place in np.linspace(0, len(places) - 1, limit)]
    wanted: dict[int, list[Query]] = {}
    for number, query in kept:
        wanted.setdefault(number, []).append(query)
    return [replace(cases[number], queries=queries) for number, queries in wanted.items()]
