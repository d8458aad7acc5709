"""Sparsey as a classifier with the face of scikit-learn, which it does not need: one pass, each item once."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anamnos.associative.arrays import Array, from_json_array, json_array, need
from anamnos.associative.checks import check_choice, check_positive, check_whole
from anamnos.associative.codes import edge_bits
from anamnos.associative.payload import read_state, to_payload
from anamnos.associative.readouts import FORMS, ClassField, Form
from anamnos.associative.sparsey.images import upright
from anamnos.associative.sparsey.net import Codes, MacGrid, SparseyNet
from anamnos.errors import Corrupt, InvalidInput

Code = Literal["edges", "bits"]
CODES: tuple[Code, ...] = ("edges", "bits")
_AT_ONCE = 1_000
DIRECTIONS = 12


class SparseyClassifier:
    """Classifies images by a net of macs and a field of classes, learnt together in one pass by local rules.

    image        (height, width); None: square
    code         ``edges``: edges by direction, of even sides; ``bits``: on where a pixel is at least ``threshold``
    threshold    of ``bits``
    stand        set each image upright by its own moments first (``images.upright``); needs pixels of 0 to 255
    levels       grids of macs, lowest first; None: one that suits 28 x 28
    readout      form of the class links, see ``ClassField``
    window       items per class that the form ``window`` looks back
    learn_first  items from which features are learnt; None: all, learning stays open
    random_state seed
    compiled     use numba; None: if it is installed. Results are the same

    ``fit`` and ``partial_fit`` take X (n, height * width) and labels of any kind that sorts; ``partial_fit`` needs all
    classes in its first call. Attributes: ``classes_``, ``net_``, ``field_``, ``n_features_in_``.
    """

    def __init__(
        self,
        *,
        image: tuple[int, int] | None = None,
        code: Code = "edges",
        threshold: float = 128,
        stand: bool = True,
        levels: Sequence[MacGrid] | None = None,
        readout: Form = "counts",
        window: int = 1_000,
        learn_first: int | None = None,
        random_state: int = 0,
        compiled: bool | None = None,
    ) -> None:
        self.image = image
        self.code = code
        self.threshold = threshold
        self.stand = stand
        self.levels = levels
        self.readout = readout
        self.window = window
        self.learn_first = learn_first
        self.random_state = random_state
        self.compiled = compiled

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Forget all and learn these items, in their order. Raises: InvalidInput."""
        classes = _sorted(y)
        self.__dict__.pop("classes_", None)
        return self.partial_fit(X, y, classes=classes)

    def partial_fit(self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None) -> Self:
        """Learn these items too, in their order, each once.

        classes  all that there will be; needed in the first call
        Raises: InvalidInput for a label that is none of them; then nothing was learnt.
        """
        pixels = self._pixels(X)
        labels = np.asarray(y)
        if labels.shape != (len(pixels),):
            raise InvalidInput(f"y must have a label for each of {len(pixels)} items, got shape {labels.shape}.")
        if not hasattr(self, "classes_"):
            if classes is None:
                raise InvalidInput("The first partial_fit needs classes: all labels that there will be.")
            self._begin(pixels.shape[1], _sorted(classes))
        numbers = np.minimum(np.searchsorted(self.classes_, labels), len(self.classes_) - 1)
        if pixels.shape[1] != self.n_features_in_ or (unknown := labels[self.classes_[numbers] != labels]).size:
            wrong = f"{pixels.shape[1]} pixels" if pixels.shape[1] != self.n_features_in_ else f"label {unknown[0]!r}"
            raise InvalidInput(f"{wrong} does not fit what was learnt before.")
        for start in range(0, len(pixels), _AT_ONCE):
            self.learn_bits(self.encode(pixels[start : start + _AT_ONCE]), numbers[start : start + _AT_ONCE])
        return self

    def learn_bits(self, bits: NDArray[np.uint8], numbers: NDArray[np.integer]) -> None:
        """Learn items that ``encode`` gave, with the places of their classes in ``classes_``."""
        left = len(bits) if self.learn_first is None else max(0, self.learn_first - self.net_.grids[0].presented)
        for part, learn in ((slice(0, left), True), (slice(left, None), False)):
            if len(bits[part]):
                codes = self.net_.learn(bits[part]) if learn else self.net_.read(bits[part])
                self.field_.observe(self.net_.units(codes), numbers[part])

    def encode(self, X: ArrayLike) -> NDArray[np.uint8]:
        """Return the input bits of the net for images: (n, cells * bits per cell)."""
        pixels = self._pixels(X)
        rows, columns = self._sides(pixels.shape[1])
        images = pixels.reshape(len(pixels), rows, columns)
        if self.stand or self.code == "edges":
            images = np.clip(np.rint(images), 0, 255).astype(np.uint8)
        images = upright(images) if self.stand else images
        if self.code == "bits":
            return (images >= self.threshold).reshape(len(images), -1).astype(np.uint8)
        bits = edge_bits(images, directions=DIRECTIONS)
        return np.ascontiguousarray(bits.transpose(0, 2, 3, 1)).reshape(len(images), -1)

    def codes(self, X: ArrayLike) -> list[Codes]:
        """Return the codes of images at every level of the net."""
        self._fitted()
        return self.net_.read(self.encode(X))

    def decision_function(self, X: ArrayLike) -> NDArray[np.float32]:
        """Return how much speaks for each class: (n, classes)."""
        self._fitted()
        pixels = self._pixels(X)
        parts = [self.evidence(self.encode(pixels[at : at + _AT_ONCE])) for at in range(0, len(pixels), _AT_ONCE)]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.classes_)), dtype=np.float32)

    def evidence(self, bits: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return how much speaks for each class, of items that ``encode`` gave."""
        return self.field_.evidence(self.net_.units(self.net_.read(bits)), self.readout)

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return shares of belief in each class, (n, classes): rows sum to 1. Graded, but not calibrated.

        Units of one mac see the same; their evidence counts as that of one.
        """
        modules = self.net_.grids[0].grid.modules if hasattr(self, "net_") else 1
        scores = self.decision_function(X).astype(np.float64) / modules
        odds = np.exp(scores - scores.max(axis=1, keepdims=True, initial=-np.inf))
        return np.asarray(odds / odds.sum(axis=1, keepdims=True))

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the class that most speaks for, of each item."""
        scores = self.decision_function(X)
        return np.asarray(self.classes_[scores.argmax(axis=1)])

    def score(self, X: ArrayLike, y: ArrayLike) -> float:
        """Return the share of items whose class is found."""
        return float(np.mean(self.predict(X) == np.asarray(y)))

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the settings by name."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def set_params(self, **params: Any) -> Self:
        """Change settings. Raises: InvalidInput if there is none of that name."""
        if unknown := sorted(set(params) - set(self.get_params())):
            raise InvalidInput(f"SparseyClassifier has no setting {', '.join(unknown)}.")
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def state_dict(self) -> dict[str, Array]:
        """Return settings and all that was learnt as arrays; ``payload.to_payload`` turns them into bytes."""
        self._fitted()
        settings = {name: value for name, value in self.get_params().items() if name != "levels"}
        made = json_array({**settings, "standard_levels": self.levels is None, "features": self.n_features_in_})
        if self.classes_.dtype.kind == "O":
            raise InvalidInput("Labels that are Python objects cannot be stored.", hint="Use numbers or strings.")
        classes = json_array({"type": self.classes_.dtype.str, "labels": self.classes_.tolist()})
        return {"settings": made, "classes": classes, **self.net_.state_dict(), **self.field_.state_dict()}

    @classmethod
    def from_state(cls, state: Mapping[str, Array]) -> Self:
        """Return the classifier that had this state. Raises: Corrupt."""
        settings = from_json_array(need(state, "settings"))
        try:
            standard, features = settings.pop("standard_levels", True), settings.pop("features", 0)
            image = settings.get("image")
            made = cls(**{**settings, "image": None if image is None else tuple(image)})
        except (AttributeError, TypeError) as exc:
            raise Corrupt(f"The settings of this state are none of a classifier: {exc}.") from exc
        made.net_ = SparseyNet.from_state(state, compiled=made.compiled)
        made.levels = None if standard else tuple(made.net_.levels)
        made.field_ = ClassField.from_state(state, window=made.window)
        made.classes_, made.n_features_in_ = _labels(from_json_array(need(state, "classes"))), features
        if made.field_.counts.shape != (made.net_.size, len(made.classes_)):
            raise Corrupt("The class links of this state are not those of its net.")
        return made

    def to_bytes(self) -> bytes:
        """Return settings and all that was learnt as bytes, with a checksum."""
        return to_payload(self)  # type: ignore[arg-type]  # it asks for nothing but state_dict

    @classmethod
    def from_bytes(cls, payload: bytes) -> Self:
        """Return the classifier of ``to_bytes``. Raises: Corrupt."""
        return cls.from_state(read_state(payload))

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn, which alone asks, what this is."""
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags

        return Tags(
            estimator_type="classifier", target_tags=TargetTags(required=True), transformer_tags=None,
            classifier_tags=ClassifierTags(), regressor_tags=None, input_tags=InputTags(),
        )  # fmt: skip

    def _begin(self, features: int, classes: NDArray[Any]) -> None:
        check_choice("code", self.code, CODES)
        check_choice("readout", self.readout, FORMS)
        check_positive("threshold", self.threshold, zero=True)
        if self.learn_first is not None:
            check_whole("learn_first", self.learn_first)
        if not len(classes):
            raise InvalidInput("There must be at least one class.")
        rows, columns = self._sides(features)
        shape = (rows, columns, 1) if self.code == "bits" else (rows // 2, columns // 2, DIRECTIONS)
        net = SparseyNet(shape, self.levels or (MacGrid(),), self.random_state, self.compiled)
        self.net_, self.field_ = net, ClassField(net.size, len(classes), window=self.window)
        self.classes_, self.n_features_in_ = classes, features

    def _pixels(self, X: ArrayLike) -> NDArray[Any]:
        pixels = np.asarray(X)
        if pixels.ndim != 2 or pixels.dtype.kind not in "buif" or not np.isfinite(pixels).all():
            raise InvalidInput(f"X must be finite numbers of shape (n, pixels), got {pixels.dtype} of {pixels.shape}.")
        return pixels

    def _sides(self, features: int) -> tuple[int, int]:
        side = round(features**0.5)
        rows, columns = self.image or (side, side)
        if rows * columns != features or (self.code == "edges" and (rows % 2 or columns % 2)):
            raise InvalidInput(
                f"{features} pixels are no image of {rows} x {columns}, or its sides are odd.",
                hint="Set image=(height, width); edges need even sides.",
            )
        return rows, columns

    def _fitted(self) -> None:
        if not hasattr(self, "classes_"):
            raise InvalidInput("This SparseyClassifier has learnt nothing yet.", hint="Call fit or partial_fit.")


def _sorted(labels: ArrayLike) -> NDArray[Any]:
    """Return each label once, in order. Raises: InvalidInput if they have none."""
    try:
        return np.unique(np.asarray(labels))
    except TypeError as exc:
        raise InvalidInput("The labels are of several kinds.", hint="Use numbers, or strings, for all.") from exc


def _labels(held: Any) -> NDArray[Any]:
    """Return the classes that ``state_dict`` wrote. Raises: Corrupt."""
    try:
        labels = np.array(held["labels"], dtype=np.dtype(held["type"]))
    except (TypeError, ValueError, KeyError) as exc:
        raise Corrupt("The classes of this state cannot be read.") from exc
    if labels.dtype.kind not in "biufU" or labels.ndim != 1:
        raise Corrupt("The classes of this state are neither numbers nor strings.")
    return labels
