"""What sleep proposes: frozen values that say what should become of which memories. Nothing here writes.

Laws (``tests/unit/evolve/consolidate`` checks them):
 1. A proposal is a pure function of the cubes, their vectors and the settings that were given.
 2. Nothing is invented: each word of a topic or a reflection stands in what it was made of, and all of that is named.
 3. What leaves the search keeps its words in something that stays, and leads to it by a link.
 4. Nothing is proposed for what is frozen or pinned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from anamnos.cube import CubeId, Link, LinkKind, MemCube, State

DATA_KEY = "consolidate"
"""Where in ``annotations.data`` a memory says what sleep made of it, and why."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """A memory that says nothing that another one does not say.

    of          the one that stays and says it all
    similarity  cosine, or 1.0 for the same words
    """

    id: CubeId
    of: CubeId
    similarity: float = 1.0


@dataclass(frozen=True, slots=True)
class Wording:
    """How something derived is put into words.

    title    a few words
    lines    what it says, a sentence or a quotation each
    sources  the texts that it was made from
    """

    title: str
    lines: tuple[str, ...]
    sources: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return "\n".join([self.title, *self.lines])


class Worder(Protocol):
    """Puts what was found into words."""

    @property
    def operator(self) -> str:
        """Its name and version."""

    def word(self, draft: Wording) -> Wording:
        """Return the draft in better words, or as it is; never saying what its sources do not say."""


@dataclass(frozen=True, slots=True)
class Topic:
    """Memories that belong together, under what they have in common.

    members  ids of the memories; for a topic of topics none
    parts    places, in the same list of proposals, of the topics that it consists of
    phrases  what it is about, the most telling first
    """

    wording: Wording
    phrases: tuple[str, ...]
    members: tuple[CubeId, ...] = ()
    parts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Reflection:
    """What several facts come to.

    slot     (subject, predicate) of them all, in lower case
    sources  ids of the facts
    """

    slot: tuple[str, str]
    wording: Wording
    sources: tuple[CubeId, ...]


@dataclass(frozen=True, slots=True)
class Fading:
    """How much of a memory is left, and what that comes to.

    becomes  archived; expired for what nobody would miss, which is only ever a candidate; None if it stays
    """

    cube: MemCube
    retention: float
    becomes: State | None

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON data; the stability in days."""
        life = self.cube.lifecycle
        return {
            "id": self.cube.id,
            "state": str(life.state),
            "retention": round(self.retention, 6),
            "becomes": None if self.becomes is None else str(self.becomes),
            "uses": life.uses,
            "importance": life.importance,
            "stability_days": life.stability,
        }


def left_search(cube: MemCube, state: State, note: dict[str, Any], of: Repeat | None = None) -> MemCube:
    """Return the next version of a cube, out of the search in ``state``, with a note why and a link to what stays."""
    links = cube.links
    if of is not None:
        others = (link for link in links if link.kind is not LinkKind.SIMILAR)  # so that its end can be told by links
        links = (*others, Link(LinkKind.SIMILAR, of.of, min(max(of.similarity, 0.0), 1.0)))
    return cube.next_version(
        lifecycle=replace(cube.lifecycle, state=state),
        annotations=replace(cube.annotations, data={**cube.annotations.data, DATA_KEY: note}),
        links=links,
    )


def ids_of(cubes: Sequence[MemCube]) -> tuple[CubeId, ...]:
    """Return their ids, in their order."""
    return tuple(cube.id for cube in cubes)
