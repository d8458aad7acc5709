"""Filters: what they refuse, what they mean, how they are read from JSON."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anamnos.cube import Annotations, CubeId, Lifecycle, MemCube, Provenance, Role, Scope, State, Times
from anamnos.errors import InvalidInput
from anamnos.testing import strategies
from anamnos.types import (
    And,
    ChannelScore,
    Comparison,
    Derived,
    Field,
    Filter,
    Hit,
    Not,
    Or,
    PackedContext,
    Receipt,
    Where,
    filter_from_dict,
    fold,
    matches,
    names_state,
    where,
)

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
ID = CubeId("01890a5d-ac96-774b-bcce-b302099a8057")
CUBE = MemCube(
    id=ID,
    content="The Cat sleeps",
    scope=Scope(user="ann", session="s1"),
    role=Role.FACT,
    provenance=Provenance(source="diary", actor="Ann", trust=0.75),
    time=Times(created_at=NOON),
    lifecycle=Lifecycle(importance=0.25),
    annotations=Annotations(tags=("red", "it's")),
)

REFUSED = [
    (lambda: Where("colour", "eq", "red"), "There is no filter field 'colour'."),
    (lambda: Where([], "eq", "red"), "There is no filter field []."),
    (lambda: Where("role", "like", "fact"), "There is no comparison 'like'."),
    (lambda: Where("role", "eq", "king"), f"The filter value of role must be one of {', '.join(Role)}, got 'king'."),
    (
        lambda: Where("state", "in", ["frozen", 3]),
        f"The filter value of state must be one of {', '.join(State)}, got 3.",
    ),
    (lambda: Where("role", "in", "fact"), "Filter role in … needs a list of values, got 'fact'."),
    (lambda: Where("role", "in", 3), "Filter role in … needs a list of values, got 3."),
    (lambda: Where("role", "lt", "fact"), "Filter field role cannot be compared by lt; use eq, in."),
    (lambda: Where("text", "eq", "cat"), "Filter field text cannot be compared by eq; use contains."),
    (lambda: Where("text", "in", ["cat"]), "Filter field text cannot be compared by in; use contains."),
    (
        lambda: Where("trust", "contains", 0.5),
        "Filter field trust cannot be compared by contains; use eq, in, lt, le, gt, ge.",
    ),
    (lambda: Where("text", "contains", " "), "The filter value of text is empty."),
    (lambda: Where("text", "contains", 3), "filter value of text must be text, got int."),
    (
        lambda: Where("tag", "eq", ""),
        "filter value of tag must be a non-empty label without control characters, got ''.",
    ),
    (lambda: Where("actor", "eq", None), "filter value of actor must be text, got NoneType."),
    (lambda: Where("trust", "lt", "1"), "The filter value of trust must be a number, got '1'."),
    (lambda: Where("trust", "lt", True), "The filter value of trust must be a number, got True."),
    (lambda: Where("trust", "lt", float("nan")), "The filter value of trust must be a number, got nan."),
    (lambda: Where("created_at", "lt", 3), "filter value of created_at must be a datetime, got int."),
    (lambda: Where("created_at", "lt", "May"), "filter value of created_at is not an ISO 8601 time: 'May'."),
    (
        lambda: Where("created_at", "lt", "2024-05-01"),
        "filter value of created_at is a naive datetime (2024-05-01T00:00:00): its time zone is unknown.",
    ),
]


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_a_filter_without_sense_is_refused_in_words(make: Any, message: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        make()
    assert refusal.value.message == message


def test_the_hint_names_the_fields_and_comparisons() -> None:
    with pytest.raises(InvalidInput) as refusal:
        Where("colour", "eq", "red")  # type: ignore[arg-type]
    assert "role, state, substrate" in refusal.value.hint


def test_numbers_too_large_for_a_float_are_refused() -> None:
    with pytest.raises(InvalidInput):
        Where(Field.TRUST, Comparison.LT, 10**400)


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "role = fact",
        {},
        {"field": "role", "op": "eq"},
        {"field": "role", "op": "eq", "value": "fact", "more": 1},
        {"and": {}},
        {"and": [], "or": []},
        {"or": "ab"},
        {"not": None},
        {"and": [{"nor": []}]},
    ],
)
def test_json_that_is_no_filter_is_refused(data: Any) -> None:
    with pytest.raises(InvalidInput, match="Not a filter"):
        filter_from_dict(data)


def test_json_becomes_the_same_tree() -> None:
    fact = {"field": "role", "op": "eq", "value": "fact"}
    data = {"and": [fact, {"not": {"or": [fact, {"field": "trust", "op": "ge", "value": 1}]}}]}
    one = Where(Field.ROLE, Comparison.EQ, Role.FACT)
    want = And((one, Not(Or((one, Where(Field.TRUST, Comparison.GE, 1.0))))))
    assert filter_from_dict(data) == want
    assert filter_from_dict({"and": []}) == And(())
    assert filter_from_dict({"field": "created_at", "op": "in", "value": ["2024-05-01T14:00:00+02:00"]}) == Where(
        Field.CREATED_AT, Comparison.IN, (NOON,)
    )


MEANINGS = [
    ("role", "eq", "fact", True),
    ("role", "in", ["turn", "fact"], True),
    ("role", "in", [], False),
    ("state", "eq", "generated", True),
    ("substrate", "eq", "neural", False),
    ("agent", "eq", "tutor", False),  # unknown
    ("session", "eq", "s1", True),
    ("session", "eq", "S1", False),  # names are compared as they are
    ("actor", "in", ["Ann"], True),
    ("source", "eq", "diary", True),
    ("tag", "eq", "it's", True),
    ("tag", "in", ["blue", "red"], True),
    ("tag", "eq", "re", False),
    ("text", "contains", "cAT SL", True),
    ("text", "contains", "catsleeps", False),
    ("created_at", "le", NOON, True),
    ("created_at", "lt", NOON, False),
    ("created_at", "gt", NOON - timedelta(microseconds=1), True),
    ("recorded_at", "ge", NOON, False),  # unknown
    ("importance", "eq", 0.25, True),
    ("importance", "in", [0, 0.25], True),
    ("trust", "gt", 0.75, False),
    ("trust", "ge", 0.75, True),
]


@pytest.mark.parametrize(("field", "op", "value", "want"), MEANINGS)
def test_each_condition_means_what_it_says(field: Any, op: Any, value: Any, want: bool) -> None:
    tree = Where(field, op, value)
    assert matches(tree, CUBE) is want
    assert matches(Not(tree), CUBE) is not want


def test_empty_parts() -> None:
    assert matches(And(()), CUBE)
    assert not matches(Or(()), CUBE)


@given(strategies.cubes(), st.data())
def test_not_and_or_are_logic(one: MemCube, data: st.DataObject) -> None:
    a, b = data.draw(strategies.filters([one])), data.draw(strategies.filters([one]))
    assert matches(Not(And((a, b))), one) == matches(Or((Not(a), Not(b))), one)


def test_where_joins_all_that_is_asked() -> None:
    assert where() is None
    assert where(role="fact") == Where(Field.ROLE, Comparison.EQ, Role.FACT)
    tree = where(
        role=["fact", "note"],
        state="generated",
        actor="Ann",
        source="diary",
        tags=["red", "it's"],
        contains="cat",
        since=NOON,
        until="2024-05-02T00:00:00Z",
    )
    assert isinstance(tree, And)
    assert len(tree.parts) == 9
    assert matches(tree, CUBE)
    late = where(since=NOON, until=NOON)
    assert late is not None
    assert not matches(late, CUBE)


def test_a_filter_knows_whether_it_names_states() -> None:
    state: Filter = Where(Field.STATE, Comparison.EQ, State.FROZEN)
    other: Filter = Where(Field.TAG, Comparison.EQ, "state")
    for tree, want in ((None, False), (state, True), (other, False), (Not(Or((other, And((state,))))), True)):
        assert names_state(tree) is want


# --- fold ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("AbC", "abc"),
        ("ÄÖ", "äö"),
        ("ΣΊΓΜΑ", "σίγμα"),
        ("\u212a", "\u212a"),  # the Kelvin sign stays: it must not become k
        ("\u0130", "\u0130"),  # nor the dotted capital I
        ("ß ẞ", "ß ß"),
        ("日本 ①", "日本 ①"),
        ("a\0B", "a\0b"),
    ],
)
def test_fold_makes_cases_equal(text: str, folded: str) -> None:
    assert fold(text) == folded


@given(st.text(), st.text())
def test_fold_goes_by_characters_and_keeps_ascii_apart(a: str, b: str) -> None:
    assert fold(a + b) == fold(a) + fold(b)
    assert fold(fold(a)) == fold(a)
    others = "".join(c for c in a if not c.isascii())
    assert not any(c.isascii() for c in fold(others))


# --- results ---------------------------------------------------------------------------------------------------


def test_a_receipt_counts_and_prints() -> None:
    receipt = Receipt((ID, ID), ("added", "unchanged"), 7)
    assert (receipt.count("added"), receipt.count("deleted")) == (1, 0)
    assert receipt.to_dict() == {
        "ids": [ID, ID],
        "outcomes": ["added", "unchanged"],
        "sequence": 7,
        "state": "indexed",
    }


def test_a_hit_prints_where_it_came_from_and_why() -> None:
    hit = Hit(CUBE, 0.12345678, 2.0, {"dense": ChannelScore(0.5, 1.0)}, "said so")
    data = hit.to_dict()
    assert (hit.id, hit.content) == (ID, "The Cat sleeps")
    assert data["similarity"] == 0.123457
    assert data["channels"] == {"dense": {"raw": 0.5, "share": 1.0}}
    assert data["provenance"] == {"source": "diary", "actor": "Ann", "trust": 0.75}
    assert data["scope"] == {"tenant": "default", "user": "ann", "session": "s1"}
    assert data["created_at"] == "2024-05-01T12:00:00Z"


def test_a_packed_context_prints_its_citations() -> None:
    packed = PackedContext(text="[1] …", evidence="", citations={1: CUBE}, tokens=3, hits=(Hit(CUBE, 1.0, 1.0),))
    assert packed.to_dict()["citations"] == {"1": ID}
    assert packed.to_dict()["hits"][0]["id"] == ID


def test_derived_holds_what_it_was_given() -> None:
    derived = Derived(np.array([1], np.uint32), None)
    assert derived.vector is None
