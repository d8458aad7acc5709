"""The verbs that look memories up without a question."""

from __future__ import annotations

import builtins
from collections import Counter
from datetime import datetime
from typing import Any

from anamnos.cube import MemCube, Scope, check_id
from anamnos.errors import InvalidInput
from anamnos.memory.checks import check_filter, check_scope
from anamnos.memory.core import Core
from anamnos.types import Filter


class Reading(Core):
    """Looking memories up without a question."""

    def get(self, cube_id: str, scope: Scope, *, version: int | None = None, as_of: datetime | None = None) -> MemCube:
        """Return a memory, its current version by default. Raises: NotFound if it is not in the scope.

        as_of  as in ``search``; instead of a version
        """
        cube = self._get(cube_id, scope, version=version, as_of=as_of)
        self._guard.read("get", cube.id)
        return self._guard.shown([cube])[0]

    def list(
        self,
        scope: Scope,
        *,
        filter: Filter | None = None,
        limit: int | None = 100,
        after: str | None = None,
        as_of: datetime | None = None,
    ) -> builtins.list[MemCube]:
        """Return the memories of a scope in the order in which they were first written.

        after  the id of the last one that the caller has, to go on from there
        as_of  as in ``search``
        """
        check_scope(scope)
        check_filter(filter)
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
            raise InvalidInput(f"limit must be a whole number >= 1 or None, got {limit!r}.")
        behind = None if after is None else check_id("after", after)
        self._guard.read("list")
        as_of = self._past(as_of)
        tree = self._guard.fresh(filter, scope, as_of)
        return self._guard.shown(self.vault.store.list(scope, tree, after=behind, limit=limit, as_of=as_of))

    def history(self, cube_id: str, scope: Scope) -> builtins.list[MemCube]:
        """Return all versions of a memory, oldest first. Raises: NotFound if it is not in the scope."""
        cube = self._get(cube_id, scope)
        self._guard.read("history", cube.id)
        return self._guard.shown(self.vault.store.history(cube.id))

    def stats(self, scope: Scope | None = None) -> dict[str, Any]:
        """Return how much is remembered (by role and state), with what, and how many bytes each part takes."""
        store = self.vault.store
        tally = store.tally(scope)
        roles, states = Counter[str](), Counter[str]()
        for (role, state), number in tally.items():
            roles[role] += number
            states[state] += number
        whole = {"sequence": store.sequence(), "vault": str(self.vault.folder), "bytes": self.vault.sizes()}
        return {
            "memories": sum(tally.values()),
            "roles": dict(sorted(roles.items())),
            "states": dict(sorted(states.items())),
            "scopes": len([s for s in store.scopes() if scope is None or scope.covers(s)]),
            "embedder": {"id": self._info.id, "dim": self._info.dim},
            "recipe": self.settings.recipe,
            **(whole if self._guard.who() is None else {}),  # it tells what other tenants do
        }
