"""Quotas: how much a scope may hold. Checked in the transaction of each write, so that no two writes slip through."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from anamnos.cube import MemCube, Scope
from anamnos.errors import InvalidInput, LimitExceeded
from anamnos.store.base import Store
from anamnos.system.scope_hash import covering, scope_hash
from anamnos.types import Op, OpKind

_PREFIX = "quota:"
_MOST_CHANGES = 1_000  # that are gone through one by one; behind more of them, everything is counted again
_GROWS = (OpKind.ADD, OpKind.UPDATE, OpKind.TRANSITION, OpKind.RESTORE)


@dataclass(frozen=True, slots=True)
class Quota:
    """How much a scope may hold; None: any amount.

    memories  current ones, of any state
    bytes     of the content of all their versions
    """

    memories: int | None = None
    bytes: int | None = None

    def __post_init__(self) -> None:
        for name in ("memories", "bytes"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
                raise InvalidInput(f"The quota of {name} must be a whole number >= 0 or None, got {value!r}.")


class Quotas:
    """The quotas of a vault's scopes, kept as its settings.

    require  called with what is about to be done; raises AccessDenied if it may not be
    """

    def __init__(self, store: Store, require: Callable[[str], None] = lambda verb: None) -> None:
        self._store = store
        self._require = require
        self._counted: dict[Scope, tuple[int, int, int]] = {}  # the last change seen, memories, bytes

    def set(self, scope: Scope, *, memories: int | None = None, bytes: int | None = None) -> None:
        """Allow a scope, with all that it covers, to hold so much; nothing given: any amount.

        What it holds already stays, even if it is more. Raises: InvalidInput.
        """
        self._require("set quota")
        quota = Quota(memories, bytes)
        value = None if quota == Quota() else json.dumps({"memories": memories, "bytes": bytes})
        with self._store.write() as tx:
            tx.set_setting(_PREFIX + scope_hash(scope), value)

    def get(self, scope: Scope) -> Quota | None:
        """Return the quota that was set for just this scope."""
        value = self._store.setting(_PREFIX + scope_hash(scope))
        return None if value is None else Quota(**json.loads(value))

    def check(self, ops: Sequence[Op]) -> None:
        """Raise LimitExceeded if operations would make a scope hold more than it may. To be called inside a write."""
        quotas = self._store.settings(_PREFIX)
        if not quotas:
            return
        growing = [(op.kind, op.cube) for op in ops if op.kind in _GROWS and op.cube is not None]
        for scope in dict.fromkeys(wide for _, cube in growing for wide in covering(cube.scope)):
            value = quotas.get(_PREFIX + scope_hash(scope))
            if value is None:
                continue
            quota = Quota(**json.loads(value))
            memories, size = self._usage(scope)
            within = [(kind, cube) for kind, cube in growing if scope.covers(cube.scope)]
            memories += sum(_is_new(kind, cube) for kind, cube in within)
            size += sum(_bytes(cube) for _, cube in within)
            for what, have, allowed in (("memories", memories, quota.memories), ("bytes", size, quota.bytes)):
                if allowed is not None and have > allowed:
                    raise LimitExceeded(
                        f"The scope {scope} would hold {have:,} {what}; its quota is {allowed:,}.",
                        hint="Delete memories that are not needed, or raise the quota.",
                    )

    def _usage(self, scope: Scope) -> tuple[int, int]:
        """Return how many memories and bytes a scope holds, from what it held before and what was written since."""
        newest = self._store.sequence()
        seen, memories, size = self._counted.get(scope, (-1, 0, 0))
        changes = self._store.changes(max(seen, 0), limit=_MOST_CHANGES + 1)
        if seen < 0 or newest < seen or len(changes) > _MOST_CHANGES or any(c.kind == "erased" for c in changes):
            memories, size = self._store.usage(scope)
        else:
            retired = {change.row for change in changes if change.kind == "retired"}
            for change in changes:
                (cube,) = self._store.at([change.row])
                if not scope.covers(cube.scope):
                    continue
                if change.kind == "retired":
                    memories -= 1
                else:  # a past version that came with an import was never current, nor retired
                    memories += cube.time.superseded_at is None or change.row in retired
                    size += _bytes(cube)
        self._counted[scope] = (newest, memories, size)
        return memories, size


def _is_new(kind: OpKind, cube: MemCube) -> bool:
    return kind is OpKind.ADD or (kind is OpKind.RESTORE and cube.time.superseded_at is None)


def _bytes(cube: MemCube) -> int:
    return len(cube.content.encode()) if isinstance(cube.content, str) else cube.content.size_bytes
