"""What the cheap cues of zsum-v2 see: questions, replies, dates, words of time, the speaker's own affairs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from anamnos import Memory, Scope
from anamnos.index.space import SpaceIndex
from anamnos.index.terms import TermReader
from anamnos.recall.analyse import Cue, analyse
from anamnos.recall.fusion import best
from anamnos.recipes import RECIPES
from anamnos.testing import FakeEmbedder, ReferenceStore

ANN = Scope(user="ann")
CHAT = [
    ("Ann", "2024-05-06T18:00:00Z", "Have you found a flat in Porto?"),
    ("Bo", "2024-05-06T18:01:00Z", "Yes, we signed yesterday."),
    ("Ann", "2024-05-06T18:02:00Z", "Lovely."),
    ("Bo", "2024-06-20T09:00:00Z", "The flat has a balcony."),
    ("Ann", "2024-06-20T09:01:00Z", "I painted my kitchen."),
]


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory(tmp_path, embedder=FakeEmbedder()) as memory:
        messages = [
            {"role": "user", "name": who, "at": at, "content": text, "session": at[:7]} for who, at, text in CHAT
        ]
        memory.add(messages, ANN)
        yield memory


def cue(text: str) -> Cue:
    store = ReferenceStore().open()
    return analyse(text, SpaceIndex(store, ANN), ANN, TermReader())


def channel(memory: Memory, question: str, name: str) -> dict[str, float]:
    return {str(hit.content): hit.channels[name].raw for hit in memory.search(question, ANN)}


@pytest.mark.parametrize(
    ("text", "asks_when", "months", "days"),
    [
        ("When did Ann move?", True, (), ()),
        ("How long has Bo lived there?", True, (), ()),
        ("In which month was it?", True, (), ()),
        ("What did Ann do in May?", False, (5,), ()),
        ("May I ask what Ann may do?", False, (), ()),
        ("What happened on 7 May 2023?", False, (5,), ((2023, 5, 7),)),
        ("What happened on May 7th, 2023?", False, (5,), ((2023, 5, 7),)),
        ("Between 3rd of June and July 12?", False, (6, 7), ((None, 6, 3), (None, 7, 12))),
        ("What was bought in August 2023?", False, (8,), ()),
        ("On 45 June?", False, (6,), ()),
        ("", False, (), ()),
    ],
)
def test_dates_of_a_question(text: str, asks_when: bool, months: tuple[int, ...], days: tuple[object, ...]) -> None:
    found = cue(text)
    assert (found.asks_when, found.months, found.days) == (asks_when, months, days)


def test_a_question_is_marked_and_counts_against(memory: Memory) -> None:
    assert channel(memory, "flat in Porto", "question") == {text: float("?" in text) for _, _, text in CHAT}
    hits = memory.search("flat in Porto", ANN)
    assert next(hit for hit in hits if "?" in str(hit.content)).channels["question"].share == pytest.approx(-0.7)


def test_the_reply_inherits_what_its_question_means(memory: Memory) -> None:
    raw = channel(memory, "Have you found a flat in Porto?", "reply")
    assert raw["Yes, we signed yesterday."] > 1
    assert {text for text, score in raw.items() if score} == {"Yes, we signed yesterday."}


def test_a_month_and_a_day_are_looked_up_in_what_was_said(memory: Memory) -> None:
    assert sorted(channel(memory, "What was said in June?", "date.month").values()) == [0, 0, 0, 1, 1]
    raw = channel(memory, "What was said on 6 May 2024?", "date.day")
    assert raw["Lovely."] == pytest.approx(1.0)
    assert 0 < raw["The flat has a balcony."] < 1e-3
    near = channel(memory, "What was said on 18 June?", "date.day")["The flat has a balcony."]
    assert near == pytest.approx(2.718281828 ** (-(1 + 9 / 24) / 5), rel=1e-3), "a day and nine hours after it ended"
    assert not any(channel(memory, "What was said?", "date.day").values())


def test_dates_that_do_not_exist_change_nothing(memory: Memory) -> None:
    assert len(memory.search("on 31 February 0000, 99 May", ANN)) == 5
    assert len(memory.search("on 30 February 1999", ANN)) == 5


def test_words_of_time_count_more_when_a_time_is_asked_for(memory: Memory) -> None:
    assert channel(memory, "When did they sign?", "time_words.asked")["Yes, we signed yesterday."] == 1
    assert not any(channel(memory, "Did they sign?", "time_words.asked").values())
    assert channel(memory, "Did they sign?", "time_words")["Yes, we signed yesterday."] == 1


def test_the_first_person_counts_for_the_one_who_is_named(memory: Memory) -> None:
    raw = channel(memory, "What did Ann paint?", "first_person")
    assert raw["I painted my kitchen."] == pytest.approx(round(4 * 2 / 6**0.5) / 4), "two of five words"
    assert raw["Yes, we signed yesterday."] == 0, "that is Bo"
    assert not any(channel(memory, "What was painted?", "first_person").values())


def test_memories_without_a_time_or_a_session_are_fine(tmp_path: Path) -> None:
    with Memory(tmp_path, embedder="hashing") as memory:
        memory.add([{"role": "user", "content": "undated words"}], ANN)
        assert len(memory.search("words of May 2024?", ANN)) == 1


@pytest.mark.parametrize("name", list(RECIPES))
def test_every_recipe_finds_and_explains(tmp_path: Path, name: str) -> None:
    with Memory(tmp_path, embedder="hashing", recipe=name) as memory:
        for n, text in enumerate(["the key is under the pot", "the boat is blue", "rain"]):
            memory.add(text, ANN, created_at=datetime(2024, 1, 1 + n, tzinfo=UTC))
        hits = memory.search("where is the key", ANN, top_k=3)
        assert hits[0].content == "the key is under the pot"
        for hit in hits:
            assert hit.reason
            assert sum(score.share for score in hit.channels.values()) == pytest.approx(hit.rank_score, abs=1e-4)


def test_best_takes_exactly_so_many() -> None:

    scores = np.array([1, 3, 3, 2, 3], dtype=np.float32)
    assert best(scores, np.array([True] * 5), 2).tolist() == [1, 2], "equal scores keep the order of writing"
    assert best(scores, np.array([True, False, True, True, False]), 9).tolist() == [2, 3, 0]


def test_best_of_many_is_the_same_as_sorting_all() -> None:

    rng = np.random.default_rng(1)
    for n in (1, 255, 256, 2_560, 2_561, 5_000):
        scores = rng.integers(0, 50, n).astype(np.float32)
        candidates = rng.random(n) < 0.9
        docs = np.flatnonzero(candidates)
        for top_k in (1, 3, 10, 4_000):
            want = docs[np.argsort(-scores[docs], kind="stable")][:top_k]
            assert best(scores, candidates, top_k).tolist() == want.tolist()
