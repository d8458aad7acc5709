"""Slots: what holds of a subject in a relation, and from when until when, whatever the order in which it was learned.

A claim says that a value holds from a moment on, or ceases to. The claims of one slot make its timeline: a partition of
time into spans, each opened by one claim and ended by the next. It is computed from all claims at once, so the order
in which they came plays no part, and taking one away gives back what it had ended.
Source: facts with valid time and transaction time as in bitemporal databases; the rule for claims out of order is ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import groupby


@dataclass(frozen=True, slots=True)
class Slot:
    """What a claim is about.

    subject, relation  folded: of whom, and in which relation
    kind               of the value (name, number, place): of a car, its colour and its place both hold
    value              "" in a slot that holds one value at a time; else the value, which is a slot of its own
    """

    subject: str
    relation: str
    kind: str = ""
    value: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """One statement about a slot.

    id          of the memory that makes it
    value       folded, to be compared; "" in a denial ends whatever holds
    since       from when it holds: the time that it names, else when it was said, else when it was learned
    until       up to when, if it says so
    denies      whether it says that the value has ceased to hold
    authority   of who says so: the higher one wins at equal times, then the higher ``confidence``
    succession  where nobody knows when it was said: what it comes after others by (a number in a list, then the order
                of learning); None where its time is known
    words       the value as it was said
    """

    id: str
    slot: Slot
    value: str
    since: datetime
    until: datetime | None = None
    denies: bool = False
    authority: int = 2
    confidence: float = 1.0
    succession: tuple[int, str] | None = None
    words: str = ""

    @property
    def is_numbered(self) -> bool:
        """Whether it is an item of a numbered list without a date."""
        return self.succession is not None and self.succession[0] >= 0

    @property
    def rank(self) -> tuple[object, ...]:
        """What orders claims of one moment; the last wins."""
        return (self.succession or (-1, ""), self.authority, self.confidence, self.id)


@dataclass(frozen=True, slots=True)
class Span:
    """A value that holds in [since, until).

    claim      that opened it
    again      claims within it that say the same
    ended_by   the claim that ended it: the next value's, a denial, or itself if it said until when; None if it is open
    """

    claim: Claim
    since: datetime
    until: datetime | None = None
    again: tuple[Claim, ...] = ()
    ended_by: Claim | None = None


@dataclass(frozen=True, slots=True)
class Timeline:
    """What holds in a slot over time.

    spans     in order of time; none overlap
    lost      claims that never held -> the claim of the same moment that is believed instead
    replaced  claims that never held because the next of a list took their place -> that one
    """

    spans: tuple[Span, ...] = ()
    lost: dict[str, Claim] = field(default_factory=dict)
    replaced: dict[str, Claim] = field(default_factory=dict)

    def at(self, moment: datetime) -> Span | None:
        """Return what holds at a moment."""
        return next((s for s in self.spans if s.since <= moment and (s.until is None or moment < s.until)), None)


def timeline(claims: Iterable[Claim]) -> Timeline:
    """Return the timeline of one slot.

    1. A claim of the value that holds confirms it; the span begins with the earliest of them.
    2. A later claim of another value ends the one before it, also if it is learned earlier.
    3. Of two values claimed for one moment, the one of higher authority, then confidence, then the later learned, is
       believed; where the order is known but not the time, the last.
    4. A denial ends the value that it denies, and no other.
    """
    spans: list[Span] = []
    lost: dict[str, Claim] = {}
    replaced: dict[str, Claim] = {}
    for moment, group in groupby(_events(claims), key=lambda event: event.since):
        together = sorted(group, key=lambda claim: claim.rank)
        denials = [claim for claim in together if claim.denies]
        for denial in denials:
            _end(spans, denial, moment)
        believed: Claim | None = None
        for claim in reversed([claim for claim in together if not claim.denies]):
            if any(d.value == claim.value and d.rank > claim.rank for d in denials if d.id != claim.id):
                lost[claim.id] = next(d for d in denials if d.value == claim.value)
            elif believed is None:
                believed = claim
                _hold(spans, claim, moment)
            elif claim.value == believed.value:
                spans[-1] = replace(spans[-1], again=(*spans[-1].again, claim))
            else:
                (replaced if claim.succession and believed.succession else lost)[claim.id] = believed
    return Timeline(tuple(spans), lost, replaced)


def _events(claims: Iterable[Claim]) -> list[Claim]:
    """Return the claims and, for those that say until when, their ends, in order of time.

    The items of a numbered list without a date count from when the first of them was learned: their numbers order them.
    """
    known = [claim for claim in claims if claim.until is None or claim.since < claim.until]
    begun = min((claim.since for claim in known if claim.is_numbered), default=None)
    known = [replace(claim, since=begun) if begun and claim.is_numbered else claim for claim in known]
    ends = [replace(claim, since=claim.until, denies=True) for claim in known if claim.until and not claim.denies]
    return sorted([*known, *ends], key=lambda claim: (claim.since, claim.rank))


def _end(spans: list[Span], denial: Claim, moment: datetime) -> None:
    if spans and spans[-1].until is None and denial.value in ("", spans[-1].claim.value):
        spans[-1] = replace(spans[-1], until=moment, ended_by=denial)


def _hold(spans: list[Span], claim: Claim, moment: datetime) -> None:
    if spans and spans[-1].until is None:
        if spans[-1].claim.value == claim.value:
            spans[-1] = replace(spans[-1], again=(*spans[-1].again, claim))
            return
        spans[-1] = replace(spans[-1], until=moment, ended_by=claim)
    spans.append(Span(claim, moment))
