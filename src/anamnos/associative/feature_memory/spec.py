"""What a feature memory is made with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from anamnos.associative.base import Spec
from anamnos.associative.checks import check_choice, check_positive, check_whole
from anamnos.errors import InvalidInput

Policy = Literal["knn", "dual", "prototype"]
POLICIES: tuple[Policy, ...] = ("knn", "dual", "prototype")


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureMemorySpec(Spec):
    """A feature memory.

    dim             of the features
    policy          ``knn``, ``dual`` or ``prototype``
    slots           how many features it may hold
    queue           how many of them may be its own guesses (knn, prototype); the oldest guess makes room
    shots           per class: guesses that ``dual`` keeps, features that ``prototype`` keeps when it consolidates
    margin          a guess is kept if its confidence is at least this (knn, prototype)
    neighbours      of knn
    radius          of knn: where a slot has a cosine of at least this, all such are asked instead; 2: never
    temperature     of knn: weights are softmax(cosine / temperature)
    beta            of dual: sharpness of the attention, exp(-beta (1 - cosine))
    scale           of dual: what cosines are multiplied with before the softmax
    text_weight, static_weight, dynamic_weight  of dual: shares of the three classifiers in the sum
    noise           of prototype: variance within a class; 0: estimated from what is held
    spread          of prototype: variance of the means of classes around 0; 0: the mean square of what is held
    concentration   of prototype: Dirichlet prior of each class
    """

    system: ClassVar[str] = "feature-memory"
    dim: int
    policy: Policy = "knn"
    slots: int = 100_000
    queue: int = 1_000
    shots: int = 50
    margin: float = 0.7
    neighbours: int = 10
    radius: float = 2.0
    temperature: float = 0.1
    beta: float = 5.5
    scale: float = 20.0
    text_weight: float = 1.0
    static_weight: float = 1.0
    dynamic_weight: float = 1.0
    noise: float = 0.0
    spread: float = 0.0
    concentration: float = 1.0

    def __post_init__(self) -> None:
        Spec.__post_init__(self)
        check_choice("policy", self.policy, POLICIES)
        for name in ("dim", "slots", "queue", "shots", "neighbours"):
            check_whole(name, getattr(self, name))
        for name in ("temperature", "beta", "scale", "concentration"):
            check_positive(name, getattr(self, name))
        for name in ("margin", "radius", "text_weight", "static_weight", "dynamic_weight", "noise", "spread"):
            check_positive(name, getattr(self, name), zero=True)
        if self.margin > 1:
            raise InvalidInput(f"margin is a confidence, from 0 to 1; got {self.margin}.")
