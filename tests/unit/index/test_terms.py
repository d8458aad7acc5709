"""Words to index terms: hand-checked cases in several scripts, and what is odd."""

import threading
import zlib

import numpy as np
import pytest

from anamnos.cube import MemCube, Provenance, Scope
from anamnos.index.terms import Mark, TermReader, marks, searchable_text
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
    q, t, i = int(Mark.QUESTION), int(Mark.TIME_WORD), int(Mark.FIRST_PERSON)
    assert marks("The boat is blue.") == []
    assert marks("Is the boat blue?") == [q]
    assert marks("It was painted last summer, on Monday.") == [t]
    assert marks("Paint it in 2024 or in MAY") == [t]
    assert marks("Mayor Maybelle thinks of Sundayland") == []
    # two of them in eight words: 4 * 2 / sqrt(9) = 2.67
    assert marks("I gave it to my dear old uncle") == [i] * 3
    assert marks("") == []


def test_marks_come_after_the_words_and_are_no_words() -> None:
    terms = READER.terms("Will you paint it tomorrow?").tolist()
    words = [READER.term(word) for word in READER.words("Will you paint it tomorrow?")]
    assert terms == [*words, int(Mark.QUESTION), int(Mark.TIME_WORD)]
    assert min(words) >= 16
