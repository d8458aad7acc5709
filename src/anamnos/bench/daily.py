"""A made-up year of daily chats: routine that repeats, small reports that differ by a number, talk about themes, and
facts that are asked for later. The same seed gives the same words.

Source: ours; the shares are guesses of how people talk to an assistant every day, and no data was looked at for them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from anamnos.bench.synthetic import texts, vocabulary

DAYS = 365
FIRST_DAY = datetime(2024, 1, 1, 7, tzinfo=UTC)
SPEAKERS = ("Ines", "assistant")
SESSION_TURNS = 20
_ROUTINE_SHARE, _REPORT_SHARE, _THEME_SHARE = 0.25, 0.2, 0.3  # the rest is talk about anything
_FACT_EVERY = 100  # turns
_REPEATED_SHARE = 0.3  # of the facts are said again, word for word, three times
_ROUTINE = (
    "Good morning, please read me the plan for the day.",
    "Please remind me to take the blue pills after breakfast.",
    "I water the tomatoes on the balcony before work.",
    "Play the quiet piano music while I cook dinner.",
    "Set the heating lower while nobody is at home.",
    "I walk the dog along the river after lunch.",
    "Read me the news about the city and the weather.",
    "I feed the neighbour's cat while she is away.",
    "Turn off the lights in the kitchen and the hallway.",
    "I write three lines into my diary before going to bed.",
    "Order the usual vegetables from the market garden.",
    "Tell me which bills have to be paid this week.",
)
_REPORTS = (
    "I slept {n} hours and walked {m} steps.",
    "The train was {n} minutes late and I read {m} pages.",
    "Breakfast had {m} calories and lunch cost {n} euros.",
    "I ran {n} kilometres in {m} minutes along the river.",
    "The garden gave {n} tomatoes and {m} beans today.",
)
_THEMES = {
    "sailing": "harbour sail rudder anchor regatta keel mast spray knots lighthouse",
    "baking": "sourdough oven flour crust yeast dough bakery loaf rye butter",
    "chess": "gambit rook endgame opening bishop tournament blunder clock pawn checkmate",
    "pottery": "clay kiln glaze wheel bowl ceramic vase firing studio slip",
    "astronomy": "telescope nebula comet eclipse galaxy orbit lens moonrise planet meteor",
    "cycling": "saddle gears helmet gravel climb chain peloton brakes valley tyre",
    "gardening": "compost seedlings pruning roses mulch greenhouse tulips hedge soil weeds",
    "film": "director festival premiere script camera documentary subtitles cinema scene actor",
}
_TALK = (
    "We spoke about {t}, and the {a} and the {b} made me curious.",
    "The {a} was the best part of {t} for me, next to the {b}.",
    "Somebody at the {t} evening explained the {a} and the {b}.",
    "For {t} I need a better {a} than that old {b}.",
    "I dreamt of {t} again: a {a} as large as a {b}.",
)
_THINGS = ("tea", "song", "bench", "train", "recipe", "museum", "sweater", "beach", "poem", "bakery", "clock", "hill")
_SAID = "By the way, {who}'s favourite {thing} is the {what} one."
_ASKED = "What is {who}'s favourite {thing}?"


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and the ids of all turns that say the answer in the same words."""

    text: str
    said_in: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of the year."""

    id: str
    speaker: str
    text: str
    session: str
    said_at: datetime


def year_of_chats(turns: int, seed: int = 0) -> tuple[list[Turn], list[Question]]:
    """Return that many turns over 365 days, and a question per hundred of them."""
    rng = np.random.default_rng(seed)
    plain = iter(texts(turns, seed))
    said = list(_sayings(turns, plain, rng))
    facts, questions = _facts(turns, rng)
    for place, text in facts.items():
        said[place] = text
    per_day = -(-turns // DAYS)
    made = []
    for number, text in enumerate(said):
        day, in_day = divmod(number, per_day)
        session = f"day{day}-{in_day // SESSION_TURNS}"
        when = FIRST_DAY + timedelta(days=day, minutes=2 * in_day)
        speaker = SPEAKERS[0] if number in facts or not (in_day % 2) else SPEAKERS[1]
        made.append(Turn(f"m{number}", speaker, text, session, when))
    return made, questions


def write_year(path: Path, turns: Sequence[Turn]) -> None:
    """Write turns as a JSON Lines file of messages."""
    with path.open("w", encoding="utf-8") as file:
        for turn in turns:
            role = "assistant" if turn.speaker == "assistant" else "user"
            message = {"role": role, "name": turn.speaker, "content": turn.text, "id": turn.id}
            file.write(json.dumps({**message, "session": turn.session, "created_at": turn.said_at.isoformat()}) + "\n")


def _sayings(count: int, plain: Iterator[str], rng: np.random.Generator) -> Iterator[str]:
    themes = list(_THEMES)
    for chance in rng.random(count):
        if chance < _ROUTINE_SHARE:
            yield _ROUTINE[int(rng.integers(len(_ROUTINE)))]
        elif chance < _ROUTINE_SHARE + _REPORT_SHARE:
            report = _REPORTS[int(rng.integers(len(_REPORTS)))]
            yield report.format(n=int(rng.integers(2, 60)), m=int(rng.integers(100, 9_000)))
        elif chance < _ROUTINE_SHARE + _REPORT_SHARE + _THEME_SHARE:
            theme = themes[int(rng.integers(len(themes)))]
            a, b = rng.choice(_THEMES[theme].split(), size=2, replace=False)
            yield _TALK[int(rng.integers(len(_TALK)))].format(t=theme, a=a, b=b)
        else:
            yield next(plain)


def _facts(turns: int, rng: np.random.Generator) -> tuple[dict[int, str], list[Question]]:
    """Return place -> text of the facts, and a question about each."""
    count = max(turns // _FACT_EVERY, 1)
    words = vocabulary(np.random.default_rng(int(rng.integers(2**31))), 4 * count + 1_000)[1_000:]
    free = iter(rng.permutation(turns).tolist())
    said: dict[int, str] = {}
    questions = []
    for number in range(count):
        who, what = words[2 * number].capitalize(), words[2 * number + 1]
        thing = _THINGS[int(rng.integers(len(_THINGS)))]
        text = _SAID.format(who=who, thing=thing, what=what)
        places = [next(free) for _ in range(4 if rng.random() < _REPEATED_SHARE else 1)]
        said |= dict.fromkeys(places, text)
        ids = tuple(f"m{place}" for place in sorted(places))
        questions.append(Question(_ASKED.format(who=who, thing=thing), ids))
    return said, questions
