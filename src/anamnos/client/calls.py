"""Each verb of the REST face as a request and the reading of its answer. Nothing is sent here."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import quote

from anamnos.client import reading
from anamnos.client.reading import FoundAnswer, FoundContext, Json
from anamnos.cube import MemCube, Role, Scope, to_iso
from anamnos.types import Filter, Hits, Receipt, filter_to_dict

if TYPE_CHECKING:
    from anamnos.system.tagging import Suggestion

R = TypeVar("R")
Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Call(Generic[R]):
    """One request.

    read     makes of the answer's JSON what the verb returns
    query    parameters of the address; lists are repeated
    body     JSON
    headers  beside those of the connection
    source   a file that is sent as the body
    target   a file that the answer's body is written to, once ``read``, which is given a path, has looked at all of it
    """

    method: str
    path: str
    read: Callable[[Any], R]
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Json | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    source: Path | None = None
    target: Path | None = None


# --- writing ---------------------------------------------------------------------------------------------------------


def add(
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
    idempotency_key: str | None = None,
) -> Call[Receipt]:
    """Remember a text, a message or a list of messages, durably, and return the receipt; see ``Memory.add``.

    idempotency_key  what makes a repeated request one; a new one for each call by default, so that retries are safe
    """
    said = [content] if isinstance(content, Mapping) else content
    body = {"content": said if isinstance(said, str) else [dict(one) for one in said], "importance": importance}
    body |= _given(role=role, created_at=created_at, tags=list(tags) or None, source=source, trust=trust)
    body |= _given(expires_at=expires_at, data=data)
    once = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
    return Call("POST", "/v1/memories", reading.receipt, body=_about(scope, body), headers=once)


def ingest(
    path: str | Path,
    scope: Scope,
    *,
    reader: str | None = None,
    tags: Sequence[str] = (),
    source: str | None = None,
) -> Call[Receipt]:
    """Remember a file of this machine, which is sent; see ``Memory.ingest``.

    source  what it is called in provenance; its name by default, since its path means nothing to the server
    """
    file = Path(path)
    query = _whose(scope) | _given(reader=reader, tag=list(tags) or None, source=source or file.name, name=file.name)
    headers = {"Accept": "application/json", "Content-Type": "application/octet-stream"}
    return Call("POST", "/v1/ingest", reading.receipt, query, headers=headers, source=file)


def ingest_url(
    url: str, scope: Scope, *, reader: str | None = None, tags: Sequence[str] = (), source: str | None = None
) -> Call[Receipt]:
    """Have the server remember what is at an address; refused unless its host is among ``ingest_hosts``."""
    more = _given(reader=reader, tags=list(tags) or None, source=source)
    return Call("POST", "/v1/ingest/url", reading.receipt, body=_about(scope, {"url": url, **more}))


def update(
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
) -> Call[Receipt]:
    """Write the next version of a memory; what is not given stays. See ``Memory.update``.

    Raises: Conflict, with the current version, if that is not ``expected_version``.
    """
    body = _given(content=content, importance=importance, valid_from=valid_from, valid_to=valid_to)
    body |= _given(expires_at=expires_at, data=data, trust=trust, tags=None if tags is None else list(tags))
    headers = {} if expected_version is None else {"If-Match": f'"{expected_version}"'}
    return Call("PATCH", _one(cube_id), reading.receipt, body=_about(scope, body), headers=headers)


def delete(ids: str | Iterable[str], scope: Scope) -> Call[Receipt]:
    """Erase memories, all their versions and all that was derived from them; see ``Memory.delete``."""
    return Call("POST", "/v1/memories/delete", reading.receipt, body=_about(scope, {"ids": _ids(ids)}))


def delete_all(scope: Scope, *, filter: Filter | None = None) -> Call[Receipt]:
    """Erase every memory that ``scope`` covers and ``filter`` passes; see ``Memory.delete_all``."""
    body = {"all": True, **_given(filter=filter)}
    return Call("POST", "/v1/memories/delete", reading.receipt, body=_about(scope, body))


# --- finding and reading ---------------------------------------------------------------------------------------------


def search(
    query: str,
    scope: Scope,
    *,
    top_k: int = 10,
    filter: Filter | None = None,
    as_of: datetime | None = None,
    asked_at: datetime | None = None,
    redact: bool = False,
) -> Call[Hits]:
    """Return the memories of a scope that answer ``query`` best, best first; see ``Memory.search``.

    The cubes of hits hold what a hit tells (content, role, scope, version, provenance, time, tags); ``get`` has all.
    """
    body = {"query": query, "top_k": top_k, "redact": redact, **_given(filter=filter, as_of=as_of, asked_at=asked_at)}
    return Call("POST", "/v1/search", reading.hits, body=_about(scope, body))


def explain(
    query: str, scope: Scope, *, top_k: int = 10, filter: Filter | None = None, asked_at: datetime | None = None
) -> Call[Json]:
    """Return what ``search`` finds and how it comes to it, as JSON data."""
    body = {"query": query, "top_k": top_k, **_given(filter=filter, asked_at=asked_at)}
    return Call("POST", "/v1/explain", reading.as_is, body=_about(scope, body))


def answer_context(
    question: str,
    scope: Scope,
    *,
    token_budget: int = 2_000,
    top_k: int = 25,
    filter: Filter | None = None,
    as_of: datetime | None = None,
) -> Call[FoundContext]:
    """Return what a prompt needs to answer ``question``; see ``Memory.answer_context``."""
    body = {"question": question, "token_budget": token_budget, "top_k": top_k, **_given(filter=filter, as_of=as_of)}
    return Call("POST", "/v1/context", reading.context, body=_about(scope, body))


def ask(
    question: str,
    scope: Scope,
    *,
    asked_at: datetime | None = None,
    token_budget: int = 2_000,
    top_k: int = 25,
    filter: Filter | None = None,
    as_of: datetime | None = None,
) -> Call[FoundAnswer]:
    """Return the answer to ``question`` with what it rests on, or that it is not in memory; see ``Memory.ask``."""
    body = {"question": question, "token_budget": token_budget, "top_k": top_k, **_given(filter=filter, as_of=as_of)}
    return Call("POST", "/v1/ask", reading.answer, body=_about(scope, body | _given(asked_at=asked_at)))


def suggest_tags(content: str, scope: Scope, *, k: int = 5) -> Call[list[Suggestion]]:
    """Return up to ``k`` tags that fit a text, best first; see ``Memory.suggest_tags``."""
    return Call("POST", "/v1/tags/suggest", reading.suggestions, body=_about(scope, {"content": content, "k": k}))


def route(content: str, scope: Scope, among: Mapping[str, Filter | Scope], *, k: int = 5) -> Call[list[Suggestion]]:
    """Return up to ``k`` labels of ``among`` that fit a text, best first; see ``Memory.route``.

    among  label -> a filter, or a scope that ``scope`` covers; 50 of them at most
    """
    places = {label: _whose(place) if isinstance(place, Scope) else _json(place) for label, place in among.items()}
    return Call(
        "POST", "/v1/route", reading.suggestions, body=_about(scope, {"content": content, "among": places, "k": k})
    )


def get(cube_id: str, scope: Scope, *, version: int | None = None, as_of: datetime | None = None) -> Call[MemCube]:
    """Return a memory, its current version by default. Raises: NotFound."""
    return Call("GET", _one(cube_id), reading.cube, _whose(scope) | _given(version=version, as_of=as_of))


def list_(
    scope: Scope,
    *,
    filter: Filter | None = None,
    limit: int = 100,
    after: str | None = None,
    as_of: datetime | None = None,
) -> Call[list[MemCube]]:
    """Return up to ``limit`` memories (1,000 at most) in the order in which they were first written.

    after  the id of the last one that the caller has, to go on from there
    """
    tree = None if filter is None else json.dumps(filter_to_dict(filter))
    query = _whose(scope) | _given(limit=limit, after=after, as_of=as_of, filter=tree)
    return Call("GET", "/v1/memories", reading.cubes, query)


def history(cube_id: str, scope: Scope) -> Call[list[MemCube]]:
    """Return all versions of a memory, oldest first. Raises: NotFound."""
    return Call("GET", f"{_one(cube_id)}/history", reading.cubes, _whose(scope))


def working(scope: Scope) -> Call[list[MemCube]]:
    """Return what the searches in exactly this scope have been about lately."""
    return Call("GET", "/v1/working", reading.cubes, _whose(scope))


def stats(scope: Scope | None = None) -> Call[Json]:
    """Return how much is remembered; None: in the whole vault, which needs an operator."""
    return Call("GET", "/v1/stats", reading.as_is, {} if scope is None else _whose(scope))


# --- putting in order, governing -------------------------------------------------------------------------------------


def enrich(scope: Scope, *, extractor: str = "rules") -> Call[Receipt]:
    """Find what turns and notes say, and remember it beside them; see ``Memory.enrich``."""
    return Call("POST", "/v1/enrich", reading.receipt, body=_about(scope, {"extractor": extractor}))


def resolve(scope: Scope, *, resolver: str = "rules") -> Call[Receipt]:
    """Put new facts in order with known ones; see ``Memory.resolve``."""
    return Call("POST", "/v1/resolve", reading.receipt, body=_about(scope, {"resolver": resolver}))


def correct(text: str, scope: Scope, *, ids: Sequence[str] = (), at: datetime | None = None) -> Call[Receipt]:
    """Take in a correction in words; see ``Memory.correct``."""
    body = {"text": text, "ids": list(ids), **_given(at=at)}
    return Call("POST", "/v1/correct", reading.receipt, body=_about(scope, body))


def consolidate(
    scope: Scope, *, steps: Sequence[str] | None = None, decay: str | None = None, budget_s: float | None = None
) -> Call[Json]:
    """Tidy up: repetitions, topics, what fades; return the report as JSON data. See ``Memory.consolidate``."""
    body = _given(steps=None if steps is None else list(steps), decay=decay, budget_s=budget_s)
    return Call("POST", "/v1/consolidate", reading.as_is, body=_about(scope, body))


def merge(ids: Iterable[str], scope: Scope) -> Call[Receipt]:
    """Make one memory of several; see ``Memory.merge``."""
    return _of_many("merge", ids, scope)


def unmerge(cube_id: str, scope: Scope) -> Call[Receipt]:
    """Part a memory from those that it was merged with."""
    return Call("POST", "/v1/unmerge", reading.receipt, body=_about(scope, {"id": cube_id}))


def freeze(ids: str | Iterable[str], scope: Scope) -> Call[Receipt]:
    """Put memories under a legal hold."""
    return _of_many("freeze", ids, scope)


def unfreeze(ids: str | Iterable[str], scope: Scope) -> Call[Receipt]:
    """End a legal hold."""
    return _of_many("unfreeze", ids, scope)


def archive(ids: str | Iterable[str], scope: Scope) -> Call[Receipt]:
    """Take memories out of searches without losing them."""
    return _of_many("archive", ids, scope)


def reactivate(ids: str | Iterable[str], scope: Scope) -> Call[Receipt]:
    """Bring archived, merged or expired memories back."""
    return _of_many("reactivate", ids, scope)


def used(ids: str | Iterable[str], scope: Scope) -> Call[Receipt]:
    """Note that memories served an answer."""
    return _of_many("used", ids, scope)


def rollback(
    scope: Scope, *, id: str | None = None, version: int | None = None, to: datetime | None = None
) -> Call[Receipt]:
    """Make a memory, or all of a scope, what it was, in new versions; see ``Memory.rollback``."""
    return Call("POST", "/v1/rollback", reading.receipt, body=_about(scope, _given(id=id, version=version, to=to)))


def share(
    ids: str | Iterable[str],
    scope: Scope,
    *,
    to: str,
    rights: Sequence[str] = ("read",),
    until: datetime | None = None,
) -> Call[Receipt]:
    """Let others read or write memories; see ``Memory.share``."""
    return _of_many("share", ids, scope, to=to, rights=list(rights), until=until)


def unshare(ids: str | Iterable[str], scope: Scope, *, to: str | None = None) -> Call[Receipt]:
    """Take back what ``share`` gave."""
    return _of_many("unshare", ids, scope, to=to)


def expire(scope: Scope | None = None) -> Call[Receipt]:
    """Do what times to live and rules ask for; None: everywhere, which needs an operator."""
    return Call("POST", "/v1/expire", reading.receipt, body={} if scope is None else _about(scope, {}))


def forget_person(scope: Scope, *, mentions: bool = False, names: Sequence[str] = ()) -> Call[Json]:
    """Erase all that a scope covers, with all that was made of it; return the report. See ``Memory.forget_person``."""
    body = {"mentions": mentions, "names": list(names)}
    return Call("POST", "/v1/forget-person", reading.as_is, body=_about(scope, body))


# --- keeping ---------------------------------------------------------------------------------------------------------


def export(path: str | Path, scope: Scope) -> Call[int]:
    """Write all versions of the memories of a scope to a file of this machine; return how many.

    Raises: Corrupt if it is cut off on its way; then the file is as it was.
    """
    return Call("GET", "/v1/export", reading.exported, _whose(scope), target=Path(path))


def import_(path: str | Path) -> Call[Receipt]:
    """Have the server read a file of this machine that ``export`` wrote, all or nothing. Needs an operator."""
    headers = {"Content-Type": "application/x-ndjson", "Accept": "application/json"}
    return Call("POST", "/v1/import", reading.receipt, headers=headers, source=Path(path))


def verify() -> Call[list[str]]:
    """Return what is wrong with the vault, one sentence each. Needs an operator."""
    return Call("GET", "/v1/verify", reading.problems)


def me() -> Call[Json]:
    """Return who the server takes the caller for, and what it may do."""
    return Call("GET", "/v1/me", reading.as_is)


def request(
    method: str, path: str, *, query: Mapping[str, Any] | None = None, body: Mapping[str, Any] | None = None
) -> Call[Any]:
    """Send any other request, such as ``GET /v1/jobs``, and return the JSON of its answer."""
    return Call(method, path, reading.as_is, query or {}, None if body is None else dict(body))


# --- what they are put together from ---------------------------------------------------------------------------------


def _of_many(verb: str, ids: str | Iterable[str], scope: Scope, **more: Any) -> Call[Receipt]:
    return Call("POST", f"/v1/{verb}", reading.receipt, body=_about(scope, {"ids": _ids(ids), **_given(**more)}))


def _one(cube_id: str) -> str:
    return f"/v1/memories/{quote(cube_id, safe='')}"


def _ids(ids: str | Iterable[str]) -> list[str]:
    return [ids] if isinstance(ids, str) else list(ids)


def _about(scope: Scope, body: Mapping[str, Any]) -> dict[str, Any]:
    return {"scope": _whose(scope), **body}


def _whose(scope: Scope) -> dict[str, Any]:
    return _given(tenant=scope.tenant, user=scope.user, agent=scope.agent, session=scope.session)


def _given(**values: Any) -> dict[str, Any]:
    """Return those arguments that were given, as JSON data."""
    return {name: _json(value) for name, value in values.items() if value is not None}


def _json(value: Any) -> Any:
    if isinstance(value, datetime):
        return to_iso(value) if value.tzinfo is not None else value.isoformat()  # the server says what is missing
    if isinstance(value, Filter):
        return filter_to_dict(value)
    return str(value) if isinstance(value, Role) else value
