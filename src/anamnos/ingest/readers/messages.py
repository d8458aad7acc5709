"""Chat messages in the shape of the OpenAI API, from JSON, JSON Lines or memory.

A file is a list of messages, one conversation ``{"messages": [...]}``, or a list of these; JSON Lines has
one message or one conversation a line. A message is ``{role, content}`` with, if known, ``name`` or
``speaker``, ``id``, ``session`` and a time under ``at``, ``timestamp``, ``created_at`` or ``time``.
Source: https://platform.openai.com/docs/api-reference/chat/create, and its fine-tuning format.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anamnos.errors import InvalidInput
from anamnos.ingest.readers.base import Turn
from anamnos.ingest.readers.files import JSONL_SUFFIXES, json_lines
from anamnos.ingest.readers.times import parse_time
from anamnos.ingest.readers.turns import as_list, as_record, checked, label

_TIME_KEYS = ("at", "timestamp", "created_at", "time")
_TEXT_PARTS = ("text", "input_text", "output_text", "refusal")
_NO_CONTENT_NEEDED = ("tool_calls", "function_call", "refusal", "audio")
_MAX_RAW_CHARS = 2_000  # of a part that is not text; larger ones (embedded images) are not kept
_SHAPE = 'A message looks like {"role": "user", "content": "Hello"}.'


@dataclass(frozen=True, slots=True)
class _Conversation:
    """What a conversation says about all its messages: a session, names for roles, a prefix for ids."""

    session: str | None = None
    speakers: Mapping[str, Any] = field(default_factory=dict)
    id_prefix: str = ""


@dataclass(frozen=True, slots=True)
class MessagesReader:
    """Reads chat messages. speaker = ``speaker``, else ``name``, else ``role``; data holds the role.

    In a file of several conversations each is a session of its own, named by its ``session`` or ``id``, else
    "<file>/<number>", and message ids become "<session>/<id>", since ids may be unique in it only.
    """

    name: str = "messages"
    suffixes: tuple[str, ...] = (".json", *JSONL_SUFFIXES)

    def accepts(self, path: Path, data: Any) -> bool:
        first = data[0] if isinstance(data, list) and data else data
        if not isinstance(first, Mapping):
            return False
        if isinstance(first.get("messages"), list):
            return True
        is_message = "content" in first and any(key in first for key in ("role", "speaker", "name"))
        return is_message and (isinstance(data, list) or path.suffix.lower() in JSONL_SUFFIXES)

    def read(self, path: Path, data: Any) -> Iterator[Turn]:
        if path.suffix.lower() in JSONL_SUFFIXES:
            items = [(f"line {number} of {path}", value) for number, value in json_lines(path)]
        elif isinstance(data, Mapping):
            yield from _turns(data, str(path), _conversation(data, None, str(path)))
            return
        else:
            kind = "conversation" if _has_messages((as_list(data, str(path)) or [None])[0]) else "message"
            items = [(f"{kind} {number} of {path}", value) for number, value in enumerate(data, start=1)]
        number = 0
        for where, value in items:
            if _has_messages(value):
                number += 1
                yield from _turns(value, where, _conversation(value, f"{path.stem}/{number}", where))
            else:
                yield _turn(value, where, _Conversation())


def turns_from_messages(messages: Sequence[Mapping[str, Any]], *, where: str) -> list[Turn]:
    """Return the turns of messages that are in memory; those without any text are left out.

    where  names the messages in error messages: "message 3 of <where>"
    Raises: InvalidInput naming the message.
    """
    return checked(_turns({"messages": messages}, where, _Conversation()), where)


def _has_messages(value: Any) -> bool:
    return isinstance(value, Mapping) and "messages" in value


def _conversation(record: Mapping[str, Any], default: str | None, where: str) -> _Conversation:
    """Return what ``record`` says of its messages; ``default`` is its session if it is one of several."""
    session = _name(record, "session", where) or _name(record, "id", where)
    if session is None and default is not None:
        session = label(default)
    speakers = record.get("speakers")
    return _Conversation(
        session=session,
        speakers=speakers if isinstance(speakers, Mapping) else {},
        id_prefix=f"{session}/" if default else "",
    )


def _turns(record: Mapping[str, Any], where: str, conversation: _Conversation) -> Iterator[Turn]:
    if "messages" not in record:
        raise InvalidInput(f"{where} has no 'messages'.", hint=_SHAPE)
    for number, message in enumerate(as_list(record["messages"], f"'messages' of {where}"), start=1):
        yield _turn(message, f"message {number} of {where}", conversation)


def _turn(message: Any, where: str, conversation: _Conversation) -> Turn:
    """Return the message as a turn, which is blank if the message has no text."""
    as_record(message, where)
    role = _name(message, "role", where)
    speaker = _name(message, "speaker", where) or _name(message, "name", where)
    if speaker is None and role is not None:
        speaker = _name(conversation.speakers, role, f"'speakers' of {where}") or role
    if speaker is None:
        raise InvalidInput(f"{where} has neither role nor speaker.", hint=_SHAPE)
    said_at = next((message[key] for key in _TIME_KEYS if message.get(key) is not None), None)
    message_id = _name(message, "id", where)
    content, parts = _content(message, where)
    data: dict[str, Any] = {} if role is None else {"role": role}
    if parts:
        data["parts"] = parts
    return Turn(
        content,
        speaker=speaker,
        said_at=None if said_at is None else parse_time(said_at, where),
        session=_name(message, "session", where) or conversation.session,
        message_id=None if message_id is None else conversation.id_prefix + message_id,
        data=data,
    )


def _content(message: Mapping[str, Any], where: str) -> tuple[str, list[Any]]:
    """Return the message's text and those of its parts that are not text."""
    content = message.get("content")
    if isinstance(content, str):
        return content, []
    if content is None and any(message.get(key) for key in _NO_CONTENT_NEEDED):
        refusal = message.get("refusal")
        return (refusal if isinstance(refusal, str) else ""), []
    if not isinstance(content, list | tuple):
        got = "nothing" if content is None else type(content).__name__
        raise InvalidInput(f"'content' of {where} must be text or a list of parts, got {got}.", hint=_SHAPE)
    texts: list[str] = []
    raw: list[Any] = []
    for number, part in enumerate(content, start=1):
        text, is_text = _part(part, f"part {number} of {where}")
        texts.append(text)
        if not is_text and _is_small(part):
            raw.append(part)
    return "\n".join(text for text in texts if text), raw


def _part(part: Any, where: str) -> tuple[str, bool]:
    """Return the text of a part, or a placeholder that names its type, and whether it is text."""
    if isinstance(part, str):
        return part, True
    kind = as_record(part, where).get("type")
    if not isinstance(kind, str) or not kind:
        hint = 'A part looks like {"type": "text", "text": "Hello"}.'
        raise InvalidInput(f"{where} has no 'type'.", hint=hint)
    if kind not in _TEXT_PARTS:
        return f"[{kind.removeprefix('input_').removesuffix('_url')}]", False
    text = part.get("refusal" if kind == "refusal" else "text")
    if not isinstance(text, str):
        raise InvalidInput(f"{where} is of type {kind!r}, but its text is {type(text).__name__}.")
    return text, True


def _is_small(part: Any) -> bool:
    try:
        return len(json.dumps(part, allow_nan=False)) <= _MAX_RAW_CHARS
    except (TypeError, ValueError):  # a part made in memory may hold what JSON cannot
        return False


def _name(record: Mapping[str, Any], key: str, where: str) -> str | None:
    """Return the label under ``key`` as text; None if it is missing or blank."""
    value = record.get(key)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if value is not None and not isinstance(value, str):
        raise InvalidInput(f"{key!r} of {where} must be text, got {type(value).__name__}.")
    return value.strip() or None if value else None
