"""Natural Questions, open: real questions, each with the Wikipedia passage that answers it. Source: arXiv:1906.00300.

As released with "Lost in the Middle" (arXiv:2307.03172): the gold passages of all questions together are the corpus,
which is far smaller than Wikipedia, so figures here are no match for those over all of it.
"""

from __future__ import annotations

from pathlib import Path

from anamnos.bench.cases import Case, DataSet, Doc, Query
from anamnos.bench.sets.files import about, data_file, read_jsonl_data, records

ORIGIN = "https://github.com/nelson-liu/lost-in-the-middle (qa_data/nq-open-oracle.jsonl.gz)"


def load(data: Path) -> DataSet:
    """Return the questions over all gold passages."""
    path = data_file(data, "nq*open*oracle.jsonl*", ORIGIN)
    ids: dict[tuple[str, str], str] = {}
    docs: list[Doc] = []
    queries = []
    for number, item in enumerate(records(read_jsonl_data(path), ("question", "ctxs"), str(path)), start=1):
        right = set()
        for passage in records(item["ctxs"], ("title", "text"), f"question {number} of {path}"):
            key = (str(passage["title"]), str(passage["text"]))
            if key not in ids:
                ids[key] = f"p{len(docs)}"
                docs.append(Doc(ids[key], key[1], title=key[0]))
            if passage.get("isgold"):
                right.add(ids[key])
        queries.append(Query(f"q{number}", str(item["question"]), "all", {"passage": frozenset(right)}))
    note = "The corpus is the gold passages of all questions, not Wikipedia."
    cases = [Case("corpus", docs, queries)]
    headline = ("hit@1", "recall_any@5", "recall_any@10", "recall_any@20", "mrr", "ndcg@10")
    return DataSet("nq", "NQ-open", about(path), cases, "passage", headline=headline, notes=(note,))
