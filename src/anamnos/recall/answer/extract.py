"""Answers by rules: what was said, when, how long, how many, which ones, yes or no, or that nothing says it.

Nothing is worded anew but dates and counts, so an answer can be wrong about the question but not about the memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from math import exp

from anamnos.cube import MemCube
from anamnos.recall.analyse import Cue, Intent, named
from anamnos.recall.answer.base import NOT_IN_MEMORY, Answer, Kind, cited
from anamnos.recall.evidence import Sentence
from anamnos.times import TimeSpan, find_times
from anamnos.types import PackedContext

Found = tuple[Kind, str, list[MemCube]]

_MOST_ITEMS = 4
_WORTH_LISTING = 0.5  # of the best score: what scores less is no item of a list
_TIME_BONUS = 0.2  # more for a sentence that names a time, where only a time can be the answer
_SENTENCES_READ = 6
_NUMBER_WORDS = (
    "no|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fifteen|twenty|thirty|forty|fifty"
    "|once|twice|thrice|a couple(?: of)?|a few|several|dozens?|hundreds?"
)
_AMOUNT = re.compile(
    rf"(?<![\w.,:/-])(?:[£$€¥]\s?)?(?:\d[\d,.]*\d|\d)(?:\s?(?:%|k\b|pounds|euros|dollars|percent))?(?![\w:/-])"
    rf"|\b(?:{_NUMBER_WORDS})\b",
    re.IGNORECASE,
)
_UNIT = r"(?:second|minute|hour|day|night|week|weekend|month|year|decade)s?"
_DURATION = re.compile(
    rf"\b(?:(?:for|over|about|around|almost|nearly|more than|less than)\s+)*"
    rf"(?:\d+(?:[.,]\d+)?|an?|{_NUMBER_WORDS})(?:\s+(?:whole|full|long|good|more))?[\s-]{_UNIT}\b(?: and a half| now)?"
    r"|\bsince\s+(?:i was \w+|(?:\w+\s+){0,2}(?:19|20)\d\d|\w+day|last \w+|(?:my )?childhood)"
    r"|\bmy (?:whole|entire) life\b",
    re.IGNORECASE,
)
_ASKS_DATE = re.compile(r"\bdate\b", re.IGNORECASE)
_HOW_LONG = re.compile(rf"\bhow long\b|\bhow much time\b|\bhow many {_UNIT}\b", re.IGNORECASE)
_HOW_LONG_AGO = re.compile(rf"\bhow (?:long|many {_UNIT}) ago\b", re.IGNORECASE)
_COUNTED = re.compile(r"\bhow (?:many|much)\s+(?:different\s+|of\s+\w+\s+)?(?P<noun>[\w-]+)", re.IGNORECASE)
_TIMES = re.compile(r"\bhow (?:many times|often)\b", re.IGNORECASE)
_YES_NO = re.compile(
    r"^\W*(?:is|are|was|were|do|does|did|has|have|had|can|could|will)\b(?:n['’]t)?"
    r"(?!.*\b(?:what|when|where|who|which|why|how)\b)",
    re.IGNORECASE,
)
_CHOICE = re.compile(r"\b\w+(?:\s\w+)? or \w+", re.IGNORECASE)
_NOT = re.compile(r"\b(?:not|never|no longer|nobody|nothing|none|without)\b|n['’]t\b|^\W*(?:no|nope)\b", re.IGNORECASE)
_ENOUGH_FOR_YES = 0.75  # of the question's terms
_WEEK = re.compile(r"\bweek(?:s)?\b", re.IGNORECASE)
_WEEKEND = re.compile(r"\bweekend\b", re.IGNORECASE)
_WEEKDAY = re.compile(r"\b(?:mon|tues?|wednes|wed|thurs?|fri|satur|sat|sun)(?:day)?\b", re.IGNORECASE)

_FIRST_PERSON = re.compile(r"\b(?:i|my|me|mine|we|our|us)\b", re.IGNORECASE)
_BIAS, _SIMILARITY, _COVERAGE, _OF_ANOTHER, _SHARE = -4.4, 3.7, 1.7, -7.9, 2.7
REFUSES_BELOW = 0.22
"""Chosen on LoCoMo 0-1: of the questions about the wrong person 62 % are below, of those about another conversation
42 %, of the others 2 %. By the sentences alone, below 1/3, they were 61 %, 4 % and 3 %."""


def extract(cue: Cue, ranked: Sequence[Sentence], context: PackedContext, sure: float) -> Answer:
    """Return the answer that the best sentences hold.

    ranked   of ``ranked_sentences``, best first
    context  what the citations refer to
    sure     of ``confidence``
    """
    if not ranked or sure < REFUSES_BELOW:
        return Answer(NOT_IN_MEMORY, {}, sure, Kind.NONE, True, context)
    kind, text, cubes = _found(cue, ranked)
    return Answer(text, cited(context, cubes), sure, kind, False, context)


def confidence(cue: Cue, ranked: Sequence[Sentence], of_hits: float) -> float:
    """Return how likely it is that the memories answer the question at all, in [0, 1]; 0 without any sentence.

    of_hits  what the search behind the sentences says of that: ``Hits.confidence``

    The odds of the search times exp(-4.4 + 3.7 similarity + 1.7 coverage - 7.9 gap + 2.7 share), where only sentences
    count that may be about the one speaker whom the question names: their own, those that name them, those of nobody.
    gap: by how much closer to the question comes what others say of themselves, for then it is their affair. share: of
    all sentences that are not questions, those that count; 1 if the question names no speaker, or several.
    Source: ours; the exponent is a logistic regression on LoCoMo 0-1, both classes weighing the same. On questions of
    LoCoMo 0-1 and REALTALK 1-5, half with an answer, a regression on both logarithms of odds gives them weights of 1.3
    and 1.0 and a log loss of .37; of either alone .43 (sentences) and .50 (search). Sentences know better who was
    meant, the search what was never spoken of.
    """
    said = [sentence for sentence in ranked if not sentence.asks] or list(ranked)
    if not said:
        return 0.0
    about, others = said, []
    if len(cue.speakers) == 1:
        about = [s for s in said if s.cube.provenance.actor in (*cue.speakers, None) or named(s.text, cue.speakers)]
        others = [s for s in said if s not in about and _FIRST_PERSON.search(s.text)]
    gap = max(_closest(others) - _closest([s for s in about if not _is_aside(s, cue)]), 0.0)
    coverage = max((s.coverage for s in about), default=0.0)
    share = len(about) / len(said)
    weight = _BIAS + _SIMILARITY * _closest(about) + _COVERAGE * coverage + _OF_ANOTHER * gap + _SHARE * share
    odds = exp(weight) * of_hits / max(1 - of_hits, 1e-9)
    return odds / (1 + odds)


def _closest(sentences: Sequence[Sentence]) -> float:
    return max((sentence.similarity for sentence in sentences), default=0.0)


def _is_aside(sentence: Sentence, cue: Cue) -> bool:
    """Return whether a sentence of the speaker who is asked about is not about them: "How lovely, that bridge!"."""
    return sentence.cube.provenance.actor in cue.speakers and not _FIRST_PERSON.search(sentence.text)


def _found(cue: Cue, ranked: Sequence[Sentence]) -> Found:
    """Return the first kind of answer that the question asks for and the sentences can give."""
    for attempt in (_duration, _date, _count, _yes_no, _several):
        found = attempt(cue, ranked)
        if found is not None:
            return found
    return Kind.SENTENCE, ranked[0].text, [ranked[0].cube]


# --- when and how long


def _duration(cue: Cue, ranked: Sequence[Sentence]) -> Found | None:
    if not _HOW_LONG.search(cue.text) or _HOW_LONG_AGO.search(cue.text):
        return None
    for sentence in _with_bonus(ranked, lambda s: bool(_DURATION.search(s.text))):
        if said := _DURATION.search(sentence.text):
            return Kind.DURATION, said.group().strip(), [sentence.cube]
    return None


def _date(cue: Cue, ranked: Sequence[Sentence]) -> Found | None:
    """Return the time that the best sentence names, seen from when it was said, else the day on which it was said."""
    if not (cue.asks_when or _ASKS_DATE.search(cue.text)) or (
        _HOW_LONG.search(cue.text) and not _HOW_LONG_AGO.search(cue.text)
    ):
        return None
    sentence = _with_bonus(ranked, lambda s: bool(_times(s)))[0]
    said = sentence.cube.time.created_at
    times = _times(sentence)
    if times:
        return Kind.DATE, written(times[0], said), [sentence.cube]
    return None if said is None else (Kind.DATE, _day(said), [sentence.cube])


def _times(sentence: Sentence) -> list[TimeSpan]:
    said = sentence.cube.time.created_at
    return [] if said is None else find_times(sentence.text, said)


def _with_bonus(ranked: Sequence[Sentence], wanted: Callable[[Sentence], bool]) -> list[Sentence]:
    """Return the first few sentences, those that are wanted moved up."""
    few = ranked[:_SENTENCES_READ]
    return sorted(few, key=lambda s: (s.asks, -(s.score + _TIME_BONUS * wanted(s))))


def written(span: TimeSpan, said: datetime | None) -> str:
    """Return a time as people write it, as exact as it was said: a day, a month, a year, or the week before a day."""
    start, end = (edge.astimezone(said.tzinfo) if said else edge for edge in span.meant)
    length = end - start
    if length <= timedelta(days=1):
        exact = span.tolerance <= timedelta(days=1)
        if not exact and _WEEK.search(span.phrase) and said is not None and span.tolerance <= timedelta(days=3):
            side = "before" if start < said else "after"
            return f"the week {side} {_day(said)}"
        if not exact and span.tolerance > timedelta(days=20):
            return f"{start.year}"
        if not exact and span.tolerance > timedelta(days=5):
            return f"{start:%B %Y}"
        weekday = f"{start:%A} " if _WEEKDAY.search(span.phrase) else ""
        return f"{'' if exact else 'around '}{weekday}{_day(start)}"
    if _WEEKEND.search(span.phrase) and said is not None and length <= timedelta(days=2):
        return f"the weekend {'before' if end <= said else 'of' if start <= said else 'after'} {_day(said)}"
    last = end - timedelta(days=1)
    if start.day == 1 and (start.year, start.month) == (last.year, last.month) and end.day == 1:
        return f"{start:%B} {start.year}"
    if (start.month, start.day, end.month, end.day, end.year) == (1, 1, 1, 1, start.year + 1):
        return str(start.year)
    return f"{_day(start)} to {_day(last)}"


def _day(moment: datetime) -> str:
    return f"{moment.day} {moment:%B} {moment.year}"


# --- how many


def _count(cue: Cue, ranked: Sequence[Sentence]) -> Found | None:
    """Return the number that is said beside what is counted, else the best sentence's; for times, else the days."""
    if cue.intent is not Intent.COUNT:
        return None
    few = ranked[:_SENTENCES_READ]
    asked = _COUNTED.search(cue.text)
    beside = "times" if _TIMES.search(cue.text) else asked["noun"].lower().rstrip("s") if asked else ""
    for sentence in few:
        near = re.search(rf"(?P<n>{_AMOUNT.pattern})(?:\s+[\w-]+){{0,2}}?\s+{re.escape(beside)}", sentence.text, re.I)
        if beside and near:
            return Kind.COUNT, near["n"].strip(), [sentence.cube]
    if beside == "times":
        items = _items(cue, ranked)
        days = {s.cube.time.created_at.date() if s.cube.time.created_at else s.cube.id for s in items}
        return (Kind.COUNT, str(len(days)), _cubes(items)) if items else None
    amount = None if few[0].asks else _AMOUNT.search(few[0].text)
    return (Kind.COUNT, amount.group().strip(), [few[0].cube]) if amount else None


# --- yes or no


def _yes_no(cue: Cue, ranked: Sequence[Sentence]) -> Found | None:
    """Return yes or no with the sentence behind it, where nearly all of the question's words are said in one."""
    best = ranked[0]
    if not _YES_NO.search(cue.text) or _CHOICE.search(cue.text) or best.asks or best.coverage < _ENOUGH_FOR_YES:
        return None
    denied = bool(_NOT.search(best.text)) != bool(_NOT.search(cue.text))
    return Kind.YES_NO, f"{'No' if denied else 'Yes'}: {best.text}", [best.cube]


# --- several things


def _several(cue: Cue, ranked: Sequence[Sentence]) -> Found | None:
    """Return the best sentences, one after the other."""
    items = _items(cue, ranked) if cue.wants_list else []
    if len(items) < 2:
        return None
    return Kind.LIST, "; ".join(item.text.rstrip(".!… ") for item in items), _cubes(items)


def _items(cue: Cue, ranked: Sequence[Sentence]) -> list[Sentence]:
    """Return the best sentence and those that come near it, each memory once, in order of score.

    Where the question names one speaker, only what they said themselves counts.
    """
    items: dict[str, Sentence] = {}
    for sentence in ranked:
        own = len(cue.speakers) != 1 or sentence.cube.provenance.actor in (*cue.speakers, None)
        if own and not sentence.asks and sentence.score >= _WORTH_LISTING * ranked[0].score:
            items.setdefault(sentence.cube.id, sentence)
    return list(items.values())[:_MOST_ITEMS]


def _cubes(sentences: Sequence[Sentence]) -> list[MemCube]:
    return [sentence.cube for sentence in sentences]
