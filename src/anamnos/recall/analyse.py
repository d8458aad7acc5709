"""What a cue asks for: its terms, who is named in it, and the text that its embedding is made of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from anamnos.cube import Scope
from anamnos.index.space import SpaceIndex
from anamnos.index.terms import TermReader


@dataclass(frozen=True, slots=True)
class Cue:
    """A question, taken apart.

    text        as it was asked
    words       term -> the word of the question, for explanations
    terms       term -> how often it occurs
    speakers    names of participants that occur in it
    dense_text  what is embedded: the question without those names
    """

    text: str
    words: Mapping[int, str]
    terms: Mapping[int, int]
    speakers: tuple[str, ...]
    dense_text: str


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
    return Cue(text, words, terms, speakers, _without_names(text, speakers))


def _first_word(name: str) -> str:
    found = re.search(r"\w+", name.casefold())
    return found.group() if found else name.casefold()


def _without_names(text: str, names: tuple[str, ...]) -> str:
    for name in names:
        for part in (name, _first_word(name)):
            text = re.sub(rf"(?<!\w){re.escape(part)}(?:['’]s)?(?!\w)", " ", text, flags=re.IGNORECASE)
    bare = " ".join(text.split())
    return bare if re.search(r"\w", bare) else text or " ".join(names)
