"""Moving a memory to where it serves best: the paths between substrates, and the policy that advises them.

A path makes, of memories in one substrate, their next versions (same substrate) or what goes into cubes of another one,
which stand on them. Every migration leaves a record on the memory and can be undone: the words are never given up.
Here is the path from text to text, to another role or wording; the paths to activations and weights come with those
substrates. Source: MemOS, arXiv:2507.03724 sections 4.3 and 5.2; it gives directions, the thresholds are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from anamnos.cube import CubeId, MemCube, Role, State, Substrate, to_iso
from anamnos.errors import Conflict, MissingExtra

DATA_KEY = "migrate"

HOT_USES_PER_DAY, HOT_MAX_TOKENS, HOT_STABLE = 3.0, 2_000, timedelta(hours=1)
COLD_AFTER = timedelta(hours=24)
LASTING_USES, LASTING, LASTING_TRUST, LASTING_BATCH = 20, timedelta(days=7), 0.9, 32


@dataclass(frozen=True, slots=True)
class Advice:
    """Memories that would serve better elsewhere.

    reason  what about them says so
    """

    ids: tuple[CubeId, ...]
    to: Substrate
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return {"ids": list(self.ids), "to": str(self.to), "reason": self.reason}


def advise(cubes: Iterable[MemCube], now: datetime, count_tokens: Callable[[str], int]) -> list[Advice]:
    """Return what the policy would move, given the current versions of memories.

    text to activation      used 3 times a day or more, at most 2,000 tokens, unchanged for an hour
    text to parametric      used 20 times or more over a week without a change, trusted, not delicate; at least 32
    activation to text      not used for a day
    Frozen memories and those outside of searches stay where they are.
    """
    advice: list[Advice] = []
    lasting: list[CubeId] = []
    for cube in cubes:
        if cube.lifecycle.state not in (State.GENERATED, State.ACTIVATED) or cube.time.recorded_at is None:
            continue
        unchanged = now - cube.time.recorded_at
        if cube.substrate is Substrate.ACTIVATION:
            last = cube.lifecycle.last_used_at or cube.time.recorded_at
            if now - last >= COLD_AFTER:
                advice.append(Advice((cube.id,), Substrate.TEXT, "not used for a day"))
        elif cube.substrate is Substrate.TEXT:
            days = max(unchanged / timedelta(days=1), 1.0)
            rate = cube.lifecycle.uses / days
            if rate >= HOT_USES_PER_DAY and unchanged >= HOT_STABLE and count_tokens(cube.text) <= HOT_MAX_TOKENS:
                advice.append(Advice((cube.id,), Substrate.ACTIVATION, f"used {rate:.1f} times a day"))
            if _is_lasting(cube, unchanged):
                lasting.append(cube.id)
    if len(lasting) >= LASTING_BATCH:
        reason = f"{len(lasting)} memories used often and unchanged for a week"
        advice.append(Advice(tuple(lasting), Substrate.PARAMETRIC, reason))
    return advice


def _is_lasting(cube: MemCube, unchanged: timedelta) -> bool:
    return (
        cube.lifecycle.uses >= LASTING_USES
        and unchanged >= LASTING
        and cube.provenance.trust >= LASTING_TRUST
        and not cube.policy.sensitivity
        and cube.role is not Role.SECRET
    )


def text_to_text(cubes: Iterable[MemCube], role: Role, words: Mapping[CubeId, str], now: datetime) -> Iterator[MemCube]:
    """Yield the next version of each memory in its new role, with a record of where it came from.

    words  new wordings, by id; the others keep theirs
    """
    for cube in cubes:
        record = {"from_version": cube.version, "from_role": str(cube.role), "at": to_iso(now)}
        yield cube.next_version(
            role=role,
            content=words.get(cube.id, cube.text),
            annotations=replace(cube.annotations, data={**cube.annotations.data, DATA_KEY: record}),
        )


def version_before(cube: MemCube) -> int:
    """Return the version from which a memory was migrated. Raises: Conflict if it was not."""
    record = cube.annotations.data.get(DATA_KEY)
    if not isinstance(record, Mapping):
        raise Conflict(f"Memory {cube.id} was not migrated: there is nothing to undo.", hint="See its history.")
    return int(record["from_version"])


def check_path(source: Substrate, target: Substrate) -> None:
    """Raise MissingExtra unless there is a path between two substrates."""
    if (source, target) != (Substrate.TEXT, Substrate.TEXT):
        raise MissingExtra(f"Moving memories from {source} to {target}", "torch")
