"""What a recipe is."""

from __future__ import annotations

from dataclasses import dataclass, field

from anamnos.index.keyword import Bm25
from anamnos.recall.fusion import WeightedChannel


@dataclass(frozen=True)
class Recipe:
    """A way to recall: which channels, with which weights.

    name    as in ``Memory(recipe=…)``
    source  where it was published, or "ours" and where it was measured
    """

    name: str
    source: str
    channels: tuple[WeightedChannel, ...]
    bm25: Bm25 = field(default=Bm25())
