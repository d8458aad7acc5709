"""A group whose commands are imported when they are used, and commands that show their options in sections."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import click
from click.shell_completion import CompletionItem

from anamnos.cli.failures import PipeClosed, colour, exit_status, pipe_closed
from anamnos.errors import InvalidInput


class Lazy(NamedTuple):
    """A command that is not imported yet: ``module:attribute``, and its help in one line."""

    target: str
    help: str


class Formatter(click.HelpFormatter):
    """Help with headings that stand out in a terminal."""

    def write_heading(self, heading: str) -> None:
        self.write(f"{'':>{self.current_indent}}{click.style(heading, bold=True)}\n")


class Context(click.Context):
    formatter_class = Formatter


class Option(click.Option):
    """An option that is shown under ``section`` in the help."""

    def __init__(self, *args: Any, section: str = "Options", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.section = section


class Command(click.Command):
    """A command whose help shows options by section, the general ones last."""

    context_class = Context

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {"Options": []}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record is not None:
                general = "--help" in param.opts
                section = "Everywhere" if general else getattr(param, "section", "Options")
                sections.setdefault(section, []).append(record)
        for name, records in sections.items():
            if records:
                with formatter.section(name):
                    formatter.write_dl(records)


class LazyGroup(click.Group):
    """The root command.

    sections  heading -> name of a command -> where it is; everything but running a command needs only this
    """

    context_class = Context

    def __init__(self, *args: Any, sections: Mapping[str, Mapping[str, Lazy]] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sections = sections or {}
        self.lazy = {name: lazy for section in self.sections.values() for name, lazy in section.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        lazy = self.lazy.get(cmd_name)
        if lazy is None:
            return None
        module, _, attribute = lazy.target.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except OSError as exc:
            if pipe_closed(exc):
                raise PipeClosed from exc
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, self.lazy), default=0)
        for heading, commands in self.sections.items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(width), lazy.help) for name, lazy in commands.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        return [CompletionItem(name, help=lazy.help) for name, lazy in self.lazy.items() if name.startswith(incomplete)]

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> Any:
        """Run a command and exit; whatever goes wrong becomes a message on standard error and an exit status."""
        words = list(sys.argv[1:] if args is None else args)
        extra["standalone_mode"] = False
        extra.setdefault("color", colour())
        try:
            _check_words(words)
            done = super().main(None if args is None else words, *rest, **extra)
            sys.stdout.flush()
        except Exception as exc:  # the border of the process
            sys.exit(exit_status(exc, as_json="--json" in words))
        except KeyboardInterrupt:
            sys.exit(exit_status(click.Abort(), as_json=False))
        sys.exit(done if isinstance(done, int) else 0)


def _check_words(words: Sequence[str]) -> None:
    for number, word in enumerate(words, start=1):
        try:
            word.encode("utf-8")
        except UnicodeEncodeError as exc:
            raise InvalidInput(
                f"Argument {number} is not valid UTF-8: {os.fsencode(word)!r}.",
                hint="Set the terminal to UTF-8, or hand the text over on standard input: anamnos add -",
            ) from exc


__all__ = ["Command", "Lazy", "LazyGroup", "Option"]
