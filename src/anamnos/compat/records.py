"""What all adapters share: a record of a framework, kept whole beside the words that it is found by.

The words are the memory's content; the record is JSON under ``annotations.data["source"]``, where readers of files keep
what else a source has. Both are written in one transaction, so that neither is there without the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from anamnos.cube import MemCube, Scope, State, thaw_json
from anamnos.errors import ConfigError
from anamnos.ingest.plan import Origin
from anamnos.ingest.readers.base import Turn
from anamnos.memory import Memory
from anamnos.types import And, Comparison, Field, Filter, Op, OpKind, Receipt, Where

PRESENT = Where(Field.STATE, Comparison.IN, tuple(state for state in State if state is not State.EXPIRED))
"""What a framework wrote is there for it until it deletes it, though sleep may have archived or merged it."""
PAGE = 1_000


def missing(adapter: str, package: str) -> ConfigError:
    """Return the error of an adapter whose framework is not installed."""
    return ConfigError(f"{adapter} needs the package {package}.", hint=f"Install it with: pip install {package}")


def now(memory: Memory) -> datetime:
    """Return the present, as the memory's clock has it."""
    return memory._clock()


def remember(
    memory: Memory,
    turns: Sequence[Turn],
    scope: Scope,
    *,
    source: str,
    tags: Sequence[str] = (),
    expires_at: datetime | None = None,
    said_now: datetime | None = None,
) -> Receipt:
    """Remember turns with their records (``Turn.data``) in one transaction, and return the receipt.

    said_now  when turns without a time and an id were said; the same words at another moment are the same memory
    Raises: what ``Memory.add`` raises; then nothing has changed.
    """
    ends = memory._checked_end(expires_at)
    origin = Origin(scope, source, tags=tuple(tags))
    return memory._remember(turns, origin, said_now=said_now, by_source=True, ends=ends)


def record_of(cube: MemCube) -> dict[str, Any]:
    """Return the record beside a memory's words, {} if there is none."""
    found = thaw_json(cube.annotations.data.get("source"))
    return found if isinstance(found, dict) else {}


def rewrite(
    memory: Memory, cube: MemCube, record: Mapping[str, Any], *, content: str, expires_at: datetime | None
) -> None:
    """Write the next version of a memory with other words and another record; ``expires_at`` None: it never does.

    Raises: what ``Memory.update`` raises.
    """
    if expires_at is None:
        end_at(memory, cube, None)  # before the words, so that they cannot go with the old ones' end
    memory.update(cube.id, cube.scope, content=content, data={"source": record}, expires_at=expires_at)


def end_at(memory: Memory, cube: MemCube, expires_at: datetime | None) -> None:
    """Say when a memory ends, without a new version; None: never."""
    if cube.lifecycle.expires_at != expires_at:
        life = replace(cube.lifecycle, expires_at=expires_at)
        memory._write([Op(OpKind.TOUCH, target=cube.id, cube=replace(cube, lifecycle=life))])


def is_alive(cube: MemCube, moment: datetime) -> bool:
    """Return whether a memory has not expired at a moment."""
    ends = cube.lifecycle.expires_at
    return cube.lifecycle.state is not State.EXPIRED and (ends is None or ends > moment)


def every(memory: Memory, scope: Scope, *filters: Filter) -> list[MemCube]:
    """Return all memories of a scope that pass, of every state but expired, in the order of their first writing."""
    found: list[MemCube] = []
    tree, moment = And((PRESENT, *filters)), now(memory)
    while True:
        page = memory.list(scope, filter=tree, limit=PAGE, after=found[-1].id if found else None)
        found += page
        if len(page) < PAGE:
            return [cube for cube in found if is_alive(cube, moment)]
