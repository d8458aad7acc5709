"""Anamnos and its peers side by side: the same turns, questions, embedder and machine, in one run."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anamnos.bench.child import run_child
from anamnos.bench.metrics import recall_frac
from anamnos.bench.peers.setup import command_of, own_code
from anamnos.bench.statistics import paired_difference
from anamnos.bench.surroundings import load_average, sha256, surroundings
from anamnos.bench.timing import Progress, quiet, significant
from anamnos.cube import to_iso
from anamnos.errors import InvalidInput
from anamnos.ingest.readers.files import read_json
from anamnos.ingest.readers.locomo import conversations, questions, read_conversation
from anamnos.llm.base import estimate_tokens

OURS = "anamnos"
DEPTHS = (5, 10, 25)
_TOP_K = max(DEPTHS)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question that has evidence."""

    id: str
    case: str
    category: int
    gold: frozenset[str]


def run_compare(
    data: Path,
    peers: Mapping[str, Path | None],
    *,
    embedder: str = "minilm",
    model_dir: Path | None = None,
    limit_conversations: int = 2,
    rounds: int = 2,
    progress: Progress = quiet,
) -> dict[str, Any]:
    """Return the JSON of the comparison: figures of ``anamnos`` and of each peer under ``systems`` by their names.

    data    a LoCoMo file
    peers   name -> the environment that ``set_up`` made for it; None for a peer that needs none
    rounds  how often all are run, in turns; speeds are medians over them, recall is that of the last

    ``recall`` has, per group of questions, n and recall_frac at 5, 10 and 25; ``curve`` that of all questions at
    1, 2 … 25, and ``tokens`` how long, on average, so many turns are; ``anamnos_ahead`` per depth by how much better
    Anamnos is on all questions, and the 95 % interval of it over conversations (null if there is but one).
    Raises: ConfigError if an environment is not set up; InvalidInput for an unknown peer, none, or other data.
    """
    start, around = time.perf_counter(), surroundings()
    if not peers:
        raise InvalidInput("There is no peer to compare with.", hint="Name one: --peer dense")
    commands = {OURS: [sys.executable, "-m", "anamnos.bench.peers.ours"]}
    commands |= {name: command_of(name, env) for name, env in peers.items()}
    cases, asked = _cases(data, limit_conversations)
    request = {
        "embedder": embedder,
        "model_dir": str(model_dir) if model_dir else None,
        "top_k": _TOP_K,
        "cases": cases,
    }
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            with tempfile.TemporaryDirectory(prefix="anamnos-bench-") as folder:
                own = {**request, "folder": folder}
                runs[name].append(run_child(command, own, progress, environment=own_code()))
    turns = sum(len(case["turns"]) for case in cases)
    lengths = {turn["id"]: estimate_tokens(turn["text"]) for case in cases for turn in case["turns"]}
    ours = _recalls(runs[OURS][-1]["ranked"], asked)
    result: dict[str, Any] = {
        "benchmark": "compare",
        **around,
        "data": {
            "name": data.name,
            "sha256": sha256(data),
            "conversations": len(cases),
            "turns": turns,
            "questions": len(asked),
        },
        "embedder": {"id": runs[OURS][0]["embedder"]},
        "top_k": _TOP_K,
        "rounds": rounds,
        "systems": {name: _figures(found, asked, ours, turns, lengths) for name, found in runs.items()},
    }
    result["machine"]["load_average_at_end"] = load_average()
    result["seconds"] = round(time.perf_counter() - start, 1)
    return result


def _cases(data: Path, limit: int) -> tuple[list[dict[str, Any]], list[_Asked]]:
    """Return the cases of a request, and the questions that have evidence."""
    cases: list[dict[str, Any]] = []
    asked: list[_Asked] = []
    for number, record in enumerate(conversations(read_json(data), where=str(data))[:limit], start=1):
        name = str(record.get("sample_id") or f"conversation-{number}")
        known = [question for question in questions(record, sample_id=name) if question.evidence]
        asked += [_Asked(q.id, name, q.category, frozenset(f"{name}/{turn}" for turn in q.evidence)) for q in known]
        turns = [
            {
                "id": turn.message_id,
                "speaker": turn.speaker,
                "text": turn.content,
                "session": turn.session,
                "said_at": to_iso(turn.said_at),
            }
            for turn in read_conversation(record, sample_id=name)
            if turn.content.strip()
        ]
        cases.append({"id": name, "turns": turns, "queries": [{"id": q.id, "text": q.text} for q in known]})
    if not asked:
        raise InvalidInput(f"{data} has no questions with evidence.", hint="Is this a LoCoMo file?")
    return cases, asked


# --- figures


def _recalls(ranked: Mapping[str, Sequence[str]], asked: Sequence[_Asked]) -> NDArray[np.float64]:
    """Return recall_frac of each question at each depth from 1: (questions, 25)."""
    return np.array([[recall_frac(ranked[q.id], q.gold, k) for k in range(1, _TOP_K + 1)] for q in asked])


def _figures(
    runs: Sequence[Mapping[str, Any]],
    asked: Sequence[_Asked],
    ours: NDArray[np.float64],
    turns: int,
    lengths: Mapping[str, int],
) -> dict[str, Any]:
    last = runs[-1]
    found = (last["ranked"][question.id] for question in asked)
    tokens = [np.cumsum([lengths[name] for name in ranked] + [0] * (_TOP_K - len(ranked))) for ranked in found]
    recall = _recalls(last["ranked"], asked)
    categories = np.array([question.category for question in asked])
    groups = {"all": categories > 0} | {f"cat{number}": categories == number for number in sorted({*categories})}
    figures: dict[str, Any] = {
        "versions": last["versions"],
        "notes": last["notes"],
        "recall": {name: _means(recall[chosen]) for name, chosen in groups.items()},
        "curve": [round(float(mean), 4) for mean in recall.mean(axis=0)],
        "tokens": [round(float(mean), 1) for mean in np.mean(tokens, axis=0)],
        "add": _middle([run["add"] for run in runs]) if last["add"] else None,
        "bulk": _middle([run["bulk"] for run in runs]) if "bulk" in last else None,
        "search": _middle([run["search"] for run in runs]),
        "disk_bytes_per_memory": round(statistics.median(run["disk_bytes"] for run in runs) / turns, 1),
    }
    if last["system"] != OURS:
        of_case = [question.case for question in asked]
        ahead = {k: paired_difference(recall[:, k - 1], ours[:, k - 1], of_case) for k in DEPTHS}
        figures["anamnos_ahead"] = {
            f"recall_frac@{k}": {
                "mean": round(found.mean, 4),
                "interval": None if np.isnan(found.low) else [round(found.low, 4), round(found.high, 4)],
            }
            for k, found in ahead.items()
        }
    return figures


def _means(recall: NDArray[np.float64]) -> dict[str, float]:
    return {"n": len(recall), **{f"recall_frac@{k}": round(float(recall[:, k - 1].mean()), 4) for k in DEPTHS}}


def _middle(figures: Sequence[Mapping[str, float]]) -> dict[str, float]:
    middle = {name: significant(statistics.median(one[name] for one in figures)) for name in figures[0]}
    return {name: int(value) if name == "n" else value for name, value in middle.items()}
