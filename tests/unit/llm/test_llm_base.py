"""Reading what a model wrote, and checking it against a schema."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anamnos.errors import ProviderError
from anamnos.llm.base import Ledger, Usage, checked, misfit, read_json
from anamnos.testing.strategies import json_values

ITEM = {"type": "object", "required": ["x"], "properties": {"x": {"type": "number"}}}
SCHEMA = {
    "type": "object",
    "properties": {
        "n": {"type": "integer", "minimum": 0, "maximum": 9},
        "kind": {"type": "string", "enum": ["a", "b"]},
        "items": {"type": "array", "items": ITEM},
        "maybe": {"type": ["string", "null"]},
        "flag": {"type": "boolean"},
    },
    "required": ["n"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"n": 1, "kind": "a", "items": [{"x": 1.5, "more": 0}], "maybe": None, "flag": True}, ""),
        ([], "answer is no object"),
        ({}, "answer.n is missing"),
        ({"n": "1"}, "answer.n is no integer"),
        ({"n": True}, "answer.n is no integer"),
        ({"n": 10}, "answer.n is out of range"),
        ({"n": -1}, "answer.n is out of range"),
        ({"n": 1, "kind": "c"}, "answer.kind is not one of ['a', 'b']"),
        ({"n": 1, "items": [{"x": 1}, {"y": 2}]}, "answer.items[1].x is missing"),
        ({"n": 1, "maybe": 3}, "answer.maybe is no string or null"),
        ({"n": 1, "flag": 1}, "answer.flag is no boolean"),
        ({"n": 1, "z": 0, "y": 0}, "answer.y is not asked for"),
    ],
)
def test_misfits_are_named(value: Any, problem: str) -> None:
    assert misfit(SCHEMA, value) == problem


@pytest.mark.parametrize(
    "text",
    [
        '{"a": [1, {"b": "}"}]}',
        '```json\n{"a": [1, {"b": "}"}]}\n```',
        'Sure! Here {you} are: {"a": [1, {"b": "}"}],} That is all {.',
        '<think>Perhaps {"a": 2}?</think>{"a": [1, {"b": "}"},],}',
        '[{"a": [1, {"b": "}"}]}]',
    ],
)
def test_json_is_found_in_what_models_write(text: str) -> None:
    assert read_json(text) == {"a": [1, {"b": "}"}]}


@pytest.mark.parametrize("text", ["", "no", "[1, 2]", '{"a": NaN}', '{"a": 1', "{" * 10_000, '<think>{"a": 1}'])
def test_what_holds_no_object_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="JSON"):
        read_json(text)


@given(st.text(max_size=40), json_values(), st.text(max_size=40))
def test_any_text_is_read_or_refused(before: str, value: Any, after: str) -> None:
    try:
        assert isinstance(read_json(before + json.dumps({"a": value}) + after), dict)
    except ValueError:
        assert "{" in before or "<think>" in before


def test_what_does_not_fit_is_an_error_that_says_why() -> None:
    assert checked('{"n": 1}', SCHEMA) == {"n": 1}
    with pytest.raises(ProviderError, match=r"answer\.n is missing"):
        checked("{}", SCHEMA)
    with pytest.raises(ProviderError, match="gave no JSON"):
        checked("I do not know.", SCHEMA)


def test_the_ledger_adds_up_by_step() -> None:
    ledger = Ledger()
    ledger.add("extract", Usage(1, 10, 2))
    ledger.add("extract", Usage(1, 5, 1))
    ledger.add("answer", Usage(1, 1, 1))
    assert ledger.steps == {"extract": Usage(2, 15, 3), "answer": Usage(1, 1, 1)}
    assert ledger.total() == Usage(3, 16, 4)
