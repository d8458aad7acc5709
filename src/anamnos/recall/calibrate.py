"""Weights of a recipe fitted to somebody's own questions, and a test whether that would help with their next ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anamnos.errors import InvalidInput
from anamnos.recall.fusion import WeightedChannel
from anamnos.recall.recipe import Recipe

FEWEST = 20  # questions: with fewer, no fold could say anything
_FOLDS = 5
_TOP = 10
_HOLD = 0.02  # how strongly a fit is held to the weights it starts from, per unit of score and question
_STEPS = 30
_GAIN = 2.0  # standard errors by which a fit must be better


@dataclass(frozen=True)
class Labelled:
    """A question whose answer is known, as the channels see it.

    scores  (n, channels) float64: what each channel gives each candidate, before its weight
    answer  (n,) bool: which candidates hold the answer; at least one
    wanted  how many memories hold it, candidates or not
    """

    scores: NDArray[np.float64]
    answer: NDArray[np.bool_]
    wanted: int


@dataclass(frozen=True)
class Calibration:
    """What a fit found.

    weights    per channel, fitted on all questions
    before     recall@10 of the recipe as it is
    after      recall@10 of weights fitted on other questions than those they are scored on
    error      standard error of the difference
    questions  how many
    adopted    whether the difference is more than twice its error, so that the weights are used from now on
    """

    weights: Mapping[str, float]
    before: float
    after: float
    error: float
    questions: int
    adopted: bool

    def to_dict(self) -> dict[str, Any]:
        return {
            "weights": dict(self.weights),
            "recall@10_before": round(self.before, 4),
            "recall@10_after": round(self.after, 4),
            "standard_error": round(self.error, 4),
            "questions": self.questions,
            "adopted": self.adopted,
        }


def calibrate(questions: Sequence[Labelled], recipe: Recipe) -> Calibration:
    """Return weights for ``recipe`` fitted to ``questions``, and what they are worth by cross-validation.

    Every fold is scored with weights fitted on the other four. Raises: InvalidInput below 20 questions.
    """
    if len(questions) < FEWEST:
        raise InvalidInput(
            f"{len(questions)} questions with an answer in memory are too few to fit weights to.",
            hint=f"Give at least {FEWEST}; some hundred are better.",
        )
    parts = (*recipe.channels, *recipe.late)
    start = np.array([part.weight for part in parts])
    fold = np.arange(len(questions)) % _FOLDS
    before = np.array([_recall(question, start) for question in questions])
    after = np.empty(len(questions))
    for number in range(_FOLDS):
        weights = fit([question for i, question in enumerate(questions) if fold[i] != number], start)
        for i in np.flatnonzero(fold == number).tolist():
            after[i] = _recall(questions[i], weights)
    error = float((after - before).std(ddof=1) / np.sqrt(len(questions)))
    gain = float((after - before).mean())
    fitted = fit(questions, start)
    names = [part.channel.name for part in parts]
    return Calibration(
        # never 0, which would hide what the channel says from the next calibration
        weights={name: round(float(weight), 4) or 1e-4 for name, weight in zip(names, fitted, strict=True)},
        before=float(before.mean()),
        after=float(after.mean()),
        error=error,
        questions=len(questions),
        adopted=gain > _GAIN * error and gain > 0,
    )


def fit(questions: Sequence[Labelled], start: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weights w that make the answers of ``questions`` most likely, held near ``start``.

    Least mean over the questions of -log softmax(scores w) at the answers, plus .02 |w - start|^2: convex, by Newton's
    method. Source: ListNet with one level of relevance, Cao et al., ICML 2007.
    """
    weights = start.astype(np.float64).copy()
    for _ in range(_STEPS):
        slope = 2 * _HOLD * (weights - start)
        bend = 2 * _HOLD * np.eye(len(start))
        for question in questions:
            score = question.scores @ weights
            likely = np.exp(score - score.max())
            likely /= likely.sum()
            expected = likely @ question.scores
            slope += (expected - question.scores[question.answer].mean(axis=0)) / len(questions)
            bend += ((question.scores * likely[:, None]).T @ question.scores - np.outer(expected, expected)) / len(
                questions
            )
        step = np.linalg.solve(bend, slope)
        weights -= step / max(1.0, float(np.abs(step).max()))  # no weight moves by more than 1 at a time
        if np.abs(step).max() < 1e-6:
            break
    return weights


def with_weights(recipe: Recipe, weights: Mapping[str, float]) -> Recipe:
    """Return ``recipe`` with other weights; channels that are not named keep theirs."""

    def changed(parts: Sequence[WeightedChannel]) -> tuple[WeightedChannel, ...]:
        return tuple(replace(part, weight=weights.get(part.channel.name, part.weight)) for part in parts)

    return replace(recipe, channels=changed(recipe.channels), late=changed(recipe.late))


def _recall(question: Labelled, weights: NDArray[np.float64]) -> float:
    best = np.argsort(-(question.scores @ weights), kind="stable")[:_TOP]
    return float(np.count_nonzero(question.answer[best]) / question.wanted)
