"""The laws of an associative memory as tests: subclass ``AssociativeContract`` and give it its three hooks.

class TestMyMemory(AssociativeContract):
    system = "mine"
    settings = {"length": 256}
    def keys(self, rng, count): ...
    def noisy(self, rng, key): ...
"""

from __future__ import annotations

import math
import warnings
from datetime import UTC, datetime
from typing import Any, ClassVar

import numpy as np
import pytest

from anamnos.associative import create, memory_class
from anamnos.associative.arrays import digest
from anamnos.associative.base import WARN_AT, AssociativeMemory, CapacityWarning
from anamnos.associative.payload import from_payload, to_payload
from anamnos.cube import CubeId
from anamnos.errors import Corrupt, InvalidInput, LimitExceeded
from anamnos.testing.fakes import seeded_ids

_NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)


class AssociativeContract:
    """Laws of ``AssociativeMemory``.

    system    as in ``anamnos.associative.create``
    settings  of a memory that holds ``count`` items well below its capacity
    small     what to change in them so that the capacity is below 100 items; None: it has no limit
    count     items written in most tests
    refuses   the errors of a memory that is full: a memory that knows no limit, or always makes room, leaves it False
    """

    system: ClassVar[str]
    settings: ClassVar[dict[str, Any]]
    small: ClassVar[dict[str, Any] | None] = None
    count: ClassVar[int] = 8

    def keys(self, rng: np.random.Generator, count: int) -> list[Any]:
        """Return keys that are not alike."""
        raise NotImplementedError

    def noisy(self, rng: np.random.Generator, key: Any) -> Any:
        """Return a cue that reminds of a key and of no other."""
        raise NotImplementedError

    def make(self, **changed: Any) -> AssociativeMemory:
        return create(self.system, **{**self.settings, **changed})

    def filled(self, **changed: Any) -> tuple[AssociativeMemory, list[Any], list[CubeId]]:
        """Return a memory with ``count`` items, their keys and their cubes."""
        memory, new_id = self.make(**changed), seeded_ids(5)
        keys = self.keys(np.random.default_rng(1), self.count)
        ids = [new_id(_NOW) for _ in keys]
        for number, (key, cube_id) in enumerate(zip(keys, ids, strict=True)):
            memory.write(key, f"value {number}", cube_id=cube_id, when=_NOW)
        return memory, keys, ids

    def test_what_was_written_is_read_back(self) -> None:
        memory, keys, ids = self.filled()
        for number, (key, cube_id) in enumerate(zip(keys, ids, strict=True)):
            best = memory.read(key)[0]
            assert (best.value, best.cube_ids[:1]) == (f"value {number}", (cube_id,))
            assert 0 <= best.score <= 1
            assert 0 <= best.familiarity <= 1

    def test_a_noisy_cue_finds_its_item(self) -> None:
        memory, keys, ids = self.filled()
        rng = np.random.default_rng(2)
        best = [memory.read(self.noisy(rng, key))[0] for key in keys]
        found = sum(cube_id in recall.cube_ids for recall, cube_id in zip(best, ids, strict=True))
        assert found >= len(ids) - 1

    def test_what_is_known_is_more_familiar(self) -> None:
        memory, keys, _ = self.filled()
        known = [memory.familiarity(key) for key in keys]
        new = [memory.familiarity(key) for key in self.keys(np.random.default_rng(99), self.count)]
        assert all(0 <= value <= 1 for value in known + new)
        assert np.mean(known) > np.mean(new)

    def test_an_empty_memory_knows_nothing(self) -> None:
        memory = self.make()
        key = self.keys(np.random.default_rng(1), 1)[0]
        assert memory.familiarity(key) == 0
        assert memory.read(key) == []
        assert memory.load().items == 0

    def test_looking_changes_nothing(self) -> None:
        memory, keys, _ = self.filled()
        before = digest(memory.state_dict())
        memory.read(keys[0], k=3)
        memory.familiarity(keys[0])
        memory.load()
        assert digest(memory.state_dict()) == before

    def test_a_forgotten_cube_is_no_more_read(self) -> None:
        memory, keys, ids = self.filled()
        forgotten = memory.forget(cube_id=ids[0])
        assert forgotten.items == 1
        assert forgotten.how
        assert all(ids[0] not in recall.cube_ids for recall in memory.read(keys[0], k=self.count))
        assert memory.load().items == self.count - 1
        assert ids[1] in memory.read(keys[1])[0].cube_ids
        assert memory.forget(cube_id=ids[0]).items == 0

    def test_a_key_can_be_forgotten(self) -> None:
        memory, keys, ids = self.filled()
        assert memory.forget(key=keys[-1]).items == 1
        assert all(ids[-1] not in recall.cube_ids for recall in memory.read(keys[-1], k=self.count))

    def test_exactly_forgotten_is_as_never_written(self) -> None:
        memory, keys, ids = self.filled()
        if not memory.forget(cube_id=ids[-1]).exact:
            pytest.skip("the memory does not claim it")
        other = self.make()
        for number, (key, cube_id) in enumerate(list(zip(keys, ids, strict=True))[:-1]):
            other.write(key, f"value {number}", cube_id=cube_id, when=_NOW)
        assert [r.to_dict() for r in memory.read(keys[0])] == [r.to_dict() for r in other.read(keys[0])]
        assert memory.familiarity(keys[-1]) == other.familiarity(keys[-1])

    def test_consolidation_keeps_what_is_known(self) -> None:
        memory, keys, ids = self.filled()
        done = memory.consolidate()
        assert done.items == self.count
        assert all(cube_id in memory.read(key)[0].cube_ids for key, cube_id in zip(keys, ids, strict=True))

    def test_the_same_writes_give_the_same_state(self) -> None:
        first, second = self.filled()[0], self.filled()[0]
        assert digest(first.state_dict()) == digest(second.state_dict())

    def test_a_state_comes_back_bit_by_bit(self) -> None:
        memory, keys, _ = self.filled()
        payload = to_payload(memory)
        again = from_payload(payload)
        assert digest(again.state_dict()) == digest(memory.state_dict())
        assert to_payload(again) == payload
        assert [r.to_dict() for r in again.read(keys[2], k=3)] == [r.to_dict() for r in memory.read(keys[2], k=3)]
        new = self.keys(np.random.default_rng(7), 1)[0]  # and it goes on as the first would
        memory.write(new, "new")
        again.write(new, "new")
        assert digest(again.state_dict()) == digest(memory.state_dict())

    def test_the_state_of_another_spec_or_seed_is_refused(self) -> None:
        memory = self.filled()[0]
        kind, spec = memory_class(self.system)
        other = spec(**{**self.settings, "seed": 1_234})
        with pytest.raises(InvalidInput, match="was made with"):
            kind.from_state(other, memory.state_dict())

    def test_a_damaged_payload_is_refused(self) -> None:
        payload = to_payload(self.filled()[0])
        for damaged in (payload[: len(payload) // 2], b"", payload[:-40] + bytes(40)):
            with pytest.raises(Corrupt):
                from_payload(damaged)

    def test_a_state_without_one_of_its_arrays_is_refused(self) -> None:
        memory = self.filled()[0]
        kind, _ = memory_class(self.system)
        state = memory.state_dict()
        for name in state:
            with pytest.raises(Corrupt):
                kind.from_state(memory.spec, {n: a for n, a in state.items() if n != name})

    def test_bad_input_changes_nothing(self) -> None:
        memory, keys, _ = self.filled()
        before = digest(memory.state_dict())
        wrong_length = np.ones(3, dtype=np.uint8)
        calls: list[Any] = [
            lambda: memory.write(wrong_length),
            lambda: memory.write(keys[0], strength=0),
            lambda: memory.write(keys[0], math.nan),
            lambda: memory.write(keys[0], cube_id="no id"),
            lambda: memory.write(keys[0], when=datetime(2024, 5, 1)),  # noqa: DTZ001  (a naive one is the point)
            lambda: memory.read(wrong_length),
            lambda: memory.read(keys[0], k=0),
            lambda: memory.read(keys[0], steps=0),
            lambda: memory.read(keys[0], temperature=-1),
            lambda: memory.read(keys[0], temperature=1),
            lambda: memory.read(keys[0], mask=np.zeros(len(keys[0]), dtype=np.bool_)),
            lambda: memory.familiarity(wrong_length),
            lambda: memory.forget(),
            lambda: memory.forget(key=keys[0], cube_id="x"),
            lambda: memory.forget(key=wrong_length),
        ]
        for call in calls:
            with pytest.raises(InvalidInput):
                call()
        assert digest(memory.state_dict()) == before

    def test_a_full_memory_warns_and_then_refuses(self) -> None:
        if self.small is None:
            pytest.skip("the memory knows no limit")
        memory = self.make(**self.small)
        capacity = int(memory.load().capacity)
        assert capacity < 100
        keys = self.keys(np.random.default_rng(3), capacity + 1)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for key in keys[: math.ceil(WARN_AT * capacity) - 1]:
                memory.write(key)
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            while memory.load().items < capacity:
                memory.write(keys[memory.load().items])
        assert {warning.category for warning in heard} == {CapacityWarning}
        before = digest(memory.state_dict())
        with pytest.raises(LimitExceeded, match="full"):
            memory.write(keys[-1])
        assert digest(memory.state_dict()) == before

    def test_a_full_memory_makes_room_if_told_to(self) -> None:
        if self.small is None:
            pytest.skip("the memory knows no limit")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CapacityWarning)
            for how in ("evict", "grow"):
                try:
                    memory = self.make(**self.small, on_full=how)
                except InvalidInput:
                    continue  # a spec may refuse what its memory cannot do
                limit = memory_class(self.system)[1](**{**self.settings, **self.small})
                capacity = int(memory_class(self.system)[0](limit).load().capacity)
                keys = self.keys(np.random.default_rng(3), capacity + 2)
                for number, key in enumerate(keys):
                    memory.write(key, number)
                assert memory.load().items == (capacity if how == "evict" else capacity + 2)
                assert memory.read(keys[-1])[0].value == capacity + 1
                if how == "evict":
                    assert all(recall.value != 0 for recall in memory.read(keys[0]))
