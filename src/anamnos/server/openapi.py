"""The OpenAPI file: what FastAPI makes of the routes, with what it cannot know."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter

from anamnos.server.answers import Problem
from anamnos.server.models import FILTER_MARK, FILTER_SCHEMA
from anamnos.server.problems import MEDIA_TYPE

OPEN = ("/healthz", "/readyz", "/v1/plots", "/v1/plots/{name}")  # need no key
_REFUSALS = {
    "401": "Nobody is known by this key.",
    "403": "The caller may not do this.",
    "422": "Something in the request cannot be used.",
    "429": "Too many requests.",
    "default": "Any other error.",
}
_FILTER = {"$ref": "#/components/schemas/Filter"}


def install(app: FastAPI) -> None:
    """Let an application describe itself so."""

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            app.openapi_schema = _completed(made)
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]


def _completed(made: dict[str, Any]) -> dict[str, Any]:
    """Return a description with its problems, its keys and the schema of filters."""
    parts = made.setdefault("components", {})
    schemas = parts.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = TypeAdapter(Problem).json_schema()
    schemas["Filter"] = FILTER_SCHEMA
    parts["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer", "description": "A key, or a token."}}
    problem = {"content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    for path, operations in made["paths"].items():
        for operation in operations.values():
            answers = operation["responses"]
            answers.pop("422", None)
            needed = {"default": _REFUSALS["default"]} if path in OPEN else _REFUSALS
            answers |= {status: {"description": told, **problem} for status, told in needed.items()}
            for status, answer in answers.items():
                if status.startswith(("4", "5")):
                    answer.update(problem)
            if path not in OPEN:
                operation["security"] = [{"key": []}]
    found: dict[str, Any] = _with_filters(made)
    return found


def _with_filters(part: Any) -> Any:
    if isinstance(part, dict):
        if FILTER_MARK in part:
            return _FILTER
        return {name: _with_filters(value) for name, value in part.items()}
    return [_with_filters(value) for value in part] if isinstance(part, list) else part
