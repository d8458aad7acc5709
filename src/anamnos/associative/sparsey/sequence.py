"""Sparsey's memory of sequences: one exposure, recognised in context, replayed from its first frames.

A key is a sequence of frames, (T, length) bits. One mac may see the whole frame (for replay), or each of a grid of macs
a patch of it (for recognition and classes). A code stands for a frame after what came before it, so one frame has
different codes in different sequences. Source: arXiv:1611.04023.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anamnos.associative.arrays import Array, need
from anamnos.associative.base import (
    Consolidated,
    Forgotten,
    Load,
    Recall,
    Value,
    WriteReport,
    admit,
    check_state,
    spec_array,
)
from anamnos.associative.checks import check_mask, check_reading
from anamnos.associative.codes import Bits, top_bits
from anamnos.associative.items import Items, checked_item
from anamnos.associative.readouts import ClassField, Form
from anamnos.associative.sparsey.links import Links, Winners, pixels
from anamnos.associative.sparsey.sequence_net import Step
from anamnos.associative.sparsey.sequence_spec import SequenceSpec, capacity_of, make_net
from anamnos.cube import thaw_json
from anamnos.errors import Corrupt, InvalidInput

_FLOOR = 1e-3
"""Of a class that a unit never won with, in the counts."""


@dataclass(frozen=True, slots=True)
class Trace:
    """What a memory did over a sequence: winners (T, M, Q), -1 where silent, and G (T, M), 0 where silent."""

    winners: NDArray[np.int64]
    g: NDArray[np.float64]

    @property
    def familiarity(self) -> NDArray[np.float64]:
        """Return, per frame, the mean G of the frames up to it that any mac ran on."""
        runs = self.winners[..., 0] >= 0
        each = np.where(runs, self.g, 0).sum(axis=1) / np.maximum(runs.sum(axis=1), 1)
        heard = runs.any(axis=1)
        return np.asarray(np.cumsum(each * heard) / np.maximum(np.cumsum(heard), 1))


class SequenceMemory:
    """Stores sequences of bits at one exposure; see the head of this file.

    Every item keeps its frames and its winners. Forgetting learns the others again from nothing: exact, and as long as
    writing them was.
    """

    def __init__(self, spec: SequenceSpec) -> None:
        self.spec = spec
        self._items = Items()  # its codes are digests of the keys
        self._frames: list[Bits] = []
        self._winners: list[NDArray[np.int16]] = []
        self._net = make_net(spec)
        self._linked: dict[str | None, tuple[list[Value], ClassField]] = {}

    # --- an associative memory

    def write(
        self,
        key: ArrayLike,
        value: Value = None,
        *,
        cube_id: str | None = None,
        strength: float = 1.0,
        when: datetime | None = None,
    ) -> WriteReport:
        frames = self._check("key", key)
        value, known_id, _, when = checked_item(value, cube_id, strength, when)
        todo = admit(self.load(), self.spec)
        before = self.observe(frames)
        if (before.winners < 0).all():
            raise InvalidInput("No mac sees enough of the key to run.", hint="Some bits of some frames must be on.")
        if todo == "evict":
            self._remove([0])
        used = (self._net.children.u.set > 0).ravel()
        steps = self._learn(frames)
        self._items.add(_digest(frames), value, known_id, when)
        winners, fresh = np.stack([s.winners for s in steps]), np.stack([s.fresh for s in steps])
        units = self._units(winners)
        reused = float(used[units[units >= 0]].mean())
        how = "stored" if fresh.any() else "known: nothing new to learn"
        return WriteReport(
            True, float(before.familiarity[-1]), winners, reused, how if todo == "store" else f"{how}; full: {todo}"
        )

    def read(
        self,
        cue: ArrayLike,
        *,
        mask: ArrayLike | None = None,
        k: int = 1,
        steps: int | None = None,
        temperature: float = 0.0,
        rng: np.random.Generator | None = None,
    ) -> list[Recall]:
        """Return the stored sequences that the cue reminds of; the code of the first is the sequence as remembered.

        mask   (T,) which frames are known: on the others U is silent, and what came before says what comes
        steps  how many frames are run, beyond the last too; None: those of the cue
        """
        check_reading(k, steps, temperature, rng)
        frames = self._check("cue", cue)
        known = check_mask(mask, len(frames))
        if not len(self._items):
            return []
        trace = self.observe(frames, known=known, steps=steps, noise=temperature, rng=rng)
        scores = self.belief(trace.winners)
        best = [n for n in np.argsort(-scores, kind="stable")[:k].tolist() if scores[n] > 0]
        ran = np.asarray((trace.winners >= 0).any(axis=(1, 2)))
        return [
            Recall(
                self.reconstruct(trace.winners) if place == 0 else self._frames[number],
                self._items.values[number],
                () if (cube := self._items.cube_ids[number]) is None else (cube,),
                float(scores[number]),
                float(trace.familiarity[-1]),
                len(ran),
                bool(ran[-1]),
            )
            for place, number in enumerate(best)
        ]

    def familiarity(self, cue: ArrayLike) -> float:
        """Return the mean G over the frames."""
        return float(self.observe(cue).familiarity[-1])

    def forget(self, *, key: ArrayLike | None = None, cube_id: str | None = None) -> Forgotten:
        code = None if key is None else _digest(self._check("key", key))
        numbers = self._items.find(code=code, cube_id=cube_id)
        if numbers:
            self._remove(numbers)
        return Forgotten(len(numbers), True, "the other sequences were learnt again from nothing")

    def consolidate(self) -> Consolidated:
        return Consolidated(len(self._items), 0, "units freeze as they fill; nothing is left to do")

    def load(self) -> Load:
        """Return the load. The capacity is a bound by chance for one mac; patches that freeze are not overfull."""
        spec, fill = self.spec, self._net.children.u.fill
        wrong = (spec.units - 1) * fill**spec.active / 2 if spec.active else 0.0
        capacity = math.inf if spec.on_full == "grow" else capacity_of(spec)
        return Load(len(self._items), capacity, fill, min(wrong, 1.0))

    def state_dict(self) -> dict[str, Array]:
        shape = (0, math.prod(self.spec.grid), self.spec.modules)
        frames = np.concatenate([np.zeros((0, self.spec.length), dtype=np.uint8), *self._frames])
        return {
            "spec": spec_array(self.spec),
            **self._items.state_dict(),
            "lengths": np.array([len(frames) for frames in self._frames], dtype=np.int64),
            "frames": np.packbits(frames, axis=1),
            "winners": np.concatenate([np.zeros(shape, dtype=np.int16), *self._winners]),
            **{name: links.bits for name, links in self._links().items()},
        }

    @classmethod
    def from_state(cls, spec: SequenceSpec, state: Mapping[str, Array]) -> Self:
        check_state(spec, state)
        memory = cls(spec)
        memory._items = Items.from_state(state)
        lengths = need(state, "lengths", (len(memory._items),), np.int64, least=1, most=1 << 32)
        packed = need(state, "frames", (int(lengths.sum()), -(-spec.length // 8)), np.uint8)
        shape = (len(packed), math.prod(spec.grid), spec.modules)
        winners = need(state, "winners", shape, np.int16, least=-1, most=spec.units - 1)
        cuts = np.cumsum(lengths)[:-1]
        if len(lengths):
            memory._frames = np.split(np.unpackbits(packed, axis=1, count=spec.length), cuts)
            memory._winners = np.split(winners, cuts)
        pairs = zip(memory._items.codes, memory._frames, strict=True)
        if not all(np.array_equal(code, _digest(frames)) for code, frames in pairs):
            raise Corrupt("The sequences of this state are not those of its items.")
        for name, links in memory._links().items():
            links.restore(need(state, name, links.bits.shape, np.uint8))
        return memory

    # --- sequences

    def observe(
        self,
        cue: ArrayLike,
        *,
        known: NDArray[np.bool_] | None = None,
        steps: int | None = None,
        noise: float = 0.0,
        rng: np.random.Generator | None = None,
    ) -> Trace:
        """Return what the macs do over frames (T, length), learning nothing.

        known  (T,), where U is heard; None: everywhere
        steps  frames to run; beyond the last, U is silent; None: T
        """
        frames = self._check("cue", cue)
        heard = np.ones(len(frames), dtype=np.bool_) if known is None else known
        given: list[Winners | None] = [pixels(frame) if h else None for frame, h in zip(frames, heard, strict=True)]
        wanted = len(given) if steps is None else steps
        run = self._net.run((given + [None] * wanted)[:wanted], noise=noise, rng=rng)
        return Trace(np.stack([s.winners for s in run]), np.stack([s.g for s in run]))

    def replay(self, prompt: ArrayLike, steps: int) -> Trace:
        """Return what follows a prompt of a few frames: the trace of it and of ``steps`` frames with U silent."""
        return self.observe(prompt, steps=len(self._check("prompt", prompt)) + steps)

    def drawn(self, winners: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return how strongly the codes (T, M, Q) stand for each bit, (T, length): the share of winners linked to it.

        Of the macs that are not silent and see the bit; 0 where there is none.
        """
        level, drawn = self._net.children, np.zeros((len(winners), self.spec.length))
        for time, codes in enumerate(winners):
            linked = level.u.backward(level.one_hot(codes))
            spoke = np.broadcast_to((codes[:, :1] >= 0) * self.spec.modules, linked.shape)
            sums, most = np.zeros(self.spec.length), np.zeros(self.spec.length)
            np.add.at(sums, level.u.sources, linked)
            np.add.at(most, level.u.sources, spoke)
            drawn[time] = sums / np.maximum(most, 1)
        return drawn

    def reconstruct(self, winners: NDArray[np.int64]) -> Bits:
        """Return the frames that codes stand for: the ``active`` strongest bits, or those of at least one half."""
        drawn = self.drawn(winners)
        strong = drawn >= 0.5 if not self.spec.active else drawn > 0
        return np.asarray(strong & (top_bits(drawn, self.spec.active or self.spec.length) > 0), dtype=np.uint8)

    @property
    def fills(self) -> dict[str, float]:
        """Share of the weights that are set, by kind: ``u``, ``h``, ``d``; those of the parents after ``parent_``."""
        return {name: links.fill for name, links in self._links().items()}

    def codes(self, number: int) -> NDArray[np.int64]:
        """Return the winners with which the item ``number`` was learnt, (T, M, Q)."""
        return self._winners[number].astype(np.int64)

    def belief(self, winners: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return per item, from 0 to 1, how well codes agree with it: per frame with the best of its moments, the mean.

        The time grows with the number of items.
        """
        if not self._items.codes:
            return np.zeros(0)
        stored = np.concatenate(self._winners).reshape(-1, winners[0].size)
        firsts = np.concatenate([[0], np.cumsum([len(w) for w in self._winners])[:-1]])
        heard = [codes.reshape(-1) for codes in winners if (codes >= 0).any()]
        scores = np.zeros(len(self._winners))
        for codes in heard:
            equal = ((stored == codes) & (codes >= 0)).sum(axis=1)
            most = np.maximum((stored >= 0).sum(axis=1), (codes >= 0).sum())
            scores += np.maximum.reduceat(equal / np.maximum(most, 1), firsts)
        return scores / max(len(heard), 1)

    def classes(
        self, winners: NDArray[np.int64], *, by: str | None = None, form: Form = "counts"
    ) -> dict[Value, float]:
        """Return per class its share of the belief, by the links from winning units to the classes of what was stored.

        by    the name under which a value holds its class; None: the value is the class
        form  of the links, see ``ClassField``
        """
        names, links = self.class_field(by=by)
        if not names:
            return {}
        sums = links.evidence(self._units(winners), form).sum(axis=0, dtype=np.float64)
        shares = np.exp(sums - sums.max())
        return dict(zip(names, (shares / shares.sum()).tolist(), strict=True))

    def class_field(self, *, by: str | None = None) -> tuple[list[Value], ClassField]:
        """Return the classes of what was stored, and the links to them from the units (M * Q * K), frame by frame."""
        if by not in self._linked:
            labels = [_label(value, by) for value in self._items.values]
            names = sorted({label for label in labels if label is not None}, key=str)
            links = ClassField(self._net.children.u.set.size, max(len(names), 1), floor=_FLOOR)
            for label, winners in zip(labels, self._winners, strict=True):
                if label is not None:
                    links.observe(self._units(winners), np.full(len(winners), names.index(label)))
            self._linked[by] = (names, links)
        return self._linked[by]

    def _units(self, winners: NDArray[np.integer]) -> NDArray[np.int64]:
        """Return winners (T, M, Q) as numbers of units, (T, M * Q), -1 where silent."""
        first = np.arange(winners[0].size).reshape(winners[0].shape) * self.spec.units
        return np.where(winners < 0, -1, winners + first).reshape(len(winners), -1)

    # --- inside

    def _check(self, name: str, value: ArrayLike) -> Bits:
        frames = np.asarray(value)
        good = frames.ndim == 2 and len(frames) and frames.shape[1] == self.spec.length and frames.dtype.kind in "buif"
        if not good or not ((frames == 0) | (frames == 1)).all():
            raise InvalidInput(
                f"{name} must be frames of {self.spec.length} bits, (T, {self.spec.length}) of 0 and 1;"
                f" got {frames.dtype} of shape {frames.shape}."
            )
        return frames.astype(np.uint8)

    def _learn(self, frames: Bits) -> list[Step]:
        self._linked.clear()
        number = len(self._frames)
        rng = np.random.Generator(np.random.PCG64([self.spec.seed, number]))
        steps = self._net.run([pixels(frame) for frame in frames], learning=rng)
        self._frames.append(frames)
        self._winners.append(np.stack([step.winners for step in steps]).astype(np.int16))
        return steps

    def _remove(self, numbers: list[int]) -> None:
        self._items.remove(numbers)
        kept = [frames for number, frames in enumerate(self._frames) if number not in set(numbers)]
        self._frames, self._winners, self._net = [], [], make_net(self.spec)
        for frames in kept:
            self._learn(frames)

    def _links(self) -> dict[str, Links]:
        levels = {"": self._net.children, "parent_": self._net.parents}
        return {
            f"{prefix}{name}": links
            for prefix, level in levels.items()
            if level is not None
            for name, links in (("u", level.u), ("h", level.h), ("d", level.d))
            if links is not None
        }


def _digest(frames: Bits) -> NDArray[np.uint8]:
    summed = blake2b(np.packbits(frames, axis=1).tobytes() + json.dumps(frames.shape).encode(), digest_size=16)
    return np.frombuffer(summed.digest(), dtype=np.uint8)


def _label(value: Value, by: str | None) -> Any:
    found = thaw_json(value)
    if by is not None:
        found = found.get(by) if isinstance(found, dict) else None
    return json.dumps(found, sort_keys=True) if isinstance(found, list | dict) else found
