"""The options that narrow which memories are looked at, and the filter that they come to."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any

import click

from anamnos.cli.context import moment
from anamnos.cli.lazy import Option
from anamnos.cube import Role, State
from anamnos.errors import InvalidInput
from anamnos.types import And, Filter, filter_from_dict, where

WHICH = "Which memories"


def _option(*names: str, **attributes: Any) -> Callable[..., Any]:
    return click.option(*names, cls=Option, section=WHICH, **attributes)


_OPTIONS = (
    _option(
        "--role",
        "roles",
        multiple=True,
        type=click.Choice([str(role) for role in Role]),
        metavar="ROLE",
        help=f"{', '.join(Role)}.",
    ),
    _option("--tag", "tags", multiple=True, help="Has this tag; several: has all of them."),
    _option("--since", metavar="TIME", help="Created then or later; without a zone: UTC."),
    _option("--until", metavar="TIME", help="Created before then."),
    _option("--speaker", metavar="NAME", help="Said by them."),
    _option("--source", "from_source", metavar="NAME", help="Read from there."),
    _option("--contains", metavar="WORDS", help="Has these words just as they are, in upper or lower case."),
    _option(
        "--state",
        "states",
        multiple=True,
        type=click.Choice([str(state) for state in State]),
        metavar="STATE",
        help=f"{', '.join(State)}.",
    ),
    _option(
        "--filter", "tree", metavar="JSON", help='A filter such as {"field": "importance", "op": "ge", "value": 0.8}.'
    ),
)


def filter_options(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that narrow, and hand them to it as ``filter``."""

    @functools.wraps(function)
    def run(
        *args: Any,
        roles: tuple[str, ...],
        tags: tuple[str, ...],
        since: str | None,
        until: str | None,
        speaker: str | None,
        from_source: str | None,
        contains: str | None,
        states: tuple[str, ...],
        tree: str | None,
        **kwargs: Any,
    ) -> None:
        simple = where(
            role=roles or None,
            state=states or None,
            tags=tags,
            since=moment("--since", since),
            until=moment("--until", until),
            actor=speaker,
            source=from_source,
            contains=contains,
        )
        function(*args, filter=_both(simple, _tree(tree)), **kwargs)

    wrapped: Callable[..., None] = run
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def _tree(text: str | None) -> Filter | None:
    if text is None:
        return None
    try:
        return filter_from_dict(json.loads(text))
    except (ValueError, RecursionError) as exc:
        raise InvalidInput(f"--filter is not JSON: {exc}.", hint="Put it in single quotes.") from exc


def _both(first: Filter | None, second: Filter | None) -> Filter | None:
    if first is None or second is None:
        return first or second
    return And((first, second))
