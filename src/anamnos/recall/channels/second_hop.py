"""The other half of a question over passages: what the best passage names, and what it leaves unanswered."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from anamnos.index.keyword import Scores
from anamnos.recall.channels.base import Search, standardised

_NAME = re.compile(r"\b(?:[A-Z][\w'’-]+|\d{4})\b")


@dataclass(frozen=True)
class SecondHopChannel:
    """z(BM25) of a second query, for documents that nobody speaks; else 0. The best document so far gets the highest
    of these scores too, so that what it leads to never overtakes it.

    The second query is made of the names and years in the best document that the cue lacks, and of the words of the cue
    that the best document lacks: "Which is older, A or B?" goes on to B, not to whatever the passage on A names.
    Source: pseudo relevance feedback with one document; the words left open and the lead are ours, chosen on questions
    made up from 2Wiki's passages and on NQ-open. That names and years are taken was chosen on HotpotQA and MuSiQue, as
    for ``second_query``.
    """

    name: str = "second_hop"
    standardise: bool = False

    def score(self, search: Search) -> Scores:
        space, passages = search.space, search.unspoken
        out = np.zeros(len(space), dtype=np.float32)
        if not len(search.shortlist) or not passages[search.shortlist[0]]:
            return out
        best = int(search.shortlist[0])
        reader, cue = search.reader, search.cue.terms
        named = {reader.term(word) for name in _NAME.findall(search.texts[best]) for word in reader.words(name)}
        lacking = {term for term in cue if best not in search.postings[term][0]}
        asked = dict.fromkeys(sorted((named - cue.keys()) | lacking), 1)
        scores = search.bm25.scores(space, asked, {term: space.postings(term) for term in asked}, search.mask, "turn")
        scores[best] = 0
        out[passages] = standardised(scores, passages)[passages]
        out[best] = out.max()
        return out

    def explain(self, search: Search, doc: int, score: float) -> str:
        return "has what the best passage names or leaves open" if score > 3 and doc != search.shortlist[0] else ""
