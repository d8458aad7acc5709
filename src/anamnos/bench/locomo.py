"""LoCoMo: does search find the turns that hold the evidence, and how fast is it? Source: arXiv:2402.17753.

Each conversation is ingested from a file of its own into a scope of its own, all in one vault, through the public
verbs. Questions whose evidence is not in the conversation are left out of all means and counted.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from anamnos.bench import metrics
from anamnos.bench.disk import disk_use
from anamnos.bench.limits import Limit, limits_json
from anamnos.bench.surroundings import load_average, sha256, surroundings
from anamnos.bench.timing import Durations, PairedEmbedder, Progress, TimedEmbedder, median, quiet, significant, timed
from anamnos.config import Settings
from anamnos.cube import MemCube, Scope
from anamnos.embed.base import Embedder
from anamnos.errors import InvalidInput
from anamnos.index.terms import searchable_text
from anamnos.ingest.readers.dialogue import Question
from anamnos.ingest.readers.files import read_json
from anamnos.ingest.readers.locomo import conversations, questions
from anamnos.memory import Memory
from anamnos.types import Hit

TURN_DEPTHS = (1, 5, 10, 20, 25, 50)
SESSION_DEPTHS = (1, 3, 5, 10)
_TURNS_RANKED = 50
_FIRST_DEPTH = 200  # turns asked for first, to see enough sessions
_ADD_SLACK_MS = 10.0
_SEARCH_SLACK_MS = 10.0


@dataclass(frozen=True)
class Conversation:
    """One conversation: its id, the file that holds it alone, its questions."""

    id: str
    path: Path
    questions: list[Question]

    @property
    def scope(self) -> Scope:
        return Scope(user=self.id)


def run_locomo(
    data: Path,
    embedder: Embedder,
    *,
    limit_conversations: int | None = None,
    repeats: int = 3,
    adds: int = 200,
    progress: Progress = quiet,
) -> dict[str, Any]:
    """Return the JSON of the benchmark.

    data      a LoCoMo file, of either release
    repeats   how often the ingest is measured, each time into a fresh vault; medians are reported
    adds      single messages added to measure the latency of ``add``
    Raises: InvalidInput if the file is not LoCoMo or has no questions with evidence.

    ``turn`` and ``session`` hold, per group of questions, ``n`` and the means: ``all``, ``cat1-4`` and ``cat1`` ..
    ``cat5`` as the data set numbers them. ``session`` also has those over all questions at its top.
    """
    start, around = time.perf_counter(), surroundings()
    with tempfile.TemporaryDirectory(prefix="anamnos-bench-") as folder:
        talks = split(data, Path(folder), limit_conversations)
        embedder.embed(["The model is loaded before any clock starts."])
        ingest = measure_ingest(talks, embedder, Path(folder), repeats, progress)
        vault = Path(folder) / "vault"
        disk = disk_use(vault)
        watched = TimedEmbedder(embedder)
        with Memory(vault, embedder=watched) as memory:
            memories = memory.stats()["memories"]
            scores, search = measure_recall(memory, watched, talks, progress)
            add = measure_add(memory, watched, talks[0], adds, progress)
    turn, session, excluded = scores
    result: dict[str, Any] = {
        "benchmark": "locomo",
        **around,
        "data": {
            "name": data.name,
            "sha256": sha256(data),
            "conversations": len(talks),
            "turns": memories,
            "questions": sum(len(talk.questions) for talk in talks),
            "excluded": excluded,
        },
        "embedder": {"id": embedder.id, "dim": embedder.dim},
        "recipe": Settings().recipe,
        "turn": turn,
        "session": {**session["all"], **session},
        "ingest": ingest,
        "add": add,
        "search": search,
        "disk": disk,
        "disk_bytes_per_memory": round(disk["total"] / memories, 1),
    }
    result["limits"] = limits_json(_limits(result))
    result["machine"]["load_average_at_end"] = load_average()
    result["seconds"] = round(time.perf_counter() - start, 1)
    return result


def split(data: Path, folder: Path, limit: int | None = None) -> list[Conversation]:
    """Return the conversations of a LoCoMo file, each written to a file of its own in ``folder``."""
    talks = []
    for number, record in enumerate(conversations(read_json(data), where=str(data))[:limit], start=1):
        sample_id = str(record.get("sample_id") or f"conversation-{number}")
        path = folder / f"{number}.json"
        path.write_text(json.dumps([{**record, "sample_id": sample_id}]), "utf-8")
        talks.append(Conversation(sample_id, path, questions(record, sample_id=sample_id)))
    if not any(question.evidence for talk in talks for question in talk.questions):
        raise InvalidInput(f"{data} has no questions with evidence.", hint="Is this a LoCoMo file?")
    return talks


# --- finding


def measure_recall(
    memory: Memory, watched: TimedEmbedder, talks: Sequence[Conversation], progress: Progress
) -> tuple[tuple[dict[str, Any], dict[str, Any], int], dict[str, float]]:
    """Return ((turn metrics, session metrics, questions left out), search latency)."""
    turns: dict[int, list[dict[str, float]]] = {}
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
        turns.setdefault(question.category, []).append(_turn_scores(hits, question.evidence))
        sessions.setdefault(question.category, []).append(_session_scores(hits, question.evidence))
    latency = {
        "n": len(whole.seconds),
        "top_k": 10,
        **whole.summary(),
        **embedding.summary("embedding_"),
        "per_s": significant(len(whole.seconds) / sum(whole.seconds)),
    }
    return (_by_category(turns), _by_category(sessions), excluded), latency


def _deep_search(memory: Memory, text: str, scope: Scope) -> list[Hit]:
    """Return a ranking that is long enough: 50 turns, and 10 sessions or all there are."""
    depth = _FIRST_DEPTH
    while True:
        hits = memory.search(text, scope, top_k=depth)
        seen = {hit.cube.scope.session for hit in hits}
        if len(hits) < depth or len(seen) >= max(SESSION_DEPTHS):
            return hits
        depth *= 2


def dia_id(hit: Hit) -> str:
    """Return the id that LoCoMo gives the turn of a hit: "D1:3"."""
    return hit.cube.provenance.message_ids[0].rpartition("/")[2]


def _turn_scores(hits: Sequence[Hit], evidence: Sequence[str]) -> dict[str, float]:
    ranked, gold = [dia_id(hit) for hit in hits[:_TURNS_RANKED]], set(evidence)
    return {
        **{f"recall_frac@{k}": metrics.recall_frac(ranked, gold, k) for k in TURN_DEPTHS},
        "recall_any@10": metrics.recall_any(ranked, gold, 10),
        "recall_all@10": metrics.recall_all(ranked, gold, 10),
        "mrr": metrics.reciprocal_rank(ranked, gold),
        "ndcg@10": metrics.ndcg(ranked, gold, 10),
        "hit@1": metrics.hit(ranked, gold),
    }


def _session_scores(hits: Sequence[Hit], evidence: Sequence[str]) -> dict[str, float]:
    """Score sessions: a session stands where its best turn stands."""
    ranked = list(dict.fromkeys(str(hit.cube.scope.session).rpartition("session_")[2] for hit in hits))
    gold = {turn[1:].partition(":")[0] for turn in evidence}
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


def _limits(result: Mapping[str, Any]) -> list[Limit]:
    add, search, ingest = result["add"], result["search"], result["ingest"]
    if not str(result["embedder"]["id"]).startswith("all-minilm"):
        return []  # they are set for the default embedder
    return [
        Limit("turn recall_frac@10, all questions", "at least", 0.76, result["turn"]["all"]["recall_frac@10"]),
        Limit(
            "ingest / bare embedder",
            "at least",
            0.85,
            ingest["ratio"],
            why="each batch embedded twice in the same run: by ingest and bare",
        ),
        Limit(
            "add of one message, p95",
            "at most",
            add["embedding_p95_ms"] + _ADD_SLACK_MS,
            add["p95_ms"],
            "ms",
            f"its embedding's p95 + {_ADD_SLACK_MS:g} ms",
        ),
        Limit(
            "search, p95",
            "at most",
            3 * search["embedding_p50_ms"] + _SEARCH_SLACK_MS,
            search["p95_ms"],
            "ms",
            f"3 x the cue's embedding, median, + {_SEARCH_SLACK_MS:g} ms",
        ),
    ]
