"""Filters as SQL: the tree becomes a condition with parameters, never text from the outside."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from anamnos.cube import Scope
from anamnos.store.postgres.rows import narrowing
from anamnos.store.rows import id_bytes, micros
from anamnos.types import SEARCHED_STATES, And, Comparison, Field, Filter, Not, Or, fold, names_state

_COLUMNS = {
    Field.ROLE: "c.role",
    Field.STATE: "c.state",
    Field.SUBSTRATE: "c.substrate",
    Field.TENANT: "s.tenant",
    Field.OWNER: """coalesce('user:' || s."user", 'agent:' || s.agent)""",
    Field.AGENT: "s.agent",
    Field.SESSION: "s.session",
    Field.ACTOR: "c.actor",
    Field.SOURCE: "c.source",
    Field.CREATED_AT: "c.created_at",
    Field.RECORDED_AT: "c.recorded_at",
    Field.EXPIRES_AT: "c.expires_at",
    Field.IMPORTANCE: "c.importance",
    Field.TRUST: "c.trust",
    Field.VISIBILITY: "c.visibility",
}
_LISTS = {
    Field.TAG: "c.tags",
    Field.READER: "c.readers",
    Field.WRITER: "c.writers",
    Field.SENSITIVITY: "c.sensitivity",
}
_TIMES = (Field.CREATED_AT, Field.RECORDED_AT, Field.EXPIRES_AT)
_NUMBERS = (Field.IMPORTANCE, Field.TRUST)
_SIGNS = {
    Comparison.EQ: "=",
    Comparison.LT: "<",
    Comparison.LE: "<=",
    Comparison.GT: ">",
    Comparison.GE: ">=",
}


def scope_condition(scope: Scope | None) -> tuple[str, list[Any]]:
    """Return the condition on ``scopes s`` that means ``scope.covers(...)``; None: any scope."""
    if scope is None:
        return "true", []
    sql, values = user_condition(scope)
    for column, value in (("s.agent", scope.agent), ("s.session", scope.session)):
        if value is not None:
            sql += f" AND {column} = %s"
            values.append(value)
    return sql, values


def user_condition(scope: Scope) -> tuple[str, list[Any]]:
    """Return the condition on ``scopes s`` that it is of the same tenant and user."""
    if scope.user is None:
        return 's.tenant = %s AND s."user" IS NULL', [scope.tenant]
    return 's.tenant = %s AND s."user" = %s', [scope.tenant, scope.user]


def time_condition(as_of: datetime | None) -> tuple[str, list[Any]]:
    """Return the condition on ``cubes c`` that means ``held_at(cube, as_of)``; None: that it is the current version."""
    if as_of is None:
        return "c.current", []
    spans = (("c.recorded_at", "c.superseded_at"), ("c.valid_from", "c.valid_to"))
    sql = " AND ".join(f"coalesce({a} <= %s, true) AND coalesce({b} > %s, true)" for a, b in spans)
    return sql, [micros(as_of)] * 4


def filter_condition(tree: Filter | None) -> tuple[str, list[Any]]:
    """Return the condition on ``cubes c`` (with scopes s) that means ``matches(tree, cube)``.

    Adds the condition on the searched states unless the filter names states itself.
    """
    sql, values = ("true", []) if tree is None else _compile(tree)
    if not names_state(tree):
        sql = f"({sql}) AND {state_condition()}"
    return sql, values


def state_condition() -> str:
    """Return the condition that keeps to ``SEARCHED_STATES``."""
    return f"c.state IN ({', '.join(repr(str(state)) for state in SEARCHED_STATES)})"


def _compile(tree: Filter) -> tuple[str, list[Any]]:
    if isinstance(tree, And | Or):
        compiled = [_compile(part) for part in tree.parts]
        word, empty = (" AND ", "true") if isinstance(tree, And) else (" OR ", "false")
        parts = [f"({sql})" for sql, _ in compiled] or [empty]
        return word.join(parts), [value for _, values in compiled for value in values]
    if isinstance(tree, Not):
        sql, values = _compile(tree.part)
        return f"NOT coalesce(({sql}), false)", values
    if tree.field is Field.TEXT:
        return _text(tree.value)
    wanted = [_plain(value) for value in (tree.value if tree.op is Comparison.IN else (tree.value,))]
    if tree.field in _LISTS:
        return f"{_LISTS[tree.field]} && %s::text[]", [wanted]
    if tree.field in (Field.ID, Field.DERIVED_FROM):
        ids = [id_bytes(value) for value in wanted]
        derived = "c.row IN (SELECT d.row FROM derivations d WHERE d.source = ANY(%s::bytea[]))"
        return "c.id = ANY(%s::bytea[])" if tree.field is Field.ID else derived, [ids]
    kind = "bigint" if tree.field in _TIMES else "float8" if tree.field in _NUMBERS else "text"
    column = _COLUMNS[tree.field]
    if tree.op is Comparison.IN:
        return f"coalesce({column} = ANY(%s::{kind}[]), false)", [wanted]
    return f"coalesce({column} {_SIGNS[tree.op]} %s::{kind}, false)", wanted


def _text(text: str) -> tuple[str, list[Any]]:
    """Narrow by trigrams, then look. A text without NUL can be compared by the server as it lies there."""
    wanted = fold(text)
    plain = "false" if "\0" in wanted else "strpos(lower(c.content), %s) > 0"
    exact = (
        f"c.substrate = 'text' AND CASE WHEN c.folded IS NULL THEN {plain} ELSE position(%s::bytea IN c.folded) > 0 END"
    )
    values: list[Any] = [wanted.encode()] if "\0" in wanted else [wanted, wanted.encode()]
    if query := narrowing(wanted):
        return f"c.trigrams @@ %s::tsquery AND {exact}", [query, *values]
    return exact, values


def _plain(value: Any) -> Any:
    return micros(value) if isinstance(value, datetime) else str(value) if isinstance(value, str) else value
