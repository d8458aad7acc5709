"""What becomes of memories that come from elsewhere: which are new, which are known, and who wins where they differ."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from anamnos.cube import CubeId, MemCube
from anamnos.errors import Conflict, InvalidInput
from anamnos.store.base import Store, Transaction
from anamnos.system.exchange import Exported

Mode = Literal["skip", "overwrite", "branch"]
MODES: tuple[Mode, ...] = ("skip", "overwrite", "branch")


@dataclass(frozen=True, slots=True)
class Settled:
    """What to do with memories from elsewhere.

    restore  versions to write as they are
    branch   versions to write after ours
    replace  our memories that give way, with all their versions
    """

    restore: tuple[Exported, ...]
    branch: tuple[Exported, ...]
    replace: tuple[CubeId, ...]


def settled(items: Sequence[Exported], store: Store, mode: Mode) -> Settled:
    """Return what to do with versions of memories that come into a store.

    mode  where a memory says something else here than there: ``skip`` keeps ours, ``overwrite`` puts theirs in its
          place, ``branch`` writes theirs as its next version
    Memories differ if their current versions do, but for how often they were used. Raises: InvalidInput for another
    mode; Conflict if theirs belongs to another user, and would not be skipped.
    """
    if mode not in MODES:
        raise InvalidInput(f"There is no conflict mode {mode!r}.", hint=f"Use: {', '.join(MODES)}.")
    versions: dict[CubeId, list[Exported]] = defaultdict(list)
    for item in items:
        versions[item.cube.id].append(item)
    restore: list[Exported] = []
    branch: list[Exported] = []
    replaced: list[CubeId] = []
    same: dict[CubeId, list[Exported]] = {}
    for cube_id, theirs in versions.items():
        ours = store.get(cube_id)
        current = next(item for item in theirs if item.cube.time.superseded_at is None)
        if ours is None:
            restore += theirs
        elif _says(ours) == _says(current.cube):
            same[cube_id] = theirs
        elif mode == "skip":
            continue
        elif (ours.scope.tenant, ours.scope.user) != (current.cube.scope.tenant, current.cube.scope.user):
            raise Conflict(f"Memory {cube_id} belongs to somebody else here.", hint="Use the conflict mode skip.")
        elif mode == "overwrite":
            replaced.append(cube_id)
            restore += theirs
        else:
            branch.append(replace(current, cube=_after(ours, current.cube)))
    if replaced and same:
        with store.write() as tx:
            for cube_id in _with_derived(replaced, tx):
                restore += same.get(cube_id, [])  # goes with what it stands on, and comes back with it
    return Settled(tuple(restore), tuple(branch), tuple(replaced))


def each_once(ids: Iterable[CubeId], store: Store) -> list[CubeId]:
    """Return those of these memories that have to be erased so that all are: one that is derived from another goes with
    that one, and cannot be erased a second time."""
    wanted: list[CubeId] = []
    gone: set[CubeId] = set()
    with store.write() as tx:
        for cube_id in ids:
            if cube_id not in gone:
                wanted.append(cube_id)
                gone |= _with_derived([cube_id], tx).keys()
    return wanted


def _with_derived(ids: Iterable[CubeId], tx: Transaction) -> dict[CubeId, None]:
    """Return these memories and all that go when they are erased, in the order in which they are come upon."""
    found = dict.fromkeys(ids)
    left = list(found)
    for cube_id in left:  # grows while it is walked
        new = dict.fromkeys(other for other in tx.dependents(cube_id) if other not in found)
        found |= new
        left += new
    return found


def _says(cube: MemCube) -> MemCube:
    """Return a cube without what merely happened to it: its number, its times in the store, and its use."""
    life = replace(cube.lifecycle, uses=0, last_used_at=None, strength=1.0, stability=1.0)
    time = replace(cube.time, recorded_at=None, superseded_at=None)
    return replace(cube, version=1, time=time, lifecycle=life)


def _after(ours: MemCube, theirs: MemCube) -> MemCube:
    """Return the version after ours that says what theirs says, in the state and place that ours is in."""
    life = replace(ours.lifecycle, importance=theirs.lifecycle.importance, expires_at=theirs.lifecycle.expires_at)
    time = replace(theirs.time, recorded_at=None, superseded_at=None)
    return replace(theirs, version=ours.version + 1, scope=ours.scope, lifecycle=life, time=time)
