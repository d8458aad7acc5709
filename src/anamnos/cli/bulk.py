"""The options of commands whose work an engine may do: ``--engine``, ``--workers``, ``--ray-address``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from anamnos.system.bulk import ENGINES, resolve_engine

_OPTIONS = (
    click.option(
        "--engine",
        type=click.Choice(ENGINES),
        default="local",
        show_default=True,
        help="Where the costly part is done: in this process, or in worker processes of Ray.",
    ),
    click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Of Ray. Default: as many as processors."),
    click.option("--ray-address", metavar="HOST:PORT", help="A running Ray cluster. Default: this machine alone."),
)


def with_engine(function: Callable[..., None]) -> Callable[..., None]:
    """Return a command that takes these options, and is given the engine instead, not yet entered."""

    @functools.wraps(function)
    def run(*args: Any, engine: str, workers: int | None, ray_address: str | None, **kwargs: Any) -> None:
        function(*args, engine=resolve_engine(engine, workers=workers, address=ray_address), **kwargs)

    for option in reversed(_OPTIONS):
        run = option(run)
    return run
