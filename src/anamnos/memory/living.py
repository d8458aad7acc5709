"""The verbs of the life of a memory: holds, the archive, use, rollback, migration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from anamnos.cube import Role, Scope, State, Substrate, check_id, check_time
from anamnos.errors import InvalidInput
from anamnos.ingest.plan import Planned, key_of_next
from anamnos.llm.base import estimate_tokens
from anamnos.memory.checks import check_scope, checked_role, checked_substrate
from anamnos.memory.core import Core, transition
from anamnos.store.apply import refuse_frozen
from anamnos.system import lifecycle
from anamnos.system import migrate as migration
from anamnos.types import Comparison, Field, Op, OpKind, Receipt, Where


class Living(Core):
    """Holds, the archive, use, rollback, migration."""

    def freeze(self, ids: str | Iterable[str], scope: Scope) -> Receipt:
        """Put memories under a legal hold: they are found and read as before, but nothing changes or deletes them.

        Raises: NotFound if one of them is not in the scope; then nothing has changed. So do the verbs below.
        """
        return self._move(ids, scope, State.FROZEN)

    def unfreeze(self, ids: str | Iterable[str], scope: Scope) -> Receipt:
        """Lift the hold: frozen memories are in the state again that they were in before."""
        cubes = self._named_cubes(ids, scope)
        lifted = [lifecycle.lifted(cube, self.vault.store.history(cube.id)) for cube in cubes]
        return self._write_moved(lifted)

    def archive(self, ids: str | Iterable[str], scope: Scope) -> Receipt:
        """Take memories out of searches without losing them; ``reactivate`` brings them back."""
        return self._move(ids, scope, State.ARCHIVED)

    def reactivate(self, ids: str | Iterable[str], scope: Scope) -> Receipt:
        """Bring memories back that were archived, merged or expired. Raises: IllegalTransition for a frozen one."""
        return self._move(ids, scope, State.ACTIVATED)

    def used(self, ids: str | Iterable[str], scope: Scope) -> Receipt:
        """Note that memories served an answer: what is used stays longer. Makes no new version."""
        now = self._clock()
        cubes = self._named_cubes(ids, scope)
        touched = [replace(cube, lifecycle=lifecycle.used(cube.lifecycle, now)) for cube in cubes]
        return self._write([Op(OpKind.TOUCH, target=cube.id, cube=cube) for cube in touched])

    def rollback(
        self, scope: Scope, *, id: str | None = None, version: int | None = None, to: datetime | None = None
    ) -> Receipt:
        """Make a memory, or a whole scope, what it was: in new versions, so that history is never rewritten.

        id       which memory; None: all that the scope covers
        version  of that memory, which to go back to
        to       instead, the moment to go back to; what was written since then is archived
        What was deleted since stays deleted. Raises: InvalidInput unless one of version and to is given, NotFound for
        an unknown memory or version, AccessDenied if one that would change is frozen; then nothing has changed.
        """
        if (version is None) == (to is None) or (version is not None and id is None):
            raise InvalidInput("rollback needs either a moment, or the id and the version of one memory.")
        if to is not None:
            moment = check_time("to", to)
            anything = Where(Field.STATE, Comparison.IN, tuple(State))
            cubes = list(self._each(scope, anything)) if id is None else [self._get(id, scope)]
            pairs = [(cube, lifecycle.believed_at(self.vault.store.history(cube.id), moment)) for cube in cubes]
        else:
            pairs = [(self._get(str(id), scope), self._get(str(id), scope, version=version))]
        back = [new for cube, old in pairs if (new := lifecycle.rolled_back(cube, old)) is not None]
        before = {cube.id: cube for cube, _ in pairs}
        for cube in back:
            refuse_frozen(before[cube.id])  # even if what it was before the hold is what it would be
        said = [cube for cube in back if cube.content != before[cube.id].content]
        ops = self._ops([Planned(key_of_next(cube, self.vault.store), cube=cube) for cube in said])
        return self._write([*ops, *(transition(cube) for cube in back if cube not in said)])

    def migrate(
        self,
        ids: str | Iterable[str],
        scope: Scope,
        *,
        to: Substrate | str = Substrate.TEXT,
        role: Role | str | None = None,
        words: Mapping[str, str] | None = None,
    ) -> Receipt:
        """Move memories to another substrate, or, as text, to another role or wording. ``migrate_back`` undoes it.

        to     the substrate; so far text only
        role   the new role; None: each keeps its own
        words  new wordings, by id, such as what a model has made of them
        Raises: NotFound, IllegalTransition or AccessDenied as ``archive``; MissingExtra if there is no such path.
        """
        target = checked_substrate(to)
        cubes = self._named_cubes(ids, scope)
        for cube in cubes:
            migration.check_path(cube.substrate, target)
        said = {check_id("words", cube_id): self._checked_text(text) for cube_id, text in (words or {}).items()}
        now = self._clock()
        moved = [
            new
            for cube in cubes
            for new in migration.text_to_text([cube], cube.role if role is None else checked_role(role), said, now)
        ]
        return self._write(self._ops([Planned(key_of_next(cube, self.vault.store), cube=cube) for cube in moved]))

    def migrate_back(self, cube_id: str, scope: Scope) -> Receipt:
        """Undo the last migration of a memory, in a new version. Raises: NotFound; Conflict if there was none."""
        cube = self._get(cube_id, scope)
        return self.rollback(scope, id=cube.id, version=migration.version_before(cube))

    def advise(self, scope: Scope) -> list[migration.Advice]:
        """Return which memories would serve better in another substrate, and why. Changes nothing."""
        check_scope(scope)
        self._guard.read("advise")
        return migration.advise(self._each(scope, None), self._clock(), estimate_tokens)

    def _move(self, ids: str | Iterable[str], scope: Scope, state: State) -> Receipt:
        """Bring memories into a state; those that are in it already stay as they are."""
        return self._write_moved([lifecycle.moved(cube, state) for cube in self._named_cubes(ids, scope)])
