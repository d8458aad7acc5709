"""Passages about what the best passages mention: links between articles, without any link being stored."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from anamnos.index.keyword import Scores
from anamnos.recall.channels.base import Search

_FROM = 2  # passages
_SHORTEST = 4  # characters of a title: shorter ones are in every text
_BRACKETS = re.compile(r"\s*\([^)]*\)\Z")


@dataclass(frozen=True)
class TitleLinkChannel:
    """1 for a document of the shortlist that nobody speaks and whose session, the title of its article, is mentioned in
    one of the two best; else 0. Brackets at the end of a title ("Solaris (novel)") are left out.

    Source: title links of HippoRAG's passage graphs, arXiv:2502.14802, taken one step.
    """

    name: str = "title_link"
    standardise: bool = False

    def score(self, search: Search) -> Scores:
        space, passages = search.space, search.unspoken
        out = np.zeros(len(space), dtype=np.float32)
        sources = [doc for doc in search.shortlist[:_FROM].tolist() if passages[doc]]
        told = {doc: search.texts[doc].casefold() for doc in sources}
        for doc in search.shortlist[passages[search.shortlist]].tolist() if sources else []:
            title = _BRACKETS.sub("", space.names[int(space.scopes[doc])].session or "").casefold()
            if len(title) >= _SHORTEST and any(title in text for source, text in told.items() if source != doc):
                out[doc] = 1
        return out

    def explain(self, search: Search, doc: int, score: float) -> str:
        return "its title is in the best passages" if score else ""
