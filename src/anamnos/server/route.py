"""One route: what is asked of every request before its handler runs."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import Depends, Header, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from anamnos.server.dependencies import caller, serving
from anamnos.server.idempotency import HEADER
from anamnos.server.problems import Unmet


def idempotency_key(
    idempotency_key: Annotated[
        str | None,
        Header(min_length=1, max_length=255, description="The same request under the same key is done once in 24 h."),
    ] = None,
) -> None:
    """Say that a route honours ``Idempotency-Key``; ``Route`` does so."""


ONCE = [Depends(idempotency_key)]


class Route(APIRoute):
    """A route whose callers are known before anything is read, which refuses what it does not know.

    An unknown query parameter is refused as an unknown field is: a filter with a slip in its name would pass
    everything.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        known = _query_names(self.dependant)
        takes_json = self.body_field is not None
        once = any(one.dependency is idempotency_key for one in self.dependencies)

        async def run(request: Request) -> Response:
            who = await caller(request)
            if unknown := sorted(set(request.query_params) - known):
                raise Unmet(
                    422, f"There is no parameter {unknown[0]!r} here.", f"There are: {', '.join(sorted(known))}."
                )
            if takes_json and not _is_json(request.headers.get("content-type", "")):
                raise Unmet(415, "The body must be JSON.", "Send Content-Type: application/json.")
            if once and 0 < len(request.headers.get(HEADER, "")) <= 255:
                return await serving(request).once.answer(request, who, handle)
            return await handle(request)

        return run


def _is_json(media_type: str) -> bool:
    kind = media_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def _query_names(dependant: Dependant) -> set[str]:
    """Return the names of the query parameters of a handler and of all that it depends on."""
    names = {field.alias for field in dependant.query_params}
    return names.union(*map(_query_names, dependant.dependencies))
