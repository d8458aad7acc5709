"""What the best passage leads to: the names in it as a second query, for questions that take two passages.

"Where was the director of Solaris born?" finds the passage on the film, which names its director; the passage on him
shares no word with the question, but his name with that passage.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from anamnos.index.keyword import Scores
from anamnos.recall.channels.base import Search, standardised

_NAME = re.compile(r"\b(?:[A-Z][\w'’-]+|\d{4})\b")


@dataclass(frozen=True)
class SecondQueryChannel:
    """z(BM25 of the names and years in the best document so far, less the words of the cue), for documents that nobody
    speaks; else 0. The best document gets the highest of these scores too.

    A conversation does not lead from turn to turn like that: there it only adds noise. Source: pseudo relevance
    feedback with one document; what is taken from it, and its weight, were chosen on 50 + 50 questions of HotpotQA and
    MuSiQue.
    """

    name: str = "second_query"
    standardise: bool = False

    def score(self, search: Search) -> Scores:
        space, passages = search.space, search.unspoken
        out = np.zeros(len(space), dtype=np.float32)
        if not len(search.shortlist) or not passages[search.shortlist[0]]:
            return out
        best = int(search.shortlist[0])
        reader = search.reader
        names = {reader.term(word) for name in _NAME.findall(search.texts[best]) for word in reader.words(name)}
        asked = dict.fromkeys(sorted(names - search.cue.terms.keys()), 1)
        scores = search.bm25.scores(space, asked, {term: space.postings(term) for term in asked}, search.mask, "turn")
        scores[best] = 0.0
        out[passages] = standardised(scores, passages)[passages]
        out[best] = out.max()  # what it leads to never overtakes it
        return out

    def explain(self, search: Search, doc: int, score: float) -> str:
        return "names what the best passage names" if score > 3 else ""
