"""The verbs that bring memories in order: changed facts, corrections, merging, sleep."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from anamnos.cube import Scope, check_time
from anamnos.errors import AnamnosError
from anamnos.evolve.consolidate import Fading, resolve_worder
from anamnos.evolve.forget import DEFAULT_DECAY, resolve_decay
from anamnos.evolve.sleep import STEPS, Report, Sleep, alone, check_run, fadings
from anamnos.evolve.sleeper import Draft
from anamnos.ingest.plan import Planned, key_of_next
from anamnos.memory.checks import check_scope
from anamnos.memory.core import Progress
from anamnos.memory.searching import Searching
from anamnos.memory.sleeping import Sleeping, Task
from anamnos.memory.writing import Writing
from anamnos.store.base import Transaction
from anamnos.system.bulk import Engine, Local, each
from anamnos.system.bundles import is_installed
from anamnos.system.scheduler import users_of
from anamnos.types import Op, Receipt


class Evolving(Searching, Writing):
    """Changed facts, corrections, merging, sleep."""

    def resolve(self, scope: Scope, *, resolver: str = "rules", progress: Progress | None = None) -> Receipt:
        """Put new facts in order with those that are known: what is said again, what has changed, what contradicts.

        resolver  ``rules``, or ``llm`` for the language model of the settings about what no slot decides
        progress  counts new facts
        An earlier value ends when a later one begins (``valid_to``, a link ``supersedes``); who says the same again is
        merged into who said it first; two that cannot both be are linked. Nothing is dropped, and a second run finds
        nothing to do. Receipt: the memories that have a new version.
        Raises: ConfigError if there is no such resolver, or no language model.
        """
        check_scope(scope)
        from anamnos.evolve import resolve  # many patterns, as in enrich

        judge = resolve.resolve_resolver(resolver, self._llm())
        known = self._facts_of(scope)
        store, size = self.vault.store, self.settings.batch_size
        return resolve.run(
            store, self._index, known, scope, judge, self._write_moved, batch_size=size, progress=progress
        )

    def correct(self, text: str, scope: Scope, *, ids: Sequence[str] = (), at: datetime | None = None) -> Receipt:
        """Take in what somebody says about what is remembered: "no, …", "it's X, not Y", "replace A with B".

        ids  of the memories that it is about; none: what a search for it finds
        at   when it was said; the present by default
        A corrected memory gets a new version, and the old one stays in its history; what only adds becomes a memory of
        its own; thanks and questions change nothing. Raises: InvalidInput for an empty text.
        """
        check_scope(scope)
        from anamnos.evolve.resolve import feedback as said

        said_at = self._clock() if at is None else check_time("at", at)
        found = said.classify(self._checked_text(text))
        if found.kind is said.FeedbackKind.IRRELEVANT:
            return Receipt((), (), self.vault.store.sequence())
        known = [] if not ids else [cube.id for cube in self._each(scope, None)]
        named = [(self._get(cube_id, scope), 1.0) for cube_id in said.named_ids(ids, known)]
        query = f"{found.original} {found.target} {found.statement}".strip()
        near = [] if ids else [(hit.cube, hit.similarity) for hit in self.search(query, scope, top_k=said.NEAREST)]
        near = [pair for pair in near if pair[1] >= said.LEAST_SIMILARITY or found.original]
        changes = said.corrections(found, named or near, given=bool(ids))
        cubes = [said.corrected(change, found.kind, said_at) for change in changes]
        if cubes or found.original:
            return self._write(self._ops([Planned(key_of_next(cube, self.vault.store), cube=cube) for cube in cubes]))
        return self.add(found.statement, scope, created_at=said_at)

    def merge(self, ids: Iterable[str], scope: Scope) -> Receipt:
        """Make one memory of several: the newest stands for all, the others are merged into it and found no more.

        Raises: NotFound, InvalidInput for fewer than two. ``unmerge`` parts them again.
        """
        from anamnos.evolve.resolve.merge import merged

        return self._write_moved(merged(self._named_cubes(ids, scope)))

    def unmerge(self, id: str, scope: Scope) -> Receipt:
        """Part a memory from those that were merged into it, or from the one that it was merged into, for good."""
        from anamnos.evolve.resolve.merge import linked_ids, unmerged

        cube = self._get(id, scope)
        known = {i: found for i in linked_ids(cube) if (found := self.vault.store.get(i)) and scope.covers(found.scope)}
        return self._write_moved(unmerged(cube, known))

    def consolidate(
        self,
        scope: Scope,
        *,
        steps: Sequence[str] = STEPS,
        decay: str = DEFAULT_DECAY,
        turns: bool = False,
        wording: str = "rules",
        budget_s: float | None = None,
        progress: Progress | None = None,
    ) -> Report:
        """Do what a memory does in its sleep, and return what came of it; what is new since the last time is looked at.

        steps     of duplicates, topics, reflections, replay, archive; see docs/explanation/forgetting.md
        decay     the rule of forgetting: none, memorybank, power-law, fsrs, ebbinghaus-adaptive, reinforcement
        turns     whether what people said fades too, and not only what was derived from it
        wording   ``rules``, or ``llm`` for the language model of the settings, with the rules where that fails
        budget_s  after so many seconds it stops at the next piece of work; the next run goes on from there
        Others read and write as it goes on. A stop anywhere loses and doubles nothing; doing it again changes nothing.
        Raises: ConfigError for an unknown rule or wording, InvalidInput for an unknown step, Busy if another run is on.
        """
        sleep = self._sleep(scope, decay, turns, wording, budget_s, progress)
        with alone(self.vault.folder):
            report = sleep.run(steps)
            self._index.maintain()
        return report

    def consolidate_all(
        self,
        scopes: Sequence[Scope] | None = None,
        *,
        steps: Sequence[str] = STEPS,
        decay: str = DEFAULT_DECAY,
        turns: bool = False,
        wording: str = "rules",
        budget_s: float | None = None,
        engine: Engine | None = None,
        progress: Progress | None = None,
    ) -> list[tuple[Scope, Report | AnamnosError]]:
        """Do what ``consolidate`` does for several scopes, each on its own, and return what came of each.

        scopes    None: every user of the vault
        budget_s  of the whole run; who was not reached in it has a report without steps, not finished
        engine    what does it; this process by default. Others open the vault themselves: its own database only on
                  this machine, one on a server from anywhere. See ``anamnos.system.bulk``
        progress  counts scopes
        Raises: as ``consolidate``, before anything is done; what goes wrong with one scope does not stop the others.
        """
        check_run(steps, budget_s)
        resolve_decay(decay)
        resolve_worder(wording, self._llm())
        if scopes is None:
            self._govern("consolidate all")
            scopes = users_of(scope for scope in self.vault.store.scopes() if not is_installed(scope))
        for scope in scopes:
            check_scope(scope)
        ends = None if budget_s is None else time.monotonic() + budget_s

        def tasks() -> Iterator[Task]:
            for scope in scopes:
                left = None if ends is None else ends - time.monotonic()
                if left is None or left > 0:
                    yield scope, left

        work = Sleeping(self, steps, decay, turns, wording)
        found: dict[Scope, Report | AnamnosError] = {scope: Report((), False, 0.0) for scope in scopes}
        with alone(self.vault.folder):
            made = each(engine or Local(), work, tasks(), lambda task: task, ahead=0, here=not self.settings.store)
            for number, ((scope, _), report) in enumerate(made, 1):
                found[scope] = report
                if progress:
                    progress(number, len(found))
            self._index.maintain()
        return list(found.items())

    def retention(self, scope: Scope, *, decay: str = DEFAULT_DECAY, turns: bool = False) -> list[Fading]:
        """Return how much is left of each memory of a scope, whatever its state, and what ``consolidate`` would do."""
        check_scope(scope)
        self._guard.read("retention")
        found = [*fadings(self.vault.store, scope, resolve_decay(decay), self._clock(), turns=turns)]
        shown = self._guard.shown(each.cube for each in found)
        return [replace(each, cube=cube) for each, cube in zip(found, shown, strict=True)]

    def _sleep(
        self, scope: Scope, decay: str, turns: bool, wording: str, budget_s: float | None, progress: Progress | None
    ) -> Sleep:
        check_scope(scope)

        def write(drafts: Sequence[Draft], ops: Sequence[Op], when: Callable[[Transaction], bool]) -> Receipt:
            return self._write([*self._ops([Planned(d.key, cube=d.cube) for d in drafts]), *ops], when=when)

        worder = resolve_worder(wording, self._llm())
        rule, parts = resolve_decay(decay), (self.vault.store, self._info, scope, self._reader)
        sleep = Sleep(*parts, write, self._clock, self._new_id, rule, worder)
        return replace(sleep, turns=turns, who=self._guard.principal, budget_s=budget_s, progress=progress)
