"""The curve of Ebbinghaus at a pace of the memory's own, and the precision that is enough for what is left.

Source: SuperLocalMemory V3.3, arXiv:2604.04514.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime

from anamnos.cube import MemCube
from anamnos.errors import ConfigError
from anamnos.evolve.forget.base import Grade, elapsed_days, is_protected, own_number

ZONES = ((0.8, 32), (0.5, 8), (0.2, 4), (0.05, 2))
"""From which retention on an embedding needs how many bits a number."""
NAME = "ebbinghaus-adaptive"
_LEAST, _MOST = 0.1, 100.0


@dataclass(frozen=True, slots=True)
class EbbinghausAdaptive:
    """R = exp(-(1 + 2 (1 - trust)) t / S).

    S = 2 ln(1 + uses) + 1.5 importance + confirmations + |emotion| / 2 + gained, kept within 0.1 and 100.
    unit_hours  what S counts: 24, so that S is in days; with 1 it is in hours, as in the released code
    ``confirmations`` and ``emotion`` (in [-1, 1]) are read from ``annotations.data["ebbinghaus-adaptive"]``, if others
    put them there. ``gained`` is what stability has above the 1 that a memory begins with: a use adds
    ln(1 + gap / 24 h). What nobody trusts fades three times as fast as what is fully trusted.
    """

    unit_hours: float = 24.0
    name: str = NAME

    def __post_init__(self) -> None:
        if not self.unit_hours > 0:
            raise ConfigError(f"unit_hours must be > 0, got {self.unit_hours!r}.")

    def strength(self, cube: MemCube) -> float:
        """Return S, in units of ``unit_hours``."""
        life = cube.lifecycle
        confirmed = own_number(cube, NAME, "confirmations", 0.0)
        moved = abs(own_number(cube, NAME, "emotion", 0.0))
        total = 2 * math.log1p(life.uses) + 1.5 * life.importance + confirmed + 0.5 * moved + (life.stability - 1)
        return min(max(total, _LEAST), _MOST)

    def retention(self, cube: MemCube, now: datetime) -> float:
        pace = 1 + 2 * (1 - cube.provenance.trust)
        return math.exp(-pace * elapsed_days(cube, now) * 24 / self.unit_hours / self.strength(cube))

    def reviewed(self, cube: MemCube, now: datetime, grade: Grade = Grade.USED) -> MemCube:
        gap_hours = 24 * elapsed_days(cube, now)
        life = cube.lifecycle
        return replace(cube, lifecycle=replace(life, stability=life.stability + math.log1p(gap_hours / 24)))

    def bits(self, cube: MemCube, now: datetime) -> int:
        """Return how precise its embedding needs to be: 32, 8, 4 or 2 bits a number; 32 for what is protected."""
        left = 1.0 if is_protected(cube) else self.retention(cube, now)
        return next((bits for least, bits in ZONES if left >= least), ZONES[-1][1])
