"""Windows: every word once at least, none too long, no more repeated than allowed."""

from itertools import count as count_up

from hypothesis import given
from hypothesis import strategies as st

from anamnos.ingest.segment.windows import windows
from anamnos.llm.base import estimate_tokens

WORDS = st.text("abcdefgh日", min_size=1, max_size=12)
TEXTS = st.lists(st.lists(WORDS, min_size=1, max_size=30).map(" ".join), max_size=30)
COUNTERS = st.sampled_from([estimate_tokens, len, lambda text: len(text.split())])


@given(TEXTS, COUNTERS, st.integers(20, 90), st.integers(0, 40))
def test_every_word_is_in_a_window_and_no_window_is_too_long(
    texts: list[str], count: object, size: int, overlap: int
) -> None:
    number = count_up()
    texts = [" ".join(f"{word}{next(number)}" for word in text.split()) for text in texts]  # no word twice
    found = windows(texts, count, size=size, overlap=overlap)  # type: ignore[arg-type]
    assert all(sum(count(text) for _, text in window) <= size for window in found)  # type: ignore[operator]
    seen: dict[int, list[str]] = {}
    last: list[tuple[int, str]] = []
    for window in found:
        repeated = next((n for n in range(min(len(window), len(last)), 0, -1) if window[:n] == last[-n:]), 0)
        assert sum(count(text) for _, text in window[:repeated]) <= overlap  # type: ignore[operator]
        for place, text in window[repeated:]:
            seen.setdefault(place, []).append(text)
        last = window
    assert {place: "".join(parts).replace(" ", "") for place, parts in seen.items()} == {
        place: text.replace(" ", "") for place, text in enumerate(texts)
    }


def test_a_window_begins_with_the_end_of_the_one_before() -> None:
    texts = [f"message {n} " + "word " * 98 for n in range(12)]
    found = windows(texts, lambda text: len(text.split()), size=1_000, overlap=200)
    assert [[place for place, _ in window] for window in found] == [list(range(10)), [8, 9, 10, 11]]


def test_a_long_message_is_cut_between_words() -> None:
    found = windows(["one two three four five"], lambda text: len(text.split()), size=2, overlap=1)
    assert found == [[(0, "one two")], [(0, "three four")], [(0, "five")]]


def test_nothing_gives_no_window() -> None:
    assert windows([], len) == []
    assert windows([""], len) == []
