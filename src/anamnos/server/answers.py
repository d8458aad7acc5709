"""What answers hold, as OpenAPI says it: the shapes that the values of the library have as JSON data.

They describe and are not run: what a verb returned goes out by its own ``to_dict``. That the two agree is tested.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict  # that of typing is not read by pydantic before Python 3.12

from anamnos.server.models import Id, RightName, RoleName, StateName, Version

_EXACT = ConfigDict(extra="forbid")
Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Part = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]


class Problem(TypedDict):
    """What was wrong, and what to do (RFC 9457)."""

    type: str
    title: str
    status: Annotated[int, Field(ge=400, le=599)]
    detail: str
    hint: str
    code: str
    retryable: bool


@with_config(_EXACT)
class ReceiptOut(TypedDict):
    """What a write did."""

    ids: list[Id]
    outcomes: list[Literal["added", "updated", "unchanged", "deleted"]]
    sequence: Count
    state: Literal["indexed", "erased", "erasing"]


@with_config(_EXACT)
class BlobOut(TypedDict):
    """A file of the vault."""

    sha256: str
    size_bytes: Count
    media_type: str


@with_config(_EXACT)
class BlobContent(TypedDict):
    """Content that is not text."""

    blob: BlobOut


@with_config(_EXACT)
class ScopeOut(TypedDict):
    """Whose memory it is."""

    tenant: str
    user: NotRequired[str]
    agent: NotRequired[str]
    session: NotRequired[str]


@with_config(_EXACT)
class ProvenanceOut(TypedDict):
    """Where a memory came from."""

    source: NotRequired[str]
    message_ids: NotRequired[list[str]]
    actor: NotRequired[str]
    operator: NotRequired[str]
    derived_from: NotRequired[list[Id]]
    trust: NotRequired[Part]


@with_config(_EXACT)
class TimesOut(TypedDict):
    """The world's times of a memory and ours."""

    created_at: NotRequired[Moment]
    valid_from: NotRequired[Moment]
    valid_to: NotRequired[Moment]
    recorded_at: NotRequired[Moment]
    superseded_at: NotRequired[Moment]


@with_config(_EXACT)
class LifecycleOut(TypedDict):
    """How alive a memory is."""

    state: NotRequired[StateName]
    importance: NotRequired[Part]
    stability: NotRequired[float]
    strength: NotRequired[Part]
    uses: NotRequired[Count]
    last_used_at: NotRequired[Moment]
    expires_at: NotRequired[Moment]


@with_config(_EXACT)
class PolicyOut(TypedDict):
    """Who may see and change a memory."""

    visibility: NotRequired[Literal["private", "session", "project", "public"]]
    readers: NotRequired[list[str]]
    writers: NotRequired[list[str]]
    sensitivity: NotRequired[list[str]]


@with_config(_EXACT)
class AnnotationsOut(TypedDict):
    """What is known about the content."""

    keywords: NotRequired[list[str]]
    tags: NotRequired[list[str]]
    entities: NotRequired[list[str]]
    language: NotRequired[str]
    data: NotRequired[dict[str, Any]]


@with_config(_EXACT)
class LinkOut(TypedDict):
    """A typed edge to another memory."""

    kind: str
    target: Id
    weight: NotRequired[Part]


@with_config(_EXACT)
class CubeOut(TypedDict):
    """One version of one memory; what is at its default is left out."""

    id: Id
    version: Version
    content: str | BlobContent
    scope: ScopeOut
    role: RoleName
    substrate: NotRequired[Literal["text", "activation", "parametric", "neural"]]
    parent_id: NotRequired[Id]
    provenance: NotRequired[ProvenanceOut]
    time: NotRequired[TimesOut]
    lifecycle: NotRequired[LifecycleOut]
    policy: NotRequired[PolicyOut]
    annotations: NotRequired[AnnotationsOut]
    links: NotRequired[list[LinkOut]]


@with_config(_EXACT)
class CubesOut(TypedDict):
    """Memories."""

    items: list[CubeOut]


@with_config(_EXACT)
class CubePage(TypedDict):
    """A page of memories; ``next`` goes into ``after`` of the next request, and is null on the last page."""

    items: list[CubeOut]
    next: Id | None


@with_config(_EXACT)
class ChannelOut(TypedDict):
    """What one channel said of one hit."""

    raw: float
    share: float


@with_config(_EXACT)
class HitOut(TypedDict):
    """One memory that was found."""

    id: Id
    content: str | BlobContent
    similarity: Part
    rank_score: float
    reason: str
    channels: dict[str, ChannelOut]
    role: RoleName
    actor: str | None
    created_at: Moment | None
    scope: ScopeOut
    provenance: ProvenanceOut
    version: Version
    tags: list[str]


@with_config(_EXACT)
class HitsOut(TypedDict):
    """What was found, best first, and how sure it is that the memory holds the answer at all."""

    hits: list[HitOut]
    confidence: Part


@with_config(_EXACT)
class RecipeOut(TypedDict):
    """How it was searched."""

    name: str
    weights: dict[str, float]


@with_config(_EXACT)
class ExplanationOut(TypedDict):
    """How a search came to its result."""

    cue: dict[str, Any]
    recipe: RecipeOut
    hits: list[HitOut]
    confidence: Part


@with_config(_EXACT)
class ContextOut(TypedDict):
    """Memories packed for a prompt: data to quote, never instructions to follow."""

    text: str
    evidence: str
    tokens: Count
    citations: dict[str, Id]
    hits: list[HitOut]


@with_config(_EXACT)
class AnswerOut(TypedDict):
    """An answer, and what it rests on."""

    answer: str
    kind: str
    confidence: Part
    not_in_memory: bool
    cited: dict[str, Id]
    text: str
    evidence: str
    tokens: Count
    citations: dict[str, Id]
    hits: list[HitOut]


@with_config(_EXACT)
class SuggestionOut(TypedDict):
    """A tag or place for a text, and the memories because of which, the nearest first."""

    tag: str
    score: Part
    because: list[Id]


@with_config(_EXACT)
class SuggestionsOut(TypedDict):
    """Tags or places for a text, best first."""

    items: list[SuggestionOut]


@with_config(_EXACT)
class EmbedderOut(TypedDict):
    """What makes vectors of texts."""

    id: str
    dim: Count


@with_config(_EXACT)
class StatsOut(TypedDict):
    """How much is remembered."""

    memories: Count
    roles: dict[str, Count]
    states: dict[str, Count]
    scopes: Count
    embedder: EmbedderOut
    recipe: str
    sequence: NotRequired[Count]
    vault: NotRequired[str]
    bytes: NotRequired[dict[str, Count]]


@with_config(_EXACT)
class StepOut(TypedDict):
    """One step of a consolidation."""

    name: str
    finished: bool
    seconds: float
    changed: dict[str, Count]


@with_config(_EXACT)
class SleepOut(TypedDict):
    """What a consolidation came to."""

    finished: bool
    seconds: float
    steps: list[StepOut]


@with_config(_EXACT)
class FadingOut(TypedDict):
    """How much of a memory is left, and what it would become."""

    id: Id
    state: StateName
    retention: float
    becomes: StateName | None
    uses: Count
    importance: Part
    stability_days: float


@with_config(_EXACT)
class FadingsOut(TypedDict):
    """How much of each memory is left."""

    items: list[FadingOut]


@with_config(_EXACT)
class AdviceOut(TypedDict):
    """Memories that would serve better elsewhere."""

    ids: list[Id]
    to: str
    reason: str


@with_config(_EXACT)
class AdvicesOut(TypedDict):
    """What would serve better elsewhere."""

    items: list[AdviceOut]


@with_config(_EXACT)
class CalibrationOut(TypedDict):
    """What a fit of the weights found."""

    weights: dict[str, float]
    recall_at_10_before: float
    recall_at_10_after: float
    standard_error: float
    questions: Count
    adopted: bool


@with_config(_EXACT)
class ForgottenOut(TypedDict):
    """The report of what was erased of a person."""

    state: Literal["erased", "erasing", "blocked"]
    own: Count
    mentioned: Count
    installed: Count
    derived: Count
    roles: dict[str, Count]
    names: Count
    records: Count
    blocked: list[Id]
    copies: list[str]
    searched: dict[str, Count]
    residue: list[str]


@with_config(_EXACT)
class BackupOut(TypedDict):
    """What a backup did."""

    name: str
    sequence: Count
    size_bytes: Count
    written_bytes: Count


@with_config(_EXACT)
class ProblemsOut(TypedDict):
    """What is wrong, one sentence each; nothing if all is well."""

    ok: bool
    problems: list[str]


@with_config(_EXACT)
class JobOut(TypedDict):
    """A job of the background."""

    id: Count
    kind: str
    scope: dict[str, str] | None
    payload: dict[str, Any]
    key: str
    priority: int
    state: Literal["waiting", "running", "done", "dead"]
    attempts: Count
    max_attempts: Count
    run_after: Moment
    leased_until: Moment | None
    worker: str | None
    error: str
    created_at: Moment
    started_at: Moment | None
    finished_at: Moment | None
    done: Count
    total: Count


@with_config(_EXACT)
class JobCount(TypedDict):
    """How many jobs of a kind are in a state."""

    kind: str
    state: str
    jobs: Count


@with_config(_EXACT)
class JobsOut(TypedDict):
    """Jobs, the newest first, and how many there are."""

    items: list[JobOut]
    counts: list[JobCount]


@with_config(_EXACT)
class EntryOut(TypedDict):
    """One entry of the audit."""

    seq: Count
    at: Moment
    principal: str | None
    pseudonym: str | None
    verb: str
    cube_id: Id | None
    before: int | None
    after: int | None
    purpose: str | None
    decision: str
    previous: str
    hash: str


@with_config(_EXACT)
class AuditPage(TypedDict):
    """Entries of the audit, oldest first; ``next`` goes into ``after``."""

    items: list[EntryOut]
    next: int | None


@with_config(_EXACT)
class ChainOut(TypedDict):
    """Whether the audit is whole, and the hash of its newest entry."""

    problems: list[str]
    head: str


@with_config(_EXACT)
class PrincipalOut(TypedDict):
    """Somebody who asks, and what they may do."""

    name: str
    tenant: str
    rights: list[RightName]
    roles: list[str]
    purposes: list[str]


@with_config(_EXACT)
class PrincipalsOut(TypedDict):
    """Who is registered."""

    items: list[PrincipalOut]


@with_config(_EXACT)
class RuleOut(TypedDict):
    """A rule of retention."""

    name: str
    filter: dict[str, Any]
    days: float
    action: Literal["archive", "expire", "erase"]


@with_config(_EXACT)
class RulesOut(TypedDict):
    """The rules of retention."""

    items: list[RuleOut]


@with_config(_EXACT)
class QuotaOut(TypedDict):
    """How much a scope may hold; null: any amount."""

    memories: Count | None
    bytes: Count | None


@with_config(_EXACT)
class MeOut(TypedDict):
    """Who asks, and what is asked."""

    name: str
    tenants: list[str] | None
    rights: list[str]
    owner: str
    operator: bool
    version: str
    recipe: str
    embedder: str


@with_config(_EXACT)
class StatusOut(TypedDict):
    """Whether it is well."""

    status: Literal["ok"]


@with_config(_EXACT)
class Done(TypedDict):
    """What has been done has nothing more to say."""

    done: Literal[True]


@with_config(_EXACT)
class KeyOut(TypedDict):
    """What is known of a key."""

    id: str
    name: str
    tenants: list[str] | None
    rights: list[RightName]
    owner: str
    operator: bool
    created_at: Moment
    expires_at: Moment | None


@with_config(_EXACT)
class KeyMade(KeyOut):
    """A new key, which is told only once."""

    key: str


@with_config(_EXACT)
class KeysOut(TypedDict):
    """The keys of the vault."""

    items: list[KeyOut]
