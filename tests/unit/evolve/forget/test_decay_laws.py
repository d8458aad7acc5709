"""What every rule of forgetting keeps to."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anamnos.cube import MemCube, Provenance, State, Times
from anamnos.errors import ConfigError, InvalidInput
from anamnos.evolve.consolidate.archive import fading
from anamnos.evolve.forget import DECAYS, resolve_decay
from anamnos.evolve.forget.base import Decay, Grade

from .made import cube, day

RULES = pytest.mark.parametrize("rule", DECAYS.values(), ids=list(DECAYS))
cubes = st.builds(
    cube,
    uses=st.integers(0, 10_000),
    used=st.none() | st.floats(0, 1_000),
    trust=st.floats(0, 1),
    stability=st.floats(1e-6, 1e6),
    importance=st.floats(0, 1),
)


@RULES
@given(cube=cubes, days=st.floats(-1_000, 100_000), more=st.floats(0, 10_000))
def test_retention_is_a_share_that_never_grows_by_itself(rule: Decay, cube: MemCube, days: float, more: float) -> None:
    first, later = rule.retention(cube, day(days)), rule.retention(cube, day(days + more))
    assert 0 <= later <= first <= 1
    assert rule.retention(cube, day(days)) == first


@RULES
def test_all_is_left_at_the_moment_of_use_and_when_the_clock_jumps_back(rule: Decay) -> None:
    used = cube(uses=1, used=5)
    for moment in (day(5), day(4), day(-400)):
        assert rule.retention(used, moment) == 1.0


@RULES
def test_a_naive_moment_is_refused(rule: Decay) -> None:
    with pytest.raises(InvalidInput, match="naive"):
        rule.retention(cube(), datetime(2024, 1, 2))  # noqa: DTZ001


@RULES
def test_without_any_known_time_nothing_is_forgotten(rule: Decay) -> None:
    assert rule.retention(replace(cube(), time=Times()), day(10_000)) == 1.0


@RULES
@given(cube=cubes, days=st.floats(0, 1_000), grade=st.sampled_from(Grade))
def test_a_review_changes_only_the_rule_s_own_state(rule: Decay, cube: MemCube, days: float, grade: Grade) -> None:
    after = rule.reviewed(cube, day(days), grade)
    assert replace(after, lifecycle=cube.lifecycle, annotations=cube.annotations) == cube
    same = {"uses", "last_used_at", "state", "importance", "expires_at"}
    assert all(getattr(after.lifecycle, name) == getattr(cube.lifecycle, name) for name in same)
    assert {k: v for k, v in after.annotations.data.items() if k != rule.name} == dict(cube.annotations.data)


@RULES
def test_what_was_used_more_is_kept_at_least_as_well(rule: Decay) -> None:
    assert rule.retention(cube(uses=5, used=10), day(20)) >= rule.retention(cube(uses=1, used=10), day(20))


@RULES
@pytest.mark.parametrize("life", [{"state": State.FROZEN}, {"importance": 1.0}])
def test_what_is_held_or_pinned_never_fades(rule: Decay, life: dict[str, Any]) -> None:
    found = fading(cube(**life), rule, day(100_000))
    assert (found.retention, found.becomes) == (1.0, None)


@RULES
def test_damaged_state_of_a_rule_is_no_state(rule: Decay) -> None:
    for broken in ("x", 3, {"difficulty": "hard", "emotion": None, "confirmations": True}):
        damaged = cube(data={rule.name: broken})
        assert 0 <= rule.retention(damaged, day(3)) <= 1
        rule.reviewed(damaged, day(3))


def test_rules_are_known_by_name() -> None:
    assert list(DECAYS) == ["none", "memorybank", "power-law", "fsrs", "ebbinghaus-adaptive", "reinforcement"]
    assert all(resolve_decay(name) is rule and rule.name == name for name, rule in DECAYS.items())
    with pytest.raises(ConfigError, match="langevin"):
        resolve_decay("langevin")


# --- what it comes to


def test_thresholds_of_the_archive_and_of_expiry() -> None:
    rule = DECAYS["memorybank"]
    assert fading(cube(), rule, day(1.6)).becomes is None  # .2019
    assert fading(cube(), rule, day(1.62)).becomes is State.ARCHIVED  # .1979
    assert fading(cube(state=State.MERGED), rule, day(9)).becomes is State.ARCHIVED
    assert fading(cube(state=State.ARCHIVED), rule, day(2.9)).becomes is None  # .0550
    assert fading(cube(state=State.ARCHIVED), rule, day(3)).becomes is State.EXPIRED  # .0498: a candidate
    assert fading(cube(state=State.EXPIRED), rule, day(99)).becomes is None


def test_what_people_said_does_not_fade_unless_asked() -> None:
    said = replace(cube(), provenance=Provenance())
    rule = DECAYS["memorybank"]
    assert fading(said, rule, day(99)).retention == 1.0
    assert fading(said, rule, day(99), turns=True).becomes is State.ARCHIVED
