"""What an associative memory is: a store that is addressed by what is in it.

A cue, part of what was written or a noisy version of it, comes in; the completed pattern, the value that was attached
and a degree of familiarity come out. Laws, tested by ``anamnos.testing.associative_contract`` on every implementation:

 1. What was written is read back by its own key, and is more familiar than what never was.
 2. ``read``, ``familiarity`` and ``load`` change nothing.
 3. ``forget`` says whether nothing of the item is left; whatever it says, the item is no more read back.
 4. Near its capacity a memory warns; at it, it obeys ``on_full``: these memories fail all at once and silently.
 5. The same spec, seed and writes give the same state, bit by bit; a state only goes back into a memory of its spec.
 6. Bad input raises, and has changed nothing.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from datetime import datetime
from typing import Any, ClassVar, Literal, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from anamnos.associative.arrays import Array, from_json_array, json_array, need
from anamnos.associative.checks import check_choice, check_whole
from anamnos.cube import CubeId, thaw_json
from anamnos.errors import InvalidInput, LimitExceeded

Value = Any
"""What is attached to a key: anything that JSON holds."""
OnFull = Literal["refuse", "evict", "grow"]
ON_FULL: tuple[OnFull, ...] = ("refuse", "evict", "grow")
WARN_AT = 0.8
"""Share of the capacity from which a memory warns."""


class CapacityWarning(UserWarning):
    """An associative memory is nearly as full as it may be; soon everything in it would be lost at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What a memory is made with: sizes, rule and seed. Hashable; two memories of one spec are alike.

    seed     of all that is random in it
    on_full  at the capacity: ``refuse`` a write, ``evict`` the oldest item, or ``grow``
    """

    system: ClassVar[str] = ""
    version: ClassVar[int] = 1
    seed: int = 0
    on_full: OnFull = "refuse"

    def __post_init__(self) -> None:
        check_choice("on_full", self.on_full, ON_FULL)
        check_whole("seed", self.seed, least=0)

    def to_dict(self) -> dict[str, Any]:
        """Return the spec as JSON, with the name and the version of its system."""
        return {"system": self.system, "version": self.version, **asdict(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the spec that ``to_dict`` wrote. Raises: InvalidInput if it is of another system or version."""
        values = dict(data)
        found = (values.pop("system", None), values.pop("version", None))
        if found != (cls.system, cls.version):
            raise InvalidInput(f"A spec of {found[0]!r}, version {found[1]!r}, is none of {cls.system}/{cls.version}.")
        known = {f.name: f for f in fields(cls)}
        missing = [n for n, f in known.items() if f.default is MISSING and f.default_factory is MISSING]
        if unknown := sorted(set(values) - set(known)) or [name for name in missing if name not in values]:
            raise InvalidInput(f"The spec of {cls.system} has unknown or missing fields: {', '.join(unknown)}.")
        clean: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
        return cls(**clean)


@dataclass(frozen=True, slots=True)
class WriteReport:
    """What came of a write.

    stored       whether the state has changed
    familiarity  of the key before the write, in [0, 1]
    code         what stands for the key inside, as the memory describes it
    reused       share of the code that stood for something else already, in [0, 1]
    reason       in words
    """

    stored: bool
    familiarity: float
    code: Array
    reused: float = 0.0
    reason: str = "stored"


@dataclass(frozen=True, slots=True)
class Recall:
    """One thing that a cue brought back.

    code         the completed pattern, in the form of a key where the memory can give that, else inside code
    value        what was attached to it
    cube_ids     the cubes that it stands for; several if one pattern holds several
    score        in [0, 1], how well it fits the cue
    familiarity  of the cue, in [0, 1]
    steps        of the dynamics
    converged    whether another step would change nothing
    """

    code: Array
    value: Value = None
    cube_ids: tuple[CubeId, ...] = ()
    score: float = 1.0
    familiarity: float = 1.0
    steps: int = 1
    converged: bool = True

    def to_dict(self) -> dict[str, Any]:
        return {
            "value": thaw_json(self.value),
            "cube_ids": list(self.cube_ids),
            "score": self.score,
            "familiarity": self.familiarity,
            "steps": self.steps,
            "converged": self.converged,
        }


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What came of forgetting.

    items  how many were forgotten
    exact  whether the state is as if they had never been written
    how    in words
    """

    items: int
    exact: bool
    how: str


@dataclass(frozen=True, slots=True)
class Consolidated:
    """What consolidation did: how many items were looked at and changed, and in words."""

    items: int
    changed: int
    how: str


@dataclass(frozen=True, slots=True)
class Load:
    """How full a memory is.

    items           that are stored
    capacity        how many it holds by the formula of its system; infinite if there is no limit
    fill            share of the state that is in use, in [0, 1]
    expected_error  the formula's share of errors at this load
    """

    items: int
    capacity: float
    fill: float
    expected_error: float = 0.0

    @property
    def used(self) -> float:
        """Share of the capacity."""
        return self.items / self.capacity if self.capacity > 0 else 1.0

    def to_dict(self) -> dict[str, Any]:
        capacity = None if np.isinf(self.capacity) else self.capacity
        return {
            "items": self.items,
            "capacity": capacity,
            "used": self.used,
            "fill": self.fill,
            "expected_error": self.expected_error,
        }


@runtime_checkable
class AssociativeMemory(Protocol):
    """Writes under a key, reads by a cue. See the laws at the head of this file."""

    @property
    def spec(self) -> Spec: ...

    def write(
        self,
        key: ArrayLike,
        value: Value = None,
        *,
        cube_id: str | None = None,
        strength: float = 1.0,
        when: datetime | None = None,
    ) -> WriteReport:
        """Store a key with what belongs to it.

        strength  how many exposures it counts for; a memory of binary weights knows but one
        when      the time of it, kept with the item
        Raises: InvalidInput, LimitExceeded (full, and ``on_full`` is ``refuse``); then nothing has changed.
        """

    def read(
        self,
        cue: ArrayLike,
        *,
        mask: ArrayLike | None = None,
        k: int = 1,
        steps: int | None = None,
        temperature: float = 0.0,
        rng: np.random.Generator | None = None,
    ) -> list[Recall]:
        """Return the ``k`` best of what the cue reminds of, best first; fewer if there are not so many.

        mask         bool, where the cue is known; the rest of it plays no part
        steps        of the dynamics at most; None: as many as the memory needs
        temperature  noise of the dynamics; 0: none
        rng          where the noise comes from; needed if there is any
        """

    def familiarity(self, cue: ArrayLike) -> float:
        """Return how well the cue is known, from 0 to 1."""

    def forget(self, *, key: ArrayLike | None = None, cube_id: str | None = None) -> Forgotten:
        """Forget the items of this key or cube. Raises: InvalidInput unless just one of both is given."""

    def consolidate(self) -> Consolidated:
        """Do what is done at rest: freeze, compact, rebuild."""

    def load(self) -> Load:
        """Return how full the memory is."""

    def state_dict(self) -> dict[str, Array]:
        """Return the state as plain arrays."""

    @classmethod
    def from_state(cls, spec: Any, state: Mapping[str, Array]) -> Self:
        """Return the memory that had this state. Raises: InvalidInput if it is of another spec, Corrupt if damaged."""


def admit(load: Load, spec: Spec) -> Literal["store", "evict", "grow"]:
    """Return what to do about one more item; warn once four fifths are full.

    Raises: LimitExceeded at the capacity, if the spec says ``refuse``.
    """
    if load.items + 1 <= load.capacity:
        if load.items + 1 >= WARN_AT * load.capacity:
            warnings.warn(
                f"{spec.system} holds {load.items + 1:,} items and is made for {load.capacity:,.0f}:"
                " beyond that all of them fail together.",
                CapacityWarning,
                stacklevel=3,
            )
        return "store"
    if spec.on_full == "refuse":
        raise LimitExceeded(
            f"{spec.system} is full: it holds {load.items:,} items and is made for {load.capacity:,.0f}.",
            hint="Make a larger one, forget some, or set on_full to evict or grow.",
        )
    return spec.on_full


def spec_array(spec: Spec) -> Array:
    """Return the spec as the array ``spec`` of a state."""
    return json_array(spec.to_dict())


def check_state(spec: Spec, state: Mapping[str, Array]) -> None:
    """Raise InvalidInput unless the state was made by a memory of just this spec."""
    found = from_json_array(need(state, "spec"))
    if found != from_json_array(spec_array(spec)):
        raise InvalidInput(
            f"The state was made with {found}, not with {spec.to_dict()}.",
            hint="Take the spec that the state was made with; codes of another mean nothing here.",
        )
