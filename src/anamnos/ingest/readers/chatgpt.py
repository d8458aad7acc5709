"""ChatGPT: ``conversations.json`` of "Export data": each conversation is a tree of messages.

A conversation has ``mapping`` (node -> ``{message, parent, children}``), ``current_node``, ``title`` and an id. A
message has ``author.role``, ``content`` (``content_type`` with ``parts`` or ``text``), ``create_time`` in seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anamnos.errors import InvalidInput
from anamnos.ingest.readers.base import Turn
from anamnos.ingest.readers.times import parse_time
from anamnos.ingest.readers.turns import as_list, as_record, current_branch, label, text_field, text_or_none

_SAID = ("text", "multimodal_text", "code")  # not: thoughts, what tools returned, the user's profile
_SHAPE = 'A conversation of ChatGPT has "mapping" and "current_node".'


@dataclass(frozen=True, slots=True)
class ChatGptReader:
    """Reads the branch of each conversation that was last open: what the user and the assistant said to each other.

    speaker = the author's name or role, session = the conversation's id, message_id = "<session>/<message's id>". Left
    out: other branches, hidden messages, thoughts, and what goes to and comes from tools. An image is named "[image]".
    """

    name: str = "chatgpt"
    suffixes: tuple[str, ...] = (".json",)

    def accepts(self, path: Path, data: Any) -> bool:
        first = data[0] if isinstance(data, list) and data else data
        return isinstance(first, Mapping) and isinstance(first.get("mapping"), Mapping)

    def read(self, path: Path, data: Any) -> Iterator[Turn]:
        conversations = [data] if isinstance(data, Mapping) else as_list(data, str(path))
        for number, value in enumerate(conversations, start=1):
            where = f"conversation {number} of {path}"
            conversation = as_record(value, where)
            session = label(text_or_none(conversation, "conversation_id", "id") or f"{path.stem}/{number}")
            for node, message in _branch(conversation, where):
                turn = _turn(message, node, session, f"message {node!r} of {where}", conversation.get("title"))
                if turn is not None:
                    yield turn


def _branch(conversation: Mapping[str, Any], where: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (node, message) from the first to the last message of the branch that was last open."""
    if not isinstance(conversation.get("mapping"), Mapping):
        raise InvalidInput(f"{where} has no 'mapping'.", hint=_SHAPE)
    nodes = {name: as_record(node, f"node {name!r} of {where}") for name, node in conversation["mapping"].items()}
    leaf = conversation.get("current_node")
    if leaf is None:  # some exports lack it: the last answer that was asked for
        leaf = next(iter(reversed([name for name, node in nodes.items() if not node.get("children")])), None)
    if leaf is None:
        return
    parents = {
        name: None if node.get("parent") is None else text_field(node, "parent", f"node {name!r} of {where}")
        for name, node in nodes.items()
    }
    for name in current_branch(parents, str(leaf), where):
        if (message := nodes[name].get("message")) is not None:
            yield name, as_record(message, f"message {name!r} of {where}")


def _turn(message: Mapping[str, Any], node: str, session: str, where: str, title: Any) -> Turn | None:
    author = as_record(message.get("author"), f"'author' of {where}")
    role = text_or_none(author, "role")
    if role is None:
        raise InvalidInput(f"'author' of {where} has no role.", hint=_SHAPE)
    metadata = message.get("metadata") or {}
    hidden = isinstance(metadata, Mapping) and metadata.get("is_visually_hidden_from_conversation")
    if hidden or role == "tool" or message.get("recipient") not in (None, "all"):
        return None
    content = as_record(message.get("content"), f"'content' of {where}")
    if content.get("content_type", "text") not in _SAID:
        return None
    said_at = message.get("create_time")
    return Turn(
        _words(content, where),
        speaker=text_or_none(author, "name") or role,
        said_at=None if said_at is None else parse_time(said_at, where),
        session=session,
        message_id=f"{session}/{text_or_none(message, 'id') or node}",
        data={"role": role, **({"title": title} if isinstance(title, str) and title else {})},
    )


def _words(content: Mapping[str, Any], where: str) -> str:
    if "parts" not in content:
        return text_or_none(content, "text") or ""
    words = []
    for part in as_list(content["parts"], f"'parts' of {where}"):
        if isinstance(part, Mapping):
            kind = str(part.get("content_type", "file")).split("_")[0]
            words.append(text_or_none(part, "text") or f"[{kind}]")
        elif part is not None:
            words.append(str(part))
    return "\n".join(word for word in words if word)
