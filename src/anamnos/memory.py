"""The face of Anamnos: ``Memory`` and its verbs, and ``AsyncMemory``, the same verbs to be awaited.

>>> with Memory("my-vault", embedder="hashing") as memory:  # doctest: +SKIP
...     memory.add("The spare key is under the blue pot.", Scope(user="ann"))
...     memory.search("where is the key?", Scope(user="ann"))[0].content
'The spare key is under the blue pot.'
"""

from __future__ import annotations

import asyncio
import builtins
import functools
import json
import math
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import numpy as np

from anamnos.config import Settings, default_vault, load_settings
from anamnos.cube import (
    Clock,
    CubeId,
    IdSource,
    MemCube,
    Role,
    Scope,
    State,
    Substrate,
    check_id,
    check_text,
    check_time,
    check_version,
    freeze_json,
    thaw_json,
    to_iso,
    utc_now,
    uuid7_source,
)
from anamnos.embed import resolve_embedder, spec_of
from anamnos.embed.base import Embedder, Vectors, gives_tokens
from anamnos.errors import ConfigError, InvalidInput, LimitExceeded, NotFound, StoreError
from anamnos.index.terms import TERMS_VERSION, TermReader, searchable_text
from anamnos.ingest.plan import CORRECTED, Origin, Planned, key_of_next, plan
from anamnos.ingest.readers import read_source
from anamnos.ingest.readers.base import Turn
from anamnos.ingest.readers.messages import turns_from_messages
from anamnos.llm import resolve_llm
from anamnos.llm.base import estimate_tokens
from anamnos.recall.analyse import Cue, analyse
from anamnos.recall.answer import Answer, answer
from anamnos.recall.calibrate import Calibration, calibrate, with_weights
from anamnos.recall.evidence import Sentence, ranked_sentences
from anamnos.recall.pack import CountTokens, pack
from anamnos.recall.rerank import Reranker, rerankers
from anamnos.recall.search import Explanation, Recaller
from anamnos.recipes import RECIPES, Recipe
from anamnos.store.apply import apply
from anamnos.store.base import EmbedderInfo, Store, held_at
from anamnos.system import lifecycle
from anamnos.system import migrate as migration
from anamnos.system.exchange import Exported, read_export, write_export
from anamnos.system.reembed import embedded, reembed
from anamnos.system.vault import Vault
from anamnos.types import (
    Comparison,
    Derived,
    Field,
    Filter,
    Hit,
    Hits,
    Op,
    OpKind,
    Outcome,
    PackedContext,
    Receipt,
    Vector,
    Where,
)

P = ParamSpec("P")
R = TypeVar("R")
Message = Mapping[str, Any]
Progress = Callable[[int, int], None]
"""Called with (done, total) as long work goes on."""

MAX_TOP_K = 10_000
MAX_QUERY_CHARS = 100_000


class Memory:
    """A vault, opened.

    vault     its folder; made if it is not there. None: ``ANAMNOS_VAULT``, else a folder of the user's data
    embedder  an Embedder, or a name as in ``Settings.embedder``; None: what the settings say
    settings  any field of ``Settings``, which goes before the environment and the vault's file
    clock, new_id  where times and ids come from; given ones make everything repeatable
    store     another engine for the truth than the vault's SQLite file
    Raises: ConfigError if the embedder is not the one that the vault was written with; StoreError and its kinds.

    Thread-safe; any number of processes may open one vault. Every verb takes the scope that it works in.
    """

    def __init__(
        self,
        vault: str | Path | None = None,
        *,
        embedder: Embedder | str | None = None,
        clock: Clock = utc_now,
        new_id: IdSource | None = None,
        store: Store | None = None,
        **settings: Any,
    ) -> None:
        folder = Path(vault) if vault is not None else default_vault()
        named = embedder if isinstance(embedder, str) else None
        self.settings: Settings = load_settings(folder, {**settings, "embedder": named})
        if self.settings.recipe not in RECIPES:
            raise ConfigError(f"There is no recipe {self.settings.recipe!r}.", hint=f"Use: {', '.join(RECIPES)}.")
        if self.settings.extract not in ("off", "rules", "llm"):
            raise ConfigError(f"There is no extractor {self.settings.extract!r}.", hint="Use: off, rules, llm.")
        if self.settings.extract == "llm" and resolve_llm(self.settings) is None:
            raise ConfigError("extract is llm, but there is no language model.", hint="Set ANAMNOS_LLM_URL.")
        self._clock = clock
        self._new_id = new_id or uuid7_source()
        self._reader = TermReader()
        self.vault = Vault(folder, store=store, busy_timeout_s=self.settings.busy_timeout_s).open()
        try:
            self._use(self._resolve(None if isinstance(embedder, str) else embedder))
            self._keep_terms_current()
        except BaseException:
            self.vault.close()
            raise

    def close(self) -> None:
        """Let go of the vault. Whatever was acknowledged is safe without it."""
        self._index.close()
        self.vault.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # --- writing

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
        trust: float = 1.0,
    ) -> Receipt:
        """Remember a text, a message or a list of messages, durably, and return the receipt.

        content     a text; or messages: dicts with ``role`` and ``content``, and, if known, ``name``, ``id``,
                    ``session``, ``created_at``
        role        what a text is for; note by default. Messages are turns
        created_at  when a text was said or written; the present by default. Messages bring their own times, and
                    where they have none, theirs stays unknown
        source      where it came from; with the ids of messages it makes a repeated or edited message known
        Adding the same twice adds nothing and gives the known id. Give messages an id or a time if it matters that
        the same words were said twice.
        Raises: InvalidInput, LimitExceeded (a text above ``max_text_chars``); then nothing has changed.
        """
        _check_scope(scope)
        if isinstance(content, str):
            said_at = check_time("created_at", created_at) if created_at is not None else None
            turns = [Turn(content, said_at=said_at, role=_role(role) if role else Role.NOTE)]
        else:
            if role is not None or created_at is not None:
                raise InvalidInput("role and created_at are for a text; messages bring their own.")
            messages = [content] if isinstance(content, Mapping) else content
            turns = turns_from_messages(messages, where="the messages")
            if not turns:
                raise InvalidInput("There is no message with any text to remember.")
        origin = Origin(scope, source, None, _labels(tags), importance, trust)
        now_for = self._clock() if isinstance(content, str) and created_at is None else None
        return self._remember(turns, origin, said_now=now_for)

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
        _check_scope(scope)
        path = Path(path)
        name, turns = read_source(path, reader=reader)
        operator = f"{name}/1"
        origin = Origin(scope, source or str(path.absolute()), operator, _labels(tags))
        return self._remember(turns, origin, whole_source=True, progress=progress)

    def enrich(self, scope: Scope, *, extractor: str = "rules", progress: Progress | None = None) -> Receipt:
        """Find what the turns and notes of a scope say (facts, preferences, names, times) and remember it beside them.

        extractor  ``rules``, or ``llm`` for the language model of the settings; where that fails, the rules do its
                   work, and the reason is on the memory (``annotations.data["extract"]``)
        progress   counts turns
        Each memory that is made has role fact, stands on one turn (``derived_from``) and goes with it. What was read is
        not read again; an edited turn is, and what its old words gave is erased. Receipt: what was added and deleted.
        Raises: ConfigError if there is no such extractor, or no language model.
        """
        _check_scope(scope)
        from anamnos.ingest import enrich  # many patterns, which take a while to compile
        from anamnos.ingest.extract import resolve_extractor

        found = resolve_extractor(extractor, self._reader, resolve_llm(self.settings))
        store = self.vault.store
        sequence = store.sequence()
        turns = enrich.unread(store, scope, found.operator)
        done: builtins.list[tuple[CubeId, Outcome]] = []
        read = 0
        for batch in enrich.sessions(turns, self.settings.batch_size):
            before = enrich.derived_of(store, scope, batch)
            new = [cube for cube in batch if not enrich.is_read(cube, before.get(cube.id, ()), found.operator)]
            planned = enrich.plan_derived(found.extract(new), new, found.operator, self._new_id, self._clock())
            known = store.find(item.key for item in planned)
            receipt = self._write(self._ops([item for item in planned if item.key not in known]))
            kept = {*receipt.ids, *known.values()}
            gone = [cube_id for cube in new for cube_id in enrich.stale(before.get(cube.id, ()), kept)]
            done += zip(receipt.ids, receipt.outcomes, strict=True)
            if gone:
                erased = self._erase(gone)
                done += zip(erased.ids, erased.outcomes, strict=True)
            read += len(batch)
            if progress:
                progress(read, len(turns))
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
        data: Mapping[str, Any] | None = None,
        expected_version: int | None = None,
    ) -> Receipt:
        """Write the next version of a memory; what is not given stays. The older one remains in ``history``.

        data              merged into ``annotations.data`` key by key; a None removes the key
        expected_version  if given and not the current one: Conflict, and nothing has changed
        Raises: NotFound, Conflict, AccessDenied (frozen), InvalidInput.
        """
        current = self.get(cube_id, scope)
        if expected_version is not None:
            check_version("expected_version", expected_version)
            current = replace(current, version=expected_version)
        changes: dict[str, Any] = {}
        if content is not None and self._checked_text(content) != current.content:
            changes["content"] = content
            changes["provenance"] = replace(current.provenance, operator=CORRECTED)
        notes = current.annotations
        if tags is not None:
            notes = replace(notes, tags=_labels(tags))
        if data is not None:
            merged = {**thaw_json(notes.data), **thaw_json(freeze_json("data", data))}
            notes = replace(notes, data={name: value for name, value in merged.items() if value is not None})
        if importance is not None:
            changes["lifecycle"] = replace(current.lifecycle, importance=importance)
        time = replace(current.time, recorded_at=None, superseded_at=None)
        time = replace(time, **{n: t for n, t in (("valid_from", valid_from), ("valid_to", valid_to)) if t})
        cube = current.next_version(annotations=notes, time=time, **changes)
        return self._write(self._ops([Planned(key_of_next(cube, self.vault.store), cube=cube)]))

    def freeze(self, ids: str | Iterable[str], scope: Scope) -> Receipt:
        """Put memories under a legal hold: they are found and read as before, but nothing changes or deletes them.

        Raises: NotFound if one of them is not in the scope; then nothing has changed. So do the verbs below.
        """
        return self._move(ids, scope, State.FROZEN)

    def unfreeze(self, ids: str | Iterable[str], scope: Scope) -> Receipt:
        """Lift the hold: frozen memories are in the state again that they were in before."""
        cubes = self._named_cubes(ids, scope)
        lifted = [lifecycle.lifted(cube, self.vault.store.history(cube.id)) for cube in cubes]
        return self._write([_transition(cube) for cube in lifted])

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
            cubes = list(self._each(scope, anything)) if id is None else [self.get(id, scope)]
            pairs = [(cube, lifecycle.believed_at(self.vault.store.history(cube.id), moment)) for cube in cubes]
        else:
            pairs = [(self.get(str(id), scope), self.get(str(id), scope, version=version))]
        back = [new for cube, old in pairs if (new := lifecycle.rolled_back(cube, old)) is not None]
        before = {cube.id: cube for cube, _ in pairs}
        said = [cube for cube in back if cube.content != before[cube.id].content]
        ops = self._ops([Planned(key_of_next(cube, self.vault.store), cube=cube) for cube in said])
        return self._write([*ops, *(_transition(cube) for cube in back if cube not in said)])

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
        target = _substrate(to)
        cubes = self._named_cubes(ids, scope)
        for cube in cubes:
            migration.check_path(cube.substrate, target)
        said = {check_id("words", cube_id): self._checked_text(text) for cube_id, text in (words or {}).items()}
        now = self._clock()
        moved = [
            new
            for cube in cubes
            for new in migration.text_to_text([cube], cube.role if role is None else _role(role), said, now)
        ]
        return self._write(self._ops([Planned(key_of_next(cube, self.vault.store), cube=cube) for cube in moved]))

    def migrate_back(self, cube_id: str, scope: Scope) -> Receipt:
        """Undo the last migration of a memory, in a new version. Raises: NotFound; Conflict if there was none."""
        cube = self.get(cube_id, scope)
        return self.rollback(scope, id=cube.id, version=migration.version_before(cube))

    def advise(self, scope: Scope) -> builtins.list[migration.Advice]:
        """Return which memories would serve better in another substrate, and why. Changes nothing."""
        _check_scope(scope)
        return migration.advise(self._each(scope, None), self._clock(), estimate_tokens)

    def delete(self, ids: str | Iterable[str], scope: Scope) -> Receipt:
        """Erase memories, all their versions and all that was derived from them, from every file of the vault.

        Raises: NotFound if one of them is not in the scope; then none is deleted.
        """
        return self._erase([cube.id for cube in self._named_cubes(ids, scope)])

    def delete_all(self, scope: Scope, *, filter: Filter | None = None) -> Receipt:
        """Erase every memory that ``scope`` covers and ``filter`` passes, as ``delete`` does.

        Without a filter that names states, memories of every state go.
        """
        _check_scope(scope)
        _check_filter(filter)
        anything = Where(Field.STATE, Comparison.IN, tuple(State))
        return self._erase([cube.id for cube in self._each(scope, filter or anything)])

    # --- reading

    def search(
        self,
        query: str,
        scope: Scope,
        *,
        top_k: int = 10,
        filter: Filter | None = None,
        vector: Vector | None = None,
        as_of: datetime | None = None,
        asked_at: datetime | None = None,
        rerank: Sequence[Reranker] | None = None,
    ) -> Hits:
        """Return the memories of a scope that answer ``query`` best, best first, and how sure it is that they do.

        The result is a list of ``Hit`` with a ``confidence`` in [0, 1] that the memory holds the answer at all.

        top_k   exactly so many, if the scope (and the filter) has so many
        filter  which may be returned; make one with ``anamnos.where(role=…, tags=…, since=…)``
        vector  the query's embedding, if it is known: (dim,) float32 of norm 1
        as_of   search what was remembered then and true then: each memory in its version of that moment, without those
                that had not begun or had ceased to be true (``valid_from``, ``valid_to``). A time to come is taken as
                the present; what was deleted since is gone from the past too
        asked_at  when it is asked, with a zone: "yesterday" is the day before. None: when the newest memory was said
        rerank  what to put the hits in a better order with, one after the other; None: as the settings say
        Raises: InvalidInput for an empty or too long query, a bad top_k, a vector that does not fit, a naive as_of.
        """
        _check_scope(scope)
        _check_filter(filter)
        if not check_text("query", query, max_chars=MAX_QUERY_CHARS).strip():
            raise InvalidInput("The query is empty.", hint="Say what to look for, or use list.")
        if isinstance(top_k, bool) or not isinstance(top_k, int) or not 1 <= top_k <= MAX_TOP_K:
            raise InvalidInput(f"top_k must be a whole number from 1 to {MAX_TOP_K:,}, got {top_k!r}.")
        if vector is not None:
            vector = self._checked_vector(vector)
        as_of = self._past(as_of)
        asked_at = None if asked_at is None else check_time("asked_at", asked_at)
        steps = self._rerankers if rerank is None else rerank
        depth = max([top_k, *(step.depth for step in steps)])
        found = self._recaller.search(
            query, scope, top_k=depth, filter=filter, vector=vector, as_of=as_of, asked_at=asked_at
        )
        hits: builtins.list[Hit] = found
        for step in steps:
            considered = hits if step.depth else hits[:top_k]
            hits = step.rerank(query, considered, self._vectors_of)
        return Hits(hits[:top_k], found.confidence)

    def explain(
        self,
        query: str,
        scope: Scope,
        *,
        top_k: int = 10,
        filter: Filter | None = None,
        asked_at: datetime | None = None,
    ) -> Explanation:
        """Return what ``search`` finds and how it comes to it: the cue as understood, the recipe, each channel's part.

        Raises: as ``search``.
        """
        hits = self.search(query, scope, top_k=top_k, filter=filter, asked_at=asked_at)
        cue = self._recaller.cue(query, self._recaller.space(scope), scope, asked_at)
        return Explanation(cue, self._recaller.served(words=gives_tokens(self.embedder)), hits)

    def calibrate(
        self, questions: Iterable[tuple[str, Sequence[str]]], scope: Scope, *, adopt: bool = True
    ) -> Calibration:
        """Fit the weights of the recipe to questions whose answers are known, and use them from now on if that helps.

        questions  (question, ids of the memories or of the messages that answer it)
        adopt      False: only look
        They are used if recall@10 rises by more than twice its standard error, each question being scored with weights
        fitted on others; then they hold for the whole vault, until the next call. A search of another embedder or
        recipe knows nothing of them. Raises: InvalidInput for fewer than 20 questions, or for an unknown answer.
        """
        _check_scope(scope)
        known: dict[str, CubeId] = {}
        for cube in self._each(scope, None):
            known |= dict.fromkeys((*cube.provenance.message_ids, cube.id), cube.id)
        asked = []
        for text, answers in questions:
            if missing := [name for name in answers if name not in known]:
                raise InvalidInput(
                    f"There is no memory and no message {missing[0]!r} in the scope {scope}.",
                    hint=f"It is given as an answer to {text!r}.",
                )
            ids = [known[name] for name in answers]
            asked.append(self._recaller.labelled(check_text("question", text), scope, ids))
        recipe = self._recaller.served(words=gives_tokens(self.embedder))
        result = calibrate([one for one in asked if one is not None], RECIPES[recipe.name])
        if adopt:
            weights = json.dumps(dict(result.weights) if result.adopted else {})
            self.vault.store.set_setting(_weights_of(recipe, self._info), weights)
            self._use(self.embedder)
        return result

    def answer_context(
        self,
        question: str,
        scope: Scope,
        *,
        token_budget: int = 2_000,
        top_k: int = 25,
        filter: Filter | None = None,
        as_of: datetime | None = None,
        count_tokens: CountTokens = estimate_tokens,
    ) -> PackedContext:
        """Return what a prompt needs to answer ``question``: the best memories with their neighbours, in order of
        time, dated and cited, in at most ``token_budget`` tokens.

        as_of         as in ``search``
        count_tokens  how long a text is for the model that will read it; an estimate by default. See
                      ``anamnos.recall.pack.tokenizer_counter``
        Raises: as ``search``; InvalidInput for a budget below 1.
        """
        return self._evidence(question, scope, None, token_budget, top_k, filter, count_tokens, as_of)[1]

    def ask(
        self,
        question: str,
        scope: Scope,
        *,
        asked_at: datetime | None = None,
        token_budget: int = 2_000,
        top_k: int = 25,
        filter: Filter | None = None,
        as_of: datetime | None = None,
        count_tokens: CountTokens = estimate_tokens,
    ) -> Answer:
        """Return the answer to ``question`` with the memories that it rests on, or that it is not in memory.

        With a language model in the settings (``llm_url``) that model words it, and may say only what it can cite;
        without one, or if it fails, the answer is taken from the best sentences: word for word, a date, a number or
        a list.

        asked_at  when it was asked, with a zone; None: when the newest memory was said
        as_of     as in ``search``: the answer of then
        Raises: as ``answer_context``.
        """
        if asked_at is not None:
            asked_at = check_time("asked_at", asked_at)
        cue, context, ranked = self._evidence(
            question, scope, asked_at, token_budget, top_k, filter, count_tokens, as_of
        )
        return answer(cue, ranked, context, resolve_llm(self.settings), asked_at=asked_at)

    def get(self, cube_id: str, scope: Scope, *, version: int | None = None, as_of: datetime | None = None) -> MemCube:
        """Return a memory, its current version by default. Raises: NotFound if it is not in the scope.

        as_of  as in ``search``; instead of a version
        """
        _check_scope(scope)
        if version is not None:
            check_version("version", version)
            if as_of is not None:
                raise InvalidInput("version and as_of both say which version is wanted.", hint="Give one of them.")
        cube = self.vault.store.get(check_id("id", cube_id), version)
        if cube is not None and (moment := self._past(as_of)) is not None:
            then = (each for each in self.vault.store.history(cube.id) if held_at(each, moment))
            cube = next(then, None)
        if cube is None or not scope.covers(cube.scope):
            what = f"memory {cube_id}" + (f" version {version}" if version is not None else "")
            when = f" as of {to_iso(as_of)}" if as_of is not None else ""
            raise NotFound(f"There is no {what} in the scope {scope}{when}.")
        return cube

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
        _check_scope(scope)
        _check_filter(filter)
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
            raise InvalidInput(f"limit must be a whole number >= 1 or None, got {limit!r}.")
        behind = None if after is None else check_id("after", after)
        return self.vault.store.list(scope, filter, after=behind, limit=limit, as_of=self._past(as_of))

    def history(self, cube_id: str, scope: Scope) -> builtins.list[MemCube]:
        """Return all versions of a memory, oldest first. Raises: NotFound if it is not in the scope."""
        self.get(cube_id, scope)
        return self.vault.store.history(check_id("id", cube_id))

    def stats(self, scope: Scope | None = None) -> dict[str, Any]:
        """Return how much is remembered (by role and state), with what, and how many bytes each part takes."""
        store = self.vault.store
        tally = store.tally(scope)
        roles, states = Counter[str](), Counter[str]()
        for (role, state), number in tally.items():
            roles[role] += number
            states[state] += number
        return {
            "memories": sum(tally.values()),
            "roles": dict(sorted(roles.items())),
            "states": dict(sorted(states.items())),
            "scopes": len([s for s in store.scopes() if scope is None or scope.covers(s)]),
            "sequence": store.sequence(),
            "embedder": {"id": self._info.id, "dim": self._info.dim},
            "recipe": self.settings.recipe,
            "vault": str(self.vault.folder),
            "bytes": self.vault.sizes(),
        }

    # --- moving and keeping

    def export(self, path: str | Path, scope: Scope | None = None) -> int:
        """Write every version of every memory of a scope (None: of all) to a JSON Lines file; return how many.

        The file must not be there. Its format: docs/formats/export.md.
        """
        return write_export(Path(path), self.vault.store, scope, self._info, self._clock())

    def import_(self, path: str | Path, *, progress: Progress | None = None) -> Receipt:
        """Read what ``export`` wrote, all or nothing; what is there already stays as it is.

        Vectors of another embedder are made anew. Raises: InvalidInput if the file is damaged or cut off, Conflict
        if a version is there with other content; then nothing has changed.
        """
        items = read_export(Path(path), self._info)
        keys = self._keys_to_import(items)
        ops = []
        for start in range(0, len(items), self.settings.batch_size):
            batch = items[start : start + self.settings.batch_size]
            bare = [item.cube for item in batch if item.vector is None and item.is_text]
            fresh = zip(*embedded(self.embedder, bare, self._reader), strict=True)
            for item in batch:
                derived = None
                if item.is_text:
                    vector, tokens = next(fresh) if item.vector is None else (item.vector, item.tokens)
                    terms = self._reader.terms(searchable_text(item.cube))
                    derived = Derived(terms, self._checked_vector(vector), self._info.id, tokens)
                key = keys[item.cube.id, item.cube.version]
                ops.append(Op(OpKind.RESTORE, cube=item.cube, derived=derived, key=key))
            if progress:
                progress(min(start + len(batch), len(items)), len(items))
        return self._write(ops)

    def backup(self, folder: str | Path) -> None:
        """Copy the vault to a new folder, consistently, while others read and write."""
        self.vault.backup(Path(folder))

    def verify(self) -> builtins.list[str]:
        """Return what is wrong in the vault (store, index, blobs), one sentence each; empty if all agree."""
        self.vault.store.scrub()
        return [*self.vault.store.verify(), *self._index.verify(), *self.vault.verify_blobs()]

    def rebuild_index(self) -> None:
        """Make everything derived again from the texts: index terms, missing vectors, the vector index."""
        self._rederive_terms()
        reembed(self.vault.store, self.embedder, self._info, self._reader, batch_size=self.settings.batch_size)
        self._index.rebuild()
        self._recaller.forget_spaces()

    def reembed(self, embedder: Embedder | str, *, progress: Progress | None = None) -> None:
        """Change the vault's embedder: embed every text anew, then switch at once.

        A stop in the middle loses nothing: the old vectors serve until the switch, and the next run goes on from
        where this one was. Other processes that have the vault open must open it again after the switch.
        """
        named = embedder if isinstance(embedder, str) else None
        new = self._named(embedder) if isinstance(embedder, str) else embedder
        info = EmbedderInfo(new.id, new.dim)
        if name := named or spec_of(new):  # before the switch: a kill between the two must not leave a wrong name
            self.vault.store.set_setting(f"embedder:{info.id}", name)
        size = self.settings.batch_size
        reembed(self.vault.store, new, info, self._reader, batch_size=size, progress=progress, switch=True)
        self._index.close()
        self._use(new)
        self.vault.drop_other_indexes(self._index)

    # --- inside

    def _evidence(
        self,
        question: str,
        scope: Scope,
        asked_at: datetime | None,
        token_budget: int,
        top_k: int,
        filter: Filter | None,
        count_tokens: CountTokens,
        as_of: datetime | None = None,
    ) -> tuple[Cue, PackedContext, builtins.list[Sentence]]:
        """Return the cue of a question, its packed context, and the sentences of its hits, best first."""
        if isinstance(token_budget, bool) or not isinstance(token_budget, int) or token_budget < 1:
            raise InvalidInput(f"token_budget must be a whole number >= 1, got {token_budget!r}.")
        as_of = self._past(as_of)
        hits = self.search(question, scope, top_k=top_k, filter=filter, as_of=as_of, asked_at=asked_at)
        space = self._recaller.space(scope, as_of=as_of)
        with space.lock:
            cue = analyse(question, space, scope, self._reader, asked_at=asked_at)
        ranked = ranked_sentences(cue, hits, self.embedder, self._reader)
        context = pack(
            hits,
            lambda hit: self._recaller.neighbours(hit, as_of),
            self._version_before,
            token_budget=token_budget,
            evidence=ranked[0].text if ranked else "",
            count_tokens=count_tokens,
        )
        return cue, context, ranked

    def _named_cubes(self, ids: str | Iterable[str], scope: Scope) -> builtins.list[MemCube]:
        if not isinstance(ids, Iterable):
            raise InvalidInput(f"ids must be a memory id or a list of them, got {type(ids).__name__}.")
        return [self.get(cube_id, scope) for cube_id in dict.fromkeys([ids] if isinstance(ids, str) else ids)]

    def _move(self, ids: str | Iterable[str], scope: Scope, state: State) -> Receipt:
        """Bring memories into a state; those that are in it already stay as they are."""
        return self._write([_transition(lifecycle.moved(cube, state)) for cube in self._named_cubes(ids, scope)])

    def _past(self, as_of: datetime | None) -> datetime | None:
        """Return the moment that a read is as of, never one to come; None for the present versions."""
        return None if as_of is None else min(check_time("as_of", as_of), self._clock())

    def _vectors_of(self, hits: Sequence[Hit]) -> Vectors:
        rows = self.vault.store.rows_of((hit.id, hit.cube.version) for hit in hits)
        return self.vault.store.vectors(rows, self._info)

    def _version_before(self, cube: MemCube) -> MemCube | None:
        """Return the last version of a memory that said something else, if there is one."""
        if cube.version == 1:
            return None
        older = [v for v in self.vault.store.history(cube.id) if v.version < cube.version]
        return next((v for v in reversed(older) if v.content != cube.content), None)

    def _resolve(self, given: Embedder | None) -> Embedder:
        """Return the embedder to work with; refuse one that the vault's vectors are not of."""
        held, wanted = self.vault.store.embedder(), self.settings.embedder
        remembered = self.vault.store.setting(f"embedder:{held.id}") if held is not None else None
        name = remembered if wanted == "auto" and remembered else wanted
        embedder = given or self._named(name)
        if held is not None and held.id != embedder.id:
            raise ConfigError(
                f"This vault holds vectors of {held.id}, but the embedder is {embedder.id}: they cannot be compared.",
                hint="Leave the embedder out to use the vault's own, or change it for good with:"
                f" anamnos reembed --embedder {(given and spec_of(given)) or name}",
            )
        return embedder

    def _named(self, name: str) -> Embedder:
        folder = Path(self.settings.model_dir) if self.settings.model_dir else None
        return resolve_embedder(name, model_dir=folder, api_key=self.settings.embedder_api_key or None)

    def _use(self, embedder: Embedder) -> None:
        self.embedder = embedder
        held = self.vault.store.embedder()
        self._info = held if held is not None and held.id == embedder.id else EmbedderInfo(embedder.id, embedder.dim)
        self._index = self.vault.index(self._info)
        recipe = self._weighted(RECIPES[self.settings.recipe])
        if recipe.otherwise is not None:
            recipe = replace(recipe, otherwise=self._weighted(recipe.otherwise))
        self._recaller = Recaller(self.vault.store, self._index, embedder, self._reader, recipe)
        self._rerankers = rerankers(self.settings.reranker, self._reader)

    def _weighted(self, recipe: Recipe) -> Recipe:
        """Return a recipe with the weights that ``calibrate`` found, if there are such."""
        found = self.vault.store.setting(_weights_of(recipe, self._info))
        return with_weights(recipe, json.loads(found)) if found else recipe

    def _keep_terms_current(self) -> None:
        known = self.vault.store.setting("terms")
        if known not in (None, TERMS_VERSION):
            self._rederive_terms()

    def _rederive_terms(self) -> None:
        for cubes in self._every_version():
            terms = {row: self._reader.terms(searchable_text(cube)).astype("<u4").tobytes() for row, cube in cubes}
            self.vault.store.put_terms(terms)
        self.vault.store.set_setting("terms", TERMS_VERSION)

    def _every_version(self) -> Iterator[builtins.list[tuple[int, MemCube]]]:
        nobody, last = EmbedderInfo("", 0), 0  # no row has a vector of no embedder, so every text comes
        while batch := self.vault.store.without_vector(nobody, after=last):
            yield batch
            last = batch[-1][0]

    def _each(self, scope: Scope, filter: Filter | None) -> Iterator[MemCube]:
        after = None
        while page := self.vault.store.list(scope, filter, after=after, limit=1_000):
            yield from page
            after = page[-1].id

    def _remember(
        self,
        turns: Sequence[Turn],
        origin: Origin,
        *,
        said_now: datetime | None = None,
        whole_source: bool = False,
        progress: Progress | None = None,
    ) -> Receipt:
        for turn in turns:
            self._checked_text(turn.content)
        now = self._clock()
        planned = plan(turns, origin, self.vault.store, self._new_id, now, whole_source=whole_source)
        if said_now is not None:  # after planning: the same words at another moment are the same memory
            planned = [_said_at(item, said_now) for item in planned]
        receipt = Receipt((), (), self.vault.store.sequence())
        size = self.settings.batch_size if whole_source else max(len(planned), 1)  # one add is one transaction
        for start in range(0, len(planned), size):
            batch = planned[start : start + size]
            part = self._write(self._ops(batch))
            receipt = _merge(receipt, batch, part)
            if progress:
                progress(start + len(batch), len(planned))
        if self.settings.extract != "off":
            self.enrich(origin.scope, extractor=self.settings.extract)
        return receipt

    def _ops(self, planned: Sequence[Planned]) -> builtins.list[Op]:
        """Return the operations for what is not known already, embedded in one go."""
        new = [(item.cube, item.key) for item in planned if item.cube is not None]
        vectors, tokens = embedded(self.embedder, [cube for cube, _ in new], self._reader)
        return [
            Op(
                OpKind.ADD if cube.version == 1 else OpKind.UPDATE,
                target=None if cube.version == 1 else cube.id,
                cube=cube,
                derived=Derived(
                    self._reader.terms(searchable_text(cube)), self._checked_vector(vector), self._info.id, own
                ),
                key=key,
            )
            for (cube, key), vector, own in zip(new, vectors, tokens, strict=True)
        ]

    def _write(self, ops: Sequence[Op]) -> Receipt:
        """Apply operations in one transaction and return their receipt."""
        store, done = self.vault.store, []
        if ops:
            if store.embedder() is None:
                self._register_embedder()
            with store.write() as tx:
                for op in ops:
                    done += apply(op, tx, now=self._clock())
            if len(ops) > 1:
                with suppress(StoreError):  # what is written is written; the next search says what is wrong
                    self._index.catch_up()  # so that the first search after a long ingest need not
        return Receipt(tuple(i for i, _ in done), tuple(o for _, o in done), store.sequence())

    def _register_embedder(self) -> None:
        """Make a new vault remember what it is written with."""
        self.vault.store.set_setting("terms", TERMS_VERSION)
        name = self.settings.embedder if self.settings.embedder != "auto" else spec_of(self.embedder)
        if name is not None:
            self.vault.store.set_setting(f"embedder:{self._info.id}", name)
        self.vault.store.use_embedder(self._info)  # last of all, so that a kill leaves nothing half done

    def _keys_to_import(self, items: Sequence[Exported]) -> dict[tuple[CubeId, int], bytes]:
        """Return the key of each version: a memory whose present words are known under another id is left out as a
        whole, by that key, and a past version never stands in for what another memory says now."""
        current = [item for item in items if item.key and item.cube.time.superseded_at is None]
        known = self.vault.store.find(item.key for item in current)
        twins = {item.cube.id: item.key for item in current if known.get(item.key, item.cube.id) != item.cube.id}
        said_now = {item.key: item.cube.id for item in current} | self.vault.store.find(i.key for i in items if i.key)
        return {
            (item.cube.id, item.cube.version): twins.get(
                item.cube.id, item.key if said_now.get(item.key, item.cube.id) == item.cube.id else b""
            )
            for item in items
        }

    def _erase(self, ids: Sequence[CubeId]) -> Receipt:
        store = self.vault.store
        done: dict[CubeId, Outcome] = {}
        blobs = False
        with store.write() as tx:
            for cube_id in ids:
                if cube_id in done:
                    continue  # derived from one that went before
                cube = tx.current(cube_id)
                blobs = blobs or (cube is not None and cube.substrate is not Substrate.TEXT)
                done.update(apply(Op(OpKind.DELETE, target=cube_id), tx, now=self._clock()))
        self._index.catch_up()
        if blobs:
            self.vault.drop_unused_blobs()
        clean = store.scrub()
        return Receipt(tuple(done), tuple(done.values()), store.sequence(), "erased" if clean else "erasing")

    def _checked_text(self, text: str) -> str:
        if not check_text("content", text).strip():
            raise InvalidInput("The content is empty.", hint="Give some text to remember.")
        limit = self.settings.max_text_chars
        if len(text) > limit:
            raise LimitExceeded(
                f"The content has {len(text):,} characters; one memory may have {limit:,}.",
                hint="Write it to a file and use ingest, which splits it, or raise max_text_chars.",
            )
        return text

    def _checked_vector(self, vector: Any) -> Vector:
        try:
            array = np.asarray(vector, dtype=np.float32)
        except (TypeError, ValueError) as exc:
            raise InvalidInput(f"The vector must be numbers: {exc}.") from exc
        if array.shape != (self._info.dim,):
            raise InvalidInput(f"The vector has shape {array.shape}; this vault needs ({self._info.dim},).")
        if not np.isfinite(array).all():
            raise InvalidInput("The vector holds NaN or infinite numbers.")
        norm = float(np.linalg.norm(array))
        if not math.isclose(norm, 1.0, abs_tol=1e-2):
            raise InvalidInput(f"The vector has norm {norm:.4f}; it must be 1.", hint="Divide it by its norm.")
        return array


def _transition(cube: MemCube) -> Op:
    return Op(OpKind.TRANSITION, target=cube.id, cube=cube)


def _weights_of(recipe: Recipe, info: EmbedderInfo) -> str:
    return f"weights:{recipe.name}:{info.id}"


def _check_scope(scope: object) -> None:
    if not isinstance(scope, Scope):
        raise InvalidInput(
            f"scope must be a Scope, got {type(scope).__name__}.", hint="For instance Scope(user='ann')."
        )


def _check_filter(filter: object) -> None:
    if filter is not None and not isinstance(filter, Filter):
        raise InvalidInput(
            f"filter must be a filter, got {type(filter).__name__}.",
            hint="Make one with anamnos.where(role='turn'), or with filter_from_dict from JSON.",
        )


def _role(role: Role | str) -> Role:
    try:
        return Role(role)
    except ValueError as exc:
        raise InvalidInput(f"role must be one of {', '.join(Role)}, got {role!r}.") from exc


def _substrate(to: Substrate | str) -> Substrate:
    try:
        return Substrate(to)
    except ValueError as exc:
        raise InvalidInput(f"to must be one of {', '.join(Substrate)}, got {to!r}.") from exc


def _labels(tags: Sequence[str]) -> tuple[str, ...]:
    if isinstance(tags, str) or not isinstance(tags, Iterable):
        raise InvalidInput(f"tags must be a list of labels, got {tags!r}.", hint="For instance ['work'].")
    return tuple(tags)


def _said_at(item: Planned, now: datetime) -> Planned:
    if item.cube is None or item.cube.version > 1:
        return item
    return replace(item, cube=replace(item.cube, time=replace(item.cube.time, created_at=now)))


def _merge(so_far: Receipt, planned: Sequence[Planned], part: Receipt) -> Receipt:
    """Return the receipt with one batch more: what was known already and what was written, in the input's order."""
    written = iter(zip(part.ids, part.outcomes, strict=True))
    pairs: builtins.list[tuple[CubeId, Outcome]] = [
        (item.known, "unchanged") if item.known is not None else next(written) for item in planned
    ]
    return Receipt(so_far.ids + tuple(i for i, _ in pairs), so_far.outcomes + tuple(o for _, o in pairs), part.sequence)


# --- the same, awaited -------------------------------------------------------------------------------------------


def _awaited(
    verb: Callable[Concatenate[Memory, P], R],
) -> Callable[Concatenate[AsyncMemory, P], Coroutine[Any, Any, R]]:
    async def call(self: AsyncMemory, /, *args: P.args, **kwargs: P.kwargs) -> R:
        loop = asyncio.get_running_loop()
        if self._closed:
            raise StoreError("The memory is closed.", hint="Open the vault again.")
        return await loop.run_in_executor(self._executor, functools.partial(verb, self.memory, *args, **kwargs))

    functools.update_wrapper(call, verb)
    return call


@dataclass
class AsyncMemory:
    """The verbs of ``Memory``, to be awaited; they run in a few threads that belong to this object.

    >>> async with AsyncMemory(Memory("my-vault")) as memory:  # doctest: +SKIP
    ...     await memory.add("The spare key is under the blue pot.", Scope(user="ann"))

    memory   opened; closed with this object
    threads  how many verbs may run at once
    """

    memory: Memory
    threads: int = 4
    _executor: ThreadPoolExecutor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._closed = False
        self._executor = ThreadPoolExecutor(self.threads, thread_name_prefix="anamnos")

    async def close(self) -> None:
        """Wait for the verbs in progress, then let go of the vault."""
        self._closed = True
        await asyncio.get_running_loop().run_in_executor(None, self._executor.shutdown)
        self.memory.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    add = _awaited(Memory.add)
    ingest = _awaited(Memory.ingest)
    update = _awaited(Memory.update)
    enrich = _awaited(Memory.enrich)
    freeze = _awaited(Memory.freeze)
    unfreeze = _awaited(Memory.unfreeze)
    archive = _awaited(Memory.archive)
    reactivate = _awaited(Memory.reactivate)
    used = _awaited(Memory.used)
    rollback = _awaited(Memory.rollback)
    migrate = _awaited(Memory.migrate)
    migrate_back = _awaited(Memory.migrate_back)
    advise = _awaited(Memory.advise)
    delete = _awaited(Memory.delete)
    delete_all = _awaited(Memory.delete_all)
    search = _awaited(Memory.search)
    explain = _awaited(Memory.explain)
    calibrate = _awaited(Memory.calibrate)
    answer_context = _awaited(Memory.answer_context)
    ask = _awaited(Memory.ask)
    get = _awaited(Memory.get)
    list = _awaited(Memory.list)
    history = _awaited(Memory.history)
    stats = _awaited(Memory.stats)
    export = _awaited(Memory.export)
    import_ = _awaited(Memory.import_)
    backup = _awaited(Memory.backup)
    verify = _awaited(Memory.verify)
    rebuild_index = _awaited(Memory.rebuild_index)
    reembed = _awaited(Memory.reembed)


__all__ = ["AsyncMemory", "Memory"]
