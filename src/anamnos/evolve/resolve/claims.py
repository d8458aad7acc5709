"""Fact memories as claims: whose slot a fact fills, with what, and since when.

Reads what extraction left in ``annotations.data["extract"]`` (subject, predicate, object). Which relations hold one
value at a time is a closed list and the grammar of "the R of S is O", where the value is a name, a number or a place.
Source: the list of single-valued relations is that of common profiles of persons; the rest is ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from anamnos.cube import CubeId, MemCube, Role, State, from_iso
from anamnos.evolve.resolve.slots import Claim, Slot

NOTE = "resolve"
"""Where in ``annotations.data`` resolving writes what it did."""

COUNTED = (State.GENERATED, State.ACTIVATED, State.FROZEN, State.ARCHIVED)
"""Facts in these states make claims; a merged one does if it was merged because another makes the same claim."""

CORRECTED, USER, TOOL = 3, 2, 1  # who is believed more
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CHAT_TOOLS = ("assistant", "system", "tool", "function")

_FAMILY = {  # predicate -> the relation that it tells of
    "live in": "live in",
    "move to": "live in",
    "work at": "work at",
    "work for": "work at",
    "work as": "work as",
    "be married to": "be married to",
    "marry": "be married to",
    "have": "own",
    "own": "own",
    "buy": "own",
    "adopt": "own",
}
_SINGLE = {"live in": "name", "work at": "name", "work as": "", "be married to": "name"}  # and the kind of their value
_LASTING_WORDS = """love, like, enjoy, prefer, hate, dislike, adore, play, speak, teach, manage, know, live with,
    work in, work with, study at, belong to, be born, allergic to, fan of, interested in"""
_LASTING = frozenset(" ".join(word.split()) for word in _LASTING_WORDS.split(","))
"""What holds for a while; all else happens, and what happens twice happened twice."""
_BE = (  # "be" + object: what that tells
    (re.compile(r"(?:an? )?(?P<value>single|married|engaged|divorced|widowed)\b(?! to)", re.IGNORECASE), "status"),
    (re.compile(r"(?P<value>\d{1,3}) years old\b", re.IGNORECASE), "age"),
    (re.compile(r"from (?P<value>.+)", re.IGNORECASE), "be from"),
    (re.compile(r"married to (?P<value>.+)", re.IGNORECASE), "be married to"),
)
_ENDS: Mapping[str, tuple[str, ...]] = {  # predicate -> relations that it ends, for the value that it names
    "leave": ("live in", "work at"),
    "move from": ("live in",),
    "quit": ("work at", "own"),
    "lose": ("work at", "own"),
    "retire from": ("work at",),
    "sell": ("own",),
}
_JOB = re.compile(r"\bjob\b", re.IGNORECASE)
_SINGLE_VALUED = re.compile(  # a thing that has one value at a time, whatever that is like
    r"^(?:favou?rite|current)\b|\b(?:password|passcode|pin|code|name|number|phone|address|e-?mail|status|birthday)$"
)
_SEVERAL = re.compile(  # of which one has several: another one is no change
    r"(?:s|\b(?:brother|sister|son|daughter|child|children|people|cousin|aunt|uncle|niece|nephew|friend|colleague"
    r"|neighbou?r|teacher|roommate|dog|cat|puppy|kitten|pet|horse|rabbit|parrot|book|film|song|hobby|plan|idea|part"
    r"|member))$"
)
_MOST_WORDS = 6  # of a value: more are a clause
_IN_S = re.compile(r"(?:ss|us|is|address|bus|gas|news|status|boss|species|series)$")
_PLACE = re.compile(r"(?:in|at|under|on|behind|inside|next to|near|beside|above|below|by) ", re.IGNORECASE)
_NAME = re.compile(r"(?:the )?[A-Z][\w'’.&-]*(?: (?:(?:of|de|da|van|von|la|le|the) )?[A-Z][\w'’.&-]*)*")
_POSSESSIVE = re.compile(r"^(?P<owner>.+?)['’]s? (?P<thing>[^'’]+)$")
_FAVOURITE = re.compile(r"^(?P<thing>.+?)\s+(?:is|are|has to be|would be)\s+(?P<value>.+)$", re.IGNORECASE)
_LEADING = re.compile(r"^(?:an?|the|my|our|his|her|their|[A-Z]\w+['’]s)\s+", re.IGNORECASE)
_NOW = re.compile(r"^(?:now|currently)\s+(?=\S)|[,\s]+(?:now|currently|at the moment|these days|today)$", re.IGNORECASE)
_WORDS = re.compile(r"[^\W_]+(?:['’.-][^\W_]+)*")


def claims_of(cube: MemCube) -> list[Claim]:
    """Return what a fact memory claims; nothing if it is of no relation that is known, or no longer counts."""
    note = cube.annotations.data.get("extract")
    if cube.role is not Role.FACT or not isinstance(note, Mapping) or not _counts(cube):
        return []
    subject, predicate, object_ = (str(note.get(part) or "") for part in ("subject", "predicate", "object"))
    if not (subject and predicate and object_):
        return []
    found = _read(subject, _base_form(predicate), object_, bool(note.get("denied")))
    return [_claim(cube, note, *parts) for parts in found if len(parts[2].split()) <= _MOST_WORDS]


def learned_at(cube: MemCube) -> tuple[CubeId, datetime]:
    """Return the oldest memory that a cube stands on, and when that was first written, as its id tells (RFC 9562)."""
    first = min(cube.provenance.derived_from, default=cube.id)
    return first, _EPOCH + timedelta(milliseconds=int(first[:8] + first[9:13], 16))


def since(cube: MemCube) -> datetime:
    """Return from when a memory claims to be true: the time that it names, else when it was said, else learned."""
    return cube.time.valid_from or cube.time.created_at or learned_at(cube)[1]


def said_until(cube: MemCube) -> datetime | None:
    """Return the end of a memory's truth, unless that is one that resolving found in other memories."""
    found = slot_note(cube).get("until")
    told = cube.time.valid_to
    return None if found is not None and told == from_iso("until", found) else told


def slot_note(cube: MemCube) -> Mapping[str, Any]:
    """Return what the slot rule last wrote of a cube."""
    note = cube.annotations.data.get(NOTE)
    found = note.get("slot") if isinstance(note, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def folded(words: str) -> str:
    """Return words as they are compared: without articles, possessives, case and marks.

    >>> folded("my old Car."), folded("the Blue Pot, now")
    ('old car', 'blue pot')
    """
    words = _NOW.sub("", words.strip(" .,!?'"))
    return " ".join(_WORDS.findall(_LEADING.sub("", words))).casefold()


def folded_relation(words: str) -> str:
    """Return a relation as it is compared."""
    return folded(words).replace("favourite", "favorite")


def _counts(cube: MemCube) -> bool:
    return cube.lifecycle.state in COUNTED or (cube.lifecycle.state is State.MERGED and "into" in slot_note(cube))


def _read(subject: str, predicate: str, object_: str, denied: bool) -> Iterator[tuple[Slot, str, str, bool]]:
    """Yield (slot, value, its words, whether it is denied)."""
    for relation in _ENDS.get(predicate, ()):
        words = "" if relation == "work at" and _JOB.search(object_) and not _name(object_) else object_
        if not words or relation not in _SINGLE or _name(words):
            yield _slot(subject, relation, _name(words) if relation in _SINGLE else words, True)
    if predicate in _ENDS:
        return
    owned = _POSSESSIVE.match(subject)
    if predicate in ("favourite", "favorite") and (said := _FAVOURITE.match(object_)):
        yield _slot(subject, f"favourite {said['thing']}", said["value"], denied)
    elif predicate in ("be", "be named") and owned:
        yield _slot(owned["owner"], owned["thing"], object_, denied, is_attribute=True)
    elif predicate == "be":
        for pattern, relation in _BE:
            if match := pattern.match(object_):
                yield _slot(subject, relation, _name(match["value"]) or match["value"], denied)
                return
    elif predicate in _FAMILY:
        relation = _FAMILY[predicate]
        words = _name(object_) if _SINGLE.get(relation) == "name" else object_
        if words:
            yield _slot(subject, relation, words, denied)
    elif predicate in _LASTING:
        yield _slot(subject, predicate, object_, denied)


def _base_form(predicate: str) -> str:
    """Return a predicate as the lists have it: "lives_in" -> "live in", "is married to" -> "be married to"."""
    first, _, rest = " ".join(predicate.replace("_", " ").split()).casefold().partition(" ")
    forms = {"is": "be", "are": "be", "was": "be", "has": "have"}
    base = forms.get(first) or (first[:-1] if first.endswith("s") and not first.endswith("ss") else first)
    return f"{base} {rest}".strip()


def _slot(
    subject: str, relation: str, words: str, denied: bool, *, is_attribute: bool = False
) -> tuple[Slot, str, str, bool]:
    """Return the slot: of one value at a time, or a slot of each value where several may hold."""
    relation, value = folded_relation(relation), folded(words)
    kind = ""
    single = relation in _SINGLE or relation in ("status", "age") or bool(_SINGLE_VALUED.search(relation))
    if not single and is_attribute and not _of_several(relation):
        kind = _kind(words)
        single = bool(kind)
    return Slot(folded(subject), relation, kind, "" if single else value), value, _NOW.sub("", words), denied


def _of_several(relation: str) -> bool:
    return bool(_SEVERAL.search(relation)) and not _IN_S.search(relation)


def _kind(words: str) -> str:
    """Return of what kind a value is: two of one kind cannot both be what a thing is; "" where they can."""
    if _PLACE.match(words):
        return "place"
    if any(char.isdigit() for char in " ".join(words.split()[:3])):
        return "number"
    return "name" if _name(words) == _NOW.sub("", words).strip(" .") else ""


def _name(words: str) -> str:
    """Return the first name in words: "my job at Acme" -> "Acme"; "" if there is none."""
    found = _NAME.search(words)
    return found.group().rstrip(".") if found else ""


def _claim(cube: MemCube, note: Mapping[str, Any], slot: Slot, value: str, words: str, denied: bool) -> Claim:
    first, _ = learned_at(cube)
    serial = note.get("serial")
    dated = cube.time.valid_from is not None or cube.time.created_at is not None
    confidence = note.get("confidence")
    return Claim(
        id=cube.id,
        slot=slot,
        value=value,
        since=since(cube),
        until=None if denied else said_until(cube),
        denies=denied,
        authority=_authority(cube),
        confidence=(confidence if isinstance(confidence, int | float) else 0.5) * cube.provenance.trust,
        succession=None if dated else (serial if isinstance(serial, int) else -1, f"{first}{cube.id}"),
        words=words.strip(" .,!"),
    )


def _authority(cube: MemCube) -> int:
    """Return how much a claim's source is believed: a correction by hand, a person, a tool."""
    origin = cube.provenance
    if origin.operator == "update/1":
        return CORRECTED
    return TOOL if (origin.actor or "").casefold() in _CHAT_TOOLS else USER
