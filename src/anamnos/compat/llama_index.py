"""LlamaIndex: ``AnamnosMemory``, the memory of an agent, and ``AnamnosBlock``, a block of LlamaIndex' own ``Memory``.

Each message is one memory of the session's scope: its words are the content, the message itself stands beside them as
JSON, so that it comes back as it was. What other sessions of the user said is recalled into the system prompt, as data.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

from anamnos.compat.fence import fenced
from anamnos.compat.records import every, missing, now, record_of, remember
from anamnos.cube import CubeId, MemCube, Role, Scope
from anamnos.errors import InvalidInput
from anamnos.ingest.readers.base import Turn
from anamnos.llm.base import estimate_tokens
from anamnos.memory import Memory
from anamnos.types import Comparison, Field, Not, Where

try:
    from llama_index.core.base.llms.types import ChatMessage, MessageRole  # type: ignore[import-not-found]
    from llama_index.core.bridge.pydantic import PrivateAttr  # type: ignore[import-not-found]
    from llama_index.core.memory import BaseMemory, BaseMemoryBlock  # type: ignore[import-not-found]
except ImportError as exc:
    raise missing("AnamnosMemory", "llama-index-core") from exc

SOURCE = "llama-index"
_OURS = Where(Field.SOURCE, Comparison.EQ, SOURCE)


class AnamnosMemory(BaseMemory):  # type: ignore[misc]  # untyped where it is not installed
    """The memory of an agent: ``agent.run("…", memory=AnamnosMemory(memory, user="ann", session_id="june"))``.

    memory      opened; the caller closes it
    user, agent, tenant, session_id  the scope that messages are written in; without the session, what is recalled from
    token_limit  how much of the session ``get`` returns, counted from its end; estimated
    recall_tokens  how much of other sessions, and of this one's beginning, it puts before that; 0: nothing

    Each ``put`` is durable when it returns. ``set`` erases what the new messages do not begin with, ``reset`` erases
    the session.
    """

    _memory: Memory = PrivateAttr()
    _scope: Scope = PrivateAttr()
    _token_limit: int = PrivateAttr()
    _recall_tokens: int = PrivateAttr()

    def __init__(
        self,
        memory: Memory,
        *,
        session_id: str,
        user: str | None = None,
        agent: str | None = None,
        tenant: str = "default",
        token_limit: int = 24_000,
        recall_tokens: int = 2_000,
    ) -> None:
        super().__init__()
        if token_limit < 1 or recall_tokens < 0:
            raise InvalidInput("token_limit must be at least 1, and recall_tokens at least 0.")
        self._memory = memory
        self._scope = Scope(tenant, user, agent, session_id)
        self._token_limit = token_limit
        self._recall_tokens = recall_tokens

    @classmethod
    def class_name(cls) -> str:
        """``AnamnosMemory``."""
        return "AnamnosMemory"

    @classmethod
    def from_defaults(cls, **options: Any) -> AnamnosMemory:
        """Return the same as the constructor."""
        return cls(**options)

    def get(self, input: str | None = None, **kwargs: Any) -> list[Any]:
        """Return the end of the session, after a system message with what ``input`` or the last question recalls."""
        cubes = self._cubes()
        messages = [_message(cube) for cube in cubes]
        start = _tail(messages, self._token_limit)
        question = input or next((_text(m) for m in reversed(messages) if m.role == MessageRole.USER), "")
        recalled = self._recalled(question, [cube.id for cube in cubes[start:]])
        return [*recalled, *messages[start:]]

    def get_all(self) -> list[Any]:
        """Return all messages of the session in their order."""
        return [_message(cube) for cube in self._cubes()]

    def put(self, message: Any) -> None:
        """Remember a message."""
        self.put_messages([message])

    def put_messages(self, messages: list[Any]) -> None:
        """Remember messages, all or none."""
        _remember(self._memory, messages, self._scope)

    def set(self, messages: list[Any]) -> None:
        """Make the session these messages: what both have from the beginning stays, the rest is erased."""
        cubes, given = self._cubes(), [_dumped(message) for message in messages]
        same = 0
        while same < min(len(cubes), len(given)) and record_of(cubes[same])["message"] == given[same]:
            same += 1
        self._erase(cubes[same:])
        self.put_messages(messages[same:])

    def reset(self) -> None:
        """Erase all messages of the session, and what was derived from them."""
        self._erase(self._cubes())

    def _cubes(self) -> list[MemCube]:
        return _messages_in(self._memory, self._scope)

    def _erase(self, cubes: Sequence[MemCube]) -> None:
        if cubes:
            self._memory.delete([cube.id for cube in cubes], self._scope)

    def _recalled(self, question: str, here: Sequence[CubeId]) -> list[Any]:
        """Return a system message with what the question recalls beside the messages that are sent anyway."""
        text = _context(self._memory, self._scope, question, self._recall_tokens, here)
        return [ChatMessage(role=MessageRole.SYSTEM, content=text)] if text else []


class AnamnosBlock(BaseMemoryBlock[str]):  # type: ignore[misc]  # untyped where it is not installed
    """A block of LlamaIndex' ``Memory``: remembers the messages that leave its short-term memory, and recalls them.

    ``Memory.from_defaults(session_id="june", memory_blocks=[AnamnosBlock(memory, user="ann")])``

    session_id  the session that messages are written in; None: the one that ``Memory`` names, if it does
    token_budget  of what is recalled; estimated
    """

    name: str = "Memories"
    _memory: Memory = PrivateAttr()
    _scope: tuple[str, str | None, str | None, str | None] = PrivateAttr()
    _token_budget: int = PrivateAttr()

    def __init__(
        self,
        memory: Memory,
        *,
        user: str | None = None,
        agent: str | None = None,
        tenant: str = "default",
        session_id: str | None = None,
        token_budget: int = 2_000,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if token_budget < 1:
            raise InvalidInput("token_budget must be at least 1.")
        if user is None and agent is None:
            raise InvalidInput("The block names nobody.", hint="Give user or agent: their sessions are recalled.")
        self._memory = memory
        self._scope = tenant, user, agent, session_id
        self._token_budget = token_budget

    async def _aget(self, messages: list[Any] | None = None, **block_kwargs: Any) -> str:
        """Return what the last question recalls, as data for a prompt; "" if that is nothing."""
        asked = (_text(message) for message in reversed(messages or ()) if message.role == MessageRole.USER)
        return await asyncio.to_thread(
            _context, self._memory, Scope(*self._scope), next(asked, ""), self._token_budget, ()
        )

    async def _aput(self, messages: list[Any]) -> None:
        """Remember messages, each in its session, durably."""
        by_session: dict[str | None, list[Any]] = {}
        for message in messages:
            by_session.setdefault(message.additional_kwargs.get("session_id"), []).append(message)
        for session, group in by_session.items():
            scope = Scope(*self._scope)
            scope = scope if scope.session or session is None else replace(scope, session=str(session))
            await asyncio.to_thread(_remember, self._memory, group, scope)


def _remember(memory: Memory, messages: Iterable[Any], scope: Scope) -> None:
    turns = [_turn(message, memory) for message in messages]
    if turns:
        remember(memory, turns, scope, source=SOURCE)


def _messages_in(memory: Memory, scope: Scope) -> list[MemCube]:
    return [cube for cube in every(memory, scope, _OURS) if "message" in record_of(cube)]


def _context(memory: Memory, scope: Scope, question: str, budget: int, here: Sequence[CubeId]) -> str:
    """Return what a question recalls from all sessions of a scope's user, but for some messages, fenced as data."""
    around = scope if scope.user is None and scope.agent is None else replace(scope, session=None)
    if not question.strip() or budget < 1:
        return ""
    others = Not(Where(Field.ID, Comparison.IN, here)) if here else None
    return fenced(memory.answer_context(question, around, token_budget=budget, filter=others))


def _turn(message: Any, memory: Memory) -> Turn:
    if not isinstance(message, ChatMessage):
        raise InvalidInput(f"A message must be a ChatMessage, got {type(message).__name__}.")
    role = str(message.role.value)
    return Turn(
        _text(message) or f"[{role}: {', '.join(block.block_type for block in message.blocks) or 'empty'}]",
        speaker=role,
        said_at=now(memory),
        message_id=uuid4().hex,  # a message has no id: the same words may be said twice
        role=Role.TURN,
        data={"message": _dumped(message)},
    )


def _dumped(message: Any) -> Any:
    """Return a message as JSON. Raises: InvalidInput if it holds what JSON cannot."""
    try:
        return message.model_dump(mode="json")
    except ValueError as exc:
        raise InvalidInput(f"The message cannot be kept as JSON: {exc}.") from exc


def _message(cube: MemCube) -> Any:
    return ChatMessage.model_validate(record_of(cube)["message"])


def _text(message: Any) -> str:
    text = message.content or ""
    return text if text.strip() else ""


def _tail(messages: Sequence[Any], limit: int) -> int:
    """Return where the end of a conversation begins that fits: at a question, so that no answer lacks its call."""
    room, start = limit, len(messages)
    while start and (room := room - estimate_tokens(_text(messages[start - 1])) - 4) >= 0:
        start -= 1
    if start == 0:
        return 0
    begin = next((i for i in range(start, len(messages)) if messages[i].role == MessageRole.USER), None)
    last = max((i for i, message in enumerate(messages) if message.role == MessageRole.USER), default=0)
    return last if begin is None else begin
