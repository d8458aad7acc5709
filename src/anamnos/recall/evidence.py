"""The sentences of the hits, ordered by how well they answer a question."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from anamnos.cube import MemCube
from anamnos.embed.base import Embedder
from anamnos.index.terms import TermReader
from anamnos.recall.analyse import Cue
from anamnos.times import find_times
from anamnos.types import Hit

_HITS = 8
_SENTENCES = 40
_NEWS = 6  # words that the question does not have; more say no more
_SENTENCE = re.compile(r"(?<=[.!?。！？…])\s+|\n+")
_ASKS_NUMBER = re.compile(r"\bhow (?:many|much|often)\b|\b(?:cost|price|paid|pay|number)\b", re.IGNORECASE)
_ASKS_PERSON = re.compile(r"\bwho(?:se|m)?\b", re.IGNORECASE)
_ASKS_NAME = re.compile(r"\b(?:name|called|title|which|where|book|song|movie|film|band|city|country)\b", re.IGNORECASE)
_NUMBER = re.compile(
    r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|once|twice|hundred|thousand)\b", re.I
)
_NAME = re.compile(r"(?<=[a-z,;:’'\-] )[A-Z][\w’'-]+|[\"“][^\"”]+[\"”]")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a memory that was found.

    place       of its hit, from 0
    similarity  cosine of its embedding and the question's, the names of speakers left out of the question
    coverage    share of the question's terms that it has, or that name who said it
    score       what the sentences are ordered by
    """

    text: str
    cube: MemCube
    place: int
    similarity: float
    coverage: float
    score: float

    @property
    def asks(self) -> bool:
        return self.text.endswith(("?", "？"))


def ranked_sentences(cue: Cue, hits: Sequence[Hit], embedder: Embedder, reader: TermReader) -> list[Sentence]:
    """Return the sentences of the first few hits, best first; a question asked back comes after everything else.

    score = similarity + 0.5 coverage + 0.25 coverage by its whole memory + 0.2 share of 6 words that are news
    + 0.2 for a number or a person (0.1 for another name, 0.2 for a time) where that is asked for
    + 0.1 if the one speaker whom the question names said it - 0.05 place - 0.1 (the best hit's rank score - its hit's)
    Source: ours; the constants were chosen on LoCoMo 0-1 and REALTALK 1-5. There the best sentence is of a turn with
    evidence for 56 % and 53 % of the questions (similarity, coverage and place alone: 50 % and 47 %).
    """
    found = [
        (sentence, place, hit)
        for place, hit in enumerate(hits[:_HITS])
        if isinstance(hit.content, str)
        for sentence in map(str.strip, _SENTENCE.split(hit.cube.text))
        if re.search(r"\w", sentence)
    ][:_SENTENCES]
    if not found:
        return []
    asked, *vectors = embedder.embed([cue.dense_text, *(sentence for sentence, _, _ in found)])
    whole = {hit.id: _coverage(cue, hit.cube, hit.cube.text, reader) for _, _, hit in found}
    out = []
    for (text, place, hit), vector in zip(found, vectors, strict=True):
        similarity, coverage = float(np.dot(asked, vector)), _coverage(cue, hit.cube, text, reader)
        news = len(set(reader.words(text)) - set(cue.words.values()))
        score = similarity + 0.5 * coverage + 0.25 * whole[hit.id] + 0.2 * min(news, _NEWS) / _NEWS
        score += _fit(cue, hit.cube, text) - 0.05 * place - 0.1 * (hits[0].rank_score - hit.rank_score)
        if len(cue.speakers) == 1 and hit.cube.provenance.actor == cue.speakers[0]:
            score += 0.1
        out.append(Sentence(text, hit.cube, place, similarity, coverage, score))
    return sorted(out, key=lambda sentence: (sentence.asks, -sentence.score))


def _coverage(cue: Cue, cube: MemCube, text: str, reader: TermReader) -> float:
    said = set(reader.terms(f"{cube.provenance.actor or ''}: {text}").tolist())
    return len(cue.terms.keys() & said) / max(len(cue.terms), 1)


def _fit(cue: Cue, cube: MemCube, text: str) -> float:
    """Return the bonus of a sentence that holds the kind of thing that is asked for."""
    asked, said = cue.text, cube.time.created_at
    new_name = any(name.casefold() not in asked.casefold() for name in _NAME.findall(text))
    number = bool(_ASKS_NUMBER.search(asked)) and bool(_NUMBER.search(text))
    person = bool(_ASKS_PERSON.search(asked)) and new_name
    name = bool(_ASKS_NAME.search(asked)) and new_name
    time = cue.asks_when and said is not None and bool(find_times(text, said))
    return 0.2 * number + 0.2 * person + 0.1 * name + 0.2 * time
