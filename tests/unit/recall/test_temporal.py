"""The temporal channel: how near to the time asked about, from when it is asked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from anamnos import Memory, Scope
from anamnos.errors import InvalidInput
from anamnos.recall.channels.temporal import TemporalChannel
from anamnos.recall.fusion import WeightedChannel
from anamnos.recall.recipe import Recipe
from anamnos.testing import FakeEmbedder

ANN = Scope(user="ann")
DAYS = ("2024-05-01", "2024-05-04", "2024-05-09", "2024-06-20")


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory(tmp_path, embedder=FakeEmbedder()) as memory:
        memory.add([{"role": "user", "content": day, "at": f"{day}T12:00:00Z"} for day in DAYS], ANN)
        memory.add([{"role": "user", "content": "undated"}], ANN)
        memory._recaller.recipe = Recipe("time", "test", (WeightedChannel(TemporalChannel(fades_in=10), 1.0),))
        yield memory


def near(memory: Memory, question: str, asked_at: datetime | None = None) -> dict[str, float]:
    hits = memory.search(question, ANN, asked_at=asked_at)
    return {hit.cube.text: round(hit.channels["temporal"].raw, 2) for hit in hits}


def test_what_was_said_in_the_period_scores_one_and_then_less(memory: Memory) -> None:
    # the day of 1 May ends 2.5 and 7.5 days before the noons of the next two
    want = {"2024-05-01": 1.0, "2024-05-04": 0.75, "2024-05-09": 0.25, "2024-06-20": 0.0, "undated": 0.0}
    assert near(memory, "What happened on 1 May 2024?") == want


def test_relative_times_count_from_when_it_is_asked(memory: Memory) -> None:
    early = near(memory, "What did I do yesterday?", datetime(2024, 5, 5, 9, tzinfo=UTC))
    assert early["2024-05-04"] == 1.0
    late = near(memory, "What did I do yesterday?", datetime(2024, 6, 21, 9, tzinfo=UTC))
    assert late["2024-06-20"] == 1.0
    assert late["2024-05-04"] == 0.0


def test_without_a_time_it_says_nothing(memory: Memory) -> None:
    assert set(near(memory, "What happened?").values()) == {0.0}
    assert set(near(memory, "What happened on 31 February 2024?").values()) <= {0.0, 1.0}


def test_a_moment_without_a_zone_is_refused(memory: Memory) -> None:
    with pytest.raises(InvalidInput, match="asked_at"):
        memory.search("yesterday", ANN, asked_at=datetime(2024, 5, 5))  # noqa: DTZ001
