"""Anamnos and a peer side by side: the same turns, questions, embedder and machine, in one run."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from anamnos.bench import metrics
from anamnos.bench.child import run_child
from anamnos.bench.peers.setup import check_set_up, interpreter, peer
from anamnos.bench.surroundings import load_average, sha256, surroundings
from anamnos.bench.timing import Progress, quiet, significant
from anamnos.cube import to_iso
from anamnos.errors import InvalidInput
from anamnos.ingest.readers.files import read_json
from anamnos.ingest.readers.locomo import conversations, questions, read_conversation

_OURS = "anamnos.bench.peers.ours"


def run_compare(
    data: Path,
    peer_name: str,
    env: Path,
    *,
    embedder: str = "minilm",
    model_dir: Path | None = None,
    limit_conversations: int = 2,
    rounds: int = 2,
    top_k: int = 10,
    progress: Progress = quiet,
) -> dict[str, Any]:
    """Return the JSON of the comparison: figures of ``anamnos`` and of the peer under their names.

    data    a LoCoMo file
    env     the environment that ``set_up`` made for the peer
    rounds  how often both are run, in turns; speeds are medians over them, recall is the same in each
    Raises: ConfigError if the environment is not set up; InvalidInput if the data is not LoCoMo.
    """
    start, around = time.perf_counter(), surroundings()
    module = peer(peer_name).module
    check_set_up(peer_name, env)
    cases, evidence = _cases(data, limit_conversations)
    request = {
        "embedder": embedder,
        "model_dir": str(model_dir) if model_dir else None,
        "top_k": top_k,
        "cases": cases,
    }
    runs: dict[str, list[dict[str, Any]]] = {"anamnos": [], peer_name: []}
    commands = {"anamnos": [sys.executable, "-m", _OURS], peer_name: [str(interpreter(env)), "-m", module]}
    for _ in range(rounds):
        for name, command in commands.items():
            with tempfile.TemporaryDirectory(prefix="anamnos-bench-") as folder:
                runs[name].append(run_child(command, {**request, "folder": folder}, progress))
    turns = sum(len(case["turns"]) for case in cases)
    result: dict[str, Any] = {
        "benchmark": "compare",
        **around,
        "data": {
            "name": data.name,
            "sha256": sha256(data),
            "conversations": len(cases),
            "turns": turns,
            "questions": len(evidence),
        },
        "embedder": {"id": runs["anamnos"][0]["embedder"]},
        "top_k": top_k,
        "rounds": rounds,
        "systems": {name: _figures(found, evidence, turns, top_k) for name, found in runs.items()},
    }
    result["machine"]["load_average_at_end"] = load_average()
    result["seconds"] = round(time.perf_counter() - start, 1)
    return result


def _cases(data: Path, limit: int) -> tuple[list[dict[str, Any]], dict[str, set[str]]]:
    """Return the cases of a request, and the turns that hold the evidence of each question that has some."""
    cases: list[dict[str, Any]] = []
    evidence: dict[str, set[str]] = {}
    for number, record in enumerate(conversations(read_json(data), where=str(data))[:limit], start=1):
        name = str(record.get("sample_id") or f"conversation-{number}")
        asked = [question for question in questions(record, sample_id=name) if question.evidence]
        evidence |= {question.id: {f"{name}/{turn}" for turn in question.evidence} for question in asked}
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
        cases.append({"id": name, "turns": turns, "queries": [{"id": q.id, "text": q.text} for q in asked]})
    if not evidence:
        raise InvalidInput(f"{data} has no questions with evidence.", hint="Is this a LoCoMo file?")
    return cases, evidence


def _figures(
    runs: Sequence[Mapping[str, Any]], evidence: Mapping[str, set[str]], turns: int, top_k: int
) -> dict[str, Any]:
    last = runs[-1]
    recall = [metrics.recall_frac(last["ranked"][name], gold, top_k) for name, gold in evidence.items()]
    figures = {
        "versions": last["versions"],
        "notes": last["notes"],
        "n": len(recall),
        f"recall_frac@{top_k}": round(statistics.fmean(recall), 4),
        "add": _middle([run["add"] for run in runs]),
        "search": _middle([run["search"] for run in runs]),
        "disk_bytes_per_memory": round(statistics.median(run["disk_bytes"] for run in runs) / turns, 1),
    }
    if "bulk" in last:
        figures["bulk"] = _middle([run["bulk"] for run in runs])
    return figures


def _middle(figures: Sequence[Mapping[str, float]]) -> dict[str, float]:
    middle = {name: significant(statistics.median(one[name] for one in figures)) for name in figures[0]}
    return {name: int(value) if name == "n" else value for name, value in middle.items()}
