"""What must go when: rules over filters, and the time to live of single memories. Pure functions of cubes and now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Self

from anamnos.cube import CubeId, MemCube, State, check_name
from anamnos.errors import InvalidInput
from anamnos.lifecycle import may_become
from anamnos.types import And, Comparison, Field, Filter, Where, filter_from_dict, filter_to_dict, matches, names_state

Action = Literal["archive", "expire", "erase"]
ACTIONS: tuple[Action, ...] = ("archive", "expire", "erase")  # from the mildest
_STATES: dict[Action, State] = {"archive": State.ARCHIVED, "expire": State.EXPIRED}
_LIVING = Where(Field.STATE, Comparison.IN, (State.GENERATED, State.ACTIVATED))


@dataclass(frozen=True, slots=True)
class Rule:
    """What becomes of memories that have reached an age.

    filter  which; unless it names states, only those that are searched
    days    their age since they were said, or, where that is not known, written
    action  archive: out of searches, but kept; expire: the same, and for good; erase: from every file
    """

    name: str
    filter: Filter
    days: float
    action: Action = "expire"

    def __post_init__(self) -> None:
        check_name("the name of a rule", self.name)
        if not isinstance(self.filter, Filter):
            raise InvalidInput(f"The filter of rule {self.name!r} must be a filter, got {self.filter!r}.")
        if isinstance(self.days, bool) or not isinstance(self.days, int | float) or not 0 <= self.days <= 1e6:
            raise InvalidInput(f"The days of rule {self.name!r} must be a number from 0 to 1,000,000: {self.days!r}.")
        if self.action not in ACTIONS:
            raise InvalidInput(f"Rule {self.name!r} cannot {self.action!r}.", hint=f"Use: {', '.join(ACTIONS)}.")

    def applies(self, cube: MemCube, now: datetime) -> bool:
        """Return whether the rule has caught up with a memory."""
        since = cube.time.created_at or cube.time.recorded_at
        tree = self.filter if names_state(self.filter) else And((self.filter, _LIVING))
        return since is not None and now - since >= timedelta(days=self.days) and matches(tree, cube)

    def to_record(self) -> dict[str, Any]:
        return {"filter": filter_to_dict(self.filter), "days": self.days, "action": self.action}

    @classmethod
    def from_record(cls, name: str, record: Mapping[str, Any]) -> Self:
        return cls(name, filter_from_dict(record["filter"]), record["days"], record["action"])


@dataclass(frozen=True, slots=True)
class Due:
    """A memory whose time has come. ``state`` is what it becomes; None: it is erased."""

    cube: MemCube
    state: State | None
    reason: str

    @property
    def id(self) -> CubeId:
        return self.cube.id


def due(cubes: Iterable[MemCube], rules: Sequence[Rule], now: datetime) -> list[Due]:
    """Return what rules and times to live say of current versions of memories, at most one thing of each.

    Of several rules the strictest holds. What is frozen is under a legal hold: nothing is ever due of it.
    """
    found = []
    for cube in cubes:
        life = cube.lifecycle
        if life.state is State.FROZEN:
            continue
        caught = {rule.action: rule.name for rule in rules if rule.applies(cube, now)}
        if life.expires_at is not None and life.expires_at <= now:
            caught.setdefault("expire", "expires_at")
        for action in reversed(ACTIONS):
            state = _STATES.get(action)
            if action in caught and (state is None or (state is not life.state and may_become(life.state, state))):
                found.append(Due(cube, state, caught[action]))
                break
    return found
