"""Each rule against numbers worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime

import pytest

from anamnos.cube import MemCube
from anamnos.errors import ConfigError
from anamnos.evolve.forget import DECAYS
from anamnos.evolve.forget.base import Decay, Grade
from anamnos.evolve.forget.ebbinghaus_adaptive import EbbinghausAdaptive
from anamnos.evolve.forget.memorybank import MemoryBank
from anamnos.evolve.forget.power_law import PowerLaw
from anamnos.evolve.forget.reinforcement import Reinforcement

from .made import cube, day


def used(rule: Decay, before: MemCube, when: datetime, grade: Grade = Grade.USED) -> MemCube:
    after = rule.reviewed(before, when, grade)
    return replace(after, lifecycle=replace(after.lifecycle, uses=after.lifecycle.uses + 1, last_used_at=when))


# --- MemoryBank


def test_memorybank_at_one_stability() -> None:
    rule = MemoryBank()
    assert round(rule.retention(cube(), day(1)), 4) == 0.3679  # S = 1
    assert round(rule.retention(cube(uses=2, used=0), day(3)), 4) == 0.3679  # S = 3
    assert math.isclose(rule.retention(cube(uses=4, used=0), day(-5 * math.log(0.9))), 0.9)  # at t = -S ln .9


def test_memorybank_recalled_after_1_3_and_7_days() -> None:
    rule, recalled = MemoryBank(), cube()
    for when in (1, 4, 11):
        recalled = used(rule, recalled, day(when))
    left, unrecalled = rule.retention(recalled, day(14)), rule.retention(cube(), day(14))
    assert left > 0.3 and unrecalled < 1e-6
    assert math.isclose(left, math.exp(-3 / 4))
    assert left > 5 * unrecalled


# --- power law


def test_power_law_and_its_exponent() -> None:
    assert math.isclose(PowerLaw().retention(cube(), day(3)), 0.5)  # (1 + 3/1)^-.5
    assert math.isclose(PowerLaw(exponent=1.0).retention(cube(uses=1, used=0), day(6)), 0.25)  # (1 + 6/2)^-1
    slow, fast = PowerLaw(), DECAYS["memorybank"]
    assert slow.retention(cube(), day(60)) > 1_000 * fast.retention(cube(), day(60))  # it forgets ever more slowly
    with pytest.raises(ConfigError, match="exponent"):
        PowerLaw(exponent=0)


# --- Ebbinghaus, adaptive


@pytest.mark.parametrize("days", [0.1, 1.0, 3.7])
def test_what_nobody_trusts_fades_exactly_three_times_as_fast(days: float) -> None:
    rule = EbbinghausAdaptive()
    trusted, untrusted = (rule.retention(cube(trust=trust), day(days)) for trust in (1.0, 0.0))
    assert math.isclose(math.log(untrusted), 3 * math.log(trusted))


def test_adaptive_strength_by_hand_and_its_unit() -> None:
    data = {"ebbinghaus-adaptive": {"confirmations": 2, "emotion": -0.8}}
    strong = cube(uses=3, used=0, importance=0.5, data=data)
    assert math.isclose(EbbinghausAdaptive().strength(strong), 2 * math.log(4) + 0.75 + 2 + 0.4)
    assert EbbinghausAdaptive().strength(cube(importance=0.0)) == 0.1  # never less
    assert EbbinghausAdaptive().strength(cube(importance=0.0, stability=1e6)) == 100  # nor more
    in_days, in_hours = EbbinghausAdaptive(), EbbinghausAdaptive(unit_hours=1)
    assert math.isclose(in_days.retention(strong, day(2.4)), in_hours.retention(strong, day(0.1)))
    with pytest.raises(ConfigError, match="unit_hours"):
        EbbinghausAdaptive(unit_hours=-1)


def test_adaptive_gains_by_the_length_of_the_gap() -> None:
    rule = EbbinghausAdaptive()
    after = used(rule, cube(), day(3))
    assert math.isclose(rule.strength(after), 2 * math.log(2) + 0.75 + math.log(1 + 72 / 24))


def test_the_less_is_left_the_fewer_bits_it_needs() -> None:
    rule, one = EbbinghausAdaptive(), cube(importance=0.5)  # S = .75 days
    days = [-0.75 * math.log(left) for left in (0.81, 0.79, 0.51, 0.49, 0.21, 0.19, 0.06, 0.04)]
    assert [rule.bits(one, day(d)) for d in days] == [32, 8, 8, 4, 4, 2, 2, 2]
    assert rule.bits(cube(importance=1.0), day(9_999)) == 32


# --- reinforcement


def test_every_use_doubles_the_half_life() -> None:
    rule = Reinforcement()
    assert math.isclose(rule.retention(cube(), day(7)), 0.5)
    assert math.isclose(rule.retention(cube(uses=2, used=0), day(28)), 0.5)
    failed = used(rule, cube(uses=2, used=0), day(0), Grade.CONTRADICTED)
    assert math.isclose(rule.retention(failed, day(14)), 0.5)  # halved, though it counts as a use
    with pytest.raises(ConfigError, match="half_life"):
        Reinforcement(half_life_days=0)
