"""Conversations with questions: does search find the turns that hold the evidence, and how fast is it?

Each conversation is ingested from a file of its own into a scope of its own, all in one vault, through the public
verbs. Questions whose evidence is not in the conversation are left out of all means and counted. The data sets are in
``locomo.py`` and ``realtalk.py``.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from anamnos.bench import metrics
from anamnos.bench.disk import disk_use
from anamnos.bench.statistics import bootstrap_interval
from anamnos.bench.surroundings import load_average, surroundings
from anamnos.bench.timing import Durations, PairedEmbedder, Progress, TimedEmbedder, median, quiet, significant, timed
from anamnos.config import Settings
from anamnos.cube import MemCube, Scope
from anamnos.embed.base import Embedder
from anamnos.index.terms import searchable_text
from anamnos.ingest.readers.base import Turn
from anamnos.ingest.readers.dialogue import Question
from anamnos.memory import Memory
from anamnos.types import Hit, Hits

TURN_DEPTHS = (1, 5, 10, 20, 25, 50)
SESSION_DEPTHS = (1, 3, 5, 10)
_TURNS_RANKED = 50
_FIRST_DEPTH = 200  # turns asked for first, to see enough sessions


@dataclass(frozen=True)
class Conversation:
    """One conversation.

    path       the file that holds it alone
    sessions   id that the data set gives a turn -> session
    user       whose memory it goes into; "": one of its own
    """

    id: str
    path: Path
    questions: list[Question]
    sessions: Mapping[str, str]
    user: str = ""

    @property
    def scope(self) -> Scope:
        return Scope(user=self.user or self.id)


def sessions_of(turns: Sequence[Turn]) -> dict[str, str]:
    """Return the session of each turn by the turn's id in its data set: "D1:3"."""
    return {str(turn.message_id).rpartition("/")[2]: str(turn.session) for turn in turns}


def run_dialogues(
    benchmark: str,
    talks: Sequence[Conversation],
    embedder: Embedder,
    folder: Path,
    *,
    data: Mapping[str, Any],
    recipe: str | None = None,
    repeats: int = 3,
    adds: int = 200,
    skip_conversations: int = 0,
    pooled: bool = False,
    progress: Progress = quiet,
) -> dict[str, Any]:
    """Return the JSON of a benchmark over conversations.

    folder    for vaults; its content may go
    data      what the data are: name and checksum
    recipe    how to recall; None: as the settings say
    repeats   how often the ingest is measured, each time into a fresh vault; medians are reported
    adds      single messages added to measure the latency of ``add``
    skip_conversations  so many at the beginning are remembered, but nothing is asked about them
    pooled    all conversations go into one scope, and each question is asked of all of them

    ``turn`` and ``session`` hold, per group of questions, ``n`` and the means: ``all``, ``cat1-4`` and ``cat1`` ..
    ``cat5`` as the data set numbers them. ``session`` also has those over all questions at its top.
    """
    start, around = time.perf_counter(), surroundings()
    if pooled:
        talks = [replace(talk, user="everybody") for talk in talks]
    embedder.embed(["The model is loaded before any clock starts."])
    ingest = measure_ingest(talks, embedder, folder, repeats, progress)
    vault = folder / "vault"
    disk = disk_use(vault)
    watched = TimedEmbedder(embedder)
    with Memory(vault, embedder=watched, recipe=recipe) as memory:
        memories = memory.stats()["memories"]
        scores, search, certainty = measure_recall(memory, watched, talks[skip_conversations:], progress)
        add = measure_add(memory, watched, talks[0], adds, progress)
        used = memory.settings.recipe
    turn, session, excluded = scores
    result: dict[str, Any] = {
        "benchmark": benchmark,
        **around,
        "data": {
            **data,
            "conversations": len(talks),
            "turns": memories,
            "questions": sum(len(talk.questions) for talk in talks[skip_conversations:]),
            "excluded": excluded,
            "skipped": skip_conversations,
            "pooled": pooled,
        },
        "embedder": {"id": embedder.id, "dim": embedder.dim},
        "recipe": used,
        "turn": turn,
        "session": {**session["all"], **session},
        "part": "-".join([f"from{skip_conversations + 1}"] * bool(skip_conversations) + ["pooled"] * pooled),
        "certainty": certainty,
        "ingest": ingest,
        "add": add,
        "search": search,
        "disk": disk,
        "disk_bytes_per_memory": round(disk["total"] / memories, 1),
        "limits": [],
    }
    result["machine"]["load_average_at_end"] = load_average()
    result["seconds"] = round(time.perf_counter() - start, 1)
    return result


# --- finding


def measure_recall(
    memory: Memory, watched: TimedEmbedder, talks: Sequence[Conversation], progress: Progress
) -> tuple[tuple[dict[str, Any], dict[str, Any], int], dict[str, float], dict[str, Any]]:
    """Return ((turn metrics, session metrics, questions left out), search latency, certainty: the 95 % interval of
    turn recall_frac@10, and what ``Hits.confidence`` is worth)."""
    turns: dict[int, list[dict[str, float]]] = {}
    clusters: dict[int, list[str]] = {}
    sure: dict[int, list[float]] = {}
    sessions: dict[int, list[dict[str, float]]] = {}
    whole, embedding = Durations(), Durations()
    asked = [(talk, question) for talk in talks for question in talk.questions]
    excluded = 0
    for done, (talk, question) in enumerate(asked, start=1):
        progress("asking", done, len(asked))
        if not question.evidence:
            excluded += 1
            continue
        before = watched.seconds
        whole.time(lambda t=talk, q=question: memory.search(q.text, t.scope, top_k=10))  # type: ignore[misc]
        embedding.seconds.append(watched.seconds - before)
        hits = _deep_search(memory, question.text, talk.scope)
        turns.setdefault(question.category, []).append(_turn_scores(hits, talk, question.evidence))
        clusters.setdefault(question.category, []).append(talk.id)
        sure.setdefault(question.category, []).append(hits.confidence)
        sessions.setdefault(question.category, []).append(_session_scores(hits, question.evidence, talk.sessions))
    latency = {
        "n": len(whole.seconds),
        "top_k": 10,
        **whole.summary(),
        **embedding.summary("embedding_"),
        "per_s": significant(len(whole.seconds) / sum(whole.seconds)),
    }
    every = [score["recall_frac@10"] for category in sorted(turns) for score in turns[category]]
    of = [talk_id for category in sorted(clusters) for talk_id in clusters[category]]
    interval = bootstrap_interval(np.array(every)[:, None], of)[0].tolist() if len(set(of)) > 1 else (None, None)
    return (
        (_by_category(turns), _by_category(sessions), excluded),
        latency,
        {**_doubt(sure), "recall_low": interval[0], "recall_high": interval[1]},
    )


def _doubt(sure: Mapping[int, list[float]]) -> dict[str, float]:
    """Return how well confidence tells questions that have an answer from adversarial ones, category 5, which ask of
    one person what the other did: the area under the ROC curve, and the mean confidence of both."""
    answered = [value for category, values in sure.items() if category != 5 for value in values]
    means = {"mean": round(float(np.mean(answered)), 4)} if answered else {}
    if not answered or not sure.get(5):
        return means
    wrong = round(float(np.mean(sure[5])), 4)
    return {**means, "mean_adversarial": wrong, "auroc_adversarial": round(metrics.auroc(answered, sure[5]), 4)}


def _deep_search(memory: Memory, text: str, scope: Scope) -> Hits:
    """Return a ranking that is long enough: 50 turns, and 10 sessions or all there are."""
    depth = _FIRST_DEPTH
    while True:
        hits = memory.search(text, scope, top_k=depth)
        seen = {hit.cube.scope.session for hit in hits}
        if len(hits) < depth or len(seen) >= max(SESSION_DEPTHS):
            return hits
        depth *= 2


def turn_id(hit: Hit) -> str:
    """Return the conversation and the id that the data set gives the turn of a hit: "conv-26/D1:3"."""
    return hit.cube.provenance.message_ids[0]


def _turn_scores(hits: Sequence[Hit], talk: Conversation, evidence: Sequence[str]) -> dict[str, float]:
    ranked, gold = [turn_id(hit) for hit in hits[:_TURNS_RANKED]], {f"{talk.id}/{turn}" for turn in evidence}
    return {
        **{f"recall_frac@{k}": metrics.recall_frac(ranked, gold, k) for k in TURN_DEPTHS},
        "recall_any@10": metrics.recall_any(ranked, gold, 10),
        "recall_all@10": metrics.recall_all(ranked, gold, 10),
        "mrr": metrics.reciprocal_rank(ranked, gold),
        "ndcg@10": metrics.ndcg(ranked, gold, 10),
        "hit@1": metrics.hit(ranked, gold),
    }


def _session_scores(hits: Sequence[Hit], evidence: Sequence[str], sessions: Mapping[str, str]) -> dict[str, float]:
    """Score sessions: a session stands where its best turn stands."""
    ranked = list(dict.fromkeys(str(hit.cube.scope.session) for hit in hits))
    gold = {sessions[turn] for turn in evidence}
    return {
        **{f"recall_frac@{k}": metrics.recall_frac(ranked, gold, k) for k in SESSION_DEPTHS},
        "mrr": metrics.reciprocal_rank(ranked, gold),
        "hit@1": metrics.hit(ranked, gold),
    }


def _by_category(scores: Mapping[int, list[dict[str, float]]]) -> dict[str, Any]:
    groups = {"all": sorted(scores), "cat1-4": [c for c in sorted(scores) if c <= 4]}
    groups |= {f"cat{category}": [category] for category in sorted(scores)}
    return {name: _means([s for c in members for s in scores[c]]) for name, members in groups.items() if members}


def _means(scores: list[dict[str, float]]) -> dict[str, float]:
    return {"n": len(scores), **{name: round(float(np.mean([s[name] for s in scores])), 4) for name in scores[0]}}


# --- speed


def measure_ingest(
    talks: Sequence[Conversation], embedder: Embedder, folder: Path, repeats: int, progress: Progress
) -> dict[str, Any]:
    """Return the rates of ingest and of the bare embedder, and leave the last run's vault at ``folder``/vault.

    Each batch that ingest embeds is embedded once more, bare, right before or after it; see ``PairedEmbedder``.
    """
    texts = _texts(talks, folder)
    runs = []
    for number in range(1, repeats + 1):
        shutil.rmtree(folder / "vault", ignore_errors=True)
        runs.append(_ingest_once(talks, texts, embedder, folder / "vault", f"ingest {number} of {repeats}", progress))
    size = Settings().batch_size
    return {**{name: median([run[name] for run in runs]) for name in runs[0]}, "batch_size": size, "runs": runs}


def _ingest_once(
    talks: Sequence[Conversation],
    texts: Sequence[Sequence[str]],
    embedder: Embedder,
    vault: Path,
    what: str,
    progress: Progress,
) -> dict[str, float]:
    pair = PairedEmbedder(embedder)
    count, done, both, whole = sum(map(len, texts)), 0, 0.0, 0.0
    with Memory(vault, embedder=pair) as memory:
        for talk, its_texts in zip(talks, texts, strict=True):
            progress(what, done, count)
            whole += timed(lambda t=its_texts: embedder.embed(t))[1]  # type: ignore[misc]
            both += timed(lambda t=talk: memory.ingest(t.path, t.scope))[1]  # type: ignore[misc]
            done += len(its_texts)
    progress(what, done, count)
    ingest = both - pair.bare_s
    return {
        "turns_per_s": significant(count / ingest),
        "embedder_texts_per_s": significant(count / pair.bare_s),
        "embedder_one_call_texts_per_s": significant(count / whole),
        "ratio": significant(pair.bare_s / ingest),
        "ratio_to_one_call": significant(whole / ingest),
        "without_embedding_turns_per_s": significant(count / (ingest - pair.inside_s)),
    }


def _texts(talks: Sequence[Conversation], folder: Path) -> list[list[str]]:
    """Return, per conversation, the texts as ingest hands them to the embedder."""
    with Memory(folder / "texts", embedder="hashing") as memory:
        for talk in talks:
            memory.ingest(talk.path, talk.scope)
        stored: list[list[MemCube]] = [memory.list(talk.scope, limit=None) for talk in talks]
    return [[searchable_text(cube) for cube in cubes] for cubes in stored]


def measure_add(
    memory: Memory, watched: TimedEmbedder, talk: Conversation, adds: int, progress: Progress
) -> dict[str, float]:
    """Return the latency of ``add`` of one message with its receipt, and of embedding the same message alone."""
    cubes = memory.list(talk.scope, limit=adds)
    scope = Scope(user="bench-add", session="one by one")
    alone, whole, inside = Durations(), Durations(), Durations()
    for number, cube in enumerate(cubes, start=1):
        progress("adding one by one", number, len(cubes))
        message = {"role": "user", "name": cube.provenance.actor, "content": cube.text, "id": f"bench-{number}"}
        alone.time(lambda c=cube: watched.inner.embed([searchable_text(c)]))  # type: ignore[misc]
        before = watched.seconds
        whole.time(lambda m=message: memory.add(m, scope))  # type: ignore[misc]
        inside.seconds.append(watched.seconds - before)
    return {
        "n": len(cubes),
        **whole.summary(),
        **alone.summary("embedding_"),
        **inside.summary("embedding_inside_"),
        "per_s": significant(len(cubes) / sum(whole.seconds)),
    }
