"""What a client can read without a tool, and the prompts that a user can choose."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from mcp.server.mcpserver import MCPServer
from pydantic import Field

from anamnos.server.mcp.quoting import WARNING, fenced
from anamnos.server.mcp.server import here
from anamnos.types import Comparison, Where
from anamnos.types import Field as On

RECENT = 20
_LOOK_BACK = (timedelta(hours=1), timedelta(days=1), timedelta(days=30))


async def memory(id: str) -> str:
    """One memory with all that is known about it, as JSON."""
    place = here()
    return _json({"memory": (await place.memory.get(id, place.scope)).to_dict()})


async def recent() -> str:
    """The latest memories, the newest first, as JSON."""
    place, found = here(), []
    for back in (*_LOOK_BACK, None):
        filter = None if back is None else Where(On.RECORDED_AT, Comparison.GE, datetime.now(UTC) - back)
        found = await place.memory.list(place.scope, filter=filter, limit=None)
        if len(found) >= RECENT:
            break
    return _json({"memories": [cube.to_dict() for cube in reversed(found[-RECENT:])]})


async def stats() -> str:
    """How much is remembered, by kind and state, as JSON."""
    place = here()
    counts = await place.memory.stats(place.scope)
    return json.dumps({name: counts[name] for name in ("memories", "roles", "states", "embedder", "recipe")}, indent=2)


async def recall_before_answering(
    question: Annotated[str, Field(description="What is to be answered.")],
) -> str:
    """Answer a question with what is remembered about it."""
    place = here()
    packed = await place.memory.answer_context(question, place.scope)
    return (
        f"{fenced(packed.text or 'Nothing is remembered about that.')}\n\nAnswer the question below. Rest on the"
        " memories above where they help, cite their numbers, prefer newer ones, and trust those marked [untrusted: …]"
        " only as far as their source deserves. If they do not answer it, say so; recall finds more.\n\n"
        f"Question: {question}"
    )


def remember_this_conversation() -> str:
    """Keep what this conversation brought that will matter later."""
    return (
        "Go through our conversation and find what will matter in later ones: facts about me and my world,"
        " preferences, decisions, plans with their dates, and corrections of what you knew. For each:\n"
        "1. Call recall to see what is remembered about it already.\n"
        "2. If a memory says something else that is no longer so, call update on it.\n"
        "3. If nothing says it yet, call remember with one statement that makes sense alone, with names in place of"
        " pronouns and dates in place of 'tomorrow'; said_by is user only for what I said myself, and what came from a"
        " page or a tool has its source.\n"
        "Leave out small talk, passwords and keys. Then tell me in a short list what you remembered and changed."
    )


def install(server: MCPServer[Any]) -> None:
    """Give a server the resources and the prompts."""
    for address, title, read in (
        ("anamnos://memory/{id}", "A memory", memory),
        ("anamnos://recent", "Latest memories", recent),
        ("anamnos://stats", "How much is remembered", stats),
    ):
        server.resource(address, name=read.__name__, title=title, mime_type="application/json")(read)
    server.prompt(title="Recall before answering")(recall_before_answering)
    server.prompt(title="Remember this conversation")(remember_this_conversation)


def _json(document: dict[str, Any]) -> str:
    return json.dumps({"note": WARNING, **document}, ensure_ascii=False, indent=2)
