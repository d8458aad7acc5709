"""The one sentence of the hits that answers a question best."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from anamnos.embed.base import Embedder
from anamnos.index.terms import TermReader
from anamnos.types import Hit

_HITS = 5
_SENTENCES = 32
_SENTENCE = re.compile(r"(?<=[.!?。！？…])\s+|\n+")


def best_sentence(question: str, hits: Sequence[Hit], embedder: Embedder, reader: TermReader) -> str:
    """Return the sentence among the first few hits that answers ``question`` best; "" without hits.

    Score: cosine of the embeddings, plus the share of the question's terms that the sentence has, halved, less a
    little for each place of its hit; a question asked back is taken only where there is nothing else. Source: ours.
    """
    found = [
        (sentence, place)
        for place, hit in enumerate(hits[:_HITS])
        for sentence in map(str.strip, _SENTENCE.split(hit.cube.text))
        if re.search(r"\w", sentence)
    ][:_SENTENCES]
    if not found:
        return ""
    asked, *vectors = embedder.embed([question, *(sentence for sentence, _ in found)])
    wanted = set(reader.terms(question).tolist())

    def score(number: int) -> float:
        sentence, place = found[number]
        shared = len(wanted & set(reader.terms(sentence).tolist())) / max(len(wanted), 1)
        return float(np.dot(asked, vectors[number])) + 0.5 * shared - 0.05 * place - 2.0 * sentence.endswith("?")

    return found[max(range(len(found)), key=score)][0]
