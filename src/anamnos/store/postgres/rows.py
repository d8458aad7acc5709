"""How a cube lies in a row of the PostgreSQL store, and comes back from it unchanged."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from anamnos.cube import MemCube, Scope
from anamnos.store.rows import cube_from_row, id_bytes, link_from_row, micros, more_json
from anamnos.types import fold

# in the order of rows.CUBE_COLUMNS, and the links as JSON behind them
CUBE_COLUMNS = (
    'c.row, c.id, c.version, s.tenant, s."user", s.agent, s.session, c.source, c.operator, c.substrate, c.role,'
    " c.state, c.created_at, c.recorded_at, c.superseded_at, c.actor, c.importance, c.trust, c.linked,"
    " c.content, c.more, CASE WHEN c.linked THEN (SELECT json_agg(json_build_array(l.kind, encode(l.target, 'hex'),"
    " l.weight) ORDER BY l.place) FROM links l WHERE l.row = c.row) END"
)
WIDTH = 22
CUBE_TABLES = "cubes c JOIN scopes s USING (scope)"
INSERT_CUBE = (
    "INSERT INTO cubes (row, id, version, current, scope, source, operator, substrate, role, state, created_at,"
    " recorded_at, superseded_at, valid_from, valid_to, expires_at, actor, importance, trust, visibility, tags,"
    " readers, writers, sensitivity, uses, size_bytes, key, linked, content, folded, trigrams, terms, more)"
    f" VALUES ({'%s, ' * 20}{'%s::text[], ' * 4}{'%s, ' * 6}"
    "array_to_tsvector(string_to_array(%s, E'\\x1f')), %s, %s)"
)
_LARGEST = 2**63 - 1
_ESCAPES = str.maketrans({"\0": "\x1a0", "\x1a": "\x1a1"})
_ASCII_LOWER = str.maketrans({chr(n): chr(n + 32) for n in range(ord("A"), ord("Z") + 1)})
_FEW = 32
_MANY = 65_536  # distinct trigrams; more do not fit in a tsvector, which holds a megabyte
_ANYTHING = "*"  # the only lexeme of a text that has more


def encoded(text: str) -> str:
    """Return a text as PostgreSQL can hold it: without NUL, which it has no place for."""
    return text.translate(_ESCAPES) if "\0" in text or "\x1a" in text else text


def decoded(text: str) -> str:
    """Return the text that ``encoded`` was given."""
    return text.replace("\x1a0", "\0").replace("\x1a1", "\x1a") if "\x1a" in text else text


def trigrams(folded: str) -> set[str]:
    """Return all trigrams of plain, printed ASCII: only they fold alike on the server and in ``fold``."""
    found = {folded[i : i + 3] for i in range(len(folded) - 2)}
    return {trigram for trigram in found if trigram.isascii() and trigram.isprintable()}


def narrowing(folded: str) -> str:
    """Return the tsquery that every text passes in which ``folded`` is; "" if it says nothing."""
    wanted = sorted(trigrams(folded))[:_FEW]
    if not wanted:
        return ""
    quoted = ("'" + trigram.replace("\\", "\\\\").replace("'", "''") + "'" for trigram in wanted)
    return f"({' & '.join(quoted)}) | '{_ANYTHING}'"


def cube_values(cube: MemCube, row: int, scope: int, terms: bytes | None, key: bytes | None) -> list[Any]:
    """Return the values of ``INSERT_CUBE``."""
    life, origin, time, policy = cube.lifecycle, cube.provenance, cube.time, cube.policy
    folded, words = None, None
    if isinstance(cube.content, str):
        content, size = encoded(cube.content), len(cube.content.encode())
        as_compared = fold(cube.content)
        if content != cube.content or as_compared != cube.content.translate(_ASCII_LOWER):
            folded = as_compared.encode()
        found = trigrams(as_compared)
        words = "\x1f".join(found) if len(found) <= _MANY else _ANYTHING
    else:
        content, size = cube.content.sha256, min(cube.content.size_bytes, _LARGEST)
    return [
        *(row, id_bytes(cube.id), cube.version, time.superseded_at is None, scope, origin.source, origin.operator),
        *(str(cube.substrate), str(cube.role), str(life.state), micros(time.created_at), micros(time.recorded_at)),
        *(micros(time.superseded_at), micros(time.valid_from), micros(time.valid_to), micros(life.expires_at)),
        *(origin.actor, life.importance, origin.trust, str(policy.visibility), list(cube.annotations.tags)),
        *(list(policy.readers), list(policy.writers), list(policy.sensitivity), min(life.uses, _LARGEST), size),
        *(key or None, bool(cube.links), content, folded, words, terms, more_json(cube)),
    ]


def touched_values(cube: MemCube) -> list[Any]:
    """Return what a touch changes: state, importance, uses, expires_at, more."""
    life = cube.lifecycle
    return [str(life.state), life.importance, min(life.uses, _LARGEST), micros(life.expires_at), more_json(cube)]


def cube_of(row: Sequence[Any]) -> MemCube:
    """Return the cube of a row of ``CUBE_COLUMNS``."""
    values, links = list(row[: WIDTH - 1]), row[WIDTH - 1]
    values[19] = decoded(values[19])
    found = tuple(link_from_row(kind, bytes.fromhex(target), weight) for kind, target, weight in links or ())
    values[18] = bool(found)
    return cube_from_row(tuple(values), {values[0]: found})


def scope_digest(scope: Scope) -> bytes:
    """Return what a scope is looked up by."""
    return hashlib.sha256("\x1f".join(part or "" for part in names_of(scope)).encode()).digest()


def wall_of(tenant: str) -> bytes:
    """Return what tells a tenant's changes from those of others, without its name."""
    return hashlib.sha256(tenant.encode()).digest()[:8]


def names_of(scope: Scope) -> tuple[str | None, ...]:
    return scope.tenant, scope.user, scope.agent, scope.session
