"""What a rule of forgetting is: how much of a memory is left at some moment, from its life alone.

Laws (``tests/unit/evolve/forget`` checks them on every rule of ``DECAYS``):
 1. ``retention`` is in [0, 1], 1 at the moment of the last use, and never grows while nothing happens.
 2. It is a pure function of the cube and the moment: no clock, no chance, no store.
 3. A moment before the last known one (a clock that was set back) counts as that one; a naive moment is refused.
 4. ``reviewed`` returns what a use changes in the rule's own state, and nothing else: who calls counts the use. What
    ``Lifecycle`` has no field for stands in ``annotations.data`` under the rule's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import IntEnum
from typing import Any, Protocol

from anamnos.cube import MemCube, State, check_time

ARCHIVE_BELOW = 0.2
"""Less retention than this, and a memory belongs in the archive."""
EXPIRE_BELOW = 0.05
"""Less than this, and nobody would miss it: a candidate, which no rule expires by itself."""
PINNED = 1.0
_DAY_S = 86_400.0


class Grade(IntEnum):
    """How a use went. Source: the four buttons of FSRS; what they mean for an agent is ours."""

    CONTRADICTED = 1
    UNUSED = 2  # found, but of no use
    USED = 3
    CONFIRMED = 4


class Decay(Protocol):
    """Says how much of a memory is left."""

    @property
    def name(self) -> str:
        """As users name it."""

    def retention(self, cube: MemCube, now: datetime) -> float:
        """Return how much of it is left at ``now``, in [0, 1]. Raises: InvalidInput for a naive moment."""

    def reviewed(self, cube: MemCube, now: datetime, grade: Grade = Grade.USED) -> MemCube:
        """Return the cube, same version, with what this rule makes of its use at ``now``."""


def last_known(cube: MemCube) -> datetime | None:
    """Return the moment from which forgetting counts: the last use, or when this version was written; None if neither
    is known.

    Not when it was said: an old chat that is read in today is new to the memory.
    """
    known = [time for time in (cube.lifecycle.last_used_at, cube.time.recorded_at) if time is not None]
    return max(known) if known else cube.time.created_at


def elapsed_days(cube: MemCube, now: datetime) -> float:
    """Return the days from the last known moment to ``now``, at least 0; 0 if no moment is known."""
    now, since = check_time("now", now), last_known(cube)
    return 0.0 if since is None else max((now - since).total_seconds() / _DAY_S, 0.0)


def is_protected(cube: MemCube) -> bool:
    """Return whether forgetting passes a memory by: under a legal hold, or pinned (importance 1)."""
    return cube.lifecycle.state is State.FROZEN or cube.lifecycle.importance >= PINNED


def own_number(cube: MemCube, rule: str, name: str, default: float) -> float:
    """Return a number of the rule's own state; ``default`` if there is none that can be one."""
    state: Any = cube.annotations.data.get(rule)
    value = state.get(name) if isinstance(state, Mapping) else None
    return default if isinstance(value, bool) or not isinstance(value, int | float) else float(value)
