"""Key phrases, worked out by hand."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from anamnos.index.terms import TermReader
from anamnos.ingest.extract.keywords import find_keywords

READER = TermReader()


def test_phrases_lie_between_stop_words() -> None:
    # phrases: stained glass window, church, window; degree/frequency: stained 3, glass 3, window (3+1)/2, church 1
    text = "I made a stained glass window for the church, my first window."
    assert find_keywords(text, READER.words) == ("stained glass window", "window", "church")


def test_mere_talk_has_no_keywords() -> None:
    assert find_keywords("Wow, thanks! That's really great, I'm so happy.", READER.words) == ()


def test_at_most_eight() -> None:
    text = ", ".join(f"thing{letter}" for letter in "abcdefghijk")
    assert len(find_keywords(text, READER.words)) == 8


@given(st.text(max_size=200))
def test_any_text_gives_words_of_it(text: str) -> None:
    found = find_keywords(text, READER.words)
    assert found == find_keywords(text, READER.words)
    for phrase in found:
        for word in phrase.split():
            assert word in text.lower()
