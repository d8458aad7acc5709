"""Each data set's loader on a tiny file of its format, made up for this test, and each command from end to end."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from anamnos.bench.cases import DataSet
from anamnos.bench.sets import babi, kv, longmemeval, multihop, nq, personamem
from anamnos.cli.bench import bench
from anamnos.errors import InvalidInput

# --- LongMemEval


def item(number: int, **changes: Any) -> dict[str, Any]:
    def session(about: str, *, answer: str = "") -> list[dict[str, Any]]:
        turns: list[dict[str, Any]] = [
            {"role": "user", "content": f"Tell me about {about}."},
            {"role": "assistant", "content": f"There is much to say about {about}."},
        ]
        if answer:
            turns[0] |= {"content": f"My donkey is called {answer}.", "has_answer": True}
            turns[1] |= {"has_answer": False}
        return turns

    return {
        "question_id": f"q{number}",
        "question_type": "single-session-user",
        "question": "What is my donkey called?",
        "answer": "Pepper",
        "question_date": "2023/06/01 (Thu) 10:00",
        "haystack_session_ids": ["filler_1", f"answer_{number}", "filler_2"],
        "haystack_dates": ["2023/05/22 (Mon) 10:00", "2023/05/20 (Sat) 10:00", "2023/05/21 (Sun) 10:00"],
        "haystack_sessions": [session("tides"), session("bees", answer="Pepper"), session("kites")],
        "answer_session_ids": [f"answer_{number}"],
        **changes,
    }


def assistant_side() -> dict[str, Any]:
    made = item(2)
    for turn in made["haystack_sessions"][1]:
        turn["has_answer"] = turn["role"] == "assistant"
    return made


def lme(tmp_path: Path, items: list[dict[str, Any]], name: str = "longmemeval_tiny.json") -> Path:
    path = tmp_path / name
    raw = json.dumps(items).encode()
    path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return path


def test_longmemeval_official_and_all_turns(tmp_path: Path) -> None:
    several = item(4, questions=["Whose kite?", "What is my donkey called?"], answers=["", ""])
    several["answer_session_ids"] = [["filler_2"], ["answer_4"]]
    items = [item(1), assistant_side(), item(3, question_id="q3_abs"), several]
    path = lme(tmp_path, items, "longmemeval_tiny.json.gz")

    official = longmemeval.load(path)
    assert [case.id for case in official.cases] == ["q1", "q4"]
    assert official.excluded == {
        "questions about what was never said": 1,
        "questions whose evidence no user turn holds": 1,
    }
    first = official.cases[0]
    assert [doc.id for doc in first.docs] == ["answer_1/1", "filler_2/1", "filler_1/1"], "user turns in order of time"
    assert first.queries[0].gold == {"turn": {"answer_1/1"}, "session": {"answer_1"}}
    assert [(q.id, q.kind, q.gold["session"]) for q in official.cases[1].queries] == [
        ("q4/1", "third-party", {"filler_2"}),
        ("q4/2", "single-session-user", {"answer_4"}),
    ]
    everything = longmemeval.load(path, "all")
    assert [case.id for case in everything.cases] == ["q1", "q2", "q4"]
    assert len(everything.cases[0].docs) == 6
    assert everything.cases[1].queries[0].gold == {"turn": {"answer_2/2"}, "session": {"answer_2"}}
    sessions = longmemeval.load(path, "user-sessions")
    assert (sessions.unit, sessions.group) == ("session", None)
    assert sessions.cases[0].docs[0].text == "My donkey is called Pepper."


def test_longmemeval_texts_have_no_turns_to_score(tmp_path: Path) -> None:
    texts = item(1, haystack_texts=["one", "My donkey is Pepper.", "three"])
    del texts["haystack_sessions"]
    data = longmemeval.load(lme(tmp_path, [texts]))
    assert data.cases[0].queries[0].gold == {"turn": frozenset(), "session": {"answer_1"}}
    assert data.notes == ()
    cut_off = {**texts, "haystack_texts": ["one", "My donkey is", "three"]}
    assert longmemeval.load(lme(tmp_path, [cut_off])).notes[0].startswith("Of 1 questions the answer's words are not")


def test_an_oracle_file_is_searched_as_one(tmp_path: Path) -> None:
    items = []
    for number in (1, 2):
        made = item(number, question_date="2023/05/20 (Sat) 08:00")
        for name in ("haystack_session_ids", "haystack_dates", "haystack_sessions"):
            made[name] = made[name][1:2]
        items.append(made)
    data = longmemeval.load(lme(tmp_path, items))
    assert [(case.id, len(case.docs), len(case.queries)) for case in data.cases] == [("pooled", 2, 2)]
    assert data.notes[0].startswith("2 items are asked before the last session")


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ([], "must be a JSON list"),
        ([{"question_id": "x"}], "lacks 'question_type'"),
        ([item(1, question=None)], "has no question"),
        ([item(1, haystack_session_ids=[], haystack_sessions=[], haystack_dates=[])], "is empty"),
    ],
)
def test_a_damaged_longmemeval_file_is_named(tmp_path: Path, items: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        longmemeval.load(lme(tmp_path, items))


# --- passages

HOTPOT = [
    {
        "_id": "h1",
        "question": "In which country was the painter of The Boats born?",
        "type": "bridge",
        "supporting_facts": [["The Boats", 0], ["Ida Holm", 1], ["Ida Holm", 0]],
        "context": [["The Boats", ["By Ida Holm.", " Oil."]], ["Ida Holm", ["A painter.", " Born in Norway."]]],
    },
    {
        "_id": "h2",
        "question": "Are the rivers Ona and Selt in one country?",
        "type": "comparison",
        "supporting_facts": [["Ona", 0], ["Selt", 0]],
        "context": [["Ona", ["A river in Chile."]], ["Selt", ["A river in Mali."]]],
    },
]
HOTPOT_CORPUS = {title: sentences for one in HOTPOT for title, sentences in one["context"]} | {"Moss": ["A plant."]}
MUSIQUE = [
    {
        "id": "2hop__1_2",
        "question": "Who founded the town where Ida Holm died?",
        "paragraphs": [
            {"title": "Ida Holm", "paragraph_text": "She died in Vik.", "is_supporting": True},
            {"title": "Vik", "paragraph_text": "Founded by Olaf.", "is_supporting": True},
            {"title": "Vik", "paragraph_text": "Vik has a church.", "is_supporting": False},
        ],
    }
]
TWOWIKI = [
    {
        "id": "w1",
        "question": "Who directed the film The Goose?",
        "reasoning": "The Goose was directed by Ann Lee.",
        "paragraphs": [
            {"title": t, "text": f"About {t}."} for t in ("The Goose (1970 film)", "Ann Lee", "Y", "Z", "Qu")
        ],
    },
    {
        "id": "w2",
        "question": "Who is it?",
        "reasoning": "Nobody knows.",
        "paragraphs": [{"title": t, "text": f"About {t}."} for t in ("A1", "A2", "A3", "A4", "A5")],
    },
]
PATHS = [
    {
        "id": "p/1.json",
        "question": "Which drug acts on the gene?",
        "gold_docs": [0, 1],
        "paragraphs": [
            {"idx": 0, "title": "gene", "text": "It is blocked by a drug."},
            {"idx": 1, "title": "drug", "text": "Acts on a gene."},
            {"idx": 2, "title": "other", "text": "Nothing."},
        ],
    }
]


@pytest.fixture
def multihop_data(tmp_path: Path) -> Path:
    musique_corpus = [{"title": p["title"], "text": p["paragraph_text"]} for p in MUSIQUE[0]["paragraphs"]]  # type: ignore[index]
    files = {
        "hotpotqa_tiny.json": HOTPOT,
        "hotpotqa_tiny_corpus.json": HOTPOT_CORPUS,
        "musique_tiny.json": MUSIQUE,
        "musique_tiny_corpus.json": [*musique_corpus, {"title": "Ida Holm", "text": "She painted boats."}],
        "2wiki_tiny.json": TWOWIKI,
        "2wikimultihopqa_corpus.json": [{"title": "Ann Lee", "text": "About Ann Lee."}, {"title": "N", "text": "n"}],
        "path_finding_tiny.json": PATHS,
    }
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content), "utf-8")
    return tmp_path


def right(data: DataSet) -> list[set[str]]:
    """Return the titles and beginnings of the right passages of each query."""
    docs = {doc.id: f"{doc.title}: {doc.text}" for case in data.cases for doc in case.docs}
    return [{docs[name] for name in query.gold["passage"]} for case in data.cases for query in case.queries]


def test_passages_are_found_in_their_corpus(multihop_data: Path) -> None:
    hotpot = multihop.load_hotpotqa(multihop_data)
    assert right(hotpot) == [
        {"The Boats: By Ida Holm. Oil.", "Ida Holm: A painter. Born in Norway."},
        {"Ona: A river in Chile.", "Selt: A river in Mali."},
    ]
    assert len(hotpot.cases[0].docs) == 5
    musique = multihop.load_musique(multihop_data)
    assert right(musique) == [{"Ida Holm: She died in Vik.", "Vik: Founded by Olaf."}]
    assert [query.kind for query in musique.cases[0].queries] == ["2hop"]
    assert right(multihop.load_path_finding(multihop_data)) == [
        {"gene: It is blocked by a drug.", "drug: Acts on a gene."}
    ]


def test_of_2wiki_only_what_can_be_told_is_scored(multihop_data: Path) -> None:
    data = multihop.load_twowiki(multihop_data)
    assert right(data) == [{"The Goose (1970 film): About The Goose (1970 film).", "Ann Lee: About Ann Lee."}]
    assert data.excluded == {"questions whose right paragraphs cannot be told": 1}
    assert "not marked" in data.notes[0]
    assert len(data.cases[0].docs) == 2 + 9, "the corpus, and what the examples show besides"
    official = [{**HOTPOT[0], "_id": "x", "type": "compositional"}]
    (multihop_data / "2wiki_tiny.json").write_text(json.dumps(official), "utf-8")
    with pytest.raises(InvalidInput, match=r"2wiki_tiny_corpus\.json"):
        multihop.load_twowiki(multihop_data)


def test_a_passage_that_the_corpus_lacks_is_not_taken_for_another(multihop_data: Path) -> None:
    (multihop_data / "hotpotqa_tiny_corpus.json").write_text(json.dumps({"Moss": ["A plant."]}), "utf-8")
    gold = multihop.load_hotpotqa(multihop_data).cases[0].queries[0].gold["passage"]
    assert gold == {"missing: The Boats", "missing: Ida Holm"}


# --- the others


def nq_data(tmp_path: Path) -> Path:
    passage = {"title": "Ona", "text": "The Ona freezes in winter.", "isgold": True}
    lines = [
        {"question": "when does the ona freeze", "ctxs": [passage]},
        {"question": "which river freezes", "ctxs": [passage]},
        {"question": "who painted the boats", "ctxs": [{"title": "Boats", "text": "By Ida Holm.", "isgold": True}]},
    ]
    path = tmp_path / "nq_open_oracle.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, lines)).encode()))
    return path


def kv_data(tmp_path: Path) -> Path:
    pairs = [[f"key-{n}a{n}b", f"value-{n}"] for n in range(5)]
    path = tmp_path / "kv_retrieval_5_keys.jsonl"
    path.write_text(json.dumps({"ordered_kv_records": pairs, "key": "key-3a3b", "value": "value-3"}), "utf-8")
    return path


STORY = """1 Ann took the kite.
2 Ben went to the barn.
3 Where is Ben?\tbarn\t2
4 Ann went to the pond.
5 Where is the kite?\tpond\t1 4
1 Cora went to the mill.
2 Where is Cora?\tmill\t1
"""


def babi_data(tmp_path: Path) -> Path:
    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / "qa2_valid.txt").write_text(STORY, "utf-8")
    (folder / "qa2_test.txt").write_text(STORY, "utf-8")
    return folder


def personamem_data(tmp_path: Path) -> Path:
    folder = tmp_path / "personas"
    folder.mkdir()
    documents = [
        {
            "id": f"{who}_{n}",
            "content": f"[SYSTEM] Current user persona: {who}\n\n[USER] User: I like {thing}.\n"
            "[ASSISTANT] Assistant: Nice.",
            "user_id": who,
        }
        for who, thing in (("ann", "geese"), ("ben", "trams"))
        for n in range(2)
    ]
    queries = [
        {
            "id": "1",
            "query": "Do you know my birds? (a) no",
            "gold_ids": ["ann_0", "ann_1"],
            "user_id": "ann",
            "meta": {"question_type": "recall", "retrieval_query": "Which birds, geese?"},
        }
    ]
    (folder / "queries_32k.json").write_text(json.dumps(queries), "utf-8")
    (folder / "documents_32k.json.gz").write_bytes(gzip.compress(json.dumps(documents).encode()))
    return folder


def test_nq_has_each_passage_once(tmp_path: Path) -> None:
    data = nq.load(nq_data(tmp_path))
    assert len(data.cases[0].docs) == 2
    assert [sorted(query.gold["passage"]) for query in data.cases[0].queries] == [["p0"], ["p0"], ["p1"]]


def test_kv_answers_with_the_value(tmp_path: Path) -> None:
    data = kv.load(kv_data(tmp_path))
    query = data.cases[0].queries[0]
    assert (data.part, query.gold["pair"]) == ("5-pairs", {"key-3a3b"})
    assert kv.says_the_answer(query, ["key-3a3b: value-3"])
    assert not kv.says_the_answer(query, ["key-2a2b: value-2"])


def test_babi_asks_in_the_middle_of_the_story(tmp_path: Path) -> None:
    folder = babi_data(tmp_path)
    data = babi.load(folder)
    assert [len(case.docs) for case in data.cases] == [3, 1]
    assert [(q.text, q.after, sorted(q.gold["sentence"])) for q in data.cases[0].queries] == [
        ("Where is Ben?", 2, ["qa2-0/2"]),
        ("Where is the kite?", 3, ["qa2-0/1", "qa2-0/4"]),
    ]
    archive = tmp_path / "tasks.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        info = tarfile.TarInfo("bAbI/qa2_test.txt")
        info.size = len(STORY.encode())
        packed.addfile(info, io.BytesIO(STORY.encode()))
    assert babi.load(archive, "test").cases == data.cases
    with pytest.raises(InvalidInput, match="no qa<number>_valid"):
        babi.load(archive, "valid")
    (folder / "qa2_valid.txt").write_text("no number here\n", "utf-8")
    with pytest.raises(InvalidInput, match="line 1 of task 2"):
        babi.load(folder)


def test_personamem_is_searched_in_everybodys_chats(tmp_path: Path) -> None:
    data = personamem.load(personamem_data(tmp_path))
    docs = data.cases[0].docs
    assert [(doc.id, doc.speaker, doc.text) for doc in docs[:3]] == [
        ("ann_0/1", "system", "Current user persona: ann"),
        ("ann_0/2", "user", "I like geese."),
        ("ann_0/3", "assistant", "Nice."),
    ]
    query = data.cases[0].queries[0]
    assert (query.text, query.cluster, query.gold) == ("Which birds, geese?", "ann", {"chat": {"ann_0", "ann_1"}})


LOADERS: dict[str, Callable[[Path], DataSet]] = {
    "longmemeval": longmemeval.load,
    "hotpotqa": multihop.load_hotpotqa,
    "musique": multihop.load_musique,
    "twowiki": multihop.load_twowiki,
    "path-finding": multihop.load_path_finding,
    "nq": nq.load,
    "kv": kv.load,
    "babi": babi.load,
    "personamem": personamem.load,
}


@pytest.mark.parametrize("name", LOADERS)
def test_a_missing_file_is_named_with_where_to_get_it(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"There is no .*") as missing:
        LOADERS[name](tmp_path)
    assert str(tmp_path) in missing.value.message
    assert "https://" in missing.value.hint
    with pytest.raises(InvalidInput, match="nowhere"):
        LOADERS[name](tmp_path / "nowhere")


def test_a_corpus_that_is_missing_is_named(multihop_data: Path) -> None:
    (multihop_data / "hotpotqa_tiny_corpus.json").unlink()
    with pytest.raises(InvalidInput, match=r"hotpotqa_tiny_corpus\.json"):
        multihop.load_hotpotqa(multihop_data)


def test_a_broken_archive_is_named(tmp_path: Path) -> None:
    (tmp_path / "nq_open_oracle.jsonl.gz").write_bytes(b"not gzip")
    with pytest.raises(InvalidInput, match="cannot be read"):
        nq.load(tmp_path)
    (tmp_path / "tasks.tar.gz").write_bytes(b"no archive")
    with pytest.raises(InvalidInput, match="no archive"):
        babi.load(tmp_path / "tasks.tar.gz")


# --- from the command line


@pytest.fixture
def every_data(tmp_path: Path, multihop_data: Path) -> dict[str, Path]:
    return {
        "longmemeval": lme(tmp_path, [item(1), item(2)]),
        "hotpotqa": multihop_data,
        "musique": multihop_data / "musique_tiny.json",
        "twowiki": multihop_data,
        "path-finding": multihop_data,
        "nq": nq_data(tmp_path),
        "kv": kv_data(tmp_path),
        "babi": babi_data(tmp_path),
        "personamem": personamem_data(tmp_path),
    }


@pytest.mark.parametrize("name", LOADERS)
def test_each_command_measures_writes_its_section_and_draws(
    name: str, every_data: dict[str, Path], tmp_path: Path
) -> None:
    page, rows, plot = tmp_path / "page.md", tmp_path / "rows.jsonl", tmp_path / "recall.svg"
    outputs = ["--report", str(page), "--rows", str(rows), "--plot", str(plot), "--json"]
    options = ["--data", str(every_data[name]), "--embedder", "hashing", *outputs]
    done = CliRunner().invoke(bench, [name, *options])
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert result["benchmark"] == name
    level = list(result["levels"])[-1]
    scored = result["levels"][level]["all"]
    deepest = max(name for name in scored if name.startswith("recall_frac@"))
    assert scored[deepest] > 0
    assert len(rows.read_text("utf-8").splitlines()) == result["data"]["questions"] == scored["n"]
    text = page.read_text("utf-8")
    assert f"<!-- bench:{name}-" in text
    assert result["data"]["sha256"][:16] in text
    assert str(tmp_path) not in text
    assert plot.read_text("utf-8").startswith("<svg")


def test_limit_asks_fewer_and_says_so(every_data: dict[str, Path], tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    options = ["--embedder", "hashing", "--limit", "1", "--report", str(page)]
    done = CliRunner().invoke(bench, ["hotpotqa", "--data", str(every_data["hotpotqa"]), *options])
    assert done.exit_code == 0, done.output
    assert "Only 1 questions were asked" in page.read_text("utf-8")


def test_two_runs_are_compared_question_by_question(every_data: dict[str, Path], tmp_path: Path) -> None:
    files = []
    for system in ("anamnos", "bm25"):
        files.append(str(tmp_path / f"{system}.jsonl"))
        options = ["--embedder", "hashing", "--system", system, "--rows", files[-1]]
        done = CliRunner().invoke(bench, ["hotpotqa", "--data", str(every_data["hotpotqa"]), *options])
        assert done.exit_code == 0, done.output
    page = tmp_path / "page.md"
    done = CliRunner().invoke(bench, ["versus", *files, "--json", "--report", str(page)])
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert (result["shared"], result["only_in_one"]) == (2, 0)
    by_name = {row["metric"]: row for row in result["table"]}
    assert by_name["recall_all@5"]["test"] == "McNemar"
    assert by_name["recall_all@5"]["difference"] == 0
    assert all(row["p_corrected"] >= row["p"] for row in result["table"])
    assert "bench:versus-anamnos-bm25" in page.read_text("utf-8")
    done = CliRunner().invoke(bench, ["versus", *files, "--metric", "nothing@3"])
    assert isinstance(done.exception, InvalidInput)
