"""What a cue asks for: its terms, who is named in it, and the text that its embedding is made of."""

from __future__ import annotations

import calendar
import re
from collections.abc import Mapping
from dataclasses import dataclass

from anamnos.cube import Scope
from anamnos.index.space import SpaceIndex
from anamnos.index.terms import TermReader

_MONTHS = tuple(calendar.month_name)[1:]
_MONTH = "|".join(_MONTHS)
_ASKS_WHEN = re.compile(
    r"^\W*(?:when|how long|how many (?:days|weeks|months|years)|(?:on |in )?(?:what|which) time)\b"
    r"|\b(?:what|which) (?:date|day|month|year)\b",
    re.IGNORECASE,
)
_NAMED_MONTH = re.compile(
    rf"(?:(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?)?\b(?P<month>{_MONTH})\b"
    r"(?:\s+(?P<day_after>\d{1,2})(?:st|nd|rd|th)?(?!\d))?(?:,?\s+(?:of\s+)?(?P<year>(?:19|20)\d\d)\b)?",
    re.IGNORECASE,
)
_MAY_IS_MONTH = re.compile(
    r"\b(?:in|on|of|during|since|until|by|early|late|mid|last|this|\d+(?:st|nd|rd|th)?)\s+$", re.I
)


@dataclass(frozen=True, slots=True)
class Cue:
    """A question, taken apart.

    text        as it was asked
    words       term -> the word of the question, for explanations
    terms       term -> how often it occurs
    speakers    names of participants that occur in it
    dense_text  what is embedded: the question without those names
    asks_when   whether a date or a duration is asked for
    months      numbers (1 to 12) of the months that it names
    days        (year or None, month, day) of the days that it names
    """

    text: str
    words: Mapping[int, str]
    terms: Mapping[int, int]
    speakers: tuple[str, ...]
    dense_text: str
    asks_when: bool
    months: tuple[int, ...]
    days: tuple[tuple[int | None, int, int], ...]


def analyse(text: str, space: SpaceIndex, scope: Scope, reader: TermReader) -> Cue:
    """Return the cue of a question asked in a scope of ``space``.

    A name counts as named by its first word too ("Ann" for "Ann Lee"). Names are taken out of what is embedded,
    because every memory of that person is about them: it raised recall@10 of MiniLM alone from .46 to .65 on LoCoMo.
    """
    words: dict[int, str] = {}
    terms: dict[int, int] = {}
    for word in reader.words(text):
        term = reader.term(word)
        words.setdefault(term, word)
        terms[term] = terms.get(term, 0) + 1
    spoken = set(re.findall(r"\w+", text.casefold()))
    speakers = tuple(name for name in space.participants(scope) if _first_word(name) in spoken)
    months, days = _dates(text)
    return Cue(
        text, words, terms, speakers, _without_names(text, speakers), bool(_ASKS_WHEN.search(text)), months, days
    )


def _first_word(name: str) -> str:
    found = re.search(r"\w+", name.casefold())
    return found.group() if found else name.casefold()


def _without_names(text: str, names: tuple[str, ...]) -> str:
    for name in names:
        for part in (name, _first_word(name)):
            text = re.sub(rf"(?<!\w){re.escape(part)}(?:['’]s)?(?!\w)", " ", text, flags=re.IGNORECASE)
    bare = " ".join(text.split())
    return bare if re.search(r"\w", bare) else text or " ".join(names)


def _dates(text: str) -> tuple[tuple[int, ...], tuple[tuple[int | None, int, int], ...]]:
    """Return the months and the days that a text names.

    "May" counts as a month only where it is used as one: the word also begins questions.
    """
    months: list[int] = []
    days: list[tuple[int | None, int, int]] = []
    for found in _NAMED_MONTH.finditer(text):
        day = found["day"] or found["day_after"]
        is_verb = found["month"].lower() == "may" and not (
            day or found["year"] or _MAY_IS_MONTH.search(text[: found.start("month")])
        )
        if is_verb:
            continue
        month = [name.lower() for name in _MONTHS].index(found["month"].lower()) + 1
        months.append(month)
        if day and 1 <= int(day) <= 31:
            days.append((int(found["year"]) if found["year"] else None, month, int(day)))
    return tuple(dict.fromkeys(months)), tuple(dict.fromkeys(days))
