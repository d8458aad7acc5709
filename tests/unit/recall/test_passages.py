"""Questions over passages: from the best one to those that it names. Who took part, among many conversations."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from anamnos import Memory, Scope
from anamnos.recall.channels.present import PresentChannel
from anamnos.recall.channels.second_query import SecondQueryChannel
from anamnos.recall.channels.title_link import TitleLinkChannel
from anamnos.recall.fusion import WeightedChannel
from anamnos.recall.recipe import Recipe
from anamnos.recipes import RECIPES
from anamnos.testing import FakeEmbedder

ANN = Scope(user="ann")
PASSAGES = [
    {"title": "The Grey Heron (film)", "text": "The Grey Heron is a film of 1971, directed by Ilse Maurer."},
    {"title": "Ilse Maurer", "text": "She was born in Graz and studied law."},
    {"title": "Graz", "text": "A town on the Mur, known for its clock tower."},
    {"title": "Heron", "text": "A bird that stands in shallow water."},
    {"title": "Tower", "text": "A high building."},
]


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    path = tmp_path / "passages.json"
    path.write_text(json.dumps(PASSAGES))
    with Memory(tmp_path / "vault", embedder=FakeEmbedder()) as memory:
        memory.ingest(path, ANN)
        plain = RECIPES["zsum-v2"].channels
        late = (WeightedChannel(SecondQueryChannel(), 0.3), WeightedChannel(TitleLinkChannel(), 0.7))
        memory._recaller.recipe = Recipe("passages", "test", plain, late=late)
        yield memory


def channels(memory: Memory, question: str, scope: Scope = ANN) -> dict[str, dict[str, float]]:
    hits = memory.search(question, scope)
    names = {str(hit.content).splitlines()[0]: hit for hit in hits}
    return {title: {name: score.raw for name, score in hit.channels.items()} for title, hit in names.items()}


def test_the_names_in_the_best_passage_are_a_second_query(memory: Memory) -> None:
    found = channels(memory, "Where was the director of The Grey Heron born?")
    second = {title: seen["second_query"] for title, seen in found.items()}
    assert second["Ilse Maurer"] == max(second.values())
    assert second["The Grey Heron (film)"] == second["Ilse Maurer"]  # what it leads to never overtakes it
    assert second["Heron"] == pytest.approx(second["Tower"])  # "heron" stands in the question already


def test_titles_that_the_best_passages_mention_are_linked(memory: Memory) -> None:
    found = channels(memory, "Where was the director of The Grey Heron born?")
    linked = {title for title, seen in found.items() if seen["title_link"]}
    assert "Ilse Maurer" in linked
    assert "Heron" in linked
    assert "Tower" not in linked


def test_a_conversation_leads_nowhere(memory: Memory) -> None:
    bob = Scope(user="bob", session="Heron")
    memory.add(
        [{"role": "user", "name": "Bo", "content": f"The Heron of Graz, {n}.", "id": str(n)} for n in range(4)], bob
    )
    for hit in memory.search("Which Heron is it?", bob):
        assert hit.channels["second_query"].raw == 0
        assert hit.channels["title_link"].raw == 0


def test_sessions_in_which_the_named_took_part_come_first(tmp_path: Path) -> None:
    with Memory(tmp_path, embedder=FakeEmbedder()) as memory:
        for session, names in (("a", ("Ann", "Bo")), ("b", ("Ann", "Cy")), ("c", ("Di", "Ed"))):
            chat = [
                {"role": "user", "name": name, "content": f"{name} rows", "id": f"{session}{name}"} for name in names
            ]
            memory.add(chat, Scope(user="x", session=session))
        memory._recaller.recipe = Recipe("who", "test", (WeightedChannel(PresentChannel(), 1.0),))
        hits = memory.search("What do Ann and Bo do?", Scope(user="x"))
        present = {(hit.cube.scope.session, hit.cube.provenance.actor): hit.channels["present"].raw for hit in hits}
        assert present == {
            ("a", "Ann"): 1.0,
            ("a", "Bo"): 1.0,
            ("b", "Ann"): 0.5,
            ("b", "Cy"): 0.5,
            ("c", "Di"): 0.0,
            ("c", "Ed"): 0.0,
        }
