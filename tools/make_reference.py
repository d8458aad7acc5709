"""Bring the generated parts of docs/ up to date: run it after changing a command, a setting, an error or the schema.

Each part stands between ``<!-- made: NAME -->`` and ``<!-- end -->`` in its page; all else is written by hand.
``python tools/make_reference.py --check`` changes nothing and ends with status 1 if a part is out of date.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path

import apsw
import click

import anamnos.cli
from anamnos import errors
from anamnos.cli.main import cli
from anamnos.config import PREFIX, SERVER_PREFIX, ServerSettings, Settings
from anamnos.store.migrations import MIGRATIONS

DOCS = Path(__file__).parent.parent / "docs"
WIDTH = 100


def commands() -> Iterator[tuple[str, click.Command]]:
    """Yield the full name and the command of every command, group and subcommand, in the order of the help."""
    for name, lazy in cli.lazy.items():
        module, _, attribute = lazy.target.partition(":")
        yield from _with_children(f"anamnos {name}", getattr(importlib.import_module(module), attribute))


def _with_children(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        for child, sub in command.commands.items():
            yield from _with_children(f"{name} {child}", sub)


def help_text(name: str, command: click.Command) -> str:
    """Return a command's ``--help`` without colours."""
    ctx = command.context_class(command, info_name=name, terminal_width=WIDTH, max_content_width=WIDTH)
    text = click.unstyle(command.get_help(ctx))
    return "\n".join(line.rstrip() for line in text.split("\n"))


def cli_help() -> str:
    parts = [f"## anamnos\n\n```text\n{help_text('anamnos', cli)}\n```"]
    parts += [f"## {name}\n\n```text\n{help_text(name, command)}\n```" for name, command in commands()]
    return "\n\n".join(parts)


def cli_json() -> str:
    """Return the shapes of ``--json``, which the package ``anamnos.cli`` lists."""
    return f"```text\n{inspect.cleandoc(anamnos.cli.__doc__ or '')}\n```"


def settings_table() -> str:
    return table_of(Settings, PREFIX)


def server_settings_table() -> str:
    return table_of(ServerSettings, SERVER_PREFIX)


def table_of(kind: type[Settings] | type[ServerSettings], prefix: str) -> str:
    """Return a table of settings."""
    told = described(kind)
    lines = ["| setting | environment | default | what it is |", "|---|---|---|---|"]
    for setting in fields(kind):
        default = f"`{setting.default}`" if setting.default != "" else "empty"
        name = f"{prefix}{setting.name.upper()}"
        lines.append(f"| `{setting.name}` | `{name}` | {default} | {told[setting.name]} |")
    return "\n".join(lines)


def described(kind: type) -> dict[str, str]:
    """Return what a docstring says of each name: ``name  words`` lines, with indented continuations."""
    told: dict[str, str] = {}
    last = ""
    for line in inspect.cleandoc(kind.__doc__ or "").split("\n"):
        entry = re.match(r"(\w+) +(.*)", line)
        if entry and entry[1] in {f.name for f in fields(kind)}:  # type: ignore[arg-type]
            last, told[entry[1]] = entry[1], entry[2]
        elif last and line.startswith("  "):
            told[last] += " " + line.strip()
    return {name: words.replace("``", "`") for name, words in told.items()}


def error_classes() -> Iterator[tuple[int, type[errors.AnamnosError]]]:
    """Yield each error class and its depth in the tree, parents first."""

    def walk(kind: type[errors.AnamnosError], depth: int) -> Iterator[tuple[int, type[errors.AnamnosError]]]:
        yield depth, kind
        for child in kind.__subclasses__():
            if child.__module__ == errors.__name__:
                yield from walk(child, depth + 1)

    yield from walk(errors.AnamnosError, 0)


def error_table() -> str:
    lines = ["| class | code | exit | HTTP | retry helps | meaning |", "|---|---|---|---|---|---|"]
    for depth, kind in error_classes():
        indent = "&nbsp;&nbsp;&nbsp;" * depth
        retry = "the error says" if kind is errors.ProviderError else "yes" if kind.retryable else "no"
        meaning = inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0].replace("\n", " ")
        cells = (f"{indent}`{kind.__name__}`", f"`{kind.code}`", kind.exit_code, kind.http_status, retry, meaning)
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def schema() -> str:
    """Return what a new vault has, without the tables that FTS5 makes for itself."""
    db = apsw.Connection(":memory:")
    for step in MIGRATIONS:
        step(db)
    own = "sql IS NOT NULL AND name NOT GLOB 'trigrams_*'"
    statements = [sql for (sql,) in db.execute(f"SELECT sql FROM sqlite_schema WHERE {own} ORDER BY rowid")]
    text = "".join(f"{'' if 'INDEX' in sql.split('(')[0] else chr(10)}{sql};{chr(10)}" for sql in statements)
    return f"```sql\n{text.strip()}\n```"


PARTS: dict[str, tuple[str, Callable[[], str]]] = {
    "cli": ("reference/cli.md", cli_help),
    "cli-json": ("reference/cli.md", cli_json),
    "settings": ("reference/settings.md", settings_table),
    "server-settings": ("reference/settings.md", server_settings_table),
    "errors": ("reference/errors.md", error_table),
    "schema": ("formats/vault.md", schema),
}


def brought_up_to_date(page: str, name: str, part: str) -> str:
    """Return a page with its part ``name`` replaced. Raises: ValueError if the page has no such part."""
    pattern = re.compile(rf"(<!-- made: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    if not pattern.search(page):
        raise ValueError(f"no part {name!r} between markers")
    return pattern.sub(lambda found: f"{found[1]}{part}\n{found[2]}", page)


def main(words: list[str]) -> int:
    stale = []
    for name, (path, make) in PARTS.items():
        page = (DOCS / path).read_text("utf-8")
        new = brought_up_to_date(page, name, make())
        if new != page:
            stale.append(path)
            if "--check" not in words:
                (DOCS / path).write_text(new, "utf-8", newline="\n")
    print("\n".join(f"{path} {'is out of date' if '--check' in words else 'was updated'}" for path in stale))
    return int(bool(stale) and "--check" in words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
