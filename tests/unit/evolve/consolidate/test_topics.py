"""Topics say what their members have in common, in their words."""

from __future__ import annotations

import numpy as np

from anamnos.evolve.consolidate.topics import MIN_PARTS, centre, parents, phrases, topics
from anamnos.index.terms import TermReader
from anamnos.testing import FakeEmbedder

from .made import said

READER = TermReader()
SAILING = [
    "The sailing club meets at the harbour.",
    "Our sailing club bought a new anchor.",
    "I joined the sailing club in spring.",
    "The sailing club has a regatta, and it rains.",
]
BAKING = ["Sourdough needs a hot oven.", "My sourdough starter died.", "Rye sourdough bread again.", "Sourdough!"]
CUBES = [said(text, day) for day, text in enumerate(SAILING + BAKING)]
VECTORS = FakeEmbedder(64).embed([cube.text for cube in CUBES])
GROUPS = [np.arange(4), np.arange(4, 8)]


def test_phrases_are_words_that_count_and_pairs_side_by_side() -> None:
    assert phrases("The sailing club of 2024, at the club: harbour", READER.spans) == [
        "sailing",
        "club",
        "sailing club",
        "club",
        "harbour",
    ]


def test_a_topic_has_what_its_members_share_and_others_do_not() -> None:
    found = topics(CUBES, VECTORS, GROUPS, READER.spans)
    assert [topic.wording.title for topic in found] == ["sailing club", "sourdough"]
    assert found[0].members == tuple(cube.id for cube in CUBES[:4])
    assert len(found[0].wording.lines) == 3


def test_nothing_in_it_is_invented() -> None:
    for topic, texts in zip(topics(CUBES, VECTORS, GROUPS, READER.spans), (SAILING, BAKING), strict=True):
        assert all(line in texts for line in topic.wording.lines)
        assert all(any(phrase in text.casefold() for text in texts) for phrase in topic.phrases)
        assert topic.wording.sources == tuple(texts)


def test_the_texts_nearest_to_the_middle_speak_for_it() -> None:
    vectors = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.8, 0.3]], dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    (found,) = topics(CUBES[:4], vectors, [np.arange(4)], READER.spans)
    nearest = np.argsort(-(vectors @ centre(vectors)))[:3]
    assert found.wording.lines == tuple(SAILING[place] for place in nearest)
    assert SAILING[2] not in found.wording.lines


def test_members_that_share_no_word_are_named_by_the_first_text() -> None:
    (found,) = topics(CUBES[3:5], VECTORS[3:5], [np.arange(2)], READER.spans)
    assert found.phrases == () and found.wording.title == found.wording.lines[0]


def test_a_long_text_is_cut_at_a_word() -> None:
    long = said("sailing " * 200)
    (found,) = topics([long, long], np.ones((2, 2), dtype=np.float32), [np.arange(2)], READER.spans)
    assert len(found.wording.lines[0]) <= 242 and found.wording.lines[0].endswith("sailing …")


def test_topics_of_topics_need_four_parts() -> None:
    small = topics(CUBES, VECTORS, [np.array([n, n + 1]) for n in range(4)], READER.spans)
    centres = np.stack([centre(VECTORS[n : n + 2]) for n in range(4)])
    assert parents(small, centres, [np.arange(MIN_PARTS - 1)]) == []
    (found,) = parents(small, centres, [np.arange(4)])
    assert found.parts == (0, 1, 2, 3) and found.members == ()
    assert all(any(phrase in topic.phrases for topic in small) for phrase in found.phrases)
