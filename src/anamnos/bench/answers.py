"""Metrics of answers in words, against the right answer.

Source: exact match and token F1 as for SQuAD (arXiv:1606.05250); the F1 of LoCoMo (arXiv:2402.17753); BLEU-1 of one
reference with its brevity penalty (Papineni et al., 2002); ROUGE-L, the F-measure over the longest common subsequence
(Lin, 2004).
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from math import exp
from typing import NamedTuple

import apsw

from anamnos.errors import InvalidInput

ADVERSARIAL = 5
"""LoCoMo's category of questions that the conversation does not answer."""
REFUSALS = ("no information available", "not mentioned")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ENOUGH_F1 = 0.5
_TOO_LONG = 5  # times the right answer's tokens


class Verdict(NamedTuple):
    """What a judge says: whether the answer is right, and why."""

    correct: bool
    rationale: str


Judge = Callable[[str, str, str], Verdict]
"""(question, right answer, answer) -> verdict."""


def normalise(text: str) -> str:
    """Return ``text`` in lower case, without punctuation and articles, with single spaces.

    >>> normalise("The  cat's hat, again!")
    'cats hat again'
    """
    bare = text.lower().translate(_PUNCTUATION)
    return " ".join(re.sub(r"\b(?:a|an|the)\b", " ", bare).split())


def exact_match(answer: str, gold: str) -> float:
    """Return 1 if both are the same once normalised.

    >>> exact_match("The blue pot.", "blue pot"), exact_match("pot", "blue pot")
    (1.0, 0.0)
    """
    return float(normalise(answer) == normalise(gold))


def substring_match(answer: str, gold: str) -> float:
    """Return 1 if the right answer stands in the answer, both normalised; a right answer without any word is in none.

    >>> substring_match("It is under the blue pot.", "Blue pot"), substring_match("It", "...")
    (1.0, 0.0)
    """
    wanted = normalise(gold)
    return float(bool(wanted) and wanted in normalise(answer))


def token_f1(answer: str, gold: str) -> float:
    """Return the F1 of their normalised tokens, each counted as often as it occurs.

    >>> token_f1("under the blue pot", "the blue pot of Ann"), token_f1("", "x")
    (0.5714285714285714, 0.0)
    """
    return _f1(normalise(answer).split(), normalise(gold).split())


def locomo_f1(answer: str, gold: str, category: int) -> float:
    """Return the score that LoCoMo gives an answer: an F1 of stemmed tokens, "and" left out like an article.

    category  1: mean over the parts of the right answer, split at commas, of the best F1 with a part of the answer;
              3: only what stands before the first ";" of the right answer counts; 5: 1 for a refusal, else 0
    Raises: InvalidInput for a category below 1.
    Source: arXiv:2402.17753 and its released code, with the Porter stems of SQLite.

    >>> locomo_f1("painting, hikes", "hiking, painting", 1), locomo_f1("Yes, a lot", "yes; she said so", 3)
    (1.0, 0.6666666666666666)
    """
    if category < 1:
        raise InvalidInput(f"Categories count from 1, got {category}.")
    if category == ADVERSARIAL:
        return float(any(words in answer.lower() for words in REFUSALS))
    if category == 1:
        parts, found = gold.split(","), answer.split(",")
        return sum(max(_f1(_stems(f), _stems(part)) for f in found) for part in parts) / len(parts)
    return _f1(_stems(answer), _stems(gold.split(";")[0] if category == 3 else gold))


def bleu_1(answer: str, gold: str) -> float:
    """Return the clipped share of the answer's tokens that the right one has, less for one that is too short.

    precision * exp(min(0, 1 - r / c)) with r and c the numbers of tokens of the right answer and the answer.

    >>> round(bleu_1("blue blue pot", "the blue pot is here"), 3)
    0.342
    """
    found, wanted = _words(answer), _words(gold)
    if not found or not wanted:
        return 0.0
    return _shared(found, wanted) / len(found) * exp(min(0.0, 1 - len(wanted) / len(found)))


def rouge_l(answer: str, gold: str) -> float:
    """Return the F1 of the longest common subsequence of tokens.

    >>> rouge_l("the pot is blue", "the blue pot")
    0.5714285714285714
    """
    found, wanted = _words(answer), _words(gold)
    best = [0] * (len(wanted) + 1)
    for word in found:
        before = 0
        for place, other in enumerate(wanted, start=1):
            here = best[place]
            best[place] = before + 1 if word == other else max(here, best[place - 1])
            before = here
    return _harmonic(best[-1], len(found), len(wanted))


def judge_by_rule(question: str, gold: str, answer: str) -> Verdict:
    """Return the verdict of rules, where there is no judge that reads: J_rule, never called J.

    Right if the right answer stands in the answer, or token F1 is at least 0.5, or both have the same numbers (a date,
    a count) and no others. An answer more than five times as long is wrong whatever it holds, so that giving back
    everything is no answer.
    """
    found, wanted = normalise(answer).split(), normalise(gold).split()
    if len(found) > _TOO_LONG * max(len(wanted), 5):
        return Verdict(False, f"{len(found)} tokens for an answer of {len(wanted)}")
    if substring_match(answer, gold):
        return Verdict(True, "the right answer stands in it")
    if _f1(found, wanted) >= _ENOUGH_F1:
        return Verdict(True, f"F1 of at least {_ENOUGH_F1}")
    numbers, right = _numbers(found), _numbers(wanted)
    if right and numbers == right:
        return Verdict(True, "the same numbers")
    return Verdict(False, "neither the words nor the numbers")


def _numbers(tokens: Sequence[str]) -> set[str]:
    """Return numbers and names of months."""
    return {word for word in tokens if re.fullmatch(r"\d+|" + _MONTHS, word)} if any(map(_has_digit, tokens)) else set()


_MONTHS = "january|february|march|april|may|june|july|august|september|october|november|december"


def _has_digit(token: str) -> bool:
    return any(char.isdigit() for char in token)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _stems(text: str) -> list[str]:
    bare = re.sub(r"\b(?:a|an|the|and)\b", " ", text.replace(",", "").lower().translate(_PUNCTUATION))
    return [_stem(word) for word in bare.split()]


@cache
def _stem(word: str) -> str:
    found = _porter()(word.encode(), apsw.FTS5_TOKENIZE_DOCUMENT, None, include_offsets=False, include_colocated=False)
    return "".join(str(part) for part in found) or word


@cache
def _porter() -> apsw.FTS5Tokenizer:
    return apsw.Connection(":memory:").fts5_tokenizer("porter", ["unicode61"])


def _f1(found: Sequence[str], wanted: Sequence[str]) -> float:
    return _harmonic(_shared(found, wanted), len(found), len(wanted))


def _shared(found: Sequence[str], wanted: Sequence[str]) -> int:
    return (Counter(found) & Counter(wanted)).total()


def _harmonic(shared: int, found: int, wanted: int) -> float:
    """Return the harmonic mean of ``shared / found`` and ``shared / wanted``; 0 if nothing is shared."""
    return 2 * shared / (found + wanted) if shared else 0.0
