"""Readouts: what codes stand for. Links from units to classes, learnt in one pass, each item once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from anamnos.associative.arrays import Array, need
from anamnos.associative.checks import check_choice, check_whole
from anamnos.errors import Corrupt, InvalidInput

Form = Literal["counts", "union", "window"]
FORMS: tuple[Form, ...] = ("counts", "union", "window")
_AT_ONCE = 256
NEVER = 0


class ClassField:
    """Hebbian links from units to classes: how often, and when last, a unit was on with a class.

    The evidence for a class is the sum over the units that are on of, by form:

    counts  log(P(class | unit) + floor), counts divided by how often each class was seen: in the limit a naive Bayes
    union   1 if unit and class were ever together: binary, as in the model; full when much was seen
    window  1 if they were among the last ``window`` items of that class: binary, forgets at the pace of the class

    All three are local; the order of the items plays no part in counts and union. Codes are numbers of units,
    (n, units on), -1 where none is. Source: arXiv:1710.07829 (union); counts and window: ours.
    """

    def __init__(self, units: int, classes: int, *, window: int = 1_000, floor: float = 1e-5) -> None:
        check_whole("units", units)
        check_whole("classes", classes)
        check_whole("window", window)
        self.window, self.floor = window, floor
        self.counts = np.zeros((units, classes), dtype=np.int32)
        self.last = np.full((units, classes), NEVER, dtype=np.int32)  # item of that class, from 1
        self.seen = np.zeros(classes, dtype=np.int64)

    def observe(self, codes: NDArray[np.integer], labels: NDArray[np.integer]) -> None:
        """Link the units of each item to its class, in their order. Raises: InvalidInput."""
        classes = self.counts.shape[1]
        if codes.ndim != 2 or labels.shape != (len(codes),):
            raise InvalidInput(f"Every item needs one label, got {labels.shape} for codes of shape {codes.shape}.")
        if labels.size and not 0 <= labels.min() <= labels.max() < classes:
            raise InvalidInput(f"labels must be from 0 to {classes - 1}.")
        for start in range(0, len(codes), _AT_ONCE):
            unit, label = codes[start : start + _AT_ONCE], labels[start : start + _AT_ONCE]
            turn = np.empty(len(label), dtype=np.int64)
            for one in np.unique(label):
                mine = label == one
                turn[mine] = self.seen[one] + 1 + np.arange(mine.sum())
                self.seen[one] += mine.sum()
            item, place = np.nonzero(unit >= 0)
            at = unit[item, place], label[item]
            np.add.at(self.counts, at, 1)
            np.maximum.at(self.last, at, turn[item].astype(np.int32))

    def evidence(self, codes: NDArray[np.integer], form: Form = "counts") -> NDArray[np.float32]:
        """Return how much speaks for each class: (n, classes). Higher is better."""
        check_choice("form", form, FORMS)
        found = np.zeros((len(codes), self.counts.shape[1]), dtype=np.float32)
        for start in range(0, len(codes), _AT_ONCE):
            unit = codes[start : start + _AT_ONCE]
            links = self._links(np.maximum(unit, 0), form)
            found[start : start + _AT_ONCE] = np.where((unit >= 0)[..., None], links, np.float32(0)).sum(axis=1)
        return found

    def state_dict(self) -> dict[str, Array]:
        return {"counts": self.counts, "last": self.last, "seen": self.seen}

    @classmethod
    def from_state(cls, state: Mapping[str, Array], *, window: int = 1_000, floor: float = 1e-5) -> Self:
        """Return the field that had this state. Raises: Corrupt."""
        counts = need(state, "counts", dtype=np.int32, least=0)
        if counts.ndim != 2:
            raise Corrupt("The class links of this state are not of units and classes.")
        last = need(state, "last", counts.shape, np.int32)
        seen = need(state, "seen", counts.shape[1:], np.int64, least=0)
        field = cls(*counts.shape, window=window, floor=floor)
        field.counts, field.last, field.seen = counts.copy(), last.copy(), seen.copy()
        return field

    def _links(self, unit: NDArray[np.integer], form: Form) -> NDArray[np.float32]:
        if form == "union":
            return np.asarray(self.counts[unit] > 0, dtype=np.float32)
        if form == "window":
            last = self.last[unit]
            return np.asarray((last != NEVER) & (last > self.seen - self.window), dtype=np.float32)
        rates = self.counts[unit] / np.maximum(self.seen, 1).astype(np.float32)
        total = rates.sum(axis=-1, keepdims=True)
        likely = np.divide(rates, total, out=np.zeros_like(rates), where=total > 0)
        return np.asarray(np.log(likely + np.float32(self.floor)), dtype=np.float32)
