"""What an extractor is: turns in, what they say in short sentences out, each with the turns that it stands on.

Laws (``tests/unit/ingest/extract`` checks them):
 1. Nothing without a source: ``sources`` are ids of turns that were given, and ``quote`` is in one of them.
 2. Never an error because of what a text says; what cannot be read gives nothing.
 3. The same turns give the same, in the order of the turns.
 4. Turns are read only; what is found is written beside them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from anamnos.cube import CubeId, MemCube
from anamnos.times import TimeSpan

Kind = Literal["preference", "fact", "said"]


@dataclass(frozen=True, slots=True)
class Extracted:
    """One thing that turns say.

    text        in one sentence that is understood alone
    kind        preference (also concerns, plans, habits), fact (a known relation), said (a sentence with a name, a
                number or a date whose relation is not known)
    sources     ids of the turns that it stands on
    quote       their words for it
    subject, predicate, object   what is said of whom
    entities    names in it, in their full form; ``keywords`` what it is about
    importance, confidence  in [0, 1]
    when        the time that it names, if it does
    operator    who found it, with a version
    reason      why that one and not the one that was asked for; "" if it was
    denied      whether it says that this has ceased to be so
    serial      its number, where the text is a numbered list
    """

    text: str
    kind: Kind
    sources: tuple[CubeId, ...]
    quote: str
    subject: str = ""
    predicate: str = ""
    object: str = ""
    entities: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    importance: float = 0.5
    confidence: float = 0.6
    when: TimeSpan | None = None
    operator: str = ""
    reason: str = ""
    denied: bool = False
    serial: int | None = None


class Extractor(Protocol):
    """Finds what turns say."""

    @property
    def operator(self) -> str:
        """Its name and version, such as ``extract-rules/1``: another version reads all turns anew."""

    def extract(self, turns: Sequence[MemCube]) -> list[Extracted]:
        """Return what turns of one session say, in their order."""


_SENTENCE_END = re.compile(r"[.!?…]+[\"'”’)\]]*(?=\s|$)|\n+|(?<=[。！？])")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:dr|mr|mrs|ms|prof|st|jr|sr|vs|etc|e\.g|i\.e|no|dept|[a-z])\.$", re.IGNORECASE
)
_MAX_ABBREVIATION = 8


def sentences(text: str) -> Iterator[str]:
    """Yield the sentences of a text, stripped; each is a part of it.

    >>> list(sentences("Dr. Chen came. Nice! We ate"))
    ['Dr. Chen came.', 'Nice!', 'We ate']
    """
    start = 0
    for end in _SENTENCE_END.finditer(text):
        if end.group() == "." and _ABBREVIATION.search(text[max(start, end.end() - _MAX_ABBREVIATION) : end.end()]):
            continue
        if sentence := text[start : end.end()].strip():
            yield sentence
        start = end.end()
    if sentence := text[start:].strip():
        yield sentence
