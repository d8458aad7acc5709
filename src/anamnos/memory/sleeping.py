"""The work of an engine that consolidates scopes: in a memory that is open, or in one that it opens where it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anamnos.cube import Scope
from anamnos.errors import ConfigError
from anamnos.evolve.sleep import Report
from anamnos.store.sqlite import SqliteStore
from anamnos.system.reembed import Portable

if TYPE_CHECKING:
    from anamnos.memory.evolving import Evolving

Task = tuple[Scope, float | None]
"""A scope, and how many seconds there are for it; None: no end."""


@dataclass(frozen=True)
class Sleeping:
    """Sleep of scopes in a memory of this process. ``steps`` and the rest are as for ``consolidate``.

    Nothing that is open can travel: pickled, it becomes what opens the vault again.
    """

    memory: Evolving
    steps: Sequence[str]
    decay: str
    turns: bool
    wording: str

    def __call__(self, task: Task, *, rests: bool = True) -> Report:
        """Return what it came to. rests: whether it leaves the processor to others now and then."""
        scope, budget_s = task
        sleep = self.memory._sleep(scope, self.decay, self.turns, self.wording, budget_s, None)
        return (sleep if rests else replace(sleep, rest=0.0)).run(self.steps)

    def __reduce__(self) -> tuple[Any, ...]:
        memory, guard = self.memory, self.memory._guard
        own = isinstance(guard.store, SqliteStore) and guard.store.path == memory.vault.folder / "anamnos.db"
        if not memory.settings.store and not own:
            raise ConfigError(
                "The vault was opened with a store object, which other processes cannot open.",
                hint="Name the store in the settings, or use the engine local.",
            )
        settings = {**asdict(memory.settings), "embedder": None, "background": "off"}
        opening = {"clock": memory._clock, "principal": guard.principal, "purpose": guard.purpose, **settings}
        how = (self.steps, self.decay, self.turns, self.wording)
        return SleepingThere, (memory.vault.folder.absolute(), memory._portable(memory.embedder), opening, how)


@dataclass(frozen=True)
class SleepingThere:
    """The same in another process: the vault is opened for each scope, the embedder kept."""

    folder: Path
    embedder: Portable
    opening: Mapping[str, Any]
    how: tuple[Any, ...]

    def __call__(self, task: Task) -> Report:
        from anamnos.memory.opened import Memory

        opening = {name: value for name, value in self.opening.items() if value is not None}
        with Memory(self.folder, embedder=self.embedder.get(), **opening) as memory:
            # where the vault is on a server, nobody searches on the machine of a worker
            return Sleeping(memory, *self.how)(task, rests=not memory.settings.store)
