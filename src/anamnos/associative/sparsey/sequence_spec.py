"""What a memory of sequences is made with, and its macs."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from anamnos.associative.base import Spec
from anamnos.associative.checks import check_choice, check_positive, check_room, check_whole
from anamnos.associative.sparsey.csa import CAPACITY, EDGES, SIMILARITY
from anamnos.associative.sparsey.links import Links, neighbours, windows
from anamnos.associative.sparsey.mac import capacity
from anamnos.associative.sparsey.sequence_net import Level, Rules, SequenceNet
from anamnos.errors import InvalidInput

_CHOICES = {"similarity": SIMILARITY, "capacity": CAPACITY, "edges": EDGES}
_BACK_OFF = ("soft", "chain", "hard", "none")
_PARENT_CODES = 8
"""Moments that a parent's unit may stand for before it takes no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceSpec(Spec):
    """A memory of sequences.

    length       bits of a frame
    width        of a frame that is a picture, row by row; 0: it is none
    field        side of the patch that a mac sees; 0: one mac sees the whole frame
    stride       from patch to patch
    modules      Q, winner-take-all modules of a mac
    units        K, of a module
    choice       preset of the choice of winners: ``similarity``, ``capacity`` or ``edges``
    gate         familiarity from which a moment is known and nothing is learnt; above 1: always learn
    freeze       share of its inputs that a unit may be linked to before it takes no more
    horizontal   exponent of H, what came before; 0: without it
    back_off     where G of the whole product is below ``below``: ``soft`` V = U (.5 + .5 H), ``chain`` leaves out one
                 source after the other, ``hard`` takes U alone, ``none`` does nothing
    learning     the same, while learning: ``none`` keeps contexts apart, ``soft`` lets like contexts share their codes
    emit         familiarity below which a mac stays silent while it replays
    least        active inputs below which a mac does not run
    parents      side, in macs, of what a parent sees; 0: without parents
    persistence  moments for which a parent's code stays
    top_down     exponent of D, what the parents say
    active       bits that are on in a frame, for the capacity and to draw frames; 0: not known
    frames       of a sequence, for the capacity
    """

    system: ClassVar[str] = "sparsey-sequence"
    length: int
    width: int = 0
    field: int = 0
    stride: int = 2
    modules: int = 24
    units: int = 16
    choice: str = "capacity"
    gate: float = 1.0
    freeze: float = 1.0
    horizontal: float = 1.0
    back_off: str = "chain"
    learning: str = "none"
    below: float = 0.6
    emit: float = 0.5
    least: int = 1
    parents: int = 0
    persistence: int = 2
    top_down: float = 0.5
    active: int = 0
    frames: int = 10

    def __post_init__(self) -> None:
        Spec.__post_init__(self)
        for name, least in (("length", 2), ("stride", 1), ("modules", 1), ("least", 1), ("frames", 1)):
            check_whole(name, getattr(self, name), least=least)
        check_whole("units", self.units, least=2, most=2**15 - 1)
        check_whole("active", self.active, least=0, most=self.length)
        check_whole("persistence", self.persistence)
        check_choice("choice", self.choice, list(_CHOICES))
        check_choice("back_off", self.back_off, _BACK_OFF)
        check_choice("learning", self.learning, _BACK_OFF)
        for name in ("gate", "freeze"):
            check_positive(name, getattr(self, name))
        for name in ("horizontal", "below", "emit", "top_down"):
            check_positive(name, getattr(self, name), zero=True)
        check_whole("field", self.field, least=0)
        pictures = self.width >= self.field and self.length % max(self.width, 1) == 0 and self.height >= self.field
        if self.field and not pictures:
            raise InvalidInput(f"A frame of {self.length} bits, {self.width} wide, has no patches of {self.field}.")
        check_whole("parents", self.parents, least=0, most=min(self.grid))
        units, inputs = self.modules * self.units, self.field**2 if self.field else self.length
        check_room(math.prod(self.grid), max(inputs, 9 * units, self.parents**2 * units), units)

    @property
    def height(self) -> int:
        """Rows of a frame that is a picture."""
        return self.length // max(self.width, 1)

    @property
    def grid(self) -> tuple[int, int]:
        """How many macs there are, down and across."""
        if not self.field:
            return (1, 1)
        return windows((self.height, self.width), self.field, self.stride)[1]


def capacity_of(spec: SequenceSpec) -> float:
    """Return how many sequences of ``frames`` random frames one mac holds; infinite where no formula says so.

    Patches that freeze are never overfull: what comes too late is read by the codes that there are.
    """
    if spec.field or not spec.active:
        return math.inf
    return capacity(spec.length, spec.active, spec.units) / spec.frames


def make_net(spec: SequenceSpec) -> SequenceNet:
    """Return the macs of a spec, which know nothing."""
    onto = spec.modules * spec.units
    rules = Rules(
        parameters=_CHOICES[spec.choice],
        gate=spec.gate,
        freeze=spec.freeze,
        emit=spec.emit,
        back_off=spec.back_off,
        learning=spec.learning,
        below=spec.below,
        horizontal=spec.horizontal,
        top_down=spec.top_down,
        least=spec.least,
    )
    if spec.field:
        fields, grid = windows((spec.height, spec.width), spec.field, spec.stride)
        seen_from = neighbours(grid)
    else:
        fields, grid, seen_from = np.arange(spec.length)[None], (1, 1), np.zeros((1, 1), dtype=np.int64)

    def level(how: Rules, u: Links, around: NDArray[np.int64], d: Links | None = None) -> Level:
        return Level(how, spec.modules, spec.units, u, Links(around, spec.modules, spec.units, onto), d)

    u = Links(fields, 1, 1, onto)
    if not spec.parents:
        return SequenceNet(level(rules, u, seen_from))
    below, upper = windows(grid, spec.parents, 1)
    over = np.full((len(fields), spec.parents**2), -1)
    for child in range(len(fields)):
        found = np.flatnonzero((below == child).any(axis=1))
        over[child, : len(found)] = found
    d = Links(over, spec.modules, spec.units, onto)
    above = Links(below, spec.modules, spec.units, onto)
    moments = _PARENT_CODES * below.shape[1] * spec.modules / above.afferents
    parents = level(replace(rules, freeze=min(1.0, moments)), above, neighbours(upper))
    return SequenceNet(level(rules, u, seen_from, d), parents, spec.persistence)
