"""Merging by hand: one memory stands for several, and they can be parted again.

The newest stays, in its own words. The others are no longer found, but nothing of them is lost: it has links to them,
so that its sources are theirs too, and deleting one of them takes only what that one said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from anamnos.cube import CubeId, LinkKind, MemCube, State, Substrate
from anamnos.errors import InvalidInput
from anamnos.evolve.resolve.changes import merged_into, merged_with, next_versions, parted
from anamnos.evolve.resolve.claims import learned_at, since


def merged(cubes: Sequence[MemCube]) -> list[MemCube]:
    """Return the next versions that make one of several memories: the newest, then the others.

    Raises: InvalidInput for fewer than two, or where one is of another kind or merged already.
    """
    if len(cubes) < 2:
        raise InvalidInput("It takes two memories at least to merge.", hint="Name the ids of those that say the same.")
    if any(cube.substrate is not Substrate.TEXT for cube in cubes):
        raise InvalidInput("Only memories of text can be merged.")
    if gone := [cube.id for cube in cubes if cube.lifecycle.state is State.MERGED]:
        raise InvalidInput(f"Memory {gone[0]} is merged already.", hint="Part it first with unmerge.")
    *others, winner = sorted(cubes, key=lambda cube: (since(cube), learned_at(cube), cube.id))
    losers = []
    for loser in others:
        winner, loser = merged_into(winner, loser, "merged", {"how": "hand"})
        losers.append(loser)
    return next_versions([winner, *losers])


def unmerged(cube: MemCube, known: Mapping[CubeId, MemCube]) -> list[MemCube]:
    """Return the next versions that part a memory from those that were merged into it, or from that it went into.

    known  the memories that it is linked to
    Raises: InvalidInput if it is not merged with any.
    """
    into = merged_with(cube)
    winner = known.get(CubeId(into)) if into else cube
    losers = [cube] if into else [other for other in known.values() if merged_with(other) == cube.id]
    if winner is None or not losers:
        raise InvalidInput(f"Memory {cube.id} is not merged with another one.")
    changed = []
    for loser in losers:
        winner, back = parted(winner, loser)
        changed.append(back)
    return next_versions([winner, *changed])


def linked_ids(cube: MemCube) -> list[CubeId]:
    """Return what a memory may have been merged with."""
    kinds = (LinkKind.SUPPORTS, LinkKind.DERIVED_FROM)
    return [link.target for link in cube.links if link.kind in kinds]
