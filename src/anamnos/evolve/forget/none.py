"""Nothing is forgotten."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from anamnos.cube import MemCube, check_time
from anamnos.evolve.forget.base import Grade


@dataclass(frozen=True, slots=True)
class NoDecay:
    """R = 1."""

    name: str = "none"

    def retention(self, cube: MemCube, now: datetime) -> float:
        check_time("now", now)
        return 1.0

    def reviewed(self, cube: MemCube, now: datetime, grade: Grade = Grade.USED) -> MemCube:
        return cube
