"""The life of memories: holds, the archive, use, rollback, moves, sharing, expiry, forgetting a person."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from anamnos.server.answers import AdvicesOut, ForgottenOut, ReceiptOut
from anamnos.server.dependencies import Asks, Serves
from anamnos.server.models import Expire, ForgetPerson, Migrate, OfMany, OfOne, Rollback, Scoped, Share, Unshare
from anamnos.server.route import ONCE, Route

router = APIRouter(prefix="/v1", tags=["life"], route_class=Route)


@router.post("/freeze", response_model=ReceiptOut, dependencies=ONCE)
async def freeze(body: OfMany, who: Asks, served: Serves) -> JSONResponse:
    """Put memories under a legal hold: found and read, neither changed nor deleted."""
    scope = body.scope.scope()
    return served.receipt(await served.memory(who, scope).freeze(body.ids, scope))


@router.post("/unfreeze", response_model=ReceiptOut, dependencies=ONCE)
async def unfreeze(body: OfMany, who: Asks, served: Serves) -> JSONResponse:
    """Lift a legal hold."""
    scope = body.scope.scope()
    return served.receipt(await served.memory(who, scope).unfreeze(body.ids, scope))


@router.post("/archive", response_model=ReceiptOut, dependencies=ONCE)
async def archive(body: OfMany, who: Asks, served: Serves) -> JSONResponse:
    """Take memories out of searches without losing them."""
    scope = body.scope.scope()
    return served.receipt(await served.memory(who, scope).archive(body.ids, scope))


@router.post("/reactivate", response_model=ReceiptOut, dependencies=ONCE)
async def reactivate(body: OfMany, who: Asks, served: Serves) -> JSONResponse:
    """Bring memories back that were archived, merged or expired."""
    scope = body.scope.scope()
    return served.receipt(await served.memory(who, scope).reactivate(body.ids, scope))


@router.post("/used", response_model=ReceiptOut, dependencies=ONCE)
async def used(body: OfMany, who: Asks, served: Serves) -> JSONResponse:
    """Note that memories served an answer: what is used stays longer."""
    scope = body.scope.scope()
    return served.receipt(await served.memory(who, scope).used(body.ids, scope))


@router.post("/rollback", response_model=ReceiptOut, dependencies=ONCE)
async def rollback(body: Rollback, who: Asks, served: Serves) -> JSONResponse:
    """Make a memory, or all of a scope, what it was, in new versions."""
    scope = body.scope.scope()
    return served.receipt(await served.memory(who, scope).rollback(scope, **body.rest()))


@router.post("/migrate", response_model=ReceiptOut, dependencies=ONCE)
async def migrate(body: Migrate, who: Asks, served: Serves) -> JSONResponse:
    """Move memories to another role or wording."""
    scope = body.scope.scope()
    return served.receipt(await served.memory(who, scope).migrate(scope=scope, **body.rest()))


@router.post("/migrate-back", response_model=ReceiptOut, dependencies=ONCE)
async def migrate_back(body: OfOne, who: Asks, served: Serves) -> JSONResponse:
    """Undo the last move of a memory."""
    scope = body.scope.scope()
    return served.receipt(await served.memory(who, scope).migrate_back(body.id, scope))


@router.post("/advise", response_model=AdvicesOut)
async def advise(body: Scoped, who: Asks, served: Serves) -> JSONResponse:
    """Say which memories would serve better in another substrate, and why. Changes nothing."""
    scope = body.scope.scope()
    found = await served.memory(who, scope).advise(scope)
    return JSONResponse({"items": [each.to_dict() for each in found]})


@router.post("/share", response_model=ReceiptOut, dependencies=ONCE)
async def share(body: Share, who: Asks, served: Serves) -> JSONResponse:
    """Let others read or write memories."""
    scope = body.scope.scope()
    return served.receipt(await served.memory(who, scope).share(scope=scope, **body.rest()))


@router.post("/unshare", response_model=ReceiptOut, dependencies=ONCE)
async def unshare(body: Unshare, who: Asks, served: Serves) -> JSONResponse:
    """Take back what share gave."""
    scope = body.scope.scope()
    return served.receipt(await served.memory(who, scope).unshare(scope=scope, **body.rest()))


@router.post("/expire", response_model=ReceiptOut, dependencies=ONCE)
async def expire(body: Expire, who: Asks, served: Serves) -> JSONResponse:
    """Do what times to live and rules of retention ask for; without a scope everywhere, which needs an operator."""
    scope = None if body.scope is None else body.scope.scope()
    memory = served.whole(who) if scope is None else served.memory(who, scope)
    return served.receipt(await memory.expire(scope))


@router.post("/forget-person", response_model=ForgottenOut)
async def forget_person(body: ForgetPerson, who: Asks, served: Serves) -> JSONResponse:
    """Erase a user, or a scope, from every file of the vault, and report it. Needs the right `admin`."""
    scope = body.scope.scope()
    report = (await served.memory(who, scope).forget_person(scope, **body.rest())).to_dict()
    if not who.operator:  # where copies lie is for those to know who run the server
        report["copies"] = [copy.partition(" ")[0] for copy in report["copies"]]
    return JSONResponse(report)
