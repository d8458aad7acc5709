"""The small values that travel between the rooms: filters, operations, receipts, hits."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from anamnos.cube import (
    BlobRef,
    CubeId,
    MemCube,
    Role,
    Scope,
    State,
    Substrate,
    Visibility,
    check_id,
    check_name,
    check_text,
    check_time,
    from_iso,
    to_iso,
)
from anamnos.errors import InvalidInput

Vector = NDArray[np.float32]

SEARCHED_STATES = (State.GENERATED, State.ACTIVATED, State.FROZEN)
"""A read sees these unless its filter names states itself. Frozen means "cannot change", not "cannot be read"."""


# --- filters: a small typed tree -----------------------------------------------------------------------------------


class Field(StrEnum):
    """What a filter may ask about."""

    ID = "id"
    ROLE = "role"
    STATE = "state"
    SUBSTRATE = "substrate"
    TENANT = "tenant"
    OWNER = "owner"
    AGENT = "agent"
    SESSION = "session"
    ACTOR = "actor"
    SOURCE = "source"
    DERIVED_FROM = "derived_from"
    TAG = "tag"
    TEXT = "text"
    CREATED_AT = "created_at"
    RECORDED_AT = "recorded_at"
    EXPIRES_AT = "expires_at"
    IMPORTANCE = "importance"
    TRUST = "trust"
    VISIBILITY = "visibility"
    READER = "reader"
    WRITER = "writer"
    SENSITIVITY = "sensitivity"


class Comparison(StrEnum):
    """How a filter compares. ``contains`` is for text: the words as written, whatever their case."""

    EQ = "eq"
    IN = "in"
    LT = "lt"
    LE = "le"
    GT = "gt"
    GE = "ge"
    CONTAINS = "contains"


_TIMES = (Field.CREATED_AT, Field.RECORDED_AT, Field.EXPIRES_AT)
_IDS = (Field.ID, Field.DERIVED_FROM)
_NUMBERS = (Field.IMPORTANCE, Field.TRUST)
_ORDER = (Comparison.LT, Comparison.LE, Comparison.GT, Comparison.GE)
_HOLDS: dict[Comparison, Callable[[Any, Any], bool]] = {
    Comparison.EQ: operator.eq,
    Comparison.LT: operator.lt,
    Comparison.LE: operator.le,
    Comparison.GT: operator.gt,
    Comparison.GE: operator.ge,
}
_CHOICES = {
    Field.ROLE: Role,
    Field.STATE: State,
    Field.SUBSTRATE: Substrate,
    Field.VISIBILITY: Visibility,
}


@dataclass(frozen=True, slots=True)
class Where:
    """One condition, such as ``Where("role", "eq", "turn")``. Raises: InvalidInput if it makes no sense."""

    field: Field
    op: Comparison
    value: Any

    def __post_init__(self) -> None:
        put = object.__setattr__
        try:
            put(self, "field", Field(self.field))
        except ValueError as exc:
            raise InvalidInput(f"There is no filter field {self.field!r}.", hint=f"Use: {', '.join(Field)}.") from exc
        try:
            put(self, "op", Comparison(self.op))
        except ValueError as exc:
            raise InvalidInput(f"There is no comparison {self.op!r}.", hint=f"Use: {', '.join(Comparison)}.") from exc
        if self.op is Comparison.IN:
            if isinstance(self.value, str | Mapping) or not isinstance(self.value, Iterable):
                raise InvalidInput(f"Filter {self.field} in … needs a list of values, got {self.value!r}.")
            put(self, "value", tuple(self._check(v) for v in self.value))
        else:
            put(self, "value", self._check(self.value))
        allowed: tuple[Comparison, ...] = (Comparison.EQ, Comparison.IN)
        if self.field in _TIMES or self.field in _NUMBERS:
            allowed += _ORDER
        elif self.field is Field.TEXT:
            allowed = (Comparison.CONTAINS,)
        if self.op not in allowed:
            raise InvalidInput(f"Filter field {self.field} cannot be compared by {self.op}; use {', '.join(allowed)}.")

    def _check(self, value: Any) -> Any:
        name = f"filter value of {self.field}"
        if self.field in _CHOICES:
            try:
                return _CHOICES[self.field](value)
            except ValueError as exc:
                known = ", ".join(_CHOICES[self.field])
                raise InvalidInput(f"The {name} must be one of {known}, got {value!r}.") from exc
        if self.field in _TIMES:
            return from_iso(name, value) if isinstance(value, str) else check_time(name, value)
        if self.field in _NUMBERS:
            if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
                raise InvalidInput(f"The {name} must be a number, got {value!r}.")
            try:
                return float(value)
            except OverflowError as exc:
                raise InvalidInput(f"The {name} is too large a number.") from exc
        if self.field is Field.TEXT:
            if not check_text(name, value).strip():
                raise InvalidInput(f"The {name} is empty.")
            return value
        if self.field in _IDS:
            return check_id(f"The {name}", value)
        return check_name(name, value)


@dataclass(frozen=True, slots=True)
class And:
    """All of ``parts`` hold; true if there are none."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of ``parts`` holds; false if there are none."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """``part`` does not hold."""

    part: Filter


Filter = Where | And | Or | Not


def where(
    *,
    role: str | Sequence[str] | None = None,
    state: str | Sequence[str] | None = None,
    actor: str | None = None,
    source: str | None = None,
    tags: str | Sequence[str] = (),
    contains: str | None = None,
    since: datetime | str | None = None,
    until: datetime | str | None = None,
) -> Filter | None:
    """Return the filter that asks for all of these at once, or None if nothing is asked.

    tags          it, or each of them, must be there
    since, until  bounds of ``created_at``: since <= created_at < until
    """
    parts: list[Filter] = []
    for name, wanted in (("role", role), ("state", state)):
        if wanted is not None:
            op = "eq" if isinstance(wanted, str) else "in"
            parts.append(Where(name, op, wanted))  # type: ignore[arg-type]
    for name, value in (("actor", actor), ("source", source)):
        if value is not None:
            parts.append(Where(Field(name), Comparison.EQ, value))
    parts += [Where(Field.TAG, Comparison.EQ, tag) for tag in ([tags] if isinstance(tags, str) else tags)]
    if contains is not None:
        parts.append(Where(Field.TEXT, Comparison.CONTAINS, contains))
    if since is not None:
        parts.append(Where(Field.CREATED_AT, Comparison.GE, since))
    if until is not None:
        parts.append(Where(Field.CREATED_AT, Comparison.LT, until))
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else And(tuple(parts))


def filter_from_dict(data: Any) -> Filter:
    """Return the filter that a JSON tree describes.

    ``{"and": […]}``, ``{"or": […]}``, ``{"not": …}`` or ``{"field": "role", "op": "eq", "value": "turn"}``.
    Raises: InvalidInput that names the part that is wrong.
    """
    tree = _tree(data, 0)
    if (conditions := _conditions(tree)) > MAX_FILTER_CONDITIONS:
        raise InvalidInput(f"The filter has {conditions:,} conditions; {MAX_FILTER_CONDITIONS:,} are the most.")
    return tree


def _conditions(tree: Filter) -> int:
    if isinstance(tree, Where):
        return 1
    return _conditions(tree.part) if isinstance(tree, Not) else sum(map(_conditions, tree.parts))


def _tree(data: Any, depth: int) -> Filter:
    if depth > MAX_FILTER_DEPTH:  # engines and readers of trees have ends of their own
        raise InvalidInput(f"The filter is nested deeper than {MAX_FILTER_DEPTH} levels.")
    if isinstance(data, Mapping):
        if set(data) == {"field", "op", "value"}:
            return Where(data["field"], data["op"], data["value"])
        if set(data) == {"not"}:
            return Not(_tree(data["not"], depth + 1))
        for key, kind in (("and", And), ("or", Or)):
            if set(data) == {key} and isinstance(data[key], list | tuple):
                return kind(tuple(_tree(part, depth + 1) for part in data[key]))
    raise InvalidInput(
        f"Not a filter: {data!r}.",
        hint='Write {"field": …, "op": …, "value": …}, {"and": […]}, {"or": […]} or {"not": …}.',
    )


def filter_to_dict(tree: Filter) -> dict[str, Any]:
    """Return a filter as a JSON tree; ``filter_from_dict`` gives back an equal one."""
    if isinstance(tree, And | Or):
        return {"and" if isinstance(tree, And) else "or": [filter_to_dict(part) for part in tree.parts]}
    if isinstance(tree, Not):
        return {"not": filter_to_dict(tree.part)}
    values = tree.value if tree.op is Comparison.IN else (tree.value,)
    plain = [to_iso(v) if isinstance(v, datetime) else str(v) if isinstance(v, str) else v for v in values]
    return {"field": str(tree.field), "op": str(tree.op), "value": plain if tree.op is Comparison.IN else plain[0]}


MAX_FILTER_DEPTH = 100
MAX_FILTER_CONDITIONS = 10_000
TRUSTED = 0.6
"""Memories with less trust are not believed: see ``anamnos.system.governance.trust``."""


def owner_of(scope: Scope) -> str | None:
    """Return the principal whose memory a scope is: ``user:ann``; of its agent where it names no user."""
    if scope.user is not None:
        return f"user:{scope.user}"
    return None if scope.agent is None else f"agent:{scope.agent}"


def names_state(tree: Filter | None) -> bool:
    """Return whether a filter asks about states itself, so that the default states do not apply."""
    if tree is None:
        return False
    if isinstance(tree, Where):
        return tree.field is Field.STATE
    if isinstance(tree, Not):
        return names_state(tree.part)
    return any(names_state(part) for part in tree.parts)


_SAID = (Role.TURN, Role.NOTE, Role.RESOURCE)


def names_derived(tree: Filter | None) -> bool:
    """Return whether a filter asks for what was derived from other memories, which is left out by default."""
    if tree is None:
        return False
    if isinstance(tree, Where):
        roles = tree.value if tree.op is Comparison.IN else (tree.value,)
        derived_role = tree.field is Field.ROLE and any(role not in _SAID for role in roles)
        return tree.field is Field.DERIVED_FROM or derived_role
    if isinstance(tree, Not):
        return names_derived(tree.part)
    return any(names_derived(part) for part in tree.parts)


def matches(tree: Filter, cube: MemCube) -> bool:
    """Return whether ``cube`` passes the filter: the plain meaning that every engine must agree with.

    A comparison with something that is unknown (a cube without created_at, say) is false; its Not is true.
    """
    if isinstance(tree, And):
        return all(matches(part, cube) for part in tree.parts)
    if isinstance(tree, Or):
        return any(matches(part, cube) for part in tree.parts)
    if isinstance(tree, Not):
        return not matches(tree.part, cube)
    if tree.field is Field.TEXT:
        return isinstance(cube.content, str) and fold(tree.value) in fold(cube.content)
    several: dict[Field, tuple[Any, ...]] = {
        Field.TAG: cube.annotations.tags,
        Field.DERIVED_FROM: cube.provenance.derived_from,
        Field.READER: cube.policy.readers,
        Field.WRITER: cube.policy.writers,
        Field.SENSITIVITY: cube.policy.sensitivity,
    }
    have: tuple[Any, ...]
    if tree.field in several:
        have = several[tree.field]
    else:
        one = {
            Field.ID: cube.id,
            Field.ROLE: cube.role,
            Field.STATE: cube.lifecycle.state,
            Field.SUBSTRATE: cube.substrate,
            Field.TENANT: cube.scope.tenant,
            Field.OWNER: owner_of(cube.scope),
            Field.AGENT: cube.scope.agent,
            Field.SESSION: cube.scope.session,
            Field.ACTOR: cube.provenance.actor,
            Field.SOURCE: cube.provenance.source,
            Field.CREATED_AT: cube.time.created_at,
            Field.RECORDED_AT: cube.time.recorded_at,
            Field.EXPIRES_AT: cube.lifecycle.expires_at,
            Field.IMPORTANCE: cube.lifecycle.importance,
            Field.TRUST: cube.provenance.trust,
            Field.VISIBILITY: cube.policy.visibility,
        }[tree.field]
        have = () if one is None else (one,)
    if tree.op is Comparison.IN:
        return any(value in tree.value for value in have)
    return any(_HOLDS[tree.op](value, tree.value) for value in have)


def fold(text: str) -> str:
    """Return ``text`` as the text filter compares it: upper and lower case are the same.

    No character outside ASCII becomes one of ASCII (as the Kelvin sign would), so that engines may narrow by ASCII.
    """
    if text.isascii():
        return text.lower()
    return "".join(c.lower() if c.isascii() or not c.lower()[0].isascii() else c for c in text)


# --- operations ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Derived:
    """What a text cube is found by, computed before the write and stored in the same transaction.

    terms     hashed index terms in the order of the text: (n,) uint32
    vector    unit vector: (dim,) float32; None if there is none (yet)
    embedder  id of the vector's embedder; a store that uses another one refuses it. None: the one in use
    tokens    vectors of the single words, one after the other, as ``anamnos.index.tokens`` packs them; b"" if none
    """

    terms: NDArray[np.uint32]
    vector: Vector | None
    embedder: str | None = None
    tokens: bytes = b""


class OpKind(StrEnum):
    """What an operation does; see ``anamnos.store.apply``."""

    ADD = "add"
    UPDATE = "update"
    TRANSITION = "transition"
    TOUCH = "touch"
    DELETE = "delete"
    RESTORE = "restore"


@dataclass(frozen=True, slots=True)
class Op:
    """One change to one memory: the only way in which any strategy changes the store.

    kind     add a new cube; write the next version of one; write one that says the same, in another state or with
             other links; note, without a new version, how it is used; erase one with all its versions; or put back a
             version as it was exported, with its times
    target   the cube to change or delete; None for add and restore
    cube     the new cube or version; for touch, the current version with its new lifecycle; None for delete
    derived  what a text cube is found by; None for transition, touch and delete
    key      what makes an add idempotent: a second add with the same key is none; b"" is no such check
    """

    kind: OpKind
    target: CubeId | None = None
    cube: MemCube | None = None
    derived: Derived | None = None
    key: bytes = b""


Outcome = Literal["added", "updated", "unchanged", "deleted"]


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the change feed: ``seq`` only grows; ``row`` names the version of the cube inside the store."""

    seq: int
    kind: Literal["written", "retired", "erased"]
    row: int
    cube_id: CubeId


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a write did, given only once it is durable.

    ids       of the memories that the input stands for, in its order, new or not
    outcomes  what happened to each
    sequence  the store's sequence number after this write
    state     ``indexed``: a search that starts now finds it. ``erased``: gone from every file of the vault.
              ``erasing``: gone for every reader, but another process still holds old pages of the journal
              open; they are cleaned by the next write, ``verify`` or close.
    """

    ids: tuple[CubeId, ...]
    outcomes: tuple[Outcome, ...]
    sequence: int
    state: Literal["indexed", "erased", "erasing"] = "indexed"

    def count(self, outcome: Outcome) -> int:
        """Return how many memories had this outcome."""
        return self.outcomes.count(outcome)

    def to_dict(self) -> dict[str, Any]:
        return {
            "ids": list(self.ids),
            "outcomes": list(self.outcomes),
            "sequence": self.sequence,
            "state": self.state,
        }


# --- results -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ChannelScore:
    """What one channel said of one hit: its own ``raw`` score, and its ``share`` of the rank score."""

    raw: float
    share: float


@dataclass(frozen=True, slots=True)
class Hit:
    """One memory that was found, best first.

    similarity  in [0, 1]: cosine of cue and memory, clipped; comparable between searches
    rank_score  what the hits are ordered by; comparable only within one search
    channels    per channel, what it saw and how much that counted
    reason      the same in words
    """

    cube: MemCube
    similarity: float
    rank_score: float
    channels: Mapping[str, ChannelScore] = field(default_factory=dict)
    reason: str = ""

    @property
    def id(self) -> CubeId:
        return self.cube.id

    @property
    def content(self) -> str | BlobRef:
        return self.cube.content

    def to_dict(self) -> dict[str, Any]:
        cube = self.cube
        return {
            "id": cube.id,
            "content": cube.to_dict()["content"],
            "similarity": round(self.similarity, 6),
            "rank_score": round(self.rank_score, 6),
            "reason": self.reason,
            "channels": {
                name: {"raw": round(score.raw, 6), "share": round(score.share, 6)}
                for name, score in self.channels.items()
            },
            "role": str(cube.role),
            "actor": cube.provenance.actor,
            "created_at": to_iso(cube.time.created_at),
            "scope": {"tenant": cube.scope.tenant, **cube.scope.to_dict()},
            "provenance": cube.provenance.to_dict(),
            "version": cube.version,
            "tags": list(cube.annotations.tags),
        }


class Hits(list[Hit]):
    """What a search found, best first: a list, and how sure it is.

    confidence  in [0, 1]: how likely the memory holds the answer at all; low where nothing said is close to what is
                asked, or only somebody else said it. See ``anamnos.recall.confidence``
    """

    def __init__(self, hits: Iterable[Hit] = (), confidence: float = 0.0) -> None:
        super().__init__(hits)
        self.confidence = confidence


@dataclass(frozen=True, slots=True)
class PackedContext:
    """Memories packed for a prompt.

    text       dated, cited lines in time order
    evidence   the one sentence of the memories that answers best; "" if nothing was found
    citations  number in the text -> the memory it stands for
    tokens     estimated length of ``text`` (see ``anamnos.recall.pack``)
    hits       the search behind it, best first
    """

    text: str
    evidence: str
    citations: Mapping[int, MemCube]
    tokens: int
    hits: tuple[Hit, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "text": self.text,
            "evidence": self.evidence,
            "tokens": self.tokens,
            "citations": {str(number): cube.id for number, cube in self.citations.items()},
            "hits": [hit.to_dict() for hit in self.hits],
        }
