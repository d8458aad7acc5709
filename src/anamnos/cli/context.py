"""What commands share: the options of vault and scope, opening the memory, reading input, asking back."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from anamnos.cli.lazy import Command, Option
from anamnos.config import default_vault, load_settings
from anamnos.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from datetime import datetime

    from anamnos.cube import Scope
    from anamnos.memory import Memory
    from anamnos.types import Receipt

WHOSE = "Whose memory"
EVERYWHERE = "Everywhere"
_NOBODY = "Say whose memory it is: --user NAME (or --agent, --session), or set ANAMNOS_USER."


@dataclass(frozen=True, slots=True)
class Target:
    """Which vault and whose memory a command works on, as the user said it.

    vault     None: the default one
    embedder  None: what the settings say
    """

    vault: Path | None
    embedder: str | None
    as_json: bool
    tenant: str
    user: str | None
    agent: str | None
    session: str | None

    @property
    def folder(self) -> Path:
        return self.vault if self.vault is not None else default_vault()

    def scope(self) -> Scope:
        """Return the scope. Raises: InvalidInput if the user named nobody."""
        scope = self.scope_or_none()
        if scope is None:
            raise InvalidInput("Nobody is named whose memory this is about.", hint=_NOBODY)
        return scope

    def scope_or_none(self) -> Scope | None:
        """Return the scope, or None if the user named nobody."""
        from anamnos.cube import Scope

        named = {"user": self.user, "agent": self.agent, "session": self.session}
        if not any(named.values()):
            return None
        return Scope(tenant=self.tenant, **{part: name or None for part, name in named.items()})

    def on_server(self, store: str | None = None) -> bool:
        """Return whether the memories are on a server, and not in a file of the vault's folder."""
        return bool(load_settings(self.folder, {"store": store}).store)

    def open(self, *, create: bool = False, embedder: str | None = None, **settings: Any) -> Memory:
        """Open the vault.

        create    make it if it is not there; else a wrong path would look like an empty memory
        embedder  goes before what the user said, as do ``settings``
        Raises: NotFound if it is not there and not to be made.
        """
        if not create and not (self.folder / "anamnos.db").exists() and not self.on_server(settings.get("store")):
            raise NotFound(
                f"There is no vault in {self.folder}.",
                hint="Remember something first with anamnos add, or name another folder with --vault.",
            )
        from anamnos.memory import Memory

        return Memory(self.folder, embedder=embedder or self.embedder, **settings)


def command(name: str, *, scope: bool = True, embedder: bool = True) -> Callable[[Callable[..., None]], click.Command]:
    """Return a decorator that makes a command of a function and gives it a Target as its first argument."""

    def decorate(function: Callable[..., None]) -> click.Command:
        @functools.wraps(function)
        def run(
            *args: Any,
            vault: Path | None,
            as_json: bool,
            embedder: str | None = None,
            tenant: str = "default",
            user: str | None = None,
            agent: str | None = None,
            session: str | None = None,
            **kwargs: Any,
        ) -> None:
            target = Target(vault, embedder, as_json, tenant, user, agent, session)
            function(target, *args, **kwargs)

        made = click.command(name, cls=Command)(run)
        made.params += [
            *(_SCOPE if scope else ()),
            *(option for option in _GENERAL if embedder or option is not _EMBEDDER),
        ]
        return made

    return decorate


def _named(part: str, whose: str, default: str | None = None) -> Option:
    variable = f"ANAMNOS_{part.upper()}"
    return Option(
        [f"--{part}"], section=WHOSE, envvar=variable, show_envvar=True, metavar="NAME", default=default, help=whose
    )


_SCOPE = (
    _named("user", "The user that the memory belongs to."),
    _named("agent", "The agent; left out when reading: all of that user."),
    _named("session", "The session; left out when reading: all of that user."),
    _named("tenant", "The tenant, a wall around its users.", default="default"),
)
_EMBEDDER = Option(
    ["--embedder"],
    section=EVERYWHERE,
    metavar="NAME",
    help="auto, minilm, minilm-int8, hashing, openai:MODEL@URL or st:FOLDER.  [env var: ANAMNOS_EMBEDDER]",
)
_GENERAL = (
    Option(
        ["--vault"],
        section=EVERYWHERE,
        type=click.Path(file_okay=False, path_type=Path),
        envvar="ANAMNOS_VAULT",
        show_envvar=True,
        help="The folder in which the memories live.",
    ),
    _EMBEDDER,
    Option(["--json", "as_json"], section=EVERYWHERE, is_flag=True, help="Print one JSON document and nothing else."),
)


# --- input


def joined(words: Sequence[str], what: str) -> str:
    """Return the words of the command line as one text, or what standard input holds if they are just ``-``."""
    if not words:
        raise InvalidInput(f"The {what} is missing.", hint="Give it in quotes, or - to read standard input.")
    return stdin_text() if list(words) == ["-"] else " ".join(words)


def stdin_text() -> str:
    """Return standard input as text, without the line ends at its end. Raises: InvalidInput if it is not UTF-8."""
    raw: bytes = sys.stdin.buffer.read()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise InvalidInput(
            f"Standard input is not valid UTF-8: byte {exc.start:,} is 0x{raw[exc.start]:02x}.",
            hint="Convert it first, for instance with iconv.",
        ) from exc
    return text.rstrip("\r\n")


def as_of_option(does: str) -> Callable[..., Any]:
    """Return a decorator that gives a command ``--as-of``.

    does  what the command does with what was remembered then, as in "Search"
    """
    told = f"{does} what was remembered, and true, then; without a zone: UTC."
    return click.option("--as-of", metavar="TIME", help=told)


def moment(option: str, text: str | None) -> datetime | None:
    """Return the time that a user wrote; without a zone it is UTC, as the readers of files have it."""
    from datetime import UTC, datetime

    from anamnos.cube import check_time

    if text is None:
        return None
    try:
        when = datetime.fromisoformat(text.strip())
    except ValueError as exc:
        raise InvalidInput(
            f"{option} is not a time: {text!r}.", hint="Write 2025-05-31, 2025-05-31T18:30 or 2025-05-31T18:30+02:00."
        ) from exc
    return check_time(option, when if when.tzinfo else when.replace(tzinfo=UTC))


# --- output and questions


def print_json(document: Any) -> None:
    """Print one JSON document to standard output."""
    encoding = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "")
    click.echo(json.dumps(document, ensure_ascii=encoding != "utf8", indent=2))


def print_receipt(as_json: bool, receipt: Receipt) -> None:
    """Print what became of each memory that a verb was to change."""
    if as_json:
        print_json(receipt.to_dict())
        return
    from rich.text import Text

    from anamnos.cli.render import console

    for cube_id, outcome in zip(receipt.ids, receipt.outcomes, strict=True):
        console().print(Text(outcome, style="dim" if outcome == "unchanged" else "green"), Text(cube_id))
    if not receipt.ids:
        console().print(Text("Nothing had to change.", style="dim"))


def is_interactive() -> bool:
    """Return whether somebody is there to answer a question."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def must_be_interactive(yes: bool) -> None:
    """Raise InvalidInput if a question must be asked and nobody is there to answer it."""
    if not yes and not is_interactive():
        raise InvalidInput(
            "This must be confirmed, and nobody is here to ask.", hint="Add --yes to go on without asking."
        )
