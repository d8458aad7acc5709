"""``serve``: the memory over the network, as REST, a web page and MCP."""

from __future__ import annotations

import contextlib
import html
import sys
import tempfile
import webbrowser
from pathlib import Path
from typing import Any

import click

from anamnos.cli.context import Target, command, print_json
from anamnos.cli.render import safe
from anamnos.config import check_bind, is_loopback, load_server_settings
from anamnos.errors import MissingExtra

_OFF = "Off by default."


def _switch(value: bool | None) -> str | None:
    return None if value is None else "on" if value else "off"


@command("serve", scope=False)
@click.option("--host", metavar="ADDRESS", help="Where to listen; 127.0.0.1 by default: only this machine.")
@click.option("--port", type=click.IntRange(0, 65_535), help="8787 by default; 0: any that is free.")
@click.option("--auth", type=click.Choice(["keys", "none"]), help="none: everybody on this machine may do everything.")
@click.option("--open", "open_", is_flag=True, help="Open the page in the browser.")
@click.option("--web/--no-web", default=None, help="Serve the page at /; on by default.")
@click.option("--mcp/--no-mcp", default=None, help=f"Serve MCP at /mcp. {_OFF}")
@click.option("--otel/--no-otel", default=None, help=f"Send traces to where OTEL_EXPORTER_OTLP_ENDPOINT says. {_OFF}")
@click.option("--cors", metavar="ORIGINS", help="Pages of elsewhere that may use it, with commas between.")
@click.option("--hosts", metavar="NAMES", help="Further names that it is reached by, with commas between.")
def serve(
    target: Target,
    host: str | None,
    port: int | None,
    auth: str | None,
    open_: bool,
    web: bool | None,
    mcp: bool | None,
    otel: bool | None,
    cors: str | None,
    hosts: str | None,
) -> None:
    """Serve the memory: REST, a web page, MCP.

    It listens on this machine only, unless --host says otherwise. As long as there is no key (see: anamnos keys), it
    makes one for this run and shows the link that holds it. All settings: docs/reference/settings.md. Stop it with
    Ctrl-C or SIGTERM; what is in progress is brought to its end.

    \b
    Example:
      anamnos serve --open
    """
    try:
        from anamnos.server import running
        from anamnos.server.app import create_app
        from anamnos.server.auth import session_key
    except ImportError as exc:
        raise MissingExtra("anamnos serve", "server") from exc
    explicit: dict[str, Any] = {"host": host, "port": port, "auth": auth, "cors": cors, "hosts": hosts}
    explicit |= {"web": _switch(web), "mcp": _switch(mcp), "otel": _switch(otel)}
    settings = load_server_settings(target.folder, explicit)
    memory = target.open(create=True)
    try:
        keys_exist = bool(memory.keys.list())
        check_bind(settings, keys_exist)
        wanted = open_ or (not keys_exist and is_loopback(settings.host))  # it is printed, so not where others read it
        key = session_key() if settings.auth == "keys" and wanted else None
        at = running.listen(settings)
        app = create_app(memory, settings, session_key=key)
    except BaseException:
        memory.close()
        raise
    url = running.address(at)
    link = url if key is None else f"{url}/#key={key}"

    kept = contextlib.ExitStack()

    def ready() -> None:
        if target.as_json:
            print_json({"url": url, "vault": str(target.folder), "key": key})
        else:
            click.echo(f"Anamnos serves {safe(str(target.folder))} at {url}")
            if key is not None:
                click.echo(f"Open {link}\nIts key counts until the server stops.")
        sys.stdout.flush()
        if open_:
            webbrowser.open(_way(link, kept))

    with kept:
        running.run(app, at, ready=ready)


def _way(link: str, kept: contextlib.ExitStack) -> str:
    """Return the address of a file that leads to a link, until ``kept`` ends: the words with which a browser is started
    are seen by every account of the machine, and the link holds a key."""
    folder = kept.enter_context(tempfile.TemporaryDirectory(prefix="anamnos-"))
    page = Path(folder) / "open.html"
    page.write_text(f'<!doctype html><meta http-equiv="refresh" content="0; url={html.escape(link)}">', "utf-8")
    return page.as_uri()
