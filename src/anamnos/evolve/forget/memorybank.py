"""The curve of Ebbinghaus, flatter by every recall. Source: MemoryBank, arXiv:2305.10250 section 3.3."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

from anamnos.cube import MemCube
from anamnos.evolve.forget.base import Grade, elapsed_days


@dataclass(frozen=True, slots=True)
class MemoryBank:
    """R = exp(-t / S), t in days since the last use, S = stability + uses.

    With a stability of 1, as memories begin, S starts at 1 and grows by 1 with each use, which also sets t to 0.
    The released code also drops by chance what it retains badly; ours never does anything by chance.
    """

    name: str = "memorybank"

    def retention(self, cube: MemCube, now: datetime) -> float:
        life = cube.lifecycle
        return math.exp(-elapsed_days(cube, now) / (life.stability + life.uses))

    def reviewed(self, cube: MemCube, now: datetime, grade: Grade = Grade.USED) -> MemCube:
        return cube  # the count of uses is all its state
