"""What lies near the best documents and the rare words of the cue: a walk over the graph of shared words and titles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anamnos.index.graph import graph_of
from anamnos.index.keyword import Scores
from anamnos.recall.channels.base import Search, standardised

_SEEDS = 20  # documents


@dataclass(frozen=True)
class GraphChannel:
    """Personalised PageRank over documents and their rarer words, from the best documents and the words of the cue.

    by_documents  the share of the walk that starts at documents, in [0, 1]; the rest starts at words, by their rarity
    damping       how far it goes, in [0, 1)

    The documents it starts at are the 20 with the highest z(cosine) + z(BM25), each with that sum less the smallest of
    them. The score is the root of the rank, whose few large values would drown the rest in a sum.
    In no recipe: recall@10 over turns changes by -.010 to +.002 (LoCoMo 0-1, REALTALK 1-5, weights .05 to .3), and over
    passages, beside ``second_hop``, recall@5 by +.007 (weight .1) and -.017 (.3).
    Source: HippoRAG 2, arXiv:2502.14802; words stand in for the phrases that a language model finds there.
    """

    by_documents: float = 0.5
    damping: float = 0.5
    name: str = "graph"
    standardise: bool = True

    def score(self, search: Search) -> Scores:
        found = graph_of(search.space, search.mask, search.reader)
        n, graph = found.documents, found.graph
        seeds = np.zeros(graph.size)
        nodes = [node for term in search.cue.terms if (node := found.node(term)) is not None]
        if nodes:
            seeds[nodes] = 1 / np.sqrt(np.bincount(graph.targets, minlength=graph.size)[nodes])
            seeds *= (1 - self.by_documents) / seeds.sum()
        docs = np.flatnonzero(search.mask)
        near = search.standard_cosines[docs] + standardised(search.keyword_scores("turn"), search.typical)[docs]
        top = np.argsort(-near, kind="stable")[: _SEEDS + 1]
        above = near[top] - near[top[-1]] if len(top) else near
        if above.sum() > 0:
            seeds[docs[top]] = self.by_documents * above / above.sum()
        scores: Scores = np.sqrt(graph.walk(seeds, damping=self.damping)[:n]).astype(np.float32)
        return scores

    def explain(self, search: Search, doc: int, score: float) -> str:
        return ""
