"""The cap on what is not trusted: however well it fits, the first places are not for it.

Whoever plants a memory writes it to fit the question better than anything true does, so no score can tell the two
apart, and no margin between scores would be wide enough. What can be told is where a memory came from. Source: ours,
against the attacks of arXiv:2407.12784 and arXiv:2503.03704.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from anamnos.recall.rerank.base import placed
from anamnos.types import Comparison, Field, Filter, Hit, Where


@dataclass(frozen=True)
class TrustCap:
    """Gives the first places to trusted memories, as long as the scope has any.

    least   trust from which on a memory is trusted
    places  how many
    It moves nothing where all hits are trusted, or where none in the scope is.
    """

    least: float
    places: int = 5
    name: str = "trust"

    def capped(self, hits: list[Hit], top_k: int, search: Callable[[Filter, int], list[Hit]]) -> list[Hit]:
        """Return ``top_k`` hits in an order that keeps the cap.

        search  finds the best memories that pass a filter, for planted ones may be so many that no other is among hits
        """
        if all(hit.cube.provenance.trust >= self.least for hit in hits):
            return hits
        trusted = [hit for hit in hits if hit.cube.provenance.trust >= self.least]
        if len(trusted) < self.places:
            wanted = Where(Field.TRUST, Comparison.GE, self.least)
            have = {hit.id for hit in trusted}
            more = (hit for hit in search(wanted, self.places) if hit.id not in have)
            trusted += list(more)[: self.places - len(trusted)]
        ids = {hit.id for hit in hits}
        pool = sorted([*hits, *(hit for hit in trusted if hit.id not in ids)], key=lambda hit: -hit.rank_score)
        first = {hit.id for hit in trusted[: self.places]}
        order = sorted(range(len(pool)), key=lambda place: pool[place].id not in first)
        return placed(pool, order, self.name, [hit.cube.provenance.trust for hit in pool], "trusted")[:top_k]
