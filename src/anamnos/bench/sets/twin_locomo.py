"""A made-up conversation of two people in the shape of LoCoMo."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from anamnos.bench.cases import Case, DataSet, Doc, Query
from anamnos.bench.sets.made_up import FIRST_DAY, made_up
from anamnos.errors import InvalidInput
from anamnos.ingest.readers.locomo import questions, read_conversation

_SPEAKERS = ("Nora", "Emil")
# topic -> (values, what is said, what is asked for one, what is asked for all, what it implies)
_TOPICS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...], str, str]] = {
    "hobby": (
        "pottery archery birdwatching calligraphy fencing beekeeping origami kayaking juggling knitting chess salsa",
        ("I took up {v} with {d}.", "My evenings belong to {v} now, thanks to {d}.", "{D} dragged me into {v}."),
        ("Which hobby did {who} take up with {a}?", "What pastime does {who} share with {a}?"),
        "Which hobbies does {who} have?",
        "Would {who} be likely to spend a free evening on something learnt from {a}?",
    ),
    "trip": (
        "Lisbon Tallinn Kyoto Cusco Bergen Dakar Hobart Quebec Tbilisi Zagreb Hanoi Muscat",
        (
            "{time} I travelled to {v} with {d}.",
            "{time} {d} and I got back from {v}.",
            "{time} we saw {v}, me and {d}.",
        ),
        ("Where did {who} travel with {a}?", "Which city did {who} visit together with {a}?"),
        "Which cities has {who} been to?",
        "Does {who} own a passport because of {a}?",
    ),
    "pet": (
        "parrot tortoise ferret goat hamster greyhound gecko donkey rabbit budgie hedgehog terrier",
        (
            "We adopted a {v} from {d}.",
            "There is a {v} in my kitchen, a gift of {d}.",
            "{D} left me a {v} to look after.",
        ),
        ("Which animal did {who} get from {a}?", "What creature came to {who} through {a}?"),
        "Which animals live with {who}?",
        "Would {who} need to know a vet because of {a}?",
    ),
    "purchase": (
        "telescope sewing-machine hammock projector lawnmower typewriter tandem accordion oven kayak scanner sofa",
        ("{time} I bought a {v} from {d}.", "{time} {d} sold me a {v}.", "{time} the {v} from {d} arrived."),
        ("What did {who} buy from {a}?", "Which thing did {who} purchase off {a}?"),
        "What has {who} bought?",
        "Has {who} less money since meeting {a}?",
    ),
    "job": (
        "bakery shipyard library greenhouse brewery orchestra aquarium foundry bookshop vineyard theatre hospital",
        ("I now work at the {v} beside {d}.", "The {v} hired me; {d} put in a word.", "{D} and I start at the {v}."),
        ("Where does {who} work beside {a}?", "Which employer did {who} find through {a}?"),
        "Where has {who} worked?",
        "Is {who} a colleague of {a}?",
    ),
    "family": (
        "cardiologist plumber violinist pilot chemist gardener translator jockey diver judge barber sculptor",
        ("{D} has become a {v}.", "You will not believe it: {d} works as a {v}.", "{D} passed the exam to be a {v}."),
        ("What is the profession of {who}'s {a}?", "What does {who}'s {a} do for a living?"),
        "Which professions are there in {who}'s family?",
        "Could somebody in {who}'s family earn a wage, say {a}?",
    ),
}
_RELATED = (  # as it is said, as it is asked
    ("my cousin", "cousin"),
    ("my sister-in-law", "brother's wife"),
    ("my neighbour", "neighbour"),
    ("an old schoolmate", "friend from school"),
    ("my uncle", "mother's brother"),
    ("the twins", "twins"),
    ("my landlady", "owner of the flat"),
    ("a retired sailor", "retired sailor"),
    ("my godmother", "godmother"),
    ("two students", "pair of students"),
    ("our choir leader", "choir leader"),
    ("my stepson", "wife's son"),
)
_WHEN = (("Yesterday", 1), ("Two days ago", 2), ("Last week", 7), ("Ten days ago", 10))
_FILLER = (
    "How was your week?",
    "Not much to tell, it rained all day.",
    "That sounds lovely, tell me more!",
    "I was thinking about {v} the other day.",
    "People on the radio kept talking about {v}.",
    "Did you hear? {D} called me again.",
    "I had lunch with {d} and we laughed a lot.",
    "The trains were late once more.",
    "My back hurts, I should sleep more.",
    "Have you read anything good lately?",
    "I never understood why anyone would want {v}.",
    "{D} asked about you, by the way.",
    "Let us talk again soon.",
)


def locomo_record(seed: int = 0, *, sessions: int = 20, turns: int = 20, facts: int = 60) -> dict[str, Any]:
    """Return a conversation of two people in LoCoMo's file format, with questions of all five categories.

    Each fact is said once, in one of several wordings, amid small talk that mentions the same things.
    Raises: InvalidInput if there are more facts than made-up values, or than turns.
    """
    pool = [(topic, value) for topic, parts in _TOPICS.items() for value in parts[0].split()]
    if not 1 <= facts <= min(len(pool), sessions * turns // 2):
        raise InvalidInput(f"facts must be from 1 to {min(len(pool), sessions * turns // 2)}, got {facts}.")
    rng = np.random.default_rng(seed)
    told = [pool[int(place)] for place in rng.permutation(len(pool))[:facts]]
    slots = sorted(int(slot) for slot in rng.choice(sessions * turns, size=facts, replace=False))
    friends = {topic: iter(rng.permutation(len(_RELATED)).tolist()) for topic in _TOPICS}  # once a topic, to tell apart
    spoken: dict[int, str] = {}
    known: list[dict[str, Any]] = []
    for number, ((topic, value), slot) in enumerate(zip(told, slots, strict=True)):
        session, place = divmod(slot, turns)
        said, asked = _RELATED[next(friends[topic])]
        when, days = _WHEN[int(rng.integers(len(_WHEN)))]
        says = _TOPICS[topic][1]
        spoken[slot] = says[number % len(says)].format(v=value, d=said, D=_upper(said), time=when)
        fact = {"topic": topic, "value": value, "asked": asked, "who": _SPEAKERS[place % 2], "days": days}
        known.append({**fact, "session": session, "dia_id": f"D{session + 1}:{place + 1}"})
    conversation: dict[str, Any] = {"speaker_a": _SPEAKERS[0], "speaker_b": _SPEAKERS[1]}
    for session in range(sessions):
        conversation[f"session_{session + 1}_date_time"] = _written(_day(session))
        conversation[f"session_{session + 1}"] = [
            {
                "speaker": _SPEAKERS[place % 2],
                "dia_id": f"D{session + 1}:{place + 1}",
                "text": spoken.get(session * turns + place) or _small_talk(rng),
            }
            for place in range(turns)
        ]
    return {"sample_id": f"twin-{seed}", "conversation": conversation, "qa": _locomo_questions(known)}


def _locomo_questions(known: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    asked = []
    for number, fact in enumerate(known):
        parts, who, other = _TOPICS[fact["topic"]], fact["who"], _SPEAKERS[fact["who"] == _SPEAKERS[0]]
        words = {"who": who, "a": f"the {fact['asked']}" if fact["topic"] != "family" else fact["asked"]}
        one = parts[2][number % len(parts[2])]
        asked.append(_question(one.format(**words), fact["value"], 4, [fact]))
        if number % 3 == 0:
            asked.append(_question(parts[4].format(**words), "yes", 3, [fact]))
        if number % 4 == 0:
            item = _question(one.format(**{**words, "who": other}), "", 5, [fact])
            asked.append({name: value for name, value in item.items() if name != "answer"})
        if fact["topic"] in ("trip", "purchase"):
            day = _day(fact["session"]) - timedelta(days=fact["days"])
            verb = "travel to" if fact["topic"] == "trip" else "get the"
            text = f"When did {who} {verb} {fact['value']}?"
            asked.append(_question(text, f"{day.day} {day:%B %Y}", 2, [fact]))
    for topic, parts in _TOPICS.items():
        for who in _SPEAKERS:
            several = [fact for fact in known if (fact["topic"], fact["who"]) == (topic, who)][:4]
            if len(several) > 1:
                values = ", ".join(fact["value"] for fact in several)
                asked.append(_question(parts[3].format(who=who), values, 1, several))
    return asked


def _question(text: str, answer: str, category: int, evidence: Sequence[dict[str, Any]]) -> dict[str, Any]:
    ids = [fact["dia_id"] for fact in evidence]
    return {"question": text, "answer": answer, "category": category, "evidence": ids}


def _small_talk(rng: np.random.Generator) -> str:
    values = list(_TOPICS.values())[int(rng.integers(len(_TOPICS)))][0].split()
    said = _RELATED[int(rng.integers(len(_RELATED)))][0]
    value = values[int(rng.integers(len(values)))]
    return _FILLER[int(rng.integers(len(_FILLER)))].format(v=value, d=said, D=_upper(said))


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _day(session: int) -> datetime:
    return FIRST_DAY + timedelta(days=9 * session)


def _written(day: datetime) -> str:
    return f"{day.hour - 12}:{day.minute:02} pm on {day.day} {day:%B, %Y}"


def locomo_twin(seed: int = 0, **sizes: int) -> DataSet:
    """Return ``locomo_record`` as cases; groups are LoCoMo's categories."""
    record = locomo_record(seed, **sizes)
    name = record["sample_id"]
    turns = read_conversation(record, sample_id=name)
    docs = [Doc(str(t.message_id), t.content, t.session, t.speaker, t.said_at) for t in turns]
    session_of = {doc.id: str(doc.group) for doc in docs}
    queries = []
    for question in questions(record, sample_id=name):
        right = frozenset(f"{name}/{dia_id}" for dia_id in question.evidence)
        gold = {"turn": right, "session": frozenset(session_of[turn] for turn in right)}
        queries.append(Query(question.id, question.text, f"cat{question.category}", gold, answer=question.answer))
    return made_up("locomo", seed, [Case(name, docs, queries)], "turn", "session")
