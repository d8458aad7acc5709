"""Metrics of answers by hand, and the benchmark on two tiny conversations."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from anamnos.bench.answers import bleu_1, exact_match, judge_by_rule, locomo_f1, rouge_l, substring_match, token_f1
from anamnos.cli.bench import bench


def test_words_are_compared_without_case_articles_and_punctuation() -> None:
    assert exact_match("The Blue Pot!", "blue pot") == 1
    assert substring_match("It is under a blue pot.", "the blue pot") == 1
    assert substring_match("red pot", "blue pot") == 0


def test_f1_is_the_harmonic_mean_of_shared_words() -> None:
    # 2 shared of 3 and of 2: precision 2/3, recall 1
    assert token_f1("old blue pot", "blue pot") == pytest.approx(0.8)
    assert token_f1("pot pot", "pot") == pytest.approx(2 / 3)  # a repeated word counts once
    assert token_f1("", "pot") == 0


def test_locomo_f1_by_category() -> None:
    assert locomo_f1("pottery, running", "running, pottery", 1) == 1  # parts in any order
    assert locomo_f1("pottery", "running, pottery", 1) == pytest.approx(0.5)
    assert locomo_f1("likely yes", "yes; because she said so", 3) == pytest.approx(2 / 3)
    assert locomo_f1("walked", "walking", 4) == 1  # stems
    assert locomo_f1("No information available", "", 5) == 1
    assert locomo_f1("in May", "", 5) == 0


def test_bleu_and_rouge_by_hand() -> None:
    assert bleu_1("blue pot", "blue pot") == pytest.approx(1)
    assert bleu_1("blue", "blue pot") == pytest.approx(0.3679, abs=1e-3)  # e^(1 - 2/1)
    # longest common subsequence of 2: precision 2/3, recall 2/2
    assert rouge_l("blue old pot", "blue pot") == pytest.approx(0.8)


def test_the_judge_by_rules_wants_the_words_and_the_numbers() -> None:
    assert judge_by_rule("When?", "7 May 2023", "It was on 7 May 2023").correct
    assert not judge_by_rule("When?", "7 May 2023", "It was on 8 May 2023").correct
    assert not judge_by_rule("What?", "a blue pot", "").correct


def test_the_command_writes_its_section(locomo_data: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    options = ["--data", str(locomo_data), "--embedder", "hashing", "--report", str(page)]
    done = CliRunner().invoke(bench, ["answers", *options])
    assert done.exit_code == 0, done.output
    text = page.read_text("utf-8")
    assert "Answers without a language model" in text
    assert "| all |" in text
