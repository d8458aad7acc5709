"""The face of a scikit-learn classifier for memories that learn labels: feature memories, key-value bottlenecks.

from sklearn.model_selection import cross_val_score
cross_val_score(MemoryClassifier("feature-memory", policy="prototype"), X, y)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anamnos.associative import create
from anamnos.cube import thaw_json
from anamnos.errors import InvalidInput


@runtime_checkable
class Learning(Protocol):
    """A memory that learns labels, many at a time."""

    @property
    def classes(self) -> list[Any]: ...

    def learn(self, features: ArrayLike, labels: Sequence[Any]) -> None: ...

    def probabilities(self, features: ArrayLike) -> NDArray[np.float64]: ...


class MemoryClassifier:
    """A memory as a classifier of scikit-learn; that need not be installed.

    system    as in ``anamnos.associative.create``
    settings  of its spec, except ``dim``, which the features give; ``key_epochs`` > 0: the first features that a
              ``key-value-bottleneck`` sees also teach it its keys, so many times
    After ``fit``: ``classes_`` (sorted), ``n_features_in_`` and ``memory_``.
    """

    _estimator_type = "classifier"

    def __init__(self, system: str = "feature-memory", *, key_epochs: int = 5, **settings: Any) -> None:
        self.system = system
        self.key_epochs = key_epochs
        self.settings = settings

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Learn labelled features (n, dim) from nothing."""
        for name in ("memory_", "classes_", "n_features_in_"):
            self.__dict__.pop(name, None)
        return self.partial_fit(X, y)

    def partial_fit(self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None) -> Self:
        """Learn more; labels may be new. ``classes`` plays no part: nothing has to be known before."""
        rows, labels = np.asarray(X), np.asarray(y)
        if rows.ndim != 2 or labels.shape != rows.shape[:1] or not len(rows):
            raise InvalidInput(f"X must be of shape (n, dim) and y of (n,), got {rows.shape} and {labels.shape}.")
        if not hasattr(self, "memory_"):
            memory = create(self.system, dim=rows.shape[1], **self.settings)
            if not isinstance(memory, Learning):
                raise InvalidInput(f"The memory {self.system!r} learns no labels many at a time.")
            self.memory_: Learning = memory
            if self.key_epochs and hasattr(self.memory_, "learn_keys"):
                self.memory_.learn_keys(rows, epochs=self.key_epochs)
            self.n_features_in_ = rows.shape[1]
        _sorted([*map(thaw_json, self.memory_.classes), *labels.tolist()])
        self.memory_.learn(rows, labels.tolist())
        self.classes_ = _sorted(list(map(thaw_json, self.memory_.classes)))
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return (n, classes), in the order of ``classes_``."""
        memory = self._fitted()
        places = {label: number for number, label in enumerate(memory.classes)}
        return np.asarray(memory.probabilities(X)[:, [places[label] for label in self.classes_.tolist()]])

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the likeliest label of each row."""
        best = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[best])

    def score(self, X: ArrayLike, y: ArrayLike) -> float:
        """Return the share of rows whose label is right."""
        return float((self.predict(X) == np.asarray(y)).mean())

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return what it was made with."""
        return {"system": self.system, "key_epochs": self.key_epochs, **self.settings}

    def set_params(self, **params: Any) -> Self:
        """Change what it is made with; that counts from the next ``fit`` on."""
        for name, value in params.items():
            if name in ("system", "key_epochs"):
                setattr(self, name, value)
            else:
                self.settings[name] = value
        return self

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

        return Tags(
            estimator_type="classifier",
            target_tags=TargetTags(required=True),
            classifier_tags=ClassifierTags(),
            input_tags=InputTags(),
        )

    def _fitted(self) -> Learning:
        if not hasattr(self, "memory_"):
            raise InvalidInput("The classifier knows nothing yet.", hint="Call fit or partial_fit first.")
        return self.memory_


def _sorted(labels: list[Any]) -> NDArray[Any]:
    """Return each label once, in order. Raises: InvalidInput unless all are numbers, all strings or all booleans."""
    if len({bool if isinstance(label, bool) else str if isinstance(label, str) else float for label in labels}) < 2:
        found = np.array(labels)
        if found.dtype.kind in "biufU":
            return np.unique(found)
    raise InvalidInput("The labels are of several kinds.", hint="Use numbers, or strings, for all of them.")
