"""Questions whose answer takes several Wikipedia passages: HotpotQA, MuSiQue, 2WikiMultihopQA, and path finding.

One corpus for all questions, as HippoRAG is measured on (arXiv:2502.14802), of passages with their titles. Sources:
arXiv:1809.09600 (HotpotQA), arXiv:2108.00573 (MuSiQue), arXiv:2011.01060 (2Wiki), arXiv:2405.14831 (path finding).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from anamnos.bench.cases import Case, DataSet, Doc, Query
from anamnos.bench.sets.files import about, beside, data_file, read_json_data, records
from anamnos.errors import InvalidInput

ORIGIN = "https://github.com/OSU-NLP-Group/HippoRAG"
_IN_BRACKETS = re.compile(r"\s*\([^)]*\)\Z")
_DISTRACTORS = 3  # in 2Wiki's worked examples


def load_hotpotqa(data: Path) -> DataSet:
    """Return HotpotQA. ``data``: its questions, with the corpus beside them (<name>_corpus.json), or their folder."""
    path = data_file(data, "hotpotqa*.json", ORIGIN)
    corpus = beside(path, "_corpus.json", ORIGIN)
    passages = _Passages(_corpus(corpus))
    queries = [
        Query(str(item["_id"]), str(item["question"]), str(item.get("type", "bridge")), passages.gold(_supported(item)))
        for item in records(read_json_data(path), ("_id", "question", "supporting_facts", "context"), str(path))
    ]
    return _data_set("hotpotqa", "HotpotQA", (path, corpus), [Case("corpus", passages.docs, queries)])


def load_musique(data: Path) -> DataSet:
    """Return MuSiQue, by number of hops. ``data``: as for HotpotQA."""
    path = data_file(data, "musique*.json", ORIGIN)
    corpus = beside(path, "_corpus.json", ORIGIN)
    passages = _Passages(_corpus(corpus))
    queries = []
    for item in records(read_json_data(path), ("id", "question", "paragraphs"), str(path)):
        right = [(p["title"], p["paragraph_text"]) for p in item["paragraphs"] if p["is_supporting"]]
        queries.append(Query(str(item["id"]), str(item["question"]), str(item["id"])[:4], passages.gold(right)))
    return _data_set("musique", "MuSiQue", (path, corpus), [Case("corpus", passages.docs, queries)])


def load_twowiki(data: Path) -> DataSet:
    """Return 2WikiMultihopQA. ``data``: as for HotpotQA, or HippoRAG's worked examples beside the full corpus.

    The worked examples do not mark which of their paragraphs are right. All but three are, and the reasoning names
    them; a question is scored where the titles named are just so many, and counted as left out elsewhere.
    """
    path = data_file(data, "2wiki*.json", ORIGIN)
    items = records(read_json_data(path), ("question",), str(path))
    if "supporting_facts" in items[0]:
        corpus = beside(path, "_corpus.json", ORIGIN)
        passages = _Passages(_corpus(corpus))
        queries = [
            Query(str(item["_id"]), str(item["question"]), str(item["type"]), passages.gold(_supported(item)))
            for item in items
        ]
        return _data_set("twowiki", "2WikiMultihopQA", (path, corpus), [Case("corpus", passages.docs, queries)])
    items = records(items, ("id", "question", "reasoning", "paragraphs"), str(path))
    corpus = data_file(path.parent, "2wikimultihopqa_corpus.json*", ORIGIN, corpus=True)
    shown = ((p["title"], p["text"]) for item in items for p in item["paragraphs"])
    passages = _Passages([*_corpus(corpus), *shown])
    queries, unmarked = [], 0
    for item in items:
        named = _named(item)
        if len(named) == len(item["paragraphs"]) - _DISTRACTORS:
            queries.append(Query(str(item["id"]), str(item["question"]), "all", passages.gold(named)))
        else:
            unmarked += 1
    note = (
        "Which paragraphs are right is not marked in the worked examples: they are those that question or reasoning"
        " name, and a question counts only where these are as many as there must be."
    )
    excluded = {"questions whose right paragraphs cannot be told": unmarked}
    cases = [Case("corpus", passages.docs, queries)]
    return _data_set("twowiki", "2WikiMultihopQA, worked examples", (path, corpus), cases, (note,), excluded)


def load_path_finding(data: Path) -> DataSet:
    """Return HippoRAG's questions whose two clues no passage links; each has passages of its own."""
    path = data_file(data, "path_finding*.json", ORIGIN)
    cases = []
    for item in records(read_json_data(path), ("id", "question", "paragraphs", "gold_docs"), str(path)):
        passages = _Passages([(p["title"], p["text"]) for p in item["paragraphs"]])
        right = [(p["title"], p["text"]) for p in item["paragraphs"] if p["idx"] in item["gold_docs"]]
        name = str(item["id"])
        cases.append(Case(name, passages.docs, [Query(name, str(item["question"]), "all", passages.gold(right))]))
    return _data_set("path-finding", "HippoRAG's path finding", (path,), cases)


def _data_set(
    name: str,
    title: str,
    paths: Sequence[Path],
    cases: Sequence[Case],
    notes: tuple[str, ...] = (),
    excluded: Mapping[str, int] | None = None,
) -> DataSet:
    part = paths[0].name.split(".")[0]
    data = about(*paths)
    return DataSet(name, title, data, cases, "passage", part=part, notes=notes, excluded=excluded or {})


class _Passages:
    """A corpus of (title, text), each once, and where its passages are."""

    def __init__(self, passages: Iterable[tuple[str, str]]) -> None:
        self.docs: list[Doc] = []
        self._ids: dict[tuple[str, str], str] = {}
        self._titles: dict[str, list[str]] = {}
        for title, text in passages:
            key = (title, _squashed(text))
            if key in self._ids or not text.strip():
                continue
            self._ids[key] = f"p{len(self.docs)}"
            self._titles.setdefault(title, []).append(self._ids[key])
            self.docs.append(Doc(self._ids[key], text, title=title))

    def gold(self, passages: Iterable[tuple[str, str]]) -> dict[str, frozenset[str]]:
        """Return the ids of the right passages; one that the corpus does not have gets an id that no passage has."""
        return {"passage": frozenset(self._id(title, text) for title, text in passages)}

    def _id(self, title: str, text: str) -> str:
        found = self._ids.get((title, _squashed(text)))
        same_title = self._titles.get(title, [])
        return found or (same_title[0] if len(same_title) == 1 else f"missing: {title}")


def _squashed(text: str) -> str:
    return "".join(text.split())


def _corpus(path: Path) -> list[tuple[str, str]]:
    """Return (title, text) of a corpus: a list of {title, text}, or {title: [sentence]}."""
    data = read_json_data(path)
    if isinstance(data, Mapping):
        return [(str(title), _joined(sentences, str(path))) for title, sentences in data.items()]
    return [(str(p["title"]), str(p["text"])) for p in records(data, ("title", "text"), str(path))]


def _joined(sentences: Any, where: str) -> str:
    if not isinstance(sentences, list) or not all(isinstance(sentence, str) for sentence in sentences):
        raise InvalidInput(f"A passage of {where} must be a list of sentences.")
    return "".join(sentences)


def _supported(item: Mapping[str, Any]) -> list[tuple[str, str]]:
    texts = {title: "".join(sentences) for title, sentences in item["context"]}
    return [(title, texts.get(title, "")) for title in dict.fromkeys(title for title, _ in item["supporting_facts"])]


def _named(item: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the paragraphs whose title, less what stands in brackets, question or reasoning name."""
    words = f"{item['question']} {item['reasoning']}".casefold()
    titles = {p["title"]: re.escape(_IN_BRACKETS.sub("", p["title"]).casefold()) for p in item["paragraphs"]}
    named = {title for title, pattern in titles.items() if re.search(rf"(?<!\w){pattern}(?!\w)", words)}
    return [(p["title"], p["text"]) for p in item["paragraphs"] if p["title"] in named]
