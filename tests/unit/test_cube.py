"""The unit of memory: what it refuses and in which words, its JSON form, its ids."""

import json
import random
import threading
from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anamnos.cube import (
    MAX_NAME_CHARS,
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
    freeze_json,
    from_iso,
    thaw_json,
    to_iso,
    uuid7_source,
)
from anamnos.errors import InvalidInput
from anamnos.testing import FakeClock, seeded_ids, strategies

ID = CubeId("01890a5d-ac96-774b-bcce-b302099a8057")
ANN = Scope(user="ann")
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
BLOB = BlobRef("ab" * 32, 3, "text/plain")
LONG = "x" * (MAX_NAME_CHARS + 1)


def cube(**parts: Any) -> MemCube:
    return MemCube(**{"id": ID, "content": "text", "scope": ANN, **parts})


# --- what is refused -------------------------------------------------------------------------------------------

REFUSED = [
    (lambda: cube(id="42"), "MemCube.id is not a memory id: '42'."),
    (lambda: cube(id=ID.upper()), f"MemCube.id is not a memory id: '{ID.upper()}'."),
    (lambda: cube(id=ID + "\n"), f"MemCube.id is not a memory id: '{ID}\\n'."),
    (lambda: cube(id=None), "MemCube.id is not a memory id: None."),
    (lambda: cube(parent_id="42"), "MemCube.parent_id is not a memory id: '42'."),
    (lambda: cube(version=0), "MemCube.version must be a whole number from 1 to 2**63 - 1, got 0."),
    (lambda: cube(version=True), "MemCube.version must be a whole number from 1 to 2**63 - 1, got True."),
    (lambda: cube(version="1"), "MemCube.version must be a whole number from 1 to 2**63 - 1, got '1'."),
    (lambda: cube(content=" \n\t"), "MemCube.content is empty."),
    (lambda: cube(content=7), "MemCube.content must be text, got int."),
    (lambda: cube(content=b"text"), "MemCube.content must be text, got bytes."),
    (lambda: cube(content=BLOB), "MemCube.content must be text, got BlobRef."),
    (lambda: cube(content="ab\ud800"), "MemCube.content is not valid Unicode: a lone surrogate at character 2."),
    (lambda: cube(substrate="neural"), "A cube of substrate neural needs a BlobRef as content."),
    (
        lambda: cube(substrate="paper"),
        "MemCube.substrate must be one of text, activation, parametric, neural, got 'paper'.",
    ),
    (
        lambda: cube(role="king"),
        f"MemCube.role must be one of {', '.join(Role)}, got 'king'.",
    ),
    (lambda: cube(scope="ann"), "MemCube.scope must be a Scope, got 'ann'."),
    (lambda: cube(scope=None), "MemCube.scope must be a Scope, got None."),
    (lambda: cube(time=NOON), f"MemCube.time must be a Times, got {NOON!r}."),
    (lambda: cube(links=[ID]), "MemCube.links must be Link objects."),
    (lambda: Scope(), "The scope names nobody: user, agent and session are all missing."),
    (
        lambda: Scope(tenant="", user="ann"),
        "Scope.tenant must be a non-empty label without control characters, got ''.",
    ),
    (lambda: Scope(user=" "), "Scope.user must be a non-empty label without control characters, got ' '."),
    (lambda: Scope(agent="a\nb"), "Scope.agent must be a non-empty label without control characters, got 'a\\nb'."),
    (lambda: Scope(session="\0"), "Scope.session must be a non-empty label without control characters, got '\\x00'."),
    (lambda: Scope(user=3), "Scope.user must be text, got int."),  # type: ignore[arg-type]
    (lambda: Scope(user=LONG), "Scope.user has 513 characters; at most 512 are allowed."),
    (lambda: Provenance(source=""), "Provenance.source must be a non-empty label without control characters, got ''."),
    (lambda: Provenance(message_ids="m1"), "Provenance.message_ids must be a list of labels, got str."),  # type: ignore[arg-type]
    (lambda: Provenance(message_ids=(1,)), "Provenance.message_ids[0] must be text, got int."),  # type: ignore[arg-type]
    (lambda: Provenance(derived_from=(ID, "x")), "Provenance.derived_from is not a memory id: 'x'."),  # type: ignore[arg-type]
    (lambda: Provenance(trust=1.5), "Provenance.trust must be a number in [0, 1], got 1.5."),
    (lambda: Provenance(trust=float("nan")), "Provenance.trust must be a number in [0, 1], got nan."),
    (lambda: Provenance(trust=True), "Provenance.trust must be a number in [0, 1], got True."),
    (lambda: Times(created_at="2024-05-01"), "Times.created_at must be a datetime, got str."),  # type: ignore[arg-type]
    (
        lambda: Times(created_at=datetime(2024, 5, 1)),  # noqa: DTZ001
        "Times.created_at is a naive datetime (2024-05-01T00:00:00): its time zone is unknown.",
    ),
    (
        lambda: Times(created_at=datetime.max.replace(tzinfo=timezone(timedelta(hours=-1)))),
        "Times.created_at is outside the years 1 to 9999 in UTC: 9999-12-31T23:59:59.999999-01:00.",
    ),
    (
        lambda: Times(valid_from=NOON, valid_to=NOON - timedelta(seconds=1)),
        "Times.valid_to (2024-05-01T11:59:59Z) is before valid_from (2024-05-01T12:00:00Z).",
    ),
    (lambda: Lifecycle(state="dead"), f"Lifecycle.state must be one of {', '.join(State)}, got 'dead'."),  # type: ignore[arg-type]
    (lambda: Lifecycle(importance=-0.1), "Lifecycle.importance must be a number in [0, 1], got -0.1."),
    (lambda: Lifecycle(strength="1"), "Lifecycle.strength must be a number in [0, 1], got '1'."),  # type: ignore[arg-type]
    (lambda: Lifecycle(uses=-1), "Lifecycle.uses must be a whole number >= 0, got -1."),
    (lambda: Lifecycle(uses=1.0), "Lifecycle.uses must be a whole number >= 0, got 1.0."),  # type: ignore[arg-type]
    (lambda: Lifecycle(stability=0), "Lifecycle.stability must be > 0 days, got 0."),
    (lambda: Lifecycle(stability=float("inf")), "Lifecycle.stability must be > 0 days, got inf."),
    (lambda: Lifecycle(stability="1"), "Lifecycle.stability must be a number of days, got '1'."),  # type: ignore[arg-type]
    (
        lambda: Policy(visibility="all"),  # type: ignore[arg-type]
        "Policy.visibility must be one of private, session, project, public, got 'all'.",
    ),
    (lambda: Policy(readers="bob"), "Policy.readers must be a list of labels, got str."),  # type: ignore[arg-type]
    (
        lambda: Annotations(tags=("ok", "")),
        "Annotations.tags[1] must be a non-empty label without control characters, got ''.",
    ),
    (lambda: Annotations(data=[1]), "Annotations.data must be a JSON object, got list."),  # type: ignore[arg-type]
    (lambda: Annotations(data={"a": {1: 2}}), "a key of Annotations.data.a must be text, got int."),
    (lambda: Annotations(data={"a": [float("nan")]}), "Annotations.data.a[0] is nan: JSON has no such number."),
    (lambda: Annotations(data={"a": {1, 2}}), "Annotations.data.a must be JSON, got set."),
    (
        lambda: Annotations(data={"a": "\udfff"}),
        "Annotations.data.a is not valid Unicode: a lone surrogate at character 0.",
    ),
    (
        lambda: Link("likes", ID),  # type: ignore[arg-type]
        f"Link.kind must be one of {', '.join(LinkKind)}, got 'likes'.",
    ),
    (lambda: Link(LinkKind.NEXT, CubeId("x")), "Link.target is not a memory id: 'x'."),
    (lambda: Link(LinkKind.NEXT, ID, 2), "Link.weight must be a number in [0, 1], got 2."),
    (lambda: BlobRef("AB" * 32, 1, "a/b"), f"BlobRef.sha256 must be 64 lower-case hex digits, got '{'AB' * 32}'."),
    (lambda: BlobRef("ab" * 32, -1, "a/b"), "BlobRef.size_bytes must be a whole number >= 0, got -1."),
    (
        lambda: BlobRef("ab" * 32, 1, ""),
        "BlobRef.media_type must be a non-empty label without control characters, got ''.",
    ),
    (lambda: MemCube.from_dict([]), "A cube must be a JSON object, got list."),  # type: ignore[arg-type]
    (
        lambda: MemCube.from_dict({"id": ID, "colour": 1}),
        "A cube with missing fields ['content', 'scope'] and unknown fields ['colour'].",
    ),
    (
        lambda: MemCube.from_dict({"id": ID, "content": "a", "scope": {"user": "a", "pet": "b"}}),
        "Scope has no field 'pet'.",
    ),
    (
        lambda: MemCube.from_dict({"id": ID, "content": "a", "scope": "ann"}),
        "Scope must be a JSON object, got str.",
    ),
    (
        lambda: MemCube.from_dict({"id": ID, "content": "a", "scope": {"user": "a"}, "links": "b"}),
        "MemCube.links must be a list, got str.",
    ),
    (
        lambda: MemCube.from_dict(
            {"id": ID, "content": "a", "scope": {"user": "a"}, "time": {"created_at": "yesterday"}}
        ),
        "Times.created_at is not an ISO 8601 time: 'yesterday'.",
    ),
    (
        lambda: MemCube.from_dict(
            {"id": ID, "content": "a", "scope": {"user": "a"}, "time": {"created_at": "2024-05-01T12:00:00"}}
        ),
        "Times.created_at is a naive datetime (2024-05-01T12:00:00): its time zone is unknown.",
    ),
]


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_bad_input_is_refused_in_words(make: Any, message: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        make()
    assert refusal.value.message == message


def test_an_incomplete_part_is_refused() -> None:
    data = {"id": ID, "content": {"blob": {"sha256": "ab" * 32}}, "scope": {"user": "a"}, "substrate": "neural"}
    with pytest.raises(InvalidInput, match=r"BlobRef is incomplete.*size_bytes"):
        MemCube.from_dict(data)


@pytest.mark.parametrize("number", [10**400, -(10**400)])
def test_whole_numbers_too_large_for_a_float_are_refused(number: int) -> None:
    for make in (
        lambda: Lifecycle(stability=number),
        lambda: Lifecycle(importance=number),
        lambda: Provenance(trust=number),
    ):
        with pytest.raises(InvalidInput):
            make()


def test_data_nested_too_deep_is_refused() -> None:
    data: Any = "bottom"
    for _ in range(5_000):
        data = [data]
    with pytest.raises(InvalidInput):
        Annotations(data={"deep": data})


@pytest.mark.parametrize("value", ["a", "é", "日本", "x" * MAX_NAME_CHARS, "'; DROP TABLE", " a "])
def test_labels_may_be_anything_printable(value: str) -> None:
    assert Scope(user=value).user == value


# --- scopes ----------------------------------------------------------------------------------------------------


@given(strategies.scopes(), strategies.scopes())
def test_a_scope_covers_itself_and_never_another_tenant_or_user(a: Scope, b: Scope) -> None:
    assert a.covers(a)
    if a.covers(b):
        assert (a.tenant, a.user) == (b.tenant, b.user)
        assert a.agent in (None, b.agent)
        assert a.session in (None, b.session)


def test_a_scope_says_whom_it_names() -> None:
    assert str(Scope(user="ann", session="s1")) == "user=ann session=s1"
    assert str(Scope(tenant="t", agent="a")) == "tenant=t agent=a"


# --- immutability ----------------------------------------------------------------------------------------------


def test_nothing_in_a_cube_can_be_changed() -> None:
    tags, data = ["a"], {"k": {"list": [1, {"x": 1}]}}
    one = cube(annotations=Annotations(tags=tags, data=data), links=[Link(LinkKind.NEXT, ID)])  # type: ignore[arg-type]
    tags.append("b")
    data["k"]["list"].append(2)  # type: ignore[arg-type]
    assert one.annotations.tags == ("a",)
    assert thaw_json(one.annotations.data) == {"k": {"list": [1, {"x": 1}]}}
    assert isinstance(one.links, tuple)
    with pytest.raises(FrozenInstanceError):
        one.content = "other"  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        one.lifecycle.uses = 3  # type: ignore[misc]
    with pytest.raises(TypeError):
        one.annotations.data["new"] = 1  # type: ignore[index]
    with pytest.raises(TypeError):
        one.annotations.data["k"]["list"][1]["x"] = 2
    with pytest.raises(AttributeError):
        one.annotations.data["k"]["list"].append(3)
    one.to_dict()["scope"]["user"] = "bob"
    assert one.scope == ANN


def test_a_next_version_leaves_the_old_one_alone() -> None:
    one = cube(time=Times(created_at=NOON, recorded_at=NOON))
    two = one.next_version(content="other")
    assert (one.version, one.content, one.time.recorded_at) == (1, "text", NOON)
    assert (two.version, two.content, two.time) == (2, "other", Times(created_at=NOON))
    assert two.id == one.id


@given(strategies.cubes())
def test_equal_cubes_have_equal_hashes(one: MemCube) -> None:
    assert hash(one) == hash(MemCube.from_dict(one.to_dict()))
    assert one != replace(one, version=one.version + 1)


def test_only_a_text_cube_has_text() -> None:
    assert cube().text == "text"
    with pytest.raises(InvalidInput, match="holds neural memory, not text"):
        _ = cube(content=BLOB, substrate=Substrate.NEURAL).text


# --- JSON ------------------------------------------------------------------------------------------------------


@given(strategies.cubes())
def test_json_gives_back_an_equal_cube(one: MemCube) -> None:
    for ascii_only in (True, False):
        text = json.dumps(one.to_dict(), ensure_ascii=ascii_only, allow_nan=False)
        text.encode("utf-8")
        again = MemCube.from_dict(json.loads(text))
        assert again == one
        assert again.to_dict() == one.to_dict()


@given(strategies.json_values())
def test_frozen_json_thaws_to_what_it_was(value: Any) -> None:
    assert thaw_json(freeze_json("value", value)) == value


def test_json_says_only_what_is_not_the_default() -> None:
    assert cube().to_dict() == {
        "id": ID,
        "version": 1,
        "content": "text",
        "scope": {"tenant": "default", "user": "ann"},
        "role": "note",
    }


@given(strategies.times())
def test_times_keep_their_microsecond_and_become_utc(time: datetime) -> None:
    kept = Times(created_at=time).created_at
    assert kept == time
    assert kept is not None
    assert kept.tzinfo is UTC
    assert from_iso("time", to_iso(time)) == time
    assert str(to_iso(time)).endswith("Z")


def test_odd_zones_and_repeated_hours_are_told_apart() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    first = datetime(2024, 10, 27, 2, 30, tzinfo=berlin)
    second = first.replace(fold=1)
    assert to_iso(Times(created_at=first).created_at) == "2024-10-27T00:30:00Z"
    assert to_iso(Times(created_at=second).created_at) == "2024-10-27T01:30:00Z"
    lisbon_1900 = datetime(1900, 1, 1, tzinfo=timezone(timedelta(minutes=-36, seconds=-45)))
    assert to_iso(Times(created_at=lisbon_1900).created_at) == "1900-01-01T00:36:45Z"


# --- ids -------------------------------------------------------------------------------------------------------


def test_ids_are_version_7_and_carry_the_time() -> None:
    new_id = uuid7_source(random.Random(1))
    made = new_id(NOON)
    assert made[14] == "7"
    assert made[19] in "89ab"
    assert int(made.replace("-", "")[:12], 16) == int(NOON.timestamp() * 1000)


def test_ids_repeat_for_the_same_seed_only() -> None:
    assert [seeded_ids(4)(NOON) for _ in range(2)] == [seeded_ids(4)(NOON)] * 2
    assert seeded_ids(4)(NOON) != seeded_ids(5)(NOON)
    assert uuid7_source()(NOON) != uuid7_source()(NOON)


@given(st.lists(st.integers(-3_000, 3_000), min_size=2, max_size=50), st.integers(0, 2**32))
def test_ids_sort_as_made_even_if_the_clock_is_set_back(steps: list[int], seed: int) -> None:
    clock, new_id = FakeClock(), seeded_ids(seed)
    made = [new_id(clock.advance(step / 1000)) for step in steps]
    assert made == sorted(set(made))


def test_ids_sort_as_made_under_a_clock_that_stands_still() -> None:
    new_id = seeded_ids(2)
    made = [new_id(NOON) for _ in range(20_000)]
    assert made == sorted(set(made))


def test_ids_before_1970_are_ids() -> None:
    new_id = seeded_ids(2)
    made = [new_id(datetime(1, 1, 1, tzinfo=UTC)) for _ in range(3)]
    assert made == sorted(set(made))
    assert cube(id=made[0]).id == made[0]


def test_threads_never_get_the_same_id() -> None:
    new_id, made = uuid7_source(), [list[CubeId]() for _ in range(8)]
    threads = [threading.Thread(target=lambda m=m: m.extend(new_id(NOON) for _ in range(2_000))) for m in made]  # type: ignore[misc]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(each == sorted(each) for each in made)
    assert len(set().union(*made)) == 16_000
