"""PersonaMem: questions about a user whose tastes change over many chats. Source: arXiv:2504.14225.

As released for the agent memory benchmark: documents are chats, and all chats of a user's history are right for each
of their questions. In a scope of its own every hit would be right, so all histories share one scope here: what is
scored is whether search finds the right person's chats among everybody's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from anamnos.bench.cases import Case, DataSet, Doc, Query
from anamnos.bench.sets.files import about, data_file, read_json_data, records
from anamnos.errors import InvalidInput

ORIGIN = "https://github.com/vectorize-io/agent-memory-benchmark (data/personamem); its licence is not stated there"
_TAG = re.compile(r"^\[(SYSTEM|USER|ASSISTANT)\] (?:(?:User|Assistant): )?", re.MULTILINE)


def load(data: Path) -> DataSet:
    """Return the questions over the messages of all chats. ``data``: the folder of queries and documents."""
    if data.is_file():
        raise InvalidInput(f"{data} is a file.", hint="Name the folder that holds queries_32k and documents_32k.")
    asked, written = (data_file(data, f"{name}_*.json*", ORIGIN) for name in ("queries", "documents"))
    chats = records(read_json_data(written), ("id", "content"), str(written))
    docs = [doc for chat in chats for doc in _messages(chat, str(written))]
    queries = []
    for item in records(read_json_data(asked), ("id", "query", "gold_ids", "user_id", "meta"), str(asked)):
        meta = item["meta"]
        text = str(meta.get("retrieval_query") or item["query"])
        gold = {"chat": frozenset(map(str, item["gold_ids"]))}
        kind = str(meta.get("question_type", "all"))
        queries.append(Query(str(item["id"]), text, kind, gold, cluster=str(item["user_id"])))
    return DataSet(
        name="personamem",
        title="PersonaMem, chats of the right person",
        data=about(asked, written),
        cases=[Case("everybody", docs, queries)],
        unit="message",
        group="chat",
        part=asked.name.split(".")[0].removeprefix("queries_"),
        depths=(1, 3, 5, 10, 20),
        headline=("recall_any@1", "recall_any@5", "recall_frac@5", "recall_frac@10", "mrr", "ndcg@10"),
        notes=(
            "All histories are in one scope; all chats of the asker's history are right, so this tells whether search"
            " finds the right person, not the right message.",
        ),
    )


def _messages(chat: Mapping[str, Any], where: str) -> Iterator[Doc]:
    """Yield the messages of a chat, which is one text with a tag before each of them."""
    name, text = str(chat["id"]), str(chat["content"])
    tags = list(_TAG.finditer(text))
    if not tags:
        raise InvalidInput(f"Document {name!r} of {where} has no [USER] or [ASSISTANT] messages.")
    ends = [tag.start() for tag in tags[1:]] + [len(text)]
    for number, (tag, end) in enumerate(zip(tags, ends, strict=True), start=1):
        if words := text[tag.end() : end].strip():
            yield Doc(f"{name}/{number}", words, name, tag[1].lower())
