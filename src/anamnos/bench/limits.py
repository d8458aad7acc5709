"""A promise with a number: what was measured against what it must be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Limit:
    """One promise.

    name      what is measured
    rule      ``at least`` or ``at most``
    limit     the number promised; where it hangs on another figure of the run, already worked out
    measured  the number found
    unit      of both
    why       how the limit comes about, if it is not a constant
    """

    name: str
    rule: Literal["at least", "at most"]
    limit: float
    measured: float
    unit: str = ""
    why: str = ""

    @property
    def kept(self) -> bool:
        """Whether the promise is kept."""
        return bool(self.measured >= self.limit if self.rule == "at least" else self.measured <= self.limit)

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "rule": self.rule,
            "limit": round(self.limit, 4),
            "measured": round(self.measured, 4),
            "unit": self.unit,
            "why": self.why,
            "ok": self.kept,
        }


def limits_json(limits: Sequence[Limit]) -> list[dict[str, Any]]:
    """Return the promises as JSON."""
    return [limit.to_dict() for limit in limits]
