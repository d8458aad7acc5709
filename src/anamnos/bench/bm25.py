"""The plain baseline: BM25 over words, one index a case, nothing else.

score(q, d) = sum over words of ln(1 + (N - df + .5) / (df + .5)) * tf (k1 + 1) / (tf + k1 (1 - b + b |d| / mean |d|))
with k1 = 1.2 and b = 0.75; ties go by order. Source: Robertson and Zaragoza, doi:10.1561/1500000019.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from anamnos.bench.cases import Doc, Found

_K1, _B = 1.2, 0.75
_WORD = re.compile(r"[^\W_]+")
_STOPPED = (
    "a an the and or of to in on at for with is are was were be been did do does what when who where which how why has"
    " have had i you he she they it his her their my your s t d ll re ve m this that"
)
_STOP_WORDS = frozenset(_STOPPED.split())


def words(text: str) -> list[str]:
    """Return the words that count, in lower case.

    >>> words("Where is the Blue Pot?")
    ['blue', 'pot']
    """
    return [word for word in _WORD.findall(text.lower()) if word not in _STOP_WORDS]


@dataclass
class _Index:
    docs: list[Doc] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    postings: dict[str, list[tuple[int, int]]] = field(default_factory=dict)


@dataclass
class Bm25:
    """A ``System`` that knows words only: title, speaker and text."""

    _cases: dict[str, _Index] = field(default_factory=dict)

    def remember(self, case: str, docs: Sequence[Doc]) -> None:
        index = self._cases.setdefault(case, _Index())
        for doc in docs:
            counts = Counter(words(" ".join(part for part in (doc.title, doc.speaker, doc.text) if part)))
            for word, count in counts.items():
                index.postings.setdefault(word, []).append((len(index.docs), count))
            index.docs.append(doc)
            index.lengths.append(sum(counts.values()))

    def search(self, case: str, text: str, top_k: int) -> list[Found]:
        index = self._cases[case]
        mean = sum(index.lengths) / len(index.lengths) or 1.0
        scores = [0.0] * len(index.docs)
        for word, times in Counter(words(text)).items():
            found = index.postings.get(word, [])
            idf = math.log(1 + (len(index.docs) - len(found) + 0.5) / (len(found) + 0.5))
            for place, count in found:
                saturation = count + _K1 * (1 - _B + _B * index.lengths[place] / mean)
                scores[place] += times * idf * count * (_K1 + 1) / saturation
        best = sorted(range(len(scores)), key=lambda place: -scores[place])[:top_k]
        return [Found((index.docs[place].id,), index.docs[place].text) for place in best]
