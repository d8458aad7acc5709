"""Replay: what was used lasts longer, once per use."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta

import pytest

from anamnos.cube import MemCube, State
from anamnos.evolve.consolidate.strengthen import NAME, strengthened
from anamnos.evolve.forget import DECAYS
from anamnos.evolve.forget.base import Grade
from anamnos.evolve.forget.fsrs import Trace

from .made import START, fact

FSRS = DECAYS["fsrs"]


def used(cube: MemCube, day: float) -> MemCube:
    at = START + timedelta(days=day)
    life = replace(cube.lifecycle, uses=cube.lifecycle.uses + 1, last_used_at=at, state=State.ACTIVATED)
    return replace(cube, lifecycle=life)


def test_a_use_is_replayed_once() -> None:
    once = strengthened(used(fact("Ann", "like", "tea"), 5), FSRS)
    assert once is not None and once.version == 2
    assert math.isclose(once.lifecycle.stability, Trace.first().after(5, Grade.USED).stability)
    assert once.lifecycle.last_used_at == START + timedelta(days=5)
    assert NAME in once.annotations.data
    assert strengthened(once, FSRS) is None
    again = strengthened(used(once, 25), FSRS)
    assert again is not None and again.lifecycle.stability > once.lifecycle.stability


def test_an_important_one_gains_more() -> None:
    plain, important = (
        strengthened(used(fact("Ann", "like", "tea", life={"importance": weight}), 5), FSRS) for weight in (0.5, 0.9)
    )
    assert plain is not None and important is not None
    assert important.lifecycle.stability > plain.lifecycle.stability


@pytest.mark.parametrize("life", [{"state": State.FROZEN}, {"importance": 1.0}])
def test_what_is_held_or_pinned_needs_none(life: dict[str, object]) -> None:
    cube = fact("Ann", "like", "tea", life=life)
    at = START + timedelta(days=5)
    assert strengthened(replace(cube, lifecycle=replace(cube.lifecycle, last_used_at=at, uses=1)), FSRS) is None


def test_what_was_never_used_gains_nothing() -> None:
    assert strengthened(fact("Ann", "like", "tea"), FSRS) is None


@pytest.mark.parametrize("name", ["none", "memorybank", "power-law", "reinforcement"])
def test_rules_that_only_count_uses_write_nothing(name: str) -> None:
    assert strengthened(used(fact("Ann", "like", "tea"), 5), DECAYS[name]) is None
