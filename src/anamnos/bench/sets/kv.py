"""Look-ups of random keys: which of many pairs of UUIDs has this key? Source: arXiv:2307.03172.

Nothing here means anything, so it is the words' channel alone that can find the pair.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from anamnos.bench.cases import Case, DataSet, Doc, Query
from anamnos.bench.sets.files import about, data_file, read_jsonl_data, records
from anamnos.errors import InvalidInput

ORIGIN = "https://github.com/nelson-liu/lost-in-the-middle (kv_retrieval_data)"


def load(data: Path) -> DataSet:
    """Return the look-ups: each record's pairs in a scope of their own, a memory a pair."""
    path = data_file(data, "kv*retrieval*keys.jsonl*", ORIGIN)
    cases = []
    for number, item in enumerate(records(read_jsonl_data(path), ("ordered_kv_records", "key", "value"), str(path)), 1):
        pairs = [(str(key), str(value)) for key, value in item["ordered_kv_records"]]
        if len(dict(pairs)) < len(pairs):
            raise InvalidInput(f"A key comes twice in record {number} of {path}.")
        docs = [Doc(key, f"{key}: {value}") for key, value in pairs]
        gold = {"pair": frozenset([str(item["key"])])}
        query = Query(f"{number}", str(item["key"]), "all", gold, answer=str(item["value"]))
        cases.append(Case(f"record-{number}", docs, [query]))
    size = f"{len(cases[0].docs)}-pairs"
    headline = ("hit@1", "recall_any@5", "mrr", "answered@10")
    title = f"Key-value look-ups, {len(cases[0].docs)} pairs"
    return DataSet("kv", title, about(path), cases, "pair", part=size, headline=headline, reader=says_the_answer)


def says_the_answer(query: Query, texts: Sequence[str]) -> bool:
    """Return whether the answer's words stand in one of the texts found."""
    return any(query.answer in text for text in texts)
