"""Names: a table of planted ones, hand cases, and laws on any text."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from anamnos.ingest.extract.entities import canonical, find_entities, full_names

# sentence -> the names in it
TABLE: list[tuple[str, list[str]]] = [
    ("I met Sarah Chen in Berlin last Friday.", ["Sarah Chen", "Berlin"]),
    ("Thanks, Caroline! You're the best.", ["Caroline"]),
    ("My brother Tom works at Acme Corp.", ["Tom", "Acme Corp"]),
    ('I just read "Charlotte\'s Web" again.', ["Charlotte's Web"]),
    ("We flew from Paris to New York in May.", ["Paris", "New York"]),
    ("Write to jane.doe@example.org about it.", ["jane.doe@example.org"]),
    ("It's on https://example.com/docs?id=3 now.", ["https://example.com/docs?id=3"]),
    ("Follow @ann_bakes for recipes.", ["@ann_bakes"]),
    ("Japan is lovely in spring.", ["Japan"]),
    ("What a day! I'm so tired.", []),
    ("The University of Oslo offered me a place.", ["University of Oslo"]),
    ("Dr. Patel said my knee is fine.", ["Dr. Patel"]),
    ("I adopted a dog named Rex.", ["Rex"]),
    ("Our cat, Luna, hates Mondays.", ["Luna"]),
    ("We went to Lake Tahoe with the Millers.", ["Lake Tahoe", "Millers"]),
    ("My favourite band is Arcade Fire.", ["Arcade Fire"]),
    ("Wow, Mel's painting is GREAT", ["Mel"]),
    ("I work for NASA in Houston.", ["NASA", "Houston"]),
    ("She studied at Trinity College Dublin.", ["Trinity College Dublin"]),
    ("Have you seen Breaking Bad on Netflix?", ["Breaking Bad", "Netflix"]),
    ("In July I moved to San Francisco.", ["San Francisco"]),
    ("I speak Spanish and a little French.", ["Spanish", "French"]),
    ("Yesterday Anna called me from Rome.", ["Anna", "Rome"]),
    ("No idea. Maybe ask Peter?", ["Peter"]),
    ("I love it! So cool!", []),
    ("Becoming Nicole by Amy Ellis Nutt helped me.", ["Becoming Nicole", "Amy Ellis Nutt"]),
    ("The conference is in São Paulo.", ["São Paulo"]),
    ("I drive a Toyota Prius now.", ["Toyota Prius"]),
    ("We watched 'The Great British Bake Off' together.", ["The Great British Bake Off"]),
    ("Tom and Maria got married in Las Vegas.", ["Tom", "Maria", "Las Vegas"]),
    ("I joined the Red Cross last year.", ["Red Cross"]),
    ("My sister lives near Golden Gate Park.", ["Golden Gate Park"]),
    ("Running is my escape. Painting too.", []),
    ("The LGBTQ support group met on Tuesday.", ["LGBTQ"]),
    ("Hey Jon, how was the Berlin Marathon?", ["Jon", "Berlin Marathon"]),
    ("I use an iPhone and a MacBook.", ["MacBook"]),
    ("Grandma gave me her ring from Sweden.", ["Grandma", "Sweden"]),
    ("OK, see you at Starbucks on Main Street.", ["Starbucks", "Main Street"]),
    ("I have lived in Oslo since 2019.", ["Oslo"]),
    ("Nothing new here, just work.", []),
]


def test_f1_on_the_planted_names() -> None:
    right = wrong = missed = 0
    mistakes = []
    for sentence, planted in TABLE:
        names = [canonical(name) for name in planted]
        found = [canonical(mention.name) for mention in find_entities(sentence)]
        hits = len(set(found) & set(names))
        right, wrong, missed = right + hits, wrong + len(set(found)) - hits, missed + len(names) - hits
        if set(found) != set(names):
            mistakes.append((sentence, found))
    assert 2 * right / (2 * right + wrong + missed) >= 0.85, mistakes


def test_types() -> None:
    text = "Hi Ann, my friend Bo flew to Peru with Dr. Li, see www.example.org or 'Dune' at Oxford University."
    assert [(m.name, m.type) for m in find_entities(text)] == [
        ("Ann", "person"),
        ("Bo", "person"),
        ("Peru", "place"),
        ("Dr. Li", "person"),
        ("www.example.org", "url"),
        ("Dune", "title"),
        ("Oxford University", "organisation"),
    ]


def test_a_known_name_counts_at_the_start_of_a_sentence() -> None:
    assert find_entities("Rose is here.") == []
    assert [m.name for m in find_entities("Rose is here.", ["Rose Lee"])] == ["Rose"]
    assert [m.name for m in find_entities("Rose is here. I like Rose.")] == ["Rose", "Rose"]


@pytest.mark.parametrize(
    ("names", "full"),
    [
        (["Sarah Chen", "Dr. Chen"], {"Sarah Chen": "Sarah Chen", "Dr. Chen": "Sarah Chen"}),
        (["Dr. Chen", "Chen"], {"Dr. Chen": "Chen", "Chen": "Chen"}),
        (["Ann Lee", "Bo Lee", "Lee"], {"Ann Lee": "Ann Lee", "Bo Lee": "Bo Lee", "Lee": "Lee"}),  # which one?
        (["Jon", "John"], {"Jon": "Jon", "John": "John"}),
        (["Ann's", "Ann"], {"Ann": "Ann"}),
    ],
)
def test_full_names(names: list[str], full: dict[str, str]) -> None:
    assert full_names(names) == full


@given(st.text() | st.lists(st.sampled_from([s for s, _ in TABLE]), max_size=4).map(" ".join))
@example("Dr. ")
@example("'s’s A's The ' “A” \"\"")
@example("İstanbul ǅ ß.Ⅷ")
def test_any_text_gives_ordered_names_of_it(text: str) -> None:
    end = 0
    for mention in find_entities(text):
        assert mention.start >= end
        assert text[mention.start : mention.end] == mention.name != ""
        end = mention.end
    assert find_entities(text) == find_entities(text)
    full_names(mention.name for mention in find_entities(text))
