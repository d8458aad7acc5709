"""Mem0: its ``Memory``, ``AsyncMemory``, ``MemoryClient`` and ``AsyncMemoryClient``, over a vault.

``from anamnos.compat.mem0 import Memory`` in place of ``from mem0 import Memory`` is the whole change: arguments and
results have Mem0's names and shapes (those of mem0ai 2; ids and ``limit`` as of 1 are taken, too). ``user_id``,
``agent_id`` and ``run_id`` are the user, the agent and the session of the scope. Mem0 itself need not be installed.

What differs: no language model is asked, so each message is remembered as it was said, and what the setting ``extract``
finds beside it; what is added twice is one memory (``event`` NONE); system messages are passed over, since what stands
there was recalled, not said; a memory that is deleted has no history; ``reset`` wants to be told whose memories go.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from anamnos.compat.records import PRESENT, every, is_alive, now, record_of, remember, rewrite
from anamnos.cube import MemCube, Role, Scope, check_id, freeze_json, thaw_json, to_iso
from anamnos.errors import InvalidInput, NotFound
from anamnos.ingest.readers.base import Turn
from anamnos.ingest.readers.messages import turns_from_messages
from anamnos.memory import Memory as Vault
from anamnos.types import And, Comparison, Field, Filter, Hit, Where

SOURCE = "mem0"
IDS = ("user_id", "agent_id", "run_id")
_UNSET: Any = object()
_MAX_TOP_K = 10_000
_PROCEDURAL = "procedural_memory"
_ANY_STATE = Where(Field.STATE, Comparison.IN, (*PRESENT.value, "expired"))


class InvalidCall(InvalidInput, ValueError):
    """Mem0 raises ValueError for the same."""


class MissingMemory(NotFound, ValueError):
    """Mem0 raises ValueError for the same."""


class Memory:
    """Mem0's ``Memory``, over a vault of Anamnos.

    config  as Mem0's, of which only ``{"anamnos": {…}}`` is used: arguments of ``anamnos.Memory``, such as ``vault``
            and ``embedder``. A warning names parts that are not used
    memory  an opened ``anamnos.Memory`` instead; the caller closes it
    tenant  whose users, agents and runs the ids name
    """

    def __init__(self, config: Any = None, *, memory: Vault | None = None, tenant: str = "default") -> None:
        self.config = config
        self.tenant = tenant
        self._owns = memory is None
        self.memory = memory or Vault(**_opening(config))

    @classmethod
    def from_config(cls, config_dict: dict[str, Any]) -> Self:
        """Return the memory that a configuration asks for."""
        return cls(config_dict)

    def add(
        self,
        messages: str | Mapping[str, Any] | list[Any],
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        run_id: str | None = None,
        metadata: dict[str, Any] | None = None,
        timestamp: Any | None = None,
        expiration_date: Any | None = None,
        infer: bool = True,
        memory_type: str | None = None,
        prompt: str | None = None,
        llm: Any | None = None,
    ) -> dict[str, Any]:
        """Remember a text or messages, all or none, and return ``{"results": [{"id", "memory", "event", …}]}``.

        timestamp    when it was said: a datetime, ISO 8601, or seconds since 1970; the present by default
        memory_type  ``procedural_memory``: the messages are one memory of role procedure
        infer, prompt, llm  for a language model, which is not asked
        """
        scope = self._scope(user_id, agent_id, run_id)
        if memory_type not in (None, _PROCEDURAL):
            raise InvalidCall(f"Invalid memory_type {memory_type!r}.", hint=f"Only {_PROCEDURAL} is known.")
        last_day, said_at = _day(expiration_date), _moment(timestamp)
        record: dict[str, Any] = {"metadata": _own(metadata, IDS)}
        if last_day is not None:
            record["expiration_date"] = last_day
        freeze_json("metadata", record)
        turns = [
            replace(
                turn, said_at=turn.said_at or said_at, message_id=None, data={**record, **turn.data, **_id_of(turn)}
            )
            for turn in _turns(messages, memory_type)
        ]
        return {"results": self._remembered(turns, scope, _end_of(last_day)) if turns else []}

    def get(self, memory_id: str) -> dict[str, Any] | None:
        """Return a memory, None if there is none."""
        cube = self._find(memory_id)
        return None if cube is None else _shown(cube)

    def get_all(
        self, *, filters: dict[str, Any] | None = None, top_k: int = 20, show_expired: bool = False, **kwargs: Any
    ) -> dict[str, Any]:
        """Return ``{"results": […]}``: the memories of a user, an agent or a run, at most ``top_k``."""
        filters, top_k = _older(kwargs, filters, top_k, "get_all")
        cubes = [cube for cube in self._listed(filters, show_expired) if _passes(cube, _conditions(filters))]
        return {"results": [_shown(cube) for cube in cubes[:top_k]]}

    def search(
        self,
        query: str,
        *,
        top_k: int = 20,
        filters: dict[str, Any] | None = None,
        threshold: float = 0.1,
        rerank: bool = False,
        explain: bool = False,
        reference_date: Any | None = None,
        show_expired: bool = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Return ``{"results": […]}``, best first; ``score`` is the similarity, in [0, 1].

        filters         which user, agent or run, and conditions on metadata, as Mem0 has them
        threshold       the least score
        rerank          the setting ``reranker`` decides
        explain         adds ``score_details``: what each channel saw
        reference_date  when it is asked: "yesterday" is the day before
        """
        filters, top_k = _older(kwargs, filters, top_k, "search")
        least = 0.1 if threshold is None else threshold
        if isinstance(least, bool) or not isinstance(least, int | float) or not 0 <= least <= 1:
            raise InvalidCall(f"Invalid threshold: {threshold!r}. It must be between 0 and 1.")
        if not isinstance(query, str) or not query.strip():
            raise InvalidCall("Invalid query: it must be a text with words in it.")
        hits = [
            hit
            for hit in self._hits(query.strip(), filters, top_k, _moment(reference_date), show_expired)
            if hit.similarity >= least
        ]
        return {"results": [_found(hit, explain) for hit in hits[:top_k]]}

    def update(
        self,
        memory_id: str,
        text: str | None = None,
        metadata: dict[str, Any] | None = None,
        expiration_date: Any = _UNSET,
        data: str | None = None,
    ) -> dict[str, Any]:
        """Write the next version of a memory; what is not given stays, and metadata is merged. ``data`` is ``text``."""
        text = data if text is None else text
        if text is None and metadata is None and expiration_date is _UNSET:
            raise InvalidCall("At least one of text, metadata, or expiration_date must be provided.")
        cube = self._must_find(memory_id)
        record = record_of(cube)
        record["metadata"] = {**_metadata(record), **_own(metadata, (*IDS, "actor_id"))}
        ends = cube.lifecycle.expires_at
        if expiration_date is not _UNSET:
            record["expiration_date"] = _day(expiration_date)
            ends = _end_of(record["expiration_date"])
        rewrite(self.memory, cube, record, content=cube.text if text is None else text, expires_at=ends)
        return {"message": "Memory updated successfully!"}

    def delete(self, memory_id: str) -> dict[str, Any]:
        """Erase a memory from every file of the vault."""
        cube = self._must_find(memory_id)
        self.memory.delete(cube.id, cube.scope)
        return {"message": "Memory deleted successfully!"}

    def delete_all(
        self, user_id: str | None = None, agent_id: str | None = None, run_id: str | None = None
    ) -> dict[str, Any]:
        """Erase all memories of a user, an agent or a run. Refused if none is named."""
        named = {"user_id": user_id, "agent_id": agent_id, "run_id": run_id}
        if not any(named.values()):
            raise InvalidCall("Nothing is deleted: nobody is named whose memories go.", hint="Give user_id, for one.")
        for scope in self._scopes(named):
            self.memory.delete_all(scope)
        return {"message": "Memories deleted successfully!"}

    def history(self, memory_id: str) -> list[dict[str, Any]]:
        """Return what became of a memory, oldest first; [] if there is none, or none any more: erased is erased."""
        cube = self._find(memory_id)
        if cube is None:
            return []
        versions, told, before = self.memory.history(cube.id, cube.scope), [], None
        for version in versions:
            told.append(
                {
                    "id": f"{version.id}:{version.version}",
                    "memory_id": version.id,
                    "old_memory": before,
                    "new_memory": version.text,
                    "event": "UPDATE" if version.version > 1 else "ADD",
                    "created_at": to_iso(versions[0].time.created_at),
                    "updated_at": to_iso(version.time.recorded_at),
                    "is_deleted": False,
                    "actor_id": _actor(version),
                    "role": record_of(version).get("role"),
                }
            )
            before = version.text
        return told

    def reset(self, *, tenant: str | None = None) -> None:
        """Erase all memories of a tenant. Refused unless it is named: Mem0's own erases everything."""
        if tenant != self.tenant:
            raise InvalidCall(
                "Nothing is reset: it must be said whose memories go.",
                hint=f"Call reset(tenant={self.tenant!r}), or delete_all(user_id=…).",
            )
        for scope in self._scopes({}):
            self.memory.delete_all(scope)

    def close(self) -> None:
        """Let go of the vault, unless it was handed over."""
        if self._owns:
            self.memory.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # --- whose memories

    def _scope(self, user_id: Any, agent_id: Any, run_id: Any) -> Scope:
        named = [_entity(name, value) for name, value in zip(IDS, (user_id, agent_id, run_id), strict=True)]
        if not any(named):
            raise InvalidCall("At least one of 'user_id', 'agent_id', or 'run_id' must be provided.")
        return Scope(self.tenant, *named)

    def _scopes(self, filters: Mapping[str, Any] | None) -> list[Scope]:
        """Return the scopes that ids name, as Mem0 has it: what is not named is anything, users too."""
        wanted = [_entity(name, (filters or {}).get(name)) for name in IDS]
        return [
            scope
            for scope in self.memory.vault.store.scopes()
            if scope.tenant == self.tenant
            and all(w in (None, h) for w, h in zip(wanted, (scope.user, scope.agent, scope.session), strict=True))
        ]

    def _read_scopes(self, filters: Mapping[str, Any] | None) -> list[Scope]:
        if not any((filters or {}).get(name) for name in IDS):
            raise InvalidCall("filters must contain at least one of: user_id, agent_id, run_id.")
        return self._scopes(filters)

    # --- memories

    def _remembered(self, turns: list[Turn], scope: Scope, ends: datetime | None) -> list[dict[str, Any]]:
        """Remember turns, and return what became of each."""
        moment = now(self.memory)
        if any(turn.said_at for turn in turns):
            turns = [replace(turn, said_at=turn.said_at or moment) for turn in turns]
            done = remember(self.memory, turns, scope, source=SOURCE, expires_at=ends)
        else:
            done = remember(self.memory, turns, scope, source=SOURCE, expires_at=ends, said_now=moment)
        found = list(zip(done.ids, done.outcomes, strict=True))
        for place, ((cube_id, outcome), turn) in enumerate(zip(found, turns, strict=True)):
            if outcome == "added" or self._is_same(self.memory.get(cube_id, scope), turn, moment):
                continue
            # the same words with other metadata, which must not go
            other = replace(turn, said_at=turn.said_at or moment, message_id=uuid4().hex)
            again = remember(self.memory, [other], scope, source=SOURCE, expires_at=ends)
            found[place] = again.ids[0], again.outcomes[0]
        return [_event(cube_id, outcome, turn) for (cube_id, outcome), turn in zip(found, turns, strict=True)]

    def _is_same(self, cube: MemCube, turn: Turn, moment: datetime) -> bool:
        return record_of(cube) == thaw_json(turn.data) and is_alive(cube, moment)

    def _listed(self, filters: Mapping[str, Any] | None, show_expired: bool) -> list[MemCube]:
        """Return the texts of the scopes that ids name, in the order of their first writing."""
        cubes: dict[str, MemCube] = {}
        for scope in self._read_scopes(filters):
            found = (
                self.memory.list(scope, filter=_ANY_STATE, limit=None) if show_expired else every(self.memory, scope)
            )
            cubes |= {cube.id: cube for cube in found if cube.scope == scope and isinstance(cube.content, str)}
        return [cubes[name] for name in sorted(cubes)]

    def _find(self, memory_id: str) -> MemCube | None:
        try:
            cube = self.memory.vault.store.get(check_id("memory_id", memory_id))
            if cube is None or cube.scope.tenant != self.tenant or not isinstance(cube.content, str):
                return None
            return self.memory.get(cube.id, cube.scope)
        except (InvalidInput, NotFound):
            return None

    def _must_find(self, memory_id: str) -> MemCube:
        cube = self._find(memory_id)
        if cube is None:
            raise MissingMemory(f"Memory with id {memory_id} not found.", hint="Ids come from add, search and get_all.")
        return cube

    def _hits(
        self, query: str, filters: dict[str, Any] | None, top_k: int, asked_at: datetime | None, show_expired: bool
    ) -> list[Hit]:
        """Return the best hits of all scopes that the filters name and that pass them."""
        if top_k == 0:
            return []
        scopes, conditions = self._read_scopes(filters), _conditions(filters)
        hits: list[Hit] = []
        for around, exact in _together(scopes):
            hits += self._hits_in(query, around, exact, conditions, top_k, asked_at, show_expired)
        if len({scope.user for scope in scopes}) > 1:  # ranks of different searches cannot be compared
            hits.sort(key=lambda hit: hit.similarity, reverse=True)
        return hits[:top_k]

    def _hits_in(
        self,
        query: str,
        around: Scope,
        exact: set[Scope],
        conditions: Mapping[str, Any],
        top_k: int,
        asked_at: datetime | None,
        show_expired: bool,
    ) -> list[Hit]:
        depth, tree, moment = min(2 * top_k, _MAX_TOP_K), _ANY_STATE if show_expired else PRESENT, now(self.memory)
        while True:
            hits = self.memory.search(
                query, around, top_k=depth, filter=_within(tree, around, exact), asked_at=asked_at
            )
            kept = [
                hit
                for hit in hits
                if hit.cube.scope in exact
                and (show_expired or is_alive(hit.cube, moment))
                and _passes(hit.cube, conditions)
            ]
            if len(kept) >= top_k or len(hits) < depth or depth == _MAX_TOP_K:
                return kept
            depth = min(4 * depth, _MAX_TOP_K)


class MemoryClient(Memory):
    """Mem0's ``MemoryClient``, without its server: no key is needed and none is sent, ``host`` is not asked.

    Arguments may come as an options object too. Webhooks, projects and profiles of the hosted service are not there.
    """

    def __init__(
        self,
        api_key: str | None = None,
        host: str | None = None,
        client: Any = None,
        *,
        config: Any = None,
        memory: Vault | None = None,
        tenant: str = "default",
    ) -> None:
        super().__init__(config, memory=memory, tenant=tenant)

    def add(self, messages: Any, options: Any = None, **kwargs: Any) -> dict[str, Any]:
        """As ``Memory.add``."""
        return super().add(messages, **_options(options, kwargs, "app_id", "filters", "output_format", "version"))

    def get_all(self, options: Any = None, **kwargs: Any) -> dict[str, Any]:
        """Return ``{"count", "next", "previous", "results"}``: a page of the memories, of 100 unless told otherwise."""
        given = _options(options, kwargs, "output_format", "version")
        page, size = given.pop("page", 1), given.pop("page_size", given.pop("top_k", 100))
        for name, value in (("page", page), ("page_size", size)):
            _check_number(name, value)
        found = super().get_all(**{**given, "top_k": 2**31})["results"]
        last = page * size
        return {
            "count": len(found),
            "next": page + 1 if last < len(found) else None,
            "previous": page - 1 if page > 1 else None,
            "results": found[last - size : last],
        }

    def search(self, query: str, options: Any = None, **kwargs: Any) -> dict[str, Any]:
        """As ``Memory.search``; 10 results unless told otherwise, whatever their score."""
        given = {"top_k": 10, "threshold": 0.0, **_options(options, kwargs, "output_format", "version", "fields")}
        return super().search(query, **given)

    def update(self, memory_id: str, options: Any = None, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """As ``Memory.update``; returns the memory."""
        super().update(memory_id, **_options(options, kwargs))
        return _shown(self._must_find(memory_id))

    def delete(self, memory_id: str, delete_linked: bool = False) -> dict[str, Any]:
        """As ``Memory.delete``; what was derived from the memory goes with it anyway."""
        return super().delete(memory_id)

    def delete_all(self, options: Any = None, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """As ``Memory.delete_all``."""
        return super().delete_all(**_options(options, kwargs))

    def batch_update(self, memories: list[dict[str, Any]]) -> dict[str, Any]:
        """Update memories ``{"memory_id", "text", "metadata"}``; all must be there, else nothing has changed."""
        for each in memories:
            self._must_find(each["memory_id"])
        for each in memories:
            super().update(**each)
        return {"message": f"Successfully updated {len(memories)} memories"}

    def batch_delete(self, memories: list[dict[str, Any]]) -> dict[str, Any]:
        """Erase memories ``{"memory_id"}``; all must be there, else nothing has changed."""
        doomed = [self._must_find(each["memory_id"]) for each in memories]
        for cube in doomed:
            self.memory.delete(cube.id, cube.scope)
        return {"message": f"Successfully deleted {len(memories)} memories"}

    def users(self) -> dict[str, Any]:
        """Return ``{"results": [{"type", "name", "total_memories"}]}`` of users, agents and runs."""
        counts: dict[tuple[str, str], int] = {}
        for scope in self._scopes({}):
            many = sum(cube.scope == scope for cube in every(self.memory, scope))
            for kind, name in (("user", scope.user), ("agent", scope.agent), ("run", scope.session)):
                if name is not None and many:
                    counts[kind, name] = counts.get((kind, name), 0) + many
        results = [{"type": kind, "name": name, "total_memories": many} for (kind, name), many in counts.items()]
        return {"count": len(results), "results": results}


# --- the same, awaited


def _awaited(verb: Callable[..., Any]) -> Callable[..., Any]:
    async def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return await asyncio.to_thread(verb, self._sync, *args, **kwargs)

    return functools.update_wrapper(call, verb)


class AsyncMemory:
    """Mem0's ``AsyncMemory``: the verbs of ``Memory``, awaited; they run in threads of the event loop."""

    def __init__(self, config: Any = None, *, memory: Vault | None = None, tenant: str = "default") -> None:
        self._sync = Memory(config, memory=memory, tenant=tenant)

    @classmethod
    def from_config(cls, config_dict: dict[str, Any]) -> Self:
        """Return the memory that a configuration asks for."""
        return cls(config_dict)

    add = _awaited(Memory.add)
    get = _awaited(Memory.get)
    get_all = _awaited(Memory.get_all)
    search = _awaited(Memory.search)
    update = _awaited(Memory.update)
    delete = _awaited(Memory.delete)
    delete_all = _awaited(Memory.delete_all)
    history = _awaited(Memory.history)
    reset = _awaited(Memory.reset)

    def close(self) -> None:
        """Let go of the vault, unless it was handed over."""
        self._sync.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.close()


class AsyncMemoryClient:
    """Mem0's ``AsyncMemoryClient``: the verbs of ``MemoryClient``, awaited."""

    def __init__(self, api_key: str | None = None, host: str | None = None, client: Any = None, **more: Any) -> None:
        self._sync = MemoryClient(api_key, host, client, **more)

    add = _awaited(MemoryClient.add)
    get = _awaited(MemoryClient.get)
    get_all = _awaited(MemoryClient.get_all)
    search = _awaited(MemoryClient.search)
    update = _awaited(MemoryClient.update)
    delete = _awaited(MemoryClient.delete)
    delete_all = _awaited(MemoryClient.delete_all)
    history = _awaited(MemoryClient.history)
    reset = _awaited(MemoryClient.reset)
    batch_update = _awaited(MemoryClient.batch_update)
    batch_delete = _awaited(MemoryClient.batch_delete)
    users = _awaited(MemoryClient.users)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._sync.close()


# --- what Mem0 gives and takes


def _opening(config: Any) -> dict[str, Any]:
    """Return the arguments of ``anamnos.Memory`` in a configuration of Mem0's, and warn of what is not used."""
    if config is None:
        return {}
    given = dict(config) if isinstance(config, Mapping) else config.model_dump(exclude_unset=True)
    own = dict(given.pop("anamnos", {}))
    if unused := sorted(set(given) - {"version"}):
        warnings.warn(
            f"Of Mem0's configuration, {', '.join(unused)} has no meaning here: the vault's settings say what embeds."
            ' Anamnos reads {"anamnos": {"vault": …, "embedder": …}}.',
            stacklevel=4,
        )
    return {**own, "vault": Path(own["vault"])} if own.get("vault") else own


def _turns(messages: Any, memory_type: str | None) -> list[Turn]:
    """Return what is remembered of messages: all but system messages, with their role, each as a turn."""
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    messages = [messages] if isinstance(messages, Mapping) else messages
    if not isinstance(messages, list):
        raise InvalidCall(f"messages must be str, dict, or list[dict], got {type(messages).__name__}.")
    said = [one for one in messages if not (isinstance(one, Mapping) and one.get("role") == "system")]
    turns = turns_from_messages(said, where="the messages") if said else []
    if memory_type == _PROCEDURAL and turns:
        whole = "\n".join(f"{turn.speaker}: {turn.content}" for turn in turns)
        return [Turn(whole, data={"memory_type": _PROCEDURAL}, role=Role.PROCEDURE)]
    return turns


def _id_of(turn: Turn) -> dict[str, Any]:
    """Return the id of a message, which Mem0 does not know messages by."""
    return {} if turn.message_id is None else {"message_id": turn.message_id}


def _event(memory_id: str, outcome: str, turn: Turn) -> dict[str, Any]:
    role = turn.data.get("role")
    event = {"added": "ADD", "unchanged": "NONE"}.get(outcome, "UPDATE")
    told = {"id": memory_id, "memory": turn.content, "event": event, "role": role}
    return {**told, "actor_id": None if turn.speaker == role else turn.speaker}


def _own(metadata: Mapping[str, Any] | None, reserved: tuple[str, ...]) -> dict[str, Any]:
    """Return metadata without names that say whose it is, which Mem0 leaves out, too."""
    if left_out := sorted({*reserved} & set(metadata or {})):
        warnings.warn(f"{', '.join(left_out)} in metadata is left out: it cannot say whose it is.", stacklevel=3)
    return {name: value for name, value in (metadata or {}).items() if name not in reserved}


def _metadata(record: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(record.get("metadata") or {})
    return {**found, **({"memory_type": record["memory_type"]} if "memory_type" in record else {})}


def _actor(cube: MemCube) -> str | None:
    actor = cube.provenance.actor
    return None if actor == record_of(cube).get("role") else actor


def _shown(cube: MemCube) -> dict[str, Any]:
    """Return a memory as Mem0 does."""
    record = record_of(cube)
    out: dict[str, Any] = {
        "id": cube.id,
        "memory": cube.text,
        "hash": hashlib.md5(cube.text.encode(), usedforsecurity=False).hexdigest(),
        "metadata": _metadata(record) or None,
        "created_at": to_iso(cube.time.created_at),
        "updated_at": to_iso(cube.time.recorded_at),
    }
    scope = cube.scope
    named = {"user_id": scope.user, "agent_id": scope.agent, "run_id": scope.session, "actor_id": _actor(cube)}
    named |= {name: record.get(name) for name in ("role", "expiration_date")}
    return {**out, **{name: value for name, value in named.items() if value is not None}}


def _found(hit: Hit, explain: bool) -> dict[str, Any]:
    shown = {**_shown(hit.cube), "score": hit.similarity}
    if explain:
        shown["score_details"] = {name: {"raw": s.raw, "share": s.share} for name, s in hit.channels.items()}
    return shown


def _together(scopes: Iterable[Scope]) -> Iterator[tuple[Scope, set[Scope]]]:
    """Yield scopes to search in, each with those of the given ones that it covers: one for each user."""
    users: dict[str | None, set[Scope]] = {}
    for scope in scopes:
        users.setdefault(scope.user, set()).add(scope)
    for user, exact in users.items():
        if user is not None:
            yield Scope(next(iter(exact)).tenant, user), exact
        else:
            for scope in exact:
                yield scope, {scope}


def _within(tree: Filter, around: Scope, exact: set[Scope]) -> Filter:
    """Return a filter that keeps to the agents and sessions of some scopes, as far as indexes can tell."""
    parts: list[Filter] = [tree]
    for field, names in ((Field.AGENT, {s.agent for s in exact}), (Field.SESSION, {s.session for s in exact})):
        if None not in names:
            parts.append(Where(field, Comparison.IN, sorted(filter(None, names))))
    return And(tuple(parts))


def _options(options: Any, kwargs: Mapping[str, Any], *unused: str) -> dict[str, Any]:
    """Return arguments that may come as an options object, as a dict or by name; those without a meaning are left."""
    given = options if isinstance(options, Mapping) else options.model_dump(exclude_unset=True) if options else {}
    return {name: value for name, value in {**given, **kwargs}.items() if name not in unused}


def _older(kwargs: dict[str, Any], filters: dict[str, Any] | None, top_k: int, verb: str) -> tuple[dict[str, Any], int]:
    """Return filters and top_k of a call, which may be one for Mem0 before 2: with ids and ``limit`` by name."""
    ids = {name: kwargs.pop(name) for name in IDS if kwargs.get(name) is not None}
    top_k = kwargs.pop("limit", top_k)
    if kwargs:
        raise InvalidCall(f"{verb}() takes no {', '.join(sorted(kwargs))}.")
    _check_number("top_k", top_k)
    return {**(filters or {}), **ids}, top_k


def _check_number(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidCall(f"Invalid {name}: {value!r}. It must be a whole number, at least 0.")


def _entity(name: str, value: Any) -> str | None:
    if value is None:
        return None
    text = value.strip() if isinstance(value, str) else str(value)
    if not text or any(char.isspace() for char in text):
        raise InvalidCall(f"Invalid {name}: {value!r}. It must be a name without spaces.")
    return text


def _day(value: Any) -> str | None:
    """Return the day after which a memory is hidden, as Mem0 takes it: a date, a datetime or YYYY-MM-DD."""
    if value is None:
        return None
    if isinstance(value, datetime):
        return value.date().isoformat()
    try:
        return (value if isinstance(value, date) else date.fromisoformat(value)).isoformat()
    except (TypeError, ValueError) as exc:
        raise InvalidCall(f"expiration_date must be a date in YYYY-MM-DD format, got {value!r}.") from exc


def _end_of(day: str | None) -> datetime | None:
    return None if day is None else datetime.combine(date.fromisoformat(day), time(), UTC) + timedelta(days=1)


def _moment(value: Any) -> datetime | None:
    """Return a time as Mem0's platform takes it: seconds since 1970, ISO 8601 or a datetime; without a zone: UTC."""
    if value is None:
        return None
    try:
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value, UTC)
        found = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    except (TypeError, ValueError, OverflowError, OSError) as exc:
        raise InvalidCall(f"Not a time: {value!r}.") from exc
    return found if found.tzinfo else found.replace(tzinfo=UTC)


# --- filters on metadata


def _conditions(filters: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (filters or {}).items() if name not in IDS}


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda have, wanted: bool(have == wanted),
    "ne": lambda have, wanted: bool(have != wanted),
    "in": lambda have, wanted: have in wanted,
    "nin": lambda have, wanted: have not in wanted,
    "gt": lambda have, wanted: have is not None and bool(have > wanted),
    "gte": lambda have, wanted: have is not None and bool(have >= wanted),
    "lt": lambda have, wanted: have is not None and bool(have < wanted),
    "lte": lambda have, wanted: have is not None and bool(have <= wanted),
    "contains": lambda have, wanted: have is not None and wanted in have,
    "icontains": lambda have, wanted: have is not None and str(wanted).casefold() in str(have).casefold(),
}


def _passes(cube: MemCube, conditions: Mapping[str, Any]) -> bool:
    if not conditions:
        return True
    shown = _shown(cube)
    return _holds({**shown, **(shown["metadata"] or {})}, conditions)


def _holds(have: Mapping[str, Any], conditions: Any) -> bool:
    """Return whether all conditions hold of a memory's metadata and ids."""
    if not isinstance(conditions, Mapping):
        raise InvalidCall(f"A filter must be a dict, got {conditions!r}.")
    for name, wanted in conditions.items():
        if name in ("AND", "OR", "NOT"):
            if not isinstance(wanted, list) or not wanted:
                raise InvalidCall(f"{name} operator requires a list of conditions.")
            parts = [_holds(have, part) for part in wanted]
            if not {"AND": all(parts), "OR": any(parts), "NOT": not any(parts)}[name]:
                return False
        elif not _meets(have.get(name), wanted):
            return False
    return True


def _meets(have: Any, wanted: Any) -> bool:
    if wanted == "*":
        return have is not None
    if not isinstance(wanted, Mapping):
        return bool(have == wanted)
    if unknown := sorted(set(wanted) - set(_OPERATORS)):
        raise InvalidCall(f"Unsupported metadata filter operator: {unknown[0]}.", hint=f"Use: {', '.join(_OPERATORS)}.")
    try:
        return all(_OPERATORS[name](have, limit) for name, limit in wanted.items())
    except TypeError:
        return False  # what cannot be compared is neither above nor below
