"""Memories one by one: add, list, get, update, delete, and all their versions."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import JSONResponse, Response

from anamnos.cube import Role, State
from anamnos.errors import Conflict, InvalidInput
from anamnos.server import etags
from anamnos.server.answers import CubeOut, CubePage, CubesOut, ReceiptOut
from anamnos.server.dependencies import Asks, Scoped, Serves
from anamnos.server.models import (
    Add,
    Delete,
    Id,
    Name,
    Narrow,
    RoleName,
    Source,
    StateName,
    Text,
    Time,
    Update,
    Version,
)
from anamnos.server.problems import problem
from anamnos.server.route import ONCE, Route
from anamnos.types import Filter, filter_from_dict

router = APIRouter(prefix="/v1", tags=["memories"], route_class=Route)

Match = Annotated[str | None, Header(max_length=1_000, description='The version that is expected: `"3"`.')]
_CREATED: dict[int | str, dict[str, Any]] = {200: {"model": ReceiptOut, "description": "All of it was known already."}}
_TAGGED: dict[int | str, dict[str, Any]] = {
    200: {"headers": {"ETag": {"description": "The version, quoted.", "schema": {"type": "string"}}}},
    304: {"description": "The client has this version."},
}
_PAGED: dict[int | str, dict[str, Any]] = {
    200: {"headers": {"Link": {"description": "The next page, if there is one.", "schema": {"type": "string"}}}}
}


@router.post("/memories", status_code=201, response_model=ReceiptOut, responses=_CREATED, dependencies=ONCE)
async def add(body: Add, who: Asks, served: Serves) -> JSONResponse:
    """Remember a text, or the messages of a chat. What is known already is not added again."""
    scope, content = body.scope.scope(), body.content
    said = content if isinstance(content, str) else [one.model_dump(exclude_none=True) for one in content]
    receipt = await served.memory(who, scope).add(said, scope, **body.rest("content"))
    known = bool(receipt.ids) and receipt.count("unchanged") == len(receipt.ids)
    return served.receipt(receipt, 200 if known else 201)


@router.get("/memories", name="list", response_model=CubePage, responses=_PAGED)
async def list_(
    request: Request,
    scope: Scoped,
    who: Asks,
    served: Serves,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 50,
    after: Annotated[Id | None, Query(description="`next` of the page before.")] = None,
    as_of: Time | None = None,
    role: Annotated[list[RoleName] | None, Query(max_length=len(Role))] = None,
    tag: Annotated[list[Name] | None, Query(max_length=100, description="All of these.")] = None,
    state: Annotated[list[StateName] | None, Query(max_length=len(State))] = None,
    since: Time | None = None,
    until: Time | None = None,
    speaker: Name | None = None,
    source: Source | None = None,
    contains: Annotated[Text | None, Query(max_length=2_000)] = None,
    filter: Annotated[str | None, Query(max_length=8_000, description="A filter as JSON.")] = None,
) -> JSONResponse:
    """List memories in the order in which they were first written, page by page."""
    narrow = Narrow.model_construct(
        role=role,
        state=state,
        speaker=speaker,
        source=source,
        tags=tag or [],
        contains=contains,
        since=since,
        until=until,
    )
    tree = narrow.filter(_tree(filter))
    found = await served.memory(who, scope).list(scope, filter=tree, limit=limit + 1, after=after, as_of=as_of)
    items = [cube.to_dict() for cube in found[:limit]]
    behind = items[-1]["id"] if len(found) > limit else None
    headers = {} if behind is None else etags.link_next(str(request.url.include_query_params(after=behind)))
    return JSONResponse({"items": items, "next": behind}, headers=headers)


@router.post("/memories/delete", response_model=ReceiptOut, dependencies=ONCE)
async def delete_many(body: Delete, who: Asks, served: Serves) -> JSONResponse:
    """Erase several memories; or, with `all`, everything of a scope that the filter passes."""
    scope = body.scope.scope()
    memory = served.memory(who, scope)
    if body.ids is not None and not body.all and body.filter is None:
        return served.receipt(await memory.delete(body.ids, scope))
    if body.ids is not None or not body.all:
        raise InvalidInput("Say either which memories (ids), or all.", hint='With "all": true, a filter may narrow.')
    return served.receipt(await memory.delete_all(scope, filter=body.filter))


@router.api_route("/memories/delete", methods=["GET", "PATCH", "PUT", "DELETE", "OPTIONS"], include_in_schema=False)
async def delete_many_otherwise() -> Response:
    """Refuse what would look for a memory of this name."""
    return problem(405, "method_not_allowed", "Method Not Allowed.", headers={"Allow": "POST"})


@router.get("/memories/{id}", response_model=CubeOut, responses=_TAGGED)
async def get(
    id: Id,
    scope: Scoped,
    who: Asks,
    served: Serves,
    version: Annotated[Version | None, Query(description="Which; the current one by default.")] = None,
    as_of: Annotated[Time | None, Query(description="Instead of a version: as it was then.")] = None,
    if_none_match: Annotated[str | None, Header(max_length=1_000)] = None,
) -> Response:
    """Return one memory."""
    cube = await served.memory(who, scope).get(id, scope, version=version, as_of=as_of)
    headers = {"ETag": etags.etag(cube)}
    if if_none_match is not None and version is None and as_of is None and etags.names(if_none_match, cube, weak=True):
        return Response(status_code=304, headers=headers)
    return JSONResponse(cube.to_dict(), headers=headers)


@router.patch("/memories/{id}", response_model=ReceiptOut, dependencies=ONCE)
async def update(id: Id, body: Update, who: Asks, served: Serves, if_match: Match = None) -> JSONResponse:
    """Write the next version of a memory; what is not given stays. The older one remains in its history."""
    scope = body.scope.scope()
    memory = served.memory(who, scope)
    expected = await etags.expected_version(if_match, memory, id, scope)
    try:
        return served.receipt(await memory.update(id, scope, expected_version=expected, **body.rest()))
    except Conflict as exc:
        if expected is None:
            raise
        raise etags.changed(exc.current_version) from exc


@router.delete("/memories/{id}", response_model=ReceiptOut, dependencies=ONCE)
async def delete(id: Id, scope: Scoped, who: Asks, served: Serves, if_match: Match = None) -> JSONResponse:
    """Erase a memory, all its versions and all that was derived from it, from every file of the vault."""
    memory = served.memory(who, scope)
    await etags.expected_version(if_match, memory, id, scope)  # a version written after this goes with the others
    return served.receipt(await memory.delete(id, scope))


@router.get("/memories/{id}/history", response_model=CubesOut)
async def history(id: Id, scope: Scoped, who: Asks, served: Serves) -> JSONResponse:
    """Return all versions of a memory, oldest first."""
    return served.cubes(await served.memory(who, scope).history(id, scope))


def _tree(text: str | None) -> Filter | None:
    if text is None:
        return None
    try:
        return filter_from_dict(json.loads(text))
    except (ValueError, RecursionError) as exc:
        raise InvalidInput("The filter is not JSON.") from exc
