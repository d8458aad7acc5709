"""``mcp``: the memory as tools of an assistant, over standard input and output or HTTP."""

from __future__ import annotations

import logging
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from anamnos.cli.context import Target, command, print_json
from anamnos.errors import ConfigError, MissingExtra

if TYPE_CHECKING:
    from anamnos.cube import Scope
    from anamnos.memory import Memory


@command("mcp")
@click.option("--reference", is_flag=True, help="Offer the tools of the reference MCP memory server instead.")
@click.option("--http", is_flag=True, help="Serve streamable HTTP at /mcp, to callers with keys.")
@click.option("--host", metavar="ADDRESS", help="With --http: 127.0.0.1 by default: only this machine.")
@click.option("--port", type=click.IntRange(0, 65_535), help="With --http: 8787 by default; 0: any that is free.")
@click.option("--auth", type=click.Choice(["keys", "none"]), help="With --http. none: without keys.")
@click.option(
    "--print-config",
    type=click.Choice(["desktop", "vscode"]),
    is_flag=False,
    flag_value="desktop",
    metavar="[desktop|vscode]",
    help="Print what to put into the settings of an assistant, and exit.",
)
@click.option(
    "--import",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Remember the memory.jsonl of the reference server, and exit.",
)
def mcp(
    target: Target,
    reference: bool,
    http: bool,
    host: str | None,
    port: int | None,
    auth: str | None,
    print_config: str | None,
    file: Path | None,
) -> None:
    """Offer the memory to an assistant.

    It speaks the Model Context Protocol. The assistant starts this command itself, and talks to it over standard input
    and output. All its tools work in the scope that the options name, and cannot leave it.

    \b
    Example:
      anamnos mcp --user ann --print-config
      anamnos mcp --user ann
      anamnos mcp --http --port 8788
    """
    if not http and (host, port, auth) != (None, None, None):
        raise ConfigError("--host, --port and --auth are for --http.", hint="Add --http, or leave them out.")
    if print_config is not None:
        print_json(_settings(target, print_config, reference=reference, http=http, host=host, port=port))
        return
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)  # standard output belongs to the protocol
    scope = target.scope_or_none() if http else target.scope()
    if file is not None:
        _read(target, file)
    elif http:
        _serve_http(target, scope, reference, {"host": host, "port": port, "auth": auth})
    else:
        _serve_stdio(target.open(create=True), target.scope(), reference)


def _serve_stdio(memory: Memory, scope: Scope, reference: bool) -> None:
    from anamnos.memory import AsyncMemory
    from anamnos.server.mcp import Place, make_server

    with memory:
        place = Place(AsyncMemory(memory), scope)
        make_server(place, reference=reference).run("stdio")


def _serve_http(target: Target, scope: Scope | None, reference: bool, options: dict[str, Any]) -> None:
    try:
        from anamnos.server import running
        from anamnos.server.auth import session_key
        from anamnos.server.mcp.http import PATH, create_app
    except ImportError as exc:
        raise MissingExtra("MCP over HTTP", "server,mcp") from exc
    from anamnos.config import check_bind, load_server_settings

    settings = load_server_settings(target.folder, options)
    memory = target.open(create=True)
    try:
        keys_exist = bool(memory.keys.list())
        check_bind(settings, keys_exist)
        key = session_key() if settings.auth == "keys" and not keys_exist else None
        at = running.listen(settings)
        app = create_app(memory, settings, within=scope, reference=reference, session_key=key)
    except BaseException:
        memory.close()
        raise

    def ready() -> None:
        click.echo(f"MCP at {running.address(at)}{PATH}", err=True)
        if key is not None:
            click.echo(f"There is no key, so this one counts until the server stops: {key}", err=True)

    running.run(app, at, ready=ready)


def _read(target: Target, file: Path) -> None:
    from anamnos.server.mcp.graph import Graph

    with target.open(create=True) as memory:
        entities, relations = Graph(memory, target.scope()).read_file(file)
    if target.as_json:
        print_json({"entities": entities, "relations": relations})
    else:
        click.echo(f"New: {entities} entities and {relations} relations.")


def _settings(
    target: Target, kind: str, *, reference: bool, http: bool, host: str | None, port: int | None
) -> dict[str, Any]:
    """Return what an assistant's settings must say to use this memory."""
    server: dict[str, Any]
    if http:
        from anamnos.config import load_server_settings

        settings = load_server_settings(target.folder, {"host": host, "port": port})
        server = {
            "type": "http",
            "url": f"http://{settings.host}:{settings.port}/mcp",
            "headers": {"Authorization": "Bearer KEY"},
        }
    else:
        target.scope()  # else the assistant would start a command that ends at once
        program = shutil.which("anamnos")
        server = {"command": program or sys.executable, "args": [] if program else ["-m", "anamnos"]}
        server["args"] += ["mcp", "--vault", str(target.folder.absolute())]
        for part in ("tenant", "user", "agent", "session"):
            name = getattr(target, part)
            if name and (part, name) != ("tenant", "default"):
                server["args"] += [f"--{part}", name]
        if target.embedder:
            server["args"] += ["--embedder", target.embedder]
        if reference:
            server["args"].append("--reference")
        if kind == "vscode":
            server = {"type": "stdio", **server}
    return {"servers" if kind == "vscode" else "mcpServers": {"memory": server}}
