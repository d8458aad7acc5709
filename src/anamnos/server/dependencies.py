"""What handlers ask for: who sends the request, in which scope, with what of the server."""

from __future__ import annotations

import asyncio
from typing import Annotated, cast

from fastapi import Depends, Query, Request

from anamnos.cube import Scope
from anamnos.memory import AsyncMemory
from anamnos.server.callers import Caller
from anamnos.server.models import Name
from anamnos.server.serving import Serving


def serving(request: Request) -> Serving:
    """Return what the routes share."""
    return cast(Serving, request.app.state.serving)


async def caller(request: Request) -> Caller:
    """Return who sends the request, found out once. Raises: Unauthenticated."""
    found = getattr(request.state, "caller", None)
    if found is None:
        # it may read the vault, so not on the loop, and not in the pool either, which slow verbs may fill
        found = await asyncio.to_thread(serving(request).authenticator.authenticate, request.headers)
        request.state.caller = found
    return cast(Caller, found)


async def operator(who: Annotated[Caller, Depends(caller)], served: Annotated[Serving, Depends(serving)]) -> Caller:
    """Return the caller. Raises: AccessDenied unless it is an operator."""
    served.whole(who)
    return who


_Tenant = Annotated[Name, Query(description="The tenant, a wall around its users.")]
_User = Annotated[Name | None, Query(description="Whose memory.")]
_Agent = Annotated[Name | None, Query(description="Narrows to one agent; without a user: the agent's own memory.")]
_Session = Annotated[Name | None, Query(description="Narrows to one session.")]


def scope_query(
    tenant: _Tenant = "default", user: _User = None, agent: _Agent = None, session: _Session = None
) -> Scope:
    """Return the scope that the query parameters name. Raises: InvalidInput if they name nobody."""
    return Scope(tenant, user, agent, session)


def maybe_scope_query(
    tenant: _Tenant = "default", user: _User = None, agent: _Agent = None, session: _Session = None
) -> Scope | None:
    """Return the scope that the query parameters name; None if they name nobody."""
    return None if user is agent is session is None else Scope(tenant, user, agent, session)


def memory_of(request: Request, scope: Scope) -> AsyncMemory:
    """Return the memory as the caller of a request, who is known by now, may use it. Raises: AccessDenied."""
    return serving(request).memory(request.state.caller, scope)


Serves = Annotated[Serving, Depends(serving)]
Asks = Annotated[Caller, Depends(caller)]
Operates = Annotated[Caller, Depends(operator)]
Scoped = Annotated[Scope, Depends(scope_query)]
