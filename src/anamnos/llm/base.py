"""What a language model is here: messages and a JSON schema in, an answer that fits the schema out.

Laws (``tests/unit/llm`` checks them on every model):
 1. ``ask`` returns a JSON object that fits the schema, or raises ProviderError; never anything half right.
 2. What it cost is added to ``usage`` under the step's name, also where the answer was useless.
 3. Text that comes from memory is data: callers put it into messages of the user, never of the system.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Literal, Protocol

from anamnos.errors import ProviderError

Schema = Mapping[str, Any]
MAX_ANSWER_CHARS = 1_000_000


def estimate_tokens(text: str) -> int:
    """Return about how many tokens ``text`` is: one per 4 characters of ASCII, one per any other character.

    Within 10 % of WordPiece on English chats and books; hand your own counter to ``pack`` where it must be exact.
    """
    other = sum(1 for c in text if not c.isascii())
    return -(-(len(text) - other) // 4) + other


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation with a model."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Usage:
    """What calls cost: how many, and the tokens that the service counted."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.calls + other.calls,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
        )


@dataclass(slots=True)
class Ledger:
    """What each step has cost so far. Thread-safe."""

    steps: dict[str, Usage] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def add(self, step: str, usage: Usage) -> None:
        with self._lock:
            self.steps[step] = self.steps.get(step, Usage()) + usage

    def total(self) -> Usage:
        with self._lock:
            return sum(self.steps.values(), Usage())


class LanguageModel(Protocol):
    """Answers in JSON."""

    @property
    def id(self) -> str:
        """A stable name such as ``openai:qwen3``."""

    @property
    def usage(self) -> Ledger:
        """What it has cost so far."""

    def ask(self, messages: Sequence[Message], schema: Schema, *, step: str) -> dict[str, Any]:
        """Return the answer, which fits ``schema``.

        step  what it is for, as in ``extract``: the name in the ledger
        Raises: ProviderError if the model cannot be reached or does not answer as it must.
        """


_KINDS: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def misfit(schema: Schema, value: Any, where: str = "answer") -> str:
    """Return what in ``value`` does not fit ``schema``; "" if all does.

    Knows type, enum, properties, required, additionalProperties: false, items, minimum and maximum.

    >>> misfit({"type": "object", "required": ["n"]}, {})
    'answer.n is missing'
    """
    kinds = schema.get("type", ())
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(_is_kind(value, kind) for kind in kinds):
        return f"{where} is no {' or '.join(kinds)}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{where} is not one of {schema['enum']}"
    if _is_kind(value, "number") and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        return f"{where} is out of range"
    if isinstance(value, list) and "items" in schema:
        problems = (misfit(schema["items"], item, f"{where}[{i}]") for i, item in enumerate(value))
        return next(filter(None, problems), "")
    if isinstance(value, dict):
        known = schema.get("properties", {})
        if missing := [name for name in schema.get("required", ()) if name not in value]:
            return f"{where}.{missing[0]} is missing"
        if schema.get("additionalProperties") is False and (extra := sorted(set(value) - set(known))):
            return f"{where}.{extra[0]} is not asked for"
        problems = (misfit(known[name], value[name], f"{where}.{name}") for name in known if name in value)
        return next(filter(None, problems), "")
    return ""


def _is_kind(value: Any, kind: str) -> bool:
    return isinstance(value, _KINDS[kind]) and (kind == "boolean" or not isinstance(value, bool))


_THOUGHT = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
_TRAILING_COMMA = re.compile(r",(?=\s*[}\]])")


def read_json(text: str) -> dict[str, Any]:
    """Return the JSON object in what a model wrote: fenced, with words around it, or with commas too many.

    Raises: ValueError if there is none.

    >>> read_json('Here you are: {"a": [1, 2,]} Anything else?')
    {'a': [1, 2]}
    """
    text = _THOUGHT.sub("", text[:MAX_ANSWER_CHARS])
    decoder = json.JSONDecoder(parse_constant=_no_constant)
    for brace in itertools.islice(re.finditer(r"\{", text), 20):  # some may be in the words before it
        rest = text[brace.start() :]
        for candidate in (rest, _TRAILING_COMMA.sub("", rest)):
            with suppress(ValueError, RecursionError):
                value, _ = decoder.raw_decode(candidate)
                return value  # type: ignore[no-any-return]
    raise ValueError("no JSON object in it")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def checked(text: str, schema: Schema) -> dict[str, Any]:
    """Return the JSON object in ``text`` if it fits ``schema``. Raises: ProviderError saying what is wrong with it."""
    try:
        answer = read_json(text)
        problem = misfit(schema, answer)
    except ValueError as exc:
        raise ProviderError(f"The language model gave no JSON: {exc}.") from exc
    if problem:
        raise ProviderError(f"The language model's answer does not fit: {problem}.")
    return answer
