"""The runner itself: oracle and random retrieval, provenance, what is left out, what is asked when."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from anamnos.bench import metrics
from anamnos.bench.bm25 import Bm25
from anamnos.bench.cases import Case, DataSet, Doc, Found, Query
from anamnos.bench.retrieval import MAX_SOURCES, MemorySystem, ask, run_retrieval, spread, summary
from anamnos.cube import Scope
from anamnos.embed.hashing import HashingEmbedder
from anamnos.errors import InvalidInput
from anamnos.memory import Memory


@dataclass
class Scripted:
    """A system that ranks what it has by a given order, and notes what it had when asked."""

    order: dict[str, list[str]] = field(default_factory=dict)
    rng: np.random.Generator | None = None
    had: dict[str, list[str]] = field(default_factory=dict)
    asked: list[int] = field(default_factory=list)

    def remember(self, case: str, docs: Sequence[Doc]) -> None:
        self.had.setdefault(case, []).extend(doc.id for doc in docs)

    def search(self, case: str, text: str, top_k: int) -> list[Found]:
        self.asked.append(len(self.had[case]))
        have = self.had[case]
        if self.rng is not None:
            return [Found((have[int(n)],), "") for n in self.rng.permutation(len(have))[:top_k]]
        first = self.order.get(text, [])
        return [Found((name,), name) for name in [*first, *(d for d in have if d not in first)]][:top_k]


def made(cases: int = 4, docs: int = 40, gold: int = 2, queries: int = 5, group: str | None = "session") -> DataSet:
    made_up = []
    for number in range(cases):
        its = [Doc(f"{number}/{n}", f"text {n}", f"{number}/s{n // 4}", "user") for n in range(docs)]
        asked = []
        for n in range(queries):
            right = its[docs - 3 * n - gold : docs - 3 * n]  # far from where a lazy ranking begins
            levels = {"turn": frozenset(d.id for d in right), "session": frozenset(str(d.group) for d in right)}
            asked.append(Query(f"{number}/q{n}", f"{number} {n}", f"kind{n % 2}", levels))
        made_up.append(Case(f"case-{number}", its, asked))
    data = {"name": "made", "sha256": "0"}
    return DataSet("made", "Made", data, made_up, "turn", group, depths=(1, 2, 5, 10), official=True)


def test_the_oracle_gets_everything_right() -> None:
    data = made()
    oracle = Scripted({q.text: sorted(q.gold["turn"]) for case in data.cases for q in case.queries})
    asked, _ = ask(data, oracle)
    for level in data.levels:
        for scores in summary(asked.rows, level).values():
            perfect = [name for name in scores if name.startswith(("recall_any", "ndcg", "mrr", "hit"))]
            assert {scores[name] for name in perfect} == {1.0}
            assert scores["recall_frac@10"] == scores["recall_all@10"] == 1.0
            assert scores["interval"]["mrr"] == [1.0, 1.0]


def test_a_random_retriever_finds_k_of_n() -> None:
    data = made(cases=40, docs=50, gold=2, queries=10, group=None)
    asked, _ = ask(data, Scripted(rng=np.random.default_rng(7)))
    scores = summary(asked.rows, "turn")["all"]
    n = scores["n"]
    assert n == 400
    for k in data.depths:
        share = k / 50
        # the mean of two draws without replacement from 50, of which k are found
        sd = np.sqrt(share * (1 - share) / 2 * (1 - 1 / 49) / n)
        assert abs(scores[f"recall_frac@{k}"] - share) < 3 * sd
        every = k * (k - 1) / (50 * 49)
        assert abs(scores[f"recall_all@{k}"] - every) < 3 * np.sqrt(every * (1 - every) / n) + 1e-4


def test_shuffled_gold_lowers_every_metric() -> None:
    data = made(group=None)
    oracle = Scripted({q.text: sorted(q.gold["turn"]) for case in data.cases for q in case.queries})
    right = summary(ask(data, oracle)[0].rows, "turn")["all"]
    shuffled = [
        replace(
            case,
            queries=[replace(query, gold=case.queries[n - 1].gold) for n, query in enumerate(case.queries)],
        )
        for case in data.cases
    ]
    wrong = summary(ask(replace(data, cases=shuffled), oracle)[0].rows, "turn")["all"]
    assert all(wrong[name] < right[name] for name in right if name not in ("n", "interval") and right[name] > 0)


def test_a_group_stands_where_its_best_document_does_and_a_hit_takes_a_rank_per_source() -> None:
    docs = [Doc(f"d{n}", "x", f"s{n // 2}", "user") for n in range(30)]
    gold = {"turn": frozenset(["d4"]), "session": frozenset(["s2"])}
    data = DataSet("x", "X", {}, [Case("c", docs, [Query("q", "?", "k", gold)])], "turn", "session", depths=(1, 2, 5))

    class Citing(Scripted):
        def search(self, case: str, text: str, top_k: int) -> list[Found]:
            return [Found(("d0", "d1", "d2"), ""), Found(("d2", "d4"), "")]

    row = ask(data, Citing())[0].rows[0]
    assert row["ranked"] == {"turn": ["d0", "d1", "d2", "d4"], "session": ["s0", "s1", "s2"]}
    assert row["metrics"]["turn"]["mrr"] == 1 / 4
    assert row["metrics"]["session"]["mrr"] == 1 / 3

    class Everything(Scripted):
        def search(self, case: str, text: str, top_k: int) -> list[Found]:
            return [Found(tuple(f"d{n}" for n in range(30)), "")]

    asked = ask(replace(data, group=None, depths=(50,)), Everything())[0]
    assert len(asked.rows[0]["ranked"]["turn"]) == MAX_SOURCES
    assert asked.sources_per_hit == 30


def test_evidence_that_is_not_there_is_left_out_and_counted() -> None:
    docs = [Doc("a", "x", speaker="user"), Doc("b", "y", speaker="user")]
    queries = [
        Query("1", "?", "k", {"turn": frozenset(["a", "gone"])}),
        Query("2", "?", "k", {"turn": frozenset(["gone"])}),
        Query("3", "?", "k", {"turn": frozenset()}),
    ]
    asked, _ = ask(DataSet("x", "X", {}, [Case("c", docs, queries)], "turn"), Scripted())
    assert [row["query"] for row in asked.rows] == ["1"]
    assert asked.excluded == {
        "evidence of turn that is not in the documents": 2,
        "questions without turn evidence": 2,
    }
    with pytest.raises(InvalidInput, match="no question that can be scored"):
        ask(DataSet("x", "X", {}, [Case("c", docs, queries[1:])], "turn"), Scripted())
    with pytest.raises(InvalidInput, match="the same id"):
        ask(DataSet("x", "X", {}, [Case("c", [docs[0], docs[0]], queries)], "turn"), Scripted())


def test_a_question_is_asked_before_what_comes_after_it_is_remembered() -> None:
    docs = [Doc(f"d{n}", "x", speaker="user") for n in range(5)]
    gold = {"turn": frozenset(["d0"])}
    queries = [Query("1", "?", "k", gold, after=2), Query("2", "?", "k", gold, after=2), Query("3", "?", "k", gold)]
    system = Scripted()
    ask(DataSet("x", "X", {}, [Case("c", docs, queries)], "turn"), system)
    assert system.asked == [2, 2, 2, 2, 5, 5]


def test_bad_input_to_the_metrics_names_the_query() -> None:
    for ranked, gold, depths in ((["a", "a"], {"a"}, [1]), (["a"], set(), [1]), (["a"], {"a"}, [0])):
        with pytest.raises(InvalidInput, match="question 7"):
            metrics.scores(ranked, gold, depths, where="question 7")


def test_ndcg_of_longmemeval_differs_from_rank_two_on() -> None:
    assert metrics.ndcg_lme(["x", "a"], {"a"}, 10) == 1.0
    assert metrics.ndcg_lme(["a"], {"a"}, 1) == metrics.ndcg(["a"], {"a"}, 1) == 1.0
    # gains 1 (rank 2) and 1/2 (rank 4) over an ideal of 1 + 1
    assert metrics.ndcg_lme(["x", "a", "y", "b"], {"a", "b"}, 10) == pytest.approx(0.75)


def test_questions_are_spread_evenly() -> None:
    data = made(cases=4, queries=5)
    kept = spread(data.cases, 4)
    assert [query.id for case in kept for query in case.queries] == ["0/q0", "1/q1", "2/q2", "3/q4"]
    assert spread(data.cases, 100) == list(data.cases)


def passages() -> DataSet:
    docs = [
        Doc("p0", "It has two towers and a moat.", title="Castle Brind"),
        Doc("p1", "A river that freezes in winter.", title="Ona"),
        Doc("p2", "A painter of boats.", title="Ida Holm"),
    ]
    queries = [
        Query("1", "Where does the river Ona freeze?", "a", {"passage": frozenset(["p1"])}),
        Query("2", "What is Castle Brind?", "b", {"passage": frozenset(["p0"])}),
    ]
    return DataSet("nq", "Tiny", {"name": "tiny", "sha256": "0"}, [Case("c", docs, queries)], "passage", depths=(1, 3))


@pytest.mark.parametrize("system", ["anamnos", "bm25"])
def test_a_run_from_documents_to_json_and_rows(system: str, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    result = run_retrieval(passages(), HashingEmbedder(), system=system, rows=rows)
    scores = result["levels"]["passage"]
    assert list(scores) == ["all", "a", "b"]
    assert scores["all"]["hit@1"] == 1.0, "the title is searched too"
    assert scores["all"]["interval"]["hit@1"] == [1.0, 1.0]
    assert scores["a"]["interval"]["hit@1"] is None
    assert result["data"]["documents"] == 3
    assert result["sources_per_hit"] == 1
    assert result["search"]["p50_ms"] > 0
    assert ("embedding_p50_ms" in result["search"]) is (system == "anamnos")
    written = [json.loads(line) for line in rows.read_text("utf-8").splitlines()]
    assert [(row["query"], row["ranked"]["passage"][0]) for row in written] == [("1", "p1"), ("2", "p0")]
    with pytest.raises(InvalidInput, match="no system"):
        run_retrieval(passages(), HashingEmbedder(), system="x")


def test_hits_of_derived_cubes_count_for_what_they_were_made_from(tmp_path: Path) -> None:
    with Memory(tmp_path / "vault", embedder=HashingEmbedder()) as memory:
        system = MemorySystem(memory, tmp_path)
        system.remember(
            "c", [Doc("a", "A turn about geese.", "s", "Ann"), Doc("b", "Another about swans.", "s", "user")]
        )
        found = system.search("c", "geese", 2)
        assert found[0] == Found(("a",), "A turn about geese.")
        stored = memory.list(Scope(user="c"))
        assert [cube.provenance.actor for cube in stored] == ["Ann", "user"]
        hit = memory.search("geese", Scope(user="c"), top_k=1)[0]
        made_of = replace(
            hit.cube, provenance=replace(hit.cube.provenance, message_ids=(), derived_from=tuple(c.id for c in stored))
        )
        assert system._sources(replace(hit, cube=made_of), Scope(user="c")) == ("a", "b")


def test_bm25_against_a_score_worked_out_by_hand() -> None:
    bm25 = Bm25()
    bm25.remember("c", [Doc("a", "goose goose pond"), Doc("b", "pond"), Doc("c", "tree")])
    assert [hit.sources[0] for hit in bm25.search("c", "Goose?", 3)] == ["a", "b", "c"]
    assert [hit.sources[0] for hit in bm25.search("c", "pond", 2)] == ["b", "a"], "the shorter one first"
    bm25.remember("c", [Doc("d", "goose")])
    assert [hit.sources[0] for hit in bm25.search("c", "goose", 1)] == ["d"]
