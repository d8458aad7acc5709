"""Words to index terms: hand-checked cases in several scripts, and what is odd."""

import threading
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anamnos.cube import MemCube, Provenance, Scope
from anamnos.index.terms import Mark, TermReader, marks, searchable_text, told
from anamnos.testing import FakeClock, seeded_ids

READER = TermReader()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("She went to the café, twice!", ["went", "cafe", "twice"]),
        ("The a of and", []),
        ("", []),
        ("  \n\t …!?", []),
        ("it's John's e-mail", ["john", "e", "mail"]),
        ("ÄÖÜ àéîõü Ångström", ["aou", "aeiou", "angstrom"]),
        ("naïve cafe\u0301", ["naive", "cafe"]),
        ("COVID-19 in 2021", ["covid", "19", "2021"]),
        ("日本語の記憶", ["日本", "本語", "語の", "の記", "記憶"]),
        ("本", ["本"]),
        ("iPhone買った", ["iphone", "買っ", "った"]),
        ("Привет, МИР", ["привет", "мир"]),
        ("שלום عالم", ["שלום", "عالم"]),
        ("a\0pear\0b", ["pear", "b"]),
        ("blue_pot", ["blue", "pot"]),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert READER.words(text) == words


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("hiking", "hikes"),
        ("went", "go"),
        ("going", "gone"),
        ("children", "child"),
        ("bought", "buying"),
        ("Café", "cafes"),
        ("RUNNING", "ran"),
    ],
)
def test_forms_of_one_word_are_one_term(one: str, other: str) -> None:
    assert READER.terms(one).tolist() == READER.terms(other).tolist()
    assert len(READER.terms(one)) == 1


def test_different_words_are_different_terms() -> None:
    words = ["pear", "apple", "boat", "river", "winter", "summer", "1", "2", "3", "日本", "本語", "привет"]
    assert len({int(READER.terms(word)[0]) for word in words}) == len(words)


def test_a_term_is_the_checksum_of_the_stem() -> None:
    assert READER.terms("boats boat").tolist() == [zlib.crc32(b"boat")] * 2
    assert READER.terms("x").dtype == np.uint32
    assert READER.terms("").shape == (0,)


def test_huge_words_and_texts_are_read() -> None:
    assert len(READER.terms("x" * 1_000_000)) == 1
    assert len(READER.terms("漢" * 100_000)) == 99_999
    assert len(READER.terms("pear " * 100_000)) == 100_000
    assert READER.terms("\U00020001\U00020002\U00020003").shape == (2,)


def test_threads_share_one_reader() -> None:
    reader, problems = TermReader(), []
    want = READER.terms("boats and cafés in winter").tolist()

    def work(n: int) -> None:
        for i in range(200):
            if reader.terms("boats and cafés in winter").tolist() != want:
                problems.append(i)
            reader.terms(f"word{n}x{i}")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []


@pytest.mark.parametrize(
    ("actor", "want"), [(None, "a pear"), ("user", "a pear"), ("Assistant", "a pear"), ("Ann", "Ann: a pear")]
)
def test_the_speaker_is_part_of_what_is_searched(actor: str | None, want: str) -> None:
    cube = MemCube(
        id=seeded_ids(1)(FakeClock()()), content="a pear", scope=Scope(user="x"), provenance=Provenance(actor=actor)
    )
    assert searchable_text(cube) == want


def test_marks_say_what_recall_wants_to_know() -> None:
    q, t, i, told = int(Mark.QUESTION), int(Mark.TIME_WORD), int(Mark.FIRST_PERSON), int(Mark.TOLD)
    asks, you = int(Mark.ASKING), int(Mark.ADDRESSING)
    assert marks("The boat is blue.") == []
    assert marks("Is the boat blue?") == [q, *[asks] * 4]
    assert marks("It is a boat. Is it blue?") == [q, *[asks] * 2]
    assert marks("It was painted last summer, on a monday.") == [t]
    assert marks("Paint it in 2024 or in MAY") == [t, *[told] * 2]  # .3 for the number: 2.4 eighths
    assert marks("You there") == [you] * 5  # 8 / sqrt(3) = 4.6
    assert marks("Mayor Maybelle thinks of Sundayland") == [told] * 2  # two names, no time
    # two of them in eight words: 4 * 2 / sqrt(9) = 2.67
    assert marks("I gave it to my dear old uncle") == [i] * 3 + [told] * 2  # and .25 for what was done
    assert marks("") == []


def test_marks_come_after_the_words_and_are_no_words() -> None:
    terms = READER.terms("Will they paint it tomorrow?").tolist()
    words = [READER.term(word) for word in READER.words("Will they paint it tomorrow?")]
    assert terms == [*words, int(Mark.QUESTION), int(Mark.TIME_WORD), *[int(Mark.ASKING)] * 4]
    assert min(words) >= 16


def test_what_is_told_adds_up() -> None:
    assert told("The boat is blue.") == 0
    assert told("We went to Rome and I bought a hat.") == 0.25 + 0.25 + 0.125
    assert told("I am reading \u201cDune\u201d.") == pytest.approx(0.1 + 0.45 + 0.125)
    assert told("I've just bought 3 pears") == pytest.approx(0.25 + 0.3)


@given(st.text(max_size=60))
def test_spans_lie_where_their_words_are(text: str) -> None:
    spans = READER.spans(text)
    assert all(0 <= start < end <= len(text) for start, end, _ in spans)
    assert [start for start, _, _ in spans] == sorted(start for start, _, _ in spans)
    for start, end, term in spans:
        assert term in READER.terms(text[start:end]).tolist()


def test_spans_count_characters_not_bytes() -> None:
    ((start, end, term),) = READER.spans("Für das Café")[-1:]
    assert "Für das Café"[start:end] == "Café"
    assert term == READER.term("cafe")
