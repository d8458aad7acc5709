"""Background work: see it, add to it, steer it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import JSONResponse

from anamnos.server.answers import JobOut, JobsOut
from anamnos.server.dependencies import Operates, Serves
from anamnos.server.models import NewJob, one_of
from anamnos.server.route import ONCE, Route
from anamnos.store.jobs import JobState

router = APIRouter(prefix="/v1", tags=["jobs"], route_class=Route)

Number = Annotated[int, Path(ge=1, lt=2**63)]
JobStateName = Annotated[str, one_of(JobState)]


@router.get("/jobs", name="jobs", response_model=JobsOut)
async def list_jobs(
    who: Operates,
    served: Serves,
    state: Annotated[list[JobStateName] | None, Query()] = None,
    kind: Annotated[list[str] | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
) -> JSONResponse:
    """List jobs, the newest first, and say how many there are of each kind in each state."""
    jobs = served.whole(who).memory.jobs
    found = await served.run(jobs.list, states=state or (), kinds=kind or (), limit=limit)
    counts = await served.run(jobs.counts)
    return JSONResponse(
        {
            "items": [job.to_dict() for job in found],
            "counts": [{"kind": kind, "state": str(state), "jobs": n} for (kind, state), n in counts.items()],
        }
    )


@router.post("/jobs", name="add_job", status_code=201, response_model=JobOut, dependencies=ONCE)
async def add_job(body: NewJob, who: Operates, served: Serves) -> JSONResponse:
    """Add a job, or return the one that waits under its key."""
    scope = None if body.scope is None else body.scope.scope()
    more = {name: getattr(body, name) for name in ("payload", "key", "priority", "run_after")}
    job = await served.run(served.whole(who).memory.jobs.add, body.kind, scope, **more)
    return JSONResponse(job.to_dict(), 201)


@router.get("/jobs/{number}", name="job", response_model=JobOut)
async def get_job(number: Number, who: Operates, served: Serves) -> JSONResponse:
    """Return one job."""
    return JSONResponse((await served.run(served.whole(who).memory.jobs.get, number)).to_dict())


@router.post("/jobs/{number}/retry", name="retry_job", response_model=JobOut)
async def retry_job(number: Number, who: Operates, served: Serves) -> JSONResponse:
    """Let a dead or waiting job run as soon as may be."""
    return JSONResponse((await served.run(served.whole(who).memory.jobs.retry, number)).to_dict())


@router.post("/jobs/{number}/cancel", name="cancel_job", response_model=JobOut)
async def cancel_job(number: Number, who: Operates, served: Serves) -> JSONResponse:
    """Give a waiting or running job up."""
    return JSONResponse((await served.run(served.whole(who).memory.jobs.cancel, number)).to_dict())
