"""What careless callers give to classifiers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from anamnos.associative.classifier import MemoryClassifier
from anamnos.associative.sparsey.classifier import SparseyClassifier
from anamnos.associative.sparsey.net import MacGrid
from anamnos.errors import InvalidInput

X = np.random.default_rng(0).random((8, 16)) * 255
MODELS: list[Callable[[], Any]] = [
    MemoryClassifier,
    lambda: MemoryClassifier("key-value-bottleneck"),
    lambda: SparseyClassifier(
        levels=(MacGrid(side=2, stride=1, modules=4, units=8, least=1),), code="bits", stand=False
    ),
]


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("labels", [[1, "a"], [None, "a"], [True, "a"]])
def test_labels_of_several_kinds_are_refused_and_nothing_is_learnt(make: Callable[[], Any], labels: list[Any]) -> None:
    model = make()
    with pytest.raises(InvalidInput, match="kinds"):
        model.fit(X, np.array(labels * 4, dtype=object))
    assert not hasattr(model, "classes_")
    model.fit(X, ["a", "b"] * 4)
    assert model.classes_.tolist() == ["a", "b"]


@pytest.mark.parametrize("make", MODELS)
def test_an_empty_fit_is_refused_and_nothing_is_predicted_of_nothing(make: Callable[[], Any]) -> None:
    with pytest.raises(InvalidInput):
        make().fit(X[:0], [])
    model = make().fit(X, [0, 1] * 4)
    assert model.predict(X[:0]).shape == (0,)
    assert model.predict_proba(X[:0]).shape == (0, 2)


@pytest.mark.parametrize("make", MODELS[:2])
@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1e300, 1e30])
def test_features_without_a_length_are_refused(make: Callable[[], Any], wrong: float) -> None:
    model = make().fit(X, [0, 1] * 4)
    with pytest.raises(InvalidInput, match="finite"):
        model.partial_fit(np.full((1, 16), wrong), [2])
    with pytest.raises(InvalidInput, match="finite"):
        model.predict(np.full((1, 16), wrong))
    assert model.classes_.tolist() == [0, 1]


@pytest.mark.parametrize("make", MODELS)
def test_any_form_of_the_same_numbers_gives_the_same(make: Callable[[], Any]) -> None:
    labels = np.array([0, 1] * 4)
    expected = make().fit(X, labels).predict_proba(X)
    frozen = X.copy()
    frozen.flags.writeable = False
    for form in (X.tolist(), np.asfortranarray(X), frozen, X.astype(">f8"), np.repeat(X, 2, axis=0)[::2]):
        assert np.array_equal(make().fit(form, labels.tolist()).predict_proba(form), expected)
