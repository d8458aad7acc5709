"""Filters as SQL: the tree becomes a condition with parameters, never text from the outside."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from anamnos.cube import Scope, to_iso
from anamnos.store.rows import micros
from anamnos.types import SEARCHED_STATES, And, Comparison, Field, Filter, Not, Or, Where, fold, names_state

EXPIRY = "rtrim(json_extract(c.more, '$.lifecycle.expires_at'), 'Z')"
"""When a cube expires, as text that sorts; just as the index of it has it."""

_COLUMNS = {
    Field.ROLE: "c.role",
    Field.STATE: "c.state",
    Field.SUBSTRATE: "c.substrate",
    Field.TENANT: "s.tenant",
    Field.OWNER: "coalesce('user:' || s.user, 'agent:' || s.agent)",
    Field.AGENT: "s.agent",
    Field.SESSION: "s.session",
    Field.ACTOR: "c.actor",
    Field.SOURCE: "o.source",
    Field.CREATED_AT: "c.created_at",
    Field.RECORDED_AT: "c.recorded_at",
    Field.IMPORTANCE: "c.importance",
    Field.TRUST: "c.trust",
    Field.VISIBILITY: "ifnull(json_extract(c.more, '$.policy.visibility'), 'private')",
    Field.EXPIRES_AT: EXPIRY,
}
_LISTS = {
    Field.TAG: "annotations.tags",
    Field.READER: "policy.readers",
    Field.WRITER: "policy.writers",
    Field.SENSITIVITY: "policy.sensitivity",
}
_SIGNS = {
    Comparison.EQ: "=",
    Comparison.LT: "<",
    Comparison.LE: "<=",
    Comparison.GT: ">",
    Comparison.GE: ">=",
}


def scope_condition(scope: Scope) -> tuple[str, list[Any]]:
    """Return the condition on ``scopes s`` that means ``scope.covers(...)``."""
    sql, values = "s.tenant = ? AND s.user IS ?", [scope.tenant, scope.user]
    for column, value in (("s.agent", scope.agent), ("s.session", scope.session)):
        if value is not None:
            sql += f" AND {column} = ?"
            values.append(value)
    return sql, values


def time_condition(as_of: datetime | None) -> tuple[str, list[Any]]:
    """Return the condition on ``cubes c`` that means ``held_at(cube, as_of)``; None: that it is the current version.

    Times in the JSON are in UTC and, without their Z, sort as text.
    """
    if as_of is None:
        return "c.current", []
    said = "rtrim(json_extract(c.more, '$.time.{}'), 'Z')"
    world = (sortable(as_of),) * 2
    return (
        "ifnull(c.recorded_at <= ?, 1) AND ifnull(c.superseded_at > ?, 1)"
        f" AND ifnull({said.format('valid_from')} <= ?, 1) AND ifnull({said.format('valid_to')} > ?, 1)"
    ), [micros(as_of), micros(as_of), *world]


def filter_condition(tree: Filter | None) -> tuple[str, list[Any]]:
    """Return the condition on ``cubes c`` (with scopes s, origins o) that means ``matches(tree, cube)``.

    Adds the condition on the searched states unless the filter names states itself.
    """
    sql, values = ("1", []) if tree is None else _compile(tree)
    if not names_state(tree):
        sql = f"({sql}) AND {state_condition()}"
    return sql, values


def state_condition() -> str:
    """Return the condition that keeps to ``SEARCHED_STATES``."""
    return f"c.state IN ({', '.join(repr(str(state)) for state in SEARCHED_STATES)})"


def _compile(tree: Filter) -> tuple[str, list[Any]]:
    if isinstance(tree, And | Or):
        compiled = [_compile(part) for part in tree.parts]
        word, empty = (" AND ", "1") if isinstance(tree, And) else (" OR ", "0")
        parts = [sql for sql, _ in compiled] or [empty]
        while len(parts) > 1:  # in pairs, since SQLite takes a chain of 1,000 for a tree that is too deep
            parts = [word.join(f"({sql})" for sql in parts[i : i + 2]) for i in range(0, len(parts), 2)]
        return parts[0], [value for _, values in compiled for value in values]
    if isinstance(tree, Not):
        sql, values = _compile(tree.part)
        return f"NOT ifnull(({sql}), 0)", values
    if tree.field is Field.TEXT:
        return _text(tree)
    if tree.field in _LISTS:
        sql, values = _compare("value", tree)
        return f"EXISTS (SELECT 1 FROM json_each(c.more, '$.{_LISTS[tree.field]}') WHERE {sql})", values
    if tree.field in (Field.ID, Field.DERIVED_FROM):
        wanted = json.dumps([tree.value] if tree.op is Comparison.EQ else list(tree.value))
        ids = "SELECT unhex(replace(value, '-', '')) FROM json_each(?)"
        derived = f"c.row IN (SELECT row FROM derivations WHERE source IN ({ids}))"
        return f"c.id IN ({ids})" if tree.field is Field.ID else derived, [wanted]
    sql, values = _compare(_COLUMNS[tree.field], tree)
    return f"ifnull({sql}, 0)", values


def _compare(column: str, condition: Where) -> tuple[str, list[Any]]:
    plain = sortable if condition.field is Field.EXPIRES_AT else _plain
    if condition.op is Comparison.IN:
        values = json.dumps([plain(value) for value in condition.value])
        return f"{column} IN (SELECT value FROM json_each(?))", [values]
    return f"{column} {_SIGNS[condition.op]} ?", [plain(condition.value)]


def sortable(time: datetime) -> str:
    """Return a time as the JSON of a cube has it, without its Z, so that it sorts as text."""
    return str(to_iso(time)).rstrip("Z")


def _text(condition: Where) -> tuple[str, list[Any]]:
    """Narrow by trigrams, then look: ``fold_in`` (registered by the store) has the last word.

    Only trigrams of plain ASCII narrow, since only they fold alike in SQLite and in ``fold``.
    """
    wanted = fold(condition.value)
    exact = "c.substrate = 'text' AND fold_in(?, c.content)"
    trigrams = {wanted[i : i + 3] for i in range(len(wanted) - 2)}
    usable = sorted(t for t in trigrams if t.isascii() and "\0" not in t)[:32]
    if not usable:
        return exact, [wanted]
    match = " AND ".join('"' + t.replace('"', '""') + '"' for t in usable)
    return f"c.row IN (SELECT rowid FROM trigrams WHERE trigrams MATCH ?) AND {exact}", [match, wanted]


def _plain(value: Any) -> Any:
    return micros(value) if isinstance(value, datetime) else str(value) if isinstance(value, str) else value
