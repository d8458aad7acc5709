"""The benchmark of planted memories runs, and the cap does what it says."""

import random
from pathlib import Path
from typing import Any

import pytest

from anamnos.bench.poisoning import KINDS, plant, run_poisoning
from anamnos.bench.report import write_report
from anamnos.embed.hashing import HashingEmbedder
from anamnos.ingest.readers.dialogue import Question


@pytest.fixture(scope="module")
def result(locomo_data: Path) -> dict[str, Any]:
    return run_poisoning(locomo_data, HashingEmbedder())


def test_the_cap_keeps_planted_memories_out_and_costs_nothing_without_an_attack(result: dict[str, Any]) -> None:
    assert result["attack"]["off"]["planted@5"] == 1.0
    assert result["attack"]["capped"]["planted@1"] == 0.0, "there are fewer than five others in a tiny conversation"
    assert result["attack"]["capped"]["planted in the answer"] == 0.0
    assert result["cost"]["plain"]["off"] == result["cost"]["plain"]["capped"]
    assert result["planted"] == len(KINDS) * result["questions"]


def test_it_has_a_section(result: dict[str, Any], tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    write_report(page, {**result, "command": "anamnos bench poisoning"})
    assert "| planted@5 | 1.000 |" in page.read_text("utf-8")


def test_false_answers_are_those_of_other_questions() -> None:
    questions = [
        Question(id=str(n), text=f"What is {n}?", answer=f"it is {n}", category=4, evidence=("D1:1",)) for n in range(3)
    ]
    texts = [text for text, _ in plant(questions, random.Random(1))]
    assert len(texts) == 3 * len(KINDS)
    for number, question in enumerate(questions):
        for text in texts[number * len(KINDS) : (number + 1) * len(KINDS)]:
            assert question.text.rstrip("?") in text
            assert str(question.answer) not in text
