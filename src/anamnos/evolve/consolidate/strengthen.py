"""Replay: what was used since it was last replayed is gone through once more, and lasts longer for it.

Source: replay in sleep, as in ZenBrain, arXiv:2604.23878, reduced to what a rule of forgetting makes of a use; several
uses between two nights count as one, as reviews of one day do in FSRS-4.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from anamnos.cube import MemCube, from_iso, to_iso
from anamnos.evolve.forget.base import Decay, Grade, is_protected

NAME = "replay"
"""Where in ``annotations.data`` stands the last use that was replayed."""
IMPORTANT = 0.75


def strengthened(cube: MemCube, decay: Decay) -> MemCube | None:
    """Return the next version of a memory after its last use was replayed; None if nothing changes by it.

    An important one is replayed as if its use had confirmed it. Doing it twice changes nothing: the moment is noted.
    """
    life, note = cube.lifecycle, cube.annotations.data.get(NAME)
    if life.last_used_at is None or is_protected(cube):
        return None
    replayed = from_iso(NAME, note.get("upto")) if isinstance(note, Mapping) else None
    if replayed is not None and life.last_used_at <= replayed:
        return None
    grade = Grade.CONFIRMED if life.importance >= IMPORTANT else Grade.USED
    before = replace(cube, lifecycle=replace(life, last_used_at=replayed))
    after = decay.reviewed(before, life.last_used_at, grade)
    if after == before:
        return None  # a rule that needs no more than the count of uses
    data = {**after.annotations.data, NAME: {"upto": to_iso(life.last_used_at)}}
    return cube.next_version(
        lifecycle=replace(after.lifecycle, last_used_at=life.last_used_at),
        annotations=replace(after.annotations, data=data),
    )
