"""Where working memory outlives its process: ids and numbers per scope, never what the memories say.

Laws: ``load`` gives what ``save`` was given last for exactly that scope, without memories that were erased since; a
scope without memories has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from anamnos.cube import CubeId, Scope


@dataclass(frozen=True, slots=True)
class Kept:
    """One memory in working memory, and what the monitor knows of it.

    sorting       rank score of the last search that found it, in [0, 1]
    keyword_hits  how often a cue shared words with it
    recordings    how often it was found again
    """

    id: CubeId
    sorting: float = 0.0
    keyword_hits: int = 0
    recordings: int = 0


class WorkingTable(Protocol):
    """The saved working memories of one store."""

    def load(self, scope: Scope) -> list[Kept]:
        """Return what was saved for a scope, in its order."""

    def save(self, scope: Scope, items: Sequence[Kept]) -> None:
        """Replace what is saved for a scope; memories that are not there are passed over."""

    def scopes(self) -> list[Scope]:
        """Return the scopes that have a saved working memory."""


__all__ = ["Kept", "WorkingTable"]
