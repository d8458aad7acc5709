"""Any order of writes, reads, forgetting, consolidation and restoring keeps the laws of every associative memory."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anamnos.associative.arrays import digest
from anamnos.associative.payload import from_payload, to_payload
from anamnos.errors import LimitExceeded
from anamnos.testing.fakes import seeded_ids
from associative_memories import KINDS, Kind

pytestmark = pytest.mark.filterwarnings("ignore::anamnos.associative.base.CapacityWarning")
NOW = datetime(2024, 5, 1, tzinfo=UTC)
KEYS = 6
number = st.integers(0, KEYS - 1)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), number, number),
        st.tuples(st.sampled_from(["forget key", "forget cube", "read"]), number),
        st.tuples(st.sampled_from(["consolidate", "restore"])),
    ),
    max_size=12,
)


class Life:
    """A memory and what it should hold: cube and key of each item, in the order of writing."""

    def __init__(self, kind: Kind) -> None:
        new_id = seeded_ids(4)
        self.memory = kind.make()
        self.keys = kind.keys(np.random.default_rng(11), KEYS)
        self.cubes = [new_id(NOW) for _ in range(KEYS)]
        self.held: list[tuple[int, int]] = []
        self.counts = kind.system not in ("dense-hebbian", "multitasking")  # else it counts archetypes

    def write(self, key: int, cube: int) -> None:
        before = digest(self.memory.state_dict())
        try:
            report = self.memory.write(self.keys[key], cube % 3, cube_id=self.cubes[cube], when=NOW)
        except LimitExceeded:
            assert digest(self.memory.state_dict()) == before
            return
        assert 0 <= report.familiarity <= 1
        assert 0 <= report.reused <= 1
        if self.memory.load().items > len(self.held) or not self.counts:
            self.held.append((key, cube))
        else:  # familiar: nothing learnt
            assert not report.stored

    def forget_key(self, key: int) -> None:
        self.forgotten(self.memory.forget(key=self.keys[key]).items, lambda item: item[0] != key)

    def forget_cube(self, cube: int) -> None:
        self.forgotten(self.memory.forget(cube_id=self.cubes[cube]).items, lambda item: item[1] != cube)
        for recall in self.memory.read(self.keys[cube], k=2 * KEYS):
            assert self.cubes[cube] not in recall.cube_ids
        assert self.cubes[cube].encode() not in b"".join(a.tobytes() for a in self.memory.state_dict().values())

    def forgotten(self, count: int, kept: Any) -> None:
        left = [item for item in self.held if kept(item)]
        assert count == len(self.held) - len(left)
        self.held = left

    def read(self, key: int) -> None:
        before = digest(self.memory.state_dict())
        found = self.memory.read(self.keys[key], k=3)
        assert 0 <= self.memory.familiarity(self.keys[key]) <= 1
        there = {self.cubes[cube] for _, cube in self.held}
        for recall in found:
            assert 0 <= recall.score <= 1 + 1e-9
            assert set(recall.cube_ids) <= there
        assert found or key not in {own for own, _ in self.held}
        assert self.held or not found
        assert digest(self.memory.state_dict()) == before

    def consolidate(self) -> None:
        self.memory.consolidate()

    def restore(self) -> None:
        payload = to_payload(self.memory)
        self.memory = from_payload(payload)
        assert to_payload(self.memory) == payload


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=STEPS)
def test_laws(name: str, steps: list[tuple[Any, ...]]) -> None:
    life = Life(KINDS[name])
    for verb, *numbers in [*steps, ("restore",), ("read", 0)]:
        getattr(life, verb.replace(" ", "_"))(*numbers)
        if life.counts:
            assert life.memory.load().items == len(life.held)
        assert 0 <= life.memory.load().fill <= 1
    for cube in range(KEYS):
        life.forget_cube(cube)
    assert life.memory.load().items == 0
    assert life.memory.familiarity(life.keys[0]) == 0
    assert life.memory.read(life.keys[0]) == []
