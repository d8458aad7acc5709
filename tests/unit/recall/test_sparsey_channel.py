"""Codes in common with the cue, as a channel of recall."""

from pathlib import Path

from anamnos import Memory, Scope
from anamnos.embed.hashing import HashingEmbedder
from anamnos.recall.channels.sparsey import SparseyChannel
from anamnos.recall.fusion import WeightedChannel
from anamnos.recall.recipe import Recipe

ANN = Scope(user="ann")
TEXTS = [
    "The heron nests by the mill",
    "Bread needs salt and time",
    "The heron nests near the mill",
    "Graz has a clock",
]


def test_what_shares_most_winners_with_the_cue_comes_first(tmp_path: Path) -> None:
    with Memory(tmp_path, embedder=HashingEmbedder()) as memory:
        for text in TEXTS:
            memory.add(text, ANN)
        memory._recaller.recipe = Recipe("codes", "test", (WeightedChannel(SparseyChannel(standardise=False), 1.0),))
        found = memory.search(TEXTS[0], ANN, top_k=4)
        assert [hit.cube.text for hit in found][:2] == [TEXTS[0], TEXTS[2]]
        assert found[0].channels["sparsey"].raw > 0.95
        assert found[1].channels["sparsey"].raw > found[2].channels["sparsey"].raw
        memory.delete(found[0].cube.id, ANN)
        memory.add("A heron by the old mill", ANN)
        assert memory.search(TEXTS[0], ANN, top_k=4)[0].cube.text == TEXTS[2]
