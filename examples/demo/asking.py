"""The questions of the walk in run.py, and what its parts share: the report, the conversation, a stopwatch."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.padding import Padding
from rich.rule import Rule
from rich.text import Text

from anamnos import Hit, MemCube, Memory, PackedContext, Scope
from anamnos.cli.render import console, hit_table, safe, when

HERE = Path(__file__).parent
CONVERSATION, QUESTIONS = HERE / "conversation.json", HERE / "questions.json"
SCOPE = Scope(user="demo")
DEPTH = 10  # places of a ranking that are looked at
_EXPLAINED = ("lookup", "temporal", "multi-session")  # kinds of which the first is shown in full


@dataclass
class Report:
    """What the walk has shown so far.

    promises  what was promised, and whether it held
    figures   what was measured, for the table at the end
    """

    out: Console = field(default_factory=console)
    promises: list[tuple[str, bool]] = field(default_factory=list)
    figures: list[tuple[str, str]] = field(default_factory=list)

    def promise(self, what: str, held: bool) -> None:
        self.promises.append((what, held))
        self.say(what, style="green" if held else "bold red", mark=mark(held))

    def say(self, words: str, *, style: str = "", mark: str = " ") -> None:
        self.out.print(Text(f"{mark} {safe(words)}", style=style))

    def chapter(self, title: str) -> None:
        self.out.print()
        self.out.print(Rule(Text(title, style="bold"), align="left"))


@dataclass(frozen=True)
class Answered:
    """One question and what was found. ``ranks``: places of the true evidence, from 1; those not found are left out."""

    question: dict[str, Any]
    found: PackedContext
    ranks: list[int]
    seconds: float

    def recall(self, depth: int) -> float:
        return sum(rank <= depth for rank in self.ranks) / len(self.question["evidence"])


def mark(good: bool) -> str:
    return "✓" if good else "✗"


def questions(report: Report, memory: Memory) -> None:
    report.chapter("3. Twenty-five questions")
    answered, to_explain = [], set(_EXPLAINED)
    for question in all_questions():
        one = ask(memory, question)
        answered.append(one)
        show(report, one)
        if question["kind"] in to_explain:
            to_explain.discard(question["kind"])
            explain(report, one)
    judged = [one for one in answered if one.question["evidence"]]
    times = sorted(one.seconds for one in answered)
    report.figures += [
        ("questions with an answer", f"{len(judged)} of {len(answered)}"),
        ("hit@1", f"{sum(1 in one.ranks for one in judged) / len(judged):.2f}"),
        ("recall@5", f"{sum(one.recall(5) for one in judged) / len(judged):.2f}"),
        ("recall@10", f"{sum(one.recall(10) for one in judged) / len(judged):.2f}"),
        ("time per question", f"{1000 * times[len(times) // 2]:.1f} ms (median, with the context)"),
    ]


def ask(memory: Memory, question: dict[str, Any]) -> Answered:
    with stopwatch() as seconds:
        found = memory.answer_context(question["question"], SCOPE, token_budget=300)
    ranks = [rank for rank, hit in enumerate(found.hits[:DEPTH], 1) if message_id(hit.cube) in question["evidence"]]
    return Answered(question, found, ranks, seconds[0])


def show(report: Report, one: Answered) -> None:
    """Print a question, the best evidence, and whether a message that holds the answer was found."""
    evidence, good = one.question["evidence"], bool(one.ranks) and one.ranks[0] <= 5
    sign, style = (mark(good), "bold green" if good else "bold red") if evidence else ("·", "dim")
    place = f"rank {', '.join(map(str, one.ranks))}" if one.ranks else f"not in the first {DEPTH}"
    verdict = place if evidence else "the conversation does not say"
    report.out.print()
    report.out.print(Text(f"{sign} ", style=style) + Text(one.question["question"]) + Text(f"  {verdict}", style="dim"))
    said_by = next((hit.cube for hit in one.found.hits if one.found.evidence in hit.cube.text), None)
    origin = f"{when(said_by.time.created_at)}  {said_by.provenance.actor}: " if said_by else ""
    report.out.print(Padding(Text(origin, style="cyan") + Text(one.found.evidence), (0, 0, 0, 2)))


def explain(report: Report, one: Answered) -> None:
    """Print why the best were found, and the context as a model would get it."""
    hits: tuple[Hit, ...] = one.found.hits[:3]
    heading = Text(f"What a prompt would get, {one.found.tokens} tokens:", style="dim")
    why = Text("Why these were found:", style="dim")
    block = Group(Text(), why, hit_table(hits, why=True), heading, Text(safe(one.found.text), style="dim"))
    report.out.print(Padding(block, (0, 0, 0, 2)))


def all_questions() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(QUESTIONS.read_text("utf-8"))
    return found


def messages() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(CONVERSATION.read_text("utf-8"))["messages"]
    return found


def by_message(memory: Memory) -> dict[str, MemCube]:
    cubes = memory.list(SCOPE, limit=None)
    return {name: cube for cube in cubes if (name := message_id(cube)) is not None}


def message_id(cube: MemCube) -> str | None:
    return cube.provenance.message_ids[0] if cube.provenance.message_ids else None


@contextmanager
def stopwatch() -> Iterator[list[float]]:
    """Lend a list that holds the seconds once the block is over."""
    out: list[float] = []
    start = time.perf_counter()
    yield out
    out.append(time.perf_counter() - start)
