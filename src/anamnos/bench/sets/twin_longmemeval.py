"""Made-up chat histories with questions of all types of LongMemEval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np

from anamnos.bench.cases import DataSet
from anamnos.bench.sets.longmemeval import item_cases
from anamnos.bench.sets.made_up import FIRST_DAY, made_up
from anamnos.errors import InvalidInput

# attribute -> (what the user says, what is asked, values)
_ATTRIBUTES: dict[str, tuple[str, str, str]] = {
    "tea": ("By the way, my favourite tea is {v}.", "What is my favourite tea?", "sencha rooibos chai oolong"),
    "commute": ("My commute takes {v} minutes now.", "How long is my commute?", "25 40 55 70"),
    "car": ("I drive a {v} car these days.", "What colour is my car?", "teal maroon silver beige"),
    "gym": ("I go to the gym {v} times a week.", "How often do I go to the gym?", "two three four six"),
    "landlord": ("My landlord's name is {v}.", "What is my landlord called?", "Okafor Lindqvist Moreau Tanaka"),
    "instrument": ("I am learning the {v}.", "Which instrument am I learning?", "cello oboe banjo harp"),
    "allergy": ("I am allergic to {v}.", "What am I allergic to?", "walnuts shellfish pollen latex"),
    "language": ("I study {v} in the evenings.", "Which language do I study?", "Finnish Swahili Korean Welsh"),
    "bike": ("My bicycle is a {v}.", "What make is my bicycle?", "Bianchi Raleigh Kettler Dahon"),
    "degree": ("I graduated with a degree in {v}.", "What did I study?", "geology nursing law statistics"),
    "shoes": ("My running shoes are size {v}.", "What is my shoe size?", "38 41 43 45"),
    "plant": ("The {v} on my balcony is in bloom.", "What grows on my balcony?", "jasmine lavender fuchsia basil"),
}
_EVENTS = ("planted the hedge", "ran the half marathon", "sold the caravan", "painted the hallway", "met the architect")
_DISHES = ("lasagne", "ramen", "paella", "goulash", "pierogi")
_CHATTER = (
    ("Can you explain how {t} works?", "Certainly. {T} works in several steps, and each has its reasons."),
    ("Give me three tips on {t}.", "First, start small. Second, be patient with {t}. Third, write it down."),
    ("Why do people care about {t}?", "People care about {t} because it touches their daily lives."),
)
_THEMES = (
    "tides glaciers compost sailing vaccines kites bridges opera fonts coral yeast radar quilts maps clocks lenses"
)


def longmemeval_items(
    seed: int = 0, *, items: int = 24, sessions: int = 20, exchanges: int = 4
) -> list[dict[str, Any]]:
    """Return items in LongMemEval's file format, of all its types in turn, with ``has_answer`` marked.

    sessions   of each haystack, evidence and fillers
    exchanges  of user and assistant in a session
    """
    kinds: tuple[Callable[[np.random.Generator], tuple[str, str, str, list[tuple[str, str]]]], ...]
    kinds = (_stated, _by_assistant, _preference, _updated, _dated, _counted, _unsaid)
    if sessions < 8:
        raise InvalidInput(f"A haystack needs at least 8 sessions, got {sessions}.")
    made = []
    for number in range(items):
        rng = np.random.default_rng([seed, number])
        kind, question, answer, evidence = kinds[number % len(kinds)](rng)
        name = f"twin{seed}_{number}" + ("_abs" if kind == "abstention" else "")
        ids, talks = [], []
        places = sorted(int(place) for place in rng.choice(sessions, size=len(evidence), replace=False))
        for place in range(sessions):
            told = evidence[places.index(place)] if place in places else None
            ids.append(f"answer_{number}_{places.index(place)}" if told else f"filler_{number}_{place}")
            talks.append(_chat(rng, exchanges, told))
        dates = [FIRST_DAY + timedelta(days=3 * place) for place in range(sessions)]
        made.append(
            {
                "question_id": name,
                "question_type": kind,
                "question": question,
                "answer": answer,
                "question_date": f"{dates[-1] + timedelta(days=2):%Y/%m/%d (%a) %H:%M}",
                "haystack_session_ids": ids,
                "haystack_dates": [f"{date:%Y/%m/%d (%a) %H:%M}" for date in dates],
                "haystack_sessions": talks,
                "answer_session_ids": [] if kind == "abstention" else [ids[place] for place in places],
            }
        )
    return made


def _chat(rng: np.random.Generator, exchanges: int, told: tuple[str, str] | None) -> list[dict[str, Any]]:
    """Return a session; ``told`` is (role, words) of the evidence said in it."""
    themes = _THEMES.split()
    theme, slot = themes[int(rng.integers(len(themes)))], int(rng.integers(exchanges))
    said: list[dict[str, Any]] = []
    for number in range(exchanges):
        asks, tells = _CHATTER[int(rng.integers(len(_CHATTER)))]
        for role, words in (("user", asks), ("assistant", tells)):
            here = told is not None and told[0] == role and number == slot
            extra = f" {told[1]}" if told is not None and here else ""
            content = words.format(t=theme, T=theme.capitalize()) + extra
            said.append({"role": role, "content": content} | ({} if told is None else {"has_answer": here}))
    return said


def _attribute(rng: np.random.Generator) -> tuple[str, str, list[str]]:
    says, asks, values = list(_ATTRIBUTES.values())[int(rng.integers(len(_ATTRIBUTES)))]
    return says, asks, [str(value) for value in rng.permutation(values.split())]


def _stated(rng: np.random.Generator) -> tuple[str, str, str, list[tuple[str, str]]]:
    says, asks, values = _attribute(rng)
    return "single-session-user", asks, values[0], [("user", says.format(v=values[0]))]


def _by_assistant(rng: np.random.Generator) -> tuple[str, str, str, list[tuple[str, str]]]:
    dish = _DISHES[int(rng.integers(len(_DISHES)))]
    said = ("assistant", f"For dinner I recommend {dish}.")
    return "single-session-assistant", "Which dish did you recommend to me for dinner?", dish, [said]


def _preference(rng: np.random.Generator) -> tuple[str, str, str, list[tuple[str, str]]]:
    says, _, values = _attribute(rng)
    said = ("user", f"I prefer quiet places in the mountains. {says.format(v=values[0])}")
    return "single-session-preference", "Can you suggest where to spend my holidays?", "quiet mountains", [said]


def _updated(rng: np.random.Generator) -> tuple[str, str, str, list[tuple[str, str]]]:
    says, asks, values = _attribute(rng)
    return "knowledge-update", asks, values[1], [("user", says.format(v=value)) for value in values[:2]]


def _dated(rng: np.random.Generator) -> tuple[str, str, str, list[tuple[str, str]]]:
    first, second = (_EVENTS[int(place)] for place in rng.permutation(len(_EVENTS))[:2])
    question = f"How many days passed between when I {first} and when I {second}?"
    return "temporal-reasoning", question, "by their dates", [("user", f"Today I {e}.") for e in (first, second)]


def _counted(rng: np.random.Generator) -> tuple[str, str, str, list[tuple[str, str]]]:
    cooked = [_DISHES[int(place)] for place in rng.permutation(len(_DISHES))[: int(rng.integers(2, 6))]]
    said = [("user", f"I cooked {dish} for my friends.") for dish in cooked]
    return "multi-session", "How many different dishes did I cook for my friends?", str(len(cooked)), said


def _unsaid(rng: np.random.Generator) -> tuple[str, str, str, list[tuple[str, str]]]:
    says, _, values = _attribute(rng)
    return "abstention", "What is the name of my hamster?", "not mentioned", [("user", says.format(v=values[0]))]


def longmemeval_twin(seed: int = 0, **sizes: int) -> DataSet:
    """Return ``longmemeval_items`` as cases, all turns."""
    cases, excluded = item_cases(longmemeval_items(seed, **sizes), "the twin", "all")
    return replace(made_up("longmemeval", seed, cases, "turn", "session"), official=True, excluded=excluded)
