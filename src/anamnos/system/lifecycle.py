"""What happens to memories in the course of their life, as the next version or lifecycle that each comes to.

Pure functions: the verbs of ``Memory`` write what they return. Which state may follow which: ``anamnos.lifecycle``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from anamnos.cube import Lifecycle, MemCube, State
from anamnos.lifecycle import may_become

UNUSED = timedelta(days=30)  # after which what was activated is no more than generated
ARCHIVED_FOR = timedelta(days=180)  # after which what is in the archive unused expires
PINNED = 1.0  # an importance that no decay and no age touches


def moved(cube: MemCube, state: State) -> MemCube:
    """Return the next version of a cube, in another state."""
    return cube.next_version(lifecycle=replace(cube.lifecycle, state=state))


def lifted(cube: MemCube, history: Sequence[MemCube]) -> MemCube:
    """Return the next version of a frozen cube, given all its versions: in the state before the hold."""
    if cube.lifecycle.state is not State.FROZEN:
        return moved(cube, cube.lifecycle.state)
    states = [each.lifecycle.state for each in history if each.lifecycle.state is not State.FROZEN]
    return moved(cube, states[-1] if states else State.GENERATED)


def used(life: Lifecycle, now: datetime) -> Lifecycle:
    """Return the lifecycle of a memory that served an answer at ``now``; a clock set back does not age it."""
    last = now if life.last_used_at is None else max(now, life.last_used_at)
    state = State.ACTIVATED if life.state is State.GENERATED else life.state
    return replace(life, state=state, uses=life.uses + 1, last_used_at=last)


def due(cube: MemCube, now: datetime) -> State | None:
    """Return the state that a memory has come to by the mere passing of time; None if it stays as it is.

    Expired where ``expires_at`` has passed, or after 180 days in the archive without one use; generated again after
    30 days without use. What is frozen or pinned (importance 1) stays, but for its ``expires_at``.
    """
    life = cube.lifecycle
    if life.state is State.FROZEN:
        return None
    if life.expires_at is not None and life.expires_at <= now:
        return State.EXPIRED if may_become(life.state, State.EXPIRED) else None
    if life.importance >= PINNED:
        return None
    unused_since = max(filter(None, (life.last_used_at, cube.time.recorded_at)), default=None)
    if unused_since is None:
        return None
    if life.state is State.ARCHIVED and life.uses == 0 and now - unused_since >= ARCHIVED_FOR:
        return State.EXPIRED
    if life.state is State.ACTIVATED and now - unused_since >= UNUSED:
        return State.GENERATED
    return None


def believed_at(history: Sequence[MemCube], moment: datetime) -> MemCube | None:
    """Return the version that was the current one at ``moment``; None before the first."""
    recorded = (cube for cube in reversed(history) if cube.time.recorded_at and cube.time.recorded_at <= moment)
    found = next(recorded, None)
    gone = found is not None and found.time.superseded_at is not None and found.time.superseded_at <= moment
    return None if gone else found


def rolled_back(current: MemCube, old: MemCube | None) -> MemCube | None:
    """Return the next version of ``current`` that is as ``old`` was; None if it is so already.

    old  None: it was not there, so it leaves for the archive
    Where its old state cannot follow the present one, it becomes activated. How often it was used is not undone.
    """
    state = current.lifecycle.state
    if old is None:
        return moved(current, State.ARCHIVED) if may_become(state, State.ARCHIVED) else None
    back = old.lifecycle.state
    if state is State.FROZEN or {back, state} == {State.GENERATED, State.ACTIVATED}:
        back = state  # a hold is lifted by nothing but ``unfreeze``; whether it is activated is a matter of use
    if back is not state and not may_become(state, back):
        back = State.ACTIVATED if may_become(state, State.ACTIVATED) else state
    behaviour = {name: getattr(current.lifecycle, name) for name in ("uses", "last_used_at", "strength", "stability")}
    recorded = {"recorded_at": current.time.recorded_at, "superseded_at": current.time.superseded_at}
    same = replace(
        old,
        version=current.version,
        time=replace(old.time, **recorded),
        lifecycle=replace(old.lifecycle, state=back, **behaviour),
    )
    return None if same == current else same.next_version()
