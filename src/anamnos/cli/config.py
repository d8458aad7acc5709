"""Set up: ``config show``."""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from anamnos.cli.context import Target, command, print_json
from anamnos.cli.lazy import Context
from anamnos.cli.render import console, safe, table
from anamnos.config import FILE_NAME, PREFIX, Settings, load_settings

_HIDDEN = "(hidden)"
_PASSWORD = re.compile(r"//\S*@")
_IN_QUERY = re.compile(r"(?<=[?&])((?:ssl)?password=|token=)[^&]*")


class _Group(click.Group):
    context_class = Context


@click.group("config", cls=_Group)
def config() -> None:
    """Show the settings and where they come from."""


@command("show", embedder=True)
def show(target: Target) -> None:
    """Show each setting, its value and where it comes from.

    \b
    Example:
      anamnos config show --vault my-vault
    """
    rows = setting_rows(target)
    if target.as_json:
        print_json({"settings": rows})
        return
    listing = table("setting", "value", "from", wide="value")
    for row in rows:
        value = "" if row["value"] is None else str(row["value"])
        listing.add_row(row["name"], Text(safe(value)), Text(safe(row["source"]), style="dim"))
    console().print(listing)


config.add_command(show)


def setting_rows(target: Target) -> list[dict[str, Any]]:
    """Return name, value and source of the vault, of the scope, and of every setting; passwords are masked."""
    ctx = click.get_current_context()
    rows = [{"name": "vault", "value": str(target.folder), "source": _source_of(ctx, "vault")}]
    for part in ("tenant", "user", "agent", "session"):
        rows.append({"name": part, "value": getattr(target, part), "source": _source_of(ctx, part)})
    settings = load_settings(target.folder, {"embedder": target.embedder})
    in_file = _names_in(target.folder / FILE_NAME)
    for setting in fields(Settings):
        variable = PREFIX + setting.name.upper()
        source = "default"
        if setting.name == "embedder" and target.embedder is not None:
            source = "command line"
        elif os.environ.get(variable):
            source = variable
        elif setting.name in in_file:
            source = str(target.folder / FILE_NAME)
        value = getattr(settings, setting.name)
        if setting.name.endswith(("_key", "passphrase")) and value:
            value = _HIDDEN
        rows.append({"name": setting.name, "value": masked(value), "source": source})
    return rows


def masked(value: Any) -> Any:
    """Return a value without the name and password that an address may hold.

    >>> masked("openai:model@https://me:secret@host/v1")
    'openai:model@https://…@host/v1'
    >>> masked("https://host:19530?token=secret")
    'https://host:19530?token=…'
    """
    return _IN_QUERY.sub(r"\1…", _PASSWORD.sub("//…@", value)) if isinstance(value, str) else value


def _source_of(ctx: click.Context, part: str) -> str:
    source = ctx.get_parameter_source(part)
    if source is click.core.ParameterSource.ENVIRONMENT:
        return PREFIX + part.upper()
    if source is click.core.ParameterSource.COMMANDLINE:
        return "command line"
    return "default" if part in ("vault", "tenant") else "not set"


def _names_in(path: Path) -> set[str]:
    return set(tomllib.loads(path.read_text("utf-8"))) if path.exists() else set()
