"""Errors at the border of the process: a message on standard error, and the exit status that goes with it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
import traceback
from typing import Any

import click

from anamnos.errors import AnamnosError

USAGE, INTERRUPTED, PIPE_CLOSED = 2, 130, 141  # 128 + the number of the signal, as a shell has it


class PipeClosed(Exception):
    """The reader of our output is gone. Wraps the OSError, for which click has a status of its own."""


def colour() -> bool | None:
    """Return False if the user wants no colours (https://no-color.org), else None: the stream decides."""
    return False if os.environ.get("NO_COLOR") else None


def exit_status(exc: BaseException, *, as_json: bool) -> int:
    """Report ``exc`` on standard error and return the status to exit with."""
    if isinstance(exc, PipeClosed) or pipe_closed(exc):
        _silence_stdout()
        return PIPE_CLOSED
    if isinstance(exc, click.Abort):
        click.echo("stopped", err=True)
        return INTERRUPTED
    if isinstance(exc, AnamnosError):
        report(exc.to_dict(), as_json=as_json)
        return exc.exit_code
    if isinstance(exc, click.ClickException):
        report(_as_dict(exc), as_json=as_json)
        return USAGE
    if os.environ.get("ANAMNOS_DEBUG"):
        traceback.print_exception(exc)
    message = f"Something went wrong that should not: {type(exc).__name__}: {exc}"
    report(
        {
            "error": "internal",
            "message": message,
            "hint": "Run it again with ANAMNOS_DEBUG=1 for the traceback, and report it.",
            "retryable": False,
        },
        as_json=as_json,
    )
    return 1


def report(error: dict[str, Any], *, as_json: bool) -> None:
    """Print an error, as ``AnamnosError.to_dict`` gives it, to standard error."""
    if as_json:
        click.echo(json.dumps(error, ensure_ascii=True), err=True)
        return
    click.echo(f"{click.style('error:', fg='red', bold=True)} {error['message']}", err=True, color=colour())
    if error["hint"]:
        click.echo(f"{click.style('hint:', fg='cyan')} {error['hint']}", err=True, color=colour())


def _as_dict(exc: click.ClickException) -> dict[str, Any]:
    ctx = exc.ctx if isinstance(exc, click.UsageError) else None
    hint = f"See: {ctx.command_path} --help" if ctx is not None else ""
    return {"error": "usage", "message": exc.format_message(), "hint": hint, "retryable": False}


def pipe_closed(exc: BaseException) -> bool:
    """Return whether the reader of our output is gone; Windows says EINVAL when it is."""
    on_windows = os.name == "nt" and isinstance(exc, OSError) and exc.errno == errno.EINVAL and exc.filename is None
    return on_windows or isinstance(exc, BrokenPipeError)


def _silence_stdout() -> None:
    """Keep the interpreter from complaining about the closed pipe when it flushes at its end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
