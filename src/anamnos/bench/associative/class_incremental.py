"""Classes that come two at a time and never again: what memories and a linear head know of all ten in the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anamnos.associative.classifier import MemoryClassifier
from anamnos.bench.associative.images import Images, rotated

_STEPS = 5
_MOST = 1_000  # features kept in slots, per pair of classes: reading asks every slot


class LinearHead:
    """Softmax regression by SGD with batches of 32: the usual head on features."""

    def __init__(self, dim: int, *, classes: int = 10, rate: float = 0.1, epochs: int = 10, seed: int = 0) -> None:
        self._weights = np.zeros((dim + 1, classes))
        self._rate, self._epochs, self._rng = rate, epochs, np.random.default_rng(seed)

    def partial_fit(self, features: NDArray[Any], labels: NDArray[Any]) -> None:
        """Go on training with these only."""
        inputs = np.hstack([features, np.ones((len(features), 1))])
        for _ in range(self._epochs):
            order = self._rng.permutation(len(inputs))
            for start in range(0, len(order), 32):
                batch = order[start : start + 32]
                error = _softmax(inputs[batch] @ self._weights)
                error[np.arange(len(batch)), labels[batch]] -= 1
                self._weights -= self._rate * inputs[batch].T @ error / len(batch)

    def predict(self, features: NDArray[Any]) -> NDArray[Any]:
        return np.asarray((np.hstack([features, np.ones((len(features), 1))]) @ self._weights).argmax(axis=1))


class _Bottleneck:
    """A key-value bottleneck whose keys have seen all inputs without their labels."""

    def __init__(self, images: Images, seed: int) -> None:
        from anamnos.associative.key_value_bottleneck import KeyValueBottleneck, KeyValueSpec

        dim = images.train.shape[1]
        width = 14 if dim < 100 else 48  # chosen on the training images of MNIST
        self._memory = KeyValueBottleneck(KeyValueSpec(dim=dim, width=width, seed=seed, on_full="grow"))
        self._memory.learn_keys(images.train[:10_000])

    def partial_fit(self, features: NDArray[Any], labels: NDArray[Any]) -> None:
        self._memory.learn(features, labels.tolist())

    def predict(self, features: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(np.array(self._memory.classes)[self._memory.probabilities(features).argmax(axis=1)])


def learners(images: Images, seed: int) -> dict[str, Callable[[], Any]]:
    """Return what is compared, by name."""
    return {
        "key-value bottleneck": lambda: _Bottleneck(images, seed),
        "prototypes (ProtoCL)": lambda: MemoryClassifier("feature-memory", policy="prototype"),
        "neighbours (AdaNPC)": lambda: MemoryClassifier("feature-memory", policy="knn"),
        "linear head, SGD": lambda: LinearHead(images.train.shape[1], seed=seed),
    }


def after_each_pair(make: Callable[[], Any], images: Images, order: Sequence[int]) -> list[float]:
    """Return the accuracy on the test images of all ten classes after each pair of classes in ``order``."""
    learner, found = make(), []
    for step in range(_STEPS):
        own = np.flatnonzero(np.isin(images.train_labels, order[2 * step : 2 * step + 2]))
        if isinstance(learner, MemoryClassifier) and learner.get_params().get("policy") == "knn":
            own = own[:_MOST]
        learner.partial_fit(images.train[own], images.train_labels[own])
        found.append(float((learner.predict(images.test) == images.test_labels).mean()))
    return found


@dataclass(frozen=True, slots=True)
class Rotation:
    """Accuracy at one angle, on the images as they came: of a memory that stays as it is, and of one that adapts."""

    degrees: int
    frozen: float
    adapting: float


def rotations(images: Images, angles: Sequence[int], seed: int) -> list[Rotation]:
    """Return what a memory of upright images knows of images turned by more and more, its guesses kept or not."""
    from anamnos.associative.feature_memory import FeatureMemory, FeatureMemorySpec

    spec = FeatureMemorySpec(dim=images.train.shape[1], queue=2_000)
    frozen, adapting = FeatureMemory(spec), FeatureMemory(spec)
    for memory in (frozen, adapting):
        memory.learn(images.train, images.train_labels.tolist())
    found = []
    for angle in angles:
        order = np.random.default_rng([seed, angle]).permutation(len(images.test))
        turned, right = rotated(images.test[order], angle), images.test_labels[order]
        guesses = np.array(frozen.classes)[frozen.probabilities(turned).argmax(axis=1)]
        kept = [adapting.adapt(image).label for image in turned]
        found.append(Rotation(angle, float((guesses == right).mean()), float((np.array(kept) == right).mean())))
    return found


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
