"""Vectors of single words: which are kept, how they are packed and compared."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from anamnos.index.terms import TermReader
from anamnos.index.tokens import SCALE, best_matches, content, packed

READER = TermReader()


def test_tokens_of_stop_words_and_of_the_speaker_do_not_count() -> None:
    text = "Ann: I saw the hobbyists."
    starts = np.array([0, 3, 5, 7, 11, 15, 20, 24])  # Ann : I saw the hobby ##ists .
    terms = content(starts, text, READER, skip=5)
    saw, hobbyists = READER.term("saw"), READER.term("hobbyists")
    assert terms.tolist() == [-1, -1, -1, saw, -1, hobbyists, hobbyists, -1]
    assert content(starts, text, READER)[0] == READER.term("ann")
    assert content(starts[:0], text, READER).tolist() == []
    assert content(starts, "of the", READER).tolist() == [-1] * 8


def test_what_counts_is_packed_in_order() -> None:
    vectors = np.arange(6, dtype=np.int8).reshape(3, 2)
    assert packed(vectors, np.array([7, -1, 9])) == bytes([0, 1, 4, 5])
    assert packed(vectors, np.array([-1, -1, -1])) == b""


def test_each_word_of_the_cue_takes_its_best_match() -> None:
    cue = np.array([[1, 0], [0.6, 0.8]], dtype=np.float32)
    east, north, west = ([SCALE, 0], [0, SCALE], [-SCALE, 0])
    memories = [np.array(words, dtype=np.int8).tobytes() for words in ([east, north], [west], [])]
    np.testing.assert_allclose(best_matches(cue, memories), [[1, 0.8], [0, 0], [0, 0]], atol=1e-6)
    assert best_matches(cue, []).shape == (0, 2)
    assert best_matches(cue, [b"", b""]).tolist() == [[0, 0], [0, 0]]


@given(st.lists(st.integers(0, 4), max_size=8), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_matches_are_those_of_a_loop(sizes: list[int], asked: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    cue = draw.normal(size=(asked, 4)).astype(np.float32)
    memories = [draw.integers(-SCALE, SCALE + 1, size=(size, 4)).astype(np.int8) for size in sizes]
    found = best_matches(cue, [memory.tobytes() for memory in memories])
    want = [[max([0.0, *(memory @ word / SCALE)]) for word in cue] for memory in memories]
    np.testing.assert_allclose(found, np.array(want).reshape(found.shape), atol=1e-4)
