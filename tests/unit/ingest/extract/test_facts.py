"""Facts: planted ones in sentences as people write them, and laws on any text."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from anamnos.ingest.extract.facts import find_facts, in_third_person, statements

# sentence of Ann -> subject, predicate, words of the object; None: nothing in a known relation
TABLE: list[tuple[str, tuple[str, str, str] | None]] = [
    ("I moved to Berlin last year.", ("Ann", "move to", "Berlin")),
    ("I live in a small flat near the river.", ("Ann", "live in", "small flat")),
    ("I've lived in Oslo since 2019.", ("Ann", "live in", "Oslo")),
    ("I work at Acme as an engineer.", ("Ann", "work at", "Acme")),
    ("I'm working for a start-up now.", ("Ann", "work for", "start-up")),
    ("I work as a nurse.", ("Ann", "work as", "nurse")),
    ("I'm a teacher.", ("Ann", "be", "a teacher")),
    ("I am from Sweden.", ("Ann", "be", "from Sweden")),
    ("I was born in 1990.", ("Ann", "be", "born in 1990")),
    ("I'm 34 years old.", ("Ann", "be", "34 years old")),
    ("I am married to Tom.", ("Ann", "be", "married to Tom")),
    ("My name is Ann Lee.", ("Ann's name", "be", "Ann Lee")),
    ("My sister's name is Maria.", ("Ann's sister", "be named", "Maria")),
    ("I have a dog named Rex.", ("Ann", "have", "dog named Rex")),
    ("We adopted a cat called Luna in May.", ("Ann", "have", "cat called Luna")),
    ("My brother Tom is a pilot.", ("Ann's brother", "be named", "Tom")),
    ("My mother is a doctor.", ("Ann's mother", "be", "doctor")),
    ("My birthday is on 3 May.", ("Ann's birthday", "be", "3 May")),
    ("Tom's wife is Maria.", ("Tom's wife", "be", "Maria")),
    ("I bought a new bike yesterday.", ("Ann", "buy", "new bike")),
    ("I just adopted a puppy!", ("Ann", "adopt", "puppy")),
    ("I play the cello.", ("Ann", "play", "cello")),
    ("I speak Spanish and French.", ("Ann", "speak", "Spanish")),
    ("I studied physics at Oxford.", ("Ann", "study", "physics")),
    ("I graduated from MIT in 2012.", ("Ann", "graduate from", "MIT")),
    ("I went to a support group yesterday.", ("Ann", "go to", "support group")),
    ("Last week I visited my grandmother in Rome.", ("Ann", "visit", "grandmother")),
    ("I joined a book club.", ("Ann", "join", "book club")),
    ("I lost my job at the bank.", ("Ann", "lose", "job at the bank")),
    ("I started my own online store.", ("Ann", "start", "online store")),
    ("I quit smoking.", ("Ann", "quit", "smoking")),
    ("I ran a marathon in April.", ("Ann", "run", "marathon")),
    ("I won first prize at the fair.", ("Ann", "win", "first prize")),
    ("I signed up for a pottery class.", ("Ann", "sign up for", "pottery class")),
    ("I gave a talk at my school.", ("Ann", "give", "talk")),
    ("I've been painting landscapes lately.", ("Ann", "paint", "landscapes")),
    ("I have two kids.", ("Ann", "have", "two kids")),
    ("We have a house in the country.", ("Ann", "have", "house in the country")),
    ("My son broke his arm.", ("Ann's son", "break", "arm")),
    ("My daughter started school today.", ("Ann's daughter", "start", "school")),
    ("Tom met Maria at a wedding.", ("Tom", "meet", "Maria")),
    ("Tom moved from Kenya in 2001.", ("Tom", "move from", "Kenya")),
    ("I'm reading Dune at the moment.", ("Ann", "read", "Dune")),
    ("I finally finished my thesis!", ("Ann", "finish", "thesis")),
    ("Yesterday, I met an old friend.", ("Ann", "meet", "old friend")),
    ("Yeah, I took a week off.", ("Ann", "take", "week off")),
    ("I've got a meeting on Monday.", ("Ann", "get", "meeting")),
    ("I volunteer at an animal shelter.", ("Ann", "volunteer at", "animal shelter")),
    ("Went hiking with Bo on Sunday.", ("Ann", "go", "hiking with Bo")),
    ("Bought a car!", ("Ann", "buy", "car")),
    ("In June we travelled to Peru.", ("Ann", "travel to", "Peru")),
    ("I teach chemistry at a high school.", ("Ann", "teach", "chemistry")),
    ("I drive a red Volvo.", ("Ann", "drive", "Volvo")),
    ("My car is in the garage, I think.", ("Ann's car", "be", "garage")),
    ("I wrote a poem for her.", ("Ann", "write", "poem")),
    ("I grew up in Texas.", ("Ann", "grow up in", "Texas")),
    # nothing
    ("Did you move to Berlin?", None),
    ("I didn't buy the car.", None),
    ("Thanks, that's great!", None),
    ("You are so kind.", None),
    ("She moved from Kenya in 2001.", None),  # who?
    ("I'm going to make a cake.", None),
    ("Sounds good, see you!", None),
    ("What a lovely day it was.", None),
]


def test_recall_of_planted_facts() -> None:
    missed, wrong = [], []
    for sentence, fact in TABLE:
        found = find_facts(sentence, "Ann")
        if fact is None:
            wrong += [(sentence, f) for f in found]
        elif not any((f.subject, f.predicate) == fact[:2] and fact[2] in f.object for f in found):
            missed.append((sentence, [(f.subject, f.predicate, f.object) for f in found]))
    planted = sum(fact is not None for _, fact in TABLE)
    assert 1 - len(missed) / planted >= 0.85, missed
    assert len(wrong) <= 2, wrong


@pytest.mark.parametrize(
    ("sentence", "third"),
    [
        ("I've lost my key.", "Ann has lost Ann's key."),
        ("She told me that I'd win.", "She told Ann that Ann would win."),
        ("We ate.", "We ate."),
    ],
)
def test_the_speaker_is_named(sentence: str, third: str) -> None:
    assert in_third_person(sentence, "Ann") == third


def test_courtesies_and_questions_are_no_statements() -> None:
    text = "Wow, thanks! That's great, Caroline! Where is it? Ok. I sold the car."
    assert list(statements(text)) == ["I sold the car."]


@given(st.text() | st.lists(st.sampled_from([s for s, _ in TABLE]), max_size=4).map(" ".join), st.text(max_size=10))
@example("I'", "A")
@example("my x is {0}", "{1}")
def test_any_text_gives_facts_of_it(text: str, speaker: str) -> None:
    for fact in find_facts(text, speaker):
        assert fact.sentence in text
        assert fact.predicate
    assert find_facts(text, speaker) == find_facts(text, speaker)
