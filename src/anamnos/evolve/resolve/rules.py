"""A resolver by rules: the slot rule where both fill a slot; else likeness, numbers, times, names and negation.

Source: thresholds of likeness as in SuperLocalMemory, arXiv:2604.04514; that likeness alone never supersedes is ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from anamnos.cube import CubeId, MemCube
from anamnos.evolve.resolve.base import Candidate, Decision, Kind
from anamnos.evolve.resolve.claims import claims_of, learned_at, since
from anamnos.evolve.resolve.slots import Claim, Slot, timeline

SAME, ALIKE, RELATED = 0.95, 0.85, 0.60
SAME_FRAME = 0.6  # of the words beside values and negations, what two statements must share to be about one thing
LEAST_WORDS = 3  # of a statement of which another can say more
CANDIDATES = 10
MOST_LINKS = 3

_COSINE, _ENTITIES = 0.6, 0.4  # what they weigh where either names anything
_NUMBER = re.compile(
    r"\d+(?:[.,:]\d+)*|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|forty|fifty"
    r"|hundred|thousand|half|twice|once)\b",
    re.IGNORECASE,
)
_DATE = re.compile(
    r"\b(?:(?:mon|tues|wednes|thurs|fri|satur|sun)day|january|february|march|april|may(?= \d)|june|july|august"
    r"|september|october|november|december|today|yesterday|tomorrow|tonight|(?:last|next|this) \w+)\b",
    re.IGNORECASE,
)
_NOT = re.compile(
    r"\b(?:not|never|no longer|no more|nobody|nothing|none|without|used to|stopped|quit|left|sold|broke up|cancell?ed"
    r"|ex-\w+|any ?more|any longer)\b|n['’]t\b",
    re.IGNORECASE,
)
_NAME = re.compile(r"(?<![.!?]\s)(?<!^)\b[A-Z][\w’'-]*")
_VALUES = (("numbers", _NUMBER), ("times", _DATE), ("names", _NAME))
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_FUNCTION_WORD_LIST = """a an the and or but of in on at to for from with by as is are was were be been has have had do
    does did will would that this it its he she they his her their i my we our you your s"""
_FUNCTION_WORDS = frozenset(_FUNCTION_WORD_LIST.split())


class RuleResolver:
    """Decides by rules alone: no model, no network, always the same."""

    operator = "resolve-rules/1"

    def decide(self, new: MemCube, candidates: Sequence[Candidate]) -> list[Decision]:
        """Return what the ten candidates that come nearest call for.

        Where both fill one slot, the slot decides; else the combined likeness: ``0.6 cosine + 0.4 shared entities``, or
        the cosine where neither names anything.
        """
        ranked = sorted(
            ((combined(new, each), each) for each in candidates), key=lambda pair: (-pair[0], pair[1].cube.id)
        )
        ours = {claim.slot: claim for claim in claims_of(new)}
        found = []
        for likeness, candidate in ranked[:CANDIDATES]:
            decision = _by_slot(ours, candidate.cube) or _by_likeness(new, candidate, likeness)
            if decision is not None:
                found.append(decision)
        links = [decision for decision in found if decision.kind is Kind.LINK]
        kept = [decision for decision in found if decision not in links[MOST_LINKS:]]
        return kept or [Decision(Kind.ADD, None, "says something else")]


def combined(new: MemCube, candidate: Candidate) -> float:
    """Return how alike two memories are, in [-1, 1]."""
    ours, theirs = entities(new), entities(candidate.cube)
    if not ours | theirs:
        return candidate.similarity
    return _COSINE * candidate.similarity + _ENTITIES * len(ours & theirs) / len(ours | theirs)


def entities(cube: MemCube) -> frozenset[str]:
    """Return what a memory names, folded: what extraction found, else its capitalised words."""
    named = cube.annotations.entities or tuple(_NAME.findall(cube.text))
    note = cube.annotations.data.get("extract")
    subject = str(note.get("subject") or "") if isinstance(note, Mapping) else ""
    return frozenset(name.casefold() for name in (*named, subject) if name)


def _by_slot(ours: Mapping[Slot, Claim], old: MemCube) -> Decision | None:
    """Return what the slot rule says of a new memory's claims and an old one; None if they share no slot."""
    theirs = {claim.slot: claim for claim in claims_of(old)}
    shared = next((slot for slot in ours if slot in theirs), None)
    if shared is not None:
        return _in_slot(ours[shared], theirs[shared])
    relations = {(slot.subject, slot.relation) for slot in ours} & {(slot.subject, slot.relation) for slot in theirs}
    return Decision(Kind.LINK, old.id, "another value of what may have several", 0.5) if relations else None


def _in_slot(new: Claim, old: Claim) -> Decision:
    line = timeline([old, new])
    name = f"{new.slot.relation} of {new.slot.subject}"
    if new.id in line.lost or old.id in line.lost:
        return Decision(Kind.CONTRADICT, _id(old), f"{name}: two values at one time")
    if line.replaced:
        return Decision(Kind.SUPERSEDE, _id(old), f"{name}: the next of a list", reverse=new.id in line.replaced)
    if new.denies or old.denies:
        ended = next((span for span in line.spans if span.ended_by and span.ended_by.denies), None)
        if ended is None or ended.claim.id == (ended.ended_by and ended.ended_by.id):
            return Decision(Kind.LINK, _id(old), f"{name}: a denial of another value", 0.5)
        return Decision(Kind.SUPERSEDE, _id(old), f"{name}: denied", reverse=ended.claim.id == new.id)
    if any(span.again for span in line.spans):
        return Decision(Kind.NOOP, _id(old), f"{name}: the same value")
    late = line.spans[0].claim.id == new.id
    return Decision(Kind.SUPERSEDE, _id(old), f"{name}: another value, {'earlier' if late else 'later'}", reverse=late)


def _by_likeness(new: MemCube, candidate: Candidate, likeness: float) -> Decision | None:
    old = candidate.cube
    differs, one_thing = _difference(new.text, old.text), _share(_frame(new.text), _frame(old.text)) >= SAME_FRAME
    one_day = since(new).date() == since(old).date() or not (_DATE.search(new.text) or _DATE.search(old.text))
    if candidate.similarity >= SAME and one_thing and one_day and not differs and not _says_more(new.text, old.text):
        return Decision(Kind.NOOP, old.id, f"cosine {candidate.similarity:.2f}, same numbers, times and polarity")
    if likeness >= ALIKE:
        if differs and one_thing:
            return _in_conflict(new, old, differs, likeness)
        if (
            not differs
            and one_day
            and len(_content(old.text)) >= LEAST_WORDS
            and _content(old.text) < _content(new.text)
        ):
            return Decision(Kind.UPDATE, old.id, "says all of it and more")
    if likeness >= RELATED:
        return Decision(Kind.LINK, old.id, f"likeness {likeness:.2f}", round(min(likeness, 1.0), 4))
    return None


def _in_conflict(new: MemCube, old: MemCube, differs: str, likeness: float) -> Decision:
    """Return what becomes of two memories that are alike but for a number, a time, a name or a negation.

    Where their order is known and no negation decides, they are of different days, and both hold.
    """
    same_time = since(new) == since(old) or not (_dated(new) and _dated(old))
    if differs == "polarity" and entities(new) & entities(old) and not same_time:
        return Decision(Kind.SUPERSEDE, old.id, "a negation of something that both name", reverse=_earlier(new, old))
    if same_time:
        return Decision(Kind.CONTRADICT, old.id, f"alike ({likeness:.2f}) but for {differs}, at no known order")
    return Decision(Kind.LINK, old.id, f"alike ({likeness:.2f}) but for {differs}, of another time", likeness)


def _dated(cube: MemCube) -> bool:
    return cube.time.valid_from is not None or cube.time.created_at is not None


def _earlier(new: MemCube, old: MemCube) -> bool:
    return (since(new), learned_at(new)) < (since(old), learned_at(old))


def _difference(new: str, old: str) -> str:
    """Return in what two texts differ that tells values apart: polarity, numbers, times or names; "" if in none."""
    if bool(_NOT.search(new)) != bool(_NOT.search(old)):
        return "polarity"
    for name, pattern in _VALUES:
        ours, theirs = _values(new, pattern), _values(old, pattern)
        if ours - theirs and theirs - ours:
            return name
    return ""


def _says_more(new: str, old: str) -> bool:
    """Return whether one of two texts gives a number, a time or a name that the other does not."""
    return any(_values(new, pattern) != _values(old, pattern) for _, pattern in _VALUES)


def _values(text: str, pattern: re.Pattern[str]) -> set[str]:
    return {match.casefold() for match in pattern.findall(text)}


def _frame(text: str) -> frozenset[str]:
    """Return the words of a statement without its values and negations: what is left of "I paid 5 euros" is of whom and
    what. Statements of different frames do not conflict, however alike they are."""
    for pattern in (_NOT, _DATE, _NUMBER):
        text = pattern.sub(" ", text)
    return _content(_NAME.sub(" ", text))


def _share(ours: frozenset[str], theirs: frozenset[str]) -> float:
    return len(ours & theirs) / len(ours | theirs) if ours | theirs else 1.0


def _content(text: str) -> frozenset[str]:
    return frozenset(word for word in _WORD.findall(text.casefold()) if word not in _FUNCTION_WORDS)


def _id(claim: Claim) -> CubeId:
    return CubeId(claim.id)
