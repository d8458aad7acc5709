"""The verbs that take in: what was said, files, the facts in them, edits and deletions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from anamnos.cube import CubeId, MemCube, Role, Scope, State, check_time, check_version, freeze_json, thaw_json
from anamnos.errors import AnamnosError, InvalidInput, LimitExceeded
from anamnos.ingest.plan import CORRECTED, Origin, Planned, key_of_next, plan
from anamnos.ingest.readers import read_source
from anamnos.ingest.readers.base import Turn
from anamnos.ingest.readers.messages import turns_from_messages
from anamnos.memory.checks import check_filter, check_scope, checked_labels, checked_role
from anamnos.memory.core import Core, Progress
from anamnos.store.jobs import NewJob
from anamnos.system.bulk import Engine, Local, each, result
from anamnos.system.governance import trust as believing
from anamnos.system.reembed import Embedding, Words, words_of
from anamnos.types import Comparison, Field, Filter, Outcome, Receipt, Where

Message = Mapping[str, Any]


class Writing(Core):
    """Adding, ingesting, enriching, editing, deleting."""

    def add(
        self,
        content: str | Message | Sequence[Message],
        scope: Scope,
        *,
        role: Role | str | None = None,
        created_at: datetime | None = None,
        tags: Sequence[str] = (),
        importance: float = 0.5,
        source: str | None = None,
        trust: float | str | None = None,
        expires_at: datetime | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> Receipt:
        """Remember a text, a message or a list of messages, durably, and return the receipt.

        content     a text; or messages: dicts with ``role`` and ``content``, and, if known, ``name``, ``id``,
                    ``session``, ``created_at``
        role        what a text is for; note by default. Messages are turns
        created_at  when a text was said or written; the present by default. Messages bring their own times, and
                    where they have none, theirs stays unknown
        source      where it came from; with the ids of messages it makes a repeated or edited message known
        trust       how far it is believed, from 0 to 1, or whose it is: user, assistant, file, tool, web, agent. None:
                    by its source, so that what came from an address or a tool is not believed as the user is
        expires_at  when it must no longer be found
        data        JSON of your own, kept in ``annotations.data``; it plays no part in what is the same
        Adding the same twice adds nothing and gives the known id. Give messages an id or a time if it matters that
        the same words were said twice.
        Raises: InvalidInput, LimitExceeded (a text above ``max_text_chars``); then nothing has changed.
        """
        check_scope(scope)
        if isinstance(content, str):
            said_at = check_time("created_at", created_at) if created_at is not None else None
            turns = [Turn(content, said_at=said_at, role=checked_role(role) if role else Role.NOTE)]
        else:
            if role is not None or created_at is not None:
                raise InvalidInput("role and created_at are for a text; messages bring their own.")
            messages = [content] if isinstance(content, Mapping) else content
            turns = turns_from_messages(messages, where="the messages")
            if not turns:
                raise InvalidInput("There is no message with any text to remember.")
        level, ends = believing.check_trust(trust), self._checked_end(expires_at)
        if data is not None and not isinstance(data, Mapping):
            raise InvalidInput(f"data must be a JSON object, got {type(data).__name__}.")
        kept = freeze_json("data", data or {})
        origin = Origin(scope, source, None, checked_labels(tags), importance, 1.0 if level is None else level, kept)
        now_for = self._clock() if isinstance(content, str) and created_at is None else None
        return self._remember(turns, origin, said_now=now_for, by_source=level is None, ends=ends)

    def ingest(
        self,
        path: str | Path,
        scope: Scope,
        *,
        reader: str | None = None,
        tags: Sequence[str] = (),
        source: str | None = None,
        progress: Progress | None = None,
    ) -> Receipt:
        """Remember a file: a chat export, notes, a document. Reading it again adds nothing; edits make new versions.

        reader  name of the format; None: found by looking at the file. See ``anamnos.ingest.readers``
        source  what the file is called in provenance; its path by default
        Raises: InvalidInput if the file is not what it says; then nothing has changed.
        A stop in the middle keeps whole batches, and the next run goes on from there.
        """
        check_scope(scope)
        turns, origin = _read(Path(path), scope, reader, checked_labels(tags), source)
        return self._remember(turns, origin, whole_source=True, by_source=True, progress=progress)

    def ingest_all(
        self,
        paths: Iterable[str | Path],
        scope: Scope,
        *,
        reader: str | None = None,
        tags: Sequence[str] = (),
        engine: Engine | None = None,
        progress: Progress | None = None,
    ) -> list[tuple[Path, Receipt | AnamnosError]]:
        """Remember files as ``ingest`` does, and return what came of each: its receipt, or why it was refused.

        engine    what embeds; this process by default. See ``anamnos.system.bulk``
        progress  counts memories; how many there are in all is known once the last file is read
        A file that is not what it says, or for which there is no room, is refused, and the others go on; any other
        error ends it. What was written stays, and the next run goes on from there.
        """
        check_scope(scope)
        labels, work = checked_labels(tags), Embedding(self._portable(self.embedder), self._reader)
        found: list[tuple[Path, Receipt | AnamnosError]] = []
        receipt, done, total = Receipt((), (), 0), 0, 0
        refused: AnamnosError | None = None

        def batches() -> Iterator[_Batch]:
            nonlocal total
            for path in {path.absolute(): path for path in map(Path, paths)}.values():  # planned ahead, so only once
                try:
                    turns, origin = _read(path, scope, reader, labels)
                    planned = self._planned(turns, origin, whole_source=True, by_source=True)
                except (InvalidInput, LimitExceeded) as exc:
                    yield _Batch(path, [], [], last=True, refused=exc)
                    continue
                total += len(planned)
                for start in range(0, len(planned), self.settings.batch_size):
                    batch = planned[start : start + self.settings.batch_size]
                    yield _Batch(path, batch, self._admitted(batch), last=start + len(batch) == len(planned))

        for batch, made in each(engine or Local(), work, batches(), _words_of):
            refused = refused or batch.refused
            try:
                if refused is None:
                    ops = self._embedded_ops(batch.new, *result(made))
                    receipt = _merge(receipt, batch.planned, self._write(ops, jobs=self._slow_work(scope)))
                    if batch.last:
                        self._extract(scope)
            except (InvalidInput, LimitExceeded) as exc:
                refused = exc
            done += len(batch.planned)
            if progress:
                progress(done, total)
            if batch.last:
                found.append((batch.path, refused or receipt))
                receipt, refused = Receipt((), (), 0), None
        return found

    def enrich(self, scope: Scope, *, extractor: str = "rules", progress: Progress | None = None) -> Receipt:
        """Find what the turns and notes of a scope say (facts, preferences, names, times) and remember it beside them.

        extractor  ``rules``, or ``llm`` for the language model of the settings; where that fails, the rules do its
                   work, and the reason is on the memory (``annotations.data["extract"]``)
        progress   counts turns
        Each memory that is made has role fact, stands on one turn (``derived_from``) and goes with it. What was read is
        not read again; an edited turn is, and what its old words gave is erased. Receipt: what was added and deleted.
        Raises: ConfigError if there is no such extractor, or no language model.
        """
        check_scope(scope)
        from anamnos.ingest import enrich  # many patterns, which take a while to compile
        from anamnos.ingest.extract import resolve_extractor

        found = resolve_extractor(extractor, self._reader, self._llm())
        store = self.vault.store
        sequence = store.sequence()
        turns = enrich.unread(store, scope, found.operator)
        done: list[tuple[CubeId, Outcome]] = []
        read, all_read = 0, self._guard.sees_all(scope)
        for batch in enrich.sessions(turns, self.settings.batch_size):
            before = enrich.derived_of(store, scope, batch)
            new = [cube for cube in batch if not enrich.is_read(cube, before.get(cube.id, ()), found.operator)]
            planned = enrich.plan_derived(found.extract(new), new, found.operator, self._new_id, self._clock())
            known = store.find(item.key for item in planned)
            ops = self._ops([item for item in planned if item.key not in known])
            receipt = self._write(ops, when=partial(enrich.are_there, new))
            if ops and not receipt.ids:  # one of them was erased meanwhile: the next run reads the others
                all_read = False
                continue
            kept = {*receipt.ids, *known.values()}
            gone = [cube_id for cube in new for cube_id in enrich.stale(before.get(cube.id, ()), kept)]
            done += zip(receipt.ids, receipt.outcomes, strict=True)
            if gone:
                erased = self._erase(gone)
                done += zip(erased.ids, erased.outcomes, strict=True)
            read += len(batch)
            if progress:
                progress(read, len(turns))
        if all_read:
            store.set_setting(enrich.mark_name(scope, found.operator), str(sequence))
        return Receipt(tuple(i for i, _ in done), tuple(o for _, o in done), store.sequence())

    def update(
        self,
        cube_id: str,
        scope: Scope,
        *,
        content: str | None = None,
        tags: Sequence[str] | None = None,
        importance: float | None = None,
        valid_from: datetime | None = None,
        valid_to: datetime | None = None,
        expires_at: datetime | None = None,
        data: Mapping[str, Any] | None = None,
        trust: float | str | None = None,
        expected_version: int | None = None,
    ) -> Receipt:
        """Write the next version of a memory; what is not given stays. The older one remains in ``history``.

        trust             of whoever gives the new content, as in ``add``: the memory is believed no more than that from
                          then on. None: as before
        data              merged into ``annotations.data`` key by key; a None removes the key
        expected_version  if given and not the current one: Conflict, and nothing has changed
        Raises: NotFound, Conflict, AccessDenied (frozen), InvalidInput.
        """
        current, level = self._get(cube_id, scope), believing.check_trust(trust)
        if expected_version is not None:
            check_version("expected_version", expected_version)
            current = replace(current, version=expected_version)
        changes: dict[str, Any] = {}
        if not isinstance(current.content, str):
            raise InvalidInput(
                f"Memory {current.id} holds {current.substrate} memory, not text.",
                hint="save_state writes its next version.",
            )
        if content is not None and self._checked_text(content) != current.content:
            changes["content"] = content
            believed = current.provenance.trust if level is None else min(level, current.provenance.trust)
            changes["provenance"] = replace(current.provenance, operator=CORRECTED, trust=believed)
        notes = current.annotations
        if tags is not None:
            notes = replace(notes, tags=checked_labels(tags))
        if data is not None:
            merged = {**thaw_json(notes.data), **thaw_json(freeze_json("data", data))}
            notes = replace(notes, data={name: value for name, value in merged.items() if value is not None})
        life: dict[str, Any] = {"importance": importance, "expires_at": self._checked_end(expires_at)}
        if life := {name: value for name, value in life.items() if value is not None}:
            changes["lifecycle"] = replace(current.lifecycle, **life)
        time = replace(current.time, recorded_at=None, superseded_at=None)
        time = replace(time, **{n: t for n, t in (("valid_from", valid_from), ("valid_to", valid_to)) if t})
        cube = current.next_version(annotations=notes, time=time, **changes)
        return self._write(self._ops([Planned(key_of_next(cube, self.vault.store), cube=cube)]))

    def delete(self, ids: str | Iterable[str], scope: Scope) -> Receipt:
        """Erase memories, all their versions and all that was derived from them, from every file of the vault.

        Raises: NotFound if one of them is not in the scope; then none is deleted.
        """
        return self._erase([cube.id for cube in self._named_cubes(ids, scope)])

    def delete_all(self, scope: Scope, *, filter: Filter | None = None) -> Receipt:
        """Erase every memory that ``scope`` covers and ``filter`` passes, as ``delete`` does.

        Without a filter that names states, memories of every state go.
        """
        check_scope(scope)
        check_filter(filter)
        anything = Where(Field.STATE, Comparison.IN, tuple(State))
        return self._erase([cube.id for cube in self._each(scope, filter or anything)])

    def _remember(
        self,
        turns: Sequence[Turn],
        origin: Origin,
        *,
        said_now: datetime | None = None,
        whole_source: bool = False,
        by_source: bool = False,
        ends: datetime | None = None,
        progress: Progress | None = None,
    ) -> Receipt:
        planned = self._planned(
            turns, origin, said_now=said_now, whole_source=whole_source, by_source=by_source, ends=ends
        )
        receipt = Receipt((), (), self.vault.store.sequence())
        size = self.settings.batch_size if whole_source else max(len(planned), 1)  # one add is one transaction
        for start in range(0, len(planned), size):
            batch = planned[start : start + size]
            part = self._write(self._ops(batch), jobs=self._slow_work(origin.scope))
            receipt = _merge(receipt, batch, part)
            if progress:
                progress(start + len(batch), len(planned))
        self._extract(origin.scope)
        return receipt

    def _planned(
        self,
        turns: Sequence[Turn],
        origin: Origin,
        *,
        said_now: datetime | None = None,
        whole_source: bool = False,
        by_source: bool = False,
        ends: datetime | None = None,
    ) -> list[Planned]:
        """Return what is to be done with each turn."""
        for turn in turns:
            self._checked_text(turn.content)
        now = self._clock()
        planned = plan(turns, origin, self.vault.store, self._new_id, now, whole_source=whole_source)
        if said_now is not None:  # after planning: the same words at another moment are the same memory
            planned = [_said_at(item, said_now) for item in planned]
        if by_source:
            planned = [_as(item, believing.believed) for item in planned]
        if ends is not None:
            life: dict[str, Any] = {"expires_at": ends}
            planned = [_as(item, lambda c: replace(c, lifecycle=replace(c.lifecycle, **life))) for item in planned]
        return planned

    def _extract(self, scope: Scope) -> None:
        """Find at once what new turns say, if the settings want that."""
        if self.settings.extract != "off" and self.settings.background == "off":
            self.enrich(scope, extractor=self.settings.extract)

    def _slow_work(self, scope: Scope) -> list[NewJob]:
        """Return what is to be done about new memories of a scope in the background."""
        how = self.settings.extract
        if how == "off" or self.settings.background == "off":
            return []
        return [NewJob("enrich", scope, {"extractor": how}, key=how)]


@dataclass(frozen=True, slots=True)
class _Batch:
    """What a file comes to, in part: written in one transaction.

    new      what of it is not known already, and its keys
    last     whether nothing of the file follows
    refused  why nothing of it is taken
    """

    path: Path
    planned: Sequence[Planned]
    new: Sequence[tuple[MemCube, bytes]]
    last: bool
    refused: AnamnosError | None = None


def _words_of(batch: _Batch) -> list[Words]:
    return [words_of(cube) for cube, _ in batch.new]


def _read(
    path: Path, scope: Scope, reader: str | None, tags: tuple[str, ...], source: str | None = None
) -> tuple[list[Turn], Origin]:
    """Return the turns of a file and where they come from."""
    name, turns = read_source(path, reader=reader)
    return turns, Origin(scope, source or str(path.absolute()), f"{name}/1", tags)


def _said_at(item: Planned, now: datetime) -> Planned:
    return _as(item, lambda cube: replace(cube, time=replace(cube.time, created_at=now)))


def _as(item: Planned, made: Callable[[MemCube], MemCube]) -> Planned:
    """Return a planned memory as ``made`` makes it, if it is a new one."""
    return item if item.cube is None or item.cube.version > 1 else replace(item, cube=made(item.cube))


def _merge(so_far: Receipt, planned: Sequence[Planned], part: Receipt) -> Receipt:
    """Return the receipt with one batch more: what was known already and what was written, in the input's order."""
    written = iter(zip(part.ids, part.outcomes, strict=True))
    pairs: list[tuple[CubeId, Outcome]] = [
        (item.known, "unchanged") if item.known is not None else next(written) for item in planned
    ]
    return Receipt(so_far.ids + tuple(i for i, _ in pairs), so_far.outcomes + tuple(o for _, o in pairs), part.sequence)
