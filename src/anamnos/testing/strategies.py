"""Hypothesis strategies for cubes and filters, odd ones included: other scripts, quotes, time zones."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import strategies as st

from anamnos.cube import (
    Annotations,
    BlobRef,
    CubeId,
    Lifecycle,
    Link,
    LinkKind,
    MemCube,
    Policy,
    Provenance,
    Role,
    Scope,
    State,
    Substrate,
    Times,
    Visibility,
)
from anamnos.types import And, Comparison, Field, Filter, Not, Or, Where, owner_of

HOSTILE = (
    "'; DROP TABLE cubes; --",
    '"*',
    '" OR 1=1 --',
    "%_[a-z]*?",
    "NEAR(a b) AND NOT c",
    "content:x^2",
    "\\",
    "{}[]$.annotations.tags",
    "\u017f \u212a \u0130 \u0131 ß \ufb01 Σ ς",  # letters whose other case is of another script
    "日本語の記憶",
    "e\u0301 \u00e9 \u200d👩\u200d👧",
    "a\u0000b c\u0000",
)
"""Texts that have broken someone's query."""

_OFFSETS = st.integers(-23 * 3600, 23 * 3600).map(lambda s: timezone(timedelta(seconds=s)))
_PRINTABLE = st.characters(min_codepoint=32, exclude_categories=["Cs"])


def texts() -> st.SearchStrategy[str]:
    """Return any text that is worth remembering: not empty, not only blanks."""
    plain = st.text(max_size=60).filter(lambda text: bool(text.strip()))
    return st.one_of(plain, st.sampled_from(HOSTILE), st.text("aAbBkK é", min_size=3).filter(str.strip))


def names() -> st.SearchStrategy[str]:
    """Return labels: actors, tags, sources, the parts of a scope."""
    hostile = [text for text in HOSTILE if "\0" not in text]
    plain = st.text(_PRINTABLE, min_size=1, max_size=12).filter(lambda text: bool(text.strip()))
    return st.one_of(st.sampled_from(["ann", "bob", "Ann", *hostile]), plain)


def ids() -> st.SearchStrategy[CubeId]:
    """Return well-formed cube ids."""
    return st.uuids().map(lambda uuid: CubeId(str(uuid)))


def times() -> st.SearchStrategy[datetime]:
    """Return times with a zone, from the year 2 to the year 9998, some of them with odd offsets."""
    first, last = datetime(2, 1, 1), datetime(9998, 12, 31)  # noqa: DTZ001  (hypothesis adds the zone)
    return st.datetimes(first, last, timezones=st.one_of(st.just(UTC), _OFFSETS))


def json_values() -> st.SearchStrategy[Any]:
    """Return nested JSON data."""
    numbers = st.one_of(st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False))
    leaves = st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=10))
    return st.recursive(
        leaves,
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
        max_leaves=6,
    )


def scopes(tenant: st.SearchStrategy[str] | None = None) -> st.SearchStrategy[Scope]:
    """Return scopes that name somebody."""
    part = st.none() | names()
    return (
        st.tuples(names() if tenant is None else tenant, part, part, part)
        .filter(lambda parts: any(part is not None for part in parts[1:]))
        .map(lambda parts: Scope(*parts))
    )


def _labels() -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(names(), max_size=3).map(tuple)


@st.composite
def spans(draw: st.DrawFn) -> Times:
    """Return the times of a cube as a caller sets them."""
    bounds = draw(st.lists(times(), max_size=2).map(sorted))
    return Times(
        created_at=draw(st.none() | times()),
        valid_from=bounds[0] if bounds else None,
        valid_to=bounds[1] if len(bounds) > 1 else None,
    )


def _lifecycles() -> st.SearchStrategy[Lifecycle]:
    unit = st.floats(0, 1)
    return st.builds(
        Lifecycle,
        state=st.sampled_from(State),
        importance=unit,
        strength=unit,
        stability=st.floats(0, 1e6, exclude_min=True),
        uses=st.integers(0, 2**40),
        last_used_at=st.none() | times(),
        expires_at=st.none() | times(),
    )


def _provenances() -> st.SearchStrategy[Provenance]:
    return st.builds(
        Provenance,
        source=st.none() | names(),
        message_ids=_labels(),
        actor=st.none() | names(),
        operator=st.none() | names(),
        derived_from=st.lists(ids(), max_size=2).map(tuple),
        trust=st.floats(0, 1),
    )


def _annotations() -> st.SearchStrategy[Annotations]:
    return st.builds(
        Annotations,
        keywords=_labels(),
        tags=_labels(),
        entities=_labels(),
        language=st.none() | names(),
        data=st.dictionaries(st.text(max_size=5), json_values(), max_size=2),
    )


@st.composite
def cubes(draw: st.DrawFn, *, scope: st.SearchStrategy[Scope] | None = None) -> MemCube:
    """Return cubes with any parts. Their links and sources lead nowhere."""
    substrate = draw(st.sampled_from([Substrate.TEXT] * 4 + list(Substrate)))
    blobs = st.builds(
        BlobRef,
        sha256=st.binary(min_size=32, max_size=32).map(bytes.hex),
        size_bytes=st.integers(0, 2**60),
        media_type=names(),
    )
    labels = _labels()
    links = st.builds(Link, st.sampled_from(LinkKind), ids(), st.floats(0, 1))
    return MemCube(
        id=draw(ids()),
        content=draw(texts()) if substrate is Substrate.TEXT else draw(blobs),
        scope=draw(scopes() if scope is None else scope),
        version=draw(st.integers(1, 2**40)),
        parent_id=draw(st.none() | ids()),
        substrate=substrate,
        role=draw(st.sampled_from(Role)),
        provenance=draw(_provenances()),
        time=draw(spans()),
        lifecycle=draw(_lifecycles()),
        policy=draw(st.builds(Policy, st.sampled_from(Visibility), labels, labels, labels)),
        annotations=draw(_annotations()),
        links=draw(st.lists(links, max_size=3).map(tuple)),
    )


def _values(known: Sequence[MemCube]) -> dict[Field, st.SearchStrategy[Any]]:
    """Return what a filter may ask for per field: what some known cube has, or something else."""

    def either(have: Sequence[Any], other: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        there = [value for value in have if value is not None]
        return st.one_of(st.sampled_from(there), other) if there else other

    words = [cube.content for cube in known if isinstance(cube.content, str)]
    if words:
        piece = st.sampled_from(words).flatmap(_pieces).filter(lambda text: bool(text.strip()))
        text = st.one_of(piece, piece.map(str.upper), piece.map(str.lower), texts())
    else:
        text = texts()
    return {
        Field.ID: either([cube.id for cube in known], ids()),
        Field.ROLE: st.sampled_from(Role),
        Field.STATE: st.sampled_from(State),
        Field.SUBSTRATE: st.sampled_from(Substrate),
        Field.TENANT: either([cube.scope.tenant for cube in known], names()),
        Field.OWNER: either([owner_of(cube.scope) for cube in known], names()),
        Field.AGENT: either([cube.scope.agent for cube in known], names()),
        Field.SESSION: either([cube.scope.session for cube in known], names()),
        Field.ACTOR: either([cube.provenance.actor for cube in known], names()),
        Field.SOURCE: either([cube.provenance.source for cube in known], names()),
        Field.DERIVED_FROM: either([source for cube in known for source in cube.provenance.derived_from], ids()),
        Field.TAG: either([tag for cube in known for tag in cube.annotations.tags], names()),
        Field.TEXT: text,
        Field.CREATED_AT: either([cube.time.created_at for cube in known], times()),
        Field.RECORDED_AT: either([cube.time.recorded_at for cube in known], times()),
        Field.EXPIRES_AT: either([cube.lifecycle.expires_at for cube in known], times()),
        Field.IMPORTANCE: either([cube.lifecycle.importance for cube in known], st.floats(0, 1)),
        Field.TRUST: either([cube.provenance.trust for cube in known], st.floats(-1, 2)),
        Field.VISIBILITY: st.sampled_from(Visibility),
        Field.READER: either([name for cube in known for name in cube.policy.readers], names()),
        Field.WRITER: either([name for cube in known for name in cube.policy.writers], names()),
        Field.SENSITIVITY: either([label for cube in known for label in cube.policy.sensitivity], names()),
    }


def _pieces(text: str) -> st.SearchStrategy[str]:
    place = st.integers(0, len(text))
    return st.tuples(place, place).map(lambda ends: text[min(ends) : max(ends)])


def filters(known: Sequence[MemCube] = ()) -> st.SearchStrategy[Filter]:
    """Return filter trees over every field and comparison; they often ask for what ``known`` cubes have."""
    values = _values(known)

    def conditions(field: Field) -> st.SearchStrategy[Filter]:
        if field is Field.TEXT:
            return st.builds(Where, st.just(field), st.just(Comparison.CONTAINS), values[field])
        ordered = field in (Field.CREATED_AT, Field.RECORDED_AT, Field.EXPIRES_AT, Field.IMPORTANCE, Field.TRUST)
        single = [op for op in Comparison if op not in (Comparison.IN, Comparison.CONTAINS)]
        ops = st.sampled_from(single if ordered else [Comparison.EQ])
        several = st.lists(values[field], max_size=3)
        return st.one_of(
            st.builds(Where, st.just(field), ops, values[field]),
            st.builds(Where, st.just(field), st.just(Comparison.IN), several),
        )

    leaves: st.SearchStrategy[Filter] = st.sampled_from(Field).flatmap(conditions)
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3).map(tuple).map(And),
            st.lists(inner, max_size=3).map(tuple).map(Or),
            inner.map(Not),
        ),
        max_leaves=5,
    )
