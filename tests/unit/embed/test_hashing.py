"""The hashing embedder: its laws, and vectors that may never change under this id."""

from __future__ import annotations

import time

import numpy as np
import pytest

from anamnos.embed.hashing import HashingEmbedder
from anamnos.errors import ConfigError, InvalidInput
from anamnos.testing.embedder_contract import EmbedderContract

TEXTS = [
    "Caroline went hiking in the mountains.",
    "hike up a mountain with Caroline",
    "The invoice is due on Friday.",
]


class TestLaws(EmbedderContract):
    embedder_source = "from anamnos.embed.hashing import HashingEmbedder; embedder = HashingEmbedder()"

    def make_embedder(self) -> HashingEmbedder:
        return HashingEmbedder()


def test_vectors_are_those_of_version_1() -> None:
    """A change here breaks every vault that holds such vectors: it needs a new id."""
    vectors = HashingEmbedder().embed(["Memory fades.", "Ｓtraße 🎉", "日本語の記憶"])
    assert HashingEmbedder().id == "hashing-384-v1"
    assert (vectors != 0).sum(axis=1).tolist() == [28, 19, 16]
    np.testing.assert_allclose(vectors @ np.sin(np.arange(384)), [1.22387, 0.263704, 0.183248], atol=1e-5)


def test_shared_words_and_word_parts_make_texts_similar() -> None:
    vectors = HashingEmbedder().embed(TEXTS)
    similarity = vectors @ vectors.T
    assert similarity[0, 1] > 0.4 > 0.2 > similarity[0, 2]


def test_case_and_unicode_form_do_not_matter() -> None:
    vectors = HashingEmbedder().embed(["caf\u00e9 STRASSE", "CAFE\u0301 straße", "ｃａｆé straße"])
    np.testing.assert_allclose(vectors, vectors[[0, 0, 0]], atol=1e-6)


@pytest.mark.parametrize("text", ["", "  \n\t", "...!?", "\x00\u200b"])
def test_a_text_without_words_gives_a_fixed_unit_vector(text: str) -> None:
    np.testing.assert_array_equal(HashingEmbedder(8).embed([text]), [[1, 0, 0, 0, 0, 0, 0, 0]])


def test_emoji_count_as_words() -> None:
    party, cake = HashingEmbedder().embed(["🎉", "🎂"])
    assert party @ cake < 0.9


def test_a_repeated_word_counts_less_than_in_proportion() -> None:
    once, often, other = HashingEmbedder().embed(["garden violin", "garden " * 50 + "violin", "violin"])
    assert 0.1 < often @ other < once @ other


def test_a_huge_word_takes_no_huge_time() -> None:
    start = time.perf_counter()
    HashingEmbedder().embed(["x" * 500_000])
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize("texts", ["one string", [b"bytes"], ["fine", "broken \ud800"], [None]])
def test_what_is_not_text_is_refused(texts: object) -> None:
    with pytest.raises(InvalidInput):
        HashingEmbedder().embed(texts)  # type: ignore[arg-type]


def test_a_dimension_that_is_too_small_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 8; got 4"):
        HashingEmbedder(4)
