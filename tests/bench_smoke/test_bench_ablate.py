"""A recipe without each of its channels, and with each that it lacks."""

import ast
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from anamnos.bench.ablate import RememberingEmbedder, changes_of, run_ablate, served
from anamnos.bench.report import section, section_name
from anamnos.bench.timing import TimedEmbedder
from anamnos.cli.bench import bench
from anamnos.embed.hashing import HashingEmbedder
from anamnos.errors import ConfigError
from anamnos.recall import channels
from anamnos.recall.channels.dense import DenseChannel
from anamnos.recall.channels.keyword import KeywordChannel
from anamnos.recall.fusion import WeightedChannel
from anamnos.recipes import RECIPES, Recipe


def channels_of(recipe: Recipe) -> list[str]:
    return [part.channel.name for part in (*recipe.channels, *recipe.late)]


@pytest.mark.parametrize("name", RECIPES)
def test_each_change_is_one_channel(name: str) -> None:
    recipe = RECIPES[name]
    own = channels_of(recipe)
    anywhere = {channel for other in RECIPES.values() for channel in channels_of(other)}
    changes = changes_of(recipe)
    assert [change.name for change in changes] == [
        *(f"without {channel}" for channel in own),
        *(change.name for change in changes if change.name.startswith("with ")),
    ]
    for change in changes:
        word, channel = change.name.split()
        assert set(channels_of(change.recipe)) == ({*own} - {channel} if word == "without" else {*own, channel})
        assert change.recipe.bm25 == recipe.bm25
    assert {change.name for change in changes} >= {f"with {channel}" for channel in anywhere - set(own)}


def test_no_channel_is_forgotten() -> None:
    """Each kind of channel is in some recipe, or its parameters tell which values they take."""
    kinds = set()
    for path in Path(channels.__path__[0]).glob("*.py"):
        if path.stem != "base":
            tree = ast.parse(path.read_text("utf-8"))
            kinds |= {n.name for n in tree.body if isinstance(n, ast.ClassDef) and n.name.endswith("Channel")}
    changes = changes_of(RECIPES["zsum-v1"])
    parts = [part for change in changes for part in (*change.recipe.channels, *change.recipe.late)]
    assert {type(part.channel).__name__ for part in parts} == kinds


def test_it_finds_what_a_channel_is_worth(locomo_data: Path) -> None:
    result = json.loads(json.dumps(run_ablate(locomo_data, HashingEmbedder(), recipe="zsum-v1")))
    found = result["sets"]["LoCoMo"]
    assert found["n"] == 4
    assert found["recall_frac@10"] == 1.0  # there are no more than four turns to choose from
    assert {row["change"] for row in found["changes"]} == {c.name for c in changes_of(RECIPES["zsum-v1"])}
    assert all(row["difference"] == 0 and row["interval"] == [0, 0] for row in found["changes"])
    assert "| without speaker | 1 | 1.000 | 0.000 [0.000, 0.000] |" in section({**result, "command": ""})
    assert section_name(result).startswith("ablate-")


def test_a_harmful_channel_is_found(locomo_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recipe that prefers turns without the words of the question; without that channel it is as good as can be."""
    parts = (WeightedChannel(KeywordChannel("turn"), -9.0), WeightedChannel(DenseChannel("turn"), 1.0))
    monkeypatch.setitem(RECIPES, "harmed", Recipe("harmed", "for this test", parts))
    monkeypatch.setattr("anamnos.bench.ablate.DEPTH", 1)
    found = run_ablate(locomo_data, HashingEmbedder(), recipe="harmed")["sets"]["LoCoMo"]
    best = found["changes"][0]
    assert found["recall_frac@1"] == 0.125  # the question with two right turns shares no word with one of them
    assert (best["change"], best["weight"]) == ("without keyword.turn", -9.0)
    assert (best["recall_frac@1"], best["difference"]) == (0.875, 0.75)  # one of two right turns cannot be first
    assert "with speaker" in [row["change"] for row in found["changes"]]


def test_no_text_is_embedded_twice() -> None:
    watched = TimedEmbedder(HashingEmbedder())
    remembering = RememberingEmbedder(watched)
    first = remembering.embed(["a donkey", "a cello", "a donkey"])
    assert watched.texts == 2
    assert np.array_equal(remembering.embed(["a cello", "a donkey"]), first[[1, 0]])
    assert watched.texts == 2
    assert remembering.embed([]).shape == (0, remembering.dim)


def test_a_recipe_is_taken_as_the_embedder_can_serve_it() -> None:
    late = next(recipe for recipe in RECIPES.values() if recipe.otherwise is not None)
    assert served(late, HashingEmbedder()).name == late.otherwise.name  # it gives no vectors of single words
    assert served(late.otherwise, HashingEmbedder()).name == late.otherwise.name


def test_an_unknown_recipe_is_refused(locomo_data: Path) -> None:
    done = CliRunner().invoke(bench, ["ablate", "--data", str(locomo_data), "--recipe", "x", "--embedder", "hashing"])
    assert isinstance(done.exception, ConfigError)
    assert "zsum-v2" in str(done.exception.hint)
