"""What a rule of forgetting comes to: which memories belong in the archive, and which nobody would miss."""

from __future__ import annotations

from datetime import datetime

from anamnos.cube import MemCube, State
from anamnos.evolve.consolidate.base import Fading
from anamnos.evolve.forget.base import ARCHIVE_BELOW, EXPIRE_BELOW, Decay, is_protected

_FADE = (State.GENERATED, State.ACTIVATED, State.MERGED)


def fading(cube: MemCube, decay: Decay, now: datetime, *, turns: bool = False) -> Fading:
    """Return how much of a memory is left at ``now``, and what that comes to.

    turns  whether what people said or noted fades too; else only what was derived from it
    Archived below .2. Below .05 in the archive: a candidate for expiry, which is proposed and never done here.
    Frozen and pinned (importance 1) memories keep all of it.
    """
    if is_protected(cube) or not (turns or cube.provenance.derived_from):
        return Fading(cube, 1.0, None)
    left = decay.retention(cube, now)
    if cube.lifecycle.state in _FADE and left < ARCHIVE_BELOW:
        return Fading(cube, left, State.ARCHIVED)
    if cube.lifecycle.state is State.ARCHIVED and left < EXPIRE_BELOW:
        return Fading(cube, left, State.EXPIRED)
    return Fading(cube, left, None)
