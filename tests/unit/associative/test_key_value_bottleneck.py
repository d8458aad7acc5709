"""The discrete key-value bottleneck: local learning, frozen keys, rolling back, and the laws of a memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from anamnos.associative.arrays import digest
from anamnos.associative.classifier import MemoryClassifier
from anamnos.associative.key_value_bottleneck import KeyValueBottleneck, KeyValueSpec
from anamnos.errors import Conflict, InvalidInput
from anamnos.testing.associative_contract import AssociativeContract


class TestKeyValueBottleneck(AssociativeContract):
    system = "key-value-bottleneck"
    settings = {"dim": 64}
    small = {"slots": 20}

    def keys(self, rng: np.random.Generator, count: int) -> list[Any]:
        return list(rng.normal(size=(count, 64)).astype(np.float32))

    def noisy(self, rng: np.random.Generator, key: Any) -> Any:
        return key + rng.normal(scale=0.1, size=64).astype(np.float32)


def blobs(seed: int, count: int, classes: int = 4) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=count)
    centres = np.random.default_rng(0).normal(size=(classes, 16))
    return (centres[labels] + 0.5 * rng.normal(size=(count, 16))).astype(np.float32), labels


def made(**changed: Any) -> KeyValueBottleneck:
    return KeyValueBottleneck(KeyValueSpec(**{"dim": 16, "heads": 8, "keys": 32, "width": 4, **changed}))


def test_a_write_follows_the_gradient_of_the_cross_entropy() -> None:
    memory = made(rate=0.5)
    features, _ = blobs(1, 2)
    memory.write(features[0], "a")
    memory.write(features[1], "b")
    code, heads = memory.encode(features[:1])[0], np.arange(8)
    before = memory.state_dict()["values"].astype(np.float64)
    mean = before[heads, code].mean(axis=0)
    memory.write(features[0], "b")
    error = np.array([0.0, 1.0]) - np.exp(mean) / (1 + np.exp(mean).sum())
    assert np.allclose(memory.state_dict()["values"][heads, code], before[heads, code] + 0.5 * error, atol=1e-6)


def test_values_that_are_not_fetched_stay_bit_by_bit() -> None:
    features, labels = blobs(2, 200)
    memory = made()
    memory.learn_keys(features)
    memory.learn(features[:100], labels[:100].tolist())
    before, used = memory.state_dict()["values"].copy(), memory.usage()
    memory.learn(features[100:], labels[100:].tolist())
    fetched = memory.usage() > used
    after = memory.state_dict()["values"]
    assert 0 < fetched.sum() < fetched.size
    assert after[~fetched].tobytes() == before[~fetched].tobytes()
    assert (memory.usage().sum(axis=1) == 200).all()


def test_keys_spread_over_the_inputs_and_then_are_frozen() -> None:
    features, labels = blobs(3, 2_000)
    memory = made()

    def error() -> float:
        near = memory._project(features)
        keys = memory._keys[np.arange(8), memory.encode(features)].transpose(1, 0, 2)
        return float(((near - keys) ** 2).sum(axis=2).mean())

    random = error()
    memory.learn_keys(features)
    assert error() < 0.6 * random
    memory.write(features[0], int(labels[0]))
    with pytest.raises(Conflict, match="frozen"):
        memory.learn_keys(features)


def test_rolling_back_undoes_the_last_writes() -> None:
    features, labels = blobs(4, 60)
    memory, shorter = made(), made()
    memory.learn(features, labels.tolist())
    shorter.learn(features[:40], labels[:40].tolist())
    assert memory.roll_back(40) == 20
    assert digest(memory.state_dict()) == digest(shorter.state_dict())
    with pytest.raises(InvalidInput):
        memory.roll_back(41)


def test_classes_learnt_one_after_the_other_are_all_known() -> None:
    features, labels = blobs(5, 800)
    tests, right = blobs(6, 200)
    classifier = MemoryClassifier("key-value-bottleneck", heads=32, keys=64, width=4)
    classifier.partial_fit(features, labels)
    shuffled = classifier.score(tests, right)
    memory = made(heads=32, keys=64)
    memory.learn_keys(features)
    for label in range(4):
        memory.learn(features[labels == label], labels[labels == label].tolist())
    assert memory.classes == [0, 1, 2, 3]
    found = memory.probabilities(tests).argmax(axis=1)
    assert shuffled > 0.9
    assert (found == right).mean() > shuffled - 0.1


def test_what_cannot_be_is_refused() -> None:
    for wrong in ({"decay": 1.0}, {"rate": 0}, {"keys": 1}, {"keys": 70_000}, {"heads": 0}):
        with pytest.raises(InvalidInput):
            made(**wrong)
    memory = made(slots=5)
    for call in (
        lambda: memory.learn(np.ones((2, 3)), [1, 2]),
        lambda: memory.learn(np.ones((2, 16)), [1]),
        lambda: memory.learn(np.ones((2, 16)), [1, 2], epochs=3),
        lambda: memory.learn_keys(np.zeros((0, 16))),
        lambda: memory.probabilities(np.ones((1, 16))),
    ):
        with pytest.raises(InvalidInput):
            call()
    assert memory.load().items == 0
