"""How memories change by themselves: facts found, put in order, corrected, merged; sleep."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response

from anamnos.memory.core import Progress
from anamnos.server import streaming
from anamnos.server.answers import CalibrationOut, FadingsOut, ReceiptOut, SleepOut
from anamnos.server.dependencies import Asks, Scoped, Serves
from anamnos.server.models import Calibrate, Consolidate, Correct, DecayName, Enrich, Merge, OfOne, Resolve
from anamnos.server.route import ONCE, Route
from anamnos.server.shapes import calibration
from anamnos.server.streaming import NDJSON

router = APIRouter(prefix="/v1", tags=["evolve"], route_class=Route)

LINES: dict[int | str, dict[str, Any]] = {200: {"content": {NDJSON: {"schema": {"type": "string"}}}}}
"""Of routes that tell their progress line by line, if ``Accept`` says so."""


@router.post("/enrich", response_model=ReceiptOut, responses=LINES)
async def enrich(request: Request, body: Enrich, who: Asks, served: Serves) -> Response:
    """Find facts, preferences, names and times in turns and notes, and remember them beside these."""
    scope = body.scope.scope()
    memory = served.memory(who, scope).memory

    def work(progress: Progress) -> dict[str, Any]:
        return served.wrote(memory.enrich(scope, extractor=body.extractor, progress=progress))

    return await streaming.answer(request, served, work, "receipt")


@router.post("/resolve", response_model=ReceiptOut, responses=LINES)
async def resolve(request: Request, body: Resolve, who: Asks, served: Serves) -> Response:
    """Put new facts in order with known ones: what has changed, is said again, or contradicts."""
    scope = body.scope.scope()
    memory = served.memory(who, scope).memory

    def work(progress: Progress) -> dict[str, Any]:
        return served.wrote(memory.resolve(scope, resolver=body.resolver, progress=progress))

    return await streaming.answer(request, served, work, "receipt")


@router.post("/correct", response_model=ReceiptOut, dependencies=ONCE)
async def correct(body: Correct, who: Asks, served: Serves) -> JSONResponse:
    """Take in a correction in words, such as "no, it's X"."""
    scope = body.scope.scope()
    return served.receipt(await served.memory(who, scope).correct(scope=scope, **body.rest()))


@router.post("/merge", response_model=ReceiptOut, dependencies=ONCE)
async def merge(body: Merge, who: Asks, served: Serves) -> JSONResponse:
    """Make one memory of several: the newest stands for all."""
    scope = body.scope.scope()
    return served.receipt(await served.memory(who, scope).merge(body.ids, scope))


@router.post("/unmerge", response_model=ReceiptOut, dependencies=ONCE)
async def unmerge(body: OfOne, who: Asks, served: Serves) -> JSONResponse:
    """Part a memory from those that it was merged with."""
    scope = body.scope.scope()
    return served.receipt(await served.memory(who, scope).unmerge(body.id, scope))


@router.post("/consolidate", response_model=SleepOut, responses=LINES)
async def consolidate(request: Request, body: Consolidate, who: Asks, served: Serves) -> Response:
    """Sleep: repetitions, topics, reflections, replay, what fades."""
    scope = body.scope.scope()
    memory = served.memory(who, scope).memory

    def work(progress: Progress) -> dict[str, Any]:
        return memory.consolidate(scope, progress=progress, **body.rest()).to_dict()

    return await streaming.answer(request, served, work, "report")


@router.get("/retention", response_model=FadingsOut)
async def retention(
    scope: Scoped,
    who: Asks,
    served: Serves,
    decay: Annotated[DecayName, Query(description="The rule of forgetting.")] = "fsrs",
    turns: Annotated[bool, Query(description="Whether what people said fades too.")] = False,
) -> JSONResponse:
    """Return how much is left of each memory, and what it would become."""
    found = await served.memory(who, scope).retention(scope, decay=decay, turns=turns)
    return JSONResponse({"items": [each.to_dict() for each in found]})


@router.post("/calibrate", response_model=CalibrationOut)
async def calibrate(body: Calibrate, who: Asks, served: Serves) -> JSONResponse:
    """Fit the weights of the recipe to questions whose answers are known. To adopt them, an operator is needed:
    they hold for the whole vault."""
    scope = body.scope.scope()
    memory = served.whole(who) if body.adopt else served.memory(who, scope)
    asked = [(one.question, one.answers) for one in body.questions]
    found = await memory.calibrate(asked, scope, adopt=body.adopt)
    if body.adopt:
        served.pool.forget()
    return JSONResponse(calibration(found))
