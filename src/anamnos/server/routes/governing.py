"""Who may do what, what must go when, how much may be held, and who did what."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from fastapi.responses import JSONResponse, Response

from anamnos.errors import NotFound
from anamnos.server.answers import (
    AuditPage,
    ChainOut,
    KeyMade,
    KeysOut,
    PrincipalOut,
    PrincipalsOut,
    QuotaOut,
    RuleOut,
    RulesOut,
)
from anamnos.server.dependencies import Asks, Operates, Scoped, Serves
from anamnos.server.models import Id, KeyIn, Name, PrincipalIn, PrincipalName, QuotaIn, RuleIn
from anamnos.server.route import Route
from anamnos.server.shapes import principal, rule
from anamnos.system.governance.audit import Seen

router = APIRouter(prefix="/v1", tags=["govern"], route_class=Route)

Named = Annotated[PrincipalName, Path(description="user:ann, agent:tutor or role:auditor.")]
RuleName = Annotated[Name, Path()]
_NOTHING: dict[int | str, dict[str, Any]] = {204: {"description": "It is done."}}


@router.get("/principals", name="principals", response_model=PrincipalsOut)
async def list_principals(who: Operates, served: Serves) -> JSONResponse:
    """List who is registered."""
    found = await served.run(served.whole(who).memory.policy.principals)
    return JSONResponse({"items": [principal(each) for each in found]})


@router.get("/principals/{name}", name="principal", response_model=PrincipalOut)
async def get_principal(name: Named, who: Operates, served: Serves) -> JSONResponse:
    """Return one principal."""
    found = await served.run(served.whole(who).memory.policy.principals)
    for each in found:
        if each.name == name:
            return JSONResponse(principal(each))
    raise NotFound(f"There is no principal {name!r} in this vault.")


@router.put("/principals/{name}", name="register", response_model=PrincipalOut)
async def put_principal(name: Named, body: PrincipalIn, who: Operates, served: Serves) -> JSONResponse:
    """Make a principal known, or change what it may do."""
    more = body.model_dump()
    return JSONResponse(principal(await served.run(served.whole(who).memory.policy.register, name, **more)))


@router.delete("/principals/{name}", name="unregister", status_code=204, responses=_NOTHING)
async def delete_principal(name: Named, who: Operates, served: Serves) -> Response:
    """Make a principal unknown. What it wrote stays."""
    await get_principal(name, who, served)  # NotFound, as of other things that are not there
    await served.run(served.whole(who).memory.policy.remove, name)
    return Response(status_code=204)


@router.get("/rules", name="rules", response_model=RulesOut)
async def list_rules(who: Operates, served: Serves) -> JSONResponse:
    """List the rules of retention."""
    found = await served.run(served.whole(who).memory.policy.rules)
    return JSONResponse({"items": [rule(each) for each in found]})


@router.get("/rules/{name}", name="rule", response_model=RuleOut)
async def get_rule(name: RuleName, who: Operates, served: Serves) -> JSONResponse:
    """Return one rule of retention."""
    found = await served.run(served.whole(who).memory.policy.rules)
    for each in found:
        if each.name == name:
            return JSONResponse(rule(each))
    raise NotFound(f"There is no rule {name!r}.")


@router.put("/rules/{name}", name="add_rule", response_model=RuleOut)
async def put_rule(name: RuleName, body: RuleIn, who: Operates, served: Serves) -> JSONResponse:
    """Keep a rule of retention, in place of the one of its name."""
    add = served.whole(who).memory.policy.add_rule
    return JSONResponse(rule(await served.run(add, name, body.filter, body.days, body.action)))


@router.delete("/rules/{name}", name="remove_rule", status_code=204, responses=_NOTHING)
async def delete_rule(name: RuleName, who: Operates, served: Serves) -> Response:
    """Drop a rule of retention."""
    await served.run(served.whole(who).memory.policy.remove_rule, name)
    return Response(status_code=204)


@router.get("/quotas", name="quota", response_model=QuotaOut)
async def get_quota(scope: Scoped, who: Operates, served: Serves) -> JSONResponse:
    """Return the quota that was set for just this scope."""
    found = await served.run(served.whole(who).memory.quotas.get, scope)
    return JSONResponse({"memories": found and found.memories, "bytes": found and found.bytes})


@router.put("/quotas", name="set_quota", response_model=QuotaOut)
async def put_quota(body: QuotaIn, who: Operates, served: Serves) -> JSONResponse:
    """Allow a scope, with all that it covers, to hold so much."""
    await served.run(served.whole(who).memory.quotas.set, body.scope.scope(), **body.rest())
    return JSONResponse({"memories": body.memories, "bytes": body.bytes})


@router.get("/audit", name="audit", response_model=AuditPage)
async def list_audit(
    who: Asks,
    served: Serves,
    after: Annotated[int, Query(ge=0, lt=2**63, description="`next` of the page before.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
    cube_id: Annotated[Id | None, Query(description="About this memory.")] = None,
    principal: Annotated[Name | None, Query(description="By this principal.")] = None,
    verb: Name | None = None,
    decision: Literal["allowed", "denied"] | None = None,
) -> JSONResponse:
    """List who did what with which memory, oldest first: an operator sees all entries, others their own."""
    own, memory = who.owner or who.name, served.pool.memory
    views = [served.pool.view(who.principal(tenant)).memory for tenant in who.tenants or ()]
    if not who.operator and principal not in (None, own):
        return JSONResponse({"items": [], "next": None})

    def visible(seen: Seen) -> bool:
        """Names are not told apart by tenant in the audit: another's ``user:ann`` must not be taken for one's own."""
        if who.operator or who.tenants is None:
            return True
        about = seen.entry.cube_id
        if about is None or seen.entry.decision == "denied":  # a refusal may be a namesake's, and tells what is there
            return False
        return any(view.vault.store.get(about) is not None for view in views)

    def page() -> dict[str, Any]:
        by = principal if who.operator else own
        about = {"cube_id": cube_id, "principal": by, "verb": verb, "decision": decision}
        found: list[Seen] = []
        behind = after
        while len(found) <= limit and (more := memory.audit.list(**about, after=behind, limit=limit + 1)):
            behind = more[-1].entry.seq
            found += filter(visible, more)
        last = found[limit - 1].entry.seq if len(found) > limit else None
        return {"items": [each.to_dict() for each in found[:limit]], "next": last}

    return JSONResponse(await served.run(page))


@router.get("/audit/verify", name="verify_audit", response_model=ChainOut)
async def verify_audit(
    who: Operates,
    served: Serves,
    head: Annotated[str | None, Query(pattern="^[0-9a-f]{64}$", description="What `head` was at some time.")] = None,
) -> JSONResponse:
    """Say whether the audit is whole, and the hash of its newest entry: keep that elsewhere."""
    audit = served.whole(who).memory.audit
    problems = await served.run(audit.verify, head)
    return JSONResponse({"problems": problems, "head": await served.run(audit.head)})


@router.get("/keys", name="keys", response_model=KeysOut)
async def list_keys(who: Operates, served: Serves) -> JSONResponse:
    """List keys, without what opens."""
    found = await served.run(served.whole(who).memory.keys.list)
    return JSONResponse({"items": [each.to_dict() for each in found]})


@router.post("/keys", name="create_key", status_code=201, response_model=KeyMade)
async def create_key(body: KeyIn, who: Operates, served: Serves) -> JSONResponse:
    """Make a key. It is told here and never again."""
    more = {name: getattr(body, name) for name in type(body).model_fields if name != "name"}
    made = await served.run(served.whole(who).memory.keys.create, body.name, **more)
    return JSONResponse({**made.to_dict(), "key": made.text}, 201, headers={"Cache-Control": "no-store"})


@router.delete("/keys/{id}", name="revoke_key", status_code=204, responses=_NOTHING)
async def revoke_key(id: Annotated[str, Path(pattern="^[0-9a-f]{12}$")], who: Operates, served: Serves) -> Response:
    """Revoke a key; it counts no more from now on."""
    await served.run(served.whole(who).memory.keys.revoke, id)
    return Response(status_code=204)
