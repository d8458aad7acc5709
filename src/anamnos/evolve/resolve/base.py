"""What a resolver decides about a new memory, given those that it may be about the same as.

Laws (``tests/unit/evolve/test_resolvers.py`` checks them):
 1. Every target is one of the candidates; nothing is decided about the new memory and itself.
 2. Never DELETE: only its owner erases a memory. What a judge would delete is superseded.
 3. Likeness alone never supersedes: it takes a slot that both fill, or a negation about something that both name.
 4. The same cubes give the same decisions.
Source: ADD, UPDATE, DELETE and NOOP of Mem0, arXiv:2504.19413; the others are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from anamnos.cube import CubeId, MemCube


class Kind(StrEnum):
    """What becomes of a new memory and the one that it meets."""

    ADD = "add"  # it says something else: both stay as they are
    NOOP = "noop"  # it says the same again: the old one stays, confirmed
    UPDATE = "update"  # it says the same and more: the new one stays
    SUPERSEDE = "supersede"  # it was so, and is so no longer: the earlier one ends when the later one begins
    CONTRADICT = "contradict"  # both cannot be, and nobody knows which was later: both stay, in doubt
    DELETE = "delete"  # asked for by the owner; no resolver decides it
    MERGE = "merge"  # several become one
    LINK = "link"  # they are about the same


@dataclass(frozen=True, slots=True)
class Candidate:
    """A memory that the new one may be about the same as.

    similarity  cosine of the two, in [-1, 1]
    """

    cube: MemCube
    similarity: float


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision.

    target   the candidate that it is about; None for ADD
    reason   why, in words
    weight   of the link, in [0, 1]
    reverse  of a SUPERSEDE: it is the candidate that supersedes the new memory, which came late
    """

    kind: Kind
    target: CubeId | None
    reason: str
    weight: float = 1.0
    reverse: bool = False


class Resolver(Protocol):
    """Decides what a new memory means for known ones."""

    @property
    def operator(self) -> str:
        """Its name and version, such as ``resolve-rules/1``: another one goes over all facts anew."""

    def decide(self, new: MemCube, candidates: Sequence[Candidate]) -> list[Decision]:
        """Return at least one decision; one ADD if the new memory says something else than all candidates."""
