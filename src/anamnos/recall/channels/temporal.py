"""How near to the time that the question is about it was said."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from anamnos.index.keyword import Scores
from anamnos.recall.channels.base import Search

_DAY = 86_400_000_000  # microseconds
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class TemporalChannel:
    """max(0, 1 - days / fades_in) over the cue's windows: 1 inside one, where days is the distance from its edge.

    fades_in  days after which nothing is left
    What has no time gets 0, and so does everything if the cue names no time. Never a filter: a question may err about
    a date, and an event is told of days later.
    Source: the boost 1 + 0.4 max(0, 1 - |days| / window) of zsum-v1, added instead of multiplied.
    """

    fades_in: float = 5.0
    name: str = "temporal"
    standardise: bool = False

    def score(self, search: Search) -> Scores:
        space = search.space
        out = np.zeros(len(space), dtype=np.float32)
        known = np.flatnonzero(space.created > np.iinfo(np.int64).min)
        if not search.cue.windows or not len(known):
            return out
        said = space.created[known]
        for window in search.cue.windows:
            start, end = (_microseconds(edge) for edge in window.meant)
            days: NDArray[np.float64] = np.maximum(np.maximum(start - said, said - end), 0) / _DAY
            out[known] = np.maximum(out[known], np.maximum(0.0, 1.0 - days / self.fades_in))
        return out

    def explain(self, search: Search, doc: int, score: float) -> str:
        if score < 0.5:
            return ""
        phrases = ", ".join(f"“{window.phrase}”" for window in search.cue.windows)
        return f"said around the time of {phrases}"


def _microseconds(moment: datetime) -> int:
    return round((moment - _EPOCH).total_seconds()) * 1_000_000
