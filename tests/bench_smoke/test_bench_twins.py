"""The made-up twins: the same seed gives the same data, and what they must satisfy to be worth measuring on."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner

from anamnos.bench.bm25 import Bm25
from anamnos.bench.retrieval import ask, run_retrieval, summary
from anamnos.bench.sets.twin_facts import facts_twin, resolves
from anamnos.bench.sets.twin_locomo import locomo_record, locomo_twin
from anamnos.bench.sets.twin_longmemeval import longmemeval_items, longmemeval_twin
from anamnos.bench.sets.twin_needle import needle_twin
from anamnos.bench.sets.twins import TWINS
from anamnos.cli.bench import bench
from anamnos.embed.hashing import HashingEmbedder
from anamnos.errors import InvalidInput
from anamnos.ingest.readers import find_reader, read_file


@pytest.mark.parametrize("name", TWINS)
def test_the_same_seed_gives_the_same_twin(name: str) -> None:
    one, same, other = (TWINS[name](seed) for seed in (3, 3, 4))
    assert one.cases == same.cases
    assert one.data != other.data


@pytest.mark.parametrize("seed", range(3))
def test_words_alone_find_some_of_locomos_twin_but_not_all(seed: int) -> None:
    asked, _ = ask(locomo_twin(seed), Bm25())
    assert 0.5 < summary(asked.rows, "turn")["all"]["recall_frac@10"] < 0.9


def test_locomos_twin_is_a_locomo_file(tmp_path: Path) -> None:
    record = locomo_record(1)
    path = tmp_path / "twin.json"
    path.write_text(json.dumps([record]), "utf-8")
    assert find_reader(path)[0].name == "locomo"
    assert len(read_file(path)) == 400
    said = {
        turn["dia_id"]: turn["text"]
        for name, turns in record["conversation"].items()
        if isinstance(turns, list)
        for turn in turns
    }
    kinds = {question["category"] for question in record["qa"]}
    assert kinds == {1, 2, 3, 4, 5}
    for question in record["qa"]:
        evidence = [said[dia_id] for dia_id in question["evidence"]]
        if question["category"] == 4:
            assert question["answer"] in evidence[0]
        if question["category"] == 1:
            assert 2 <= len(evidence) <= 4
            for value, text in zip(question["answer"].split(", "), evidence, strict=True):
                assert value in text
        assert ("answer" in question) is (question["category"] != 5)


def test_no_two_single_hop_questions_of_locomos_twin_are_the_same_but_for_the_answer() -> None:
    asked = [question["question"] for question in locomo_record(2)["qa"] if question["category"] == 4]
    assert len(set(asked)) == len(asked)


def test_more_facts_than_there_are_values_are_refused() -> None:
    with pytest.raises(InvalidInput, match="facts must be from 1 to 72"):
        locomo_record(facts=73)


def test_longmemevals_twin_has_every_type_and_marks_the_evidence(tmp_path: Path) -> None:
    items = longmemeval_items(0, items=14, sessions=10, exchanges=2)
    path = tmp_path / "twin.json"
    path.write_text(json.dumps(items), "utf-8")
    assert find_reader(path)[0].name == "longmemeval"
    assert len({item["question_type"] for item in items}) == 7
    for item in items:
        marked = {
            session
            for session, turns in zip(item["haystack_session_ids"], item["haystack_sessions"], strict=True)
            if any(turn.get("has_answer") for turn in turns)
        }
        if item["question_type"] != "abstention":
            assert marked == set(item["answer_session_ids"])
    data = longmemeval_twin(0, items=14, sessions=10, exchanges=2)
    assert data.excluded["questions about what was never said"] == 2
    asked, _ = ask(data, Bm25())
    scores = summary(asked.rows, "session")["all"]
    assert scores["n"] == 12
    assert 0.5 < scores["recall_frac@5"] < 1


def test_facts_are_resolved_by_number() -> None:
    data = facts_twin(0, subjects=20)
    query = next(query for query in data.cases[0].queries if query.kind == "single-hop")
    subject = query.text.rstrip("?").split()[-1]
    old, new = f"3. The home town of {subject} is Elsewhere.", f"90. The home town of {subject} is {query.answer}."
    assert resolves(query, [new, old])
    assert resolves(query, [old, new])
    assert not resolves(query, [old])
    assert not resolves(query, [])


def test_memory_finds_every_fact_and_its_latest_version_answers(tmp_path: Path) -> None:
    """The acceptance of single-hop fact consolidation: all of them."""
    result = run_retrieval(facts_twin(0, subjects=30, hops=1), HashingEmbedder())
    scores = result["levels"]["fact"]["all"]
    assert (scores["n"], scores["answered@10"], scores["recall_all@10"]) == (30, 1.0, 1.0)
    assert scores["hit@1"] < 1, "older versions compete"


def test_more_hops_need_more_facts() -> None:
    data = facts_twin(1)
    assert {len(query.gold["fact"]) for query in data.cases[0].queries if query.kind == "3-hop"} == {3}
    everything = [doc.text for doc in data.cases[0].docs]
    assert all(resolves(query, everything) for query in data.cases[0].queries), "the resolver is right if all is found"


def test_needles_lie_at_every_depth() -> None:
    data = needle_twin(0, lengths=(3_000,))
    docs = data.cases[0].docs
    places = [n for n, doc in enumerate(docs) if doc.id.startswith("n")]
    assert (places[0], places[-1], len(places)) == (0, len(docs) - 1, 10)
    steps = [b - a for a, b in pairwise(places)]
    assert max(steps) - min(steps) <= 1
    small = replace(data, cases=[replace(data.cases[0], queries=data.cases[0].queries[:6])])
    scores = run_retrieval(small, HashingEmbedder())["levels"]["turn"]["all"]
    assert scores["answered@10"] == 1.0


def test_the_command(tmp_path: Path) -> None:
    options = ["--twin", "facts", "--embedder", "hashing", "--limit", "20", "--json"]
    done = CliRunner().invoke(bench, ["twins", *options])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["data"]["questions"] == 20
