"""Fact consolidation answered through the values that hold now."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from anamnos.bench.retrieval import summary
from anamnos.bench.sets.twin_facts import LEVEL, answered, facts_twin
from anamnos.cli.bench import bench
from anamnos.embed.hashing import HashingEmbedder


@pytest.mark.parametrize(("seed", "conflicts"), [(0, 0.5), (1, 1.0)])
def test_every_chain_of_current_values_is_followed(seed: int, conflicts: float) -> None:
    """The acceptance: single-hop all, multi-hop 90 %."""
    rows = answered(facts_twin(seed, subjects=12, conflicts=conflicts), HashingEmbedder())
    scores = summary(rows, LEVEL)
    assert scores["single-hop"]["answered"] == 1.0
    assert min(scores["2-hop"]["answered"], scores["3-hop"]["answered"]) >= 0.9
    assert scores["all"]["n"] == 36


def test_the_command_shows_it_beside_what_search_finds() -> None:
    done = CliRunner().invoke(bench, ["twins", "--twin", "facts", "--embedder", "hashing", "--limit", "9", "--json"])
    assert done.exit_code == 0, done.output
    levels = json.loads(done.stdout)["levels"]
    assert levels[LEVEL]["all"]["n"] == levels["fact"]["all"]["n"] == 9
