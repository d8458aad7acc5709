"""What a recipe is."""

from __future__ import annotations

from dataclasses import dataclass, field

from anamnos.index.keyword import Bm25
from anamnos.recall.fusion import WeightedChannel


@dataclass(frozen=True)
class Recipe:
    """A way to recall: which channels, with which weights.

    name       as in ``Memory(recipe=…)``
    source     where it was published, or "ours" and where it was measured
    late       costly channels: they score only the ``depth`` best of the others
    otherwise  the recipe that takes its place where late channels are deaf, because the embedder gives no vectors of
               single words or the caller brought the cue's vector
    """

    name: str
    source: str
    channels: tuple[WeightedChannel, ...]
    bm25: Bm25 = field(default=Bm25())
    late: tuple[WeightedChannel, ...] = ()
    depth: int = 300
    otherwise: Recipe | None = None
