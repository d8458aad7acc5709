"""Late channels: word against word, on the shortlist, by hand; and what happens without such vectors."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from math import log
from pathlib import Path

import apsw
import numpy as np
import pytest

from anamnos import Memory, Scope
from anamnos.embed.base import Tokens, Vectors
from anamnos.testing import FakeEmbedder

ANN = Scope(user="ann", session="monday")
MEANINGS = {"boat": (1.0, 0.0), "ship": (0.8, 0.6), "pear": (0.0, 1.0)}  # "boat" and "ship": cosine .8
CHAT = ["a boat", "rain", "a ship", "a pear", "snow"]


class TokenFake(FakeEmbedder):
    """A FakeEmbedder whose words have the meanings above, all others none."""

    token_dim = 2

    def embed_tokens(self, texts: Sequence[str]) -> tuple[Vectors, list[Tokens]]:
        found = [list(re.finditer(r"\w+", text)) for text in texts]
        return self.embed(texts), [
            Tokens(
                np.array([word.start() for word in words], dtype=np.int64),
                np.array([np.rint(127 * np.array(MEANINGS.get(w.group(), (0, 0)))) for w in words])
                .reshape(-1, 2)
                .astype(np.int8),
            )
            for words in found
        ]


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory(tmp_path, embedder=TokenFake()) as memory:
        memory.add([{"role": "user", "content": text, "id": text} for text in CHAT], ANN)
        yield memory


def raw(memory: Memory, question: str, name: str) -> list[float]:
    found = {hit.content: hit.channels[name].raw for hit in memory.search(question, ANN)}
    return [found[text] for text in CHAT]


def test_a_turn_scores_the_share_of_the_cue_that_it_matches(memory: Memory) -> None:
    np.testing.assert_allclose(raw(memory, "boat", "late.turn"), [1, 0, 0.8, 0, 0], atol=0.01)
    # both words of the cue are in one of five turns, so that each weighs a half
    np.testing.assert_allclose(raw(memory, "boat pear", "late.turn"), [0.5, 0, 0.7, 0.5, 0], atol=0.01)


def test_a_rare_word_of_the_cue_weighs_more(memory: Memory) -> None:
    memory.add([{"role": "user", "content": f"a pear {n}", "id": f"{n}"} for n in range(3)], Scope(user="ann"))
    boat, pear = log(1 + 7.5 / 1.5), log(1 + 4.5 / 4.5)  # in 1 and in 4 of 8 memories
    hit = next(hit for hit in memory.search("boat pear", Scope(user="ann")) if hit.content == "a boat")
    assert hit.channels["late.turn"].raw == pytest.approx(boat / (boat + pear), abs=0.01)


def test_the_turns_around_are_heard_more_faintly(memory: Memory) -> None:
    boat, ship = 1.0, 0.8**3
    heard = [
        boat + 0.4**2 * ship,
        0.6 * boat + 0.4 * ship,
        ship + 0.6**2 * boat,
        0.6 * ship,
        0.6**2 * ship,
    ]
    want = [g / (g + 0.5) for g in heard]
    np.testing.assert_allclose(raw(memory, "boat", "late.spread"), want, atol=0.01)


def test_close_words_are_given_as_a_reason(memory: Memory) -> None:
    reasons = {hit.content: hit.reason for hit in memory.search("boat", ANN)}
    assert "close to “boat”" in reasons["a ship"]
    assert "close to" not in reasons["a pear"]


def test_the_session_of_a_search_is_a_wall_for_late_channels_too(memory: Memory) -> None:
    memory.add([{"role": "user", "content": "a ship", "id": "x"}], Scope(user="ann", session="other"))
    assert [hit.content for hit in memory.search("boat", Scope(user="ann", session="other"))] == ["a ship"]


class CountingFake(TokenFake):
    """Knows which texts it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def embed_tokens(self, texts: Sequence[str]) -> tuple[Vectors, list[Tokens]]:
        self.texts += texts
        return super().embed_tokens(texts)


@pytest.mark.parametrize(
    "mend", [Memory.rebuild_index, lambda memory: memory.reembed(memory.embedder)], ids=["rebuild_index", "reembed"]
)
def test_a_vault_from_before_there_were_vectors_of_words_is_given_them(
    tmp_path: Path, mend: Callable[[Memory], None]
) -> None:
    with Memory(tmp_path, embedder=TokenFake()) as memory:
        memory.add([{"role": "user", "content": text, "id": text} for text in [*CHAT, "is it of the"]], ANN)
        before = raw(memory, "boat", "late.turn")
        vectors = memory.vault.store.vectors(np.arange(1, 7), memory._info)
    with apsw.Connection(str(tmp_path / "anamnos.db")) as db:
        db.execute("DELETE FROM tokens")
    db.close()
    with Memory(tmp_path, embedder=CountingFake()) as memory:
        assert raw(memory, "boat", "late.turn") == [0, 0, 0, 0, 0]
        mend(memory)
        assert raw(memory, "boat", "late.turn") == before
        assert memory.verify() == []
        np.testing.assert_array_equal(memory.vault.store.vectors(np.arange(1, 7), memory._info), vectors)
        told = memory.embedder.texts  # type: ignore[attr-defined]
        assert set(CHAT) <= set(told)
        assert "is it of the" not in told  # none of its words counts
        del told[:]
        mend(memory)
        assert told == []


def test_without_vectors_of_words_another_recipe_takes_over(memory: Memory, tmp_path: Path) -> None:
    (vector,) = memory.embedder.embed(["boat"])
    given = memory.search("boat", ANN, vector=vector)
    assert "late.turn" not in given[0].channels
    with Memory(tmp_path / "plain", embedder=FakeEmbedder()) as plain:
        plain.add("a boat", ANN)
        assert "late.turn" not in plain.search("boat", ANN)[0].channels


def test_a_cue_of_stop_words_matches_nothing_and_fails_nothing(memory: Memory) -> None:
    assert raw(memory, "what is it?", "late.turn") == [0.0] * 5


def test_vectors_of_words_survive_export_and_import(memory: Memory, tmp_path: Path) -> None:
    memory.export(tmp_path / "all.jsonl")
    with Memory(tmp_path / "copy", embedder=TokenFake()) as copy:
        copy.import_(tmp_path / "all.jsonl")
        assert raw(copy, "boat", "late.spread") == raw(memory, "boat", "late.spread")
