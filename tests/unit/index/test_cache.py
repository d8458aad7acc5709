"""One bounded cache, several rules of what goes first."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anamnos.errors import InvalidInput
from anamnos.index.cache import POLICIES, Cache

EAST, NORTH = np.array([1, 0], dtype=np.float32), np.array([0, 1], dtype=np.float32)
CALLS = st.lists(st.tuples(st.sampled_from(["put", "get", "see", "drop"]), st.integers(0, 9)), max_size=60)


def play(policy: str, calls: list[tuple[str, int]], capacity: int = 4) -> tuple[Cache[int, str], list[int]]:
    cache, gone = Cache[int, str](capacity, policy), []
    for what, key in calls:
        angle = np.array([np.cos(key), np.sin(key)], dtype=np.float32)
        if what == "put":
            out = cache.put(key, f"value {key}", importance=key / 10, vector=angle, labels=[f"l{key % 3}"])
            gone += [other for other, _ in out]
            assert key in cache, "what was put last is there"
        elif what == "get":
            assert cache.get(key) == (f"value {key}" if key in cache else None)
        elif what == "see":
            cache.see(angle, [f"l{key % 3}"])
        else:
            cache.drop(key)
            assert key not in cache
        assert len(cache) <= capacity
    return cache, gone


@pytest.mark.parametrize("policy", POLICIES)
@given(calls=CALLS)
def test_every_policy_keeps_the_laws(policy: str, calls: list[tuple[str, int]]) -> None:
    cache, gone = play(policy, calls)
    again, gone_again = play(policy, calls)
    assert cache.items() == again.items()
    assert gone == gone_again
    assert all(value == f"value {key}" for key, value in cache.items())
    assert set(cache) == {key for key, _ in cache.items()}
    cache.clear()
    assert len(cache) == 0


def filled(policy: str) -> Cache[str, int]:
    """Return a full cache: ``a`` was used often but long ago, ``b`` is important, ``c`` is what cues are about."""
    cache = Cache[str, int](3, policy)
    cache.put("a", 1, importance=0.5, vector=-EAST)
    cache.get("a")
    cache.get("a")
    cache.put("b", 2, importance=0.9, vector=NORTH, labels=["food"])
    cache.get("b")
    cache.put("c", 3, importance=0.1, vector=EAST, labels=["travel", "food"])
    cache.see(EAST, ["travel"])
    return cache


@pytest.mark.parametrize(
    ("policy", "first", "second"),
    [
        ("lru", "a", "b"),  # a was used before b, b before c
        ("lfu", "c", "b"),  # never, once, twice
        ("importance", "c", "a"),  # .1, .5, .9
        ("semantic", "a", "b"),  # cosine -1, 0, 1
        ("label", "a", "b"),  # neither has "travel"; a was used before b
        ("hybrid", "a", "b"),  # worked out below
    ],
)
def test_each_policy_lets_go_of_what_its_name_says(policy: str, first: str, second: str) -> None:
    # hybrid when d comes as call 7: a 1/(1+4) + 2/2 + .5 + 0 + 0 = 1.7; b 1/(1+2) + 1/2 + .9 = 1.73; c 1/2 + .1 + 1 + 1
    cache = filled(policy)
    assert cache.put("d", 4, importance=1.0, vector=EAST, labels=["travel"]) == [
        (first, {"a": 1, "b": 2, "c": 3}[first])
    ]
    cache.see(EAST, ["travel"])
    for _ in range(3):
        cache.get("d")
    assert [key for key, _ in cache.put("e", 5, importance=1.0, vector=EAST, labels=["travel"])] == [second]


def test_the_size_of_values_counts_and_may_grow() -> None:
    cache = Cache[str, list[int]](5, "lru", len)
    cache.put("a", [1, 2])
    cache.put("b", [3, 4])
    found = cache.get("b")
    assert found is not None
    found += [5, 6]
    assert [key for key, _ in cache.put("c", [7])] == ["a"]
    assert [key for key, _ in cache.put("huge", [0] * 99)] == ["b", "c"], "larger than all of it, and yet there"
    assert list(cache) == ["huge"]


def test_the_centroid_follows_recent_cues() -> None:
    cache = Cache[str, int](2, "semantic")
    cache.put("east", 1, vector=EAST)
    cache.put("north", 2, vector=NORTH)
    cache.see(EAST)
    for _ in range(9):
        cache.see(NORTH)
    assert [key for key, _ in cache.put("new", 3)] == ["east"]


@pytest.mark.parametrize(("capacity", "policy"), [(0, "lru"), (-1, "lru"), (3, "newest")])
def test_what_makes_no_sense_is_refused(capacity: int, policy: str) -> None:
    with pytest.raises(InvalidInput):
        Cache[str, int](capacity, policy)
