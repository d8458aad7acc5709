"""Preferences, concerns, habits, plans and memories that a speaker tells of themself: families of patterns.

Source: the families are those of LongMemEval-style "user has mentioned" documents; the patterns are ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from anamnos.ingest.extract.base import sentences

MAX_CLAUSE_CHARS = 80


@dataclass(frozen=True, slots=True)
class Preference:
    """What a speaker likes, does, plans or fears.

    family  like, dislike, habit, favourite, diet, wish, plan, concern, interest, past
    verb    how they put it: "love", "allergic to"
    clause  to what, in their words, at most 80 characters
    quote   the sentence
    """

    family: str
    verb: str
    clause: str
    quote: str


_ADVERBS = (
    r"(?:(?:really|also|just|still|always|absolutely|totally|usually|quite|so|kind of|kinda|definitely|actually|do|did"
    r"|truly|especially|generally|currently|now|already|honestly|super|pretty|very|even|mostly|recently|lately"
    r"|personally|only|a bit|a little|more)\s+){0,3}"
)
_I = r"\b(?:I|we)\s+"
_AM = r"\b(?:I|we)(?:['’](?:m|re)|\s+(?:am|are|was|were)|(?:['’]ve|\s+have|['’]d|\s+had)(?:\s+\w+ly|\s+always)?\s+been)\s+"
_GET = r"\b(?:I|we)\s+(?:got|get|became|felt|feel)\s+"
_WOULD = r"\b(?:I|we)(?:['’]d|\s+would)\s+"
_NOT = r"(?:do not|don['’]?t|did not|didn['’]?t|can(?:no|['’])?t|never)\s+"
_START = r"^(?:(?:yeah|yes|yep|oh|wow|well|so|and|but|also|haha|hey|thanks|hmm|ok|okay|sure|no)\b\W*)*"

# ruff: noqa: E501  (one pattern a line)
_FAMILIES = [
    (family, re.compile(pattern, re.IGNORECASE))
    for family, pattern in (
        ("dislike", rf"{_I}{_ADVERBS}{_NOT}{_ADVERBS}(?P<verb>like|love|enjoy|care for|stand|bear|want|trust)\s+(?P<clause>.+)"),
        ("diet", rf"{_I}{_ADVERBS}{_NOT}{_ADVERBS}(?P<verb>eat|drink|smoke)\s+(?P<clause>.+)"),
        ("dislike", rf"(?:{_I}{_ADVERBS}|{_START})(?P<verb>hate|dislike|detest|loathe|avoid)d?\s+(?P<clause>.+)"),
        ("like", rf"(?:{_I}|{_WOULD})?{_ADVERBS}(?P<verb>prefer)(?:red)?\s+(?P<clause>.+)"),
        ("wish", rf"{_WOULD}{_ADVERBS}(?P<verb>(?:like|love|prefer|want)\s+to)\s+(?P<clause>.+)"),
        ("like", rf"{_I}{_ADVERBS}(?P<verb>like|love|enjoy|adore|appreciate|crave|cherish)d?\s+(?P<clause>.+)"),
        ("like", rf"{_I}{_ADVERBS}(?P<verb>enjoyed|liked)\s+(?P<clause>.+)"),
        ("like", rf"{_START}{_ADVERBS}(?P<verb>love|loved|enjoy|enjoyed|loving|enjoying)\s+(?P<clause>.+)"),
        ("like", rf"(?:{_AM}){_ADVERBS}(?P<verb>loving|enjoying)\s+(?P<clause>.+)"),
        ("like", r"(?P<clause>.{2,80}?)\s+(?:is|are)\s+what\s+(?:I|we)\s+(?P<verb>crave|love|like|prefer|enjoy|want)\b"),
        ("like", r"\b(?P<verb>nothing beats)\s+(?P<clause>.+)"),
        ("favourite", r"\b(?:my|our)\s+(?:all[- ]time\s+|absolute\s+)?(?P<verb>favou?rite)\s+(?P<clause>\w.+\s(?:is|are|was|were|would be|has to be)\s.+)"),
        ("favourite", r"(?P<clause>\b.{2,80}?)(?:\s+(?:is|are|was|were)|['’]s)\s+(?:one of\s+)?(?:my|our)\s+(?:all[- ]time\s+|absolute\s+)?(?P<verb>favou?rites?)\b"),
        ("diet", rf"(?:{_AM}|{_START}){_ADVERBS}(?P<verb>allergic to)\s+(?P<clause>.+)"),
        ("diet", rf"{_AM}{_ADVERBS}(?:an?\s+)?(?P<verb>)(?P<clause>(?:[\w-]+\s+)?intolerant\b.*|vegetarian\b|vegan\b|pescatarian\b|diabetic\b|gluten[- ]free\b|celiac\b|coeliac\b|teetotal\w*)"),
        ("habit", rf"{_I}(?P<verb>usually|normally|generally|typically|always|never|often|rarely|tend to|make sure to)\s+(?P<clause>.+)"),
        ("past", rf"{_I}{_ADVERBS}(?P<verb>used to)\s+(?P<clause>.+)"),
        ("past", rf"{_I}{_ADVERBS}(?P<verb>remember|miss)\s+(?P<clause>.+)"),
        ("past", r"\b(?P<verb>growing up)\b,?\s*(?P<clause>.+)"),
        ("past", r"\bwhen\s+(?P<verb>I\s+was)\s+(?P<clause>(?:in|at|a|an|about|around|little|young|younger|small|\d+)\b.+)"),
        ("wish", rf"(?:{_I}|{_START}){_ADVERBS}(?P<verb>(?:want|wanted|wanna|hope|hoped|wish|need|plan|intend|aim)(?:\s+to)?)\s+(?P<clause>.+)"),
        ("wish", rf"(?:{_AM}|{_START}){_ADVERBS}(?:been\s+)?(?P<verb>trying to|hoping to|hoping for|dreaming (?:of|about)|aiming (?:to|for)|saving (?:up )?for|looking forward to)\s+(?P<clause>.+)"),
        ("plan", rf"(?:{_AM}|{_START}){_ADVERBS}(?:been\s+)?(?P<verb>planning(?: to| on)?|thinking (?:of|about)|considering|looking (?:for|into|at)|working on|getting into|learning(?: to)?|studying|researching)\s+(?P<clause>.+)"),
        ("concern", rf"(?:{_AM}|{_START}){_ADVERBS}(?:been\s+)?(?P<verb>struggling with|having (?:some )?(?:trouble|problems?|difficult(?:y|ies)|issues?)(?: with)?|dealing with|recovering from)\s+(?P<clause>.+)"),
        ("concern", rf"{_I}{_ADVERBS}(?P<verb>(?:have|had|struggle|struggled)(?:\s+an?)?(?:\s+(?:big|some|lots of))?\s*(?:trouble|problems?|difficulty|issues?)?\s+with)\s+(?P<clause>.+)"),
        ("concern", rf"(?:{_AM}|{_GET}){_ADVERBS}(?P<verb>(?:worried|concerned|anxious|nervous|stressed|afraid|scared|terrified|frustrated|insecure|upset)(?:\s+out)?\s+(?:about|of|by|with))\s+(?P<clause>.+)"),
        ("interest", rf"{_AM}{_ADVERBS}(?P<verb>into)\s+(?P<clause>.+)"),
        ("interest", rf"(?:{_AM}|{_GET}){_ADVERBS}(?P<verb>interested in|passionate about|curious about|keen on|fascinated by|obsessed with|crazy about|fond of|excited (?:about|for))\s+(?P<clause>.+)"),
        ("interest", rf"{_AM}{_ADVERBS}(?:a\s+)?(?:big|huge|great)?\s*(?P<verb>fan of)\s+(?P<clause>.+)"),
    )
]  # fmt: skip

_CUT = re.compile(
    r",?\s+(?:but|because|although|though|which|and\s+(?:I|we|it|he|she|they|then|that))\b"
    r"|,\s+(?:and|so|by the way|you know|I|it|he|she|they|what|do you)\b|\s*[;:(\[]|\s+[-–—]\s",
    re.IGNORECASE,
)
_EMPTY_START = re.compile(
    r"(?:it|that|this|these|those|you|your|yours|them|him|her|I|we|is|was|were|and|so|all|how|what\s+you|the\s+way|to\s+(?:thank|hear|see\s+you)"
    r"|thank|say|tell\s+you|ask\s+you|hear|know|see\s+(?:it|that|you|them|your)|share|congratulate|chat|let\s+you|help\s+you"
    r"|be\s+there|check\s+it|try\s+it|do\s+(?:it|that))\b",
    re.IGNORECASE,
)


def find_preferences(text: str) -> list[Preference]:
    """Return what the speaker of ``text`` tells of their likes, habits, plans and worries, in its order.

    Questions, and what is said of others, give nothing.
    """
    return [found for sentence in sentences(text) if not sentence.endswith("?") for found in _of(sentence)]


def _of(sentence: str) -> Iterator[Preference]:
    taken: list[tuple[int, int]] = []
    for family, pattern in _FAMILIES:
        match = pattern.search(sentence[:1_000])
        if match is None:
            continue
        start = match.start("clause")
        clause = _trimmed(match["clause"])
        end = start + len(clause)
        if len(clause) < 3 or _EMPTY_START.match(clause) or not re.search(r"\w{3}", clause):
            continue
        if any(start < other_end and other_start < end for other_start, other_end in taken):
            continue
        taken.append((start, end))
        yield Preference(family, match["verb"].lower(), clause, sentence)


def _trimmed(clause: str) -> str:
    """Return the clause up to where another one begins, of whole words, 80 characters at most."""
    cut = _CUT.search(clause, 3)
    clause = clause[: cut.start()] if cut else clause
    if len(clause) > MAX_CLAUSE_CHARS:
        clause = clause[:MAX_CLAUSE_CHARS].rpartition(" ")[0] or clause[:MAX_CLAUSE_CHARS]
    return clause.rstrip(" \t.,!?…'\"”’*~")
