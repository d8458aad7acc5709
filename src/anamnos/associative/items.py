"""What was written to an associative memory, item by item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

from anamnos.associative.arrays import Array, from_json_array, json_array, need
from anamnos.associative.checks import MOST_STRENGTH, check_positive
from anamnos.cube import CubeId, check_id, check_time, freeze_json, thaw_json
from anamnos.errors import Corrupt, InvalidInput


@dataclass(slots=True)
class Items:
    """The items of a memory in the order of writing: per item a code, a value, a cube and a time.

    Superposed states cannot give an item back; with its code kept, forgetting can count again, or say what it left.
    """

    codes: list[Array] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    cube_ids: list[CubeId | None] = field(default_factory=list)
    times: list[float] = field(default_factory=list)  # seconds since 1970; NaN: not known

    def __len__(self) -> int:
        return len(self.codes)

    def add(self, code: Array, value: Any, cube_id: CubeId | None, when: datetime | None) -> int:
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
    value: Any, cube_id: str | None, strength: float, when: datetime | None
) -> tuple[Any, CubeId | None, float, datetime | None]:
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
