"""The one way in which cubes change: ``apply(op, transaction)``. Every strategy only proposes Ops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from anamnos.cube import CubeId, MemCube, State
from anamnos.errors import AccessDenied, Conflict, IllegalTransition, InvalidInput, NotFound
from anamnos.lifecycle import check_transition
from anamnos.store.base import Transaction
from anamnos.store.inherit import inherited
from anamnos.types import Op, OpKind, Outcome, owner_of


def apply(op: Op, tx: Transaction, *, now: datetime) -> list[tuple[CubeId, Outcome]]:
    """Carry out one operation inside a write, and return what happened to which cube.

    add         a new cube; ``unchanged`` and the known id if its key is known already
    update      the next version; ``unchanged`` if nothing would differ
    transition  the next version, which says the same in another state or with other links; ``unchanged`` likewise
    touch       the current version with another lifecycle: used more often, fading; ``unchanged`` if it is frozen
    delete      the cube and everything derived from it, all versions
    restore     a version as it was, times and all; ``unchanged`` if it is there already, or if its content is known
                under another id
    now         becomes ``recorded_at``, but for restore; never earlier than that of the version before
    What is derived has no wider a policy and no more trust than its sources (``anamnos.store.inherit``); where a source
    gets stricter, so does in the same write what was derived from it.
    Raises: NotFound for an unknown target; Conflict if the version is not the one after the current one;
    IllegalTransition if the state cannot follow the current one (``anamnos.lifecycle``); AccessDenied if the cube, or
    for delete anything derived from it, is frozen, unless a transition lifts that; InvalidInput if a cube is derived
    from another owner's, or, but for restore, from one that is not there.
    """
    if op.kind is OpKind.ADD:
        return [_add(op, tx, now)]
    if op.kind is OpKind.RESTORE:
        return [_restore(op, tx)]
    if op.target is None:
        raise InvalidInput(f"An operation {op.kind} needs a target.")
    if op.kind in (OpKind.UPDATE, OpKind.TRANSITION):
        return _update(op, op.target, tx, now)
    if op.kind is OpKind.TOUCH:
        return [_touch(op, op.target, tx)]
    return _delete(op.target, tx)


def _add(op: Op, tx: Transaction, now: datetime) -> tuple[CubeId, Outcome]:
    cube = _new_cube(op)
    known = tx.find(op.key) if op.key else None
    if known is not None:
        return known, "unchanged"
    cube = inherited(cube, _sources(cube, tx, must=cube.provenance.derived_from), new=True)
    if tx.current(cube.id) is not None:
        raise Conflict(f"There is a memory {cube.id} already.", hint="Use update to change it.")
    tx.insert(_recorded(cube, now), op.derived, op.key)
    return cube.id, "added"


def _update(op: Op, target: CubeId, tx: Transaction, now: datetime) -> list[tuple[CubeId, Outcome]]:
    cube, current = _new_cube(op), _known(target, tx)
    if cube.id != target or cube.version != current.version + 1:
        raise Conflict(
            f"Memory {target} is at version {current.version}; version {cube.version} cannot follow it.",
            hint="Read the current version and make the change again.",
            current_version=current.version,
        )
    added = [source for source in cube.provenance.derived_from if source not in current.provenance.derived_from]
    cube = inherited(cube, _sources(cube, tx, must=added), new=False)
    if replace(cube, version=current.version, time=current.time) == current and _same_time(cube, current):
        return [(target, "unchanged")]
    before, after = current.lifecycle.state, cube.lifecycle.state
    lifted = (
        op.kind is OpKind.TRANSITION
        and before is State.FROZEN
        and after is _before_the_hold(current, tx)
        and replace(cube.lifecycle, state=before) == current.lifecycle
        and replace(cube, version=current.version, time=current.time, lifecycle=current.lifecycle) == current
    )
    if not lifted:
        refuse_frozen(current)
    if after is not before and not lifted:
        check_transition(f"Memory {target}", before, after)
    if op.kind is OpKind.TRANSITION and _found_by(cube) != _found_by(current):
        raise InvalidInput(f"A transition of memory {target} says something else.", hint="Use update for that.")
    now = max(now, current.time.recorded_at or now)  # of versions in a clock set back, only one must hold at a time
    tx.retire(target, now)
    if op.kind is OpKind.TRANSITION:
        tx.repeat(_recorded(cube, now))
    else:
        tx.insert(_recorded(cube, now), op.derived, op.key)
    stricter = (cube.policy, cube.provenance.trust) != (current.policy, current.provenance.trust)
    return [(target, "updated"), *(_pass_on(target, tx, now) if stricter else ())]


def _pass_on(source: CubeId, tx: Transaction, now: datetime) -> list[tuple[CubeId, Outcome]]:
    """Make what is derived from a memory as strict as that has become, and what is derived from that."""
    done: list[tuple[CubeId, Outcome]] = []
    for other in tx.dependents(source):
        current = _known(other, tx)
        cube = inherited(current, _sources(current, tx), new=False)
        if cube is not current:
            if _who_sees(cube) == _who_sees(current) and current.lifecycle.state is State.FROZEN:
                continue  # a hold does not yield to a label
            refuse_frozen(current)
            at = max(now, current.time.recorded_at or now)
            tx.retire(other, at)
            tx.repeat(_recorded(cube.next_version(), at))
            done += [(other, "updated"), *_pass_on(other, tx, now)]
    return done


def _touch(op: Op, target: CubeId, tx: Transaction) -> tuple[CubeId, Outcome]:
    current, life = _known(target, tx), _new_cube(op).lifecycle
    if life == current.lifecycle or current.lifecycle.state is State.FROZEN:
        return target, "unchanged"
    if {life.state, current.lifecycle.state} - {State.GENERATED, State.ACTIVATED} and (
        life.state is not current.lifecycle.state
    ):
        raise IllegalTransition(
            f"Memory {target} is {current.lifecycle.state}; it becomes {life.state} in a new version only.",
            hint="Use a transition.",
        )
    tx.touch(replace(current, lifecycle=life))
    return target, "updated"


def _restore(op: Op, tx: Transaction) -> tuple[CubeId, Outcome]:
    cube = _new_cube(op)
    there = tx.version(cube.id, cube.version)
    if there is not None:
        if there != cube:
            raise Conflict(
                f"Memory {cube.id} version {cube.version} is there already, with other content.",
                hint="Import into an empty vault, or delete that memory first.",
            )
        return cube.id, "unchanged"
    known = tx.find(op.key) if op.key else None
    if known is not None and known != cube.id:
        return known, "unchanged"
    if cube.time.superseded_at is None and tx.current(cube.id) is not None:
        raise Conflict(f"Memory {cube.id} has another current version.", hint="Delete that memory first.")
    _sources(cube, tx)
    tx.insert(cube, op.derived, op.key)
    return cube.id, "added"


def _delete(target: CubeId, tx: Transaction) -> list[tuple[CubeId, Outcome]]:
    doomed = [target]
    for cube_id in doomed:  # grows while it is walked
        refuse_frozen(_known(cube_id, tx))
        doomed += [other for other in tx.dependents(cube_id) if other not in doomed]
    for cube_id in doomed:
        tx.erase(cube_id)
    return [(cube_id, "deleted") for cube_id in doomed]


def _sources(cube: MemCube, tx: Transaction, must: Sequence[CubeId] = ()) -> list[MemCube]:
    """Return what a cube is derived from, as far as it is there.

    must  those that have to be there: what was erased meanwhile must not live on in what was made of it
    Another owner's memory is refused: it would be seen by others, and deleting it would reach over the wall.
    """
    found = {source: other for source in cube.provenance.derived_from if (other := tx.current(source)) is not None}
    if missing := [source for source in must if source not in found]:
        raise InvalidInput(f"Memory {cube.id} is derived from {missing[0]}, which is not there.")
    for other in found.values():
        if (other.scope.tenant, owner_of(other.scope)) != (cube.scope.tenant, owner_of(cube.scope)):
            raise InvalidInput(f"Memory {cube.id} is derived from {other.id}, which belongs to somebody else.")
    return list(found.values())


def _new_cube(op: Op) -> MemCube:
    if op.cube is None:
        raise InvalidInput(f"An operation {op.kind} needs a cube.")
    return op.cube


def _known(cube_id: CubeId, tx: Transaction) -> MemCube:
    current = tx.current(cube_id)
    if current is None:
        raise NotFound(f"There is no memory {cube_id}.")
    return current


def refuse_frozen(cube: MemCube) -> None:
    """Raises: AccessDenied if a cube is frozen."""
    if cube.lifecycle.state is State.FROZEN:
        raise AccessDenied(f"Memory {cube.id} is frozen: it cannot be changed or deleted.", hint="Lift the hold first.")


def _before_the_hold(cube: MemCube, tx: Transaction) -> State:
    """Return the state that a frozen cube was in before; generated if it came frozen."""
    earlier = cube.version - 1
    while earlier and (before := tx.version(cube.id, earlier)) is not None:
        if before.lifecycle.state is not State.FROZEN:
            return before.lifecycle.state
        earlier -= 1
    return State.GENERATED


def _who_sees(cube: MemCube) -> tuple[object, ...]:
    return cube.policy.visibility, cube.policy.readers, cube.policy.writers


def _found_by(cube: MemCube) -> tuple[object, ...]:
    """Return what a cube is embedded and indexed by."""
    return cube.content, cube.substrate, cube.scope, cube.provenance.actor


def _recorded(cube: MemCube, now: datetime) -> MemCube:
    return replace(cube, time=replace(cube.time, recorded_at=now, superseded_at=None))


def _same_time(a: MemCube, b: MemCube) -> bool:
    return (a.time.created_at, a.time.valid_from, a.time.valid_to) == (
        b.time.created_at,
        b.time.valid_from,
        b.time.valid_to,
    )
