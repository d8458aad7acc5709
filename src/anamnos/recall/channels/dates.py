"""When it was said, where the question names a month or a day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from anamnos.index.keyword import Scores
from anamnos.recall.channels.base import Search

_DAY = 86_400_000_000  # microseconds
_FADES_IN = 5.0  # days


@dataclass(frozen=True)
class DateChannel:
    """month: 1 for what was said in a month that the cue names. day: exp(-|days apart| / 5) from the day it names.

    A cue without a year means that month or day of any year. What has no time gets 0.
    """

    detail: Literal["month", "day"]
    standardise: bool = False

    @property
    def name(self) -> str:
        return f"date.{self.detail}"

    def score(self, search: Search) -> Scores:
        space, cue = search.space, search.cue
        out = np.zeros(len(space), dtype=np.float32)
        known = np.flatnonzero(space.created > np.iinfo(np.int64).min)
        if not (cue.months if self.detail == "month" else cue.days) or not len(known):
            return out
        said = space.created[known].astype("datetime64[us]")
        if self.detail == "month":
            out[known] = np.isin(said.astype("datetime64[M]").astype(np.int64) % 12 + 1, cue.months)
            return out
        years = said.astype("datetime64[Y]")
        for year, month, day in cue.days:
            in_year = np.full(len(years), f"{year:04d}", "datetime64[Y]") if year else years
            wanted = in_year.astype("datetime64[M]") + (month - 1)
            apart = (said - wanted.astype("datetime64[us]")).astype(np.int64) / _DAY - (day - 1)
            days = np.maximum(np.abs(apart - 0.5) - 0.5, 0)  # within the day itself: 0
            out[known] = np.maximum(out[known], np.exp(-days / _FADES_IN))
        return out

    def explain(self, search: Search, doc: int, score: float) -> str:
        if score < 0.5:
            return ""
        return (
            "said in the month that is asked about" if self.detail == "month" else "said around the day that is named"
        )
