"""Feature memories: the formulas of three policies, learning on guesses, and the laws of an associative memory."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anamnos.associative.arrays import digest
from anamnos.associative.base import CapacityWarning
from anamnos.associative.classifier import MemoryClassifier
from anamnos.associative.feature_memory import FeatureMemory, FeatureMemorySpec
from anamnos.associative.payload import from_payload, to_payload
from anamnos.errors import InvalidInput, LimitExceeded
from anamnos.testing.associative_contract import AssociativeContract


def units(rng: np.random.Generator, count: int, dim: int) -> Any:
    vectors = rng.normal(size=(count, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class FeatureContract(AssociativeContract):
    system = "feature-memory"
    small = {"slots": 20}

    def keys(self, rng: np.random.Generator, count: int) -> list[Any]:
        return list(units(rng, count, 64))

    def noisy(self, rng: np.random.Generator, key: Any) -> Any:
        return key + rng.normal(scale=0.3 / 8, size=64).astype(np.float32)


class TestKnn(FeatureContract):
    settings = {"dim": 64, "policy": "knn"}


class TestDual(FeatureContract):
    settings = {"dim": 64, "policy": "dual"}


class TestPrototype(FeatureContract):
    settings = {"dim": 64, "policy": "prototype"}


def blobs(seed: int, count: int, dim: int = 16, classes: int = 4, wide: float = 0.6) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(classes, dim))
    labels = rng.integers(classes, size=count)
    return (centres[labels] + wide * rng.normal(size=(count, dim))).astype(np.float32), labels


def learnt(policy: Any, features: Any, labels: Any, **changed: Any) -> FeatureMemory:
    memory = FeatureMemory(FeatureMemorySpec(dim=features.shape[1], policy=policy, **changed))
    memory.learn(features, labels.tolist())
    return memory


# --- knn


def test_knn_weighs_its_neighbours_by_the_softmax_of_their_cosines() -> None:
    features, labels = blobs(1, 60)
    cues, _ = blobs(2, 10)
    found = learnt("knn", features, labels, neighbours=7, temperature=0.2).probabilities(cues)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    for cue, shares in zip(cues, found, strict=True):
        cosines = unit @ (cue / np.linalg.norm(cue))
        nearest = np.argsort(-cosines)[:7]
        weights = np.exp(cosines[nearest] / 0.2)
        expected = [weights[labels[nearest] == c].sum() / weights.sum() for c in range(4)]
        assert np.allclose(shares, expected, atol=1e-5)


def test_one_neighbour_is_the_nearest() -> None:
    features, labels = blobs(3, 200, wide=2.0)
    cues, _ = blobs(4, 100, wide=2.0)
    memory = learnt("knn", features, labels, neighbours=1, temperature=1e-9)
    nearest = (features / np.linalg.norm(features, axis=1, keepdims=True) @ cues.T).argmax(axis=0)
    assert (memory.probabilities(cues).argmax(axis=1) == labels[nearest]).all()
    assert set(np.unique(memory.probabilities(cues))) == {0.0, 1.0}


def test_within_a_radius_all_are_asked() -> None:
    slots = np.array([[1, 0], [0.99, 0.14], [0.98, 0.199], [0, 1]], dtype=np.float32)
    memory = learnt("knn", slots, np.array([0, 1, 1, 2]), neighbours=1, radius=0.9, temperature=1e9)
    shares = memory.probabilities(np.array([[1.0, 0.0], [-1.0, 0.0]]))
    assert shares[0] == pytest.approx([1 / 3, 2 / 3, 0], abs=1e-6)
    assert shares[1].tolist() == [0, 0, 1]  # nobody is within: the nearest is asked


# --- dual


def test_dual_is_the_sum_of_its_three_classifiers() -> None:
    rng = np.random.default_rng(5)
    texts, shots, guess, cue = units(rng, 2, 8), units(rng, 2, 8), units(rng, 1, 8)[0], units(rng, 1, 8)[0]
    memory = learnt("dual", shots, np.array([0, 1]), text_weight=0.5, static_weight=2.0, dynamic_weight=3.0)
    memory.describe(0, texts[0])
    memory.describe(1, texts[1])
    kept = memory.adapt(guess)
    assert kept.stored

    def normal(v: Any) -> Any:
        return v / np.linalg.norm(v)

    def near(v: Any) -> Any:
        return np.exp(-5.5 * (1 - cue @ v)) * v

    logits = []
    for label in (0, 1):
        static = normal(near(shots[label]) + near(texts[label]))
        dynamic = normal(near(texts[label]) + (near(guess) if kept.label == label else 0))
        logits.append(20 * (0.5 * cue @ texts[label] + 2 * cue @ static + 3 * cue @ dynamic))
    expected = np.exp(logits - np.max(logits)) / np.exp(logits - np.max(logits)).sum()
    assert np.allclose(memory.probabilities(cue[None])[0], expected, atol=1e-5)


def test_dual_without_a_slot_is_the_classifier_of_its_texts() -> None:
    rng = np.random.default_rng(6)
    texts, cues = units(rng, 5, 16), units(rng, 50, 16)
    memory = FeatureMemory(FeatureMemorySpec(dim=16, policy="dual"))
    for number, text in enumerate(texts):
        memory.describe(f"class {number}", text)
    assert (memory.probabilities(cues).argmax(axis=1) == (cues @ texts.T).argmax(axis=1)).all()
    with pytest.raises(InvalidInput, match="makes nothing of texts"):
        FeatureMemory(FeatureMemorySpec(dim=16)).describe("a", texts[0])


def test_a_surer_guess_takes_the_place_of_the_least_sure_one() -> None:
    memory = FeatureMemory(FeatureMemorySpec(dim=2, policy="dual", shots=2))
    memory.describe("x", np.array([1.0, 0.0]))
    memory.describe("y", np.array([0.0, 1.0]))
    angles = (20, 30, 10, 40)  # degrees from x: the nearer, the surer
    kept = [memory.adapt(np.array([np.cos(np.radians(a)), np.sin(np.radians(a))])) for a in angles]
    assert [guess.label for guess in kept] == ["x"] * 4
    assert [guess.stored for guess in kept] == [True, True, True, False]
    held = np.degrees(np.arctan2(*np.stack(memory.state_dict()["items_codes"]).T[::-1]))
    assert sorted(held.round().tolist()) == [10, 20]


# --- prototype


def test_a_prototype_is_a_gaussian_posterior() -> None:
    memory = FeatureMemory(FeatureMemorySpec(dim=1, policy="prototype", noise=0.5, spread=2.0))
    memory.learn(np.array([[1.0], [2.0], [-1.0]]), ["a", "a", "b"])

    def density(z: float, values: list[float]) -> float:
        uncertain = 1 / (1 / 2.0 + len(values) / 0.5)
        mean, variance = uncertain * sum(values) / 0.5, 0.5 + uncertain
        return float((1 + len(values)) * np.exp(-((z - mean) ** 2) / (2 * variance)) / np.sqrt(variance))

    first, second = density(0.3, [1.0, 2.0]), density(0.3, [-1.0])
    assert memory.probabilities(np.array([[0.3]]))[0][0] == pytest.approx(first / (first + second), abs=1e-7)


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(40)))
def test_the_order_of_learning_plays_no_part_for_prototypes(order: list[int]) -> None:
    features, labels = blobs(7, 40)
    cues, _ = blobs(8, 20)
    expected = learnt("prototype", features, labels).probabilities(cues)
    memory = learnt("prototype", features[order], labels[order])
    assert np.abs(memory.probabilities(cues) - expected).max() < 1e-9


def test_with_a_wide_prior_and_equal_counts_the_nearest_mean_wins() -> None:
    features, labels = blobs(9, 400)
    features, labels = zip(*[(features[labels == c][:50], np.full(50, c)) for c in range(4)], strict=True)
    features, labels = np.concatenate(features), np.concatenate(labels)
    cues, _ = blobs(10, 200, wide=2.0)
    means = np.stack([features[labels == c].mean(axis=0) for c in range(4)])
    nearest = ((cues[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    found = learnt("prototype", features, labels, spread=1e9).probabilities(cues).argmax(axis=1)
    assert (found == nearest).all()


def test_folding_keeps_the_posterior_and_a_few_features_whatever_the_order() -> None:
    features, labels = blobs(11, 300)
    cues, _ = blobs(12, 50)
    memory, other = (
        learnt("prototype", features, labels, shots=5),
        learnt("prototype", features[::-1], labels[::-1], shots=5),
    )
    before = memory.probabilities(cues)
    done = memory.consolidate()
    other.consolidate()
    assert (done.items, done.changed, memory.load().items) == (300, 280, 20)
    assert np.abs(memory.probabilities(cues) - before).max() < 1e-9
    kept = [sorted(map(tuple, m.state_dict()["items_codes"].tolist())) for m in (memory, other)]
    assert kept[0] == kept[1]
    again = from_payload(to_payload(memory))
    assert digest(again.state_dict()) == digest(memory.state_dict())
    gone = (
        memory.forget(key=features[0]) if memory.forget(key=features[0]).items == 0 else memory.forget(key=features[1])
    )
    assert not gone.exact or gone.items == 1


def test_features_of_a_new_encoder_make_the_means_anew() -> None:
    features, labels = blobs(13, 300)
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(16, 16)))[0].astype(np.float32)
    memory = learnt("prototype", features, labels, shots=30)
    memory.consolidate()
    cues, right = blobs(14, 300)
    turned = (cues @ turn).astype(np.float32)
    before = (memory.probabilities(turned).argmax(axis=1) == right).mean()
    memory.replace_features(memory.state_dict()["items_codes"] @ turn)
    assert (memory.probabilities(turned).argmax(axis=1) == right).mean() > max(before + 0.3, 0.9)


# --- guesses, and being full


def test_only_sure_guesses_are_kept_and_the_oldest_makes_room() -> None:
    features, labels = blobs(15, 80, wide=0.2)
    memory = learnt("knn", features, labels, queue=3, margin=0.9)
    between = (features[labels == 0].mean(axis=0) + features[labels == 1].mean(axis=0)) / 2
    assert not memory.adapt(between).stored or memory.adapt(between).confidence >= 0.9
    new, _ = blobs(16, 10, wide=0.2)
    assert all(memory.adapt(feature).stored for feature in new)
    assert memory.load().items == 83
    assert memory.forget(key=new[0]).items == 0
    assert memory.forget(key=new[-1]).items == 1


def test_many_at_once_obey_the_capacity() -> None:
    features, labels = blobs(17, 30)
    with pytest.raises(LimitExceeded), warnings.catch_warnings():
        warnings.simplefilter("ignore", CapacityWarning)
        learnt("knn", features, labels, slots=20)
    memory = learnt("knn", features, labels, slots=20, on_full="evict")
    assert (memory.state_dict()["items_codes"] == features[-20:]).all()


def test_what_cannot_be_is_refused() -> None:
    for wrong in ({"policy": "tree"}, {"margin": 1.5}, {"temperature": 0}, {"neighbours": 0}, {"dim": 0}):
        with pytest.raises(InvalidInput):
            FeatureMemorySpec(**{"dim": 4, **wrong})  # type: ignore[arg-type]
    memory = FeatureMemory(FeatureMemorySpec(dim=4))
    for call in (
        lambda: memory.learn(np.ones((2, 3)), [1, 2]),
        lambda: memory.learn(np.ones((2, 4)), [1]),
        lambda: memory.learn(np.full((1, 4), np.nan), [1]),
        lambda: memory.probabilities(np.ones((1, 4))),
        lambda: memory.adapt(np.ones(4)),
        lambda: memory.replace_features(np.ones((1, 4))),
    ):
        with pytest.raises(InvalidInput):
            call()
    assert memory.load().items == 0


# --- the face of scikit-learn


def test_scikit_learn_takes_it_for_a_classifier() -> None:
    base, selection = pytest.importorskip("sklearn.base"), pytest.importorskip("sklearn.model_selection")
    features, labels = blobs(18, 200)
    for policy in ("knn", "dual", "prototype"):
        made = MemoryClassifier("feature-memory", policy=policy)
        copy = base.clone(made)
        assert copy.get_params() == made.get_params()
        assert base.is_classifier(copy)
        assert selection.cross_val_score(copy, features, labels, cv=3).min() > 0.85
    search = selection.GridSearchCV(MemoryClassifier(), {"neighbours": [1, 5]}, cv=2).fit(features, labels)
    assert search.best_params_["neighbours"] in (1, 5)


def test_labels_may_come_bit_by_bit() -> None:
    features, labels = blobs(19, 200)
    names = np.array(["north", "east", "south", "west"])[labels]
    whole = MemoryClassifier(policy="prototype").fit(features, names)
    parts = MemoryClassifier(policy="prototype")
    for name in np.unique(names):
        parts.partial_fit(features[names == name], names[names == name])
    assert parts.classes_.tolist() == ["east", "north", "south", "west"]
    assert np.abs(whole.predict_proba(features) - parts.predict_proba(features)).max() < 1e-9
    assert (whole.predict(features) == parts.predict(features)).all()
    assert whole.score(features, names) > 0.85
    with pytest.raises(InvalidInput, match="knows nothing"):
        MemoryClassifier().predict(features)
    with pytest.raises(InvalidInput, match="no labels"):
        MemoryClassifier("hopfield").fit(features, names)
