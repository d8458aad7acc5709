"""Sparsey as a classifier: the face of scikit-learn, and what it reaches on the 8 x 8 digits."""

from typing import Any

import numpy as np
import pytest

from anamnos.associative.readouts import ClassField
from anamnos.associative.sparsey.classifier import SparseyClassifier
from anamnos.associative.sparsey.images import upright
from anamnos.associative.sparsey.net import MacGrid
from anamnos.errors import Corrupt, InvalidInput

DIGITS = {"code": "bits", "threshold": 7, "stand": False}
LEVEL = MacGrid(side=5, stride=1, units=256, gate=0.9, freeze_unit=0.3)
datasets = pytest.importorskip("sklearn.datasets")


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    images, labels = datasets.load_digits(return_X_y=True)
    return images, labels


def classifier(seed: int = 0, **settings: Any) -> SparseyClassifier:
    return SparseyClassifier(**{**DIGITS, "levels": (LEVEL,), "random_state": seed, **settings})


def test_digits_in_any_order_and_class_after_class(digits: Any) -> None:
    images, labels = digits
    mixed, sorted_ = [], []
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(images))
        train, test = order[:1_297], order[1_297:]
        by_class = train[np.argsort(labels[train] // 2, kind="stable")]
        for found, given in ((mixed, train), (sorted_, by_class)):
            learnt = classifier(seed).fit(images[given], labels[given])
            found.append(learnt.score(images[test], labels[test]))
    print(mixed, sorted_)
    assert np.mean(mixed) >= 0.85
    assert np.mean(sorted_) >= 0.67


def test_without_gate_and_freezing_it_collapses(digits: Any) -> None:
    images, labels = digits
    free = MacGrid(side=5, stride=1, units=256, gate=1e9, freeze_unit=1.0)
    train, test = slice(0, 1_297), slice(1_297, None)
    whole = classifier().fit(images[train], labels[train]).score(images[test], labels[test])
    bare = classifier(levels=(free,)).fit(images[train], labels[train]).score(images[test], labels[test])
    assert whole > bare + 0.1


def test_features_that_are_frozen_first_know_no_order(digits: Any) -> None:
    images, labels = digits
    frozen, scores = images[:300], []
    for order in (np.arange(1_000), np.argsort(labels[:1_000], kind="stable")):
        learnt = classifier(learn_first=300, readout="union").partial_fit(frozen, labels[:300], classes=range(10))
        learnt.partial_fit(images[order], labels[order])
        scores.append(learnt.decision_function(images[1_297:]))
    assert np.array_equal(*scores)


def test_parts_are_as_the_whole(digits: Any) -> None:
    images, labels = digits
    whole, parts = classifier(readout="window").fit(images[:500], labels[:500]), classifier(readout="window")
    for start in range(0, 500, 70):
        parts.partial_fit(images[start : min(start + 70, 500)], labels[start : min(start + 70, 500)], classes=range(10))
    assert np.array_equal(whole.decision_function(images[500:600]), parts.decision_function(images[500:600]))


def test_the_face_of_scikit_learn(digits: Any) -> None:
    base, selection = pytest.importorskip("sklearn.base"), pytest.importorskip("sklearn.model_selection")
    images, labels = digits[0][:400], np.array(list("abcdefghij"))[digits[1][:400]]
    model = classifier(seed=3, readout="union")
    copy = base.clone(model)
    assert copy.get_params() == model.get_params()
    assert base.is_classifier(model)
    scores = selection.cross_val_score(model, images, labels, cv=3)
    assert scores.mean() > 0.7
    model.set_params(readout="counts").fit(images, labels)
    assert model.classes_.tolist() == list("abcdefghij")
    belief = model.predict_proba(images[:50])
    assert belief.shape == (50, 10)
    assert np.allclose(belief.sum(axis=1), 1)
    assert np.array_equal(model.classes_[belief.argmax(axis=1)], model.predict(images[:50]))
    assert not hasattr(copy, "classes_")


def test_bytes_give_the_classifier_back(digits: Any) -> None:
    images, labels = digits
    model = classifier().fit(images[:200], labels[:200])
    again = SparseyClassifier.from_bytes(model.to_bytes())
    assert again.get_params() == model.get_params()
    for one in (model, again):
        one.partial_fit(images[200:300], labels[200:300])
    assert np.array_equal(again.decision_function(images[300:400]), model.decision_function(images[300:400]))
    with pytest.raises(Corrupt):
        SparseyClassifier.from_bytes(model.to_bytes()[:-50])


def test_edges_of_even_images() -> None:
    rng = np.random.default_rng(0)
    images = np.zeros((60, 20, 20), dtype=np.uint8)
    labels = np.arange(60) % 2
    for image, label in zip(images, labels, strict=True):
        place = rng.integers(6, 14)
        image[(slice(place, place + 2), slice(4, 16)) if label else (slice(4, 16), slice(place, place + 2))] = 255
    model = SparseyClassifier(levels=(MacGrid(units=64),), stand=False).fit(images[:40].reshape(40, -1), labels[:40])
    assert model.score(images[40:].reshape(20, -1), labels[40:]) == 1


def test_images_stand_upright() -> None:
    leaning = np.zeros((1, 28, 28), dtype=np.uint8)
    for row in range(4, 24):
        leaning[0, row, 20 - row // 2 : 23 - row // 2] = 200
    straight = upright(leaning)[0].astype(float)
    across = (straight * np.arange(28)).sum(axis=1) / np.maximum(straight.sum(axis=1), 1)
    inside = across[straight.sum(axis=1) > 300]
    assert np.ptp(inside) < 2  # of 10 before
    assert inside.mean() == pytest.approx(13.5, abs=0.6)
    assert np.array_equal(upright(np.zeros((2, 28, 28), np.uint8)), np.zeros((2, 28, 28), np.uint8))


def test_class_links_by_hand() -> None:
    field = ClassField(4, 2, window=2)
    codes, labels = np.array([[0, 2], [0, 3], [1, 3], [1, -1]]), np.array([0, 0, 0, 1])
    field.observe(codes, labels)
    assert field.counts.tolist() == [[2, 0], [1, 1], [1, 0], [2, 0]]
    assert field.evidence(np.array([[0, 2], [1, -1]]), "union").tolist() == [[2, 0], [1, 1]]
    assert field.evidence(np.array([[0, 2], [1, -1]]), "window").tolist() == [[1, 0], [1, 1]]
    likely = np.log(np.array([1 / 4, 3 / 4]) + 1e-5)  # unit 1: one of three zeros, the only one
    assert np.allclose(field.evidence(np.array([[1, -1]]), "counts")[0], likely, atol=1e-5)
    again = ClassField.from_state(field.state_dict(), window=2)
    assert np.array_equal(again.evidence(codes, "window"), field.evidence(codes, "window"))
    with pytest.raises(InvalidInput, match="labels"):
        field.observe(codes, np.array([0, 0, 0, 2]))
    with pytest.raises(InvalidInput, match="label"):
        field.observe(codes, labels[:2])


def test_bad_input(digits: Any) -> None:
    images, labels = digits
    with pytest.raises(InvalidInput, match="nothing"):
        classifier().predict(images)
    with pytest.raises(InvalidInput, match="classes"):
        classifier().partial_fit(images, labels)
    with pytest.raises(InvalidInput, match="label"):
        classifier().fit(images, labels[:5])
    with pytest.raises(InvalidInput, match="image"):
        classifier().fit(images[:, :63], labels)
    with pytest.raises(InvalidInput, match="code"):
        classifier(code="none").fit(images, labels)
    with pytest.raises(InvalidInput, match="no setting"):
        classifier().set_params(unknown=1)
    model = classifier().fit(images[:50], labels[:50])
    with pytest.raises(InvalidInput, match="learnt before"):
        model.partial_fit(images[:2], np.array([0, 77]))
    with pytest.raises(InvalidInput):
        model.predict(images[:, :49])


@pytest.mark.parametrize("labels", [["even", "odd"], [0, 1], [0.5, 1.5], [False, True]])
def test_labels_of_any_plain_kind_are_stored(labels: list[Any]) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 2, (20, 64)).astype(np.uint8)
    named = np.array(labels)[np.arange(20) % 2]
    fitted = SparseyClassifier(image=(8, 8), code="bits").fit(images, named)
    again = SparseyClassifier.from_bytes(fitted.to_bytes())
    assert again.classes_.dtype == fitted.classes_.dtype
    assert (again.predict(images) == fitted.predict(images)).all()
