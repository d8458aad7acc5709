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

import hashlib
import json
import math
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from datetime import datetime
from typing import Any, ClassVar, Literal, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from anamnos.cube import CubeId, check_id, check_time, freeze_json, thaw_json
from anamnos.errors import Corrupt, InvalidInput, LimitExceeded

Array = NDArray[Any]
Value = Any
"""What is attached to a key: anything that JSON holds."""
OnFull = Literal["refuse", "evict", "grow"]
ON_FULL: tuple[OnFull, ...] = ("refuse", "evict", "grow")
MOST_NUMBERS = 1 << 30
"""The largest array that a memory may need."""
LARGEST = 1e15
"""Number in a vector: beyond it, products of float32 overflow."""
MOST_STRENGTH = 1e9
"""Exposures that one write may count for."""
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


# --- what was written


@dataclass(slots=True)
class Items:
    """The items of a memory in the order of writing: per item a code, a value, a cube and a time.

    Superposed states cannot give an item back; with its code kept, forgetting can count again, or say what it left.
    """

    codes: list[Array] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)
    cube_ids: list[CubeId | None] = field(default_factory=list)
    times: list[float] = field(default_factory=list)  # seconds since 1970; NaN: not known

    def __len__(self) -> int:
        return len(self.codes)

    def add(self, code: Array, value: Value, cube_id: CubeId | None, when: datetime | None) -> int:
        """Keep an item, and return its number."""
        self.codes.append(code)
        self.values.append(value)
        self.cube_ids.append(cube_id)
        self.times.append(when.timestamp() if when else float("nan"))
        return len(self.codes) - 1

    def remove(self, numbers: Sequence[int]) -> list[Array]:
        """Drop items, and return their codes."""
        gone = set(numbers)
        dropped = [self.codes[number] for number in sorted(gone)]
        for column in (self.codes, self.values, self.cube_ids, self.times):
            column[:] = [x for number, x in enumerate(column) if number not in gone]
        return dropped

    def find(self, *, code: Array | None = None, cube_id: str | None = None) -> list[int]:
        """Return the numbers of the items of this code or cube."""
        if code is not None and cube_id is None:
            return [number for number, known in enumerate(self.codes) if np.array_equal(known, code)]
        if code is None and cube_id is not None:
            return [number for number, known in enumerate(self.cube_ids) if known == cube_id]
        raise InvalidInput("forget needs a key or a cube_id, and not both.")

    def state_dict(self) -> dict[str, Array]:
        """Return the items as arrays, each under a name that begins with ``items_``."""
        notes = [[thaw_json(value), cube_id] for value, cube_id in zip(self.values, self.cube_ids, strict=True)]
        return {
            "items_codes": np.stack(self.codes) if self.codes else np.empty((0, 0)),
            "items_times": np.array(self.times, dtype=np.float64),
            "items_notes": json_array(notes),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Array]) -> Items:
        """Return the items that ``state_dict`` gave. Raises: Corrupt if the arrays do not fit together."""
        codes, found = need(state, "items_codes"), from_json_array(need(state, "items_notes"))
        pairs = isinstance(found, list) and all(isinstance(note, list) and len(note) == 2 for note in found)
        if not pairs or not codes.ndim or len(codes) != len(found):
            raise Corrupt("The items of this state do not fit together.")
        times = need(state, "items_times", (len(found),), np.float64)  # NaN where it is not known
        return cls(
            list(codes),
            [freeze_json("value", value) for value, _ in found],
            [None if cube_id is None else check_id("cube_id", cube_id) for _, cube_id in found],
            [float(time) for time in times],
        )


def checked_item(
    value: Value, cube_id: str | None, strength: float, when: datetime | None
) -> tuple[Value, CubeId | None, float, datetime | None]:
    """Return what goes with a key, clean. Raises: InvalidInput."""
    check_positive("strength", strength)
    if strength > MOST_STRENGTH:
        raise InvalidInput(f"strength must be at most {MOST_STRENGTH:,.0f}, got {strength!r}.")
    return (
        freeze_json("value", value),
        None if cube_id is None else check_id("cube_id", cube_id),
        float(strength),
        None if when is None else check_time("when", when),
    )


# --- being full


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


# --- checks


def check_choice(name: str, value: object, known: Sequence[str]) -> None:
    """Raise InvalidInput unless ``value`` is one of ``known``."""
    if value not in known:
        raise InvalidInput(f"{name} cannot be {value!r}.", hint=f"Use one of: {', '.join(known)}.")


def check_whole(name: str, value: object, *, least: int = 1, most: int | None = None) -> None:
    """Raise InvalidInput unless ``value`` is a whole number from ``least`` to ``most``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least or (most and value > most):
        bounds = f"from {least} to {most}" if most is not None else f"of at least {least}"
        raise InvalidInput(f"{name} must be a whole number {bounds}, got {value!r}.")


def check_positive(name: str, value: object, *, zero: bool = False) -> None:
    """Raise InvalidInput unless ``value`` is a finite number above 0, or 0 if that is allowed."""
    known = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not known or not (0 < value <= sys.float_info.max or (zero and value == 0)):  # type: ignore[operator]
        raise InvalidInput(f"{name} must be a number {'of at least' if zero else 'above'} 0, got {value!r}.")


def check_room(*sides: int) -> None:
    """Raise InvalidInput if an array of so many sides' product is more than a memory may need."""
    if math.prod(sides) > MOST_NUMBERS:
        raise InvalidInput(
            f"A memory of this spec needs an array of {' x '.join(f'{side:,}' for side in sides)} numbers.",
            hint=f"Make it smaller: {MOST_NUMBERS:,} are allowed.",
        )


def check_bits(name: str, value: ArrayLike, length: int) -> NDArray[np.uint8]:
    """Return bits as (length,) uint8 of 0 and 1. Raises: InvalidInput for another shape, or other values."""
    bits = np.asarray(value)
    if bits.shape != (length,) or bits.dtype.kind not in "buif" or not ((bits == 0) | (bits == 1)).all():
        raise InvalidInput(
            f"{name} must be {length} bits of 0 and 1, got {bits.dtype} of shape {bits.shape}.",
            hint="anamnos.associative.codes turns vectors and images into bits.",
        )
    return bits.astype(np.uint8)


def check_signs(name: str, value: ArrayLike, length: int) -> NDArray[np.int8]:
    """Return spins as (length,) int8 of -1 and +1. Raises: InvalidInput."""
    spins = np.asarray(value)
    if spins.shape != (length,) or spins.dtype.kind not in "if" or not (np.abs(spins) == 1).all():
        raise InvalidInput(f"{name} must be {length} numbers that are -1 or +1, got {spins.dtype} of {spins.shape}.")
    return spins.astype(np.int8)


def check_vector(name: str, value: ArrayLike, length: int) -> NDArray[np.float32]:
    """Return a finite vector as (length,) float32. Raises: InvalidInput, also beyond ``LARGEST``."""
    vector = np.asarray(value)
    if vector.shape != (length,):
        raise InvalidInput(f"{name} must be {length} finite numbers, got {vector.dtype} of shape {vector.shape}.")
    return check_vectors(name, vector[None], length).reshape(length)


def check_vectors(name: str, value: ArrayLike, length: int) -> NDArray[np.float32]:
    """Return finite vectors as (n, length) float32. Raises: as ``check_vector``."""
    vectors = np.asarray(value)
    if vectors.ndim != 2 or vectors.shape[1] != length or vectors.dtype.kind not in "buif":
        raise InvalidInput(f"{name} must be numbers of shape (n, {length}), got {vectors.dtype} of {vectors.shape}.")
    if not (np.abs(vectors.astype(np.float64, copy=False)) <= LARGEST).all():
        raise InvalidInput(f"{name} must be finite, up to {LARGEST:g}.", hint="Divide vectors by their norm.")
    return vectors.astype(np.float32)


def check_mask(mask: ArrayLike | None, length: int) -> NDArray[np.bool_]:
    """Return where a cue is known as (length,) bool; everywhere if there is no mask. Raises: InvalidInput."""
    if mask is None:
        return np.ones(length, dtype=np.bool_)
    known = np.asarray(mask)
    if known.shape != (length,) or known.dtype != np.bool_ or not known.any():
        raise InvalidInput(f"mask must be {length} booleans, not all false, got {known.dtype} of shape {known.shape}.")
    return known


def check_reading(k: int, steps: int | None, temperature: float, rng: np.random.Generator | None) -> None:
    """Raise InvalidInput for arguments of ``read`` that cannot be."""
    check_whole("k", k)
    if steps is not None:
        check_whole("steps", steps)
    check_positive("temperature", temperature, zero=True)
    if temperature > 0 and rng is None:
        raise InvalidInput("A temperature above 0 needs rng.", hint="Give it numpy.random.default_rng(seed).")


# --- states


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


def need(
    state: Mapping[str, Array],
    name: str,
    shape: tuple[int, ...] | None = None,
    dtype: DTypeLike | None = None,
    *,
    least: float | None = None,
    most: float | None = None,
) -> Array:
    """Return an array of a state.

    dtype        that it must have, in any byte order; None: any of numbers
    least, most  bounds of what is in it; with one of them, or both, NaN and infinite numbers are out of bounds
    Raises: Corrupt if it is missing, of another shape or type, or out of bounds.
    """
    found = np.asarray(state[name]) if name in state else np.empty(0, dtype=np.object_)
    found = found.astype(found.dtype.newbyteorder("="), copy=False)
    other = found.dtype != (dtype or found.dtype) or found.shape != (found.shape if shape is None else shape)
    if other or found.dtype.kind not in "biuf":
        wanted = "numbers" if dtype is None else str(np.dtype(dtype))
        raise Corrupt(f"The state has no array {name!r} of {wanted}" + (f" of shape {shape}." if shape else "."))
    if least is not None or most is not None:
        check_bounds(name, found, least, most)
    return found


def check_bounds(name: str, array: Array, least: float | None = None, most: float | None = None) -> None:
    """Raise Corrupt unless all numbers in an array are finite and from ``least`` to ``most``."""
    low, high = (array.min(), array.max()) if array.size else (0, 0)
    finite = np.isfinite(low) and np.isfinite(high)  # NaN comes through both
    if array.size and not (finite and (least is None or low >= least) and (most is None or high <= most)):
        raise Corrupt(f"The array {name!r} of the state has numbers from {low} to {high}, which cannot be.")


def json_array(value: Any) -> Array:
    """Return JSON as an array of bytes."""
    return np.frombuffer(json.dumps(value, sort_keys=True, ensure_ascii=False).encode(), dtype=np.uint8)


def from_json_array(array: Array) -> Any:
    """Return what ``json_array`` was given. Raises: Corrupt."""
    try:
        if array.dtype != np.uint8:
            raise ValueError(f"{array.dtype} are no bytes")
        return json.loads(array.tobytes())
    except (ValueError, RecursionError) as exc:
        raise Corrupt("The state of the memory holds notes that are no JSON.") from exc


def stored_names(state: Mapping[str, Array], name: str) -> list[str]:
    """Return labels that are kept as texts of JSON, each once. Raises: Corrupt."""
    found = from_json_array(need(state, name))
    try:
        if not isinstance(found, list) or len({json.dumps(json.loads(text)) for text in found}) != len(found):
            raise ValueError("not distinct")
    except (TypeError, ValueError, RecursionError) as exc:
        raise Corrupt(f"The array {name!r} of the state does not hold labels.") from exc
    return found


def digest(state: Mapping[str, Array]) -> str:
    """Return a checksum of names, types, shapes and contents: equal for equal states."""
    summed = hashlib.blake2b(digest_size=16)
    for name in sorted(state):
        array = np.ascontiguousarray(state[name])
        summed.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        summed.update(array.tobytes())
    return summed.hexdigest()
