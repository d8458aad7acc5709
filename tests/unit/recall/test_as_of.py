"""Recall as of a moment: what was believed and true then, in the words and with the vectors of then."""

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anamnos import Memory, Scope, where
from anamnos.cube import MemCube
from anamnos.errors import InvalidInput, NotFound
from anamnos.store.base import held_at
from anamnos.testing import FakeClock, FakeEmbedder, ReferenceStore, seeded_ids

ANN = Scope(user="ann")
DAY = timedelta(days=1)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def memory(tmp_path: Path, clock: FakeClock) -> Iterator[Memory]:
    with Memory(tmp_path / "v", embedder=FakeEmbedder(64), clock=clock, new_id=seeded_ids(1)) as memory:
        yield memory


def test_a_search_of_the_past_finds_the_old_words_by_their_own_vector(memory: Memory, clock: FakeClock) -> None:
    key = memory.add("The spare key is under the blue pot.", ANN).ids[0]
    memory.add("The weather was fine in the garden.", ANN)
    before = clock()
    found = [(h.id, h.content, h.rank_score, h.similarity) for h in memory.search("key under the blue pot", ANN)]
    clock.advance(days=1)
    memory.update(key, ANN, content="Oskar took it along to Oslo.")
    clock.advance(days=1)
    now = memory.search("key under the blue pot", ANN)
    assert now[0].content != "The spare key is under the blue pot."
    for _ in range(2):  # also with an index that was made anew
        then = memory.search("key under the blue pot", ANN, as_of=before)
        assert [(h.id, h.content, h.rank_score, h.similarity) for h in then] == found
        assert then[0].cube.version == 1
        memory.rebuild_index()
    assert memory.verify() == []
    after = memory.search("key under the blue pot", ANN, as_of=clock())
    assert [h.to_dict() for h in after] == [h.to_dict() for h in now]


def test_get_and_list_as_of(memory: Memory, clock: FakeClock) -> None:
    start = clock()
    key = memory.add("It is under the pot.", ANN, tags=["home"]).ids[0]
    clock.advance(days=1)
    memory.update(key, ANN, content="It is under the mat.", tags=[])
    later = memory.add("Another thing.", ANN).ids[0]
    assert memory.get(key, ANN, as_of=start).content == "It is under the pot."
    assert memory.get(key, ANN, as_of=start + DAY).content == "It is under the mat."
    assert [c.content for c in memory.list(ANN, as_of=start)] == ["It is under the pot."]
    assert [c.id for c in memory.list(ANN, as_of=start + DAY)] == [key, later]
    assert [c.id for c in memory.list(ANN, filter=where(tags=["home"]), as_of=start)] == [key]
    assert [h.id for h in memory.search("pot", ANN, filter=where(tags=["home"]), as_of=start)] == [key]
    assert memory.search("pot", ANN, filter=where(tags=["home"])) == []
    with pytest.raises(NotFound, match="as of"):
        memory.get(later, ANN, as_of=start)
    with pytest.raises(NotFound):
        memory.get(key, Scope(user="bob"), as_of=start)
    with pytest.raises(InvalidInput, match="as_of"):
        memory.get(key, ANN, version=1, as_of=start)


def test_only_what_was_true_then_is_found(memory: Memory, clock: FakeClock) -> None:
    job = memory.add("Ann works at the mill.", ANN).ids[0]
    memory.update(job, ANN, valid_from=clock() - 10 * DAY, valid_to=clock() + 10 * DAY)
    clock.advance(days=30)
    assert [h.id for h in memory.search("mill", ANN, as_of=clock() - 25 * DAY)] == [job]
    assert memory.search("mill", ANN, as_of=clock()) == []
    assert memory.search("mill", ANN, as_of=clock() - 31 * DAY) == [], "not recorded yet"
    assert [h.id for h in memory.search("mill", ANN)] == [job], "without as_of, what was true once is found too"


def test_a_time_to_come_is_the_present(memory: Memory, clock: FakeClock) -> None:
    one = memory.add("now", ANN).ids[0]
    memory.update(one, ANN, valid_from=clock() - DAY, valid_to=clock() + DAY)
    for ahead in (timedelta(0), 5 * DAY, datetime.max.replace(tzinfo=UTC) - clock()):
        assert [c.id for c in memory.list(ANN, as_of=clock() + ahead)] == [one]
        assert [h.id for h in memory.search("now", ANN, as_of=clock() + ahead)] == [one]
        assert memory.answer_context("now", ANN, as_of=clock() + ahead).citations[1].id == one
        assert memory.get(one, ANN, as_of=clock() + ahead).version == 2


def test_a_naive_time_is_refused(memory: Memory) -> None:
    naive = datetime(2024, 1, 1)  # noqa: DTZ001
    calls: list[Any] = [memory.list, lambda scope, as_of: memory.search("x", scope, as_of=as_of)]
    calls.append(lambda scope, as_of: memory.answer_context("x", scope, as_of=as_of))
    for call in calls:
        with pytest.raises(InvalidInput, match="naive"):
            call(ANN, as_of=naive)
        with pytest.raises(InvalidInput, match="datetime"):
            call(ANN, as_of="yesterday")


def test_what_was_deleted_is_gone_from_the_past(memory: Memory, clock: FakeClock) -> None:
    start = clock()
    kept, gone = (memory.add(f"{word} was here", ANN).ids[0] for word in ("Ann", "Bob"))
    assert len(memory.search("Bob", ANN, as_of=start)) == 2
    clock.advance(days=1)
    memory.delete(gone, ANN)
    assert [h.id for h in memory.search("Bob", ANN, as_of=start)] == [kept]
    assert [c.id for c in memory.list(ANN, as_of=start)] == [kept]
    assert "Bob" not in memory.answer_context("Bob", ANN, as_of=start).text


def test_the_context_as_of_then_has_the_neighbours_of_then(memory: Memory, clock: FakeClock) -> None:
    session = Scope(user="ann", session="monday")
    lines = ["Where did you put the key?", "I put the key under the blue pot.", "Thank you, Oskar."]
    ids = memory.add([{"role": "user", "content": line, "id": line} for line in lines], session).ids
    before = clock()
    clock.advance(days=1)
    memory.update(ids[0], ANN, content="Something else altogether.")
    context = memory.answer_context("key under the pot", ANN, top_k=1, as_of=before)
    assert [cube.content for cube in context.citations.values()] == lines
    now = memory.answer_context("key under the pot", ANN, top_k=1)
    assert [cube.content for cube in now.citations.values()] == ["Something else altogether.", *lines[1:]]


def test_only_one_space_of_the_past_is_kept(memory: Memory, clock: FakeClock) -> None:
    for n in range(4):
        memory.add(f"number {n}", ANN)
        clock.advance(days=1)
    for n in range(4):
        assert len(memory.search("number", ANN, as_of=clock() - (4 - n) * DAY)) == n + 1
    assert len(memory._recaller._spaces) <= 2


# --- any life

WORDS = st.lists(st.sampled_from(["pear", "apple", "boat", "river", "winter"]), min_size=1, max_size=3).map(" ".join)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "add", "update", "update", "until", "delete"]),
        WORDS,
        st.integers(0, 9),
        st.sampled_from([0, 1, 24]),
    ),
    min_size=1,
    max_size=12,
)


def as_then(cube: MemCube) -> MemCube:
    return replace(cube, time=replace(cube.time, superseded_at=None))


@pytest.mark.parametrize("engine", ["reference", "sqlite"])
def test_any_past_is_what_was_seen_then_less_what_was_erased_since(engine: str) -> None:
    @settings(max_examples=30 if engine == "reference" else 10, deadline=None)
    @given(STEPS)
    def check(steps: list[tuple[str, str, int, int]]) -> None:
        folder, clock = Path(tempfile.mkdtemp(prefix="anamnos-as-of-")), FakeClock()
        store = ReferenceStore() if engine == "reference" else None
        with Memory(folder, embedder=FakeEmbedder(), clock=clock, new_id=seeded_ids(1), store=store) as memory:
            seen: dict[datetime, tuple[list[MemCube], list[tuple[str, float]], int]] = {}
            ids: list[str] = []
            erased: list[str] = []
            for n, (kind, words, which, hours) in enumerate(steps):
                if kind == "add":
                    ids += memory.add(f"{words} {n}", ANN).ids
                elif ids:
                    target = ids[which % len(ids)]
                    if kind == "update":
                        memory.update(target, ANN, content=f"{words} {n}")
                    elif kind == "until":
                        memory.update(target, ANN, valid_to=clock() + timedelta(hours=which))
                    else:
                        memory.delete(target, ANN)
                        ids.remove(target)
                        erased.append(target)
                hits = [(h.id, h.rank_score) for h in memory.search("pear boat", ANN, top_k=100)]
                seen[clock()] = (memory.list(ANN), hits, len(erased))
                clock.advance(seconds=3600 * hours)
            for moment, (then, hits, erased_then) in seen.items():
                want = [cube for cube in then if held_at(cube, moment) and cube.id not in erased]
                assert [as_then(cube) for cube in memory.list(ANN, as_of=moment)] == want
                found = memory.search("pear boat", ANN, top_k=100, as_of=moment)
                assert sorted(h.id for h in found) == sorted(cube.id for cube in want)
                assert all(as_then(h.cube) in want for h in found)
                if len(want) == len(then) and erased_then == len(erased):  # nothing is missing: the same ranking
                    assert {h.id: h.rank_score for h in found} == pytest.approx(dict(hits), abs=1e-4)
        shutil.rmtree(folder)

    check()
