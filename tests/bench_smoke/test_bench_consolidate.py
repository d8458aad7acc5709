"""The benchmark of consolidation at a small size, and the year that it makes up."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from anamnos.bench.consolidate import run_consolidate
from anamnos.bench.daily import DAYS, SESSION_TURNS, year_of_chats
from anamnos.bench.report import section, section_name


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(run_consolidate(400, embedder="hashing")))
    return found


def test_nothing_that_is_asked_for_is_lost(result: dict[str, Any]) -> None:
    limits = {limit["name"]: limit for limit in result["limits"]}
    assert limits["recall_frac@10 lost"]["ok"]
    assert limits["changes of a second run"]["measured"] == 0
    assert result["problems"] == []
    assert result["searched_after"] < result["searched_before"] == 400
    assert result["report"]["finished"]


def test_every_part_is_measured(result: dict[str, Any]) -> None:
    assert result["idle"]["n"] == 300 and result["busy"]["n"] > 0
    assert result["disk_before"] > 0 and result["peak_rss_mb"] >= result["rss_before_mb"] > 0
    assert [row["bits"] for row in result["precision"]["rows"]] == [32, 8, 4, 2]
    overlaps = [row["cosine_overlap@10"] for row in result["precision"]["rows"]]
    assert overlaps[0] == 1.0 and overlaps == sorted(overlaps, reverse=True)


def test_it_has_a_section_of_the_page(result: dict[str, Any]) -> None:
    assert section_name(result) == "consolidate-400-hashing-384-v1"
    page = section({**result, "command": "anamnos bench consolidate --turns 400"})
    assert "Sleep after a year of 400 turns" in page and "| duplicates |" in page


def test_a_year_is_the_same_every_time_and_has_all_its_parts() -> None:
    turns, questions = year_of_chats(2_000, seed=1)
    assert (turns, questions) == year_of_chats(2_000, seed=1)
    assert turns != year_of_chats(2_000, seed=2)[0]
    assert len(turns) == 2_000 and len(questions) == 20
    assert 0 < (turns[-1].said_at - turns[0].said_at).days < DAYS
    assert max(Counter(turn.session for turn in turns).values()) <= SESSION_TURNS
    by_id = {turn.id: turn.text for turn in turns}
    for question in questions:
        texts = {by_id[name] for name in question.said_in}
        assert len(texts) == 1
        assert Counter(by_id.values())[texts.pop()] == len(question.said_in)
    assert {len(question.said_in) for question in questions} == {1, 4}
    assert max(Counter(by_id.values()).values()) > 20  # what repeats every few days
