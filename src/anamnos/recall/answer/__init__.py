"""From evidence to an answer in words: by rules alone, or by a language model that may say only what it can cite."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from anamnos.llm.base import LanguageModel
from anamnos.recall.analyse import Cue
from anamnos.recall.answer.base import Answer
from anamnos.recall.answer.extract import confidence, extract
from anamnos.recall.answer.generate import generate
from anamnos.recall.evidence import Sentence
from anamnos.types import PackedContext


def answer(
    cue: Cue,
    ranked: Sequence[Sentence],
    context: PackedContext,
    llm: LanguageModel | None = None,
    *,
    of_hits: float,
    asked_at: datetime | None = None,
) -> Answer:
    """Return the language model's answer if there is one and it holds, else the rules'.

    ranked   of ``ranked_sentences``, best first
    context  what the citations refer to, and all that the model reads
    of_hits  how sure the search was: ``Hits.confidence``
    """
    sure = confidence(cue, ranked, of_hits)
    if llm is not None and context.text:
        worded = generate(cue.text, context, llm, confidence=sure, asked_at=asked_at)
        if worded is not None:
            return worded
    return extract(cue, ranked, context, sure)


__all__ = ["Answer", "answer"]
