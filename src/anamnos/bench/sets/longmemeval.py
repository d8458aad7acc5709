"""LongMemEval: questions about long histories of chat sessions. Source: arXiv:2410.10813 and its released code.

The official retrieval takes the user's turns only, a session being right if one of them holds the answer; questions
about what was never said are left out. Its Recall@k is ``recall_all@k`` and its ndcg ``ndcg_lme``; most figures
published elsewhere are ``recall_any@k``. Figures of different variants must not stand in one column.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from anamnos.bench.cases import Case, DataSet, Doc, Query
from anamnos.bench.sets.files import about, data_file, read_json_data, records
from anamnos.errors import InvalidInput
from anamnos.ingest.readers.base import Turn
from anamnos.ingest.readers.longmemeval import question_time, read_item

ORIGIN = "https://github.com/xiaowu0162/LongMemEval"
VARIANTS = ("user", "all", "user-sessions")
_FIELDS = ("question_id", "question_type", "haystack_session_ids", "answer_session_ids")


def load(data: Path, variant: str = "user") -> DataSet:
    """Return LongMemEval as cases: each question's haystack in a scope of its own.

    data     a file of the official format (S, M, oracle), or one whose items have ``questions``, or texts for sessions
    variant  user: one memory per user turn; all: also of the assistant; user-sessions: one per session
    A file of which every session is evidence (oracle) says nothing by itself: its haystacks are put into one.
    Raises: InvalidInput.
    """
    if variant not in VARIANTS:
        raise InvalidInput(f"There is no variant {variant!r}.", hint=f"Variants: {', '.join(VARIANTS)}.")
    path = data_file(data, "longmemeval*.json*", ORIGIN)
    items = records(read_json_data(path), _FIELDS, str(path))
    cases, excluded = item_cases(items, str(path), variant)
    notes = []
    if late := sum(_is_early(item, str(path)) for item in items):
        notes.append(f"{late} items are asked before the last session of their haystack; they are kept.")
    if all(
        {*map(str, item["haystack_session_ids"])} == {*map(str, item["answer_session_ids"])}
        for item in _answerable(items)
    ):
        cases = [_pool(cases)]
        notes.append("Every session here is evidence, so all haystacks are put into one and searched together.")
    if cut := sum(_is_cut_off(item) for item in items if "haystack_texts" in item):
        notes.append(f"Of {cut} questions the answer's words are not in the evidence as this file gives it.")
    by_turn = variant != "user-sessions"
    return DataSet(
        name="longmemeval",
        title=f"LongMemEval, variant {variant}",
        part=f"{path.name.split('.')[0]}-{variant}",
        data=about(path),
        cases=cases,
        unit="turn" if by_turn else "session",
        group="session" if by_turn else None,
        depths=(1, 3, 5, 10, 30, 50),
        headline=("recall_any@5", "recall_all@5", "recall_any@10", "recall_all@10", "ndcg@10", "ndcg_lme@10"),
        official=True,
        notes=tuple(notes),
        excluded=excluded,
    )


def item_cases(items: Sequence[Mapping[str, Any]], where: str, variant: str) -> tuple[list[Case], dict[str, int]]:
    """Return the cases of items with questions that can be scored, and how many others were left out, and why."""
    cases = []
    unsaid, unheld = "questions about what was never said", "questions whose evidence no user turn holds"
    excluded = {unsaid: 0, unheld: 0}
    for item in items:
        place = f"item {item['question_id']} of {where}"
        turns = [turn for turn in read_item(item, where=place) if turn.content.strip()]
        if not turns:
            raise InvalidInput(f"The haystack of {place} is empty.")
        turns.sort(key=lambda turn: (turn.said_at is not None, turn.said_at))  # stable: turns stay in their order
        asked_at = question_time(item, where=place)
        queries = []
        for query_id, text, kind, evidence in _questions(item, place):
            if _never_said(query_id, kind, evidence):
                excluded[unsaid] += 1
                continue
            gold = _gold(turns, evidence, variant)
            if gold["session"]:
                queries.append(Query(query_id, text, kind, gold, asked_at=asked_at))
            else:
                excluded[unheld] += 1
        kept = [turn for turn in turns if variant == "all" or turn.speaker == "user"]
        docs = list(_sessions(kept)) if variant == "user-sessions" else [_doc(turn) for turn in kept]
        if queries:
            cases.append(Case(str(item["question_id"]), docs, queries))
    return cases, excluded


def _never_said(query_id: str, kind: str, evidence: Sequence[str]) -> bool:
    return query_id.partition("/")[0].endswith("_abs") or kind == "abstention" or not evidence


def _answerable(items: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [
        item
        for item in items
        if "questions" in item
        or not _never_said(str(item["question_id"]), str(item["question_type"]), item["answer_session_ids"])
    ]


def _is_early(item: Mapping[str, Any], where: str) -> bool:
    """Return whether the item is asked before the last session of its haystack."""
    asked_at = question_time(item, where=where)
    return asked_at is not None and any(turn.said_at and asked_at < turn.said_at for turn in read_item(item))


def _questions(item: Mapping[str, Any], where: str) -> Iterator[tuple[str, str, str, list[str]]]:
    """Yield (id, text, kind, evidence sessions). An item may have several; those about sessions that LongMemEval did
    not mean as evidence are others' own, and are a kind of their own."""
    name, kind = str(item["question_id"]), str(item["question_type"])
    if "questions" not in item:
        if not isinstance(item.get("question"), str):
            raise InvalidInput(f"{where} has no question.")
        yield name, item["question"], kind, [str(session) for session in item["answer_session_ids"]]
        return
    pairs = zip(item["questions"], item["answer_session_ids"], strict=True)
    for number, (text, evidence) in enumerate(pairs, start=1):
        official = any(str(session).startswith("answer") for session in evidence)
        yield f"{name}/{number}", str(text), kind if official else "third-party", [str(s) for s in evidence]


def _gold(turns: Sequence[Turn], evidence: Sequence[str], variant: str) -> dict[str, frozenset[str]]:
    """Return the right turns and sessions. Where the evidence's turns are marked, the official rule holds: of the
    user's turns only those marked are right, and sessions without one are not."""
    there = [turn for turn in turns if turn.session in evidence]
    marked = [turn for turn in there if turn.data.get("has_answer")]
    if variant != "all":
        marked = [turn for turn in marked if turn.speaker == "user"]
    sessions = {str(turn.session) for turn in there}
    if variant != "all" and any("has_answer" in turn.data for turn in there):
        sessions = {str(turn.session) for turn in marked}
    return {"turn": frozenset(str(turn.message_id) for turn in marked), "session": frozenset(sessions)}


def _doc(turn: Turn) -> Doc:
    return Doc(str(turn.message_id), turn.content, turn.session, turn.speaker, turn.said_at)


def _sessions(turns: Sequence[Turn]) -> Iterator[Doc]:
    for session, its in groupby(turns, key=lambda turn: str(turn.session)):
        said = list(its)
        yield Doc(session, " ".join(turn.content for turn in said), session, "user", said[0].said_at)


def _is_cut_off(item: Mapping[str, Any]) -> bool:
    """Return whether the answer is nowhere in the evidence: some files give but the beginning of each session."""
    answer = str(item.get("answer", "")).casefold()
    said = zip(item["haystack_session_ids"], item["haystack_texts"], strict=True)
    return not any(answer in str(text).casefold() for session, text in said if session in item["answer_session_ids"])


def _pool(cases: Sequence[Case]) -> Case:
    docs = {doc.id: doc for case in cases for doc in case.docs}
    return Case("pooled", list(docs.values()), [query for case in cases for query in case.queries])
