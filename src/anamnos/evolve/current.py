"""What holds now: the value of a relation, and chains of them, looked up among the claims of facts.

The value comes from the timeline of all claims, so it is right before ``resolve`` has run too; and the evidence
of the question is read for claims that nobody has made a fact of. A question is followed
only if it is a chain of relations ("the currency of the country of Ren", "Ren's country's currency") or one of a few
common questions, and only if each step has exactly one value; else there is no answer here.
Source: the serial that wins in fact consolidation, MemoryAgentBench, arXiv:2507.05257; the grammar is ours.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from anamnos.cube import CubeId, MemCube, State
from anamnos.evolve.resolve.changes import note_of
from anamnos.evolve.resolve.known import Known, about
from anamnos.evolve.resolve.slots import Claim, Slot, timeline
from anamnos.types import SEARCHED_STATES

MAX_HOPS = 6
MAX_QUESTION_CHARS = 300
NOBODY = "user"  # who "my" is where no name is known: as extraction has it

_ASKED = re.compile(
    r"^\W*(?:what|who|which|where)(?:\s+(?:is|are)|['’]s)\s+(?:now |currently )?(?P<what>.+?)"
    r"(?:\s+(?:now|currently|at the moment|these days|today))?[?.!\s]*$",
    re.IGNORECASE,
)
_PAST = re.compile(r"\b(?:was|were|did|used to|before|previous(?:ly)?|former(?:ly)?|original(?:ly)?|first)\b", re.I)
_OF = re.compile(r"\s+of\s+", re.IGNORECASE)
_ARTICLE = re.compile(r"^the\s+", re.IGNORECASE)
_OWNER = re.compile(r"^(?P<owner>.+)['’]s?\s+(?P<relation>[^'’]+)$")
_MY = re.compile(r"^my\s+(?=\S)", re.IGNORECASE)
_ME = re.compile(r"^(?:i|me)$", re.IGNORECASE)
_COMMON = tuple(  # questions whose relation is in their verb
    (re.compile(pattern, re.IGNORECASE), relation)
    for pattern, relation in (
        (r"^where (?:does|do) (?P<who>.+?) (?:now |currently )?live(?: now| currently)?\W*$", "live in"),
        (
            r"^(?:where|who) (?:does|do) (?P<who>.+?) (?:now |currently )?work(?: for| at)?(?: now| currently)?\W*$",
            "work at",
        ),
        (r"^who (?:is|am) (?P<who>.+?) married to\W*$", "be married to"),
        (r"^how old (?:is|am) (?P<who>.+?)\W*$", "age"),
        (r"^where (?:is|am) (?P<who>.+?) from\W*$", "be from"),
    )
)


@dataclass(frozen=True, slots=True)
class Current:
    """A value that holds.

    words       as it was said
    claims      the claims that led there, one per hop
    cubes       the facts that make them
    confidence  of the least sure of them, in [0, 1]; half of it where another claim of that time contradicts it
    """

    words: str
    claims: tuple[Claim, ...]
    cubes: tuple[MemCube, ...]
    confidence: float

    @property
    def sources(self) -> list[CubeId]:
        """The memories that the facts stand on, or the facts where they stand on none."""
        found = [source for cube in self.cubes for source in (cube.provenance.derived_from or (cube.id,))]
        return list(dict.fromkeys(found))


__all__ = ["Current", "Heard", "Known", "follow", "value_of"]


class Claims(Protocol):
    """Where claims are looked up."""

    def claims(
        self, subject: str, relation: str, *, known_at: datetime | None = None
    ) -> Iterator[tuple[Claim, MemCube]]:
        """Yield what is claimed of a subject in a relation, with the fact that claims it."""


@dataclass(frozen=True)
class Heard:
    """Known claims, and those of facts that nobody has written down yet.

    unwritten  such facts, derived from turns; those of turns of which a fact is known are left out
    """

    known: Claims
    unwritten: Sequence[MemCube]

    def claims(
        self, subject: str, relation: str, *, known_at: datetime | None = None
    ) -> Iterator[tuple[Claim, MemCube]]:
        """Yield what is claimed of a subject in a relation, with the fact that claims it."""
        read: set[CubeId] = set()
        for claim, cube in self.known.claims(subject, relation, known_at=known_at):
            read.update(cube.provenance.derived_from)
            yield claim, cube
        for cube in self.unwritten:
            if not read.intersection(cube.provenance.derived_from):
                yield from about(cube, subject, relation)


def value_of(
    known: Claims,
    subject: str,
    relation: str,
    moment: datetime,
    *,
    known_at: datetime | None = None,
    allowed: Callable[[MemCube], bool] = lambda cube: True,
) -> Current | None:
    """Return the one value that holds at ``moment``; None if none does, or several do.

    known_at  as far as was known then; None: as far as is known now
    allowed   which facts may be seen
    """
    cubes: dict[str, MemCube] = {}
    slots: dict[Slot, list[Claim]] = {}
    for claim, cube in known.claims(subject, relation, known_at=known_at):
        if allowed(cube):
            cubes[claim.id] = cube
            slots.setdefault(claim.slot, []).append(claim)
    holding: dict[str, tuple[Claim, bool]] = {}
    for claims in slots.values():
        line = timeline(claims)
        if (span := line.at(moment)) is not None:
            contested = any(winner.id == span.claim.id for winner in line.lost.values())
            holding[span.claim.value] = (span.claim, contested)
    found = list(holding.values())
    if len(found) != 1 or cubes[found[0][0].id].lifecycle.state not in (*SEARCHED_STATES, State.MERGED):
        return None
    claim, contested = found[0]
    cube = cubes[claim.id]
    confidence = min(claim.confidence, float((note_of(cube).get("judged") or {}).get("confidence", 1.0)))
    return Current(claim.words, (claim,), (cube,), confidence / 2 if contested else confidence)


def follow(question: str, step: Callable[[str, str], Current | None]) -> Current | None:
    """Return what a question's chain of relations leads to; None if it is no chain, or leads nowhere.

    step  (subject, relation) -> the value that holds
    """
    text = question.strip()
    if len(text) > MAX_QUESTION_CHARS or _PAST.search(text):
        return None
    for pattern, relation in _COMMON:
        if match := pattern.match(text):
            found = _resolved(match["who"], step)
            return found and _stepped(found, relation, step)
    match = _ASKED.match(text)
    found = _resolved(match["what"], step) if match else None
    return found if found is not None and found.claims else None


def _resolved(words: str, step: Callable[[str, str], Current | None], hops: int = 0) -> Current | None:
    """Return what words stand for: a name for itself, "the R of S" and "S's R" for their value."""
    words = words.strip()
    if hops > MAX_HOPS or not words:
        return None
    if _ME.match(words):
        return Current(NOBODY, (), (), 1.0)
    if _MY.match(words):
        return _resolved(_MY.sub(f"{NOBODY}'s ", words), step, hops)
    bare = _ARTICLE.sub("", words)
    for of in _OF.finditer(bare):  # "the date of birth of Ann": wherever a relation ends
        subject = _resolved(bare[of.end() :], step, hops + 1)
        found = subject and _stepped(subject, bare[: of.start()], step)
        if found:
            return found
    if owned := _OWNER.match(bare):
        subject = _resolved(owned["owner"], step, hops + 1)
        return subject and _stepped(subject, owned["relation"], step)
    return None if _OF.search(bare) else Current(words, (), (), 1.0)


def _stepped(subject: Current, relation: str, step: Callable[[str, str], Current | None]) -> Current | None:
    found = step(subject.words, relation)
    if found is None:
        return None
    confidence = min(subject.confidence, found.confidence)
    return Current(found.words, (*subject.claims, *found.claims), (*subject.cubes, *found.cubes), confidence)
