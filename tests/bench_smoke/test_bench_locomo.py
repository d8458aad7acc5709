"""The LoCoMo benchmark on two tiny conversations written for this test."""

import json
from pathlib import Path
from typing import Any

import pytest

from anamnos.bench.dialogues import SESSION_DEPTHS, TURN_DEPTHS
from anamnos.bench.locomo import run_locomo
from anamnos.embed.hashing import HashingEmbedder
from anamnos.errors import InvalidInput


def test_questions_without_evidence_are_left_out_and_counted(locomo_result: dict[str, Any]) -> None:
    assert locomo_result["data"] | {"sha256": ""} == {
        "name": "tiny.json",
        "sha256": "",
        "conversations": 2,
        "turns": 6,
        "questions": 5,
        "excluded": 1,
        "skipped": 0,
        "pooled": False,
    }
    assert {name: scores["n"] for name, scores in locomo_result["turn"].items()} == {
        "all": 4,
        "cat1-4": 4,
        "cat1": 1,
        "cat2": 1,
        "cat4": 2,
    }


def test_all_metrics_are_there_and_right(locomo_result: dict[str, Any]) -> None:
    turn, session = locomo_result["turn"]["all"], locomo_result["session"]["all"]
    assert {f"recall_frac@{k}" for k in TURN_DEPTHS} <= set(turn)
    assert {"recall_any@10", "recall_all@10", "mrr", "ndcg@10"} <= set(turn)
    assert {f"recall_frac@{k}" for k in SESSION_DEPTHS} | {"hit@1"} <= set(session)
    assert turn["recall_frac@10"] == 1.0  # no conversation has more than four turns
    assert session["recall_frac@3"] == 1.0
    assert locomo_result["turn"]["cat4"]["hit@1"] == 1.0
    assert locomo_result["session"]["hit@1"] == session["hit@1"]


def test_speed_and_size_are_measured(locomo_result: dict[str, Any]) -> None:
    ingest = locomo_result["ingest"]
    assert len(ingest["runs"]) == 2
    assert min(ingest[name] for name in ("turns_per_s", "embedder_texts_per_s", "ratio")) > 0
    assert locomo_result["add"]["n"] == 3
    assert locomo_result["search"]["n"] == 4
    assert 0 < locomo_result["search"]["p50_ms"] <= locomo_result["search"]["p95_ms"]
    assert locomo_result["disk_bytes_per_memory"] > 0
    assert locomo_result["machine"]["cpus"] >= 1
    assert locomo_result["limits"] == [], "they are set for the default embedder, not for hashing"


def test_a_file_without_questions_is_refused(locomo_data: Path, tmp_path: Path) -> None:
    path = tmp_path / "none.json"
    records = json.loads(locomo_data.read_text("utf-8"))
    path.write_text(json.dumps([record | {"qa": []} for record in records]), "utf-8")
    with pytest.raises(InvalidInput, match="no questions with evidence"):
        run_locomo(path, HashingEmbedder())


def test_only_the_first_conversations_if_asked(locomo_data: Path) -> None:
    result = run_locomo(locomo_data, HashingEmbedder(), limit_conversations=1, repeats=1, adds=1)
    assert result["data"]["conversations"] == 1


def test_conversations_may_be_passed_over_or_pooled(locomo_data: Path) -> None:
    options: dict[str, Any] = {"repeats": 1, "adds": 1}
    both = run_locomo(locomo_data, HashingEmbedder(), **options)
    second = run_locomo(locomo_data, HashingEmbedder(), skip_conversations=1, **options)
    pooled = run_locomo(locomo_data, HashingEmbedder(), pooled=True, **options)
    assert second["data"]["turns"] == both["data"]["turns"]
    assert 0 < second["data"]["questions"] < both["data"]["questions"] == pooled["data"]["questions"]
    assert pooled["turn"]["all"]["n"] == both["turn"]["all"]["n"]
    assert both["certainty"]["recall_low"] <= both["turn"]["all"]["recall_frac@10"] <= both["certainty"]["recall_high"]
    assert second["certainty"]["recall_low"] is None  # one conversation has no spread
