"""A store with a guard before it: whatever reads or writes through it keeps the rule, and every change is entered.

The rule is kept here, at the store, and not in the verbs, so that no verb, channel or strategy can forget it. What a
principal may not see is not there for it, so that asking tells nothing; what it sees but may not change is
``AccessDenied``, which is entered as well. Of the store itself a principal reaches only what is listed here: what is
added to stores later is closed to it until somebody has thought about it.
"""

from __future__ import annotations

import builtins
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any, cast

import numpy as np

from anamnos.cube import CubeId, MemCube, Scope
from anamnos.errors import AccessDenied
from anamnos.store.base import Outline, Rows, Store, Transaction
from anamnos.system.governance import access
from anamnos.system.governance.access import ADMIN, READ, SHARE, WRITE, Principal
from anamnos.system.governance.guard import ANY_STATE, Guard
from anamnos.system.governance.sensitivity import redacted
from anamnos.types import And, Derived, Filter

_OPEN = frozenset(  # says nothing of what memories say, or is asked by row or key that only the reads below give
    (
        *("open", "close", "scrub", "verify", "sequence", "changes", "find", "rows_of", "blob_names"),
        *("embedder", "use_embedder", "vectors", "tokens", "setting", "settings", "set_setting", "working", "ledger"),
    )
)
_PAGE = 1_000


def guarded(store: Store, guard: Guard) -> Store:
    """Return ``store`` as the principal of ``guard`` may use it."""
    return cast(Store, GuardedStore(store, guard) if guard.principal is not None else WatchedStore(store, guard))


class WatchedStore:
    """A store whose changes are entered into the audit; nothing is closed."""

    def __init__(self, store: Store, guard: Guard) -> None:
        self.unguarded = store
        self.guard = guard

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unguarded, name)

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        tx: GuardedTransaction | None = None
        try:
            with self.unguarded.write() as own:
                tx = GuardedTransaction(own, self.guard)
                yield cast(Transaction, tx)
        except AccessDenied:
            self.guard.denied("write" if tx is None else tx.verb, None if tx is None else tx.last)
            raise


class GuardedStore(WatchedStore):
    """A store as one principal sees it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or (name not in _OPEN and not self._governs()):
            raise AccessDenied(f"{self.guard.principal} may not use {name!r} of the store.")
        return getattr(self.unguarded, name)

    def _governs(self) -> bool:
        who = self.guard.who()
        return who is not None and who.may(ADMIN)

    # --- reading cubes

    def get(self, cube_id: CubeId, version: int | None = None) -> MemCube | None:
        cube = self.unguarded.get(cube_id, version)
        return cube if cube is not None and self.guard.sees(cube) else None

    def history(self, cube_id: CubeId) -> builtins.list[MemCube]:
        return self._seen(self.unguarded.history(cube_id))

    def export(self, scope: Scope | None = None) -> Iterator[tuple[MemCube, Derived | None, bytes]]:
        rule = self.guard.rule()
        return (item for item in self.unguarded.export(scope) if self.guard.sees(item[0], rule))

    def count(self, scope: Scope | None = None) -> int:
        return sum(self.tally(scope).values())

    def tally(self, scope: Scope | None = None) -> dict[tuple[str, str], int]:
        return dict(Counter((str(cube.role), str(cube.lifecycle.state)) for cube in self._all(scope)))

    def hottest(self, scope: Scope | None = None, *, limit: int = 10) -> builtins.list[MemCube]:
        used = [cube for cube in self._all(scope) if cube.lifecycle.uses]
        return sorted(used, key=lambda cube: (-cube.lifecycle.uses, cube.id))[:limit]

    def scopes(self) -> builtins.list[Scope]:
        rule = self.guard.rule()
        tree = ANY_STATE if rule is None else And((rule, ANY_STATE))
        return [
            scope
            for scope in self.unguarded.scopes()
            if any(cube.scope == scope for cube in _pages(self.unguarded, scope, tree))
        ]

    def expired(self, now: datetime, scope: Scope | None = None) -> builtins.list[CubeId]:
        return [cube_id for cube_id in self.unguarded.expired(now, scope) if self.get(cube_id) is not None]

    def select(self, scope: Scope, filter: Filter | None = None, *, as_of: datetime | None = None) -> Rows:
        return self.unguarded.select(scope, self.guard.narrowed(filter, scope, as_of), as_of=as_of)

    def at(self, rows: Sequence[int]) -> builtins.list[MemCube]:
        return self._seen(self.unguarded.at(rows))

    def outline(
        self,
        scope: Scope,
        *,
        rows: Rows | None = None,
        all_states: bool = False,
        as_of: datetime | None = None,
        derived: bool | None = None,
    ) -> Outline:
        whole = self.unguarded.outline(scope, rows=rows, all_states=all_states, as_of=as_of, derived=derived)
        space = Scope(scope.tenant, user=scope.user) if scope.user is not None else None
        if space is not None and self.guard.rule(space) is None:
            return whole
        if space is not None and rows is None:
            tree = ANY_STATE if all_states else None
            keep = np.isin(whole.rows, self.select(space, tree, as_of=as_of))
        else:
            rule = self.guard.rule()
            cubes = self.unguarded.at(whole.rows.tolist())
            keep = np.array([self.guard.sees(cube, rule) for cube in cubes], dtype=bool)
        places = np.flatnonzero(keep).tolist()
        return replace(
            whole,
            rows=whole.rows[places],
            order=whole.order[places],
            created=whole.created[places],
            scopes=whole.scopes[places],
            names={number: whole.names[number] for number in set(whole.scopes[places].tolist())},
            actors=[whole.actors[place] for place in places],
            terms=[whole.terms[place] for place in places],
        )

    def list(  # the last one, since from here on its name hides the type
        self,
        scope: Scope,
        filter: Filter | None = None,
        *,
        after: CubeId | None = None,
        limit: int | None = None,
        as_of: datetime | None = None,
    ) -> builtins.list[MemCube]:
        tree = self.guard.narrowed(filter, scope, as_of)
        return self.unguarded.list(scope, tree, after=after, limit=limit, as_of=as_of)

    # --- inside

    def _seen(self, cubes: Sequence[MemCube]) -> builtins.list[MemCube]:
        rule = self.guard.rule()
        return [cube for cube in cubes if self.guard.sees(cube, rule)]

    def _all(self, scope: Scope | None) -> Iterator[MemCube]:
        for there in self.unguarded.scopes():
            if scope is None or scope.covers(there):
                tree = self.guard.narrowed(ANY_STATE, there)
                yield from (cube for cube in _pages(self.unguarded, there, tree) if cube.scope == there)


class GuardedTransaction:
    """One write: each change is allowed or refused, and entered.

    verb, last  what was tried last, and on which memory
    """

    def __init__(self, tx: Transaction, guard: Guard) -> None:
        self._tx = tx
        self._guard = guard
        self._retired: dict[CubeId, MemCube] = {}  # before their new version
        self.verb = "write"
        self.last: CubeId | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tx, name)

    def current(self, cube_id: CubeId) -> MemCube | None:
        self.last = cube_id
        return self._tx.current(cube_id)

    def insert(self, cube: MemCube, derived: Derived | None, key: bytes) -> None:
        self.verb, self.last = ("add" if cube.version == 1 else "update"), cube.id
        before = self._retired.get(cube.id)
        cube = self._allowed(cube, before)
        self._tx.insert(cube, derived, key)
        self._guard.note(self._tx, self.verb, cube.id, None if before is None else before.version, cube.version)

    def retire(self, cube_id: CubeId, at: datetime) -> None:
        before = self._tx.current(cube_id)
        if before is not None:
            self._retired[cube_id] = before
        self._tx.retire(cube_id, at)

    def repeat(self, cube: MemCube) -> None:
        before = self._retired[cube.id]
        self.verb, self.last = ("transition" if _same_sharing(before, cube) else "share"), cube.id
        cube = self._allowed(cube, before)
        self._tx.repeat(cube)
        self._guard.note(self._tx, self.verb, cube.id, before.version, cube.version)

    def touch(self, cube: MemCube) -> None:
        self.verb, self.last = "touch", cube.id
        if (who := self._guard.who()) is not None:
            self._check(who, READ, cube)
            own = self._tx.current(cube.id)
            cube = cube if own is None else replace(own, lifecycle=cube.lifecycle)
        self._tx.touch(cube)

    def erase(self, cube_id: CubeId) -> None:
        self.verb, self.last = "delete", cube_id
        before = self._tx.current(cube_id)
        if before is not None and (who := self._guard.who()) is not None:
            self._check(who, WRITE, before)
        self._tx.erase(cube_id)
        self._guard.note(self._tx, self.verb, cube_id, None if before is None else before.version)

    def _allowed(self, cube: MemCube, before: MemCube | None) -> MemCube:
        """Return a version as it may be written. Raises: AccessDenied."""
        who = self._guard.who()
        if who is None:
            return cube
        if before is None or before.scope != cube.scope:
            governs = who.may(ADMIN) and who.tenant == cube.scope.tenant
            if not who.may(WRITE) or not (who.takes_part_in(cube.scope) or governs):
                raise AccessDenied(f"{who.name} may not write into the scope {cube.scope}.")
            if before is None:
                if cube.version > 1 and not who.may(ADMIN):
                    raise AccessDenied(f"{who.name} may not put versions back.", hint="That needs the right admin.")
                return cube
        if not self._only_follows(cube, before):
            self._check(who, WRITE if _same_sharing(before, cube) else SHARE, before)
        return _unredacted(cube, before) if self._guard.hides() else cube

    def _only_follows(self, cube: MemCube, before: MemCube) -> bool:
        """Return whether a version differs only in that it is as strict as a source that was changed just now."""
        sources = set(cube.provenance.derived_from) & self._retired.keys()
        trust = replace(before.provenance, trust=cube.provenance.trust)
        same = replace(before, version=cube.version, policy=cube.policy, provenance=trust, time=cube.time)
        return bool(sources) and same == cube

    def _check(self, who: Principal, right: str, cube: MemCube) -> None:
        if not access.may(who, right, cube, self._guard.grants(who), self._guard.clock()):
            raise AccessDenied(f"{who.name} may not {right} memory {cube.id}.", hint="Its owner can share it.")


def _same_sharing(a: MemCube, b: MemCube) -> bool:
    return replace(a.policy, sensitivity=()) == replace(b.policy, sensitivity=())


def _unredacted(cube: MemCube, before: MemCube) -> MemCube:
    """Return a version in which what its writer was shown as labels, and left alone, is as it was."""
    shown = redacted(before)
    parts: Mapping[str, Any] = {
        name: getattr(before, name)
        for name in ("content", "annotations", "provenance")
        if getattr(cube, name) == getattr(shown, name)
    }
    return replace(cube, **parts)


def _pages(store: Store, scope: Scope, tree: Filter | None) -> Iterator[MemCube]:
    after = None
    while page := store.list(scope, tree, after=after, limit=_PAGE):
        yield from page
        after = page[-1].id
