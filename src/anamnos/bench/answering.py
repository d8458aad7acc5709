"""Answers in words to the questions of a conversation: are they right, and does it say so where there is no answer?

Questions that the conversation does not answer (LoCoMo's category 5) are right if the answer is "not in memory"; all
others are wrong if it is. Judged by rules (J_rule), not by a reader.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from anamnos.bench.answers import ADVERSARIAL, Judge, bleu_1, judge_by_rule, locomo_f1, rouge_l, token_f1
from anamnos.bench.dialogues import Conversation
from anamnos.bench.locomo import split
from anamnos.bench.surroundings import sha256, surroundings
from anamnos.bench.timing import Durations, Progress, quiet
from anamnos.embed.base import Embedder
from anamnos.ingest.readers.dialogue import Question
from anamnos.memory import Memory
from anamnos.recall.answer.base import Answer


@dataclass(frozen=True)
class Scored:
    """One question, its answer, and what the metrics say of it."""

    talk: str
    question: Question
    answer: Answer
    metrics: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        return {
            "id": self.question.id,
            "category": self.question.category,
            "question": self.question.text,
            "gold": self.question.answer,
            "answer": self.answer.text,
            "kind": self.answer.kind,
            "confidence": round(self.answer.confidence, 4),
            "not_in_memory": self.answer.not_in_memory,
            **{name: round(value, 4) for name, value in self.metrics.items()},
        }


def run_answers(
    data: Path,
    embedder: Embedder,
    *,
    skip: int = 0,
    judge: Judge = judge_by_rule,
    progress: Progress = quiet,
) -> dict[str, Any]:
    """Return the JSON of the benchmark: means per category under ``answers``, every question under ``questions``.

    data  a LoCoMo file, of either release
    skip  so many conversations at its beginning are left out
    Raises: InvalidInput if the file is not LoCoMo.
    """
    around = surroundings()
    with tempfile.TemporaryDirectory(prefix="anamnos-bench-") as folder:
        talks = split(data, Path(folder))[skip:]
        with Memory(Path(folder) / "vault", embedder=embedder) as memory:
            for talk in talks:
                memory.ingest(talk.path, talk.scope)
            took = Durations()
            scored = ask_all(memory, talks, judge=judge, took=took, progress=progress)
            recipe = memory.settings.recipe
    return {
        "benchmark": "answers",
        **around,
        "seconds": round(sum(took.seconds), 1),
        "part": f"from{skip + 1}" if skip else "",
        "data": {"name": data.name, "sha256": sha256(data), "conversations": [talk.id for talk in talks]},
        "embedder": {"id": embedder.id, "dim": embedder.dim},
        "recipe": recipe,
        "judge": "J_rule" if judge is judge_by_rule else "J",
        "answers": by_category(scored),
        "ask": {"n": len(took.seconds), **took.summary()},
        "questions": [one.to_dict() for one in scored],
    }


def ask_all(
    memory: Memory,
    talks: Sequence[Conversation],
    *,
    judge: Judge = judge_by_rule,
    took: Durations | None = None,
    progress: Progress = quiet,
    ask: Callable[[str, Conversation], Answer] | None = None,
) -> list[Scored]:
    """Return the scored answers to all questions that have a right answer or must be refused."""
    answer_of = ask or (lambda text, talk: memory.ask(text, talk.scope))
    durations = took or Durations()
    asked = [(talk, question) for talk in talks for question in talk.questions]
    scored = []
    for done, (talk, question) in enumerate(asked, start=1):
        progress("asking", done, len(asked))
        if not question.answer and question.category != ADVERSARIAL:
            continue
        answer = durations.time(lambda t=talk, q=question: answer_of(q.text, t))  # type: ignore[misc]
        scored.append(Scored(talk.id, question, answer, score(question, answer, judge)))
    return scored


def score(question: Question, answer: Answer, judge: Judge = judge_by_rule) -> dict[str, float]:
    """Return the metrics of one answer: locomo_f1, token_f1, bleu_1, rouge_l, j, refused, and cited (whether one of the
    memories that it cites holds the answer)."""
    cited = {
        message.rpartition("/")[2] for cube in answer.citations.values() for message in cube.provenance.message_ids
    }
    found = {
        "refused": float(answer.not_in_memory),
        "cited": float(bool(cited & set(question.evidence))),
    }
    if question.category == ADVERSARIAL:
        right = float(answer.not_in_memory)
        return found | dict.fromkeys(("locomo_f1", "token_f1", "bleu_1", "rouge_l", "j"), right)
    text, gold = ("" if answer.not_in_memory else answer.text), question.answer
    return found | {
        "locomo_f1": locomo_f1(text, gold, question.category),
        "token_f1": token_f1(text, gold),
        "bleu_1": bleu_1(text, gold),
        "rouge_l": rouge_l(text, gold),
        "j": float(judge(question.text, gold, text).correct),
    }


def by_category(scored: Sequence[Scored]) -> dict[str, dict[str, float]]:
    """Return the means over all questions, over categories 1 to 4, and per category, each with its ``n``."""
    present = sorted({one.question.category for one in scored})
    groups = {"all": present, "cat1-4": [c for c in present if c < ADVERSARIAL]}
    groups |= {f"cat{category}": [category] for category in present}
    out: dict[str, dict[str, float]] = {}
    for name, members in groups.items():
        of = [one.metrics for one in scored if one.question.category in members]
        if of:
            means = {metric: round(float(np.mean([m[metric] for m in of])), 4) for metric in of[0]}
            out[name] = {"n": len(of), **means}
    return out
