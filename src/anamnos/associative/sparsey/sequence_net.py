"""Macs that see their past: one step after the other through U, H and D.

U is what a mac sees now, H the winners of itself and its neighbours a step ago, D the winners of its parents a step
ago; a parent's code persists for some steps, so one code of a parent goes with a run of its children's (chunking).
Source: arXiv:1611.04023, steps 1 to 12; the gate, the freezing of units and the soft back-off are ours (measured).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anamnos.associative.sparsey.csa import CsaParameters, best, choose, familiarity
from anamnos.associative.sparsey.links import Links, Winners

Support = NDArray[np.float32]
_CHAIN = ((0.9, "hu"), (0.8, "ud"), (0.7, "u"))
"""G below which the step-by-step back-off goes on, and the sources it then takes."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How the macs of a level decide.

    parameters    of the choice of winners
    gate          G from which an input is known and nothing is learnt
    freeze        share of set U afferents from which a unit takes no more
    emit          G below which a mac that sees nothing now stays silent
    back_off      what to do where G of the whole product is low: ``soft``, ``chain``, ``hard`` or ``none``
    learning      the same, while learning
    below         the G that is low
    horizontal    exponent of H; 0: without it
    top_down      exponent of D
    least         active inputs below which a mac does not run
    """

    parameters: CsaParameters
    gate: float
    freeze: float
    emit: float
    back_off: str
    learning: str
    below: float
    horizontal: float
    top_down: float
    least: int


@dataclass(frozen=True, slots=True)
class Step:
    """What a level did at one moment: its winners (M, Q), -1 where silent, and G (M,), 0 where silent.

    fresh  (M, Q), whether the winner was chosen anew and learnt
    """

    winners: Winners
    g: NDArray[np.float64]
    fresh: NDArray[np.bool_]

    @classmethod
    def none(cls, level: Level) -> Step:
        """Return the step of a level that does nothing."""
        silent = np.full((len(level.u.sources), level.modules), -1, dtype=np.int64)
        return cls(silent, np.zeros(len(silent)), silent >= 0)

    @property
    def familiarity(self) -> float:
        """Mean G of the macs that run; 0 if none does."""
        runs = self.winners[:, 0] >= 0
        return float(self.g[runs].mean()) if runs.any() else 0.0


class Level:
    """A grid of macs of Q modules with K units."""

    def __init__(self, rules: Rules, modules: int, units: int, u: Links, h: Links, d: Links | None = None) -> None:
        self.rules, self.modules, self.units = rules, modules, units
        self.u, self.h, self.d = u, h, d

    def step(
        self,
        seen: Winners | None,
        before: Winners,
        above: Winners | None = None,
        *,
        learning: np.random.Generator | None = None,
        noise: float = 0.0,
        rng: np.random.Generator | None = None,
    ) -> Step:
        """Return what the macs do next.

        seen      winners of the inputs; None: U is silent
        before    own winners a step ago
        above     those of the parents a step ago
        learning  where the choice of new codes comes from; None: nothing is learnt
        noise     added to the support before the best is taken, from ``rng``
        """
        rows = {"h": self.h.rows(before)}
        if seen is not None:
            rows["u"] = self.u.rows(seen)
        if self.d is not None and above is not None:
            rows["d"] = self.d.rows(above)
        links = {"u": self.u, "h": self.h, "d": self.d}
        sources = {name: links[name].support(row) for name, row in rows.items()}  # type: ignore[union-attr]
        support, runs = self._support(sources, self.rules.back_off if learning is None else self.rules.learning)
        v = support.reshape(-1, self.modules, self.units)
        g = np.asarray(familiarity(v), dtype=np.float64)
        if seen is None:
            runs &= g >= self.rules.emit
        if learning is not None and seen is not None:
            return self._learn(rows, v, g, runs, learning)
        if noise > 0 and rng is not None:
            v = v + noise * rng.gumbel(size=v.shape)
        winners = np.where(runs[:, None], best(v), -1)
        return Step(winners, np.where(runs, g, 0.0), np.zeros(winners.shape, dtype=np.bool_))

    def _support(
        self, sources: dict[str, tuple[Support, NDArray[np.int64]]], back_off: str
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return V of all units, (M, Q * K), and which macs run."""
        rules = self.rules
        exponents = {"u": 1.0, "h": rules.horizontal, "d": rules.top_down}
        evidence = {}
        for name, (share, active) in sources.items():
            if exponents[name] > 0:
                raised = share.astype(np.float64) ** exponents[name]
                evidence[name] = np.where(active[:, None] > 0, raised, 1.0)  # a silent source has no say
        if "u" not in sources:
            heard = [sources[name][1] > 0 for name in evidence]
            runs = np.logical_or.reduce(heard) if heard else np.zeros(len(self.u.set), dtype=np.bool_)
            return _product(evidence, "hd", len(self.u.set), self.u.set.shape[1]), runs
        return self._backed_off(evidence, back_off), sources["u"][1] >= rules.least

    def _backed_off(self, evidence: dict[str, NDArray[np.float64]], how: str) -> NDArray[np.float64]:
        """Return V; where the product of all evidence is too weak, of less of it."""
        shape = self.u.set.shape
        v = _product(evidence, "hud", *shape)
        if how == "none":
            return v
        if how == "chain":
            for threshold, names in _CHAIN:
                weak = self._g(v) < threshold
                v = np.where(weak[:, None], _product(evidence, names, *shape), v)
            return v
        weak = self._g(v) < self.rules.below
        kept = 0.5 if how == "soft" else 0.0  # of the weight of the context
        softer = {name: 1 - kept + kept * share if name != "u" else share for name, share in evidence.items()}
        return np.where(weak[:, None], _product(softer, "hud", *shape), v)

    def _g(self, v: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(familiarity(v.reshape(-1, self.modules, self.units)))

    def _learn(
        self,
        rows: dict[str, NDArray[np.int64]],
        v: NDArray[np.float64],
        g: NDArray[np.float64],
        runs: NDArray[np.bool_],
        rng: np.random.Generator,
    ) -> Step:
        plastic = (self.u.set < self.rules.freeze * self.u.afferents).reshape(v.shape)
        novel = runs & (g < self.rules.gate)
        fresh = novel[:, None] & plastic.any(axis=2)
        winners = np.where(runs[:, None], best(v), -1)
        if novel.any():
            winners[novel] = choose(v[novel], self.rules.parameters, rng, plastic[novel])
        self.bind(rows, winners, fresh)
        return Step(winners, np.where(runs, g, 0.0), fresh)

    def bind(self, rows: dict[str, NDArray[np.int64]], winners: Winners, fresh: NDArray[np.bool_]) -> None:
        """Link the active inputs to the winners that are fresh."""
        chosen = self.one_hot(np.where(fresh, winners, -1))
        for links, name in ((self.u, "u"), (self.h, "h"), (self.d, "d")):
            if links is not None and name in rows and rows[name].shape[1]:
                links.learn(rows[name], chosen)

    def one_hot(self, winners: Winners) -> NDArray[np.bool_]:
        """Return winners as units, (M, Q * K)."""
        return np.asarray(winners[..., None] == np.arange(self.units)).reshape(len(winners), -1)


def _product(evidence: dict[str, NDArray[np.float64]], names: str, macs: int, onto: int) -> NDArray[np.float64]:
    v = np.ones((macs, onto))
    for name in names:
        if name in evidence:
            v = v * evidence[name]
    return v


class SequenceNet:
    """A level of macs over the frames, with or without parents over it."""

    def __init__(self, children: Level, parents: Level | None = None, persistence: int = 1) -> None:
        self.children, self.parents, self.persistence = children, parents, persistence

    def run(
        self,
        frames: list[Winners | None],
        *,
        learning: np.random.Generator | None = None,
        noise: float = 0.0,
        rng: np.random.Generator | None = None,
    ) -> list[Step]:
        """Return what the children did at each frame; None is a frame on which U is silent."""
        now, held, steps = Step.none(self.children), None, []
        if self.parents is not None:
            held = Step.none(self.parents)
        for time, seen in enumerate(frames):
            above = None if held is None else held.winners
            now = self.children.step(seen, now.winners, above, learning=learning, noise=noise, rng=rng)
            steps.append(now)
            if self.parents is not None and held is not None:
                held = self._parents(self.parents, now.winners, held, time, learning)
        return steps

    def _parents(
        self, parents: Level, seen: Winners, held: Step, time: int, learning: np.random.Generator | None
    ) -> Step:
        """Return what the parents do: anew where a code has run out, else the old one, which learns what goes on."""
        if time % self.persistence == 0:
            return parents.step(seen, held.winners, learning=learning)
        if learning is not None:
            parents.bind({"u": parents.u.rows(seen)}, held.winners, held.fresh)
        return held
