"""The newest first: of two memories that say the same thing differently, the later one is how it is now.

Which do so is told by links ``supersedes``, and by rules that are meant to be sure rather than to find all: same
speaker, same slot ("I live in …", "my favourite tea is …", "the spare key is under …"), another value of the same
kind, both short and dated. Likeness alone never decides, since most of what is alike is not a contradiction.
Source: ours, after the slot rule of SuperLocalMemory, arXiv:2604.04514, that only one subject and relation conflict.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from anamnos.cube import CubeId, LinkKind, MemCube
from anamnos.index.terms import TermReader
from anamnos.recall.analyse import Intent, intent_of
from anamnos.recall.rerank.base import VectorsOf, placed
from anamnos.types import Hit

_READ = 100  # hits that are looked at
_MAX_CHARS = 400  # of a memory that may count as superseded as a whole
_ABOUT_NOW = (Intent.LOOKUP, Intent.UPDATE, Intent.PREFERENCE, Intent.TEMPORAL)  # "how long is …?" is temporal
_PAST = re.compile(
    r"\b(?:did|was|were|had|used to|before|previous(?:ly)?|former(?:ly)?|original(?:ly)?|first|earlier|in the past"
    r"|ago|last|ever|when|(?:19|20)\d\d)\b",
    re.IGNORECASE,
)

_NO_STATEMENT = re.compile(  # not so, not yet, no longer, or of some other time
    r"\?$|\b(?:not|never|no longer|used to|would|might|(?-i:may)|could|should|will|if|was|were|ago|when|while|hope"
    r"|want|wish|plan|going to|thinking|until|before|as a kid|growing up|back in)\b|n['’]t\b|['’](?:ll|d)\b",
    re.IGNORECASE,
)
_YEAR = re.compile(r"\b(?:19|20)\d\d\b")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_MAX_SENTENCE = 200
_I = r"\b(?:I|[Ww]e)(?: am| are| have|['’](?:m|re|ve))?(?: (?:now|just|currently|recently|finally|still|actually))*"
_NAME = r"(?P<value>(?:the )?[A-Z][\w’'-]*(?: [A-Z][\w’'-]*)*)"
_SLOTS = {  # what someone says of themselves: slot -> how
    "home": re.compile(rf"{_I} (?:live|living|moved|relocated|based)(?: (?:back|over|here))? (?:in|to|near) {_NAME}"),
    "employer": re.compile(rf"{_I} (?:work|working|started)(?: (?:now|full[- ]time|part[- ]time))? (?:at|for) {_NAME}"),
    "occupation": re.compile(rf"{_I} (?:work|working) as an? (?P<value>[a-z][\w-]*(?: [a-z][\w-]*)?)\b"),
    "status": re.compile(rf"{_I}(?: got)? (?P<value>single|married|engaged|divorced|widowed)\b"),
    "age": re.compile(rf"{_I}(?: turned)? (?P<value>\d{{1,3}}) years old\b"),
}
_ASKED = {
    "home": "live living home city town address based reside move moved",
    "employer": "work job employer company employed",
    "occupation": "work job profession occupation living",
    "status": "married single relationship status engaged divorced",
    "age": "old age",
}
_IS = re.compile(
    r"^(?:(?i:and|so|but|well|oh|actually|update|by the way|btw|fyi)[,:]? )?"
    r"(?P<whose>[Mm]y|[Oo]ur|[Tt]he|[A-Z]\w+['’]s) (?P<thing>[\w'’-]+(?: [\w'’-]+){0,3}?)"
    r" (?:is|are|takes?|costs?|lasts?|weighs?)(?P<now> now| currently)? (?P<value>.+)$"
)
_SINGLE_VALUED = re.compile(  # a thing that has one value at a time, whatever that is like
    r"\b(?:favou?rite|current|new)\b|\b(?:password|passcode|pin|code|name|number|phone|address|e-?mail|job|title|boss"
    r"|manager|doctor|dentist|landlord|status|deadline|budget|rent|salary|weight|height|age|size)$",
    re.IGNORECASE,
)
_PLACE = re.compile(r"(?:in|at|under|on|behind|inside|next to|near|beside|above|below|by) ", re.IGNORECASE)
_OCCASION = re.compile(  # of one day: another party on another Saturday is no change
    r"\b(?:today|tonight|tomorrow|\w+day|this|next|at \d|\d(?:\d|:\d\d)? ?[ap]\.?m|o['’]clock)\b", re.IGNORECASE
)
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Statement:
    """What a sentence says of something.

    subject  who said it, and the slot
    kind     of the value: the slot's own, place, number, name; "" where two values may both hold
    value    its words, folded
    now      whether it says "now"
    """

    subject: tuple[str | None, str]
    kind: str
    value: frozenset[str]
    now: bool = False


@dataclass(frozen=True)
class NewestFirst:
    """Puts the newer of two memories first where one supersedes the other and the query asks how it is now.

    Only the two places are exchanged, so that which memories are found stays the same. A query that asks about the
    past, counts, compares or wants a list is left alone, as is one that does not name the slot.
    """

    reader: TermReader
    depth: int = 0
    name: str = "newest"

    def rerank(self, query: str, hits: Sequence[Hit], vectors_of: VectorsOf) -> list[Hit]:
        if intent_of(query) not in _ABOUT_NOW or _PAST.search(query):
            return list(hits)
        asked = self._terms(query)
        pairs = superseded([hit.cube for hit in hits[:_READ]], lambda slot: self._names(slot, asked))
        if not pairs:
            return list(hits)
        place = {hit.id: number for number, hit in enumerate(hits)}
        order = [hit.id for hit in hits]
        for _ in pairs:  # a chain of three needs two rounds
            for old, new in pairs.items():
                if (first := order.index(old)) < (second := order.index(new.id)):
                    order[first], order[second] = order[second], order[first]
        newer = {cube.id for cube in pairs.values()}
        raw = [float(hit.id in newer) for hit in hits]
        return placed(hits, [place[cube_id] for cube_id in order], self.name, raw, "says how it is now")

    def _names(self, slot: str, asked: set[int]) -> bool:
        """Return whether a query with these terms asks about a slot."""
        if slot in _ASKED:
            return not asked.isdisjoint(self._terms(_ASKED[slot]))
        terms = self._terms(slot)
        return bool(terms) and terms <= asked

    def _terms(self, text: str) -> set[int]:
        return {self.reader.term(word) for word in self.reader.words(text)}


def superseded(cubes: Sequence[MemCube], asked: Callable[[str], bool] = lambda slot: True) -> dict[CubeId, MemCube]:
    """Return memory -> the one among ``cubes`` that took its place, for those where that is sure.

    asked  which slots count
    """
    by_id = {cube.id: cube for cube in cubes}
    found: dict[CubeId, MemCube] = {}
    for cube in cubes:
        for link in cube.links:
            if link.kind is LinkKind.SUPERSEDES and link.target in by_id and link.target != cube.id:
                found[link.target] = cube
    said: dict[tuple[str | None, str], list[tuple[Statement, MemCube]]] = {}
    for cube in cubes:
        for statement in statements(cube):
            if asked(statement.subject[1]):
                said.setdefault(statement.subject, []).append((statement, cube))
    for of_one in said.values():
        newest = max(_said_at(cube) for _, cube in of_one)
        now = [(statement, cube) for statement, cube in of_one if _said_at(cube) == newest]
        if len(now) == 1:
            found |= {cube.id: now[0][1] for old, cube in of_one if _replaces(now[0][0], old) and cube.id not in found}
    return found


def statements(cube: MemCube) -> Iterator[Statement]:
    """Yield what a short, dated memory in its first version says in the slots that are known."""
    if not isinstance(cube.content, str) or len(cube.text) > _MAX_CHARS:
        return
    if cube.time.created_at is None or cube.version > 1:  # when a later version began to be so is not known
        return
    actor = cube.provenance.actor
    for sentence in _SENTENCE.split(cube.text):
        sentence = sentence.strip().rstrip(".!")
        if len(sentence) > _MAX_SENTENCE or _NO_STATEMENT.search(sentence):
            continue
        if not _YEAR.search(sentence):
            for slot, pattern in _SLOTS.items():
                if match := pattern.search(sentence):
                    yield Statement((actor, slot), slot, _folded(match["value"]))
        if match := _IS.match(sentence):
            whose, thing = match["whose"].casefold(), match["thing"].casefold()
            kind = _kind(whose, thing, match["value"])
            slot = re.sub(r"['’]s name$", "", f"{whose} {thing}")  # asked for with "called" as well
            yield Statement((actor, slot), kind, _folded(match["value"]), bool(match["now"]))


def _kind(whose: str, thing: str, value: str) -> str:
    if _OCCASION.search(value):
        return ""
    if _SINGLE_VALUED.search(thing):
        return "value"
    if _PLACE.match(value):
        return "place"
    if whose == "the" and " " not in thing:
        return ""  # "the film is 3 hours long": of which film?
    if any(c.isdigit() for c in " ".join(value.split()[:3])):
        return "number"
    return "name" if value[0].isupper() else ""


def _replaces(new: Statement, old: Statement) -> bool:
    """Return whether the newer of two statements about one subject makes the older one untrue."""
    other = not (new.value <= old.value or old.value <= new.value)  # "the pot" says no other place than "the blue pot"
    return other and (new.now or (new.kind == old.kind and new.kind != ""))


def _said_at(cube: MemCube) -> float:
    return cube.time.created_at.timestamp() if cube.time.created_at else float("-inf")


def _folded(value: str) -> frozenset[str]:
    return frozenset(_WORD.findall(value.casefold()))
