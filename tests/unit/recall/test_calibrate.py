"""Weights fitted to known questions: by hand, adopted only if they help, kept in the vault."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from anamnos import Memory, Scope
from anamnos.cli.main import cli
from anamnos.errors import InvalidInput
from anamnos.recall.calibrate import Labelled, calibrate, fit, with_weights
from anamnos.recall.channels.dense import DenseChannel
from anamnos.recall.channels.speaker import SpeakerChannel
from anamnos.recall.fusion import WeightedChannel
from anamnos.recall.recipe import Recipe
from anamnos.testing import FakeEmbedder

ANN = Scope(user="ann")
RECIPE = Recipe("two", "test", (WeightedChannel(DenseChannel("turn"), 1.0), WeightedChannel(SpeakerChannel(), 0.0)))


def questions(count: int, *, told_by: int, seed: int = 0) -> list[Labelled]:
    """Return questions of 30 candidates whose answer has the highest score of one of two channels."""
    draw = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        scores = draw.normal(size=(30, 2))
        answer = np.zeros(30, dtype=bool)
        answer[scores[:, told_by].argmax()] = True
        found.append(Labelled(scores, answer, 1))
    return found


def test_a_fit_finds_the_channel_that_tells() -> None:
    weights = fit(questions(60, told_by=1), np.array([1.0, 0.0]))
    assert weights[1] > 1 > abs(weights[0])


def test_the_slope_is_zero_at_the_fit() -> None:
    asked, start = questions(40, told_by=0, seed=3), np.array([0.5, 0.5])

    def loss(weights: np.ndarray) -> float:
        parts = [np.log(np.exp(q.scores @ weights).sum()) - (q.scores[q.answer] @ weights).mean() for q in asked]
        return float(np.mean(parts) + 0.02 * ((weights - start) ** 2).sum())

    best = fit(asked, start)
    for side in np.eye(2) * 1e-3:
        assert loss(best) < loss(best + side)
        assert loss(best) < loss(best - side)


def test_weights_that_help_are_adopted_and_others_are_not() -> None:
    better = calibrate(questions(100, told_by=1), RECIPE)
    assert better.adopted
    assert better.after > better.before + 2 * better.error
    assert set(better.weights) == {"dense.turn", "speaker"}
    same = calibrate(questions(100, told_by=0), RECIPE)
    assert not same.adopted
    assert same.before == 1.0


def test_a_recipe_with_other_weights_keeps_the_rest() -> None:
    changed = with_weights(RECIPE, {"speaker": 3.0})
    assert [part.weight for part in changed.channels] == [1.0, 3.0]
    assert changed.name == RECIPE.name


def test_too_few_questions_are_refused() -> None:
    with pytest.raises(InvalidInput, match="19 questions"):
        calibrate(questions(19, told_by=0), RECIPE)


def test_a_vault_keeps_its_weights(tmp_path: Path) -> None:
    """Bo's turns answer every question, whatever its words: weighing the speaker helps."""
    with Memory(tmp_path, embedder=FakeEmbedder()) as memory:
        draw = np.random.default_rng(5)
        words = [f"word{n}" for n in range(12)]
        chat = [
            {"role": "user", "name": ("Ann", "Bo")[n % 2], "content": " ".join(draw.choice(words, 4)), "id": f"m{n}"}
            for n in range(120)
        ]
        memory.add(chat, ANN)
        ids = [f"m{n}" for n in range(1, 120, 2)]
        asked = [(f"Bo {' '.join(draw.choice(words, 2))}", ids[:10]) for _ in range(40)]
        look = memory.calibrate(asked, ANN, adopt=False)
        assert memory._recaller.recipe.otherwise is not None
        plain = {part.channel.name: part.weight for part in memory._recaller.recipe.otherwise.channels}
        result = memory.calibrate(asked, ANN)
        assert result == look
        with pytest.raises(InvalidInput):
            memory.calibrate(asked[:5], ANN)
    with Memory(tmp_path, embedder=FakeEmbedder()) as memory:
        assert memory._recaller.recipe.otherwise is not None
        kept = {part.channel.name: part.weight for part in memory._recaller.recipe.otherwise.channels}
        assert kept == (dict(result.weights) if result.adopted else plain)


def test_the_command_reads_questions_and_names_a_bad_line(tmp_path: Path) -> None:
    vault = str(tmp_path / "vault")
    with Memory(vault, embedder="hashing") as memory:
        receipt = memory.add([{"role": "user", "content": f"pear number {n}"} for n in range(25)], ANN)
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join(json.dumps({"question": f"pear {n}", "answers": [i]}) for n, i in enumerate(receipt.ids)))
    run = CliRunner().invoke(cli, ["calibrate", str(path), "--vault", vault, "--user", "ann", "--dry-run", "--json"])
    assert run.exit_code == 0, run.output
    assert json.loads(run.stdout)["questions"] == 25
    path.write_text('{"question": "a?", "answers": ["x"]}\n{"question": "b?"}\n')
    run = CliRunner().invoke(cli, ["calibrate", str(path), "--vault", vault, "--user", "ann"])
    assert run.exit_code != 0
    assert "line 2" in run.stderr
