"""Preferences against a table of a hundred sentences, written before the rules were tuned."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from anamnos.ingest.extract.preferences import find_preferences

# sentence -> words that the clause must have; None: no preference, concern or plan
TABLE: list[tuple[str, str | None]] = [
    ("I prefer tea over coffee.", "tea"),
    ("I'd prefer to sit by the window.", "sit by the window"),
    ("I really prefer working from home", "working from home"),
    ("I usually run before breakfast.", "run before breakfast"),
    ("On Sundays I usually call my grandmother.", "call my grandmother"),
    ("I normally take the train to work.", "take the train"),
    ("I tend to wake up early.", "wake up early"),
    ("I always carry a notebook.", "carry a notebook"),
    ("I never eat breakfast.", "eat breakfast"),
    ("I love hiking in the mountains!", "hiking in the mountains"),
    ("I like jazz, especially Coltrane.", "jazz"),
    ("I really enjoy painting landscapes.", "painting landscapes"),
    ("I hate crowded places.", "crowded places"),
    ("I don't like horror movies.", "horror movies"),
    ("I can't stand cilantro.", "cilantro"),
    ("I dislike long meetings.", "long meetings"),
    ("I adore my niece's drawings.", "drawings"),
    ("Love camping with the kids!", "camping with the kids"),
    ("Really enjoyed pottery class, it calms me.", "pottery class"),
    ("My favorite book is Charlotte's Web.", "Charlotte's Web"),
    ("My favourite colour is green", "green"),
    ("My all-time favorite band is Radiohead!", "Radiohead"),
    ("Sushi is my favorite food.", "Sushi"),
    ("One of my favorite hobbies is knitting.", "knitting"),
    ("I'm allergic to peanuts.", "peanuts"),
    ("I am lactose intolerant.", "lactose"),
    ("I'm a vegetarian, by the way.", "vegetarian"),
    ("I've been vegan for two years.", "vegan"),
    ("I don't eat pork.", "pork"),
    ("I'm trying to learn Spanish.", "learn Spanish"),
    ("I am trying to cut down on sugar.", "cut down on sugar"),
    ("Trying to finish my thesis this month.", "finish my thesis"),
    ("I want to visit Japan next year.", "visit Japan"),
    ("I wanna adopt a dog someday.", "adopt a dog"),
    ("I'd like to take a photography course.", "take a photography course"),
    ("I would love to see the northern lights.", "see the northern lights"),
    ("I'm hoping to run a marathon.", "run a marathon"),
    ("I'm planning to open a bakery.", "open a bakery"),
    ("I plan to move to Lisbon.", "move to Lisbon"),
    ("We're planning a trip to Norway.", "trip to Norway"),
    ("I'm thinking of buying a new camera.", "buying a new camera"),
    ("I've been thinking about changing jobs.", "changing jobs"),
    ("Thinking about adopting a child.", "adopting a child"),
    ("I'm considering going back to school.", "going back to school"),
    ("I am looking for a quiet apartment.", "quiet apartment"),
    ("I've been looking into solar panels.", "solar panels"),
    ("Looking for a good dentist in town.", "good dentist"),
    ("I'm struggling with insomnia.", "insomnia"),
    ("I have been having trouble with my knee.", "my knee"),
    ("I have a problem with my landlord.", "my landlord"),
    ("I'm having problems with the printer again.", "printer"),
    ("I'm worried about my exam results.", "exam results"),
    ("I've been anxious about flying.", "flying"),
    ("I'm afraid of spiders.", "spiders"),
    ("I'm concerned about the cost.", "cost"),
    ("I'm interested in astronomy.", "astronomy"),
    ("I got interested in beekeeping lately.", "beekeeping"),
    ("I'm passionate about social justice.", "social justice"),
    ("I'm really into board games.", "board games"),
    ("I'm a big fan of Studio Ghibli.", "Studio Ghibli"),
    ("I'm working on a novel.", "novel"),
    ("Been working on my garden a lot.", "garden"),
    ("I used to play the violin.", "play the violin"),
    ("I still remember our first flat in Rome.", "first flat in Rome"),
    ("Growing up, I spent summers on a farm.", "summers on a farm"),
    ("When I was in college, I rowed every day.", "rowed every day"),
    ("When I was at Google I met my wife.", "met my wife"),
    ("When I was a kid, we had a tree house.", "tree house"),
    ("I'm dreaming of a house by the sea.", "house by the sea"),
    ("I need to find a babysitter.", "find a babysitter"),
    ("Yeah, I love spicy food and can eat it every day.", "spicy food"),
    ("That's cool! I'm trying to quit smoking myself.", "quit smoking"),
    ("Chocolate ice cream is what I crave.", "Chocolate ice cream"),
    ("Coffee after four keeps me up, so I avoid it.", "Coffee after four"),
    ("Nothing beats a long bath for me.", "long bath"),
    # none
    ("What do you like to eat?", None),
    ("Do you prefer tea?", None),
    ("You always say that.", None),
    ("It looks like rain.", None),
    ("I like that!", None),
    ("I love it!", None),
    ("Love this!", None),
    ("It was like a dream.", None),
    ("She prefers tea.", None),
    ("The meeting is at noon.", None),
    ("Thanks, that means a lot.", None),
    ("I went to the dentist yesterday.", None),
    ("I'd like to thank you.", None),
    ("I love you.", None),
    ("We used the old printer.", None),
    ("I live in Berlin.", None),
    ("Would you like some cake?", None),
    ("They want to leave.", None),
    ("He is allergic to nuts.", None),
    ("Ok.", None),
    ("I think so too.", None),
    ("I have two children.", None),
    ("My brother is working on a car.", None),
    ("Feel like you belong here.", None),
    ("Looks like fun!", None),
]


def is_found(sentence: str, wanted: str) -> bool:
    return any(wanted.lower() in found.clause.lower() for found in find_preferences(sentence))


def test_the_table_has_a_hundred_sentences() -> None:
    assert len(TABLE) >= 95


def test_recall_and_precision_on_the_table() -> None:
    missed = [sentence for sentence, words in TABLE if words is not None and not is_found(sentence, words)]
    wrong = [sentence for sentence, words in TABLE if words is None and find_preferences(sentence)]
    positives = sum(words is not None for _, words in TABLE)
    assert 1 - len(missed) / positives >= 0.9, missed
    assert len(wrong) <= 2, wrong


def test_a_clause_is_short_and_of_the_text() -> None:
    (found,) = find_preferences("I love " + "very " * 40 + "long walks.")
    assert found.quote.startswith("I love very")
    assert 5 <= len(found.clause) <= 80


@given(st.text() | st.lists(st.sampled_from([s for s, _ in TABLE]), max_size=4).map(" ".join))
@example("I prefer \n\n")
@example("my favorite  is .")
def test_any_text_gives_clauses_of_it(text: str) -> None:
    for found in find_preferences(text):
        assert found.clause in text
        assert found.quote in text
    assert find_preferences(text) == find_preferences(text)
