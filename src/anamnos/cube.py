"""The unit of memory: the MemCube, an immutable record with a lossless JSON form. No I/O here.

A change never edits a cube, it makes the next version of it (same ``id``, ``version`` + 1). Everything in a
cube is validated when it is made, so that whoever holds one may trust it. Source: MemCube of MemOS,
arXiv:2507.03724 section 4, flattened into the groups that Anamnos names.
"""

from __future__ import annotations

import math
import random
import re
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NewType, Self, TypeVar

from anamnos.errors import InvalidInput

CubeId = NewType("CubeId", str)
Clock = Callable[[], datetime]
IdSource = Callable[[datetime], CubeId]
Json = Mapping[str, Any]

_T = TypeVar("_T")
_R = TypeVar("_R")
_E = TypeVar("_E", bound=StrEnum)

_EMPTY: Json = MappingProxyType({})
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z")
MAX_NAME_CHARS = 512  # of a scope's part, a tag, an actor
MAX_SOURCE_CHARS = 4_096  # of a path or an address
MAX_JSON_DEPTH = 100  # of free JSON: far below what parsers refuse


class Substrate(StrEnum):
    """What a memory is made of."""

    TEXT = "text"
    ACTIVATION = "activation"
    PARAMETRIC = "parametric"
    NEURAL = "neural"


class Role(StrEnum):
    """What a memory is for."""

    TURN = "turn"
    EPISODE = "episode"
    FACT = "fact"
    NOTE = "note"
    ENTITY = "entity"
    CONCEPT = "concept"
    REFLECTION = "reflection"
    PROFILE = "profile"
    PROCEDURE = "procedure"
    RESOURCE = "resource"
    SECRET = "secret"  # noqa: S105  (a role, not a password)
    TASK = "task"
    STATE = "state"


class State(StrEnum):
    """Where a memory is in its life; ``generated``, ``activated`` and ``frozen`` ones are searched by default."""

    GENERATED = "generated"
    ACTIVATED = "activated"
    MERGED = "merged"
    ARCHIVED = "archived"
    FROZEN = "frozen"
    EXPIRED = "expired"


class LinkKind(StrEnum):
    """How one cube stands to another."""

    NEXT = "next"
    PART_OF = "part_of"
    MENTIONS = "mentions"
    SUPPORTS = "supports"
    CONTRADICTS = "contradicts"
    SUPERSEDES = "supersedes"
    SIMILAR = "similar"
    DERIVED_FROM = "derived_from"


class Visibility(StrEnum):
    """Who may see a memory without being named in its policy."""

    PRIVATE = "private"
    SESSION = "session"
    PROJECT = "project"
    PUBLIC = "public"


# --- validation: each function returns the clean value or raises InvalidInput naming the field -----------------


def check_text(name: str, value: object, *, max_chars: int | None = None) -> str:
    """Return ``value`` if it is text that can be stored as UTF-8; raise InvalidInput otherwise."""
    if not isinstance(value, str):
        raise InvalidInput(f"{name} must be text, got {type(value).__name__}.")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as exc:
        raise InvalidInput(
            f"{name} is not valid Unicode: a lone surrogate at character {exc.start}.",
            hint="Decode the bytes with the right encoding before handing them over.",
        ) from exc
    if max_chars is not None and len(value) > max_chars:
        raise InvalidInput(f"{name} has {len(value):,} characters; at most {max_chars:,} are allowed.")
    return value


def check_name(name: str, value: object, *, max_chars: int = MAX_NAME_CHARS) -> str:
    """Return ``value`` if it is a short, non-empty label without control characters."""
    text = check_text(name, value, max_chars=max_chars)
    if not text.strip() or any(ord(c) < 32 for c in text):
        raise InvalidInput(f"{name} must be a non-empty label without control characters, got {text!r}.")
    return text


def check_time(name: str, value: object) -> datetime:
    """Return ``value`` in UTC; a naive datetime is refused, since its zone would be a guess."""
    if not isinstance(value, datetime):
        raise InvalidInput(f"{name} must be a datetime, got {type(value).__name__}.")
    if value.tzinfo is None or value.utcoffset() is None:
        raise InvalidInput(
            f"{name} is a naive datetime ({value.isoformat()}): its time zone is unknown.",
            hint="Give it a zone, for instance value.replace(tzinfo=timezone.utc).",
        )
    try:
        return value.astimezone(UTC)
    except OverflowError as exc:
        raise InvalidInput(f"{name} is outside the years 1 to 9999 in UTC: {value.isoformat()}.") from exc


def check_unit(name: str, value: object) -> float:
    """Return ``value`` as a float in [0, 1]."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value <= 1.0:
        raise InvalidInput(f"{name} must be a number in [0, 1], got {value!r}.")
    return float(value)


def check_version(name: str, value: object) -> int:
    """Return ``value`` if it is a version number: a whole number from 1 to 2**63 - 1."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 2**63:
        raise InvalidInput(f"{name} must be a whole number from 1 to 2**63 - 1, got {value!r}.")
    return value


def _optional(check: Callable[[str, _T], _R], name: str, value: _T | None) -> _R | None:
    return None if value is None else check(name, value)


def _names(name: str, values: object) -> tuple[str, ...]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise InvalidInput(f"{name} must be a list of labels, got {type(values).__name__}.")
    return tuple(check_name(f"{name}[{i}]", v) for i, v in enumerate(values))


def _enum(kind: type[_E], name: str, value: Any) -> _E:
    try:
        return kind(value)
    except ValueError as exc:
        raise InvalidInput(f"{name} must be one of {', '.join(kind)}, got {value!r}.") from exc


def freeze_json(name: str, value: Any, depth: int = 0) -> Any:
    """Return a deeply immutable copy of a JSON value; raise InvalidInput for what JSON cannot hold."""
    if depth > MAX_JSON_DEPTH:
        raise InvalidInput(f"{name.split('[')[0]} is nested deeper than {MAX_JSON_DEPTH} levels.")
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return check_text(name, value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidInput(f"{name} is {value}: JSON has no such number.")
        return value
    if isinstance(value, Mapping):
        keys = [check_text(f"a key of {name}", key) for key in value]
        return MappingProxyType({k: freeze_json(f"{name}.{k}", value[k], depth + 1) for k in keys})
    if isinstance(value, list | tuple):
        return tuple(freeze_json(f"{name}[{i}]", v, depth + 1) for i, v in enumerate(value))
    raise InvalidInput(f"{name} must be JSON, got {type(value).__name__}.")


def thaw_json(value: Any) -> Any:
    """Return the plain dicts and lists of a frozen JSON value."""
    if isinstance(value, Mapping):
        return {k: thaw_json(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [thaw_json(v) for v in value]
    return value


def to_iso(value: datetime | None) -> str | None:
    """Return a UTC time as ISO 8601 with microseconds kept."""
    return None if value is None else value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def from_iso(name: str, value: object) -> datetime | None:
    """Return the time that an ISO 8601 text with a zone names; None stays None."""
    if value is None:
        return None
    text = check_text(name, value)
    try:
        return check_time(name, datetime.fromisoformat(text))
    except ValueError as exc:
        raise InvalidInput(f"{name} is not an ISO 8601 time: {text!r}.") from exc


# --- the parts of a cube ---------------------------------------------------------------------------------------


class _Part:
    """JSON in and out for the frozen dataclasses below: only what differs from the default is written."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for f in fields(self):  # type: ignore[arg-type]
            value = getattr(self, f.name)
            if value == f.default:
                continue
            if isinstance(value, datetime):
                value = to_iso(value)
            elif isinstance(value, tuple | Mapping):
                value = thaw_json(value)
            out[f.name] = str(value) if isinstance(value, StrEnum) else value
        return out

    @classmethod
    def from_dict(cls, data: Json) -> Self:
        if not isinstance(data, Mapping):
            raise InvalidInput(f"{cls.__name__} must be a JSON object, got {type(data).__name__}.")
        known = {f.name: f for f in fields(cls)}  # type: ignore[arg-type]
        unknown = sorted(set(data) - set(known))
        if unknown:
            raise InvalidInput(f"{cls.__name__} has no field {', '.join(map(repr, unknown))}.")
        values = dict(data)
        for name in values:
            if "datetime" in str(known[name].type):
                values[name] = from_iso(f"{cls.__name__}.{name}", values[name])
        try:
            return cls(**values)
        except TypeError as exc:
            raise InvalidInput(f"{cls.__name__} is incomplete: {exc}.") from exc

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True, slots=True)
class BlobRef(_Part):
    """A file of the vault: where the content of a cube that is not text lives.

    sha256      of the bytes, in lower-case hex; also the file's name
    size_bytes  >= 0
    media_type  for instance ``application/vnd.safetensors``
    """

    sha256: str
    size_bytes: int
    media_type: str

    def __post_init__(self) -> None:
        if not isinstance(self.sha256, str) or not _SHA256.match(self.sha256):
            raise InvalidInput(f"BlobRef.sha256 must be 64 lower-case hex digits, got {self.sha256!r}.")
        if isinstance(self.size_bytes, bool) or not isinstance(self.size_bytes, int) or self.size_bytes < 0:
            raise InvalidInput(f"BlobRef.size_bytes must be a whole number >= 0, got {self.size_bytes!r}.")
        check_name("BlobRef.media_type", self.media_type)


@dataclass(frozen=True, slots=True)
class Scope(_Part):
    """Whose memory it is. Every read and every write names one.

    tenant, user    the wall: a scope never reaches another tenant or another user. ``user=None`` is memory that
                    belongs to no user (an agent's own), not "any user".
    agent, session  narrow the view: left out in a read, they mean all agents and sessions of that user.

    >>> Scope(user="ann").covers(Scope(user="ann", session="monday"))
    True
    >>> Scope(agent="tutor").covers(Scope(user="ann", agent="tutor"))
    False
    """

    tenant: str = "default"
    user: str | None = None
    agent: str | None = None
    session: str | None = None

    def __post_init__(self) -> None:
        check_name("Scope.tenant", self.tenant)
        for part in ("user", "agent", "session"):
            _optional(check_name, f"Scope.{part}", getattr(self, part))
        if self.user is None and self.agent is None and self.session is None:
            raise InvalidInput(
                "The scope names nobody: user, agent and session are all missing.",
                hint="Say whose memory it is, for instance Scope(user='ann') or --user ann.",
            )

    def covers(self, other: Scope) -> bool:
        """Return whether a read in this scope sees what was written in ``other``."""
        return (
            (self.tenant, self.user) == (other.tenant, other.user)
            and self.agent in (None, other.agent)
            and self.session in (None, other.session)
        )

    def __str__(self) -> str:
        named = {"user": self.user, "agent": self.agent, "session": self.session}
        if self.tenant != "default":
            named = {"tenant": self.tenant, **named}
        return " ".join(f"{part}={name}" for part, name in named.items() if name is not None)


@dataclass(frozen=True, slots=True)
class Provenance(_Part):
    """Where a memory came from.

    source        what was read: a path, an address, or a name that the caller chose
    message_ids   ids that the source itself gives; they make writing idempotent
    actor         who said or did it
    operator      the strategy and version that made the cube, ``reader/1`` for verbatim turns
    derived_from  ids of the cubes it was made from; deleting one of them deletes this
    trust         in [0, 1]; 1 for the user's own words
    """

    source: str | None = None
    message_ids: tuple[str, ...] = ()
    actor: str | None = None
    operator: str | None = None
    derived_from: tuple[CubeId, ...] = ()
    trust: float = 1.0

    def __post_init__(self) -> None:
        for part in ("actor", "operator"):
            _optional(check_name, f"Provenance.{part}", getattr(self, part))
        if self.source is not None:
            check_name("Provenance.source", self.source, max_chars=MAX_SOURCE_CHARS)
        self._set(
            message_ids=_names("Provenance.message_ids", self.message_ids),
            derived_from=tuple(check_id("Provenance.derived_from", i) for i in self.derived_from),
            trust=check_unit("Provenance.trust", self.trust),
        )


@dataclass(frozen=True, slots=True)
class Times(_Part):
    """The two time lines of a memory: the world's, and ours.

    created_at              when it was said, written or seen; None where nobody knows
    valid_from, valid_to    when it is true in the world, half open; None is unbounded
    recorded_at             when this version entered the store (set by the store)
    superseded_at           when a newer version took over; None for the current one (set by the store)
    """

    created_at: datetime | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    recorded_at: datetime | None = None
    superseded_at: datetime | None = None

    def __post_init__(self) -> None:
        for f in fields(self):
            self._set(**{f.name: _optional(check_time, f"Times.{f.name}", getattr(self, f.name))})
        if self.valid_from and self.valid_to and self.valid_to < self.valid_from:
            raise InvalidInput(
                f"Times.valid_to ({to_iso(self.valid_to)}) is before valid_from ({to_iso(self.valid_from)})."
            )


@dataclass(frozen=True, slots=True)
class Lifecycle(_Part):
    """How alive a memory is.

    importance, strength  in [0, 1]
    stability             in days, > 0: how slowly the strength decays
    uses, last_used_at    how often and when it was last recalled and used
    expires_at            when it must be forgotten; None is never
    """

    state: State = State.GENERATED
    importance: float = 0.5
    stability: float = 1.0
    strength: float = 1.0
    uses: int = 0
    last_used_at: datetime | None = None
    expires_at: datetime | None = None

    def __post_init__(self) -> None:
        self._set(
            state=_enum(State, "Lifecycle.state", self.state),
            importance=check_unit("Lifecycle.importance", self.importance),
            strength=check_unit("Lifecycle.strength", self.strength),
            last_used_at=_optional(check_time, "Lifecycle.last_used_at", self.last_used_at),
            expires_at=_optional(check_time, "Lifecycle.expires_at", self.expires_at),
        )
        if isinstance(self.uses, bool) or not isinstance(self.uses, int) or self.uses < 0:
            raise InvalidInput(f"Lifecycle.uses must be a whole number >= 0, got {self.uses!r}.")
        stability = self.stability
        if isinstance(stability, bool) or not isinstance(stability, int | float):
            raise InvalidInput(f"Lifecycle.stability must be a number of days, got {stability!r}.")
        if not 0 < stability <= sys.float_info.max:
            raise InvalidInput(f"Lifecycle.stability must be > 0 days, got {stability!r}.")
        self._set(stability=float(stability))


@dataclass(frozen=True, slots=True)
class Policy(_Part):
    """Who may see and change a memory, and how delicate it is."""

    visibility: Visibility = Visibility.PRIVATE
    readers: tuple[str, ...] = ()
    writers: tuple[str, ...] = ()
    sensitivity: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._set(visibility=_enum(Visibility, "Policy.visibility", self.visibility))
        for part in ("readers", "writers", "sensitivity"):
            self._set(**{part: _names(f"Policy.{part}", getattr(self, part))})


@dataclass(frozen=True, slots=True)
class Annotations(_Part):
    """What is known about the content. ``data`` is free JSON, one key per strategy that writes there."""

    keywords: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    entities: tuple[str, ...] = ()
    language: str | None = None
    data: Json = field(default_factory=lambda: _EMPTY)

    def __post_init__(self) -> None:
        for part in ("keywords", "tags", "entities"):
            self._set(**{part: _names(f"Annotations.{part}", getattr(self, part))})
        _optional(check_name, "Annotations.language", self.language)
        if not isinstance(self.data, Mapping):
            raise InvalidInput(f"Annotations.data must be a JSON object, got {type(self.data).__name__}.")
        self._set(data=freeze_json("Annotations.data", self.data))

    def to_dict(self) -> dict[str, Any]:
        out = _Part.to_dict(self)
        if not self.data:
            out.pop("data", None)
        return out

    def __hash__(self) -> int:
        return hash((self.keywords, self.tags, self.entities, self.language))


@dataclass(frozen=True, slots=True)
class Link(_Part):
    """A typed edge to another cube; ``weight`` in [0, 1]."""

    kind: LinkKind
    target: CubeId
    weight: float = 1.0

    def __post_init__(self) -> None:
        self._set(
            kind=_enum(LinkKind, "Link.kind", self.kind),
            target=check_id("Link.target", self.target),
            weight=check_unit("Link.weight", self.weight),
        )


# --- the cube ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MemCube:
    """One version of one memory.

    id         time-sortable (UUID version 7), the same for all versions
    version    1, 2, 3 …
    content    text for text cubes, a BlobRef for all others
    parent_id  the cube that this one was branched or split from, if any
    Raises: InvalidInput, which names the field, if any part is not what it should be.
    """

    id: CubeId
    content: str | BlobRef
    scope: Scope
    version: int = 1
    parent_id: CubeId | None = None
    substrate: Substrate = Substrate.TEXT
    role: Role = Role.NOTE
    provenance: Provenance = field(default=Provenance())
    time: Times = field(default=Times())
    lifecycle: Lifecycle = field(default=Lifecycle())
    policy: Policy = field(default=Policy())
    annotations: Annotations = field(default=Annotations())
    links: tuple[Link, ...] = ()

    def __post_init__(self) -> None:
        put = object.__setattr__
        check_id("MemCube.id", self.id)
        _optional(check_id, "MemCube.parent_id", self.parent_id)
        check_version("MemCube.version", self.version)
        put(self, "substrate", _enum(Substrate, "MemCube.substrate", self.substrate))
        put(self, "role", _enum(Role, "MemCube.role", self.role))
        put(self, "links", tuple(self.links))
        for name, kind in _PARTS.items():
            if not isinstance(getattr(self, name), kind):
                raise InvalidInput(f"MemCube.{name} must be a {kind.__name__}, got {getattr(self, name)!r}.")
        if not all(isinstance(link, Link) for link in self.links):
            raise InvalidInput("MemCube.links must be Link objects.")
        if self.substrate is Substrate.TEXT:
            if not check_text("MemCube.content", self.content).strip():
                raise InvalidInput("MemCube.content is empty.", hint="Give some text to remember.")
        elif not isinstance(self.content, BlobRef):
            raise InvalidInput(f"A cube of substrate {self.substrate} needs a BlobRef as content.")

    def __reduce__(self) -> tuple[Any, ...]:  # frozen JSON cannot be pickled as it is
        return MemCube.from_dict, (self.to_dict(),)

    @property
    def text(self) -> str:
        """The text of a text cube; raises InvalidInput for another substrate."""
        if not isinstance(self.content, str):
            raise InvalidInput(f"Cube {self.id} holds {self.substrate} memory, not text.")
        return self.content

    def next_version(self, **changes: Any) -> MemCube:
        """Return the cube's next version with ``changes`` made; the store sets its times."""
        time = replace(changes.pop("time", self.time), recorded_at=None, superseded_at=None)
        return replace(self, version=self.version + 1, time=time, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Return the cube as plain JSON data; ``from_dict`` gives back an equal cube."""
        out: dict[str, Any] = {"id": self.id, "version": self.version}
        out["content"] = self.content if isinstance(self.content, str) else {"blob": self.content.to_dict()}
        out["scope"] = {"tenant": self.scope.tenant, **self.scope.to_dict()}
        out["role"] = str(self.role)
        if self.substrate is not Substrate.TEXT:
            out["substrate"] = str(self.substrate)
        if self.parent_id is not None:
            out["parent_id"] = self.parent_id
        for name in ("provenance", "time", "lifecycle", "policy", "annotations"):
            if part := getattr(self, name).to_dict():
                out[name] = part
        if self.links:
            out["links"] = [{"kind": str(link.kind), **link.to_dict()} for link in self.links]
        return out

    @classmethod
    def from_dict(cls, data: Json) -> MemCube:
        """Return the cube that ``to_dict`` wrote. Raises: InvalidInput naming what is wrong."""
        if not isinstance(data, Mapping):
            raise InvalidInput(f"A cube must be a JSON object, got {type(data).__name__}.")
        values = dict(data)
        unknown = sorted(set(values) - {f.name for f in fields(cls)})
        missing = sorted({"id", "content", "scope"} - set(values))
        if unknown or missing:
            raise InvalidInput(f"A cube with missing fields {missing} and unknown fields {unknown}.")
        if isinstance(values["content"], Mapping):
            values["content"] = BlobRef.from_dict(values["content"].get("blob", {}))
        for name, kind in _PARTS.items():
            if name in values:
                values[name] = kind.from_dict(values[name])
        links = values.get("links", ())
        if not isinstance(links, list | tuple):
            raise InvalidInput(f"MemCube.links must be a list, got {type(links).__name__}.")
        values["links"] = tuple(Link.from_dict(link) for link in links)
        return cls(**values)


_PARTS: dict[str, type[Any]] = {
    "scope": Scope,
    "provenance": Provenance,
    "time": Times,
    "lifecycle": Lifecycle,
    "policy": Policy,
    "annotations": Annotations,
}


# --- ids and time ------------------------------------------------------------------------------------------------


def check_id(name: str, value: object) -> CubeId:
    """Return ``value`` if it is written like a cube id."""
    if not isinstance(value, str) or not _ID.match(value):
        raise InvalidInput(
            f"{name} is not a memory id: {value!r}.",
            hint="Ids look like 01890a5d-ac96-774b-bcce-b302099a8057.",
        )
    return CubeId(value)


def utc_now() -> datetime:
    """Return the present, the default Clock."""
    return datetime.now(UTC)


def uuid7_source(rng: random.Random | None = None) -> IdSource:
    """Return a thread-safe source of UUID version 7 ids that sort in the order in which they were made.

    rng  gives the random part; a seeded one makes the ids repeatable
    Source: RFC 9562 section 5.7, with the 12 + 14 upper random bits used as a counter (method 1 of section 6.2),
    so that ids made in one millisecond, or after the clock was set back, still sort.
    """
    random_bits = (rng or random.SystemRandom()).getrandbits
    lock = threading.Lock()
    last_ms, counter = -1, 0

    def new_id(now: datetime) -> CubeId:
        nonlocal last_ms, counter
        ms = max(0, int(now.timestamp() * 1000))
        with lock:
            if ms > last_ms:
                last_ms, counter = ms, random_bits(20)  # starts low: 2**26 ids fit in a millisecond
            else:
                counter += 1
                if counter >> 26:
                    last_ms, counter = last_ms + 1, 0
            tail = random_bits(48)
            value = (last_ms & (2**48 - 1)) << 80 | 0x7 << 76 | (counter >> 14) << 64
            value |= 0b10 << 62 | (counter & 0x3FFF) << 48 | tail
        text = f"{value:032x}"
        return CubeId(f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}")

    return new_id
