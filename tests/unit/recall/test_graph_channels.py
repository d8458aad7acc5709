"""Channels beyond words and meaning, by hand: walks, activation, patterns, grains, second hops, facts as keys."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from math import exp, log
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from anamnos import Memory, Scope
from anamnos.cube import MemCube, Provenance, Role
from anamnos.ingest.plan import Planned
from anamnos.recall.channels.base import Channel
from anamnos.recall.channels.facts import FactsChannel
from anamnos.recall.channels.granularity import GranularityChannel
from anamnos.recall.channels.graph import GraphChannel
from anamnos.recall.channels.hopfield import HopfieldChannel
from anamnos.recall.channels.keyword import KeywordChannel
from anamnos.recall.channels.second_hop import SecondHopChannel
from anamnos.recall.channels.spreading import SpreadingChannel
from anamnos.recall.fusion import WeightedChannel
from anamnos.recall.recipe import Recipe
from anamnos.recipes import RECIPES

ANN = Scope(user="ann")
MEANINGS = {"north": (1.0, 0.0), "east": (0.0, 1.0), "northeast": (0.6, 0.8)}
PASSAGES = [
    ("The Grey Heron", "A film of 1971 by Ilse Maurer."),
    ("Ilse Maurer", "She was born in Graz."),
    ("Blue Tern", "A film of 1950."),
    ("Otter", "It swims."),
    ("Graz", "A town with a clock."),
    ("Beaver", "It builds."),
]


class Compass:
    """An embedder that knows three words; all others mean the south."""

    id = "compass"
    dim = 2

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        last = [text.split()[-1].casefold().rstrip("?") if text.split() else "" for text in texts]
        return np.array([MEANINGS.get(word, (-1.0, 0.0)) for word in last], dtype=np.float32).reshape(-1, 2)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory(tmp_path / "vault", embedder=Compass()) as memory:
        yield memory


def tell(memory: Memory, *texts: str, session: str | None = None) -> None:
    memory.add(
        [{"role": "user", "name": "Ann", "content": text, "id": text} for text in texts],
        Scope(user="ann", session=session),
    )


def read(memory: Memory, folder: Path) -> None:
    path = folder / "passages.json"
    path.write_text(json.dumps([{"title": title, "text": text} for title, text in PASSAGES]))
    memory.ingest(path, ANN)


def raw(memory: Memory, question: str, channel: Channel, *, late: bool = False) -> dict[str, float]:
    """Return the raw scores by text or title."""
    part = (WeightedChannel(channel, 1.0),)
    words = (WeightedChannel(KeywordChannel("turn"), 1.0),)
    memory._recaller.recipe = Recipe("test", "test", words if late else part, late=part if late else ())
    hits = memory.search(question, ANN, top_k=50)
    return {str(hit.content).splitlines()[0]: hit.channels[channel.name].raw for hit in hits}


# --- hopfield


def test_a_sharp_pattern_is_the_nearest_memory(memory: Memory) -> None:
    tell(memory, "north", "east")
    found = raw(memory, "northeast", HopfieldChannel(beta=500))
    assert found == pytest.approx({"north": 0, "east": 1}, abs=1e-4)


def test_a_flat_pattern_is_the_mean(memory: Memory) -> None:
    tell(memory, "north", "east")
    found = raw(memory, "northeast", HopfieldChannel(beta=0))
    assert found == pytest.approx({"north": 0.5**0.5, "east": 0.5**0.5}, abs=1e-4)


def test_a_pattern_by_hand(memory: Memory) -> None:
    tell(memory, "north", "east")
    north, east = exp(10 * 0.6), exp(10 * 0.8)
    length = (north**2 + east**2) ** 0.5
    found = raw(memory, "northeast", HopfieldChannel(beta=10))
    assert found == pytest.approx({"north": north / length, "east": east / length}, abs=1e-4)


# --- granularity


def test_grains_that_are_one_are_the_cosine(memory: Memory) -> None:
    """Without sessions a memory is its own window and session."""
    tell(memory, "north", "east", "northeast")
    assert raw(memory, "east", GranularityChannel()) == pytest.approx(
        {"north": 0, "east": 1, "northeast": 0.8}, abs=1e-3
    )


def test_the_grain_that_tells_memories_apart_counts_most(memory: Memory) -> None:
    tell(memory, "north", "east", session="a")
    # as a session both are alike, so that grain has no weight; turn (1, 0); window (2, 1) / sqrt(5)
    window = np.array([2, 1]) / 5**0.5

    def certain(sims: NDArray[np.float64]) -> float:
        chances = np.exp(sims) / np.exp(sims).sum()
        return float(1 + (chances * np.log(chances)).sum() / log(2))

    turn = np.array([1.0, 0.0])
    of_turn, of_window = certain(turn / 0.5), certain(window / 0.5)
    expected = (of_turn * turn + of_window * window) / (of_turn + of_window)
    found = raw(memory, "north", GranularityChannel(tau=0.5))
    assert [found["north"], found["east"]] == pytest.approx(expected.tolist(), abs=1e-4)


@pytest.mark.parametrize("channel", [GranularityChannel(), HopfieldChannel(), GraphChannel(), SpreadingChannel()])
def test_one_memory_alone(memory: Memory, channel: Channel) -> None:
    tell(memory, "north")
    assert np.isfinite(raw(memory, "north", channel)["north"])


# --- the graph


def test_a_memory_that_shares_a_word_with_the_best_is_near(memory: Memory) -> None:
    told = ("the lighthouse lies north", "Mara striped the lighthouse", "rain again", "nothing new")
    for number, text in enumerate(told):
        tell(memory, text, session=str(number))
    for channel in (GraphChannel(by_documents=1), SpreadingChannel()):
        found = raw(memory, "north", channel)
        assert found["Mara striped the lighthouse"] > found["rain again"] == found["nothing new"]


def test_activation_leaves_its_own_out(memory: Memory) -> None:
    for session, text in (("a", "one north"), ("b", "two east")):
        tell(memory, text, session=session)
    found = raw(memory, "north", SpreadingChannel(hops=1))
    # only "one north" has a cosine above 0; it reaches the speaker's name, and in one step no other memory
    assert found == {"one north": 0, "two east": 0}


def test_words_of_the_cue_are_seeds(memory: Memory, tmp_path: Path) -> None:
    read(memory, tmp_path)
    found = raw(memory, "film", GraphChannel(by_documents=0))
    best = sorted(found, key=lambda title: -found[title])[:2]
    assert set(best) == {"The Grey Heron", "Blue Tern"}
    assert found["Beaver"] == 0
    assert found["Ilse Maurer"] > 0  # which the one names


# --- second hop


def test_the_second_query_has_names_and_what_is_left_open(memory: Memory, tmp_path: Path) -> None:
    read(memory, tmp_path)
    found = raw(memory, "Where was the director of The Grey Heron born?", SecondHopChannel(), late=True)
    assert max((title for title in found if title != "The Grey Heron"), key=lambda t: found[t]) == "Ilse Maurer"
    assert found["The Grey Heron"] == found["Ilse Maurer"]  # the first keeps its lead
    assert found["Otter"] == found["Beaver"] < 0


def test_a_comparison_goes_on_to_the_other_side(memory: Memory, tmp_path: Path) -> None:
    read(memory, tmp_path)
    found = raw(memory, "Which film came first, The Grey Heron or Blue Tern?", SecondHopChannel(), late=True)
    assert found["Blue Tern"] > found["Graz"]


def test_a_conversation_has_no_second_hop(memory: Memory) -> None:
    tell(memory, "The Heron of Graz", "Ilse knows Graz", "Rain")
    assert set(raw(memory, "heron", SecondHopChannel(), late=True).values()) == {0.0}


def test_the_recipe_for_passages_finds_both(memory: Memory, tmp_path: Path) -> None:
    read(memory, tmp_path)
    memory._recaller.recipe = RECIPES["passages-v1"]
    hits = memory.search("Where was the director of The Grey Heron born?", ANN, top_k=2)
    assert {str(hit.content).splitlines()[0] for hit in hits} == {"The Grey Heron", "Ilse Maurer"}


# --- facts as further keys


def derive(memory: Memory, text: str, *sources: str) -> str:
    """Remember what follows from turns, as ``enrich`` does, and return its id."""
    turns = {cube.content: cube for cube in memory.list(ANN)}
    cube = MemCube(
        id=memory._new_id(memory._clock()),
        content=text,
        scope=turns[sources[0]].scope,
        role=Role.FACT,
        provenance=Provenance(derived_from=tuple(turns[source].id for source in sources)),
    )
    (cube_id,) = memory._write(memory._ops([Planned(text.encode()[:16].ljust(16), cube=cube)])).ids
    return cube_id


def test_a_turn_scores_as_the_best_of_its_words_and_its_facts(memory: Memory) -> None:
    tell(memory, "north", "south")
    facts = FactsChannel("meaning")
    assert raw(memory, "east", facts) == pytest.approx({"north": 0, "south": 0}, abs=1e-3)
    derive(memory, "lies northeast", "north")
    assert raw(memory, "east", facts) == pytest.approx({"north": 0.8, "south": 0}, abs=1e-3)
    assert memory.search("east", ANN)[0].reason == "what follows from it is close in meaning (0.80)"
    assert raw(memory, "north", facts)["north"] == pytest.approx(1, abs=1e-3)  # its own words are closer
    east = derive(memory, "east", "south", "north")
    assert raw(memory, "east", facts) == pytest.approx({"north": 1, "south": 1}, abs=1e-3)
    memory.delete(east, ANN)
    assert raw(memory, "east", facts) == pytest.approx({"north": 0.8, "south": 0}, abs=1e-3)
    turn = next(cube for cube in memory.list(ANN) if cube.content == "north")
    memory.update(turn.id, ANN, content="moved north")  # in its new version it has the same facts
    assert raw(memory, "east", facts)["moved north"] == pytest.approx(0.8, abs=1e-3)
    memory.delete(turn.id, ANN)  # and they go with it
    assert raw(memory, "east", facts) == pytest.approx({"south": 0}, abs=1e-3)


def test_words_of_a_fact_lead_to_its_turn(memory: Memory) -> None:
    tell(memory, "north", "south")
    derive(memory, "a heron nests here", "south")
    found = raw(memory, "heron", FactsChannel("words"))
    assert found["south"] > found["north"] == 0


def test_facts_of_another_session_do_not_count(memory: Memory) -> None:
    tell(memory, "north", session="a")
    tell(memory, "south", session="b")
    for text, turn in (("lies east of the heron", "north"), ("a heron, a heron", "south")):
        derive(memory, text, turn)
    memory._recaller.recipe = Recipe("t", "t", (WeightedChannel(FactsChannel("words"), 1.0),))
    (alone,) = memory.search("heron", Scope(user="ann", session="a"))
    memory.delete([c.id for c in memory.list(Scope(user="ann", session="b"))], ANN)
    (after,) = memory.search("heron", Scope(user="ann", session="a"))
    assert alone.channels["facts.words"].raw == after.channels["facts.words"].raw > 0
