"""Forgetting that slows down with age. Source: Wickelgren, Single-trace fragility theory (1974), without the decay of
fragility; the exponent is the one that FSRS-4.5 found on reviews of learners."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from anamnos.cube import MemCube
from anamnos.errors import ConfigError
from anamnos.evolve.forget.base import Grade, elapsed_days


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """R = (1 + t / S) ^ -exponent, t in days since the last use, S = stability + uses.

    exponent  > 0
    """

    exponent: float = 0.5
    name: str = "power-law"

    def __post_init__(self) -> None:
        if not self.exponent > 0:
            raise ConfigError(f"The exponent of power-law must be > 0, got {self.exponent!r}.")

    def retention(self, cube: MemCube, now: datetime) -> float:
        life = cube.lifecycle
        age = elapsed_days(cube, now) / (life.stability + life.uses)
        return float((1.0 + age) ** -self.exponent)

    def reviewed(self, cube: MemCube, now: datetime, grade: Grade = Grade.USED) -> MemCube:
        return cube  # the count of uses is all its state
