"""What requests hold, as exactly as OpenAPI can say it. What answers hold: ``anamnos.server.answers``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    GetPydanticSchema,
    PlainValidator,
    Tag,
    WithJsonSchema,
)

from anamnos.cube import (
    MAX_NAME_CHARS,
    MAX_SOURCE_CHARS,
    Role,
    Scope,
    State,
    Substrate,
    Visibility,
    check_id,
    check_name,
    from_iso,
)
from anamnos.errors import AnamnosError, InvalidInput
from anamnos.evolve.forget import DECAYS, DEFAULT_DECAY
from anamnos.evolve.sleep import STEPS
from anamnos.ingest.readers import READERS
from anamnos.memory.searching import MAX_QUERY_CHARS, MAX_TOP_K
from anamnos.memory.tagging import MAX_SUGGESTIONS
from anamnos.system.governance.access import DEFAULT_RIGHTS, RIGHTS, check_principal
from anamnos.types import And, Filter, filter_from_dict, where

FILTER_MARK = "x-filter"  # stands in schemas for FILTER_SCHEMA, which refers to itself
MAX_ITEMS = 10_000  # of a list of ids, of messages
MAX_PLACES = 50  # of one text: up to 500 memories of each are read
NAME_PATTERN = r"^[^\x00-\x1f]*[^\s\x00-\x1f][^\x00-\x1f]*$"
"""At least one character that is seen, and none that controls a terminal."""
ID_PATTERN = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"


def _checked(check: Any) -> Any:
    """Return a check of the library as one of pydantic."""

    def run(value: Any) -> Any:
        try:
            return check(value)
        except AnamnosError as exc:
            raise ValueError(f"{exc.message} {exc.hint}".strip()) from exc

    return run


def one_of(names: Iterable[str]) -> GetPydanticSchema:
    """Return what makes a text one of some names, which OpenAPI lists."""
    known: Any = Literal[tuple(str(name) for name in names)]
    return GetPydanticSchema(lambda source, handler: handler(known))


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value  # 1.0 is whole, too, in JSON


def _seen(value: str) -> str:
    if not value.strip():
        raise InvalidInput("The text is empty.")
    return value


def _time(value: Any) -> Any:
    return from_iso("time", value)


Name = Annotated[
    str,
    Field(min_length=1, max_length=MAX_NAME_CHARS, json_schema_extra={"pattern": NAME_PATTERN}),
    AfterValidator(_checked(lambda value: check_name("the name", value))),
]
Text = Annotated[str, Field(min_length=1, json_schema_extra={"pattern": r"\S"}), AfterValidator(_checked(_seen))]
Time = Annotated[
    datetime,
    BeforeValidator(_checked(_time)),
    WithJsonSchema({"type": "string", "format": "date-time", "description": "ISO 8601 with a zone."}),
]
Id = Annotated[
    str,
    PlainValidator(_checked(lambda value: check_id("id", value))),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": ID_PATTERN,
            "examples": ["01890a5d-ac96-774b-bcce-b302099a8057"],
        }
    ),
]
Tree = Annotated[Any, PlainValidator(_checked(filter_from_dict)), WithJsonSchema({FILTER_MARK: True})]
Unit = Annotated[float, Field(ge=0, le=1)]
Trust = Unit | Literal["user", "assistant", "file", "tool", "web", "agent"]
RoleName = Annotated[str, one_of(Role)]
StateName = Annotated[str, one_of(State)]
WHOLE = BeforeValidator(_whole)  # behind the bounds, which OpenAPI would not show otherwise
ReaderName = Annotated[str, one_of(reader.name for reader in READERS)]
StepName = Annotated[str, one_of(STEPS)]
DecayName = Annotated[str, one_of(DECAYS)]
RightName = Annotated[str, one_of(RIGHTS)]
Version = Annotated[int, Field(ge=1, lt=2**63), WHOLE]
Source = Annotated[
    str,
    Field(min_length=1, max_length=MAX_SOURCE_CHARS, json_schema_extra={"pattern": NAME_PATTERN}),
    AfterValidator(_checked(lambda value: check_name("the source", value, max_chars=MAX_SOURCE_CHARS))),
]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
"""A plain name, with no way out of a folder."""
PrincipalName = Annotated[
    str,
    PlainValidator(_checked(lambda value: check_principal("principal", value))),
    WithJsonSchema(
        {"type": "string", "pattern": "^(user|agent|role|key):[A-Za-z0-9][A-Za-z0-9._@-]*$", "maxLength": 512}
    ),
]
Tags = Annotated[list[Name], Field(max_length=1_000)]
Ids = Annotated[list[Id], Field(min_length=1, max_length=MAX_ITEMS)]


class Strict(BaseModel):
    """Takes what it says and nothing else: no unknown field, no text in place of a number."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ScopeIn(Strict):
    """Whose memory. At least one of user, agent and session."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"required": [part], "properties": {part: {"type": "string"}}} for part in ("user", "agent", "session")
            ],
            "examples": [{"user": "ann"}],
        }
    )
    tenant: Name = "default"
    user: Name | None = None
    agent: Name | None = None
    session: Name | None = None

    def scope(self) -> Scope:
        """Return the scope. Raises: InvalidInput."""
        return Scope(self.tenant, self.user, self.agent, self.session)


class Scoped(Strict):
    """A request about memories of a scope."""

    scope: ScopeIn

    def rest(self, *but: str) -> dict[str, Any]:
        """Return everything else that was said, as arguments of the verb."""
        names = set(type(self).model_fields) - {"scope", *but}
        return {name: getattr(self, name) for name in sorted(names)}


class PartIn(BaseModel):
    """A part of a message: text, or something else, of which the kind is remembered."""

    model_config = ConfigDict(
        extra="allow",
        strict=True,
        json_schema_extra={
            "anyOf": [
                {"required": ["text"], "properties": {"text": {"type": "string"}}},
                {"properties": {"type": {"not": {"enum": ["text", "input_text", "output_text", "refusal"]}}}},
            ]
        },
    )
    type: Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARS, examples=["text"])]
    text: str | None = None


class MessageIn(BaseModel):
    """One message of a chat; ``parts`` and other members that chat services send are let through."""

    model_config = ConfigDict(extra="allow", strict=True)
    role: Annotated[Name, Field(examples=["user"])]
    content: str | Annotated[list[PartIn], Field(max_length=1_000)]
    name: Name | None = None
    id: Name | None = None
    session: Name | None = None
    created_at: Time | None = None


class Add(Scoped):
    """What to remember: a text, or messages."""

    content: Text | Annotated[list[MessageIn], Field(min_length=1, max_length=MAX_ITEMS)]
    role: RoleName | None = None
    created_at: Time | None = None
    tags: Tags = []
    importance: Unit = 0.5
    source: Source | None = None
    trust: Trust | None = None
    expires_at: Time | None = None
    data: Annotated[dict[str, Any], Field(description="JSON of your own, kept in annotations.data.")] | None = None


class Narrow(Strict):
    """The usual conditions, all at once."""

    role: list[RoleName] | None = None
    state: list[StateName] | None = None
    speaker: Name | None = None
    source: Name | None = None
    tags: Tags = []
    contains: Text | None = None
    since: Time | None = None
    until: Time | None = None

    def filter(self, tree: Filter | None = None) -> Filter | None:
        """Return these conditions and those of a tree as one filter."""
        made = where(
            role=self.role or None,
            state=self.state or None,
            actor=self.speaker,
            source=self.source,
            tags=self.tags,
            contains=self.contains,
            since=self.since,
            until=self.until,
        )
        return And((made, tree)) if made is not None and tree is not None else made or tree


class Narrowed(Scoped):
    """A request that may say which memories of its scope are looked at."""

    filter: Tree | None = None
    where: Narrow | None = None

    def tree(self) -> Filter | None:
        """Return the filter of the request."""
        return self.filter if self.where is None else self.where.filter(self.filter)


class Search(Narrowed):
    """A question to the memory."""

    query: Annotated[Text, Field(max_length=MAX_QUERY_CHARS)]
    top_k: Annotated[int, Field(ge=1, le=MAX_TOP_K), WHOLE] = 10
    as_of: Time | None = None
    asked_at: Time | None = None
    redact: bool = False


class Explain(Narrowed):
    """A question whose search is to be explained."""

    query: Annotated[Text, Field(max_length=MAX_QUERY_CHARS)]
    top_k: Annotated[int, Field(ge=1, le=1_000), WHOLE] = 10
    asked_at: Time | None = None


class Context(Narrowed):
    """A question that a prompt is to answer."""

    question: Annotated[Text, Field(max_length=MAX_QUERY_CHARS)]
    token_budget: Annotated[int, Field(ge=1, le=1_000_000), WHOLE] = 2_000
    top_k: Annotated[int, Field(ge=1, le=1_000), WHOLE] = 25
    as_of: Time | None = None


class Ask(Context):
    """A question to be answered."""

    asked_at: Time | None = None


class SuggestTags(Scoped):
    """A text that tags are wanted for."""

    content: Text
    k: Annotated[int, Field(ge=1, le=MAX_SUGGESTIONS), WHOLE] = 5


def _kind_of_place(value: Any) -> str:
    return "scope" if isinstance(value, dict) and not value.keys() & {"field", "and", "or", "not"} else "filter"


Place = Annotated[Annotated[Tree, Tag("filter")] | Annotated[ScopeIn, Tag("scope")], Discriminator(_kind_of_place)]


class RouteText(Scoped):
    """A text, and the places that it may belong to: a label for each, and its filter, or its scope within ``scope``."""

    content: Text
    among: Annotated[
        dict[Name, Place],
        Field(
            max_length=MAX_PLACES,
            examples=[{"work": {"user": "ann", "agent": "w"}}],
            json_schema_extra={"additionalProperties": False},  # beside those whose labels are names
        ),
    ]
    k: Annotated[int, Field(ge=1, le=MAX_SUGGESTIONS), WHOLE] = 5

    def places(self) -> dict[str, Filter | Scope]:
        """Return the filter or scope of each label. Raises: InvalidInput for a scope of nobody."""
        return {label: each.scope() if isinstance(each, ScopeIn) else each for label, each in self.among.items()}


class Update(Scoped):
    """What the next version of a memory says; what is not given, or null, stays."""

    content: Text | None = None
    tags: Tags | None = None
    importance: Unit | None = None
    valid_from: Time | None = None
    valid_to: Time | None = None
    expires_at: Time | None = None
    data: Annotated[dict[str, Any], Field(description="Merged key by key; a null removes the key.")] | None = None
    trust: Trust | None = None


class OfMany(Scoped):
    """Some memories of a scope."""

    ids: Ids


class OfOne(Scoped):
    """One memory of a scope."""

    id: Id


class Delete(Scoped):
    """Which memories to erase: ``ids``; or, with ``all``, everything of the scope that the filter passes."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {
                    "required": ["ids"],
                    "properties": {"ids": {"type": "array"}, "all": {"const": False}, "filter": False},
                },
                {"required": ["all"], "properties": {"ids": False, "all": {"const": True}}},
            ]
        }
    )
    ids: Ids | None = None
    all: bool = False
    filter: Tree | None = None


class Merge(Scoped):
    """Memories of which one is to be made."""

    ids: Annotated[list[Id], Field(min_length=2, max_length=MAX_ITEMS)]


class Rollback(Scoped):
    """What to go back to: a moment ``to``; or the ``version`` of the memory ``id``."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": ["to"], "properties": {"to": {"type": "string"}, "version": {"type": "null"}}},
                {
                    "required": ["id", "version"],
                    "properties": {
                        "id": {"type": "string"}, "version": {"type": "integer"}, "to": {"type": "null"}
                    },
                },
            ]
        }
    )  # fmt: skip
    id: Id | None = None
    version: Version | None = None
    to: Time | None = None


class Migrate(OfMany):
    """Where memories move to."""

    to: Literal["text"] = "text"
    role: RoleName | None = None
    words: Annotated[dict[Id, Text], Field(max_length=MAX_ITEMS)] | None = None


class Share(OfMany):
    """With whom memories are shared: a principal, ``user:bob``, or a visibility, ``project``."""

    to: Name
    rights: Annotated[list[Literal["read", "write"]], Field(min_length=1, max_length=2)] = ["read"]
    until: Time | None = None


class Unshare(OfMany):
    """From whom memories are taken back; nobody named: from all."""

    to: Name | None = None


class Enrich(Scoped):
    """How facts are to be found."""

    extractor: Literal["rules", "llm"] = "rules"


class Resolve(Scoped):
    """How new facts are to be put in order."""

    resolver: Literal["rules", "llm"] = "rules"


class Correct(Scoped):
    """A correction in words."""

    text: Text
    ids: Annotated[list[Id], Field(max_length=1_000)] = []
    at: Time | None = None


class Consolidate(Scoped):
    """How to sleep."""

    steps: Annotated[list[StepName], Field(min_length=1, max_length=len(STEPS))] = list(STEPS)
    decay: DecayName = DEFAULT_DECAY
    turns: bool = False
    wording: Literal["rules", "llm"] = "rules"
    budget_s: Annotated[float, Field(gt=0, le=86_400)] | None = None


class Labelled(Strict):
    """A question whose answers are known: ids of memories, or of the messages that they were."""

    question: Text
    answers: Annotated[list[Name], Field(min_length=1, max_length=1_000)]


class Calibrate(Scoped):
    """Questions to fit the weights of the recipe to."""

    questions: Annotated[list[Labelled], Field(min_length=20, max_length=MAX_ITEMS)]
    adopt: bool = True


class ForgetPerson(Scoped):
    """Who is to be erased: all that the scope covers."""

    mentions: bool = False
    names: Annotated[list[Name], Field(max_length=100)] = []


class Expire(Strict):
    """Where to do what time asks for; without a scope: everywhere, which needs an operator."""

    scope: ScopeIn | None = None


class IngestUrl(Scoped):
    """A file behind an address."""

    url: Annotated[str, Field(min_length=8, max_length=2_000, examples=["https://example.org/notes.md"])]
    reader: ReaderName | None = None
    tags: Tags = []
    source: Source | None = None


class Backup(Strict):
    """The name of a backup: a folder below the one of the settings."""

    name: FileName
    incremental: bool = False


class Reembed(Strict):
    """The embedder to change to."""

    embedder: Name


class NewJob(Strict):
    """Work to be done in the background; without a scope: for the vault as a whole."""

    kind: Annotated[str, Field(min_length=1, max_length=128, examples=["enrich"])]
    scope: ScopeIn | None = None
    payload: dict[str, Any] = {}
    key: Annotated[str, Field(max_length=128)] = ""
    priority: Annotated[int, Field(ge=1, le=3), WHOLE] = 3
    run_after: Time | None = None


class PrincipalIn(Strict):
    """What a principal may do."""

    tenant: Name = "default"
    rights: Annotated[list[RightName], Field(min_length=1, max_length=len(RIGHTS))] = list(DEFAULT_RIGHTS)
    roles: Annotated[list[Name], Field(max_length=100)] = []
    purposes: Annotated[list[Name], Field(max_length=100)] = []


class RuleIn(Strict):
    """What becomes of memories that have reached an age."""

    filter: Tree
    days: Annotated[float, Field(ge=0, le=1_000_000)]
    action: Literal["archive", "expire", "erase"] = "expire"


class QuotaIn(Scoped):
    """How much a scope may hold; null: any amount."""

    memories: Annotated[int, Field(ge=0, lt=2**63), WHOLE] | None = None
    bytes: Annotated[int, Field(ge=0, lt=2**63), WHOLE] | None = None


class KeyIn(Strict):
    """A key to be made. As an operator's it reaches everything; else ``rights`` left out are the usual ones."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", examples=["backend"])]
    tenants: Annotated[list[Name], Field(min_length=1, max_length=1_000)] | None = ["default"]
    rights: Annotated[list[RightName], Field(min_length=1, max_length=len(RIGHTS))] | None = None
    owner: Annotated[str, Field(pattern=r"^((user|agent):\S.{0,499})?$")] = ""
    operator: bool = False
    expires_at: Time | None = None


_NAME = {"type": "string", "minLength": 1, "maxLength": MAX_NAME_CHARS, "pattern": NAME_PATTERN}


def _condition(fields: Iterable[str], value: dict[str, Any], *more: str) -> list[dict[str, Any]]:
    """Return the schemas of a condition on fields whose values are of one kind; ``more`` are comparisons by size."""
    parts = {"eq": value, "in": {"type": "array", "items": value}, **dict.fromkeys(more, value)}
    by_value: dict[str, list[str]] = {}
    made = []
    for op, schema in parts.items():
        by_value.setdefault(json.dumps(schema), []).append(op)
    for kind, ops in by_value.items():
        members = {"field": {"enum": list(fields)}, "op": {"enum": ops}, "value": json.loads(kind)}
        made.append(_object(members))
    return made


def _object(members: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": members, "required": list(members), "additionalProperties": False}


_NESTED = {"$ref": "#/components/schemas/Filter"}
_ORDER = ("lt", "le", "gt", "ge")
FILTER_SCHEMA: dict[str, Any] = {
    "title": "Filter",
    "description": "Which memories: a tree of conditions.",
    "examples": [{"field": "role", "op": "eq", "value": "turn"}],
    "oneOf": [
        *_condition(
            ("tenant", "owner", "agent", "session", "actor", "source", "tag", "reader", "writer", "sensitivity"), _NAME
        ),
        *_condition(("role",), {"enum": [str(role) for role in Role]}),
        *_condition(("state",), {"enum": [str(state) for state in State]}),
        *_condition(("substrate",), {"enum": [str(one) for one in Substrate]}),
        *_condition(("visibility",), {"enum": [str(one) for one in Visibility]}),
        *_condition(("id", "derived_from"), {"type": "string", "pattern": ID_PATTERN}),
        *_condition(("created_at", "recorded_at", "expires_at"), {"type": "string", "format": "date-time"}, *_ORDER),
        *_condition(("importance", "trust"), {"type": "number"}, *_ORDER),
        _object(
            {"field": {"const": "text"}, "op": {"const": "contains"}, "value": {"type": "string", "pattern": r"\S"}}
        ),
        *(_object({name: {"type": "array", "items": _NESTED}}) for name in ("and", "or")),
        _object({"not": _NESTED}),
    ],
}
"""What ``anamnos.types.filter_from_dict`` takes."""
