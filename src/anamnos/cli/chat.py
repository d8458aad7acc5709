"""Talk with any OpenAI-compatible model that remembers, or, without one, with the memory itself."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

import click
from rich.text import Text

from anamnos.cli.context import Target, command, is_interactive
from anamnos.cli.failures import report
from anamnos.cli.render import console, evidence, safe
from anamnos.errors import AnamnosError, ConfigError, InvalidInput, NotFound, ProviderError

if TYPE_CHECKING:
    from anamnos.cli.chat_model import Talker
    from anamnos.cube import CubeId, MemCube, Scope
    from anamnos.memory import Memory
    from anamnos.types import PackedContext

SOURCE = "chat"
_HELP = "/why shows the evidence of the last answer, /forget erases the last question and answer, /forget 3 the memory"
_HELP += " [3] of its evidence, /quit ends."
_NO_MODEL = (
    "No language model is set (--url and --model): questions are answered from memory, in the words that are there."
)


@command("chat")
@click.option("--url", metavar="URL", help="Address of an OpenAI-compatible service; else llm_url of the settings.")
@click.option("--model", metavar="NAME", help="The model's name there; else llm_model of the settings.")
@click.option("--budget", type=click.IntRange(min=1), default=2_000, show_default=True, help="Tokens to recall.")
@click.option(
    "--turns", type=click.IntRange(min=0), default=20, show_default=True, help="Messages of this session to send along."
)
def chat(target: Target, url: str | None, model: str | None, budget: int, turns: int) -> None:
    """Talk with a model that remembers.

    Each line of standard input is a message. What it brings to mind of all sessions goes to the model as quotations,
    and message and reply are remembered. Without a model, questions are answered from memory. --session goes on with
    an earlier conversation. The model's key comes from ANAMNOS_LLM_API_KEY. --json prints a line of JSON per message.

    /why shows the evidence of the last answer, /forget erases the last question and answer, /forget 3 the memory [3] of
    its evidence, /quit ends.

    \b
    Example:
      anamnos chat --user ann --url http://localhost:11434/v1 --model llama3.2
    """
    scope = target.scope()
    if scope.session is None:
        scope = replace(scope, session=f"chat {datetime.now(UTC):%Y-%m-%d %H:%M:%S}")
    with target.open(create=True, llm_url=url, llm_model=model) as memory:
        talk = _Talk(memory, scope, _talker(memory), budget, turns, target.as_json)
        try:
            talk.run()
        finally:
            talk.close()


def _talker(memory: Memory) -> Talker | None:
    settings = memory.settings
    if not settings.llm_url:
        return None
    if settings.llm_url.startswith("recorded:"):
        raise ConfigError("Recorded answers cannot talk.", hint="Give --url the address of a model, or unset llm_url.")
    from anamnos.cli.chat_model import Talker

    return Talker(settings.llm_url, settings.llm_model, api_key=settings.llm_api_key or None)


@dataclass
class _Talk:
    """A conversation: what was said, what the last answer rests on, and where both are remembered."""

    memory: Memory
    scope: Scope
    talker: Talker | None
    budget: int
    turns: int
    as_json: bool
    said: list[MemCube] = field(default_factory=list)
    last: list[CubeId] = field(default_factory=list)
    context: PackedContext | None = None

    def run(self) -> None:
        """Answer line by line, until there is none or /quit comes."""
        self.said = self._earlier()
        self._tell(_HELP if self.talker else f"{_NO_MODEL}\n{_HELP}")
        for line in _lines(prompt=not self.as_json and is_interactive()):
            if line in ("/quit", "/exit"):
                return
            try:
                self._command(line) if line.startswith("/") else self._answer(line)
            except AnamnosError as exc:
                if self.as_json or not isinstance(exc, ProviderError | InvalidInput | NotFound):
                    raise
                report(exc.to_dict(), as_json=False)  # and the conversation goes on

    def close(self) -> None:
        """Close the connection to the model."""
        if self.talker is not None:
            self.talker.close()

    # --- a message

    def _answer(self, text: str) -> None:
        asked_at = datetime.now(UTC)
        here = [cube.id for cube in self.said]
        around = replace(self.scope, session=None) if self.scope.user or self.scope.agent else self.scope
        self.context = self.memory.answer_context(text, around, token_budget=self.budget, filter=_without(here))
        before, self.last = self.said[-self.turns :] if self.turns else [], []
        if self.talker is None:
            reply = self._from_memory(text, around, asked_at)
            self._remember("user", text, asked_at)  # the answer is a quotation of what is remembered already
            self._show(reply)
        else:
            from anamnos.llm.base import Message

            asked = [Message(_role(cube), cube.text) for cube in before]
            system = Message("system", _system(self.scope, self.context, asked_at))
            self._remember("user", text, asked_at)  # before the model is asked: it may fail, the message is kept
            reply = "".join(self._shown(self.talker.reply([system, *asked, Message("user", text)])))
            self._remember("assistant", reply, datetime.now(UTC))
        if self.as_json:
            self._print(
                {
                    "message": text,
                    "reply": reply,
                    "model": self.talker.model if self.talker else None,
                    "session": self.scope.session,
                    "ids": self.last,
                    "evidence": {str(n): cube.id for n, cube in self.context.citations.items()},
                }
            )

    def _from_memory(self, text: str, around: Scope, asked_at: datetime) -> str:
        found = self.memory.ask(text, around, asked_at=asked_at, token_budget=self.budget)
        self.context = found.context
        if found.not_in_memory:
            return "Nothing in memory answers that. What you said is remembered."
        return found.text + "".join(f" [{number}]" for number in found.citations)

    def _remember(self, role: str, text: str, said_at: datetime) -> None:
        if not text.strip():
            return
        name = {"name": self.scope.user} if role == "user" and self.scope.user else {}
        message = {"role": role, "content": text, "created_at": said_at, "id": uuid4().hex, **name}
        done = self.memory.add(message, self.scope, source=SOURCE)
        self.last += done.ids
        self.said.append(self.memory.get(done.ids[0], self.scope))

    def _earlier(self) -> list[MemCube]:
        from anamnos.types import where

        return self.memory.list(self.scope, filter=where(source=SOURCE, role="turn"), limit=None)

    # --- commands

    def _command(self, line: str) -> None:
        name, _, rest = line.partition(" ")
        if name == "/why" and not rest:
            self._why()
        elif name == "/forget":
            self._forget(rest.strip())
        elif name == "/help":
            self._tell(_HELP)
        else:
            raise InvalidInput(f"There is no command {line.split()[0]}.", hint=_HELP)

    def _why(self) -> None:
        if self.context is None:
            raise InvalidInput("Nothing was asked yet.", hint="Ask something first.")
        if self.as_json:
            self._print({"why": self.context.to_dict()})
        elif self.context.citations:
            console().print(evidence(self.context))
        else:
            console().print(Text("Nothing that is remembered was at hand."))

    def _forget(self, number: str) -> None:
        ids: list[CubeId] = list(self.last)
        if number:
            cited = self.context.citations if self.context is not None else {}
            if not number.isdecimal() or int(number) not in cited:
                raise InvalidInput(f"The last answer has no evidence [{number}].", hint="See its numbers with /why.")
            ids = [cited[int(number)].id]
        if not ids:
            raise InvalidInput("Nothing was said yet that could be forgotten.", hint="Say something first.")
        around = replace(self.scope, session=None) if self.scope.user or self.scope.agent else self.scope
        receipt = self.memory.delete(ids, around)
        self.said = [cube for cube in self.said if cube.id not in receipt.ids]
        self.last = [cube_id for cube_id in self.last if cube_id not in receipt.ids]
        if number and self.context is not None:
            left = {n: cube for n, cube in self.context.citations.items() if cube.id not in receipt.ids}
            self.context = replace(self.context, text="", evidence="", citations=left)
        if self.as_json:
            self._print({"forgot": list(receipt.ids)})
        else:
            self._tell(f"Erased: {len(receipt.ids)}.")

    # --- output

    def _show(self, reply: str) -> None:
        if not self.as_json:
            click.echo(safe(reply))

    def _shown(self, pieces: Iterator[str]) -> Iterator[str]:
        """Yield the pieces of a reply, and show them as they come."""
        for piece in pieces:
            if not self.as_json:
                click.echo(safe(piece), nl=False)
            yield piece
        if not self.as_json:
            click.echo()

    def _tell(self, text: str) -> None:
        if not self.as_json:
            click.secho(text, fg="bright_black", err=True)

    def _print(self, document: dict[str, Any]) -> None:
        click.echo(json.dumps(document, ensure_ascii=True))


def _lines(*, prompt: bool) -> Iterator[str]:
    """Yield the lines of standard input that hold something. Raises: InvalidInput for one that is not UTF-8."""
    while True:
        if prompt:
            click.echo("> ", nl=False)
        raw: bytes = sys.stdin.buffer.readline()
        if not raw:
            return
        try:
            line = raw.decode("utf-8-sig").strip()
        except UnicodeDecodeError as exc:
            raise InvalidInput("A line of standard input is not valid UTF-8.", hint="Convert it with iconv.") from exc
        if line:
            yield line


def _without(ids: list[CubeId]) -> Any:
    """Return a filter that leaves out what the model is told anyway; None if there is nothing."""
    from anamnos.types import Comparison, Field, Not, Where

    return Not(Where(Field.ID, Comparison.IN, ids)) if ids else None


def _role(cube: MemCube) -> Literal["user", "assistant"]:
    return "assistant" if cube.provenance.actor == "assistant" else "user"


def _system(scope: Scope, context: PackedContext, now: datetime) -> str:
    """Return what the model is told: who and when, and the memories, as data."""
    from anamnos.compat.fence import fenced

    whom = f" with {scope.user}" if scope.user else ""
    told = f"You talk{whom} and remember earlier conversations. It is {now:%A, %Y-%m-%d %H:%M} UTC."
    return f"{told}\n\n{recalled}" if (recalled := fenced(context)) else told
