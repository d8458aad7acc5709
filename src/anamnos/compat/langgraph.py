"""LangGraph: ``AnamnosStore``, a ``BaseStore`` whose items are memories.

Each namespace is a scope: its session is the namespace, joined by "/", and, with ``user_at``, one of its labels is the
user, so that rights, quotas and ``forget_person`` apply to it. Each item is one memory: the words that it is found by
are its content, value and key stand beside it as JSON, and ``put`` over an item writes a next version.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import re
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote

from anamnos.compat.records import PRESENT, end_at, every, is_alive, missing, now, record_of, remember, rewrite
from anamnos.cube import MAX_SOURCE_CHARS, MemCube, Role, Scope, check_name, freeze_json
from anamnos.errors import Conflict, InvalidInput, NotFound
from anamnos.ingest.readers.base import Turn
from anamnos.memory import Memory
from anamnos.types import And, Comparison, Field, Hit, Where

try:
    from langgraph.store import base
except ImportError as exc:
    raise missing("AnamnosStore", "langgraph") from exc

AGENT = "langgraph"
_SOURCE = "langgraph:"
_MAX_TOP_K = 10_000
_TRIES, _PAUSE_S = 20, 0.05
_ESCAPED = re.compile(r"[%/\x00-\x1f\x7f]")
Namespace = tuple[str, ...]


class AnamnosStore(base.BaseStore):  # type: ignore[misc]  # untyped where it is not installed
    """A ``BaseStore`` over a vault, for graphs: ``builder.compile(store=AnamnosStore(memory))``.

    memory   opened; the caller closes it. One that serves a principal shows and changes what that one may
    tenant, agent  whose scopes the namespaces are below; what else is in them is never touched
    user_at  which label of a namespace names its user: 1 for ``("memories", "ann")``; None: they belong to no user
    fields   what items are found by unless ``put(index=…)`` says it: paths as of LangGraph's ``IndexConfig``; "$", the
             whole value, as "name: words"
    ttl      as of LangGraph: ``default_ttl`` in minutes, ``refresh_on_read``

    Values are JSON: anything else is refused (InvalidInput), and nothing has changed. A search's ``score`` is the
    similarity, in [0, 1]; its order is that of ``Memory.search``, which looks at more than that. Without a query, what
    was written last comes first.
    """

    supports_ttl = True

    def __init__(
        self,
        memory: Memory,
        *,
        tenant: str = "default",
        agent: str = AGENT,
        user_at: int | None = None,
        fields: Sequence[str] = ("$",),
        ttl: Mapping[str, Any] | None = None,
    ) -> None:
        if user_at is not None and user_at < 0:
            raise InvalidInput(
                f"user_at must be at least 0, got {user_at}.", hint="Count labels from the left, from 0."
            )
        self.memory = memory
        self.ttl_config = None if ttl is None else {**ttl}
        self._tenant = tenant
        self._agent = agent
        self._user_at = user_at
        self._fields = tuple(fields)
        self._writing = threading.Lock()

    def batch(self, ops: Iterable[base.Op]) -> list[base.Result]:
        """Do operations and return their results: reads first, as if there were no writes among them.

        Each write is a transaction of its own. Raises: InvalidInput before the first one; LimitExceeded for a value
        that is too long, or for which there is no room, after those before it.
        """
        ops = list(ops)
        for op in ops:
            base.validate_op_namespace(op)
        puts = {(op.namespace, op.key): op for op in ops if isinstance(op, base.PutOp)}
        for op in puts.values():
            check_name("key", _source(op.key), max_chars=MAX_SOURCE_CHARS)  # all, before the first is written
            if op.value is not None:
                freeze_json(f"The value of {op.key!r}", op.value)
                self._scope(op.namespace)
        results = [None if isinstance(op, base.PutOp) else self._read(op) for op in ops]
        for op in puts.values():
            self._put(op)
        return results

    async def abatch(self, ops: Iterable[base.Op]) -> list[base.Result]:
        """As ``batch``, in a thread of the loop's own."""
        return await asyncio.to_thread(self.batch, list(ops))

    def _read(self, op: base.Op) -> base.Result:
        if isinstance(op, base.GetOp):
            cube = self._find(op.namespace, op.key)
            return None if cube is None else self._shown(cube, op.refresh_ttl, base.Item)
        if isinstance(op, base.SearchOp):
            return self._search(op)
        if isinstance(op, base.ListNamespacesOp):
            return self._list_namespaces(op)
        raise InvalidInput(f"Not an operation of a store: {type(op).__name__}.")

    # --- namespaces and scopes

    def _scope(self, namespace: Namespace) -> Scope:
        session = "/".join(_ESCAPED.sub(lambda found: f"%{ord(found[0]):02X}", label) for label in namespace)
        return Scope(self._tenant, self._user(namespace), self._agent, session)

    def _user(self, namespace: Namespace) -> str | None:
        at = self._user_at
        return namespace[at] if at is not None and at < len(namespace) else None

    def _namespaces(self, prefix: Namespace = ()) -> dict[Namespace, Scope]:
        """Return the namespaces that something was written in, below a prefix."""
        found = {}
        for scope in self.memory.vault.store.scopes():
            if (scope.tenant, scope.agent) == (self._tenant, self._agent) and scope.session is not None:
                namespace = tuple(unquote(label) for label in scope.session.split("/"))
                if namespace[: len(prefix)] == prefix and self._scope(namespace) == scope:
                    found[namespace] = scope
        return found

    def _list_namespaces(self, op: base.ListNamespacesOp) -> list[Namespace]:
        conditions = op.match_conditions or ()
        names = {
            namespace[: op.max_depth]
            for namespace, scope in self._namespaces().items()
            if all(_fits(condition, namespace) for condition in conditions) and self._items(scope)
        }
        return sorted(names)[op.offset : op.offset + op.limit]

    # --- items

    def _items(self, scope: Scope, *more: Where) -> list[MemCube]:
        return [cube for cube in every(self.memory, scope, *more) if "key" in record_of(cube)]

    def _find(self, namespace: Namespace, key: str) -> MemCube | None:
        found = self._items(self._scope(namespace), Where(Field.SOURCE, Comparison.EQ, _source(key)))
        return found[0] if found else None

    def _shown(self, cube: MemCube, refresh: bool, kind: type[Any], **more: Any) -> Any:
        """Return a memory as an item, and let its time to live begin anew if that is asked for."""
        record = record_of(cube)
        if refresh and record.get("ttl") is not None:
            end_at(self.memory, cube, now(self.memory) + timedelta(minutes=record["ttl"]))
        return kind(
            namespace=tuple(record["namespace"]),
            key=record["key"],
            value=record["value"],
            created_at=cube.time.created_at,
            updated_at=cube.time.recorded_at,
            **more,
        )

    def _put(self, op: base.PutOp) -> None:
        """Write or erase an item; of writers at the same time the last one has it."""
        for left in reversed(range(_TRIES)):
            try:
                with self._writing:  # writers of this process wait for each other
                    return self._put_once(op)
            except (Conflict, NotFound):  # another process was faster
                if not left:
                    raise
                time.sleep(random.uniform(0, _PAUSE_S))  # noqa: S311  # so that two do not go on in step

    def _put_once(self, op: base.PutOp) -> None:
        scope, old = self._scope(op.namespace), self._find(op.namespace, op.key)
        if op.value is None:
            if old is not None:
                self.memory.delete(old.id, old.scope)
            return
        paths = self._fields if op.index is None else op.index
        words = [text for path in paths or () for text in _words(op.value, path)]
        record = {
            "namespace": list(op.namespace),
            "key": op.key,
            "value": op.value,
            "ttl": op.ttl,
            "found": bool(words),  # whether a query finds it
        }
        content = "\n".join(words) if words else json.dumps(op.value, ensure_ascii=False)
        ends = None if op.ttl is None else now(self.memory) + timedelta(minutes=op.ttl)
        if old is None:
            self._drop_expired(scope, op.key)
            turn = Turn(content, said_at=now(self.memory), message_id=_label(op.key), role=Role.NOTE, data=record)
            done = remember(self.memory, [turn], scope, source=_source(op.key), expires_at=ends)
            if done.count("added"):
                return
            old = self.memory.get(done.ids[0], scope)
        rewrite(self.memory, old, record, content=content, expires_at=ends)

    def _drop_expired(self, scope: Scope, key: str) -> None:
        """Erase an item whose time was over, so that it is not gone on with."""
        by_key, moment = Where(Field.SOURCE, Comparison.EQ, _source(key)), now(self.memory)
        for cube in self.memory.list(scope, filter=And((by_key, _ANY_STATE)), limit=None):
            if "key" in record_of(cube) and not is_alive(cube, moment):
                self.memory.delete(cube.id, cube.scope)

    def _search(self, op: base.SearchOp) -> list[base.SearchItem]:
        namespaces = self._namespaces(tuple(op.namespace_prefix))
        found: list[tuple[MemCube, float | None]]
        if op.query:
            found = self._ranked(op, namespaces.values())
        else:
            cubes = [cube for scope in namespaces.values() for cube in self._items(scope) if _passes(cube, op.filter)]
            found = [(cube, None) for cube in sorted(cubes, key=_written, reverse=True)]
        return [
            self._shown(cube, op.refresh_ttl, base.SearchItem, score=score)
            for cube, score in found[op.offset : op.offset + op.limit]
        ]

    def _ranked(self, op: base.SearchOp, scopes: Iterable[Scope]) -> list[tuple[MemCube, float | None]]:
        """Return the items that answer a query, best first, then those that are not found by words."""
        wanted = op.offset + op.limit
        sessions: dict[str | None, list[str]] = defaultdict(list)
        for scope in scopes:
            sessions[scope.user].append(str(scope.session))
        hits = [hit for user, names in sessions.items() for hit in self._hits(op, user, names, wanted)]
        if len(sessions) > 1:  # ranks of different searches cannot be compared
            hits.sort(key=lambda hit: hit.similarity, reverse=True)
        ranked: list[tuple[MemCube, float | None]] = [(hit.cube, hit.similarity) for hit in hits]
        if len(ranked) < wanted:
            cubes = [cube for user, names in sessions.items() for cube in self._unindexed(user, names)]
            ranked += [(cube, None) for cube in cubes if _passes(cube, op.filter)]
        return ranked

    def _hits(self, op: base.SearchOp, user: str | None, sessions: list[str], wanted: int) -> list[Hit]:
        """Return the best hits that pass the filter of values, which indexes do not know: so more and more are read."""
        scope, moment = Scope(self._tenant, user, self._agent), now(self.memory)
        tree = And((PRESENT, Where(Field.SESSION, Comparison.IN, sessions)))
        top_k = min(max(2 * wanted, 20), _MAX_TOP_K)
        while True:
            hits = self.memory.search(op.query, scope, top_k=top_k, filter=tree)
            kept = [
                hit
                for hit in hits
                if record_of(hit.cube).keys() >= {"key", "found"}
                and record_of(hit.cube)["found"]
                and is_alive(hit.cube, moment)
                and _passes(hit.cube, op.filter)
            ]
            if len(kept) >= wanted or len(hits) < top_k or top_k == _MAX_TOP_K:
                return kept
            top_k = min(4 * top_k, _MAX_TOP_K)

    def _unindexed(self, user: str | None, sessions: list[str]) -> list[MemCube]:
        scope, there = Scope(self._tenant, user, self._agent), Where(Field.SESSION, Comparison.IN, sessions)
        return [cube for cube in self._items(scope, there) if not record_of(cube).get("found")]


_ANY_STATE = Where(Field.STATE, Comparison.IN, (*PRESENT.value, "expired"))


def _source(key: str) -> str:
    return _SOURCE + _ESCAPED.sub(lambda found: f"%{ord(found[0]):02X}", key)


def _label(key: str) -> str:
    """Return what makes a repeated ``put`` of a key the same memory, whatever the key is."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _words(value: Any, path: str) -> list[str]:
    """Return the words under a path of a value."""
    if path == "$":
        leaves = list(_leaves(value))
        if len(leaves) == 1:
            return [leaves[0][1]]
        return ["\n".join(f"{name}: {text}" for name, text in leaves)] if leaves else []
    return [text for text in base.get_text_at_path(value, path) if text.strip()]


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield each text and number inside a value, with the name of the field that it is in."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{key}")
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _leaves(inner, name)
    elif value is not None and str(value).strip():
        yield name, str(value)


def _written(cube: MemCube) -> tuple[datetime | None, str]:
    return cube.time.recorded_at, cube.id


def _fits(condition: base.MatchCondition, namespace: Namespace) -> bool:
    path = tuple(condition.path)
    if len(path) > len(namespace):
        return False
    part = namespace[: len(path)] if condition.match_type == "prefix" else namespace[len(namespace) - len(path) :]
    return all(wanted in ("*", label) for wanted, label in zip(path, part, strict=True))


def _passes(cube: MemCube, filter: Mapping[str, Any] | None) -> bool:
    value = record_of(cube)["value"]
    return all(_equals(value.get(name), wanted) for name, wanted in (filter or {}).items())


_OPERATORS = {
    "$eq": lambda have, wanted: have == wanted,
    "$ne": lambda have, wanted: have != wanted,
    "$gt": lambda have, wanted: have > wanted,
    "$gte": lambda have, wanted: have >= wanted,
    "$lt": lambda have, wanted: have < wanted,
    "$lte": lambda have, wanted: have <= wanted,
}


def _equals(have: Any, wanted: Any) -> bool:
    """Return whether a value is as a filter wants it: equal, or, under ``$gt`` and the like, above it and so on."""
    if isinstance(wanted, Mapping) and any(name.startswith("$") for name in wanted):
        return all(_compares(have, name, limit) for name, limit in wanted.items())
    if isinstance(wanted, Mapping):
        return isinstance(have, Mapping) and all(_equals(have.get(name), inner) for name, inner in wanted.items())
    if isinstance(wanted, list | tuple):
        same = isinstance(have, list) and len(have) == len(wanted)
        return same and all(_equals(a, b) for a, b in zip(have, wanted, strict=True))
    return bool(have == wanted)


def _compares(have: Any, name: str, limit: Any) -> bool:
    if name not in _OPERATORS:
        raise InvalidInput(f"There is no operator {name!r}.", hint=f"Use: {', '.join(_OPERATORS)}.")
    if name in ("$eq", "$ne"):
        return bool(_OPERATORS[name](have, limit))
    try:
        return bool(_OPERATORS[name](float(have), float(limit)))
    except (TypeError, ValueError):
        return False  # what is no number is neither above nor below
