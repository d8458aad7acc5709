"""Errors as ``application/problem+json`` (RFC 9457): what was wrong, what to do, and nothing of the inside."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from anamnos.errors import AnamnosError

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
_SCHEMA = "What each route takes: /openapi.json."
_CODES = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    408: "timeout",
    412: "precondition_failed",
    413: "limit",
    415: "unsupported_media_type",
}


class Unmet(Exception):
    """A request that is refused for what HTTP says of it, not the memory.

    status  such as 415
    more    further members of the problem, such as ``current_version``
    """

    def __init__(self, status: int, message: str, hint: str = "", **more: Any) -> None:
        super().__init__(message)
        self.status, self.message, self.hint, self.more = status, message, hint, more


def problem(
    status: int,
    code: str,
    message: str,
    hint: str = "",
    *,
    retryable: bool = False,
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> JSONResponse:
    """Return an answer that says what was wrong."""
    body = document(status, code, message, hint, retryable=retryable, **more)
    return JSONResponse(body, status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def document(
    status: int, code: str, message: str, hint: str = "", *, retryable: bool = False, **more: Any
) -> dict[str, Any]:
    """Return a problem as JSON data."""
    return {
        "type": f"/docs/errors#{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": message,
        "hint": hint,
        "code": code,
        "retryable": retryable,
        **more,
    }


def of_error(exc: AnamnosError) -> dict[str, Any]:
    """Return the problem of an error of the library. What only concerns the server is told to its log alone."""
    said = exc.to_dict()
    code, message, hint = said.pop("error"), said.pop("message"), said.pop("hint")
    if exc.http_status >= 500 and exc.http_status not in (502, 503):
        number = _logged(exc)
        message, hint = "The server could not do this.", f"Its log says why, under {number}."
        said["id"] = number
    return document(exc.http_status, code, message, hint, **said)


def of_unexpected(exc: BaseException) -> dict[str, Any]:
    """Return the problem of an error that nobody foresaw, and log it under the number that the problem names."""
    number = _logged(exc)
    message, hint = "The server could not do this: a fault of its own.", f"Its log says more, under {number}."
    return document(500, "internal", message, hint, id=number)


def of_any(exc: Exception) -> dict[str, Any]:
    """Return the problem of whatever went wrong."""
    return of_error(exc) if isinstance(exc, AnamnosError) else of_unexpected(exc)


def install(app: FastAPI, routes: Sequence[BaseRoute] = ()) -> None:
    """Make every error of an application a problem.

    routes  of the application, for it to say which methods an address has
    """

    async def library(request: Request, exc: AnamnosError) -> JSONResponse:
        body = of_error(exc)
        headers = dict(getattr(exc, "headers", None) or {})
        if body["status"] == 503:
            headers.setdefault("Retry-After", "1")
        return JSONResponse(body, body["status"], headers=headers, media_type=MEDIA_TYPE)

    async def unmet(request: Request, exc: Unmet) -> JSONResponse:
        return problem(exc.status, _CODES.get(exc.status, "error"), exc.message, exc.hint, **exc.more)

    async def invalid(request: Request, exc: RequestValidationError) -> JSONResponse:
        wrong = [{"at": ".".join(map(str, one["loc"])), "message": _said(one["msg"])} for one in exc.errors()][:20]
        return problem(422, "invalid_input", f"{wrong[0]['at']}: {wrong[0]['message']}", _SCHEMA, errors=wrong)

    async def http(request: Request, exc: HTTPException) -> JSONResponse:
        code = _CODES.get(exc.status_code, "error")
        headers = dict(exc.headers or {})
        if exc.status_code == 405:
            headers["Allow"] = ", ".join(sorted(_methods([*routes, *app.routes], request)))
        return problem(exc.status_code, code, f"{exc.detail}.", headers=headers)

    handlers: dict[type[Exception], Any] = {
        AnamnosError: library,
        Unmet: unmet,
        RequestValidationError: invalid,
        HTTPException: http,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


def _said(message: str) -> str:
    return message.removeprefix("Value error, ")


def _methods(routes: Iterable[BaseRoute], request: Request) -> set[str]:
    """Return the methods that an address has: each of its routes knows only its own."""
    scope, found = {**request.scope, "method": "?"}, set[str]()
    for route in routes:
        if route.matches(scope)[0] is not Match.NONE:
            found |= getattr(route, "methods", None) or set()
    return found


class Unexpected:
    """Answers with a problem where something goes wrong that nobody foresaw; its words reach no log."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def told(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, told)
        except AnamnosError:
            raise  # of a body that is too long: whoever raised it answers
        except Exception as exc:
            body = of_unexpected(exc)
            if started or scope["type"] != "http":  # too late for an answer: the connection breaks off
                raise RuntimeError(body["hint"]) from None
            await JSONResponse(body, 500, media_type=MEDIA_TYPE)(scope, receive, told)


def _logged(exc: BaseException) -> str:
    """Log an error without its words, which may be somebody's, and return the number of the entry."""
    number, places, trace = secrets.token_hex(6), [], exc.__traceback__
    while trace is not None:
        places.append(f"{trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}")
        trace = trace.tb_next
    log.error("request failed %s: %s at %s", number, type(exc).__name__, " < ".join(reversed(places[-12:])))
    return number
