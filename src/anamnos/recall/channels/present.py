"""Who took part: what the people of a question talked about lies in sessions in which they were."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anamnos.index.keyword import Scores
from anamnos.recall.channels.base import Search


@dataclass(frozen=True)
class PresentChannel:
    """The share of the participants named in the cue who speak in the turn's session.

    Where all talk of a scope is between the same people it changes nothing; where a scope holds many conversations it
    keeps a question about two of them with those two. A bonus, not a filter: filters lose evidence. Source: ours.
    """

    name: str = "present"
    standardise: bool = False

    def score(self, search: Search) -> Scores:
        space, named = search.space, search.cue.speakers
        out = np.zeros(len(space), dtype=np.float32)
        for name in named:
            theirs = np.zeros(space.groups, dtype=np.float32)
            theirs[space.group[search.mask & (space.actor == space.actor_number(name))]] = 1 / len(named)
            out += theirs[space.group]
        return out

    def explain(self, search: Search, doc: int, score: float) -> str:
        return ""
