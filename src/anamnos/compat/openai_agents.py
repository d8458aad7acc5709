"""OpenAI Agents SDK: ``AnamnosSession``, a ``Session`` whose items are memories, found again in other sessions.

Each item of a run is one memory of the session's scope: its words are the content, the item itself stands beside them
as JSON, so that ``get_items`` gives back what ``add_items`` was given. What tools said is remembered as theirs.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from anamnos.compat.records import every, missing, now, record_of, remember
from anamnos.cube import MemCube, Role, Scope, freeze_json
from anamnos.errors import InvalidInput, NotFound
from anamnos.ingest.readers.base import Turn
from anamnos.memory import Memory
from anamnos.types import Comparison, Field, Where

try:
    from agents.memory import SessionABC, SessionSettings  # type: ignore[import-not-found]
except ImportError as exc:
    raise missing("AnamnosSession", "openai-agents") from exc

SOURCE = "openai-agents"
_OURS = Where(Field.SOURCE, Comparison.EQ, SOURCE)
_TEXT = ("text", "refusal", "transcript")


class AnamnosSession(SessionABC):  # type: ignore[misc]  # untyped where it is not installed
    """A session of the Agents SDK over a vault: ``Runner.run(agent, text, session=AnamnosSession("june", memory))``.

    session_id  the session of the scope
    memory   opened; the caller closes it
    user, agent, tenant  the rest of the scope; ``Memory.search`` in ``Scope(user=user)`` finds what all of the user's
             sessions said
    settings  of the SDK: ``limit`` is how many items a run begins with

    Items must be JSON objects; others are refused (InvalidInput) and nothing has changed. All items of one call are
    one transaction. The same item twice is two, as in the SDK's own sessions.
    """

    def __init__(
        self,
        session_id: str,
        memory: Memory,
        *,
        user: str | None = None,
        agent: str | None = None,
        tenant: str = "default",
        settings: SessionSettings | None = None,
    ) -> None:
        self.session_id = session_id
        self.session_settings = settings or SessionSettings()
        self.memory = memory
        self.scope = Scope(tenant, user, agent, session_id)

    async def get_items(self, limit: int | None = None) -> list[Any]:
        """Return the items in their order, the last ``limit`` of them, or all."""
        if limit is None:
            limit = self.session_settings.limit
        items = [record_of(cube)["item"] for cube in await asyncio.to_thread(self._cubes)]
        return items if limit is None else items[-limit:] if limit > 0 else []

    async def add_items(self, items: list[Any]) -> None:
        """Remember items, durably, all or none."""
        turns = [self._turn(item, number) for number, item in enumerate(items, start=1)]
        if turns:
            await asyncio.to_thread(remember, self.memory, turns, self.scope, source=SOURCE)

    async def pop_item(self) -> Any | None:
        """Erase the last item and return it; None if there is none."""
        return await asyncio.to_thread(self._pop)

    async def clear_session(self) -> None:
        """Erase all items of the session, and what was derived from them."""
        await asyncio.to_thread(self._clear)

    def _cubes(self) -> list[MemCube]:
        return [cube for cube in every(self.memory, self.scope, _OURS) if "item" in record_of(cube)]

    def _pop(self) -> Any | None:
        while cubes := self._cubes():
            try:
                self.memory.delete(cubes[-1].id, cubes[-1].scope)
            except NotFound:
                continue  # somebody else popped it
            return record_of(cubes[-1])["item"]
        return None

    def _clear(self) -> None:
        if cubes := self._cubes():
            self.memory.delete([cube.id for cube in cubes], self.scope)

    def _turn(self, item: Any, number: int) -> Turn:
        if not isinstance(item, Mapping):
            raise InvalidInput(
                f"Item {number} must be a JSON object, got {type(item).__name__}.",
                hint="Convert output items with to_input_item().",
            )
        freeze_json(f"item {number}", item)
        role = item.get("role")
        speaker = role if isinstance(role, str) and role.strip() else _speaker(str(item.get("type", "")))
        return Turn(
            _words(item) or json.dumps(item, ensure_ascii=False),
            speaker=speaker,
            said_at=now(self.memory),
            message_id=uuid4().hex,  # an item has no id that is its own: the same words may be said twice
            role=Role.TURN,
            data={"item": dict(item)},
        )


def _speaker(kind: str) -> str:
    """Return who speaks in an item without a role: the model, or a tool."""
    return "tool" if kind.endswith("_output") else "assistant"


def _words(item: Mapping[str, Any]) -> str:
    """Return what an item says: the text of a message; of a call its name and arguments, of its result the output."""
    if isinstance(item.get("name"), str) and "arguments" in item:
        return f"{item['name']}({item['arguments']})"
    for part in ("content", "output", "summary"):
        if words := _texts(item.get(part)):
            return words
    return ""


def _texts(value: Any) -> str:
    """Return the texts of a content: a text, or a list of parts."""
    if isinstance(value, str):
        return value.strip() and value
    if isinstance(value, Mapping):
        value = [value]
    if not isinstance(value, list | tuple):
        return ""
    parts = [part if isinstance(part, str) else _part(part) for part in value]
    return "\n".join(part for part in parts if part.strip())


def _part(part: Any) -> str:
    found = (part.get(name) for name in _TEXT) if isinstance(part, Mapping) else ()
    return next((text for text in found if isinstance(text, str)), "")
