"""Spaced repetition: what is used again after a long while is kept for long.

Source: the public algorithm FSRS, version 4.5, with its default weights; what a grade means for an agent is ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime

from anamnos.cube import MemCube
from anamnos.errors import InvalidInput
from anamnos.evolve.forget.base import Grade, elapsed_days, own_number

POWER = -0.5
FACTOR = 19 / 81  # so that R(t = S) = 0.9
WEIGHTS: tuple[float, ...] = (
    *(0.4872, 1.4003, 3.7145, 13.8206, 5.1618, 1.2298, 0.8975, 0.031, 1.6474),
    *(0.1367, 1.0461, 2.1072, 0.0793, 0.3246, 1.587, 0.2272, 2.8755),
)
"""w[0] to w[16] of version 4.5. Other versions have other weights and other formulas: do not mix them."""
_MAX_DAYS = 36_500.0
_MIN_DAYS = 0.01
NAME = "fsrs"


@dataclass(frozen=True, slots=True)
class Trace:
    """What FSRS knows of a memory.

    stability   days after which 0.9 of it is left, > 0
    difficulty  from 1 (easy to keep) to 10
    """

    stability: float
    difficulty: float

    @classmethod
    def first(cls, grade: Grade = Grade.USED) -> Trace:
        """Return the trace of something new."""
        return cls(WEIGHTS[grade - 1], first_difficulty(grade))

    def after(self, elapsed_days: float, grade: Grade) -> Trace:
        """Return the trace after a use that went as ``grade`` says, ``elapsed_days`` after the last one.

        Raises: InvalidInput for a negative time.
        """
        if not elapsed_days >= 0:
            raise InvalidInput(f"elapsed_days must be >= 0, got {elapsed_days!r}.")
        left = retrievability(elapsed_days, self.stability)
        stability = self._lapsed(left) if grade is Grade.CONTRADICTED else self._recalled(left, grade)
        mixed = WEIGHTS[7] * first_difficulty(Grade.USED) + (1 - WEIGHTS[7]) * (
            self.difficulty - WEIGHTS[6] * (grade - 3)
        )
        return Trace(min(max(stability, _MIN_DAYS), _MAX_DAYS), _within_1_and_10(mixed))

    def _recalled(self, left: float, grade: Grade) -> float:
        hard = WEIGHTS[15] if grade is Grade.UNUSED else 1.0
        easy = WEIGHTS[16] if grade is Grade.CONFIRMED else 1.0
        surprise = math.exp(WEIGHTS[10] * (1 - left)) - 1
        gain = math.exp(WEIGHTS[8]) * (11 - self.difficulty) * self.stability ** -WEIGHTS[9] * surprise
        return float(self.stability * (1 + gain * hard * easy))

    def _lapsed(self, left: float) -> float:
        new = WEIGHTS[11] * self.difficulty ** -WEIGHTS[12] * ((self.stability + 1) ** WEIGHTS[13] - 1)
        return float(
            min(new * math.exp(WEIGHTS[14] * (1 - left)), self.stability)
        )  # a lapse never makes it last longer


def retrievability(elapsed_days: float, stability: float) -> float:
    """Return R = (1 + F t / S) ^ C.

    >>> round(retrievability(7.0, 7.0), 12)
    0.9
    """
    return float((1 + FACTOR * elapsed_days / stability) ** POWER)


def interval_days(stability: float, retention: float = 0.9) -> float:
    """Return after how many days ``retention`` in (0, 1] is left.

    >>> round(interval_days(7.0), 12)
    7.0
    """
    if not 0 < retention <= 1:
        raise InvalidInput(f"retention must be in (0, 1], got {retention!r}.")
    return float(stability / FACTOR * (retention ** (1 / POWER) - 1))


def first_difficulty(grade: Grade) -> float:
    """Return the difficulty of something new: D0 = w4 - w5 (g - 3), within [1, 10]."""
    return _within_1_and_10(WEIGHTS[4] - WEIGHTS[5] * (grade - 3))


def _within_1_and_10(difficulty: float) -> float:
    return min(max(difficulty, 1.0), 10.0)


@dataclass(frozen=True, slots=True)
class Fsrs:
    """R = (1 + 19/81 t / S) ^ -0.5, t in days since the last use; S grows the more, the less was left at a use.

    S is ``lifecycle.stability`` once a use was noted, and before that at least the 3.7 days of something new.
    ``annotations.data["fsrs"]`` holds the difficulty.
    """

    name: str = NAME

    def retention(self, cube: MemCube, now: datetime) -> float:
        return retrievability(elapsed_days(cube, now), trace_of(cube).stability)

    def reviewed(self, cube: MemCube, now: datetime, grade: Grade = Grade.USED) -> MemCube:
        trace = trace_of(cube).after(elapsed_days(cube, now), Grade(grade))
        data = {**cube.annotations.data, NAME: {"difficulty": trace.difficulty}}
        return replace(
            cube,
            lifecycle=replace(cube.lifecycle, stability=trace.stability),
            annotations=replace(cube.annotations, data=data),
        )


def trace_of(cube: MemCube) -> Trace:
    """Return the trace of a cube."""
    new, stability = Trace.first(), cube.lifecycle.stability
    if NAME not in cube.annotations.data:
        stability = max(stability, new.stability)
    return Trace(stability, _within_1_and_10(own_number(cube, NAME, "difficulty", new.difficulty)))
