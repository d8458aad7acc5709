"""Corrections that people give in words: what kind they are, and which memories they change into what.

Source: MemFeedback of MemOS, arXiv:2507.03724, with its guards; the patterns are ours.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from anamnos.cube import CubeId, MemCube, State, thaw_json, to_iso

LEAST_SIMILARITY = 0.2  # of a memory that a correction may be about
ABOUT = 0.6  # above it, a correcting sentence replaces what it is most like
NEAREST = 20
CLOSE_ID = 0.8  # likeness of a mistyped id
LONG_TOKENS, MOST_CHANGED = 200, 0.7  # of a longer text, no more than this share may change at once
NOTE = "feedback"


class FeedbackKind(StrEnum):
    """What a text of feedback is."""

    REPLACE = "replace"  # one expression for another, wherever it stands
    CORRECTION = "correction"  # this is wrong, that is right
    ADDITION = "addition"  # something new
    IRRELEVANT = "irrelevant"  # thanks, a question


@dataclass(frozen=True, slots=True)
class Feedback:
    """A text of feedback, taken apart.

    original, target  what to put ``target`` in the place of; "" if it does not say so
    statement         the rest: what is right, or new
    """

    kind: FeedbackKind
    original: str = ""
    target: str = ""
    statement: str = ""


@dataclass(frozen=True, slots=True)
class Correction:
    """A memory and what it is to say."""

    cube: MemCube
    text: str


_QUOTE = "\"'“”‘’"
_ORIGINAL, _TARGET = (rf"[{_QUOTE}]?(?P<{name}>[^{_QUOTE},.;]+?)[{_QUOTE}]?" for name in ("original", "target"))
_IT_IS = r"(?:it['’]?s|it is|that['’]s|i said|i meant|it should be|should be)"
_REPLACE = re.compile(
    r"^(?:please\s+|could you\s+|always\s+)*(?:replace|change|rename|swap|correct)\s+"
    rf"(?:all\s+|every\s+|the (?:word|name)\s+)?{_ORIGINAL}\s+(?:with|to|by|into|for)\s+{_TARGET}"
    r"(?:\s+(?:everywhere|please|in all .+))*\s*[.!]?$",
    re.IGNORECASE,
)
_SIGNAL = re.compile(
    r"^\W*(?:no(?:pe)?\b[,.!:;]|actually\b|wrong\b|incorrect\b|correction\b|sorry,|in fact\b|not quite\b|i meant\b"
    r"|(?:that|this|it)(?:['’]s| is| was) (?:wrong|incorrect|not (?:right|true|correct))\b|you(?:['’]re| are) wrong\b)"
    r"[\s,.:;!–—-]*",
    re.IGNORECASE,
)
_THIS_NOT_THAT = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"^{_IT_IS}?\s*{_TARGET}\s*,?\s+(?:and\s+)?not\s+{_ORIGINAL}\s*[.!]?$",
        rf"^{_IT_IS}?\s*{_TARGET}\s+(?:instead of|rather than)\s+{_ORIGINAL}\s*[.!]?$",
        rf"^(?:{_IT_IS}|.+\s(?:is|are|was))?\s*not\s+{_ORIGINAL}\s*,?\s+(?:but|it['’]?s|it is)\s+{_TARGET}\s*[.!]?$",
    )
)
_CLAUSE = re.compile(r"^(?:i|you|he|she|we|they)\b", re.IGNORECASE)
_COURTESY = re.compile(
    r"^\W*(?:(?:thanks?(?: you)?|thx|ok(?:ay)?|great|good|nice|cool|perfect|fine|sure|yes|yeah|no|nope|right|exactly"
    r"|correct|hi|hello|bye|well done|never mind|got it|i see|lol|haha|very|so much"
    r"|a lot|that['’]s|it['’]?s|all)\b[\s,.!]*)+$",
    re.IGNORECASE,
)
_MOST_TERM_WORDS = 4


def classify(text: str) -> Feedback:
    """Return what a text of feedback is.

    >>> classify("it's Ren, not Wren")
    Feedback(kind=<FeedbackKind.CORRECTION: 'correction'>, original='Wren', target='Ren', statement='')
    """
    words = " ".join(text.split())
    if match := _REPLACE.match(words):
        return Feedback(FeedbackKind.REPLACE, match["original"].strip(), match["target"].strip())
    rest = words
    while signal := _SIGNAL.match(rest):
        rest = rest[signal.end() :]
    for pattern in _THIS_NOT_THAT:
        match = pattern.match(rest)
        if match and all(_is_term(match[part]) for part in ("original", "target")):
            return Feedback(FeedbackKind.CORRECTION, match["original"].strip(), match["target"].strip())
    if not rest or _COURTESY.match(words) or words.endswith("?"):
        return Feedback(FeedbackKind.IRRELEVANT)
    kind = FeedbackKind.ADDITION if rest == words else FeedbackKind.CORRECTION
    return Feedback(kind, statement=rest[0].upper() + rest[1:])


def _is_term(words: str) -> bool:
    """Return whether words are an expression, and no clause."""
    return len(words.split()) <= _MOST_TERM_WORDS and not _CLAUSE.match(words)


def named_ids(ids: Iterable[str], known: Sequence[CubeId]) -> list[CubeId]:
    """Return the known ids that are meant: an unknown one stands for the one that it is most like, or for none."""
    meant: dict[CubeId, None] = {}
    for name in ids:
        close = [name] if name in known else difflib.get_close_matches(name, known, n=1, cutoff=CLOSE_ID)
        meant.update(dict.fromkeys(CubeId(found) for found in close))
    return list(meant)


def corrections(feedback: Feedback, candidates: Sequence[tuple[MemCube, float]], *, given: bool) -> list[Correction]:
    """Return what to write over what; nothing where the feedback is to be kept as a memory of its own, or not at all.

    candidates  memories that it may be about, best first, with their similarity to it
    given       whether somebody named them
    What is frozen stays. A long text is not changed by more than 70 %.
    """
    open_ = [(cube, likeness) for cube, likeness in candidates if cube.lifecycle.state is not State.FROZEN]
    if feedback.original:
        place = re.compile(rf"(?<!\w){re.escape(feedback.original)}(?!\w)", re.IGNORECASE)
        found = [Correction(c, place.sub(lambda _: feedback.target, c.text)) for c, _ in open_ if place.search(c.text)]
        found = [each for each in found if _is_modest(each)]
        return found if feedback.kind is FeedbackKind.REPLACE or given else found[:1]
    if feedback.kind is not FeedbackKind.CORRECTION or not open_:
        return []
    cube, likeness = open_[0]
    only = Correction(cube, feedback.statement)
    return [only] if (given or likeness >= ABOUT) and _is_modest(only) else []


def _is_modest(correction: Correction) -> bool:
    """Return whether a text stays what it is: a long one for the most part."""
    old, new = correction.cube.text.split(), correction.text.split()
    if len(old) <= LONG_TOKENS:
        return True
    return difflib.SequenceMatcher(None, old, new, autojunk=False).ratio() >= 1 - MOST_CHANGED


def corrected(correction: Correction, kind: FeedbackKind, at: datetime | None) -> MemCube:
    """Return the next version of a memory, which says what the feedback says."""
    cube = correction.cube
    note = {"update_type": "feedback", "kind": str(kind), "at": to_iso(at)}
    data = {name: thaw_json(value) for name, value in cube.annotations.data.items()}
    data[NOTE] = {name: value for name, value in note.items() if value is not None}
    return cube.next_version(
        content=correction.text,
        provenance=replace(cube.provenance, operator="update/1"),
        annotations=replace(cube.annotations, data=data),
    )
