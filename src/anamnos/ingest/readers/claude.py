"""Claude: ``conversations.json`` of "Export data": conversations with ``chat_messages``.

A message has ``uuid``, ``sender`` (``human`` or ``assistant``), ``text`` or blocks of ``content``, ``created_at``, and
``attachments`` with the text that was read out of them (``extracted_content``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anamnos.cube import Role
from anamnos.errors import InvalidInput
from anamnos.ingest.readers.base import Turn
from anamnos.ingest.readers.passages import split_long
from anamnos.ingest.readers.times import parse_time
from anamnos.ingest.readers.turns import as_list, as_record, current_branch, label, text_or_none

_SHAPE = 'A conversation of Claude has "chat_messages" with {"uuid", "sender", "text", "created_at"}.'
_ROLES = {"human": "user"}


@dataclass(frozen=True, slots=True)
class ClaudeReader:
    """Reads what was said, and the texts that were attached, as passages.

    speaker = ``sender``, "user" for human; session = the conversation's id; message_id = "<session>/<message's id>".
    Where messages name the one before them and the conversation its last one, other branches are left out. So are
    thoughts, and what goes to and comes from tools.
    """

    name: str = "claude"
    suffixes: tuple[str, ...] = (".json",)

    def accepts(self, path: Path, data: Any) -> bool:
        first = data[0] if isinstance(data, list) and data else data
        return isinstance(first, Mapping) and isinstance(first.get("chat_messages"), list)

    def read(self, path: Path, data: Any) -> Iterator[Turn]:
        conversations = [data] if isinstance(data, Mapping) else as_list(data, str(path))
        for number, value in enumerate(conversations, start=1):
            where = f"conversation {number} of {path}"
            conversation = as_record(value, where)
            if "chat_messages" not in conversation:
                raise InvalidInput(f"{where} has no 'chat_messages'.", hint=_SHAPE)
            session = label(text_or_none(conversation, "uuid") or f"{path.stem}/{number}")
            for place, message in _messages(conversation, where):
                yield from _turns(message, session, place, conversation.get("name"))


def _messages(conversation: Mapping[str, Any], where: str) -> list[tuple[str, Mapping[str, Any]]]:
    listed = as_list(conversation["chat_messages"], f"'chat_messages' of {where}")
    places = [f"message {number} of {where}" for number in range(1, len(listed) + 1)]
    messages = [(place, as_record(message, place)) for place, message in zip(places, listed, strict=True)]
    leaf = text_or_none(conversation, "current_leaf_message_uuid")
    by_id = {str(message.get("uuid")): (place, message) for place, message in messages}
    if leaf is None or not any(message.get("parent_message_uuid") for _, message in messages):
        return messages
    # the first message has a parent too, which is in no export
    parents = {
        name: parent if (parent := text_or_none(message, "parent_message_uuid")) in by_id else None
        for name, (_, message) in by_id.items()
    }
    return [by_id[name] for name in current_branch(parents, leaf, where)]


def _turns(message: Mapping[str, Any], session: str, where: str, title: Any) -> Iterator[Turn]:
    sender = text_or_none(message, "sender")
    if sender is None:
        raise InvalidInput(f"{where} has no 'sender'.", hint=_SHAPE)
    created_at = message.get("created_at")
    said_at = None if created_at is None else parse_time(created_at, where)
    uuid = text_or_none(message, "uuid")
    message_id = None if uuid is None else f"{session}/{uuid}"
    role = _ROLES.get(sender.lower(), sender.lower())
    data = {"role": role, **({"title": title} if isinstance(title, str) and title else {})}
    yield Turn(_words(message, where), speaker=role, said_at=said_at, session=session, message_id=message_id, data=data)
    attachments = as_list(message.get("attachments") or [], f"'attachments' of {where}")
    for number, value in enumerate(attachments, start=1):
        attachment = as_record(value, f"attachment {number} of {where}")
        file = {"file": name} if (name := text_or_none(attachment, "file_name")) else {}
        for piece, words in enumerate(split_long(text_or_none(attachment, "extracted_content") or ""), start=1):
            piece_id = None if message_id is None else f"{message_id}/{number}.{piece}"
            yield Turn(
                words, said_at=said_at, session=session, message_id=piece_id, role=Role.RESOURCE, data={**data, **file}
            )


def _words(message: Mapping[str, Any], where: str) -> str:
    blocks = [as_record(b, f"'content' of {where}") for b in as_list(message.get("content") or [], f"{where}")]
    words = [text for block in blocks if block.get("type") == "text" and (text := text_or_none(block, "text"))]
    return "\n".join(words) if words else text_or_none(message, "text") or ""
