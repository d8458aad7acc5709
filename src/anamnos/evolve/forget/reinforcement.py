"""Every use doubles how long a memory lasts.

Source: half-life regression, Settles and Meeder, A Trainable Spaced Repetition Model (ACL 2016), p = 2^(-t / h), with
the fixed weights that make it the boxes of Leitner (1972): h doubles with a success and halves with a failure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from anamnos.cube import MemCube
from anamnos.errors import ConfigError
from anamnos.evolve.forget.base import Grade, elapsed_days

_MOST_DOUBLINGS = 12  # 78 years, from a week on


@dataclass(frozen=True, slots=True)
class Reinforcement:
    """R = 2 ^ (-t / h), t in days since the last use, h = half_life_days * stability * 2 ^ uses.

    half_life_days  of what was never used, > 0
    """

    half_life_days: float = 7.0
    name: str = "reinforcement"

    def __post_init__(self) -> None:
        if not self.half_life_days > 0:
            raise ConfigError(f"half_life_days must be > 0, got {self.half_life_days!r}.")

    def retention(self, cube: MemCube, now: datetime) -> float:
        life = cube.lifecycle
        half_life = self.half_life_days * life.stability * 2.0 ** min(life.uses, _MOST_DOUBLINGS)
        return float(2.0 ** (-elapsed_days(cube, now) / half_life))

    def reviewed(self, cube: MemCube, now: datetime, grade: Grade = Grade.USED) -> MemCube:
        if grade is not Grade.CONTRADICTED:
            return cube  # the count of uses, which the caller keeps, doubles it
        # two halvings: one that undoes the use that is counted now, and the failure's own
        life = cube.lifecycle
        return replace(cube, lifecycle=replace(life, stability=max(life.stability / 4, 1e-3)))
