"""The steps of the benchmark of consolidation, each run in a process of its own.

``python -m anamnos.bench.consolidate_steps``; the request names the step and its settings, see ``anamnos.bench.child``.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from anamnos.bench.child import serve, tell
from anamnos.bench.daily import Question, write_year, year_of_chats
from anamnos.bench.disk import disk_use
from anamnos.bench.metrics import recall_frac
from anamnos.bench.surroundings import peak_rss_mb
from anamnos.bench.timing import Durations, timed
from anamnos.config import load_settings
from anamnos.cube import Scope
from anamnos.embed import resolve_embedder
from anamnos.evolve.forget.precision import BITS, frqad, quantised
from anamnos.memory import Memory
from anamnos.types import Hit

SCOPE = Scope(user="bench")
DEPTH = 10
_MAX_QUESTIONS = 400
_IDLE_SEARCHES = 150  # before, and again after
_THINK_S = 0.02  # between two searches in the foreground
_PRECISION_TURNS, _PRECISION_CUES = 2_000, 50


def prepare(vault: str, turns: int, embedder: str, seed: int) -> dict[str, Any]:
    """Ingest a made-up year and find its facts."""
    year, _ = year_of_chats(turns, seed)
    messages = Path(vault).with_name("year.jsonl")
    write_year(messages, year)
    with Memory(vault, embedder=embedder) as memory:
        _, ingest_s = timed(lambda: memory.ingest(messages, SCOPE, progress=lambda d, t: tell("ingest", d, t)))
        receipt, enrich_s = timed(lambda: memory.enrich(SCOPE, progress=lambda d, t: tell("enrich", d, t)))
    return {"ingest_s": round(ingest_s, 2), "enrich_s": round(enrich_s, 2), "facts": receipt.count("added")}


def consolidate(vault: str, turns: int, embedder: str, seed: int) -> dict[str, Any]:
    """Consolidate the year while somebody searches, and ask everything before and after."""
    _, questions = year_of_chats(turns, seed)
    questions = questions[:_MAX_QUESTIONS]
    with Memory(vault, embedder=embedder) as memory:
        before, searched_before = _recall(memory, questions, "questions before"), _searched(memory)
        idle = _Foreground(memory, questions)
        idle.run(_IDLE_SEARCHES)
        rss_before = peak_rss_mb()
        busy = _Foreground(memory, questions)
        with busy:
            report, seconds = timed(lambda: memory.consolidate(SCOPE, progress=lambda d, t: tell("consolidate", d, t)))
        peak = peak_rss_mb()
        idle.run(_IDLE_SEARCHES)
        again, again_s = timed(lambda: memory.consolidate(SCOPE))
        after, searched_after = _recall(memory, questions, "questions after"), _searched(memory)
        states = memory.stats(SCOPE)["states"]
        problems = memory.verify()
    return {
        "consolidate_s": round(seconds, 2),
        "report": report.to_dict(),
        "second_run": {"seconds": round(again_s, 2), "report": again.to_dict()},
        "rss_before_mb": rss_before,
        "peak_rss_mb": peak,
        "recall_before": before,
        "recall_after": after,
        "searched_before": searched_before,
        "searched_after": searched_after,
        "states": states,
        "problems": problems,
        "idle": {"n": len(idle.durations.seconds), **idle.durations.summary()},
        "busy": {"n": len(busy.durations.seconds), **busy.durations.summary()},
    }


class _Foreground:
    """Somebody who searches all the time, in a thread of the same process."""

    def __init__(self, memory: Memory, questions: Sequence[Question]) -> None:
        self._memory, self._questions = memory, questions
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._until_stopped, daemon=True)
        self.durations = Durations()

    def run(self, count: int) -> None:
        for number in range(count):
            text = self._questions[number % len(self._questions)].text
            self.durations.time(lambda t=text: self._memory.search(t, SCOPE, top_k=DEPTH))  # type: ignore[misc]
            time.sleep(_THINK_S)

    def _until_stopped(self) -> None:
        while not self._stop.is_set():
            self.run(1)

    def __enter__(self) -> _Foreground:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()


def _recall(memory: Memory, questions: Sequence[Question], what: str) -> dict[str, float]:
    """Return the share of questions whose answer is among the first ten hits, in the words of any turn that says it;
    and the recall of turns, of those facts that were said once."""
    any_of, once = [], []
    for number, question in enumerate(questions, start=1):
        tell(what, number, len(questions))
        found = _messages(memory.search(question.text, SCOPE, top_k=DEPTH))
        any_of.append(float(any(name in question.said_in for name in found)))
        if len(question.said_in) == 1:
            once.append(recall_frac(found, question.said_in, DEPTH))
    return {
        "n": len(questions),
        "recall_frac@10": round(statistics.fmean(any_of), 4),
        "n_once": len(once),
        "once_recall_frac@10": round(statistics.fmean(once), 4) if once else 1.0,
    }


def _messages(hits: Sequence[Hit]) -> list[str]:
    return [hit.cube.provenance.message_ids[0] for hit in hits if hit.cube.provenance.message_ids]


def _searched(memory: Memory) -> int:
    return len(memory.vault.store.outline(SCOPE, derived=False).rows)


def disk(vault: str) -> dict[str, Any]:
    """Return what the closed vault takes."""
    with suppress(OSError):
        Path(vault).with_name("year.jsonl").unlink()
    return disk_use(Path(vault))


def precision(vault: str, turns: int, embedder: str, seed: int) -> dict[str, Any]:
    """Compare embeddings of fewer bits with whole ones: which of the ten nearest stay, by cosine and by FRQAD."""
    year, questions = year_of_chats(min(turns, _PRECISION_TURNS), seed)
    settings = load_settings(Path(vault))
    real = resolve_embedder(embedder, model_dir=Path(settings.model_dir) if settings.model_dir else None)
    stored = real.embed([turn.text for turn in year])
    asked = [question.text for question in questions][:_PRECISION_CUES]
    asked += [turn.text for turn in year[: max(_PRECISION_CUES - len(asked), 0)]]
    cues = real.embed(asked)
    right = [set(row[:DEPTH].tolist()) for row in np.argsort(-(cues @ stored.T), axis=1, kind="stable")]
    rows = []
    for number, bits in enumerate(BITS, start=1):
        tell("precision", number, len(BITS))
        kept = quantised(stored, bits).vectors()
        norms = np.maximum(np.linalg.norm(kept, axis=1), 1e-9)
        by_cosine, cosine_s = timed(lambda k=kept, n=norms: -(cues @ k.T) / n)  # type: ignore[misc]
        by_frqad, frqad_s = timed(lambda k=kept, b=bits: np.stack([frqad(cue, 32, k, b) for cue in cues]))  # type: ignore[misc]
        whole, low = _cosine_prefers(cues, stored, kept), _frqad_prefers(cues, stored, kept, bits)
        rows.append(
            {
                "bits": bits,
                "cosine_overlap@10": _overlap(by_cosine, right),
                "frqad_overlap@10": _overlap(by_frqad, right),
                "cosine_ms_per_cue": round(1000 * cosine_s / len(cues), 3),
                "frqad_ms_per_cue": round(1000 * frqad_s / len(cues), 3),
                "cosine_prefers_whole": whole,
                "frqad_prefers_whole": low,
            }
        )
    return {"embedder": real.id, "vectors": len(stored), "cues": len(cues), "rows": rows}


def _overlap(distances: Any, right: Sequence[set[int]]) -> float:
    found = np.argsort(distances, axis=1, kind="stable")[:, :DEPTH]
    shares = [len(own & set(row.tolist())) / DEPTH for own, row in zip(right, found, strict=True)]
    return round(statistics.fmean(shares), 4)


def _cosine_prefers(cues: Any, whole: Any, rough: Any) -> float:
    """Return how often the whole copy of a vector is nearer to a cue near it than the rough copy."""
    near = _noisy(whole)
    unit = rough / np.maximum(np.linalg.norm(rough, axis=1, keepdims=True), 1e-9)
    return round(float(((near * whole).sum(axis=1) > (near * unit).sum(axis=1)).mean()), 4)


def _frqad_prefers(cues: Any, whole: Any, rough: Any, bits: int) -> float:
    near = _noisy(whole)
    return round(float((frqad(near, 32, whole, 32) < frqad(near, 32, rough, bits)).mean()), 4)


def _noisy(vectors: Any) -> Any:
    rng = np.random.default_rng(0)
    near = vectors + 0.05 * rng.standard_normal(vectors.shape).astype(np.float32)
    return near / np.linalg.norm(near, axis=1, keepdims=True)


_STEPS: dict[str, Callable[..., dict[str, Any]]] = {
    "prepare": prepare,
    "consolidate": consolidate,
    "disk": disk,
    "precision": precision,
}


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Carry out the step that the request names."""
    return _STEPS[request["step"]](**{name: value for name, value in request.items() if name != "step"})


if __name__ == "__main__":
    serve(answer)
